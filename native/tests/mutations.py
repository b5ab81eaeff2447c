"""Break the native code on purpose, one place at a time, and see that a test notices each: a check of the checks.

    python native/tests/mutations.py [--only WORD]

Works on a copy; needs a compiler, CMake and Ninja. A mutant that survives is printed, and the exit code is 1. Mutants
are looked for by the kernel check (every kernel against scalar.cc) and by the conformance table (every op against the
NumPy reference).
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutant:
    """In `file`, `old`, which stands there once or more, becomes `new` at its first place."""

    what: str
    file: str
    old: str
    new: str


KERNELS = "native/kernels"
MUTANTS = (
    Mutant("sign: > for >=", f"{KERNELS}/sign/scalar.cc", ">= 0.0f", "> 0.0f"),
    Mutant("sign: the shift left out", f"{KERNELS}/sign/scalar.cc", "in[c] + shift[c]", "in[c]"),
    Mutant(
        "bconv2d scalar: the next sign > for >=",
        f"{KERNELS}/bconv2d/scalar.cc",
        "args.next_shift[o] >= 0.0f",
        "args.next_shift[o] > 0.0f",
    ),
    Mutant(
        "bconv2d scalar: the slope where y is 0", f"{KERNELS}/bconv2d/scalar.cc", "y = y >= 0.0f ?", "y = y > 0.0f ?"
    ),
    Mutant(
        "bconv2d AVX2: the border not taken away",
        f"{KERNELS}/bconv2d/x86_avx2.cc",
        "iw >= 0 && iw < w.width",
        "iw >= 0 && iw <= w.width",
    ),
    Mutant(
        "bconv2d AVX2: signs > for >=",
        f"{KERNELS}/bconv2d/x86_avx2_epilogue.h",
        "next), zero, _CMP_GE_OQ",
        "next), zero, _CMP_GT_OQ",
    ),
    Mutant(
        "windows: a tap too many at the end",
        f"{KERNELS}/window.h",
        "size - first < kernel ?",
        "size - first + 1 < kernel ?",
    ),
    Mutant(
        "windows: the first tap outside", f"{KERNELS}/window.h", "first < 0 ? -first : 0", "first < 0 ? -first - 1 : 0"
    ),
    Mutant(
        "channels: swapped by one",
        f"{KERNELS}/channels/scalar.cc",
        "args.in + p * args.in_stride",
        "args.in + (p ^ 1) % end * args.in_stride",
    ),
    Mutant(
        "quantize: a half away from even", f"{KERNELS}/quantize/scalar.cc", "(t + big) - big", "(t + 0.25f + big) - big"
    ),
    Mutant("quantize: 128 steps", f"{KERNELS}/quantize/scalar.cc", "127.0f / args.max", "128.0f / args.max"),
    Mutant(
        "relu: of -0", f"{KERNELS}/elementwise/scalar.cc", "select(x < 0.0f, 0.0f, x)", "select(x <= 0.0f, 0.0f, x)"
    ),
    Mutant(
        "clip: the bounds in the other order",
        f"{KERNELS}/elementwise/scalar.cc",
        "select(x < lo, lo, x)",
        "select(x < hi, lo, x)",
    ),
    Mutant("max_pool: the smallest", f"{KERNELS}/pool/scalar.cc", "x[c] > out[c]", "x[c] < out[c]"),
    Mutant(
        "plan: a value's memory given away too early",
        "native/src/plan.cc",
        "last[input] = i;",
        "last[input] = i > 0 ? i - 1 : 0;",
    ),
    Mutant(
        "fuse: a value that others read is not written",
        "native/src/fuse.cc",
        "readers_[step.value].size() == 1 && step.value != graph_.output",
        "!readers_[step.value].empty() && step.value != graph_.output",
    ),
)


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command, quietly."""
    return subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False)


def build(copy: Path, *, configure: bool) -> bool:
    """Whether the copy builds."""
    if configure:
        kind = ("-DCMAKE_BUILD_TYPE=Release", "-DREACTNET_BUILD_TESTS=ON")
        if run("cmake", "-S", ".", "-B", "build", "-G", "Ninja", *kind, cwd=copy).returncode != 0:
            return False
    return run("cmake", "--build", "build", "--target", "check", "reactnet", cwd=copy).returncode == 0


def noticed_by(copy: Path) -> str | None:
    """The test that fails on the copy's build, or None."""
    if run(copy / "build/check", cwd=copy).returncode != 0:
        return "check"
    table = ROOT / "tests/conformance/table.py"
    if run(sys.executable, table, "--library", copy / "build/libreactnet.so", cwd=ROOT).returncode != 0:
        return "conformance"
    return None


def try_mutant(copy: Path, mutant: Mutant) -> str:
    """What became of it: who noticed, or SURVIVED, or why it could not be tried."""
    path = copy / mutant.file
    text = path.read_text("utf-8")
    if mutant.old not in text:
        return "STALE: the text to change is gone"
    path.write_text(text.replace(mutant.old, mutant.new, 1), "utf-8")
    try:
        return (noticed_by(copy) or "SURVIVED") if build(copy, configure=False) else "compiler"
    finally:
        path.write_text(text, "utf-8")


def main() -> int:
    """Try them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only mutants with this word")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT / "native", copy / "native")
        for name in ("CMakeLists.txt", "pyproject.toml"):
            shutil.copy(ROOT / name, copy / name)
        if not build(copy, configure=True) or noticed_by(copy) is not None:
            print("error: the unbroken code does not build or pass", file=sys.stderr)
            return 2
        bad = 0
        for mutant in MUTANTS:
            if options.only in mutant.what:
                result = try_mutant(copy, mutant)
                bad += result.startswith(("SURVIVED", "STALE", "compiler"))
                print(f"{mutant.what}: {result}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
