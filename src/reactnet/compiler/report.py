"""The conversion report: each layer, binary or not and why, bytes before and after."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from textwrap import wrap
from typing import Any

from torch import nn

from reactnet.compiler.network import Network
from reactnet.graph import Graph
from reactnet.nn import BinaryConv2d

WIDTH = 100  # columns of a terminal; a table whose other columns are wide goes past it


@dataclass(frozen=True)
class Row:
    """One layer. `binary` is None for layers that are parameters a channel, to which the question does not apply.

    `float_bytes` are its parameters and statistics as float32; `packed_bytes` what the file keeps of it, 0 where it
    was folded into another layer. `zeros` counts exact zeros among latent weights: they are packed as +1.
    """

    layer: str
    kind: str
    binary: bool | None
    why: str
    float_bytes: int
    packed_bytes: int
    zeros: int = 0


@dataclass(frozen=True)
class Report:
    """What `compile` made of a model. `header_bytes` are the graph, names and hash; `file_bytes` the whole."""

    path: str
    rows: tuple[Row, ...]
    float_bytes: int
    header_bytes: int
    file_bytes: int
    nodes_lowered: int
    nodes: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        table = [("layer", "kind", "binary", "float32", "packed", "why")]
        for row in self.rows:
            binary = {True: "yes", False: "no", None: ""}[row.binary]
            table.append((row.layer, row.kind, binary, f"{row.float_bytes:,}", f"{row.packed_bytes:,}", row.why))
        table.append(("graph and names", "", "", "", f"{self.header_bytes:,}", ""))
        table.append(("total", "", "", f"{self.float_bytes:,}", f"{self.file_bytes:,}", self._ratio()))
        return "\n".join([*_lines(table), *self._remarks()])

    def _ratio(self) -> str:
        return f"{self.float_bytes / self.file_bytes:.1f} times smaller"

    def _remarks(self) -> list[str]:
        binary = [row for row in self.rows if row.binary]
        real = [row for row in self.rows if row.binary is False]
        lines = [
            f"{len(binary)} binary layers, {len(real)} real; {self.nodes_lowered} ops folded into {self.nodes}; "
            f"written to {self.path}"
        ]
        zeros = sum(row.zeros for row in self.rows)
        if zeros:
            lines.append(f"{zeros} latent weights are exactly 0: packed as +1, as the model computes")
        return lines


def make_rows(model: nn.Module, lowered: Network, folded: Network, graph: Graph, zeros: Mapping[str, int]) -> list[Row]:
    """One row for each layer with parameters, in the order in which the model calls them."""
    modules = dict(model.named_modules())
    kept: Counter[str] = Counter()
    for node in folded.nodes:
        for tensor in node.constants.values():
            kept[folded.origin[node.name]] += graph.constants[tensor].nbytes
    arithmetic = _arithmetic(folded, graph)
    rows = []
    paths = list(dict.fromkeys(lowered.origin[node.name] for node in lowered.nodes))
    reads_image = {lowered.origin[node.name] for node in lowered.nodes if "normalize" in node.inputs}
    last = lowered.origin[lowered.output]
    for path in paths:
        layer = modules.get(path)
        state = () if layer is None else tuple(layer.state_dict().values())
        before = sum(4 * tensor.numel() for tensor in state if tensor.is_floating_point())
        if before == 0 and kept[path] == 0:
            continue
        kind = "pixels to float32" if layer is None else type(layer).__name__
        binary, why = (None, "") if layer is None else _judge(layer, path in reads_image, path == last)
        why = "; ".join(part for part in (why, arithmetic.get(path, "")) if part)
        rows.append(Row(path, kind, binary, why, before, kept[path], zeros.get(path, 0)))
    return [*rows, *_never_called(modules, set(paths))]


def _arithmetic(folded: Network, graph: Graph) -> dict[str, str]:
    """How the real layers of a file with integer ends compute, by their paths."""
    if graph.ends != "integer":
        return {}
    words = {
        "conv_u8": "integers: pixels x {} weights",
        "conv_i8": "integers: values x {} weights",
        "linear_i8": "integers: values x {} weights",
        "conv_f32": "stays float, {} weights",
        "linear_f32": "stays float, {} weights",
    }
    return {
        folded.origin[node.name]: words[node.op].format(graph.constants[node.constants["weight"]].dtype)
        for node in folded.nodes
        if node.op in words
    }


def _never_called(modules: Mapping[str, nn.Module], called: set[str]) -> list[Row]:
    """Layers with parameters that the forward does not use: the file leaves them out, and the report says so."""
    rows = []
    for path, layer in modules.items():
        own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
        size = sum(4 * tensor.numel() for tensor in own if tensor.is_floating_point())
        if size and path not in called:
            binary, _ = _judge(layer, False, False)
            rows.append(Row(path, type(layer).__name__, binary, "never called: left out", size, 0))
    return rows


def _judge(layer: nn.Module, first: bool, last: bool) -> tuple[bool | None, str]:
    """Whether a layer is binary, and if not, why not."""
    if isinstance(layer, BinaryConv2d):
        return layer.binarize, "" if layer.binarize else "real in this phase"
    if not isinstance(layer, nn.Conv2d | nn.Linear):
        return None, ""
    if first:
        return False, "first layer: sees 8-bit pixels"
    return False, "last layer: gives the logits" if last else "real in the model"


def _lines(table: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns aligned, numbers to the right; the last column wraps at WIDTH."""
    right = (3, 4)
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]) - 1)]
    before = sum(widths) + 2 * len(widths)
    lines = []
    for row in table:
        cells = [
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=False))
        ]
        why = wrap(row[-1], max(WIDTH - before, 16)) or [""]
        lines.append("  ".join([*cells, why[0]]).rstrip())
        lines += [" " * before + rest for rest in why[1:]]
    return lines
