"""From a model to a packed file: lower, fold, round, check, write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from reactnet.compiler.fold import fold
from reactnet.compiler.integer import STEM_BITS, integer_ends
from reactnet.compiler.lower import Lowered, lower_network
from reactnet.compiler.network import Network
from reactnet.compiler.report import Report, make_rows
from reactnet.errors import ReactnetError
from reactnet.graph import Graph, Preprocessing, packed_size, save
from reactnet.graph.check import ENDS


@dataclass(frozen=True, eq=False)
class Compiled:
    """The graph that the file holds, and the networks before: `verify` compares all three."""

    lowered: Lowered
    folded: Network
    graph: Graph


def compile(  # noqa: A001  # the verb of the command line, and of peers
    model: nn.Module,
    path: str | Path,
    *,
    image_size: int | Sequence[int] | None = None,
    preprocessing: Preprocessing | None = None,
    class_names: Sequence[str] | None = None,
    ends: Literal["float", "integer"] = "float",
    stem_bits: Literal[8, 16] = 8,
    provenance: Mapping[str, str] | None = None,
) -> Report:
    """Compile `model`, as it computes in eval mode, to a packed file, and report what became of each layer.

    What is left out is taken from the model's card (`model.reactnet`, which `load_model` sets): `image_size`, the side
    of a square, (H, W) or (H, W, C), `preprocessing`, `class_names`, `provenance`. Without a card `image_size` is
    needed.

    `ends="integer"` computes real layers with integers: the first on the pixels themselves, with weights of `stem_bits`
    bits, the others on values rounded to 8 bits. No calibration data are needed: see `integer.py`.

    Raises ReactnetError for a layer without an op, weights that are missing or not finite, or a file that cannot be
    written; then nothing is left behind.
    """
    if any(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()]):
        raise ReactnetError(
            f"compile: {type(model).__name__} has no weights: it is on the meta device",
            hint="make the model on the CPU, or load trained weights: reactnet.load_model",
        )
    compiled = compile_graph(
        model,
        image_size=image_size,
        preprocessing=preprocessing,
        class_names=class_names,
        ends=ends,
        stem_bits=stem_bits,
        provenance=provenance,
    )
    graph = compiled.graph
    save(graph, path)
    rows = make_rows(model, compiled.lowered.network, compiled.folded, graph, compiled.lowered.zeros)
    data = sum(array.nbytes for array in graph.constants.values())
    size = Path(path).stat().st_size
    return Report(
        path=str(path),
        rows=tuple(rows),
        float_bytes=sum(row.float_bytes for row in rows),
        header_bytes=size - data,
        file_bytes=size,
        nodes_lowered=len(compiled.lowered.network.nodes),
        nodes=len(graph.nodes),
    )


def compile_graph(
    model: nn.Module,
    *,
    image_size: int | Sequence[int] | None = None,
    preprocessing: Preprocessing | None = None,
    class_names: Sequence[str] | None = None,
    ends: Literal["float", "integer"] = "float",
    stem_bits: Literal[8, 16] = 8,
    provenance: Mapping[str, str] | None = None,
) -> Compiled:
    """The same without writing: see `compile`.

    A model on the meta device, which has shapes but no weights, gives the graph of a trained one, and its size.
    """
    _check_ends(ends, stem_bits)
    card: Any = getattr(model, "reactnet", None)
    if card is not None:
        image_size = card.image_size if image_size is None else image_size
        if preprocessing is None:
            preprocessing = Preprocessing(card.resize, card.crop, card.mean, card.std)
        class_names = card.class_names if class_names is None else class_names
        provenance = card.provenance if provenance is None else provenance
    if image_size is None:
        raise ReactnetError("compile: no image size", hint="give image_size=(H, W, C), or a model from load_model")
    size = _with_channels(model, image_size)
    name = type(model).__name__ if card is None else str(card.name)
    lowered = lower_network(model, size, name=name, preprocessing=preprocessing)
    folded = fold(lowered.network)
    if ends == "integer":
        folded = integer_ends(folded, lowered.preprocessing, stem_bits=stem_bits)
    names = () if class_names is None else tuple(class_names)
    graph = folded.to_graph(preprocessing=lowered.preprocessing, class_names=names, provenance=provenance, ends=ends)
    return Compiled(lowered, folded, graph)


def _check_ends(ends: str, stem_bits: int) -> None:
    if ends not in ENDS:
        raise ReactnetError(f"compile: ends is {ends!r}", hint="use 'float' or 'integer'")
    if stem_bits not in STEM_BITS:
        raise ReactnetError(f"compile: stem_bits is {stem_bits!r}", hint="use 8 or 16")
    if ends == "float" and stem_bits != STEM_BITS[0]:
        raise ReactnetError(
            f"compile: stem_bits is {stem_bits}, but ends are float", hint="give ends='integer' too, or leave it out"
        )


def packed_bytes(graph: Graph) -> int:
    """The size of the file that `save` would write."""
    return packed_size(graph)


def _with_channels(model: nn.Module, image_size: int | Sequence[int]) -> tuple[int, ...]:
    """A side stands for a square; (H, W) gets the number of channels that the first convolution reads."""
    if isinstance(image_size, int):
        image_size = (image_size, image_size)
    if len(image_size) != 2:
        return tuple(image_size)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return (*image_size, module.in_channels)
    raise ReactnetError("compile: the model has no convolution to tell the channels of an image", hint="give (H, W, C)")
