"""Timing: turns, units, and a process left as it was found."""

import hashlib
import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from reactnet.bench.footprint import peak_rss_of
from reactnet.bench.timing import MIN_RUNS, Times, alternate, pinned
from reactnet.errors import ReactnetError


def test_calls_take_turns_and_each_is_timed() -> None:
    order: list[str] = []
    found = alternate({name: lambda name=name: order.append(name) for name in "ab"}, 1e-3)  # type: ignore[misc]

    assert {len(times.wall) >= MIN_RUNS for times in found.values()} == {True}
    turns = sum(first != second for first, second in itertools.pairwise(order))
    assert turns >= 2 * MIN_RUNS


def test_waiting_is_wall_time_and_no_cpu_time() -> None:
    times = alternate({"sleep": lambda: time.sleep(0.01)}, 1e-3)["sleep"]
    assert 10 <= times.minimum <= times.median
    assert times.cpu_median < 5


def test_cpu_time_holds_that_of_a_thread_that_goes_on_between_ticks() -> None:
    block = bytes(1 << 23)
    stop = Event()

    def work() -> float:
        begin = time.thread_time()
        while not stop.is_set():
            hashlib.sha256(block).digest()  # without the interpreter's lock
        return time.thread_time() - begin

    with ThreadPoolExecutor(1) as other:
        begin = time.perf_counter()
        worked = other.submit(work)
        times = alternate({"short": lambda: time.sleep(2e-4)}, 1.0)["short"]
        stop.set()
        share = worked.result() / (time.perf_counter() - begin)  # of a core
    assert times.cpu_median > 0.5 * share * times.median


def test_spread_holds_eight_runs_of_ten() -> None:
    times = Times(np.arange(101.0), np.arange(101.0))
    assert times.spread == (10, 90)
    assert (times.minimum, times.median) == (0, 50)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin")
@pytest.mark.parametrize("count", [1, 10_000])
def test_pinning_is_undone(count: int) -> None:
    before = os.sched_getaffinity(0)
    with pinned(count):
        assert len(os.sched_getaffinity(0)) == min(count, len(before))
        assert os.sched_getaffinity(0) <= before
    assert os.sched_getaffinity(0) == before


def test_peak_memory_is_of_the_program_alone_and_counts_what_it_held() -> None:
    ballast = bytearray(200 << 20)  # of this process: the child's must not include it
    ballast[:: 1 << 12] = b"1" * len(ballast[:: 1 << 12])
    nothing = peak_rss_of("import sys")
    held = peak_rss_of(
        "import sys; data = bytearray(int(sys.argv[1])); data[::4096] = b'1' * len(data[::4096])", "64000000"
    )
    assert nothing < len(ballast) / 4
    assert 60e6 < held - nothing < 90e6


def test_a_program_that_fails_says_why() -> None:
    with pytest.raises(ReactnetError, match="ZeroDivisionError"):
        peak_rss_of("1 / 0")
