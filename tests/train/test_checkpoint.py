"""Files of weights: the same bytes for the same content, whole or not at all, and nothing foreign is read."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from reactnet.errors import ReactnetError
from reactnet.models import create_model
from reactnet.nn import binarized
from reactnet.train import ModelCard, Recipe, load_model, save_model, train
from reactnet.train.checkpoint import KIND, read_checkpoint, write_checkpoint

Make = Callable[..., Recipe]

TENSORS = {
    "b": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "a": torch.tensor(7, dtype=torch.int64),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "flag": torch.tensor([True, False, True]),
    "empty": torch.zeros(0, 3),
}
METADATA = {KIND: "weights", "note": 'quotes " and \\ and ünïcode, "sha256":"' + "0" * 64}


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_checkpoint(path, TENSORS, METADATA)
    tensors, metadata = read_checkpoint(path)
    assert metadata == METADATA
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_the_file_is_one_that_the_safetensors_library_reads(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_checkpoint(path, TENSORS, METADATA)
    assert torch.equal(safetensors.torch.load_file(path)["b"], TENSORS["b"])


def test_the_same_content_gives_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    write_checkpoint(one, TENSORS, METADATA)
    write_checkpoint(two, dict(reversed(TENSORS.items())), dict(reversed(METADATA.items())))
    assert one.read_bytes() == two.read_bytes()


def test_every_truncation_and_every_changed_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_checkpoint(path, TENSORS, METADATA)
    data = path.read_bytes()
    damaged = [data[:size] for size in range(len(data))]
    damaged += [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(len(data))]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ReactnetError) as caught:
            read_checkpoint(path)
        assert str(path) in caught.value.problem


def test_a_pickle_is_refused_by_that_name(tmp_path: Path) -> None:
    for name, options in (("zip.pth", {}), ("old.pth", {"_use_new_zipfile_serialization": False})):
        torch.save({"weight": torch.zeros(1)}, tmp_path / name, **options)
        with pytest.raises(ReactnetError, match=r"this is a pickle .* not read"):
            load_model(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 100, (2).to_bytes(8, "little") + b"[]"])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(content)
    with pytest.raises(ReactnetError, match="not a checkpoint of reactnet"):
        load_model(path)


def test_a_safetensors_file_of_someone_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ReactnetError, match="not a checkpoint of reactnet"):
        load_model(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReactnetError, match="No such file"):
        load_model(tmp_path / "none.safetensors")


def test_the_state_of_a_run_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    write_checkpoint(path, TENSORS, {KIND: "state", "state": "{}"})
    with pytest.raises(ReactnetError, match="holds the state of a run"):
        load_model(path)


CARD = ModelCard(
    name="reactnet_digits",
    num_classes=3,
    binarize=("activations",),
    image_size=(8, 8, 1),
    mean=(0.1,),
    std=(0.3,),
    resize=9,
    crop=(8, 8),
    class_names=("null", "eins", "zwölf"),
    provenance={"recipe": 'model = "x"\n', "seed": "0"},
)


def test_a_saved_model_comes_back_with_weights_phase_and_card(tmp_path: Path) -> None:
    model = create_model("reactnet_digits", binarize=("activations",), num_classes=3)
    model.reactnet = CARD
    save_model(model, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert not loaded.training
    assert binarized(loaded) == ("activations",)
    assert loaded.reactnet == CARD
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


def test_a_model_without_a_card_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ReactnetError, match="no ModelCard"):
        save_model(create_model("reactnet_digits"), tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    model = create_model("reactnet_digits", num_classes=3)
    model.reactnet = CARD
    save_model(model, tmp_path / "model.safetensors")
    tensors, metadata = read_checkpoint(tmp_path / "model.safetensors")
    tensors.pop("head.bias")
    write_checkpoint(tmp_path / "model.safetensors", tensors, metadata)
    with pytest.raises(ReactnetError, match=r"do not fit reactnet_digits: .*head\.bias"):
        load_model(tmp_path / "model.safetensors")


def full_disk(monkeypatch: pytest.MonkeyPatch, fails: Callable[[str], bool]) -> None:
    """fsync fails as on a full disk for the files whose names `fails` picks."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if fails(Path(f"/proc/self/fd/{descriptor}").readlink().name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_full_disk_leaves_the_old_file_whole_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    write_checkpoint(path, TENSORS, METADATA)
    before = path.read_bytes()
    full_disk(monkeypatch, lambda name: True)
    with pytest.raises(ReactnetError, match="No space left on device"):
        write_checkpoint(path, {"b": torch.zeros(9)}, METADATA)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("which", ["next", "student", "log"])
def test_a_full_disk_in_mid_run_names_the_last_good_checkpoint_and_the_run_goes_on_later(
    tmp_path: Path, make_recipe: Make, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    whole = train(make_recipe(), tmp_path / "whole")
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        # The disk is full once the first phase is done.
        full_disk(patch, lambda name: name.startswith(which) and (folder / "checkpoints/teacher.safetensors").exists())
        with pytest.raises(ReactnetError, match="No space left on device") as caught:
            train(make_recipe(), folder)
    named = Path(caught.value.hint.rpartition(" is ")[2])
    read_checkpoint(named)  # it is whole
    assert not list(folder.rglob("*.tmp"))
    train(make_recipe(), folder)
    for name in ("teacher", "student"):
        file = f"checkpoints/{name}.safetensors"
        assert (folder / file).read_bytes() == (whole / file).read_bytes()


def test_a_checkpoint_says_where_it_comes_from(tmp_path: Path, make_recipe: Make) -> None:
    folder = train(make_recipe(), tmp_path / "run")
    _, metadata = read_checkpoint(folder / "checkpoints" / "student.safetensors")
    provenance = json.loads(metadata["provenance"])
    assert metadata["model"] == "reactnet_digits"
    assert provenance["recipe"] == (folder / "recipe.toml").read_text()
    assert (provenance["phase"], provenance["seed"], provenance["measured_on"]) == ("student", "3", "test")
    assert float(provenance["top1"]) == json.loads((folder / "log.jsonl").read_text().splitlines()[-1])["test_top1"]


def test_a_checkpoint_replaces_no_device_and_no_fifo(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(ReactnetError, match="not a regular file"):
        write_checkpoint(fifo, {"a": torch.zeros(1)}, {})
    assert fifo.is_fifo()
    assert list(tmp_path.iterdir()) == [fifo]
