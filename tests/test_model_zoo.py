"""The model zoo page takes no result of unclear origin, and no figure that differs from the paper's without a reason.

That the page is what the script writes is held by `test_docs.py`.
"""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PUBLISHED = {"model": "vgg11", "kind": "published", "data": "ImageNet", "top1": "68.75", "source": "somewhere"}
MEASURED = {**PUBLISHED, "kind": "measured", "recipe": "reactnet_digits.toml"}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_model_zoo", DOCS / "make_model_zoo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def without(result: dict[str, str], key: str) -> dict[str, str]:
    return {other: value for other, value in result.items() if other != key}


@pytest.mark.parametrize("result", [PUBLISHED, MEASURED, {**PUBLISHED, "top5": "88.87", "weights": "file.pth"}])
def test_a_complete_result_is_taken(script: ModuleType, result: dict[str, Any]) -> None:
    script.check(result)


@pytest.mark.parametrize(
    "result",
    [
        without(PUBLISHED, "source"),
        without(PUBLISHED, "kind"),
        without(MEASURED, "recipe"),
        {**PUBLISHED, "kind": "claimed"},
        {**PUBLISHED, "recipe": "reactnet_digits.toml"},
        {**MEASURED, "recipe": "no_such_recipe.toml"},
        {**PUBLISHED, "source": ""},
        {**PUBLISHED, "top1": 68.75},
        {**PUBLISHED, "top1": "687.5"},
        {**PUBLISHED, "top10": "95.0"},
    ],
)
def test_a_result_of_unclear_origin_is_refused(script: ModuleType, result: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="vgg11"):
        script.check(result)


def test_a_published_accuracy_is_marked_as_such_to_the_digits_of_its_source(script: ModuleType) -> None:
    count = {"image_size": [8, 8, 1], "params": 1, "flops_full": 1, "bops": 0, "ops": 1, "packed_bytes": 1}
    published, measured = (
        script.zoo({"vgg11": count}, {"vgg11": {**result, "top1": "68.50"}}) for result in (PUBLISHED, MEASURED)
    )
    assert "| 68.50 p |" in published
    assert "* vgg11: published, ImageNet; somewhere." in published
    assert "| 68.50 m |" in measured


@pytest.mark.parametrize(("why", "accepted"), [("", False), ("theirs is rounded down", True)])
def test_a_figure_that_differs_from_the_papers_has_its_reason(script: ModuleType, why: str, accepted: bool) -> None:
    row = {"model": "vgg11", "printed": ["1.68", "1.39", "1.63"], "why": why}
    counts = {"vgg11": {"bops": 1.676e9, "flops": 1.378e8, "ops": 1.640e8}}
    if accepted:
        assert "| 1.676 / 1.68 | 1.378 / 1.39 | 1.640 / 1.63 | theirs is rounded down |" in script.table1(
            counts, {"source": "a table", "rows": [row]}
        )
    else:
        with pytest.raises(SystemExit, match="say why"):
            script.table1(counts, {"source": "a table", "rows": [row]})


def test_a_figure_that_matches_needs_no_excuse(script: ModuleType) -> None:
    row = {"model": "vgg11", "printed": ["1.7", "1.38", "1.6"], "why": "rounding"}
    with pytest.raises(SystemExit, match="if and only if"):
        script.table1({"vgg11": {"bops": 1.676e9, "flops": 1.378e8, "ops": 1.640e8}}, {"source": "", "rows": [row]})


def test_a_model_has_one_result(script: ModuleType) -> None:
    entry = "\n".join(["[[results]]", *(f'{key} = "{value}"' for key, value in PUBLISHED.items())])
    with pytest.raises(SystemExit, match="two results"):
        script.page(f"{entry}\n{entry}\n[table1]\nsource = 'a'\nrows = []\n")


@pytest.mark.parametrize(
    ("value", "text"), [(7.630, "7.63"), (15.5035, "15.50"), (0.0871, "0.0871"), (5.96e-5, "0.0000596")]
)
def test_numbers_are_printed_as_the_model_zoo_page_does(script: ModuleType, value: float, text: str) -> None:
    assert script.significant(value) == text
