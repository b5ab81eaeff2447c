"""docs/train.md: its commands are understood, its thresholds are the code's."""

import inspect
import re
import shlex
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser

from reactnet.cli.main import make_app
from reactnet.cli.train import read_overrides
from reactnet.models import list_models
from reactnet.report import alerts
from reactnet.train import load_recipe

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "train.md").read_text()
COMMANDS = re.findall(r"^reactnet .*$", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_understood(command: str) -> None:
    verb, bound, _ = make_app().parse_args(shlex.split(command)[1:], exit_on_error=False, print_error=False)
    assert verb.__name__ in ("train", "report", "eval_", "compile_")
    if verb.__name__ == "train":
        recipe, *overrides = bound.args
        if recipe.endswith(".toml"):
            load_recipe(ROOT / recipe, read_overrides(overrides))
        else:
            assert recipe in list_models()


LAUNCHER = re.findall(r"^torchrun .*$", PAGE, flags=re.MULTILINE)


def test_the_commands_of_several_processes_are_understood_by_torchrun_and_by_us() -> None:
    assert len(LAUNCHER) == 2
    for command in LAUNCHER:
        launch = get_args_parser().parse_args(shlex.split(command)[1:])
        assert launch.module
        assert launch.training_script == "reactnet.cli.main"
        test_each_command_is_understood(shlex.join(["reactnet", *launch.training_script_args]))


def test_there_are_commands_of_each_kind() -> None:
    assert {command.split()[1] for command in COMMANDS} == {"train", "report", "eval", "compile"}


@pytest.mark.parametrize(
    ("words", "threshold"),
    [
        ("under 0.02 % flips", alerts.STUCK == 2e-4),
        ("at least a tenth of the phase's highest", alerts.AWAKE == 0.1),
        ("over 5 % flips in a phase's last epoch", alerts.RESTLESS == 0.05),
        ("a quarter of a layer's channels or more", alerts.DEAD == 0.25),
        ("under 5 % or over 95 % of +1", alerts.LOPSIDED == 0.05),
        ("under 10 % of the inputs inside", alerts.NARROW == 0.1),
        ("over half of a layer's latent weights", alerts.BEYOND == 0.5),
        ("over one standard deviation", alerts.FAR == 1.0),
        ("more than three points below", alerts.FELL == 0.03),
    ],
)
def test_the_thresholds_it_names_are_those_of_the_code(words: str, threshold: bool) -> None:
    assert words in PAGE
    assert threshold


def test_every_vital_is_explained() -> None:
    from reactnet.train.vitals import Vitals

    text = inspect.getdoc(Vitals.measure)
    assert text is not None
    names = {"flips", "quantiles", "outside", "plus", "dead", "window", "spread", "drift"}
    assert all(f"`{name}`" in PAGE and f"`{name}`" in text for name in names)
