"""A foreign checkpoint becomes one of ours: what it is, what was found in it, and the file that `load_model` opens."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from reactnet.convert import openmmlab, torchvision
from reactnet.convert.read import Foreign, read
from reactnet.convert.recognition import Recognised, recognise
from reactnet.convert.rules import State, apply, without_counters
from reactnet.errors import ReactnetError
from reactnet.models import model_info
from reactnet.nn import BinaryConv2d, set_binarize
from reactnet.train import ModelCard, save_model

Phase = Literal["one", "two"]

DEPLOYMENT = "deployment weights, not a starting point for fine-tuning"

# All of these networks were trained on ImageNet with these numbers, and are evaluated so.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_RESIZE = 256

_PARTS: dict[Phase, tuple[str, ...]] = {"one": ("activations",), "two": ("activations", "weights")}
_NAMED_BY_HASH = (torchvision.RESNET, torchvision.VGG, openmmlab.VGG)


@dataclass(frozen=True)
class Conversion:
    """What a conversion found.

    `phase` is None for a network without binary layers, `phase_because` what told it. `zeros` counts latent weights
    that are exactly 0; their values are kept. `ignored` is what stood beside the state dict.
    """

    source: str
    sha256: str
    sha256_in_name: str | None
    layout: str
    model: str
    num_classes: int
    phase: Phase | None
    phase_because: str
    deployment_weights: bool
    zeros: int
    binary_weights: int
    keys: int
    tensors: int
    wrapped: bool
    prefixed: bool
    counters_added: bool
    ignored: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything, for programs."""
        return asdict(self) | {"ignored": list(self.ignored)}

    def __str__(self) -> str:
        return "\n".join(f"{label:<11} {value}" for label, value in self._lines())

    def _lines(self) -> list[tuple[str, str]]:
        form = ["in 'state_dict'" if self.wrapped else "bare"]
        form += ["prefix 'module.' taken off"] if self.prefixed else []
        checked = f", and its name says {self.sha256_in_name}" if self.sha256_in_name else ""
        lines = [
            ("layout", f"{self.layout} ({', '.join(form)})"),
            ("model", f"{self.model}, {self.num_classes} classes"),
            ("keys", f"{self.keys} of {self.keys} accounted for, {self.tensors} tensors of ours"),
            ("sha256", f"{self.sha256}{checked}"),
        ]
        if self.counters_added:
            lines.append(("added", "batch counters of the norms, 0: the file is from before torch had them"))
        if self.ignored:
            lines.append(("ignored", ", ".join(self.ignored)))
        if self.phase is not None:
            lines.append(("phase", f"{self.phase}: {self.phase_because}"))
            lines.append(("weights", self._weights()))
            if self.zeros:
                lines.append(("zeros", self._zeros()))
        return lines

    def _weights(self) -> str:
        if self.deployment_weights:
            return f"{self.binary_weights:,} of exactly -1 or +1: {DEPLOYMENT}"
        return f"{self.binary_weights:,} {'latent' if self.phase == 'two' else 'real'}"

    def _zeros(self) -> str:
        said = f"{self.zeros:,} binary weights are exactly 0, kept"
        return f"{said}: the sign of 0 is +1 here (where they were trained, it is 0)" if self.phase == "two" else said


def convert(
    source: str | Path,
    output: str | Path,
    *,
    model: str | None = None,
    phase: Phase | None = None,
    class_names: Sequence[str] = (),
) -> Conversion:
    """Convert the checkpoint `source` to `output`, which `load_model` opens, and say what was found.

    `model` and `phase` settle what the file leaves open. `class_names` go into the model's card, one a class.

    Raises ReactnetError if the file cannot be opened without running code, is in no layout known here, has a key too
    many, too few or misshapen, or has a hash in its name that is not its own. Then nothing is written.
    """
    source, output = Path(source), Path(output)
    _check_output(output)
    foreign = read(source)
    try:
        found = recognise(foreign.state, model=model)
        weights = apply(found.rules, foreign.state)
    except ReactnetError as error:
        raise ReactnetError(f"{source}: {error.problem}", hint=error.hint) from error
    in_name = _check_name(source, foreign.sha256) if found.layout in _NAMED_BY_HASH else None
    network = load(found.model, weights)
    deployment, zeros, binary_weights = _binary_weights(network)
    chosen, because = _phase(foreign, found, deployment, phase, source)
    if chosen is not None:
        set_binarize(network, _PARTS[chosen])
    conversion = Conversion(
        source=os.fsencode(source.name).decode("utf-8", "replace"),
        sha256=foreign.sha256,
        sha256_in_name=in_name,
        layout=found.layout.name,
        model=found.name,
        num_classes=found.num_classes,
        phase=chosen,
        phase_because=because,
        deployment_weights=deployment,
        zeros=zeros,
        binary_weights=binary_weights,
        keys=len(foreign.state),
        tensors=len(weights),
        wrapped=foreign.wrapped,
        prefixed=foreign.prefixed,
        counters_added=without_counters(foreign.state) and any("running_mean" in key for key in weights),
        ignored=tuple(sorted(foreign.beside)),
    )
    network.reactnet = _card(conversion, class_names)  # type: ignore[assignment]  # a plain attribute, as in load_model
    save_model(network, output)
    return conversion


def load(model: nn.Module, weights: State) -> nn.Module:
    """Give `model`, whose own weights may have no memory, these weights, and no copy of them; in eval mode."""
    model.load_state_dict(dict(weights), strict=True, assign=True)
    return model.eval()


def _binary_weights(model: nn.Module) -> tuple[bool, int, int]:
    """Whether every weight of the binary layers is -1 or +1 (or 0), how many are 0, and how many there are."""
    weights = [module.weight.detach() for module in model.modules() if isinstance(module, BinaryConv2d)]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    count = sum(weight.numel() for weight in weights)
    exact = all(bool(((weight.abs() == 1) | (weight == 0)).all()) for weight in weights)
    return exact and count > zeros, zeros, count


def _phase(
    foreign: Foreign, found: Recognised, deployment: bool, asked: Phase | None, source: Path
) -> tuple[Phase | None, str]:
    """Which phase of the training wrote the file, and how one knows."""
    if not any(isinstance(module, BinaryConv2d) for module in found.model.modules()):
        if asked is not None:
            raise ReactnetError(f"{source}: {found.name} has no binary layer, so no phase", hint="leave the phase out")
        return None, ""
    told: tuple[Phase, str] | None = None
    if deployment:
        told = "two", "its binary weights are -1 and +1"
    elif any(key.endswith(".weights") for key in foreign.state):
        told = "two", "only the second step of the published code writes 'weights'"
    if told is not None:
        if asked not in (None, told[0]):
            raise ReactnetError(f"{source}: phase {told[0]}, not {asked}: {told[1]}", hint="leave the phase out")
        return told
    if asked is not None:
        return asked, "as you say"
    decay = _weight_decay(foreign.beside)
    if decay is not None:
        # The published recipes decay weights in the first step (1e-5, AdamBNN 5e-6) and never in the second.
        return (
            "one" if decay > 0 else "two"
        ), f"the weight decay of its optimizer is {decay:g}; step one has some, step two none"
    return "two", "assumed, since both steps write these keys; if its weights are still real, say --phase one"


def _weight_decay(beside: Mapping[str, object]) -> float | None:
    """The largest weight decay of the optimizer that was saved with the model, if one was."""
    optimizer = beside.get("optimizer")
    groups = optimizer.get("param_groups") if isinstance(optimizer, Mapping) else None
    if not isinstance(groups, list):
        return None
    decays = [group.get("weight_decay") for group in groups if isinstance(group, Mapping)]
    numbers = [float(decay) for decay in decays if isinstance(decay, int | float)]
    return max(numbers) if numbers else None


def _check_name(source: Path, sha256: str) -> str | None:
    """Model zoos put the first digits of a file's SHA-256 into its name: these digits, which must be right."""
    digits = re.search(r"-([0-9a-f]{8,64})\.(?:pth|pt)$", source.name)
    if digits is None:
        return None
    if not sha256.startswith(digits[1]):
        raise ReactnetError(
            f"{source}: its name says {digits[1]}, its SHA-256 begins with {sha256[: len(digits[1])]}",
            hint="the file is damaged or not what it is called: fetch it again, or rename it if the digits are no hash",
        )
    return digits[1]


def _check_output(output: Path) -> None:
    if output.is_dir():
        raise ReactnetError(f"{output}: a folder", hint=f"name the file to write: {output / 'model.safetensors'}")
    if output.suffix != ".safetensors":
        raise ReactnetError(
            f"{output}: a checkpoint's name ends in .safetensors", hint=f"name it {output.stem}.safetensors"
        )


def _card(conversion: Conversion, class_names: Sequence[str]) -> ModelCard:
    names = tuple(class_names)
    if names and (len(names) != conversion.num_classes or len(set(names)) != len(names)):
        raise ReactnetError(
            f"class names: {len(names)}, {len(set(names))} of them different; the model has {conversion.num_classes}",
            hint="give one name a class, in the order of the model's outputs",
        )
    height, width, channels = model_info(conversion.model).image_size
    provenance = {
        "converted_from": conversion.source,
        "sha256": conversion.sha256,
        "layout": conversion.layout,
    }
    if conversion.phase is not None:
        provenance["phase"] = conversion.phase
        provenance["phase_because"] = conversion.phase_because
        provenance["weights"] = DEPLOYMENT if conversion.deployment_weights else "latent"
        provenance["zeros"] = str(conversion.zeros)
    return ModelCard(
        name=conversion.model,
        num_classes=conversion.num_classes,
        binarize=(),  # save_model writes what the model itself says
        image_size=(height, width, channels),
        mean=_of_channels(_MEAN, channels),
        std=_of_channels(_STD, channels),
        resize=_RESIZE,
        crop=(height, width),
        class_names=names,
        provenance=provenance,
    )


def _of_channels(colours: tuple[float, float, float], channels: int) -> tuple[float, ...]:
    """ImageNet's figure of each channel; of grey images the mean of the three."""
    return colours if channels == len(colours) else (sum(colours) / len(colours),) * channels
