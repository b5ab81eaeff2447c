"""Nothing in a foreign file is run, and whatever is wrong with one is an error that names it."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from reactnet.convert.read import read
from reactnet.errors import ReactnetError

ZIP = pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "legacy"])


class Runs:
    """A pickle that makes a folder when it is opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def refused(path: Path, match: str) -> ReactnetError:
    with pytest.raises(ReactnetError, match=match) as caught:
        read(path)
    assert caught.value.problem.startswith(f"{path}: ")
    return caught.value


@ZIP
def test_both_formats_are_read(tmp_path: Path, as_zip: bool) -> None:
    state = OrderedDict({"module.a": torch.arange(3.0), "module.b": torch.nn.Parameter(torch.ones(2))})
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "a.pth", _use_new_zipfile_serialization=as_zip)
    found = read(tmp_path / "a.pth")
    assert (found.wrapped, found.prefixed, dict(found.beside)) == (True, True, {"epoch": 3})
    assert torch.equal(found.state["a"], torch.arange(3.0))
    assert list(found.state) == ["a", "b"]


def test_a_prefix_that_not_every_key_has_stays(tmp_path: Path) -> None:
    torch.save({"module.a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "a.pth")
    found = read(tmp_path / "a.pth")
    assert (found.wrapped, found.prefixed, list(found.state)) == (False, False, ["module.a", "b"])


@ZIP
def test_code_is_refused_by_name_and_not_run(tmp_path: Path, as_zip: bool) -> None:
    content = {"state_dict": {"a": torch.zeros(1)}, "meta": Runs(tmp_path / "ran")}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=as_zip)
    error = refused(tmp_path / "a.pth", r"the file holds code: it asks for \w*\.?mkdir")
    assert "nothing was run" in error.hint
    assert not (tmp_path / "ran").exists()


def test_a_bare_pickle_with_code_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(pickle.dumps(Runs(tmp_path / "ran"), protocol=2))
    refused(tmp_path / "a.pth", "holds code|damaged")
    assert not (tmp_path / "ran").exists()


def test_a_torchscript_archive_is_refused_as_code(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/constants.pkl", b"x")
    refused(tmp_path / "a.pt", "it is a TorchScript archive")


@ZIP
def test_every_truncation_is_refused(tmp_path: Path, as_zip: bool) -> None:
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(9), "b": torch.ones(2)}, buffer, _use_new_zipfile_serialization=as_zip)
    data = buffer.getvalue()
    for size in range(0, len(data), 7):
        (tmp_path / "a.pth").write_bytes(data[:size])
        refused(tmp_path / "a.pth", r"damaged|asks for (torch|collections)\.")  # a name that is cut off


def test_a_changed_weight_in_a_zip_is_noticed(tmp_path: Path) -> None:
    torch.save({"a": torch.full((9,), 1.5)}, tmp_path / "a.pth")
    data = bytearray((tmp_path / "a.pth").read_bytes())
    data[data.index(torch.full((9,), 1.5).numpy().tobytes()) + 3] ^= 1
    (tmp_path / "a.pth").write_bytes(data)
    refused(tmp_path / "a.pth", "damaged zip file: the checksum of 'a/data/0' is wrong")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + b"\0" * 99, b"\x80\x02}q\0.", b"\xff" * 300])
def test_foreign_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    refused(tmp_path / "a.pth", "damaged|no state dict")


def test_a_zip_that_unfolds_is_refused_before_it_does(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(100_000)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as whole, zipfile.ZipFile(tmp_path / "bomb.pth", "w") as bomb:
        for entry in whole.infolist():
            bomb.writestr(entry.filename, whole.read(entry), compress_type=zipfile.ZIP_DEFLATED)
    assert (tmp_path / "bomb.pth").stat().st_size < 10_000
    refused(tmp_path / "bomb.pth", "a compressed zip file")


def test_a_zip_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        entry = archive.getinfo("a/data/0")
        at = archive.start_dir
    data = bytearray((tmp_path / "a.pth").read_bytes())
    place = data.index(entry.filename.encode(), at) - 46  # the entry's record in the central directory
    data[place + 24 : place + 28] = (2**31).to_bytes(4, "little")
    (tmp_path / "a.pth").write_bytes(data)
    refused(tmp_path / "a.pth", r"bytes that claim to hold 2147\d+")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(1)], "a list, no state dict"),
        ({}, "an empty dict, no state dict"),
        ({"state_dict": {}}, "an empty dict, no state dict"),
        ({"a": torch.zeros(1), "epoch": 3}, "'epoch' is an int, not a tensor"),
        ({3: torch.zeros(1)}, "'3' is a Tensor"),
        ({"a": torch.empty(3, device="meta")}, "'a' is a tensor on meta"),
        ({"a": torch.eye(3).to_sparse()}, "'a' is a tensor on cpu in layout torch.sparse_coo"),
    ],
)
def test_what_is_no_state_dict_of_plain_tensors_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", message)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none.pth", "no such file")
    refused(tmp_path, "a folder")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "not a file")
    with (tmp_path / "large.pth").open("wb") as file:
        file.truncate(5 * 1024**3)  # a hole: it takes no space
    refused(tmp_path / "large.pth", "5368709120 bytes, more than")
