"""The binding: it finds the library, refuses a wrong one, and hands the native side's errors on."""

import ctypes.util
import re
from pathlib import Path

import pytest

from reactnet.errors import ReactnetError
from reactnet.runtime import _native, system

HEADER = Path(__file__).parents[2] / "native" / "include" / "reactnet.h"


def test_every_function_of_the_header_is_declared_with_its_arguments() -> None:
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    declared = {
        name: 0 if arguments.strip() == "void" else arguments.count(",") + 1
        for name, arguments in re.findall(r"^REACTNET_API[^;(]*?(\w+)\(([^)]*)\);", text, flags=re.MULTILINE)
    }
    assert {name: len(arguments) for name, (_, arguments) in _native._SIGNATURES.items()} == declared


def test_structs_have_the_fields_of_the_header() -> None:
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    for struct, name in ((_native.Error, "error"), (_native.Options, "options"), (_native.Info, "info")):
        body = re.search(rf"typedef struct reactnet_{name} {{(.*?)}}", text, flags=re.DOTALL)
        assert body is not None
        names = re.findall(r"(\w+)(?:\[\d+\])?\s*[;,]", body[1])
        assert [field[0] for field in struct._fields_] == names


def test_constants_are_those_of_the_header() -> None:
    text = HEADER.read_text()
    assert f"REACTNET_ABI_VERSION {_native.ABI_VERSION}u" in text
    assert f"REACTNET_KEEP_VALUES {_native.KEEP_VALUES}u" in text


def test_missing_library_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ReactnetError, match=str(tmp_path)) as caught:
        _native.load([tmp_path / "a.so", tmp_path / "b.so"])
    assert "make install" in caught.value.hint


def test_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("text")
    with pytest.raises(ReactnetError, match="cannot be loaded"):
        _native.load([tmp_path / "text.so"])


def test_foreign_library_is_refused(tmp_path: Path) -> None:
    name = ctypes.util.find_library("m")
    assert name is not None
    link = tmp_path / "libm.so"
    link.symlink_to(next(path for folder in library_folders() if (path := folder / name).exists()))
    with pytest.raises(ReactnetError, match="not the library of this package"):
        _native.load([link])


def library_folders() -> list[Path]:
    """Where the C library's maths lies: read from this process's own map, so that no distribution is assumed."""
    ctypes.CDLL(ctypes.util.find_library("m"))
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [Path(line.split()[-1]).parent for line in lines if "/libm" in line]


def test_other_abi_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "ABI_VERSION", 999)
    with pytest.raises(ReactnetError, match="ABI version 1, this package needs 999"):
        _native.load(_native.candidates())


def test_system_names_kernels_and_library() -> None:
    found = system()
    assert found["isa"] in found["isas"]
    assert set(found["isas"]) <= set(found["compiled"])
    assert Path(found["library"]).is_file()
    scalar = {kernel["op"] for kernel in found["kernels"] if kernel["isa"] == "scalar" and kernel["runs_here"]}
    assert "bconv2d" in scalar
