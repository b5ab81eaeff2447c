"""Run folders, recipes and names that a stranger made: nothing is written outside, nothing speaks to the terminal."""

import json
import logging
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reactnet.cli.main import main
from reactnet.errors import ReactnetError
from reactnet.graph import GraphBuilder, save

torch = pytest.importorskip("torch")

from reactnet.models import create_model  # noqa: E402
from reactnet.train import Recipe, load_recipe, run, train  # noqa: E402
from reactnet.train.checkpoint import KIND, read_checkpoint, write_atomically, write_checkpoint  # noqa: E402
from reactnet.train.recipe import dump_recipe, parse_recipe  # noqa: E402
from train.small_run import COMMIT, TEXT, small_feed  # noqa: E402
from trained import save_digits  # noqa: E402

ESCAPE = "\x1b]0;owned\x07\x1b[2J\u202e\u009b"  # sets a window's title, clears the screen, turns text around


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setattr(run, "open_feed", small_feed)
    monkeypatch.setattr(run, "_commit", lambda: COMMIT)
    return parse_recipe(TEXT, source="small.toml", overrides={"phases.teacher.epochs": 1, "phases.student.epochs": 1})


# Run folders ---------------------------------------------------------------------------------------------------------

WRITTEN = (
    ".lock", "recipe.toml", "run.json", "log.jsonl", "vitals.jsonl", "checkpoints", "histograms", "tensorboard",
    "last.safetensors", "next.safetensors", "previous.safetensors",
)  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_a_link_in_a_run_folder_is_not_followed(tmp_path: Path, recipe: Recipe, name: str) -> None:
    victim, out = tmp_path / "victim", tmp_path / "run"
    out.mkdir()
    if "." in name:
        victim.write_text("mine")
    else:
        victim.mkdir()
    (out / name).symlink_to(victim)
    with pytest.raises(ReactnetError, match="a link") as caught:
        train(recipe, out)
    assert str(out / name) in caught.value.problem
    assert victim.read_text() == "mine" if victim.is_file() else list(victim.iterdir()) == []
    assert [item.name for item in out.iterdir()] == [name]


@pytest.mark.parametrize("name", [".lock", "log.jsonl", "vitals.jsonl", "run.json", "last.safetensors"])
def test_a_fifo_in_a_run_folder_is_refused_at_once(tmp_path: Path, recipe: Recipe, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(ReactnetError, match="neither a file nor a folder"):
        train(recipe, tmp_path)


def test_a_link_to_the_run_folder_itself_is_the_users_own(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "large disk").mkdir()
    (tmp_path / "run").symlink_to("large disk")
    train(recipe, tmp_path / "run")
    assert (tmp_path / "large disk/checkpoints/student.safetensors").is_file()


@pytest.mark.parametrize(
    "state",
    [
        "[]",
        "{}",
        '{"log_sizes": {}}',
        '{"log_sizes": 3, "phase": "student"}',
        '{"log_sizes": {"log.jsonl": -1}, "phase": "student"}',
        '{"log_sizes": {}, "phase": "../x"}',
        '{"log_sizes": {}, "phase": ["student"]}',
        '{"log_sizes": {}, "phase": "teacher"}',
        '{"log_sizes": {}, "phase": "teacher", "position": {"epoch": "x"}}',
        "[" * 100_000,
    ],
    ids=range(10),
)
def test_a_made_up_state_is_an_error(tmp_path: Path, recipe: Recipe, state: str) -> None:
    (tmp_path / "recipe.toml").write_text(dump_recipe(recipe))
    tensors = {
        f"model.{key}": value for key, value in create_model("reactnet_digits", num_classes=4).state_dict().items()
    }
    write_checkpoint(tmp_path / "last.safetensors", tensors, {KIND: "state", "state": state})
    with pytest.raises(ReactnetError) as caught:
        train(recipe, tmp_path)
    assert str(tmp_path) in caught.value.problem


def test_what_is_written_atomically_waits_under_a_name_that_nobody_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link under the name of the temporary file would lead the bytes elsewhere."""
    seen: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.extend(item.name for item in tmp_path.iterdir()))
    for _ in range(2):
        write_atomically(tmp_path / "x", iter([b"a"]))
        (tmp_path / "x").unlink()
    assert len(set(seen)) == 2
    assert all(str(os.getpid()) not in name for name in seen)


# Recipes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../x", "a/b", "/etc/x", "..", "", "a b", "a\\nb", "~", "x.safetensors"])
def test_a_phase_is_called_by_a_plain_word(name: str) -> None:
    text = TEXT.replace("phases.teacher", f'phases."{name}"').replace("phase:teacher", f"phase:{name}")
    with pytest.raises(ReactnetError) as caught:
        parse_recipe(text, source="x.toml")
    assert caught.value.problem.startswith("x.toml:")


class Marker:
    """Unpickled, it makes a file: whoever runs the code of a pickle leaves a trace."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["start_from", "teacher", "run folder"])
@pytest.mark.parametrize("kind", ["pickle", "torch.save", "torch.save, old"])
def test_no_way_into_a_run_unpickles(tmp_path: Path, recipe: Recipe, how: str, kind: str) -> None:
    trace, bait = tmp_path / "trace", tmp_path / "bait.safetensors"
    if kind == "pickle":
        bait.write_bytes(pickle.dumps(Marker(trace)))
    else:
        torch.save({"a": Marker(trace)}, bait, _use_new_zipfile_serialization=kind == "torch.save")
    keys = {
        "start_from": {"phases.teacher.start_from": str(bait), "phases.teacher.carry": "all"},
        "teacher": {"phases.student.teacher": f"file:{bait}"},
        "run folder": {},
    }[how]
    out = tmp_path / "run"
    if how == "run folder":
        out.mkdir()
        (out / "recipe.toml").write_text(TEXT)
        (out / "checkpoints").mkdir()
        bait.rename(out / "checkpoints/student.safetensors")
        with pytest.raises(ReactnetError, match="pickle"):
            read_checkpoint(out / "checkpoints/student.safetensors")
    else:
        with pytest.raises(ReactnetError, match="pickle"):
            train(parse_recipe(TEXT, source="small.toml", overrides=keys), out)
    assert not trace.exists()


# Names ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A file whose class names and provenance are paths and commands to a terminal."""
    builder = GraphBuilder("odd", (4, 4, 3))
    x = builder.add("normalize", builder.input, table=np.zeros((256, 3), np.float32))
    names = (f"../../{ESCAPE}", "/etc/passwd", "<script>alert(1)</script>")
    path = tmp_path / "odd.rnet"
    save(builder.build(builder.add("global_avg_pool", x), class_names=names, provenance={ESCAPE: ESCAPE}), path)
    return path


def plain(text: str) -> bool:
    return all(letter.isprintable() or letter == "\n" for letter in text)


@pytest.mark.parametrize("verb", ["predict", "inspect", "eval"])
def test_a_strangers_names_cannot_command_the_terminal(
    tmp_path: Path, packed: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    image = tmp_path / "images/x.png"
    image.parent.mkdir()
    Image.new("RGB", (5, 5)).save(image)
    (tmp_path / "data" / f"a{ESCAPE}").mkdir(parents=True)
    image.with_name("y.png").write_bytes(image.read_bytes())
    arguments = {
        "predict": [str(packed), str(image)],
        "inspect": [str(packed)],
        "eval": [str(packed), "--data", str(tmp_path / "data")],
    }[verb]
    before = sorted(tmp_path.rglob("*"))
    code = main([verb, *arguments])
    out, err = capsys.readouterr()
    assert code == (2 if verb == "eval" else 0), err
    assert plain(out + err)
    assert verb == "eval" or "\\x1b" in out
    assert sorted(tmp_path.rglob("*")) == before


def test_errors_and_warnings_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", f"/none/{ESCAPE}", "x.png"]) == 2
    logging.getLogger("reactnet").warning("%s", ESCAPE)
    err = capsys.readouterr().err
    assert plain(err)
    assert err.count("\\x1b") >= 4
    assert len(err.splitlines()) == 3


def test_json_of_odd_names_is_plain(tmp_path: Path, packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(packed), "--json"]) == 0
    out = capsys.readouterr().out
    assert plain(out)
    json.loads(out)


def test_class_names_of_a_checkpoint_are_no_paths(tmp_path: Path) -> None:
    """A checkpoint whose classes are called like files elsewhere compiles to one file, where it was asked to."""
    path = save_digits(create_model("reactnet_digits"), tmp_path / "x.safetensors")
    tensors, metadata = read_checkpoint(path)
    names = [f"../../{number}" for number in range(10)]
    write_checkpoint(path, tensors, {**metadata, "class_names": json.dumps(names)})
    assert main(["compile", str(path), "--output", str(tmp_path / "x.rnet")]) == 0
    assert sorted(item.name for item in tmp_path.rglob("*")) == ["x.rnet", "x.safetensors"]


def test_a_recipe_is_read_from_files_only(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.toml")
    with pytest.raises(ReactnetError, match="not a regular file"):
        load_recipe(tmp_path / "x.toml")
