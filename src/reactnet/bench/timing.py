"""Time calls fairly on a machine that others use too: alternating, wall and process CPU time, many short runs."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

MIN_RUNS = 5
CPU_SECONDS = 0.02  # that CPU time is taken over: several ticks of a system, at which it books other threads' time
WARM_UP_RUNS = 2


@dataclass(frozen=True)
class Times:
    """Milliseconds of a run: wall time of each, and CPU time, that of all threads of the process, as the mean of each
    CPU_SECONDS of runs: of shorter ones a single run's says nothing."""

    wall: npt.NDArray[np.float64]
    cpu: npt.NDArray[np.float64]

    @property
    def median(self) -> float:
        """Of the wall times."""
        return float(np.median(self.wall))

    @property
    def minimum(self) -> float:
        """Of the wall times."""
        return float(np.min(self.wall))

    @property
    def cpu_median(self) -> float:
        """Of those means: on a shared machine it says more than the median of the wall times."""
        return float(np.median(self.cpu))

    @property
    def spread(self) -> tuple[float, float]:
        """The tenth and ninetieth percentile of the wall times."""
        low, high = np.percentile(self.wall, (10, 90))
        return float(low), float(high)


def alternate(calls: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, Times]:
    """Time each call for about `seconds`, and at least MIN_RUNS times, in rounds of short slices that take turns.

    Within a slice a call runs back to back, as it would in use, and its first run after the others is not counted.
    """
    for call in calls.values():
        for _ in range(WARM_UP_RUNS):
            call()
    wall: dict[str, list[float]] = {name: [] for name in calls}
    cpu: dict[str, list[float]] = {name: [] for name in calls}
    slices = 8
    for _ in range(slices):
        for name, call in calls.items():
            if len(calls) > 1:
                call()  # its caches are cold: the others have been here
            runs, means = _slice(call, seconds / slices, 1 + (MIN_RUNS - 1) // slices)
            wall[name] += runs
            cpu[name] += means
    return {name: Times(1e3 * np.array(wall[name]), 1e3 * np.array(cpu[name])) for name in calls}


def _slice(call: Callable[[], object], seconds: float, least: int) -> tuple[list[float], list[float]]:
    """Wall seconds of each run, and CPU seconds of one, a mean of those that came together."""
    wall: list[float] = []
    cpu: list[float] = []
    end = time.perf_counter() + seconds
    while len(wall) < least or time.perf_counter() < end:
        spent, begin, before = time.process_time(), time.perf_counter(), len(wall)
        while len(wall) == before or time.perf_counter() < min(begin + CPU_SECONDS, end):
            run = time.perf_counter()
            call()
            wall.append(time.perf_counter() - run)
        cpu.append((time.process_time() - spent) / (len(wall) - before))
    return wall, cpu


@contextmanager
def pinned(count: int) -> Iterator[None]:
    """Keep the process, and the threads it makes inside, on the `count` idlest of its cores.

    Where the system cannot pin, or has fewer cores, nothing is pinned.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    if count < len(before):
        os.sched_setaffinity(0, _idlest(before, count))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _idlest(cores: set[int], count: int) -> set[int]:
    """By the jiffies that each spent idle in a twentieth of a second; the lowest numbers where that is not known."""
    before = _idle_jiffies()
    time.sleep(0.05)
    after = _idle_jiffies()
    return set(sorted(cores, key=lambda core: (before.get(core, 0) - after.get(core, 0), core))[:count])


def _idle_jiffies() -> dict[int, int]:
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return {}
    fields = [line.split() for line in lines if line.startswith("cpu") and line[3:4].isdigit()]
    return {int(words[0][3:]): int(words[4]) for words in fields}
