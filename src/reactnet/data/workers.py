"""Threads that work ahead: decoding and resizing leave Python's lock to others, so threads are enough."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_order(function: Callable[[Job], Result], jobs: Iterable[Job], *, workers: int, ahead: int) -> Iterator[Result]:
    """`function` of each job, in the order of the jobs, whatever the number of workers; 0 works in the caller's thread.

    At most `ahead` results are finished or under way at a time, so memory is bounded. An exception is raised in the
    place of its result. When the iterator is closed, what has not begun is dropped and what has is waited for.
    """
    if workers == 0:
        yield from map(function, jobs)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="reactnet-data")
    waiting: deque[Future[Result]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(function, job))
            if len(waiting) >= max(ahead, workers):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def processors() -> int:
    """How many processors this process may use."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return 1 if found is None else found
