"""reactnet-run and the C example, built against the library that Python uses."""

import shutil
import subprocess
from pathlib import Path

import pytest

from native.binding import link_flags

ROOT = Path(__file__).parents[2]
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-pedantic")


def build(compiler: list[str], sources: list[Path], program: Path) -> Path:
    """Compile and link `sources` against libreactnet, any warning being an error."""
    include = f"-I{ROOT / 'native/include'}"
    subprocess.run(
        [*compiler, *WARNINGS, include, *map(str, sources), *link_flags(program.parent), "-o", str(program)], check=True
    )
    return program


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of reactnet-run."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler: apt-get install g++")
    sources = sorted((ROOT / "native/program").glob("*.cc"))
    return build([compiler, "-std=c++17", "-O1"], sources, tmp_path_factory.mktemp("program") / "reactnet-run")


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of examples/classify.c, compiled as C11."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: apt-get install gcc")
    return build(
        [compiler, "-std=c11"], [ROOT / "examples/classify.c"], tmp_path_factory.mktemp("example") / "classify"
    )
