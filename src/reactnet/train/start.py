"""What a run starts from when it does not start from nothing: the weights of a model trained before."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from reactnet.errors import ReactnetError
from reactnet.models import create_model
from reactnet.train.card import ModelCard, read_weights
from reactnet.train.phase import Phase
from reactnet.train.recipe import Recipe


def read_start(phase: Phase, recipe: Recipe, class_names: Sequence[str]) -> dict[str, Tensor]:
    """The weights that `start_from` names: of a run folder, its last phase; or of one checkpoint.

    Raises ReactnetError if they are another model's, have other classes and the head is to be kept, or are marked as
    deployment weights.
    """
    assert phase.start_from is not None
    path = Path(phase.start_from).expanduser()
    tensors, card = read_weights(path)
    theirs, ours = {"model": card.name, **card.options}, {"model": recipe.model, **recipe.model_options}
    if theirs != ours:
        raise ReactnetError(
            f"start_from: {path}: holds {_in_words(theirs)}, the recipe trains {_in_words(ours)}",
            hint="set model and [model_options] of the recipe to those of the file, or give another file",
        )
    if card.provenance.get("weights", "").startswith("deployment"):
        raise ReactnetError(
            f"start_from: {path}: marked as {card.provenance['weights']}",
            hint="start from a checkpoint with latent weights; deployment weights are for eval and compile",
        )
    if phase.carry == "all":
        _check_classes(path, card, class_names)
    return tensors


def head_keys(recipe: Recipe, classes: int) -> set[str]:
    """The state-dict keys whose shape follows the number of classes."""
    with torch.device("meta"):
        one, other = (
            create_model(
                recipe.model, binarize=(), num_classes=count, pretrained=False, **recipe.model_options
            ).state_dict()
            for count in (classes, classes + 1)
        )
    return {key for key in one if one[key].shape != other[key].shape}


def _check_classes(path: Path, card: ModelCard, class_names: Sequence[str]) -> None:
    if card.num_classes != len(class_names):
        raise ReactnetError(
            f"start_from: {path}: knows {card.num_classes} classes, the data has {len(class_names)}",
            hint="set carry = 'all_but_head': the head is then made anew for the data's classes",
        )
    if tuple(class_names) != card.class_names and sorted(class_names) == sorted(card.class_names):
        raise ReactnetError(
            f"start_from: {path}: its classes are those of the data in another order",
            hint="set carry = 'all_but_head': the head is then made anew in the data's order",
        )


def _in_words(model: Mapping[str, object]) -> str:
    options = ", ".join(f"{key} = {value!r}" for key, value in model.items() if key != "model")
    return f"{model['model']} ({options})" if options else str(model["model"])
