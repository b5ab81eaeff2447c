"""Stopping on request: a signal sets a flag, the loop sees it where its state is whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop, by SIGTERM or Ctrl-C, and has saved its state: the same command goes on from there."""


class Stop:
    """`requested` becomes true with the first signal."""

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def stop_on_signals(*, patient: bool = False) -> Iterator[Stop]:
    """Let SIGTERM and SIGINT request a stop; a second one acts as before, so that a hung run can still be ended.

    A `patient` one takes no notice of further signals: torchrun sends its processes a second one at once, in the middle
    of saving, and kills them if they take too long.

    Signals are handled by the main thread only: in any other, nothing is changed and the stop is never requested.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def request(number: int, frame: FrameType | None) -> None:
        stop.requested = True
        if not patient:
            signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
