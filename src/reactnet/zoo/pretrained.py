"""A network with the weights of a shipped packed file: its signs, and real numbers as folding left them.

A packed file holds no latent weights, and its batch norms are merged: what comes back computes the same function, and
is written over the network's own parameters. Each binary weight is exactly -1 or +1; each batch norm is one scale and
one shift a channel; a learned shift that folding carried elsewhere is 0 here.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from reactnet.errors import ReactnetError
from reactnet.graph import Graph, Node, loads, unpack_bits
from reactnet.models import create_model, model_info
from reactnet.nn import BinaryConv2d, RPReLU, RSign, Sign
from reactnet.train import ModelCard
from reactnet.zoo.cards import Card, find, list_zoo, read_card

WEIGHTS = "deployment: the signs of a packed file, -1 and +1; no latent weights, no start for training"


def pretrained(name: str, *, num_classes: int | None, options: Mapping[str, str | int | float | bool]) -> nn.Module:
    """A shipped model by its name, or by its network's name and options, in eval mode, marked as deployed.

    The mark is `model.reactnet`, a `ModelCard` whose provenance says `weights`. Raises ReactnetError if no such model
    ships, and for another number of classes.
    """
    card = _choose(name, options)
    if num_classes is not None and num_classes != card.classes:
        raise ReactnetError(
            f"create_model: {name}: num_classes is {num_classes}, the weights that ship know {card.classes}",
            hint="leave num_classes out; for classes of your own train a head: recipes/fine_tune.toml",
        )
    path = find(card.name)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != card.sha256:
        raise ReactnetError(f"{path}: not the file that its card describes", hint="install the package again")
    graph = loads(data, source=str(path))
    with torch.random.fork_rng(devices=[]):  # weights that are drawn only to be replaced leave no trace
        binarize = ("activations", "weights")
        model = create_model(card.model, binarize=binarize, num_classes=card.classes, pretrained=False, **card.options)
    write_weights(model, graph)
    model.reactnet = _model_card(card, graph)  # type: ignore[assignment]  # a plain attribute: see load_model
    return model.eval()


@torch.no_grad()
def write_weights(model: nn.Module, graph: Graph) -> None:
    """Make `model` compute what `graph`, which was compiled from such a model, computes.

    Raises ReactnetError if a constant of the graph finds no place in the model, or a layer gets no weight.
    """
    modules = dict(model.named_modules())
    for module in modules.values():
        _neutral(module)
    fed: set[str] = set()
    for node in graph.nodes:
        write = _WRITERS.get(node.op)
        if write is None:
            if node.constants and node.op != "normalize":
                raise _misfit(graph, f"{node.name!r}, {node.op}, holds constants that no layer takes")
            continue
        path = _path(node, modules)
        if path is None:
            raise _misfit(graph, f"no layer {node.name!r}")
        write(modules, path, {role: graph.constants[key] for role, key in node.constants.items()}, graph)
        fed.add(path)
    for path, module in modules.items():
        if isinstance(module, BinaryConv2d | nn.Conv2d | nn.Linear) and path not in fed:
            raise _misfit(graph, f"no weight for {path!r}")


def _choose(name: str, options: Mapping[str, str | int | float | bool]) -> Card:
    cards = [read_card(shipped) for shipped in list_zoo()]
    for card in cards:
        if name == card.name and all(card.options.get(key) == value for key, value in options.items()):
            return card
    info = model_info(name) if name not in list_zoo() else None
    full = {} if info is None else {**info.options, **options}
    for card in cards:
        if info is not None and card.model == name and {**info.options, **card.options} == full:
            return card
    listed = ", ".join(f"{card.name} ({_described(card)})" for card in cards)
    asked = f" with {_words(options)}" if options else ""
    raise ReactnetError(
        f"create_model: no weights of {name!r}{asked} ship with this version",
        hint=f"give one of {listed}; or train it: the recipes are listed in docs/recipes.md",
    )


def _described(card: Card) -> str:
    return f"{card.model} with {_words(card.options)}" if card.options else card.model


def _words(options: Mapping[str, str | int | float | bool]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in options.items())


def _model_card(card: Card, graph: Graph) -> ModelCard:
    about = graph.preprocessing
    return ModelCard(
        name=card.model,
        num_classes=card.classes,
        binarize=("activations", "weights"),
        image_size=graph.input_shape,
        mean=about.mean,
        std=about.std,
        resize=about.resize,
        crop=about.crop,
        class_names=graph.class_names,
        provenance={**graph.provenance, "weights": WEIGHTS, "zoo": card.name},
        options=card.options,
    )


def _neutral(module: nn.Module) -> None:
    """What folding took away is the identity here: normalisation, shifts, biases."""
    if isinstance(module, nn.BatchNorm2d):
        module.running_mean.zero_()  # type: ignore[union-attr]  # ours always have statistics
        module.running_var.fill_(1 - module.eps)  # type: ignore[union-attr]  # so that var + eps is 1
        module.weight.fill_(1)
        module.bias.zero_()
    elif isinstance(module, RSign):
        module.shift.zero_()
    elif isinstance(module, RPReLU):
        module.shift_in.zero_()
        module.shift_out.zero_()


def _path(node: Node, modules: Mapping[str, nn.Module]) -> str | None:
    """The module that a node comes from: its name, or that before the last dot (`conv.sum`, `act.prelu`)."""
    for path in (node.name, node.name.rpartition(".")[0]):
        if isinstance(
            modules.get(path), BinaryConv2d | nn.Conv2d | nn.Linear | nn.BatchNorm2d | RSign | Sign | RPReLU | nn.PReLU
        ):
            return path
    return None


Modules = Mapping[str, nn.Module]
Constants = Mapping[str, NDArray[Any]]


def _write_bconv(modules: Modules, path: str, constants: Constants, graph: Graph) -> None:
    weight = modules[path].weight
    assert isinstance(weight, Tensor)
    positive = unpack_bits(constants["weight"], weight.shape[1])
    _fill(weight, np.where(positive, 1.0, -1.0).transpose(0, 3, 1, 2), path)


def _write_real(modules: Modules, path: str, constants: Constants, graph: Graph) -> None:
    """A real layer; its bias, which a convolution here has not, goes into the batch norm behind it."""
    module = modules[path]
    weight = constants["weight"]
    _fill(module.weight, weight.transpose(0, 3, 1, 2) if weight.ndim == 4 else weight, path)
    bias = constants.get("bias")
    if bias is None:
        return
    own = module.bias
    _fill(_norm_behind(modules, path).bias if own is None else own, bias, path)


def _write_integers(modules: Modules, path: str, constants: Constants, graph: Graph) -> None:
    """A real layer of integer ends: each output's integers times its scale, on normalised images in the first layer.

    The network computes it with float32 activations, so its answers are near the file's, and not the same.
    """
    weight = constants["weight"].astype(np.float64)
    weight *= constants["scale"].reshape(-1, *[1] * (weight.ndim - 1))
    if "offset" in constants:  # conv_u8 takes pixels: its weights are over 255 std_c
        weight *= 255 * np.array(graph.preprocessing.std)
    _write_real(modules, path, {"weight": weight, "bias": constants["bias"]}, graph)


def _write_affine(modules: Modules, path: str, constants: Constants, graph: Graph) -> None:
    module = modules[path]
    _fill(module.weight, constants["scale"], path)
    _fill(module.bias, constants["shift"], path)


def _write_sign(modules: Modules, path: str, constants: Constants, graph: Graph) -> None:
    module = modules[path]
    if "shift" in constants:
        if not isinstance(module, RSign):  # folding gave its plain sign what shifted the stream before it
            raise ReactnetError(f"zoo: {path}: a shift, and no RSign to take it", hint="ship a network with RSign")
        _fill(module.shift, constants["shift"], path)


def _write_prelu(modules: Modules, path: str, constants: Constants, graph: Graph) -> None:
    module = modules[path]
    _fill(module.slope if isinstance(module, RPReLU) else module.weight, constants["slope"], path)


_WRITERS: dict[str, Callable[[Modules, str, Constants, Graph], None]] = {
    "bconv2d": _write_bconv,
    "conv_f32": _write_real,
    "linear_f32": _write_real,
    "conv_u8": _write_integers,
    "conv_i8": _write_integers,
    "linear_i8": _write_integers,
    "affine": _write_affine,
    "sign": _write_sign,
    "prelu": _write_prelu,
}


def _norm_behind(modules: Modules, path: str) -> nn.BatchNorm2d:
    """The batch norm that follows a convolution in its Sequential: `stem.0`, `stem.1`."""
    before, _, number = path.rpartition(".")
    module = modules.get(f"{before}.{int(number) + 1}") if number.isdecimal() else None
    if not isinstance(module, nn.BatchNorm2d):
        raise ReactnetError(f"zoo: {path}: a bias, and no batch norm behind to take it", hint="report this as a bug")
    return module


def _fill(parameter: Any, values: NDArray[Any], path: str) -> None:
    assert isinstance(parameter, Tensor)
    found: Sequence[int] = values.shape
    if tuple(parameter.shape) != tuple(found):
        raise ReactnetError(
            f"zoo: {path}: {tuple(found)} values for {tuple(parameter.shape)}", hint="report this as a bug"
        )
    parameter.copy_(torch.from_numpy(np.array(values, dtype=np.float32)))


def _misfit(graph: Graph, what: str) -> ReactnetError:
    return ReactnetError(
        f"zoo: the file of {graph.model} does not fit the network: {what}", hint="report this as a bug"
    )
