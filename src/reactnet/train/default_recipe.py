"""A recipe for a model and a folder of images where none is written: whole, plain, and the start of one's own.

Sensible is what the recipes of this repository have in common: the real-valued twin first, which then teaches both
binary phases; Adam; pieces of the images at random, mirrored. Nothing in it is tuned to the folder but its length.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from reactnet.data import ImageSet, Parts, layout_of, open_split
from reactnet.data.config import FOLDERS, DataConfig
from reactnet.data.workers import processors
from reactnet.errors import ReactnetError
from reactnet.models import create_model, model_info
from reactnet.nn import binarized
from reactnet.train.phase import NO_TEACHER
from reactnet.train.recipe import Recipe, parse_recipe

_log = logging.getLogger(__name__)

OWN_TEACHER = "teacher"  # the phase of the real-valued twin
MAX_THREADS = 8
EVALUATE_SHARE = 256 / 224  # of the shorter side before the centre crop to the model's side

# ImageNet's statistics, which photographs have in general; of grey ones, those of its luminance.
STATISTICS = {3: ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), 1: ([0.449], [0.226])}

# From so many training images on: the batch, and the epochs of the last phase; those before it have half of them.
SIZES = ((500_000, 256, 90), (20_000, 128, 120), (2_000, 64, 200), (500, 32, 300), (0, 16, 300))

_SMALL_COLOUR = {"random_shift": 4, "random_shift_fill": "reflect", "random_flip": True}
AUGMENT: dict[str, dict[str, Any]] = {
    "digits": {"random_shift": 1, "random_shift_probability": 0.5},
    "mnist": {"random_shift": 2},
    "fashion_mnist": {"random_shift": 2, "random_flip": True},
    "cifar10": _SMALL_COLOUR,
    "cifar100": _SMALL_COLOUR,
    "image_folder": {"random_resized_crop": [0.25, 1.0], "random_flip": True},
    "webdataset": {"random_resized_crop": [0.25, 1.0], "random_flip": True},
}


def default_recipe(
    model: str,
    root: str | Path | None,
    *,
    teacher: str | None = None,
    device: str = "cpu",
    overrides: Mapping[str, object] | None = None,
) -> Recipe:
    """A recipe that trains `model` on whatever images are in the folder `root`.

    What they are is told by what is in the folder (see `reactnet.data.layout_of`); without a folder they are the
    digits, for a model of such images. `teacher` is what a recipe may name, such as "torchvision/resnet34", or "none";
    without it the model's real-valued twin is trained first. A model without binary layers has one phase.

    Raises ReactnetError if there are no such images, or the model does not take them.
    """
    about = model_info(model)
    if root is None and about.image_size != (8, 8, 1):
        raise ReactnetError(
            f"{model}: there is no recipe and no folder of images", hint="give --data FOLDER, or a recipe, .toml"
        )
    name = "digits" if root is None else layout_of(Path(root))
    data, parts = _data(name, about.image_size, None if root is None else Path(root))
    if isinstance(parts.train, ImageSet) and 2 * max(parts.train.images.shape[1:3]) < about.image_size[0]:
        small, made_for = ("x".join(map(str, s[:2])) for s in (parts.train.images.shape[1:], about.image_size))
        _log.warning(
            "%s is made for images of %s, not %s: a model whose name ends in _cifar is", model, made_for, small
        )
    _, batch, epochs = next(size for size in SIZES if len(parts.train) >= size[0])
    common = {"epochs": epochs, "batch_size": batch}
    table: dict[str, Any] = {"model": model, "seed": 0, "threads": min(processors(), MAX_THREADS)}
    if device.startswith("cuda"):
        table["computing"] = {"precision": "bfloat16", "channels_last": True}
    with torch.device("meta"):
        binary = binarized(create_model(model)) != ()
    phases = _binary_phases(common, teacher) if binary else {"real": _real(common, teacher)}
    augment = AUGMENT[name]
    table |= {"data": data, "phases": {key: {**phase, "augment": augment} for key, phase in phases.items()}}
    return parse_recipe(_toml(table), source=f"the default recipe of {model}", overrides=overrides)


def _data(name: str, size: tuple[int, int, int], root: Path | None) -> tuple[dict[str, Any], Parts]:
    """The `[data]` table, and the images it names."""
    table: dict[str, Any] = {"name": name, "evaluate_on": "test"}
    if name in FOLDERS:
        side = min(size[:2])
        mean, std = STATISTICS[size[2]]
        table |= {"image_size": side, "evaluate_resize": round(side * EVALUATE_SHARE), "mean": mean, "std": std}
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    parts = open_split(DataConfig(**given), root)
    if parts.test is None:
        table["evaluate_on"] = "validation"  # a fifth of the images
    return table, parts


def _binary_phases(common: dict[str, Any], teacher: str | None) -> dict[str, dict[str, Any]]:
    short = {**common, "epochs": common["epochs"] // 2}
    own = teacher is None
    taught_by = f"phase:{OWN_TEACHER}" if teacher is None else teacher
    phases = {OWN_TEACHER: _real(short, None)} if own else {}
    return phases | {
        "binary_activations": {
            "binarize": ["activations"],
            "carry": "all" if own else "nothing",
            **_taught(taught_by),
            **short,
            **_adam("linear_step", 1e-5),
        },
        "binary_weights": {
            "binarize": ["activations", "weights"],
            "carry": "all",
            **_taught(taught_by),
            **common,
            **_adam("linear_step", 0.0),
            "rescale_latent": 0.05,
            "recalibrate": 5000,
        },
    }


def _real(common: dict[str, Any], teacher: str | None) -> dict[str, Any]:
    taught = _taught(NO_TEACHER if teacher is None else teacher)
    return {"binarize": [], "carry": "nothing", **taught, **common, **_adam("cosine", 1e-5), "warmup_epochs": 5}


def _taught(teacher: str) -> dict[str, Any]:
    if teacher == NO_TEACHER:
        return {"teacher": teacher, "loss": "cross_entropy"}
    # A teacher that fits its training set says little at a temperature of 1.
    return {"teacher": teacher, "loss": "distributional", "temperature": 4.0, "label_weight": 0.1}


def _adam(schedule: str, decay: float) -> dict[str, Any]:
    decays = ["convolutions", "binary_convolutions", "linear"] if decay else []
    return {
        "optimizer": "adam",
        "betas": [0.9, 0.999],
        "learning_rate": 1e-3,
        "schedule": schedule,
        "weight_decay": decay,
        "weight_decay_on": decays,
    }


def _toml(table: dict[str, Any]) -> str:
    import tomli_w

    return tomli_w.dumps(table)
