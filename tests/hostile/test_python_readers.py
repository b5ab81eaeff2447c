"""The Python readers against hypothesis: whatever it makes of a good file is read, or is a ReactnetError."""

import copy
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.test_file import DATA, MARK, parts, rehash, with_graph_text
from native.test_file import assert_readers_agree
from reactnet.errors import ReactnetError
from reactnet.graph import strict_json

torch = pytest.importorskip("torch")

from convert.published import Form, ResNet  # noqa: E402
from reactnet.convert import convert  # noqa: E402
from reactnet.convert.read import read as read_foreign  # noqa: E402
from reactnet.models import create_model  # noqa: E402
from reactnet.train import load_model  # noqa: E402
from reactnet.train.checkpoint import read_checkpoint, write_checkpoint  # noqa: E402
from reactnet.train.recipe import parse_recipe  # noqa: E402
from train.small_run import TEXT  # noqa: E402
from trained import save_digits  # noqa: E402

ODD = st.sampled_from([-1, 0, 1, 2, 65_536, 65_537, 2**31, 2**63, 2**64, 10**19, 10**400, "", "a", "../x", "\0", "1"])
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | ODD
JSON = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner), max_leaves=6
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in nested tables and lists something stands."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [place for key, item in items for place in places(item, (*path, key))]


def changed(table: Any, draw: st.DataObject, values: st.SearchStrategy[Any]) -> Any:
    """The table with one or two of its values replaced, removed, or standing under another key too."""
    table = copy.deepcopy(table)
    for _ in range(draw.draw(st.integers(1, 2))):
        *outer, last = draw.draw(st.sampled_from(places(table)))
        home = table
        for key in outer:
            home = home[key]
        what = draw.draw(st.sampled_from(["replace", "remove", "add"]))
        if what == "remove":
            del home[last]
        elif what == "replace" or isinstance(home, list):
            home[last] = draw.draw(values)
        else:
            home[draw.draw(st.text(min_size=1, max_size=6))] = draw.draw(values)
    return table


def refusal(call: Callable[[], object]) -> ReactnetError | None:
    """What the reader says against it; None if it takes it. Any other exception is a failure."""
    try:
        call()
    except ReactnetError as error:
        return error
    return None


# The packed file -----------------------------------------------------------------------------------------------------


@given(st.text() | JSON.map(json.dumps) | st.from_regex(r"[\[\]{}\",:0-9eE.\\ tfnu-]*", fullmatch=True))
def test_any_text_is_json_or_an_error(text: str) -> None:
    error = refusal(lambda: strict_json.parse(text, "x"))
    if error is None:
        assert strict_json.parse(text, "x") == json.loads(text)
    else:
        assert error.problem.startswith("x: ")


@given(st.data())
def test_readers_agree_on_graphs_of_odd_values(draw: st.DataObject) -> None:
    graph = changed(parts()[1], draw, JSON)
    assert_readers_agree(with_graph_text(json.dumps(graph)))


@given(st.data())
def test_readers_agree_on_headers_of_odd_values(draw: st.DataObject) -> None:
    header, _, body = parts()
    raw = json.dumps(changed(header, draw, JSON), separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    assert_readers_agree(rehash(len(raw).to_bytes(8, "little") + raw + body))


@given(st.binary(max_size=400), st.integers(0, len(DATA)), st.integers(0, 40))
def test_readers_agree_on_bytes_put_anywhere(data: bytes, place: int, gone: int) -> None:
    assert_readers_agree(rehash(DATA[:place] + data + DATA[place + gone :]))


# Recipes -------------------------------------------------------------------------------------------------------------


def is_recipe(text: str) -> bool:
    error = refusal(lambda: parse_recipe(text, source="x.toml"))
    assert error is None or (error.problem.startswith("x.toml:") and error.hint)
    return error is None


def toml(value: Any) -> str:
    """A value as TOML; what TOML has no word for is a string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(str(value))


@given(st.data())
def test_recipes_of_odd_values_are_read_or_refused(draw: st.DataObject) -> None:
    table = changed(tomllib.loads(TEXT), draw, JSON)
    is_recipe("\n".join(f"{json.dumps(key)} = {toml(value)}" for key, value in table.items()))


@given(st.text(), st.integers(0, len(TEXT)), st.integers(0, 30))
def test_recipes_of_odd_text_are_read_or_refused(text: str, place: int, gone: int) -> None:
    is_recipe(TEXT[:place] + text + TEXT[place + gone :])


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "{a=" * 50_000,
        "a = " + "9" * 5_000,
        "seed = 0x" + "f" * 100_000,
        "a." * 5_000 + "b = 1",
        "[" + "a." * 5_000 + "b]",
        TEXT.replace("learning_rate = 0.01", "learning_rate = 1" + "0" * 400),
        TEXT.replace("seed = 3", "seed = 3\nmodel_options = {a = 1979-05-27}"),
        TEXT.replace("momentum = 0.9", "momentum = nan"),
    ],
    ids=range(9),
)
def test_deep_and_huge_recipes_are_errors(text: str) -> None:
    assert not is_recipe(text)


# Checkpoints ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return save_digits(create_model("reactnet_digits"), tmp_path_factory.mktemp("card") / "x.safetensors")


def load_or_refuse(path: Path) -> bool:
    error = refusal(lambda: load_model(path))
    assert error is None or str(path) in error.problem
    return error is None


@given(draw=st.data())
def test_checkpoints_with_odd_cards_are_loaded_or_refused(draw: st.DataObject, checkpoint: Path) -> None:
    """Only the writer's hash is right: it guards against damage, and a stranger can make one."""
    tensors, metadata = read_checkpoint(checkpoint)
    plain = {key: json.loads(text) if text[0] in '[{"0123456789' else text for key, text in metadata.items()}
    plain = {key: value for key, value in changed(plain, draw, JSON).items() if key not in ("sha256", "")}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in plain.items()}
    path = checkpoint.with_name("odd.safetensors")
    try:
        write_checkpoint(path, tensors, texts)
    except UnicodeEncodeError:
        return  # half of a surrogate pair: not a file that can be
    load_or_refuse(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_classes", "9" * 5000),
        ("num_classes", "1000000000000"),
        ("num_classes", "-1"),
        ("num_classes", "60000"),
        ("image_size", "[8, 8]"),
        ("image_size", '["8", 8, 1]'),
        ("image_size", "[1e9, 8, 1]"),
        ("binarize", '"weights"'),
        ("binarize", "[[]]"),
        ("class_names", "[1]"),
        ("class_names", "{}"),
        ("preprocessing", "[]"),
        ("preprocessing", '{"resize": 8, "crop": 8, "mean": [0], "std": [1]}'),
        ("preprocessing", '{"resize": [8, 8], "crop": [8, 8], "mean": [NaN], "std": [1]}'),
        ("preprocessing", '{"resize": [8, 8], "crop": [8, 8], "mean": ["0"], "std": [1]}'),
        ("provenance", "[]"),
        ("provenance", '{"a": 1}'),
        ("options", "[]"),
        ("options", '{"num_classes": 3}'),
        ("options", '{"name": "x"}'),
        ("options", '{"binarize": "x"}'),
        ("options", '{"a": [1]}'),
        ("model", "../x"),
        ("model", ""),
        ("model", "resnet18"),
        ("provenance", "[" * 100_000),
    ],
)
def test_an_impossible_card_is_refused(tmp_path: Path, checkpoint: Path, key: str, value: str) -> None:
    tensors, metadata = read_checkpoint(checkpoint)
    path = tmp_path / "x.safetensors"
    write_checkpoint(path, tensors, {**metadata, key: value})
    assert not load_or_refuse(path)


@given(data=st.binary(max_size=60), place=st.integers(0, 2000), gone=st.integers(0, 60))
def test_checkpoints_of_odd_bytes_with_the_right_hash_are_loaded_or_refused(
    checkpoint: Path, data: bytes, place: int, gone: int
) -> None:
    whole = checkpoint.read_bytes()
    path = checkpoint.with_name("bytes.safetensors")
    mutant = whole[:place] + data + whole[place + gone :]
    path.write_bytes(rehash(mutant) if MARK in mutant else mutant)
    load_or_refuse(path)


# Checkpoints of others -----------------------------------------------------------------------------------------------

DTYPES = [
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.uint8,
    torch.bool,
    torch.cfloat,
]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    torch.manual_seed(0)
    network = ResNet((3, 3, 3), 16, 5, Form(), small=True)
    return tmp_path_factory.mktemp("foreign") / "x.pth", dict(network.state_dict())


@settings(max_examples=settings.default.max_examples // 4)  # a file is written and read for each
@given(draw=st.data())
def test_foreign_state_dicts_of_odd_tensors_are_converted_or_refused(
    published: tuple[Path, dict[str, Any]], draw: st.DataObject
) -> None:
    path, state = published
    state = dict(state)
    for _ in range(draw.draw(st.integers(1, 2))):
        key = draw.draw(st.sampled_from(sorted(state)))
        own = state[key].shape if isinstance(state[key], torch.Tensor) else ()
        shape = draw.draw(st.sampled_from([own, own, own, (), (0,), (2, 3), (1,) * 9]))
        made = torch.zeros(shape, dtype=draw.draw(st.sampled_from(DTYPES)))
        odd = [made, made.expand(3, *made.shape), made.to_sparse(), [made], {"a": made}, None, 3, "x", float("nan")]
        state[key if draw.draw(st.booleans()) else draw.draw(st.text(max_size=8))] = draw.draw(st.sampled_from(odd))
    torch.save(state, path)
    error = refusal(lambda: convert(path, path.with_name("out.safetensors")))
    assert error is None or str(path) in error.problem


@given(data=st.binary(max_size=20), place=st.integers(0, 4000), gone=st.integers(0, 20), as_zip=st.booleans())
def test_foreign_files_of_odd_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, place: int, gone: int, as_zip: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = folder / "odd.pth"
    state = {"a": torch.zeros(2, 3), "b": torch.ones(4, dtype=torch.int64)}
    torch.save(state, path, _use_new_zipfile_serialization=as_zip)
    whole = path.read_bytes()
    place %= len(whole)
    path.write_bytes(whole[:place] + data + whole[place + gone :])
    error = refusal(lambda: read_foreign(path))
    assert error is None or str(path) in error.problem


def test_a_tensor_that_unfolds_from_a_short_file_is_refused(tmp_path: Path) -> None:
    """A stride of 0 lets 4 bytes claim to be a tensor of any size, which a copy would then make real."""
    torch.save({"a": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "x.pth")
    with pytest.raises(ReactnetError, match="claims 1000000000000 numbers and holds 4 bytes"):
        read_foreign(tmp_path / "x.pth")
