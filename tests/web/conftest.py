"""The WebAssembly module, built once, or the reason why it cannot be."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = "apt-get install clang lld wasi-libc libc++-14-dev-wasm32 libclang-rt-14-dev-wasm32"


@pytest.fixture(scope="session")
def wasm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of reactnet.wasm."""
    headers = list(Path("/usr/lib").glob("llvm-*/include/wasm32-wasi/c++/v1/version"))
    if shutil.which("clang++") is None or shutil.which("wasm-ld") is None or not headers:
        pytest.skip(f"no tools for WebAssembly: {TOOLS}")
    out = tmp_path_factory.mktemp("web") / "reactnet.wasm"
    subprocess.run([ROOT / "native/wasm/build.sh", out], check=True, timeout=280)
    return out
