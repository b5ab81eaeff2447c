"""Tables and plots from what benchmarks/results holds: README.md, docs/bench.md, docs/bench_MACHINE.svg.

    python benchmarks/report.py [--check]

Between `<!-- report: NAME MACHINE -->` and `<!-- end -->` a page holds what this script writes. `--check` writes
nothing, and exits 1 if something is out of date.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
MACHINES = {"zen5": "Zen 5, AVX-512", "zen3": "Zen 3, AVX2"}
NAMES = {
    "reactnet_a": "ReActNet-A",
    "reactnet18": "ReActNet-18",
    "mobilenet_v1": "MobileNetV1",
    "mobilenet_v2": "MobileNetV2",
    "resnet18": "ResNet-18",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "torch": "PyTorch",
}
MEGA = 1e-6


def measured(on: str, case: str) -> bool:
    """Whether there is a result: some take a quiet machine long, and a machine without AVX-512 has one case less."""
    return (RESULTS / f"{on}_{case}.json").exists()


def found(on: str, case: str) -> dict[str, Any]:
    """What was measured for a case on a machine."""
    result: dict[str, Any] = json.loads((RESULTS / f"{on}_{case}.json").read_text())
    return result


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table; all columns but the first to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def origin(on: str, case: str) -> str:
    """Where the numbers come from, in one sentence."""
    at = found(on, case)
    cores = f"{at['cores']} core{'s' * (at['cores'] > 1)} shared with other work"
    return (
        f"Measured {at['date']} on {at['machine']} ({cores}, load {at['load']}), "
        f"commit {at['commit']}: `{at['command']}`."
    )


def contenders(on: str) -> list[dict[str, Any]]:
    """Both of our files and every rival, the slowest first; a rival stands in two runs, of which the first counts."""
    rows = []
    for case in ("reactnet_a_integer", "reactnet18_integer"):
        report = found(on, case)["report"]
        model, ends = case.rsplit("_", 1)
        rows.append({**report, "label": f"**{NAMES[model]}**, binary, {ends} ends", "ours": True})
    for peer in found(on, "reactnet_a_integer")["report"]["peers"]:
        label = f"{NAMES[peer['model']]}, {peer['precision']}, {NAMES[peer['runtime']]} {peer['version']}"
        rows.append({**peer, "label": label, "ours": False})
    return sorted(rows, key=lambda row: -row["cpu_ms"])


def best(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours, and of each other network the fastest with int8 and the fastest with floats."""
    kept: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:  # the slowest first
        kept["" if row["ours"] else row["model"], row["label"] if row["ours"] else row["precision"]] = row
    return sorted(kept.values(), key=lambda row: -row["cpu_ms"])


def losses(on: str, case: str) -> str:
    """Who took less CPU time than ours, in ours' own run."""
    report = found(on, case)["report"]
    faster = {f"{NAMES[p['model']]} {p['precision']}" for p in report["peers"] if p["cpu_ms"] < report["cpu_ms"]}
    words = f"loses to {', '.join(sorted(faster))}" if faster else "is faster than all of them"
    return f"{NAMES[case.rsplit('_', 1)[0]]} {words}"


def fastest(on: str) -> str:
    """The README's: ours and the best of each."""
    ends = ". ".join(losses(on, case) for case in ("reactnet_a_integer", "reactnet18_integer"))
    return f"{table(on, best(contenders(on)))}\n\nBy CPU time {ends}."


def rivals(on: str) -> str:
    """Everyone on one core."""
    return table(on, contenders(on))


def table(on: str, contenders: list[dict[str, Any]]) -> str:
    """Times and memory, and where they come from."""
    rows = [
        [row["label"], *(f"{row[key]:.1f}" for key in ("cpu_ms", "ms_min", "ms_median")),
         *(f"{row[key] * MEGA:.1f}" for key in ("file_bytes", "peak_rss_bytes"))]
        for row in contenders
    ]  # fmt: skip
    header = ["one 224x224 image, one core", "CPU ms", "least ms", "median ms", "file MB", "peak RSS MB"]
    own = "ReActNet-18's row is of a run of its own, beside the same rivals."
    return f"{markdown(header, rows)}\n\n{origin(on, 'reactnet_a_integer')} {own}"


def ours(on: str) -> str:
    """Our files against the floor."""
    cases = {
        "reactnet_a_integer": "ReActNet-A, integer ends",
        "reactnet_a_float": "ReActNet-A, float ends",
        "reactnet18_integer": "ReActNet-18, integer ends",
        "reactnet18_float": "ReActNet-18, float ends",
        "reactnet_a_integer_avx2": "ReActNet-A, integer ends, `REACTNET_ISA=avx2`",
        "reactnet_a_integer_2_threads": "ReActNet-A, integer ends, 2 threads",
        "reactnet_a_integer_batch_8": "ReActNet-A, integer ends, batches of 8",
    }
    rows = []
    for case, label in cases.items():
        if not measured(on, case):
            continue
        report = found(on, case)["report"]
        floor = report["binary_macs"] / report["popcount_peak_gmacs"] / report["threads"] * 1e-6
        rows.append(
            [label, *(f"{value:.2f}" for value in (report["ms_min"], report["cpu_ms"], floor)),
             *(f"{value / floor:.2f}" for value in (report["ms_min"], report["cpu_ms"] / report["threads"])),
             f"{report['load_ms']:.1f}",
             *(f"{report[key] * MEGA:.2f}" for key in ("arena_bytes", "file_bytes", "peak_rss_bytes"))]
        )  # fmt: skip
    header = ["an image", "least ms", "CPU ms", "floor ms", "least / floor", "CPU a thread / floor", "load ms",
              "arena MB", "file MB", "peak RSS MB"]  # fmt: skip
    at = found(on, "reactnet_a_integer")
    isa, peak = at["report"]["isa"], at["report"]["popcount_peak_gmacs"]
    source = origin(on, "reactnet_a_integer")
    return f"{markdown(header, rows)}\n\nISA {isa}, popcount peak {peak:.0f} GMAC/s a core. {source}"


def layers(on: str) -> str:
    """The convolution alone against OpenVINO's."""
    at = found(on, "bconv_against_openvino")
    rows = [
        [row["shape"], *(f"{row[key]:.0f}" for key in ("ours_us", "openvino_us", "ours_gmacs", "openvino_gmacs")),
         f"{row['times_faster']:.2f}"]
        for row in at["rows"]
    ]  # fmt: skip
    header = ["kernel, channels @side", "ours us", "OpenVINO us", "ours GMAC/s", "OpenVINO GMAC/s", "times as fast"]
    kernel, peak = at["rows"][0]["openvino_kernel"], at["popcount_peak_gmacs"]
    ends = f"Popcount peak {peak:.0f} GMAC/s; OpenVINO's kernel: `{kernel}`. {origin(on, 'bconv_against_openvino')}"
    return f"{markdown(header, rows)}\n\n{ends}"


def of_floor(on: str, case: str) -> str:
    """A case as a multiple of its floor: by CPU time, and by the fastest run."""
    if not measured(on, case):
        return "not measured"
    report = found(on, case)["report"]
    floor = report["binary_macs"] / report["popcount_peak_gmacs"] / report["threads"] * 1e-6
    return f"{report['cpu_ms'] / floor:.2f}, {report['ms_min'] / floor:.2f}"


def against(on: str, case: str, model: str, precision: str, *, ours_over_theirs: bool = False) -> str:
    """How a case stands to the best rival of a kind in its own run: by CPU time, and by the fastest runs."""
    report = found(on, case)["report"]
    peers = [peer for peer in report["peers"] if (peer["model"], peer["precision"]) == (model, precision)]
    ratios = [min(peer[key] for peer in peers) / report[key] for key in ("cpu_ms", "ms_min")]
    return ", ".join(f"{1 / ratio if ours_over_theirs else ratio:.2f}" for ratio in ratios)


def reached(on: str) -> list[str]:
    """What a machine gives, a target a line."""
    a, rows = found(on, "reactnet_a_integer")["report"], found(on, "bconv_against_openvino")["rows"]
    faster = [sum(row["times_faster"] > limit for row in rows) for limit in (1, 1.3)]
    program = "not measured"
    if measured(on, "program"):
        program = f"{found(on, 'program')['report']['peak_rss_bytes'] * MEGA:.1f}"
    return [
        of_floor(on, "reactnet_a_float"),
        of_floor(on, "reactnet_a_integer"),
        of_floor(on, "reactnet18_integer"),
        of_floor(on, "reactnet_a_integer_avx2") if a["isa"] != "avx2" else "-",
        f"{a['load_ms']:.1f}",
        f"{a['arena_bytes'] * MEGA:.2f}",
        f"{a['file_bytes'] * MEGA:.2f}",
        f"{faster[0]}; {faster[1]}",
        against(on, "reactnet18_integer", "resnet18", "int8"),
        against(on, "reactnet18_integer", "resnet18", "float"),
        against(on, "reactnet_a_integer", "mobilenet_v1", "int8", ours_over_theirs=True),
        f"{a['peak_rss_bytes'] * MEGA:.1f}",
        program,
    ]


TARGETS = [  # pass, aim
    ("ReActNet-A, float ends, of the floor", "1.15", "0.95"),
    ("ReActNet-A, integer ends, of the floor", "1.08", "0.88"),
    ("ReActNet-18, integer ends, of the floor", "1.75", "1.40"),
    ("ReActNet-A, integer ends, AVX2 forced, of the same floor", "1.85", "1.65"),
    ("load of ReActNet-A to the first answer, ms", "40", "20"),
    ("arena of ReActNet-A, MB", "8", "5"),
    ("ReActNet-A packed, MB", "5.2", "4.85"),
    ("11 layers against OpenVINO: faster; by 1.3", "11", "; 8"),
    ("ReActNet-18: times as fast as the best int8 ResNet-18", "4", "4.8"),
    ("ReActNet-18: times as fast as the best float ResNet-18", "13", "16"),
    ("ReActNet-A: its time over the best int8 MobileNetV1's", "1.15", "1"),
    ("peak RSS from Python, MB", "60", "45"),
    ("peak RSS of `reactnet-run`, MB", "", "20"),
]


def targets() -> str:
    """What was set out to reach, and what each machine gives."""
    columns = [reached(on) for on in MACHINES]
    rows = [[*target, *given] for target, *given in zip(TARGETS, *columns, strict=True)]
    header = ["target", "pass", "aim", *MACHINES.values()]
    return f"{markdown(header, rows)}\n\nOf the floor, and against rivals: by CPU time, then by the fastest runs."


STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .small { font-size: 11px; fill: #57606a; }
  .rival { fill: #8c959f; } .int8 { fill: #57606a; } .ours { fill: #1a7f37; } .bold { font-weight: 600; }
  .grid { stroke: #d0d7de; stroke-width: 1; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .small { fill: #9198a1; }
    .rival { fill: #6e7681; } .int8 { fill: #b1bac4; } .ours { fill: #3fb950; } .grid { stroke: #30363d; }
  }"""
LEFT, WIDTH, ROW, TOP = 330, 430, 22, 52


def svg(on: str) -> str:
    """CPU time of each contender as a bar."""
    at, rows = found(on, "reactnet_a_integer"), contenders(on)
    longest = max(row["cpu_ms"] for row in rows)
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200) if longest / step <= 6)
    scale = WIDTH / longest
    height = TOP + ROW * len(rows) + 44
    bottom = TOP + ROW * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 60}" height="{height}" role="img" '
        f'viewBox="0 0 {LEFT + WIDTH + 60} {height}">',
        f"<title>CPU time of an image by network and runtime</title><style>{STYLE}\n</style>",
        '<text class="bold" x="8" y="20">CPU time of one 224x224 image on one core, ms (shorter is better)</text>',
        f'<text class="small" x="8" y="38">{at["machine"]}, {at["report"]["isa"]}; fresh weights, times only</text>',
    ]
    for tick in range(0, int(longest) + 1, step):
        x = LEFT + tick * scale
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{bottom}"/>')
        parts.append(f'<text class="small" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick}</text>')
    for index, row in enumerate(rows):
        y = TOP + index * ROW
        kind = "ours" if row["ours"] else "int8" if row["precision"] == "int8" else "rival"
        label, bold = row["label"].replace("**", ""), ' class="bold"' if row["ours"] else ""
        end = row["cpu_ms"] * scale
        parts.append(f'<text{bold} x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{label}</text>')
        parts.append(f'<rect class="{kind}" x="{LEFT}" y="{y + 2}" width="{end:.1f}" height="{ROW - 6}" rx="2"/>')
        parts.append(f'<text class="small" x="{LEFT + end + 6:.1f}" y="{y + 14}">{row["cpu_ms"]:.1f}</text>')
    for index, (kind, word) in enumerate((("ours", "binary"), ("int8", "int8"), ("rival", "float"))):
        x = LEFT + 70 * index
        parts.append(f'<rect class="{kind}" x="{x}" y="{height - 17}" width="10" height="10" rx="2"/>')
        parts.append(f'<text class="small" x="{x + 15}" y="{height - 8}">{word}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def filled(page: str) -> str:
    """A page with what this script writes between its marks."""
    blocks: dict[str, Callable[..., str]] = {
        "fastest": fastest,
        "rivals": rivals,
        "ours": ours,
        "layers": layers,
        "targets": targets,
    }

    def fill(mark: re.Match[str]) -> str:
        name, *machine = mark[2].split()
        return f"{mark[1]}\n\n{blocks[name](*machine)}\n\n<!-- end -->"

    return re.sub(r"(<!-- report: ([\w ]+) -->)\n.*?<!-- end -->", fill, page, flags=re.DOTALL)


def main() -> int:
    parser = argparse.ArgumentParser(description="Tables and the plot from benchmarks/results.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if something is out of date")
    check = parser.parse_args().check
    pages = {path: filled(path.read_text()) for path in (ROOT / "README.md", ROOT / "docs" / "bench.md")}
    pages |= {ROOT / "docs" / f"bench_{on}.svg": svg(on) for on in MACHINES}
    old = [path for path, text in pages.items() if not path.exists() or path.read_text() != text]
    for path in old:
        print(f"{path.relative_to(ROOT)} is out of date" if check else f"written: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(pages[path])
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())
