from collections.abc import Callable
from typing import Any

import pytest

from reactnet.train import Recipe, run
from reactnet.train.recipe import parse_recipe
from train.small_run import COMMIT, TEXT, small_feed


@pytest.fixture
def make_recipe(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recipe]:
    """Makes the recipe above with overrides given as a mapping; runs of it see `small_feed`."""
    monkeypatch.setattr(run, "open_feed", small_feed)
    monkeypatch.setattr(run, "_commit", lambda: COMMIT)

    def make(overrides: dict[str, Any] | None = None) -> Recipe:
        return parse_recipe(TEXT, source="small.toml", overrides=overrides)

    return make
