"""Model against packed file, a layer at a time: where do they part, and is it more than rounding?

Two borders are crossed. From PyTorch to the NumPy reference results are close: each layer of the model runs on the
reference's own values, so that errors do not add up, and is compared within a tolerance; sums of binary convolutions
must be equal. Images need not reach every constant, so the file's are also compared with those that compiling the model
gives now. From the reference to the native runtime every value must be equal, bit for bit.
"""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from reactnet.errors import ReactnetError

if TYPE_CHECKING:
    import torch
    from torch import fx, nn

    from reactnet.compiler import Compiled
    from reactnet.graph import Graph, Node
    from reactnet.runtime import Session

Pixels = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]
Values = dict[str, Any]

TOLERANCE = 2e-5
"""Largest difference of one layer between PyTorch and the reference, as a part of the largest magnitude in its output.

Float32 rounds at 6e-8; a layer sums up to some 25,000 products (VGG's first linear layer), in another order than torch
and with batch norm folded in, which costs about the root of that many roundings, 1e-5. Measured over every registered
model with random batch norms: 4.9e-6, in that layer. A wrong weight, shift or border does far more.

An average adds n numbers one by one, and numbers that are alike round alike: its error may reach n half steps, and
1.0e-4 was seen over 112 x 112. So an average's tolerance is at least n * 2^-24: see `_tolerance`.
"""

ROUNDED = {"conv_u8": {8: 0.03, 16: 2e-4}, "conv_i8": {8: 0.1}, "linear_i8": {8: 0.1}, "conv_f32": {16: 2e-3}}
"""The same for layers that a file with integer ends holds rounded: by op, and bits of a weight.

Rounding to 8 bits moves a weight by up to 1/254 of its output's largest, a value by up to 1/254 of its image's, and a
sum by some root of its terms of that; where large terms cancel, more. The largest seen over every registered model,
with fresh and with settled batch norms: 1.2e-2, 4.6e-5; 4.0e-2; 4e-4. This is what the layer loses, not how exactly the
file was made: its integers are compared with the model's one by one, its sums with the runtime's bit by bit.
"""

STORED_TOLERANCE = 1e-6
"""Largest difference between a constant of the file and the model's now, as a part of the largest of its node.

Folding is float64, rounded once; on another machine its sums may round otherwise, by at most the last bit of a float32.
"""

BATCH = 4  # images at once: every value of each is kept


@dataclass
class LayerCheck:
    """What was seen of one layer over all images.

    `difference` is the largest, as a part of the largest magnitude in the output; up to `tolerance` it is rounding. For
    signs: `flipped` signs, and how
    many of those are `tied`, |x + shift| being within the tolerance of what was added. For binary convolutions:
    `unequal` sums. `rounded`: the file holds this layer in fewer bits, so its tolerance is one of ROUNDED.
    """

    layer: str
    kind: str
    tolerance: float = TOLERANCE
    rounded: bool = False
    difference: float = 0.0
    flipped: int = 0
    tied: int = 0
    unequal: int = 0

    @property
    def ok(self) -> bool:
        """Whether the layer computes what the model's does."""
        return self.difference <= self.tolerance and self.flipped == self.tied and self.unequal == 0

    def __str__(self) -> str:
        found = []
        if self.unequal:
            found.append(f"{self.unequal} binary sums differ")
        if self.flipped:
            found.append(f"{self.flipped} signs flipped, of which {self.tied} were ties")
        if self.difference > self.tolerance:
            found.append(f"differs by {self.difference:.1e} of its range, above {self.tolerance:.1e}")
        return f"{self.layer} ({self.kind}): {'; '.join(found) if found else 'agrees'}"


@dataclass
class Verification:
    """The outcome. `ok`: every layer agrees, and the runtime gives the reference's bits.

    `top1_agreement` is the fraction of images to which model and packed file give the same answer, each running by
    itself from end to end; there a tied sign may move all that follows, so `max_logit_difference` has no tolerance. It
    is None where model and file have different classes.

    `structure` is the first way in which the file holds another network, None if it does not; then no layer was
    compared. `stored` are the constants of the file that are not the model's, as `node.role: how many differ`.
    """

    images: int
    layers: list[LayerCheck]
    runtime_differs: list[str]
    changed_images: int
    max_logit_difference: float | None
    isa: str
    structure: str | None = None
    stored: list[str] = field(default_factory=list)
    first: str | None = field(init=False)

    def __post_init__(self) -> None:
        bad = [check.layer for check in self.layers if not check.ok]
        self.first = bad[0] if bad else None

    @property
    def ok(self) -> bool:
        """Whether model, reference and runtime agree."""
        return self.structure is None and self.first is None and not self.stored and not self.runtime_differs

    @property
    def first_difference(self) -> str | None:
        """Where model and file part first: in their structure, in a layer, or in a constant that no image reached."""
        seen = (self.structure, self.first, *self.stored)
        return next((what for what in seen if what is not None), None)

    @property
    def top1_agreement(self) -> float:
        """The fraction of images with the same answer."""
        return 1 - self.changed_images / self.images

    @property
    def tied(self) -> int:
        """Signs that rounding flipped, over all layers and images."""
        return sum(check.tied for check in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        layers = [{**asdict(check), "ok": check.ok} for check in self.layers]
        return {
            "ok": self.ok,
            "images": self.images,
            "first_difference": self.first_difference,
            "stored_differs": self.stored,
            "runtime_differs": self.runtime_differs,
            "tied_signs": self.tied,
            "flipped_signs": sum(check.flipped for check in self.layers),
            "top1_agreement": self.top1_agreement,
            "changed_images": self.changed_images,
            "max_logit_difference": self.max_logit_difference,
            "isa": self.isa,
            "layers": layers,
        }

    def __str__(self) -> str:
        lines = []
        if self.structure is not None:
            lines.append(f"the file holds another network: {self.structure}")
        for check in self.layers:
            if not check.ok:
                lines.append(f"{'first difference: ' if check.layer == self.first else ''}{check}")
        lines += [f"not the model's: {constant}" for constant in self.stored]
        if not lines:
            exact = [check.difference for check in self.layers if not check.rounded]
            lines.append(
                f"model and reference agree in {len(self.layers)} layers on {self.images} images: "
                f"largest difference {max(exact, default=0.0):.1e} of a layer's range, {self.tied} tied signs flipped"
            )
            rounded = [check.difference for check in self.layers if check.rounded]
            if rounded:
                lines.append(f"{len(rounded)} of them are rounded to fewer bits in the file: up to {max(rounded):.1e}")
        if self.runtime_differs:
            lines.append(f"runtime ({self.isa}) differs from the reference, first in {self.runtime_differs[0]!r}")
        else:
            lines.append(f"reference and runtime ({self.isa}) agree bit for bit in every value")
        if self.max_logit_difference is not None:
            lines.append(
                f"end to end: the same answer to {self.images - self.changed_images} of {self.images} images, "
                f"logits within {self.max_logit_difference:.2g}"
            )
        return "\n".join(lines)


def verify(
    model: "nn.Module", path: str | Path, *, images: Pixels | None = None, count: int = 16, seed: int = 0
) -> Verification:
    """Compare `model`, which carries its card, with the packed file made of it.

    `images` are uint8 (N, H, W, C); without them, `count` images of random pixels drawn with `seed`. The model is left
    as it is: a copy in float32 on the processor is compared.
    Raises ReactnetError if the file is not one, or holds images that the model cannot take. A difference is no error:
    see `ok`.
    """
    import torch

    from reactnet.compiler import compile_graph
    from reactnet.graph import load, run_values
    from reactnet.runtime import Session

    graph = load(path)
    images = _images(graph, images, count, seed)
    model = copy.deepcopy(model).to("cpu", dtype=torch.float32).eval()
    card: Any = getattr(model, "reactnet", None)
    if card is not None and card.image_size[2] != graph.input_shape[2]:
        raise ReactnetError(
            f"{path}: takes images of {_side(graph.input_shape)}, the model of {_side(card.image_size)}",
            hint="give the file that was compiled from this model",
        )
    # The card says how the model's images are prepared; a model without one has the file's word for it.
    own = card is not None and tuple(card.crop) == graph.input_shape[:2]
    compiled = compile_graph(
        model,
        image_size=graph.input_shape,
        preprocessing=None if own else graph.preprocessing,
        **_ends(graph),
    )
    structure = _structure(compiled.graph, graph, names=card is not None)
    checks: dict[str, LayerCheck] = {}
    differs: set[str] = set()
    with Session(path) as session:
        for begin in range(0, len(images), BATCH):
            batch = images[begin : begin + BATCH]
            values = run_values(graph, batch)
            if structure is None:
                _compare_layers(compiled, batch, values, checks)
            differs |= _compare_runtime(graph, session, batch, values)
        isa, packed = str(session.plan["isa"]), session.run(images)
    changed, difference = _end_to_end(model, compiled.graph, packed, images)
    return Verification(
        images=len(images),
        layers=list(checks.values()),
        runtime_differs=[node.name for node in graph.nodes if node.name in differs],
        changed_images=changed,
        max_logit_difference=difference,
        isa=isa,
        structure=structure,
        stored=_stored(compiled.graph, graph) if structure is None else [],
    )


def _ends(graph: "Graph") -> dict[str, Any]:
    """How the file was compiled, as far as its numerics go."""
    stems = {8 * graph.constants[node.constants["weight"]].itemsize for node in graph.nodes if node.op == "conv_u8"}
    return {"ends": graph.ends, "stem_bits": max(stems, default=8)}


def _images(graph: "Graph", images: Pixels | None, count: int, seed: int) -> Pixels:
    if images is None:
        if count < 1:
            raise ReactnetError(f"verify: {count} images", hint="give at least 1")
        return np.random.default_rng(seed).integers(0, 256, (count, *graph.input_shape), dtype=np.uint8)
    if len(images) == 0:
        raise ReactnetError("verify: no images", hint="give at least one")
    return images


def _structure(expected: "Graph", found: "Graph", *, names: bool) -> str | None:
    """The first way in which the file's nodes are not those that compiling the model gives."""
    if expected.preprocessing != found.preprocessing:
        return f"images are prepared by {expected.preprocessing} for the model, by {found.preprocessing} in the file"
    for mine, file in zip(expected.nodes, found.nodes, strict=False):
        if (mine.name, mine.op, mine.inputs) != (file.name, file.op, file.inputs):
            return f"{mine.name!r} ({mine.op}) of the model meets {file.name!r} ({file.op}) of the file"
        if dict(mine.attributes) != dict(file.attributes):
            return f"{mine.name!r} has {dict(mine.attributes)}, in the file {dict(file.attributes)}"
        ours, theirs = _shapes(expected, mine), _shapes(found, file)
        if ours != theirs:
            return f"{mine.name!r} has constants of {ours}, in the file {theirs}"
    if len(expected.nodes) != len(found.nodes):
        return f"{len(expected.nodes)} nodes of the model, {len(found.nodes)} of the file"
    if names and expected.class_names != found.class_names:
        return f"classes {_short(expected.class_names)} of the model, {_short(found.class_names)} of the file"
    return None


def _side(shape: Sequence[int]) -> str:
    return "x".join(str(side) for side in shape)


def _short(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''} ({len(names)})"


def _shapes(graph: "Graph", node: "Node") -> dict[str, tuple[int, ...]]:
    return {role: graph.constants[name].shape for role, name in node.constants.items()}


def _stored(expected: "Graph", found: "Graph") -> list[str]:
    """The constants of the file that are not the model's, in the order of the nodes."""
    differs = []
    for mine, file in zip(expected.nodes, found.nodes, strict=True):
        for role in mine.constants:
            ours, theirs = expected.constants[mine.constants[role]], found.constants[file.constants[role]]
            if ours.dtype == np.uint64:
                count, unit = int(np.unpackbits((ours ^ theirs).view(np.uint8)).sum()), "bits"
            else:
                wide = ours.astype(np.float64)
                limit = STORED_TOLERANCE * np.abs(wide).max() if ours.dtype.kind == "f" else 0  # integers: equal
                count, unit = int((np.abs(wide - theirs) > limit).sum()), "values"
            if count:
                differs.append(f"{mine.name}.{role}: {count} {unit} differ")
    return differs


def _compare_layers(compiled: "Compiled", images: Pixels, values: Values, checks: dict[str, LayerCheck]) -> None:
    """Run the model's layers, each on the reference's values, and note what is seen."""
    import torch

    from reactnet.graph.reference_map import normalize

    network = compiled.lowered.network  # a file with integer ends has no normalised pixels
    table = network.constant(network.by_name()["normalize"], "table").astype(np.float32)
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        _walker(compiled, values, checks).run(_to_torch(normalize(images, table)))


def _walker(compiled: "Compiled", values: Values, checks: dict[str, LayerCheck]) -> "fx.Interpreter":
    """An interpreter of the traced model that goes on, after each layer, with the reference's value."""
    from torch import fx

    from reactnet.nn import BinaryConv2d, RSign, Sign

    lowered = compiled.lowered
    modules = dict(lowered.traced.named_modules())
    nodes, rounded = lowered.network.by_name(), _rounded_layers(compiled.graph)

    class Walker(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            name = lowered.values.get(n.name)
            meaning = None if name is None else compiled.folded.meaning.get(name)
            layer = modules.get(n.target) if isinstance(n.target, str) else None
            if n.op in ("placeholder", "output") or name is None:
                return result
            args, _ = self.fetch_args_kwargs_from_env(n)
            kind = getattr(n.target, "__name__", str(n.target)) if layer is None else type(layer).__name__
            check = checks.setdefault(name, LayerCheck(name, kind, _tolerance(nodes[name], args)))
            if meaning is not None and meaning.node in rounded:
                check.rounded, check.tolerance = True, max(check.tolerance, rounded[meaning.node])
            if isinstance(layer, BinaryConv2d) and layer.binarize:
                check.unequal += _unequal_sums(layer, args[0], values, name, compiled)
            if meaning is None:
                return result
            reference = (_to_torch(values[meaning.node]) + _offset(meaning.offset)).reshape(result.shape)
            if isinstance(layer, RSign | Sign) and layer.binarize:
                _count_flips(check, result, reference, layer, args[0])
            else:
                check.difference = max(check.difference, _difference(result, reference))
            return reference

    return Walker(lowered.traced)


def _rounded_layers(graph: "Graph") -> dict[str, float]:
    """The tolerance of each node whose weights were rounded to fewer bits."""
    found = {}
    for node in graph.nodes:
        weight = graph.constant(node, "weight")
        bits = 0 if weight is None else 8 * weight.itemsize
        if bits in ROUNDED.get(node.op, {}):
            found[node.name] = ROUNDED[node.op][bits]
    return found


def _tolerance(node: "Node", args: tuple[Any, ...]) -> float:
    """TOLERANCE, or what an average of a whole map may need; a window is too small to matter."""
    if node.op not in ("adaptive_avg_pool", "global_avg_pool"):
        return TOLERANCE
    height, width = args[0].shape[2:]
    return max(TOLERANCE, float(height * width) * 2.0**-24)


def _difference(result: "torch.Tensor", reference: "torch.Tensor") -> float:
    """The largest difference as a part of the largest magnitude; infinite where just one of two is no number."""
    import torch

    apart = torch.where((result == reference) | (result.isnan() & reference.isnan()), 0, (result - reference).abs())
    largest = float(torch.where(result.isfinite(), result.abs(), 0).max())
    return float(torch.nan_to_num(apart, nan=torch.inf).max()) / max(largest, 1e-30)


def _unequal_sums(layer: Any, signs: "torch.Tensor", values: Values, name: str, compiled: "Compiled") -> int:
    """How many sums of a binary convolution are not those of the reference."""
    from reactnet.nn import weight_sign

    node = f"{name}.sum" if layer.scale else name
    sums = layer._convolve(signs, weight_sign(layer.weight))
    meaning = compiled.folded.meaning.get(node)
    assert meaning is not None, f"{node}: folding never merges a binary sum"
    return int((sums != _to_torch(values[meaning.node])).sum())


def _count_flips(
    check: LayerCheck, result: "torch.Tensor", reference: "torch.Tensor", layer: Any, x: "torch.Tensor"
) -> None:
    """A flip is a tie where |x + shift| is within rounding of what was added: then either sign is right."""
    import torch

    flipped = result != reference
    if bool(flipped.any()):
        shift = layer.shift.detach().view(1, -1, 1, 1) if hasattr(layer, "shift") else torch.zeros(1)
        near = (x + shift).abs() <= TOLERANCE * max(float(x.abs().max()), float(shift.abs().max()))
        check.flipped += int(flipped.sum())
        check.tied += int((flipped & near).sum())


def _to_torch(value: Any) -> "torch.Tensor":
    """NHWC of the reference as NCHW float32."""
    import torch

    array = np.ascontiguousarray(np.moveaxis(np.asarray(value, dtype=np.float32), -1, 1))
    return torch.from_numpy(array)


def _offset(offset: npt.NDArray[np.float64]) -> "torch.Tensor":
    import torch

    return torch.from_numpy(offset.astype(np.float32)).view(1, -1, 1, 1)


def _compare_runtime(graph: "Graph", session: "Session", images: Pixels, values: Values) -> set[str]:
    """The nodes whose values the runtime computes otherwise than the reference did."""
    differs: set[str] = set()
    for index, image in enumerate(images):
        found = session.values(image)
        differs |= {node.name for node in graph.nodes if not _same(values[node.name], index, found[node.name])}
        # The fused plan is another one than that which keeps every value: its logits are compared by themselves.
        if not _same(values[graph.output], index, session.run(image[None])):
            differs.add(graph.output)
    return differs


def _same(expected: Any, index: int, found: npt.NDArray[Any]) -> bool:
    """Whether the reference's value of one image of its batch and the runtime's are the same bits; a NaN is a NaN."""
    from reactnet.graph import Quantized, pack_bits

    if isinstance(expected, Quantized):
        scale = np.asarray(expected.scales[index], dtype=np.float32).tobytes()
        return bool(expected.values[index].astype(np.int8).tobytes() + scale == found.tobytes())
    if expected.dtype == np.int8:
        return bool(pack_bits(expected[index]).tobytes() == found.tobytes())
    return _without_payload(expected[index]) == _without_payload(found)


def _without_payload(array: npt.NDArray[np.float32]) -> bytes:
    return np.where(np.isnan(array), np.float32(np.nan), array).astype(np.float32).tobytes()


def _end_to_end(model: "nn.Module", graph: "Graph", packed: Logits, images: Pixels) -> tuple[int, float | None]:
    """How many images get another answer from the packed file than from the model, and how far logits are apart."""
    from reactnet.evaluate import model_predictor

    predictor = model_predictor(model, graph.preprocessing)
    logits = np.concatenate([predictor.run(images[i : i + BATCH]) for i in range(0, len(images), BATCH)])
    changed = int((packed.argmax(axis=1) != logits.argmax(axis=1)).sum())
    return changed, float(np.abs(packed - logits).max()) if packed.shape == logits.shape else None
