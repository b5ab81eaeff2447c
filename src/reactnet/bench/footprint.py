"""Peak memory of a fresh process that does one thing."""

import subprocess
import sys
from pathlib import Path

from reactnet.errors import ReactnetError

# What a user's program would do: no more is imported than that.
_OURS = """
import sys
import numpy as np
from reactnet import Session
session = Session(sys.argv[1], int(sys.argv[2]))
session.run(np.zeros((int(sys.argv[3]), *session.input_shape), np.uint8))
"""

# Linux hands a parent's peak down to its child's ru_maxrss at exec; VmHWM belongs to the new program alone.
_REPORT = """
import os
if os.path.exists("/proc/self/status"):
    with open("/proc/self/status") as status:
        print([line for line in status if line.startswith("VmHWM")][0].split()[1])
else:
    import resource
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1))
"""


def peak_rss_of(program: str, *arguments: str) -> int:
    """Bytes of memory that a fresh Python process held at its peak, having run `program` with `arguments`."""
    command = [sys.executable, "-c", program + _REPORT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ReactnetError(
            f"reactnet bench: the process that measures memory failed: {last}",
            hint="see that the machine has memory left; run the same program by hand",
        )
    return 1024 * int(done.stdout.split()[-1])


def session_peak_rss(file: Path, threads: int, batch: int) -> int:
    """Bytes at the peak of a process that loads a packed file and runs one batch."""
    return peak_rss_of(_OURS, str(file), str(threads), str(batch))
