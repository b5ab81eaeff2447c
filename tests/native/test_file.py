"""The native reader against hostile files: it refuses what the Python reader refuses, with the right status."""

import os
from pathlib import Path

import numpy as np
import pytest

from conformance.graphs import CASES, random_graph
from graph.test_file import DATA, HOSTILE, pack, rehash
from native.binding import FORMAT, HASH, IO, OK, VERSION, Model
from reactnet.errors import ReactnetError
from reactnet.graph import dumps, loads

STATUSES = {"version 2": VERSION, "version 2 with new keys": VERSION, "wrong byte": HASH}
HEADER = int.from_bytes(DATA[:8], "little") + 8


def status_of(data: bytes) -> int:
    with Model(data) as model:
        assert (model.status == OK) == bool(model.handle)
        if model.status != OK:
            assert model.status == model.error.status
            assert model.words.startswith("packed bytes: ")
            assert model.error.hint
        return model.status


def assert_readers_agree(data: bytes) -> bool:
    try:
        loads(data)
        refusal = None
    except ReactnetError as error:
        refusal = error.problem
    assert (status_of(data) == OK) == (refusal is None), f"Python says: {refusal}"
    return refusal is None


@pytest.mark.parametrize("make", [*CASES.values(), *(lambda seed=seed: random_graph(seed) for seed in range(10))])
def test_every_valid_file_is_read(make) -> None:
    assert status_of(dumps(make())) == OK


@pytest.mark.parametrize("case", HOSTILE)
def test_what_python_refuses_is_refused(case: str) -> None:
    data = HOSTILE[case][0]()
    assert not assert_readers_agree(data)
    assert status_of(data) == STATUSES.get(case, status_of(data) if case == "escaped hash" else FORMAT)


def test_every_truncation_is_refused() -> None:
    for size in range(len(DATA)):
        assert status_of(DATA[:size]) == FORMAT  # the lengths no longer fit, which is seen before the hash
        assert status_of(rehash(DATA[:size])) == FORMAT


def test_every_single_bit_change_is_refused() -> None:
    data = bytearray(DATA)
    for place in range(len(data)):
        for bit in range(8):
            data[place] ^= 1 << bit
            assert status_of(bytes(data)) != OK
            data[place] ^= 1 << bit
    assert status_of(bytes(data)) == OK


def test_a_changed_tensor_byte_is_a_hash_error() -> None:
    for place in range(HEADER, len(DATA)):
        assert status_of(DATA[:place] + bytes([DATA[place] ^ 1]) + DATA[place + 1 :]) == HASH


def test_readers_agree_on_mutants_with_the_right_hash() -> None:
    random = np.random.default_rng(0)
    tokens = [b"0", b"1", b"-1", b"-0", b"01", b"1.0", b"65537", b"[]", b"{}", b"null", b"true", b"\xff", b'"', b"\\"]
    tokens += [b"99999999999999999999", b"\\u00e9", b"\\ud800", b"\xc3\xa9", b" ", b"\0", b"[1,1]", b"e99", b"0.5"]
    read = 0
    for place in range(8, HEADER):
        flipped = bytearray(DATA)
        flipped[place] ^= 1 << int(random.integers(0, 8))
        read += assert_readers_agree(rehash(bytes(flipped)))
        token = tokens[int(random.integers(0, len(tokens)))]
        raw = DATA[8:place] + token + DATA[place + int(random.integers(0, 3)) : HEADER]
        read += assert_readers_agree(pack(raw.rstrip(b" "), DATA[HEADER:]))
    assert read > 0  # some changes are fine: the mutants do get past the hash


def test_a_file_is_read_from_disk(tmp_path: Path) -> None:
    (tmp_path / "x.rnet").write_bytes(DATA)
    with Model(path=str(tmp_path / "x.rnet")) as model:
        assert model.status == OK, model.words


def test_what_is_no_regular_file_is_an_io_error_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "link", tmp_path / "none", Path("/dev/zero")):
        with Model(path=str(path)) as model:
            assert model.status == IO
            assert model.words.startswith(f"{path}: ")


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as stream:
        stream.truncate(2**30 + 1)
    with Model(path=str(tmp_path / "huge")) as model:
        assert model.status == FORMAT
        assert "1073741825" in model.words
