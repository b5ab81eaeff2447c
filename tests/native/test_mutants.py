"""The mutation check stays possible: each place that it breaks is still in the source."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("mutants", ROOT / "native/tests/mutants.py")
assert SPEC is not None
assert SPEC.loader is not None
mutants = importlib.util.module_from_spec(SPEC)
sys.modules["mutants"] = mutants  # dataclasses look their module up
SPEC.loader.exec_module(mutants)


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.what)
def test_the_place_to_break_is_there(mutant: object) -> None:
    text = (ROOT / mutant.file).read_text("utf-8")
    assert mutant.old in text
    assert mutant.old != mutant.new
    assert set(mutant.by) <= {"check", "table", "threads", "memory", "readers"}


def test_no_two_mutants_have_one_name_and_a_few_are_for_the_short_run() -> None:
    names = [mutant.what for mutant in mutants.MUTANTS]
    assert len(set(names)) == len(names)
    assert 5 <= sum(mutant.short for mutant in mutants.MUTANTS) <= 12
