"""Trained models on disk: what a checkpoint says of its model, and getting the model back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from reactnet.errors import ReactnetError
from reactnet.models import create_model, model_info
from reactnet.models.registry import MAX_WIDTH, Option
from reactnet.nn import binarized
from reactnet.train.checkpoint import KIND, read_checkpoint, write_checkpoint
from reactnet.train.feed import Feed
from reactnet.train.recipe import Recipe, load_recipe
from reactnet.train.strict import suggest

WEIGHTS = "weights"
RECIPE = "recipe.toml"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class ModelCard:
    """What must be known of a trained model besides its weights. Models of `load_model` carry it as `.reactnet`.

    `image_size` is (H, W, C). `resize`: the shorter edge, or (h, w); then `crop` (h, w) from the centre; `mean` and
    `std` for pixels in [0, 1]. `options` are the model's own, as `create_model` took them. `provenance` maps free keys
    to strings: phase, top1, recipe, seed, commit, versions.
    """

    name: str
    num_classes: int
    binarize: tuple[str, ...]
    image_size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int | tuple[int, int]
    crop: tuple[int, int]
    class_names: tuple[str, ...]
    provenance: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Option] = field(default_factory=dict)


def save_model(model: nn.Module, path: str | Path) -> None:
    """Write the weights of a model that carries its card, `model.reactnet`, to a safetensors file."""
    card = getattr(model, "reactnet", None)
    if not isinstance(card, ModelCard):
        raise ReactnetError(
            f"{path}: the model carries no ModelCard", hint="set model.reactnet = ModelCard(...), as load_model does"
        )
    card = ModelCard(**{**card.__dict__, "binarize": binarized(model)})
    write_checkpoint(Path(path), model.state_dict(), {KIND: WEIGHTS, **_to_strings(card)})


def load_model(path: str | Path, *, phase: str | None = None) -> nn.Module:
    """Get a trained model back, in eval mode, with its `ModelCard` as the attribute `reactnet`.

    `path` is a run folder, of which the recipe's last phase is loaded or the one called `phase`; or one checkpoint.
    Raises ReactnetError if the run has not come that far, or the file is foreign, corrupt or a pickle.
    """
    path = Path(path)
    tensors, card = read_weights(path, phase=phase)
    _check_fit(path, tensors, card)
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn only to be replaced: leave no trace
        model = create_model(
            card.name, binarize=card.binarize, num_classes=card.num_classes, pretrained=False, **card.options
        )
    model.load_state_dict(tensors, strict=True)
    model.reactnet = card  # type: ignore[assignment]  # a plain attribute: nn.Module declares tensors and modules only
    return model.eval()


def _check_fit(path: Path, tensors: Mapping[str, Tensor], card: ModelCard) -> None:
    """Raise unless the weights are those of the card's model, before memory is spent on what the card asks for."""
    with torch.device("meta"):
        try:
            model = create_model(
                card.name, binarize=card.binarize, num_classes=card.num_classes, pretrained=False, **card.options
            )
        except ReactnetError as error:
            raise ReactnetError(f"{path}: {error.problem}", hint=error.hint) from error
        try:
            model.load_state_dict({key: torch.empty_like(value, device="meta") for key, value in tensors.items()})
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines()]
            raise ReactnetError(
                f"{path}: its weights do not fit {card.name}: {lines[-1]}",
                hint="it was written by another version of reactnet: load it with that one",
            ) from error


def read_weights(path: Path, *, phase: str | None = None) -> tuple[dict[str, Tensor], ModelCard]:
    """The weights and the card of a run folder's phase, or of one checkpoint, without making the model.

    Raises ReactnetError as `load_model` does.
    """
    if path.is_dir():
        path = checkpoint_of(path, phase)
    elif phase is not None and path.exists() and path.stem != phase:
        raise ReactnetError(f"{path}: a single checkpoint, not a run folder", hint="leave the phase out")
    tensors, metadata = read_checkpoint(path)
    if metadata[KIND] != WEIGHTS:
        raise ReactnetError(
            f"{path}: holds the state of a run, for its resumption, and no finished model",
            hint="give the run folder, or a file of its folder 'checkpoints'",
        )
    try:
        card = _from_strings(metadata)
    except ReactnetError as error:
        raise ReactnetError(f"{path}: {error.problem}", hint=error.hint) from error
    except (KeyError, ValueError, RecursionError) as error:
        raise ReactnetError(f"{path}: its metadata is incomplete: {error}", hint="use another copy") from error
    return tensors, card


def checkpoint_of(folder: Path, phase: str | None = None) -> Path:
    """The checkpoint file of a run's last phase, or of the phase given. Raises ReactnetError if it is not there yet."""
    if not (folder / RECIPE).is_file():
        raise ReactnetError(f"{folder}: no run folder: it has no {RECIPE}", hint="give what `reactnet train` wrote")
    phases = list(load_recipe(folder / RECIPE).phases)
    if phase is not None and phase not in phases:
        raise ReactnetError(f"{folder}: no phase {phase!r}", hint=suggest(phase, phases))
    wanted = phases[-1] if phase is None else phase
    file = folder / CHECKPOINTS / f"{wanted}.safetensors"
    if not file.is_file():
        done = [name for name in phases if (folder / CHECKPOINTS / f"{name}.safetensors").is_file()]
        hint = f"resume the run, or load phase {done[-1]!r}" if done else "resume the run"
        raise ReactnetError(f"{folder}: the run has not finished phase {wanted!r}", hint=hint)
    return file


def make_card(recipe: Recipe, binarize: tuple[str, ...], feed: Feed, provenance: Mapping[str, str]) -> ModelCard:
    """The card of a model that a recipe trains on what `feed` holds."""
    height, width, _ = feed.image_size
    shorter = feed.config.evaluate_resize
    return ModelCard(
        name=recipe.model,
        num_classes=len(feed.class_names),
        binarize=binarize,
        image_size=feed.image_size,
        mean=feed.mean,
        std=feed.std,
        resize=(height, width) if shorter is None else shorter,
        crop=(height, width),
        class_names=feed.class_names,
        provenance=provenance,
        options=recipe.model_options,
    )


def _to_strings(card: ModelCard) -> dict[str, str]:
    preprocessing = {"resize": card.resize, "crop": card.crop, "mean": card.mean, "std": card.std}
    return {
        "model": card.name,
        "num_classes": str(card.num_classes),
        "binarize": json.dumps(card.binarize),
        "image_size": json.dumps(card.image_size),
        "preprocessing": json.dumps(preprocessing, sort_keys=True),
        "class_names": json.dumps(card.class_names, ensure_ascii=False),
        "options": json.dumps(dict(card.options), sort_keys=True),
        "provenance": json.dumps(dict(card.provenance), sort_keys=True, ensure_ascii=False),
    }


def _from_strings(metadata: Mapping[str, str]) -> ModelCard:
    """The card of a file that may be a stranger's. KeyError or ValueError for what is missing or of the wrong kind."""
    found = {
        key: json.loads(metadata[key])
        for key in ("binarize", "image_size", "preprocessing", "class_names", "provenance")
    }
    options = json.loads(metadata.get("options", "{}"))  # files written before models had options lack it
    preprocessing, provenance = found["preprocessing"], found["provenance"]
    if not (isinstance(preprocessing, dict) and isinstance(provenance, dict) and isinstance(options, dict)):
        raise ValueError("preprocessing, provenance and options are not all JSON objects")
    for option, value in options.items():
        if option not in model_info(metadata["model"]).options or not isinstance(value, str | int | float):
            raise ValueError(f"option {option[:80]!r} is no option of {metadata['model'][:80]!r}, or no plain value")
    _texts("provenance", list(provenance.values()))
    height, width, channels = _sides("image_size", found["image_size"], 3)
    resize = preprocessing["resize"]
    return ModelCard(
        name=metadata["model"],
        num_classes=_sides("num_classes", [int(metadata["num_classes"])], 1)[0],
        binarize=_texts("binarize", found["binarize"]),
        image_size=(height, width, channels),
        mean=_reals("mean", preprocessing["mean"], channels),
        std=_reals("std", preprocessing["std"], channels),
        resize=_sides("resize", [resize], 1)[0] if isinstance(resize, int) else _pair("resize", resize),
        crop=_pair("crop", preprocessing["crop"]),
        class_names=_texts("class_names", found["class_names"]),
        provenance=provenance,
        options=options,
    )


def _texts(what: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"{what} is not a list of strings")
    return tuple(value)


def _sides(what: str, value: object, count: int) -> tuple[int, ...]:
    right = isinstance(value, list) and len(value) == count and all(type(side) is int for side in value)
    if not isinstance(value, list) or not right or not all(1 <= side <= MAX_WIDTH for side in value):
        raise ValueError(f"{what} is {str(value)[:80]}, not {count} of 1 to {MAX_WIDTH}")
    return tuple(value)


def _pair(what: str, value: object) -> tuple[int, int]:
    first, second = _sides(what, value, 2)
    return first, second


def _reals(what: str, value: object, count: int) -> tuple[float, ...]:
    right = isinstance(value, list) and len(value) == count and all(type(one) in (int, float) for one in value)
    if not isinstance(value, list) or not right or not all(abs(one) < MAX_WIDTH for one in value):  # NaN is not less
        raise ValueError(f"{what} is {str(value)[:80]}, not {count} ordinary numbers")
    return tuple(float(one) for one in value)
