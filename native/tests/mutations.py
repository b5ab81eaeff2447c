"""Break the native code on purpose, one place at a time, and see that a test notices each: a check of the checks.

    python native/tests/mutations.py [--short] [--only WORD]

Works on a copy; needs a compiler, CMake and Ninja. A mutant that survives is printed, and the exit code is 1; so is one
whose place is gone from the source. The mutants, and who is asked about each, stand in mutants.py.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
PROGRAMS = ("check", "threads", "memory")
GOLDEN = sorted((ROOT / "tests/golden/format1").glob("*.rnet"))
READER_TESTS = ("tests/native/test_file.py", "tests/hostile/test_limits.py", "tests/graph/test_file.py")
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


def build(copy: Path, *, configure: bool) -> bool:
    """Whether the copy builds."""
    if configure:
        kind = ("-DCMAKE_BUILD_TYPE=Release", "-DREACTNET_BUILD_TESTS=ON")
        if not run("cmake", "-S", ".", "-B", "build", "-G", "Ninja", *kind, cwd=copy):
            return False
    return run("cmake", "--build", "build", "--target", *PROGRAMS, "reactnet", cwd=copy)


def passes(test: str, copy: Path) -> bool:
    """Whether one of the tests that a mutant names passes on the copy's build."""
    library = copy / "build/libreactnet.so"
    if test == "table":
        return run(sys.executable, ROOT / "tests/conformance/table.py", "--library", library, cwd=ROOT)
    if test == "readers":
        program = (
            "import os, sys, pathlib, pytest; from reactnet.runtime import _native; "
            "loaded = _native.load([pathlib.Path(os.environ['MUTANT_LIBRARY'])]); _native.library = lambda: loaded; "
            f"sys.exit(pytest.main(['-x', '-q', '-p', 'no:cacheprovider', *{READER_TESTS!r}]))"
        )
        return run(sys.executable, "-c", program, cwd=ROOT, library=library)
    return run(copy / "build" / test, *([] if test == "check" else GOLDEN), cwd=copy)


def try_mutant(copy: Path, mutant: Mutant) -> str:
    """What became of it: who noticed, or SURVIVED, or why it could not be tried."""
    path = copy / mutant.file
    text = path.read_text("utf-8")
    if mutant.old not in text:
        return "STALE: the text to change is gone"
    path.write_text(text.replace(mutant.old, mutant.new, 1), "utf-8")
    try:
        if not build(copy, configure=False):
            return "COMPILER: it does not build"
        return next((test for test in mutant.by if not passes(test, copy)), "SURVIVED")
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
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT / "native", copy / "native")
        for name in ("CMakeLists.txt", "pyproject.toml"):
            shutil.copy(ROOT / name, copy / name)
        asked = {test for mutant in mutants for test in mutant.by}
        if not build(copy, configure=True) or not all(passes(test, copy) for test in asked):
            print("error: the unbroken code does not build or pass", file=sys.stderr)
            return 2
        bad = 0
        for mutant in mutants:
            result = try_mutant(copy, mutant)
            bad += result.split(":")[0] in ("SURVIVED", "STALE", "COMPILER")
            print(f"{mutant.what}: {result}", flush=True)
    print(f"{len(mutants)} mutants, {bad} not noticed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
