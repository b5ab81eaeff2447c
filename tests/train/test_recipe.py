"""Recipes are read strictly, and written back so that reading gives the same."""

import re
from pathlib import Path
from typing import Any

import pytest

from reactnet.errors import ReactnetError
from reactnet.train import dump_recipe, load_recipe, parse_value
from reactnet.train.recipe import parse_recipe
from train.small_run import TEXT

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


def test_values_and_order_of_phases_are_those_of_the_file() -> None:
    recipe = parse_recipe(TEXT, source="small.toml")
    assert (recipe.model, recipe.seed, list(recipe.phases)) == ("reactnet_digits", 3, ["teacher", "student"])
    assert recipe.phases["student"].binarize == ("activations", "weights")
    assert recipe.phases["student"].teachers == ("phase:teacher",)
    assert recipe.phases["teacher"].betas == (0.9, 0.999)


def test_an_unknown_key_is_named_with_its_table_and_a_suggestion(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT.replace("learning_rate = 0.01", "learning_rat = 0.01"))
    with pytest.raises(ReactnetError) as caught:
        load_recipe(path)
    assert caught.value.problem == f"{path}: [phases.student]: unknown key 'learning_rat'"
    assert caught.value.hint == "did you mean 'learning_rate'?"


@pytest.mark.parametrize(
    "line", [line for line in TEXT.splitlines() if " = " in line and not line.startswith("random_")]
)
def test_no_key_may_be_left_out(line: str) -> None:
    key = line.split(" = ")[0]
    with pytest.raises(ReactnetError, match=f"missing key '{key}'"):
        parse_recipe(TEXT.replace(line + "\n", "", 1), source="small.toml")


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("model", "reactnet_digit", "unknown model 'reactnet_digit'"),
        ("model", 3, "model is 3"),
        ("seed", -1, "seed is -1"),
        ("seed", True, "seed is True"),
        ("threads", 0, "threads is 0"),
        ("data.name", "digit", r"\[data\]: name is 'digit'"),
        ("data.random_shift", 1, r"\[data\]: unknown key 'random_shift'"),
        ("data.validation_images", 5, r"\[data\]: validation_images is 5"),
        ("data.image_size", 32, r"\[data\]: image_size is 32"),
        ("data.name", "image_folder", r"\[data\]: image_size is None"),
        ("phases.student.augment.random_shift", -1, r"\[phases.student.augment\]: random_shift is -1"),
        ("phases.student.augment.random_shift_probability", 1.5, "random_shift_probability is 1.5"),
        ("phases.student.augment.random_shift_fill", "one", "random_shift_fill is 'one'"),
        ("phases.student.augment.random_flip", 1, "random_flip is 1"),
        ("phases.student.augment.random_resized_crop", [0.5, 0.1], r"random_resized_crop is \[0.5, 0.1\]"),
        ("phases.student.augment.rand_augment", [2, 31], r"rand_augment is \[2, 31\]"),
        ("phases.student.augment.color_jitter", [0.4, 0.4], "color_jitter is"),
        ("phases.student.augment.mixup", -0.2, "mixup is -0.2"),
        ("phases.student.augment.until", 2, "until is 2.0"),
        ("phases.student.binarize", ["weight"], "'weight' is no part"),
        ("phases.student.binarize", "weights", "binarize is 'weights'"),
        ("phases.student.binarize", ["weights", "weights"], "binarize is"),
        ("phases.student.carry", "some", "carry is 'some'"),
        ("phases.teacher.carry", "all", "no phase comes before"),
        ("phases.student.teacher", "phase:teach", "no earlier phase is called 'teach'"),
        ("phases.student.teacher", "phase:student", "no earlier phase is called 'student'"),
        ("phases.student.teacher", "teacher", "teacher is 'teacher'"),
        ("phases.student.teacher", "none", "loss is 'distributional', but teacher is 'none'"),
        ("phases.student.loss", "cross_entropy", "asks no teacher"),
        ("phases.student.epochs", 0, "epochs is 0"),
        ("phases.student.epochs", 1.5, "epochs is 1.5"),
        ("phases.student.batch_size", 0, "batch_size is 0"),
        ("phases.student.optimizer", "adam", "missing key 'betas'"),
        ("phases.student.betas", [0.9, 0.9], "key 'betas' with optimizer = 'sgd'"),
        ("phases.teacher.betas", [0.9], "betas is"),
        ("phases.teacher.betas", [0.9, 1.0], "betas is"),
        ("phases.student.momentum", 1.0, "momentum is 1.0"),
        ("phases.student.learning_rate", 0, "learning_rate is 0.0"),
        ("phases.student.learning_rate", "5e-4", "learning_rate is '5e-4'"),
        ("phases.student.learning_rate", float("inf"), "learning_rate is inf"),
        ("phases.student.schedule", "cosin", "schedule is 'cosin'"),
        ("phases.student.weight_decay", -1e-5, "weight_decay is -1e-05"),
        ("phases.student.weight_decay_on", ["convolution"], "weight_decay_on is 'convolution'"),
        ("phases.student.epoch", 1, "unknown key 'epoch'"),
        ("phases.studen.epochs", 1, "unknown table 'studen'"),
        ("phases.student", 1, "names a table"),
    ],
)
def test_a_wrong_value_is_refused_by_name_in_an_override_as_in_a_file(key: str, value: Any, problem: str) -> None:
    with pytest.raises(ReactnetError, match=problem) as caught:
        parse_recipe(TEXT, source="small.toml", overrides={key: value})
    assert caught.value.problem.startswith("small.toml: ")
    assert caught.value.hint


def test_an_override_changes_that_key_alone() -> None:
    plain, changed = (
        parse_recipe(TEXT, source="small.toml", overrides=overrides)
        for overrides in (None, {"phases.student.epochs": 9, "phases.student.learning_rate": 1})
    )
    assert (changed.phases["student"].epochs, changed.phases["student"].learning_rate) == (9, 1.0)
    assert changed.phases["teacher"] == plain.phases["teacher"]


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("1e-3", 1e-3), ('["a"]', ["a"]), ("cosine", "cosine"), ("true", True)]
)
def test_an_override_typed_at_a_terminal_has_the_type_that_toml_gives_it(text: str, value: object) -> None:
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_dumped_recipe_reads_back_equal(path: Path) -> None:
    recipe = load_recipe(path)
    assert parse_recipe(dump_recipe(recipe), source="dumped") == recipe


def test_a_phase_name_that_is_no_file_name_is_refused() -> None:
    with pytest.raises(ReactnetError, match="file's name"):
        parse_recipe(TEXT.replace("[phases.teacher]", '[phases."../teacher"]'), source="small.toml")


@pytest.mark.parametrize(
    ("content", "problem"), [(b"model = ", "not TOML"), (b"\xff", "not UTF-8"), (None, "No such file")]
)
def test_an_unreadable_recipe_is_named(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ReactnetError, match=f"{re.escape(str(path))}: {problem}"):
        load_recipe(path)
