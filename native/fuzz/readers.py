"""atheris: the Python readers by coverage. Any bytes become a graph, a recipe or pixels, or are a ReactnetError.

pip install atheris
python native/fuzz/seeds.py SEEDS
python native/fuzz/readers.py SEEDS -max_len=8192 -max_total_time=600
"""

import hashlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["reactnet"]):
    from reactnet.errors import ReactnetError
    from reactnet.graph import dumps, loads
    from reactnet.images import load_image
    from reactnet.train.recipe import parse_recipe

MARK = b'"sha256":"'
IMAGE = Path(tempfile.mkdtemp()) / "image"


def rehash(data: bytes) -> bytes:
    """The bytes with the digest they should have, where there is a place for it."""
    begin = data.find(MARK) + len(MARK)
    if begin < len(MARK) or len(data) < begin + 64:
        return data
    blank = data[:begin] + b"0" * 64 + data[begin + 64 :]
    return data[:begin] + hashlib.sha256(blank).hexdigest().encode() + data[begin + 64 :]


def read_graph(data: bytes) -> None:
    graph = loads(rehash(data))
    assert dumps(loads(dumps(graph))) == dumps(graph)


def read_recipe(data: bytes) -> None:
    parse_recipe(data.decode("utf-8", "replace"), source="x.toml")


def read_image(data: bytes) -> None:
    IMAGE.write_bytes(data)
    load_image(IMAGE, 3)


def one_input(data: bytes) -> None:
    """Packed files are told by their first bytes, images by those of their format; all else is a recipe."""
    reader = read_graph if data[6:9] == b"\0\0{" else read_image if data[:1] in b"\x89\xffRB" else read_recipe
    try:
        reader(data)
    except ReactnetError as error:
        if not (error.problem and error.hint):
            raise AssertionError("an error without words") from error


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
