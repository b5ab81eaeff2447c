"""`reactnet report`: writes its page, says where, and fails as every verb does."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reactnet.cli.main import main
from reactnet.train import load_model
from reactnet.train.feed import open_feed
from reactnet.train.histograms import activation_histograms
from reactnet.train.recipe import load_recipe
from reactnet.train.vitals import IMAGES
from report.made_up import write_run

Fails = Callable[..., tuple[str, str]]

DIGITS = Path(__file__).parent.parent.parent / "recipes" / "reactnet_digits.toml"
SHORT = {"teacher": 1, "binary-activations": 1, "binary-weights": 1}


def test_the_page_is_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = write_run(tmp_path / "a"), tmp_path / "page.html"
    before = sorted(path.stat().st_mtime_ns for path in run.rglob("*"))
    out.write_text("an older one")
    assert main(["report", str(run), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.read_text().startswith("<!doctype html>")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "page.html"}
    assert sorted(path.stat().st_mtime_ns for path in run.rglob("*")) == before


def test_mistakes_have_two_lines(tmp_path: Path, fails: Fails) -> None:
    run = write_run(tmp_path / "a")
    assert fails("report")[0] == "report: no run given"
    assert fails("report", tmp_path) == (
        f"{tmp_path}: no run folder: it has no recipe.toml",
        "give what `reactnet train` wrote",
    )
    assert fails("report", run, "--out", tmp_path)[0] == f"{tmp_path}: not a regular file"
    assert "--measure" in fails("report", run, "--data", tmp_path)[0]
    assert "No such file" in fails("report", run, "--out", tmp_path / "no" / "folder.html")[0]
    assert "did you mean --out?" in fails("report", run, "--ou", "x")[1]


def test_a_page_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, out = write_run(tmp_path / "a"), tmp_path / "page.html"
    out.write_text("an older one")

    def full(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "replace", full)
    assert "No space left" in fails("report", run, "--out", out)[0]
    assert out.read_text() == "an older one"
    assert {path.name for path in tmp_path.iterdir()} == {"a", "page.html"}


def test_measure_makes_the_histograms_that_a_run_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same as training wrote: the model and the images are the same."""
    run = tmp_path / "run"
    epochs = [word for name, count in SHORT.items() for word in (f"--phases.{name}.epochs", str(count))]
    assert main(["train", str(DIGITS), *epochs, "--out", str(run)]) == 0
    written = json.loads((run / "histograms" / "binary_weights.json").read_text())
    recipe = load_recipe(run / "recipe.toml")
    images = open_feed(recipe.data, None).sample(IMAGES)
    assert activation_histograms(load_model(run), images).items() <= written.items()

    pages = [tmp_path / "with.html", tmp_path / "without.html"]
    assert main(["report", str(run), "--out", str(pages[0])]) == 0
    for file in (run / "histograms").iterdir():
        file.unlink()
    assert main(["report", str(run), "--out", str(pages[1]), "--measure"]) == 0
    assert pages[1].read_text() == pages[0].read_text()
    assert not list((run / "histograms").iterdir())
