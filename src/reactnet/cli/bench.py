"""`reactnet bench`: how fast a packed file runs here, where the time goes, and what its rivals take."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from reactnet.cli.screen import Json, percent, print_json, print_pairs, print_table, size
from reactnet.errors import ReactnetError

if TYPE_CHECKING:
    from reactnet.bench.measure import Measured

BUSY = 0.95  # CPU time over wall time below which a word is said
RUNTIMES = ("onnxruntime", "openvino", "torch")


def bench(
    file: Annotated[Path, Parameter(help="A packed file, .rnet.")],
    /,
    *,
    threads: Annotated[int | None, Parameter(help="Threads to run on; REACTNET_THREADS, else 1.")] = None,
    batch: Annotated[int, Parameter(help="Images in a run; every time printed is of one image.")] = 1,
    against: Annotated[
        str,
        Parameter(help=f"Runtimes to time beside it, in turns, on models chosen instead: {','.join(RUNTIMES)}."),
    ] = "",
    seconds: Annotated[float, Parameter(help="Time to spend on each contender.")] = 2.0,
    json: Json = False,
) -> None:
    """Time a packed file: whole, a layer at a time, beside the popcount peak of this core, and against its rivals."""
    from reactnet.bench.measure import measure

    found = measure(file, threads=threads, batch=batch, seconds=seconds, peers=_runtimes(against))
    if json:
        print_json(found.report)
    else:
        _print(str(file), found)


def _runtimes(against: str) -> tuple[str, ...]:
    """The runtimes of a list with commas, each once."""
    names = tuple(dict.fromkeys(word.strip() for word in against.split(","))) if against else ()
    for name in names:
        if name not in RUNTIMES:
            raise ReactnetError(f"reactnet bench: --against names {name!r}", hint=f"choose from: {', '.join(RUNTIMES)}")
    return names


def _print(file: str, found: "Measured") -> None:
    report = found.report
    peak, macs, best = report["popcount_peak_gmacs"], report["binary_macs"], report["ms_min"]
    above = "none: no binary layers"
    if macs:
        floor = macs / peak / report["threads"] * 1e-6
        above = f"{_ms(floor)}: the fastest run takes {best / floor:.2f} times that"
    low, high = (time / report["batch"] for time in found.times.spread)
    print_pairs(
        [
            ("file", f"{file}, {size(report['file_bytes'])}"),
            ("runs on", f"{report['isa']}, threads {report['threads']}, batch {report['batch']}"),
            ("an image", f"{_ms(report['ms_median'])} median, {_ms(best)} minimum"),
            ("spread", f"{_ms(low)} to {_ms(high)} for eight runs of ten"),
            ("CPU time", f"{_ms(report['cpu_ms'])} an image, all threads"),
            ("binary work", f"{macs * 1e-9:.3f} GMAC, padded taps included: {macs / best * 1e-6:.0f} GMAC/s at best"),
            ("popcount peak", f"{peak:.0f} GMAC/s a core, by plain popcounts, in this run, whatever ISA is forced"),
            ("floor", above),
            ("load", f"{_ms(report['load_ms'])} from file to first answer, the least of several"),
            ("memory", f"{size(report['arena_bytes'])} a context"),
            ("peak RSS", f"{size(report['peak_rss_bytes'])}, of a fresh Python process that loads and runs it"),
        ]
    )
    share = report["cpu_ms"] / report["ms_median"]
    if report["threads"] == 1 and share < BUSY:
        print(
            f"\nOthers use this machine: half of the runs had less than {percent(share)} of their core. "
            "Trust the minimum and the CPU time."
        )
    print()
    _print_layers(report)
    if report["peers"]:
        print()
        _print_peers(report)


def _print_layers(report: dict[str, Any]) -> None:
    rows = [
        (layer["name"], layer["op"], layer["kernel"], f"{layer['ms']:.4f}",
         "" if layer["gmacs"] is None else f"{layer['gmacs']:.0f}",
         "" if layer["share_of_peak"] is None else percent(layer["share_of_peak"]))
        for layer in report["layers"]
    ]  # fmt: skip
    total = sum(layer["ms"] for layer in report["layers"])
    rows.append(("sum", "", "", f"{total:.4f}", f"{report['binary_macs'] / total * 1e-6:.0f}", ""))
    print_table(("first node of the step", "op", "kernel", "ms", "GMAC/s", "of the peak"), rows, left=3)


def _print_peers(report: dict[str, Any]) -> None:
    """The rivals, slowest first, and a plain word on those that win."""
    peers = sorted(report["peers"], key=lambda peer: -float(peer["cpu_ms"]))
    ours = ("this file", "binary", *(_ms(report[key]) for key in ("ms_median", "ms_min", "cpu_ms")), "1.00",
            size(report["file_bytes"]), size(report["peak_rss_bytes"]))  # fmt: skip
    rows = [
        (f"{peer['model']}, {peer['runtime']} {peer['version']}", peer["precision"],
         *(_ms(peer[key]) for key in ("ms_median", "ms_min", "cpu_ms")), f"{peer['cpu_ms'] / report['cpu_ms']:.2f}",
         size(peer["file_bytes"]), size(peer["peak_rss_bytes"]))
        for peer in peers
    ]  # fmt: skip
    header = ("model, runtime", "numbers", "median", "minimum", "CPU", "CPU / ours", "file", "peak RSS")
    print_table(header, [*rows, ours], left=2)
    print(f"\n{verdict(report)}")
    print(
        "The rivals take images of the same size and know as many classes. They have random weights and random "
        "calibration: these are times, and say nothing of accuracy."
    )


def verdict(report: dict[str, Any]) -> str:
    """Who wins, by CPU time, in plain words."""
    faster = [
        f"{peer['model']} {peer['precision']} in {peer['runtime']}"
        for peer in report["peers"]
        if peer["cpu_ms"] < report["cpu_ms"]
    ]
    who = "Binary" if report["binary_macs"] else "This file"
    if faster:
        return f"{who} loses here to {', '.join(faster)}: less CPU time an image."
    return f"{who} is the fastest here, by CPU time an image."


def _ms(time: float) -> str:
    return f"{time:.3f} ms" if time < 10 else f"{time:.1f} ms"
