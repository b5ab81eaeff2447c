"""Writing and reading packed files: round trips, byte reproducibility, and files that nobody vouches for."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.graphs import random_graph
from golden.make_golden import FOLDER
from reactnet.errors import ReactnetError
from reactnet.graph import Graph, GraphBuilder, check, dumps, load, loads, pack_bits, save

MARK = b'"sha256":"'


def tiny() -> Graph:
    """As few bytes as a graph with a binary convolution has."""
    builder = GraphBuilder("t", (1, 1, 1), input_name="i")
    x = builder.add("normalize", "i", name="n", table=np.arange(256, dtype=np.float32)[:, None])
    x = builder.add("sign", x, name="s", shift=np.zeros(1, np.float32))
    x = builder.add("bconv2d", x, name="b", weight=pack_bits(np.ones((2, 1, 1, 1))))
    return builder.build(x, class_names=("no", "yes"), provenance={"seed": "0"})


DATA = dumps(tiny())
DIGITS = DATA[DATA.index(MARK) + len(MARK) :][:64]


def rehash(data: bytes) -> bytes:
    """The bytes with the digest they should have, where there is a place for it."""
    place = data.find(MARK)
    if place < 0 or len(data) < place + len(MARK) + 64:
        return data
    begin = place + len(MARK)
    blank = data[:begin] + b"0" * 64 + data[begin + 64 :]
    return data[:begin] + hashlib.sha256(blank).hexdigest().encode() + data[begin + 64 :]


def pack(header: str | bytes, tensors: bytes = b"", pad: bytes = b" ") -> bytes:
    raw = header.encode() if isinstance(header, str) else header
    raw += pad * (-len(raw) % 8)
    return rehash(len(raw).to_bytes(8, "little") + raw + tensors)


def parts(data: bytes = DATA) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Header, graph, tensor bytes."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["reactnet"]), data[8 + length :]


def edited(change: Callable[[dict[str, Any], dict[str, Any]], None], tensors: bytes | None = None) -> bytes:
    """DATA with its header and graph changed, and the right hash."""
    header, graph, body = parts()
    change(header, graph)
    if "reactnet" in header.get("__metadata__", {}):
        header["__metadata__"]["reactnet"] = json.dumps(graph)
    return pack(json.dumps(header, separators=(",", ":")), body if tensors is None else tensors)


def with_graph_text(text: str) -> bytes:
    header, _, body = parts()
    header["__metadata__"]["reactnet"] = text
    return pack(json.dumps(header, separators=(",", ":")), body)


# Round trips -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(25))
def test_a_graph_survives_the_file(seed, tmp_path):
    graph = random_graph(seed)
    path = tmp_path / "x.rnet"
    save(graph, path)
    again = load(path)
    assert dumps(again) == path.read_bytes() == dumps(graph)
    assert (again.nodes, again.output, again.model, again.ends) == (graph.nodes, graph.output, graph.model, graph.ends)
    assert again.preprocessing == graph.preprocessing
    assert again.constants.keys() == graph.constants.keys()
    for name, array in graph.constants.items():
        assert again.constants[name].dtype == array.dtype
        np.testing.assert_array_equal(again.constants[name], array)


def test_bytes_do_not_depend_on_order_or_process():
    graph = random_graph(3)
    turned = replace(graph, constants=dict(reversed(graph.constants.items())))
    assert dumps(turned) == dumps(graph)
    program = (
        "import hashlib; from conformance.graphs import random_graph; from reactnet.graph import dumps;"
        "print(hashlib.sha256(dumps(random_graph(3))).hexdigest())"
    )
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, check=True, text=True
        )
        assert done.stdout.strip() == hashlib.sha256(dumps(graph)).hexdigest()


def test_safetensors_opens_the_file(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    graph = load(FOLDER / "real.rnet")
    path = tmp_path / "x.rnet"
    save(graph, path)
    tensors = safetensors.load_file(path)
    assert tensors.keys() == graph.constants.keys()
    for name, array in graph.constants.items():
        np.testing.assert_array_equal(tensors[name], array)


def test_hash_is_that_of_the_file_with_its_digits_blank():
    begin = DATA.index(MARK) + len(MARK)
    digits = DATA[begin : begin + 64].decode()
    assert hashlib.sha256(DATA.replace(digits.encode(), b"0" * 64)).hexdigest() == digits


def test_tensors_are_aligned_and_the_header_is_ascii():
    header, _, body = parts()
    sizes = {"U64": 8, "F32": 4}
    for name, entry in header.items():
        if name != "__metadata__":
            assert entry["data_offsets"][0] % sizes[entry["dtype"]] == 0
    assert (len(DATA) - len(body)) % 8 == 0
    assert DATA[8 : len(DATA) - len(body)].isascii()


def test_class_names_keep_their_letters():
    names = ('"', "\\\n\U0001f989")
    again = loads(dumps(replace(tiny(), class_names=names, provenance={"\u00fc": '{"sha256":"' + "0" * 64})))
    assert again.class_names == names
    assert again.provenance == {"\u00fc": '{"sha256":"' + "0" * 64}


def test_equivalent_json_is_read():
    header, graph, body = parts()
    graph["model"] = "MODEL"
    text = json.dumps(graph, indent=2).replace("MODEL", "\\u0074") + "\n "
    metadata = {"sha256": "0" * 64, "reactnet": text}
    names = list(reversed([name for name in header if name != "__metadata__"]))
    turned = {**{name: header[name] for name in names}, "__metadata__": metadata}
    raw = json.dumps(turned, indent=1).encode().replace(b'"sha256": "', MARK)
    assert dumps(loads(pack(raw, body))) == DATA


def test_tensors_may_lie_in_any_order():
    header, _, body = parts()
    entries = sorted((v["data_offsets"], n) for n, v in header.items() if n != "__metadata__")
    moved, end = b"", 0
    for (begin, stop), name in reversed(entries):
        moved += body[begin:stop]
        header[name]["data_offsets"] = [end, end + stop - begin]
        end += stop - begin
    assert dumps(loads(pack(json.dumps(header, separators=(",", ":")), moved))) == DATA


# Saving ------------------------------------------------------------------------------------------------------------


def test_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "x.rnet"
    path.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ReactnetError, match="No space left") as caught:
        save(tiny(), path)
    assert str(path) in caught.value.problem
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.rnet"]
    assert path.read_bytes() == b"old"


def test_interrupt_while_saving_leaves_nothing(tmp_path, monkeypatch):
    def stop(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        save(tiny(), tmp_path / "x.rnet")
    assert list(tmp_path.iterdir()) == []


def test_wrong_graph_is_not_written(tmp_path):
    with pytest.raises(ReactnetError):
        save(replace(tiny(), output="nothing"), tmp_path / "x.rnet")
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_an_error_naming_the_file(tmp_path):
    with pytest.raises(ReactnetError, match=r"none/x\.rnet: cannot be written"):
        save(tiny(), tmp_path / "none" / "x.rnet")


def test_saving_over_a_folder_is_an_error(tmp_path):
    (tmp_path / "x.rnet").mkdir()
    with pytest.raises(ReactnetError):
        save(tiny(), tmp_path / "x.rnet")
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.rnet"]


# Hostile files -----------------------------------------------------------------------------------------------------


def refuses(data: bytes, words: str = "") -> None:
    with pytest.raises(ReactnetError) as caught:
        loads(data, source="file.rnet")
    assert caught.value.problem.startswith("file.rnet: ")
    assert words in caught.value.problem
    assert caught.value.hint


def test_every_truncation_is_refused():
    for size in range(len(DATA)):
        refuses(DATA[:size])


def test_every_truncation_is_refused_even_with_the_right_hash():
    for size in range(len(DATA)):
        refuses(rehash(DATA[:size]))


def test_every_single_bit_change_is_refused():
    data = bytearray(DATA)
    for place in range(len(data)):
        for bit in range(8):
            data[place] ^= 1 << bit
            with pytest.raises(ReactnetError):
                loads(bytes(data))
            data[place] ^= 1 << bit
    assert bytes(data) == DATA


def outcome(data: bytes) -> bool:
    """Whether the file is read; whatever is read must be a graph that can be written."""
    try:
        graph = loads(data)
    except ReactnetError:
        return False
    check(graph)
    assert dumps(loads(dumps(graph))) == dumps(graph)
    return True


def test_mutants_with_the_right_hash_are_graphs_or_errors():
    random = np.random.default_rng(0)
    header = int.from_bytes(DATA[:8], "little") + 8
    read = 0
    for place in range(header + 64):  # past that only numbers
        mutant = bytearray(DATA)
        mutant[place] ^= 1 << int(random.integers(0, 8))
        read += outcome(rehash(bytes(mutant)))
        mutant = bytearray(DATA)
        mutant[place : place + int(random.integers(0, 3))] = random.bytes(int(random.integers(0, 3)))
        read += outcome(rehash(bytes(mutant)))
    assert read > 0  # some changes (a digit of a mean, a letter of a class) are fine: the mutants do get past the hash


def test_tokens_in_the_wrong_place_are_graphs_or_errors():
    tokens = [
        b"-1",
        b"0",
        b"1e9",
        b"1.0",
        b"99999999999999999999",
        b"9" * 5000,
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'\\"x\\"',
    ]
    text = DATA[: int.from_bytes(DATA[:8], "little") + 8]
    starts = [place for place in range(8, len(text)) if text[place] in b'0123456789[{"' and text[place - 1] in b":,["]
    for place in starts:
        for token in tokens:
            end = place + 1
            while end < len(text) and text[end] in b"0123456789":
                end += 1
            raw = (text[8:place] + token + text[end:]).rstrip(b" ")
            outcome(pack(raw, DATA[len(text) :]))


def offsets(header: dict[str, Any], name: str, begin: int, end: int) -> None:
    header[name]["data_offsets"] = [begin, end]


def with_hole() -> bytes:
    """Eight bytes that no tensor holds, in front of the last one; every tensor is there and aligned."""
    body = parts()[2]
    return edited(lambda h, g: offsets(h, "s.shift", 1048, 1052), body[:1040] + bytes(8) + body[1040:])


def with_last_number(value: float) -> bytes:
    return edited(lambda h, g: None, parts()[2][:-4] + np.float32(value).tobytes())


def with_node_aside(graph: dict[str, Any]) -> None:
    """A node whose value nobody reads."""
    graph["nodes"].append({"attributes": {}, "constants": {}, "inputs": ["n"], "name": "z", "op": "relu"})


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "0 bytes"),
    "huge header": (lambda: (2**24 + 8).to_bytes(8, "little") + DATA[8:], "header of"),
    "header past the end": (lambda: (2**63).to_bytes(8, "little") + DATA[8:], "header of"),
    "header not a multiple of 8": (lambda: (13).to_bytes(8, "little") + DATA[8:], "header of 13"),
    "not UTF-8": (lambda: pack(b'{"\xff":1}'), "UTF-8"),
    "a list": (lambda: pack("[]"), "object"),
    "padding of tabs": (lambda: pack(json.dumps(parts()[0]), parts()[2], pad=b"\t"), "spaces"),
    "space in front": (lambda: pack(" " + json.dumps(parts()[0]), parts()[2]), "spaces"),
    "two objects": (lambda: pack("{}{}"), "JSON"),
    "deep": (lambda: pack('{"a":' + "[" * 100_000 + "]" * 100_000 + "}"), "deeper than 8"),
    "deep and unclosed": (lambda: pack('{"a":' * 500_000 + "}"), "deeper than 8"),
    "many escaped quotes": (lambda: pack('{"' + '\\"' * 200_000 + "}"), "JSON"),
    "no metadata": (lambda: pack("{}"), "__metadata__"),
    "metadata key": (lambda: edited(lambda h, g: h["__metadata__"].update(format="pt")), "'format'"),
    "no hash": (lambda: edited(lambda h, g: h["__metadata__"].pop("sha256")), "'sha256'"),
    "no graph": (lambda: edited(lambda h, g: h["__metadata__"].pop("reactnet")), "'reactnet'"),
    "short hash": (lambda: DATA.replace(DIGITS, b"0" * 32 + b" " * 32), "64 lower-case"),
    "upper-case hash": (lambda: DATA.replace(DIGITS, DIGITS.upper()), "64 lower-case"),
    "escaped hash": (lambda: DATA.replace(DIGITS, b"\\u0061" + DIGITS[6:]), ""),
    "trailing byte": (lambda: rehash(DATA + b"\0"), "1 bytes follow"),
    "wrong byte": (lambda: DATA[:-1] + b"\1", "sha256"),
    "duplicate tensor": (lambda: rehash(DATA.replace(b'"s.shift":{', b'"n.table":{')), "'n.table' stands twice"),
    "duplicate by escape": (lambda: pack('{"a":1,"\\u0061":1}'), "'a' stands twice"),
    "tensor key": (lambda: edited(lambda h, g: h["s.shift"].update(x=1)), "'x'"),
    "tensor without a shape": (lambda: edited(lambda h, g: h["s.shift"].pop("shape")), "'shape'"),
    "tensor name": (lambda: edited(lambda h, g: h.update({"a b": h.pop("s.shift")})), "'a b'"),
    "BF16": (lambda: edited(lambda h, g: h["s.shift"].update(dtype="BF16")), "'BF16'"),
    "rank 0": (lambda: edited(lambda h, g: h["s.shift"].update(shape=[])), "[]"),
    "rank 5": (lambda: edited(lambda h, g: h["s.shift"].update(shape=[1] * 5)), "limits"),
    "negative side": (lambda: edited(lambda h, g: h["s.shift"].update(shape=[-1])), "[-1]"),
    "huge side": (lambda: edited(lambda h, g: h["s.shift"].update(shape=[2**31])), "limits"),
    "product past 2^64": (lambda: edited(lambda h, g: h["s.shift"].update(shape=[2**31 - 1] * 4)), "cannot hold"),
    "one offset": (lambda: edited(lambda h, g: h["s.shift"].update(data_offsets=[0])), "1 data_offsets"),
    "offset past the end": (lambda: edited(lambda h, g: offsets(h, "s.shift", 1040, 1048)), "cannot hold"),
    "negative offset": (lambda: edited(lambda h, g: offsets(h, "s.shift", -4, 0)), "cannot hold"),
    "overlap": (lambda: edited(lambda h, g: offsets(h, "s.shift", 0, 4)), "overlap"),
    "hole": (with_hole, "hole"),
    "hole where a tensor was": (lambda: edited(lambda h, g: h.pop("b.weight")), "hole"),
    "a constant of NaN": (lambda: with_last_number(np.nan), "NaN or an infinity"),
    "a constant of infinity": (lambda: with_last_number(np.inf), "NaN or an infinity"),
    "a value nobody reads": (lambda: edited(lambda h, g: with_node_aside(g)), "'z'"),
    "dtype of another size": (lambda: edited(lambda h, g: h["s.shift"].update(dtype="F16")), "cannot hold"),
    "dtype of the same size": (lambda: edited(lambda h, g: h["s.shift"].update(dtype="I32")), "I32"),
    "real offset": (lambda: edited(lambda h, g: offsets(h, "s.shift", 1040.0, 1044)), "1040.0"),
    "graph is a list": (lambda: with_graph_text("[]"), "graph"),
    "graph is cut": (lambda: with_graph_text("{"), "graph: not JSON"),
    "graph key twice": (lambda: with_graph_text('{"format":1,"format":1}'), "'format' stands twice"),
    "deep graph": (lambda: with_graph_text('{"a":' * 9 + "1" + "}" * 9), "deeper than 8"),
    "NaN in the graph": (lambda: with_graph_text('{"format":NaN}'), "NaN"),
    "graph after the graph": (lambda: with_graph_text(json.dumps(parts()[1]) + "x"), "JSON"),
    "version 2": (lambda: edited(lambda h, g: g.update(format=2)), "version 2"),
    "version 2 with new keys": (lambda: edited(lambda h, g: g.update(format=2, more=1)), "version 2"),
    "version true": (lambda: edited(lambda h, g: g.update(format=True)), "true"),
    "version as text": (lambda: edited(lambda h, g: g.update(format="1")), '"1"'),
    "no version": (lambda: edited(lambda h, g: g.pop("format")), "'format'"),
    "graph key": (lambda: edited(lambda h, g: g.update(more=1)), "'more'"),
    "node key": (lambda: edited(lambda h, g: g["nodes"][0].update(more=1)), "'more'"),
    "node without inputs": (lambda: edited(lambda h, g: g["nodes"][0].pop("inputs")), "'inputs'"),
    "node is text": (lambda: edited(lambda h, g: g["nodes"].append("x")), '"x"'),
    "unknown op": (lambda: edited(lambda h, g: g["nodes"][0].update(op="normalise")), "normalise"),
    "too many nodes": (lambda: edited(lambda h, g: g.update(nodes=[0] * 65_537)), "65537 nodes"),
    "attribute of text": (lambda: edited(lambda h, g: g["nodes"][2]["attributes"].update(groups="1")), '"1"'),
    "attribute null": (lambda: edited(lambda h, g: g["nodes"][2]["attributes"].update(groups=None)), "null"),
    "boolean in a pair": (lambda: edited(lambda h, g: g["nodes"][2]["attributes"].update(stride=[True, 1])), "true"),
    "mean of NaN": (lambda: edited(lambda h, g: g["preprocessing"].update(mean=["nan"])), "'nan'"),
    "mean of a number": (lambda: edited(lambda h, g: g["preprocessing"].update(mean=[0])), "0"),
    "huge mean": (lambda: edited(lambda h, g: g["preprocessing"].update(mean=["1e999"])), "'1e999'"),
    "surrogate": (lambda: edited(lambda h, g: g["provenance"].update(seed="\ud800")), "surrogate"),
    "provenance of a number": (lambda: edited(lambda h, g: g["provenance"].update(seed=0)), "0"),
    "set tail bit": (lambda: rehash(DATA.replace(b"\1" + b"\0" * 7, b"\3" + b"\0" * 7, 1)), "past channel 1"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_file_is_refused_with_the_value(case):
    make, words = HOSTILE[case]
    refuses(make(), words)


def test_digits_that_stand_twice_are_refused():
    data = dumps(replace(tiny(), provenance={"seed": "0" * 64}))
    begin = data.index(MARK) + len(MARK)
    loads(data)
    refuses(data[:begin] + b"0" * 64 + data[begin + 64 :], "once")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: Path(path).touch(), lambda path: None])
def test_what_is_no_packed_file_is_refused_at_once(tmp_path, make):
    path = tmp_path / "x.rnet"
    make(path)
    with pytest.raises(ReactnetError) as caught:
        load(path)
    assert caught.value.problem.startswith(f"{path}: ")


def test_impossible_paths_are_errors():
    with pytest.raises(ReactnetError, match="cannot be opened"):
        load("a\0b")
    for path in ("a\0b", "/", "."):
        with pytest.raises(ReactnetError, match="cannot be written"):
            save(tiny(), path)


def test_errors_of_a_loaded_file_begin_with_its_name(tmp_path):
    path = tmp_path / "bad.rnet"
    path.write_bytes(edited(lambda h, g: g["nodes"][0].update(op="x")))
    with pytest.raises(ReactnetError, match=r"bad\.rnet: node 'n' \(x\): "):
        load(path)


def test_save_replaces_no_device_and_no_fifo(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(ReactnetError, match="not a regular file"):
        save(random_graph(0), fifo)
    assert fifo.is_fifo()
    assert list(tmp_path.iterdir()) == [fifo]
