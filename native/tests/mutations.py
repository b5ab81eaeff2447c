"""Break the native code on purpose, one place at a time, and see that a test notices each: a check of the checks.

    python native/tests/mutations.py [--short] [--only WORD]

Works on a copy in build/mutants; needs a compiler, CMake and Ninja. A mutant that survives is printed, and the exit
code is 1; so is one whose place is gone from the source. The mutants, and who is asked about each, stand in mutants.py.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
COPY = ROOT / "build/mutants"
TARGETS = {"check": "check", "threads": "threads", "memory": "memory", "table": "reactnet", "readers": "reactnet"}
GOLDEN = sorted((ROOT / "tests/golden/format1").glob("*.rnet"))
READER_TESTS = ("tests/hostile/test_limits.py", "tests/native/test_file.py", "tests/graph/test_file.py")
# The part of `check` that knows a folder of kernels best is asked first, the others if it sees nothing.
PARTS = {
    "bconv2d": "bconv2d",
    "conv_f32": "convolutions",
    "conv_i8": "convolutions",
    "conv_u8": "convolutions",
    "linear_f32": "linear",
    "linear_i8": "linear",
    "peak": "peak",
    "sha256": "sha256",
}
SECONDS = 300  # a broken kernel may never end


def run(*command: str | Path, cwd: Path, library: Path | None = None) -> bool:
    """Whether a command ends well and in time, quietly; with the copy's library where Python asks for it."""
    environment = os.environ | ({} if library is None else {"MUTANT_LIBRARY": str(library)})
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, cwd=cwd, capture_output=True, check=False, timeout=SECONDS, env=environment)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def tool(name: str) -> str:
    """The environment's own cmake or ninja, else that of the system."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else name


def synchronise() -> None:
    """Make the copy's sources those of the repository; what is equal keeps its date, so that little is built anew."""
    wanted = [path for path in (ROOT / "native").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    names = {path.relative_to(ROOT) for path in [*wanted, ROOT / "CMakeLists.txt", ROOT / "pyproject.toml"]}
    for path in (COPY / "native").rglob("*"):
        if path.is_file() and path.relative_to(COPY) not in names:
            path.unlink()
    for name in names:
        path = COPY / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != (ROOT / name).read_bytes():
            shutil.copyfile(ROOT / name, path)


def configure() -> bool:
    """Whether the copy can be built. -O1: built in half of the time, and the bits are the same."""
    kind = ("-DREACTNET_BUILD_TESTS=ON", "-DREACTNET_OPTIMIZE=1", f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}")
    return run(tool("cmake"), "-S", ".", "-B", "build", "-G", "Ninja", *kind, cwd=COPY)


def build(tests: tuple[str, ...]) -> bool:
    """Whether what the tests need of the copy builds."""
    targets = sorted({TARGETS[test] for test in tests})
    return run(tool("cmake"), "--build", "build", "--target", *targets, cwd=COPY)


def passes(test: str, part: str | None = None) -> bool:
    """Whether one of the tests that a mutant names passes on the copy's build; `part` of check alone, if given."""
    library = COPY / "build/libreactnet.so"
    if test == "table":
        return run(sys.executable, ROOT / "tests/conformance/table.py", "--library", library, cwd=ROOT)
    if test == "readers":
        program = (
            "import os, sys, pathlib, pytest; from reactnet.runtime import _native; "
            "loaded = _native.load([pathlib.Path(os.environ['MUTANT_LIBRARY'])]); _native.library = lambda: loaded; "
            f"sys.exit(pytest.main(['-x', '-q', '-p', 'no:cacheprovider', *{READER_TESTS!r}]))"
        )
        return run(sys.executable, "-c", program, cwd=ROOT, library=library)
    words = [] if part is None else [part]
    return run(COPY / "build" / test, *(words if test == "check" else GOLDEN), cwd=COPY)


def noticed(test: str, mutant: Mutant) -> bool:
    """Whether a test fails on the mutant; of check, the part that should is asked first."""
    part = PARTS.get(Path(mutant.file).parent.name, "maps") if test == "check" else None
    return (part is not None and not passes(test, part)) or not passes(test)


def try_mutant(mutant: Mutant) -> str:
    """What became of it: who noticed, or SURVIVED, or why it could not be tried."""
    path = COPY / mutant.file
    text = path.read_text("utf-8")
    if mutant.old not in text:
        return "STALE: the text to change is gone"
    path.write_text(text.replace(mutant.old, mutant.new, 1), "utf-8")
    try:
        for test in mutant.by:
            if not build((test,)):
                return "COMPILER: it does not build"
            if noticed(test, mutant):
                return test
        return "SURVIVED"
    finally:
        path.write_text(text, "utf-8")


def chosen(arguments: argparse.Namespace) -> list[Mutant]:
    """The mutants that were asked for."""
    return [mutant for mutant in MUTANTS if arguments.only in mutant.what and (mutant.short or not arguments.short)]


def main() -> int:
    """Try them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only mutants with this word")
    parser.add_argument("--short", action="store_true", help="one of each kind")
    mutants = chosen(parser.parse_args())
    begin = time.monotonic()
    synchronise()
    asked = tuple({test: None for mutant in mutants for test in mutant.by})
    if not configure() or not build(asked) or not all(passes(test) for test in asked):
        print("error: the unbroken code does not build or pass", file=sys.stderr)
        return 2
    print(f"the unbroken code passes {', '.join(asked)}: {time.monotonic() - begin:.0f} s", flush=True)
    bad = 0
    for mutant in mutants:
        begin = time.monotonic()
        result = try_mutant(mutant)
        bad += result.split(":")[0] in ("SURVIVED", "STALE", "COMPILER")
        print(f"{mutant.what}: {result} ({time.monotonic() - begin:.0f} s)", flush=True)
    print(f"{len(mutants)} mutants, {bad} not noticed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
