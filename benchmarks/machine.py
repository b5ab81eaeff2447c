"""What a result needs beside its numbers: machine, commit, date, command."""

import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def describe() -> dict[str, Any]:
    """Of this process, at this moment; `load` is the load average of the last minute."""
    return {
        "machine": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "command": shlex.join(["python", str(Path(sys.argv[0]).resolve().relative_to(ROOT)), *sys.argv[1:]]),
    }


def _processor() -> str:
    """As Linux names it, with family and model: virtual machines hide the rest."""
    words: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        words.setdefault(key.strip(), value.strip())
    return f"{words['model name']}, family {words['cpu family']}, model {words['model']}"


def _commit() -> str:
    """The commit, with a plus behind it where tracked files differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "native", "benchmarks/*.py")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
