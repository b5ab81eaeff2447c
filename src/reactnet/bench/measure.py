"""Everything that `reactnet bench` says of one packed file, as one dictionary. Times are of one image."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from reactnet.bench.footprint import session_peak_rss
from reactnet.bench.networks import Task
from reactnet.bench.timing import WARM_UP_RUNS, Times, alternate, pinned
from reactnet.errors import ReactnetError
from reactnet.graph import cost, load
from reactnet.runtime import Session, popcount_peak

if TYPE_CHECKING:
    from reactnet.bench.peers import Peer

Pixels = npt.NDArray[np.uint8]

OURS = "reactnet"
MAX_BATCH = 4096
LOADS = 9
LEAST_TIMED_RUNS, MOST_TIMED_RUNS = 9, 501
PEAK_SECONDS = 0.15  # of each of the calls around the measurement, of which the largest counts


@dataclass(frozen=True)
class Measured:
    """`report` has the keys of `--json`; the times of ours and of each peer are for people."""

    report: dict[str, Any]
    times: Times
    peers: dict[str, Times]


def measure(
    file: Path,
    *,
    threads: int | None = None,
    batch: int = 1,
    seconds: float = 2.0,
    peers: Sequence[str] = (),
) -> Measured:
    """Time a packed file, whole and a layer at a time, and beside it the runtimes that `peers` names.

    `seconds` is the time given to each contender. The process is pinned to as many of its cores as it uses threads.
    Raises ReactnetError for a bad file, count or peer, and where a peer is not installed.
    """
    if not 1 <= batch <= MAX_BATCH:
        raise ReactnetError(f"reactnet bench: batch is {batch}", hint=f"give 1 to {MAX_BATCH} images")
    if not 0 < seconds <= 600:
        raise ReactnetError(f"reactnet bench: seconds is {seconds}", hint="give more than 0 and at most 600")
    with Session(file, threads) as session, ExitStack() as stack:
        used = int(session.plan["threads"])
        images = np.random.default_rng(0).integers(0, 256, (batch, *session.input_shape), dtype=np.uint8)
        stack.enter_context(pinned(used))
        rivals = _rivals(peers, used, Task(batch, *session.input_shape, session.num_classes), stack)
        peak = popcount_peak(PEAK_SECONDS)
        calls: dict[str, Callable[[], object]] = {OURS: lambda: session.run(images)}
        found = alternate(calls | {name: rival.run for name, rival in rivals.items()}, seconds)
        times = found.pop(OURS)
        peak = max(peak, popcount_peak(PEAK_SECONDS))
        steps = _step_times(session, images, times, seconds) / batch
        peak = max(peak, popcount_peak(PEAK_SECONDS))
        macs = _binary_macs(file)
        report = {
            **_totals(times, batch),
            "binary_macs": sum(macs.values()),
            "popcount_peak_gmacs": peak,
            "isa": session.plan["isa"],
            "threads": used,
            "batch": batch,
            "arena_bytes": session.sizes["arena_bytes"],
            "peak_rss_bytes": session_peak_rss(file, used, batch),
            "load_ms": _load_ms(file, used, images[:1]),
            "file_bytes": session.sizes["file_bytes"],
            "layers": _layers(session.plan, steps, macs, peak * used),
            "peers": [rival.about() | _totals(found[name], batch) for name, rival in rivals.items()],
        }
    return Measured(report, times, found)


def _rivals(peers: Sequence[str], threads: int, task: Task, stack: ExitStack) -> dict[str, "Peer"]:
    if not peers:
        return {}
    from reactnet.bench.peers import make_peers

    return {peer.name: peer for peer in make_peers(peers, threads, task, stack)}


def _totals(times: Times, batch: int) -> dict[str, float]:
    """Milliseconds an image."""
    return {
        "ms_median": times.median / batch,
        "ms_min": times.minimum / batch,
        "cpu_ms": times.cpu_median / batch,
    }


def _step_times(session: Session, images: Pixels, times: Times, seconds: float) -> npt.NDArray[np.float64]:
    """Milliseconds of each step for the whole batch, the median of many runs.

    What interrupts a run falls on another step each time, so these medians leave it out and their sum may lie below the
    median of whole runs.
    """
    repeats = max(LEAST_TIMED_RUNS, min(MOST_TIMED_RUNS, int(1e3 * seconds / times.median)))
    rows = session.step_times(images, WARM_UP_RUNS + repeats)[WARM_UP_RUNS:]
    return 1e3 * np.asarray(np.median(rows, axis=0), dtype=np.float64)


def _load_ms(file: Path, threads: int, image: Pixels) -> float:
    """Least time from a file in the page cache to the first answer; the least, as others' work only adds to it."""
    samples = []
    for _ in range(LOADS):
        start = time.perf_counter()
        with Session(file, threads) as session:
            session.run(image)
        samples.append(time.perf_counter() - start)
    return 1e3 * min(samples)


def _binary_macs(file: Path) -> dict[str, int]:
    """By node, multiply-accumulates of its binary convolution, padded taps included: the paper's count."""
    return {layer.name: layer.bops for layer in cost(load(file)).layers}


def _layers(
    plan: Mapping[str, Any], ms: npt.NDArray[np.float64], macs: Mapping[str, int], peak: float
) -> list[dict[str, Any]]:
    """A row a step, named after its first node. `gmacs`: binary 1e9 MACs a second; None where the step has none."""
    rows = []
    for step, took in zip(plan["steps"], ms, strict=True):
        count = sum(macs[node] for node in step["nodes"])
        gmacs = count / float(took) * 1e-6 if count and took > 0 else None
        rows.append(
            {
                "name": step["nodes"][0],
                "op": step["op"],
                "kernel": step["kernel"],
                "ms": float(took),
                "gmacs": gmacs,
                "share_of_peak": None if gmacs is None else gmacs / peak,
            }
        )
    return rows
