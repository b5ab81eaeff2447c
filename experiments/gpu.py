"""CIFAR-10 on a GPU in stages, each cut to the minutes there are, each going on where it was stopped.

    python experiments/gpu.py STAGE --data DIR --out runs [--device cuda] [--minutes 9] [--workers 12]

Stages, in this order: `teacher` (real ResNet-18), `best` (ReActNet-18, two phases), `ladder` (every arm, three seeds,
on ReActNet-20), `neighbours` (ReActNet-18 and what it is measured against, at a tenth of the epochs).
Run again what says "to go on"; exit code 0 is done, 3 is cut short. Run from the repository's root: the recipes find
the teacher under runs/. `--dry` prints the commands.

Recipes ask for bfloat16, channels_last and torch.compile; images are augmented in NumPy by `--workers` threads, ahead
of the steps. They are not kept on the device: measure images a second against `--workers 0` first.
"""

import argparse
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CUT_SHORT = 3
GRACE = 45.0  # seconds that a run may take to save its state after it was asked to stop
STAGES = ("teacher", "best", "ladder", "neighbours")


def main() -> int:
    """The commands of a stage, one after another, until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--dry", action="store_true")
    given = parser.parse_args()
    end = time.monotonic() + 60 * given.minutes
    listed = commands(given.stage, given.data, given.out, given.device, given.workers, given.minutes)
    if given.dry:
        print("\n".join(shlex.join(command) for command in listed))
        return 0
    for command in listed:
        code = run_until(command, end)
        if code is None:
            print(f"{given.stage}: cut short; to go on, give the same command again")
            return CUT_SHORT
        if code != 0:
            return code
    return 0


def commands(stage: str, data: Path, out: Path, device: str, workers: int, minutes: float) -> list[list[str]]:
    """What a stage runs. A run folder that is finished is left as it is, so a stage may be given again."""
    if stage in ("ladder", "neighbours"):
        script = str(ROOT / "experiments" / f"{stage}.py")
        where = ["--data", str(data), "--out", str(out / stage), "--budget", "gpu", "--device", device]
        return [[sys.executable, script, *where, "--workers", str(workers), "--minutes", f"{minutes:g}"]]

    recipe = {"teacher": "resnet18_cifar10", "best": "reactnet18_cifar10"}[stage]
    where = ["--data", str(data), "--out", str(out / recipe), "--device", device, "--workers", str(workers)]
    return [[sys.executable, "-m", "reactnet.cli.main", "train", f"recipes/{recipe}.toml", *where]]


def run_until(command: list[str], end: float) -> int | None:
    """The command's exit code, or None if it was asked to stop at the time `end` (of time.monotonic)."""
    if time.monotonic() >= end:
        return None
    with subprocess.Popen(command) as process:
        try:
            return process.wait(timeout=end - time.monotonic())
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)  # `reactnet train` saves its state between two steps
        try:
            process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
    return None


if __name__ == "__main__":
    sys.exit(main())
