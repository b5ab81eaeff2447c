"""Files with integer ends: every family of models, every verb, and verify finds what is not the model's."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reactnet.cli.main import main
from reactnet.compiler import compile as compile_model
from reactnet.errors import ReactnetError
from reactnet.graph import load, run_reference, save
from reactnet.models import create_model
from reactnet.runtime import Session
from reactnet.train import load_model
from reactnet.verify import verify
from trained import save_digits, trained

SIZE = (32, 32, 3)
FAMILIES = (
    *("reactnet18_cifar", "birealnet18_cifar", "real_to_binary18", "bnext_t", "quicknet_small", "meliusnet22"),
    *("reactnet_b", "resnet20_cifar", "mobilenet_v1_050"),
)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_runs_with_integer_ends_and_is_verified(name: str, tmp_path: Path) -> None:
    model = trained(create_model(name), image_size=SIZE)
    bits = 16 if name == "reactnet18_cifar" else 8
    compile_model(model, tmp_path / "x.rnet", image_size=SIZE, ends="integer", stem_bits=bits)
    compile_model(model, tmp_path / "float.rnet", image_size=SIZE)
    found = verify(model, tmp_path / "x.rnet", count=1)  # reference against runtime, and each layer against torch
    assert found.ok, str(found)
    assert any(check.rounded for check in found.layers)
    assert "rounded to fewer bits" in str(found)
    assert {node.op for node in load(tmp_path / "x.rnet").nodes} >= {"conv_u8", "linear_i8"}
    assert (tmp_path / "x.rnet").stat().st_size < (tmp_path / "float.rnet").stat().st_size


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = trained(create_model("reactnet_digits"), image_size=(8, 8, 1))
    return save_digits(model, tmp_path_factory.mktemp("checkpoint") / "drawn.safetensors", resize=(10, 9))


@pytest.fixture(scope="module", params=[8, 16])
def file(request: pytest.FixtureRequest, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("packed") / "digits.rnet"
    words = ("compile", checkpoint, "-o", path, "--ends", "integer", "--stem-bits", request.param)
    assert main([str(word) for word in words]) == 0
    weight = load(path).constants["stem.0.weight"]
    assert 8 * weight.itemsize == request.param
    return path


@pytest.mark.parametrize("image", [np.zeros, np.ones, np.full])
def test_images_of_one_colour_give_the_references_bits(file: Path, image: Callable[..., np.ndarray]) -> None:
    value = {"zeros": (), "ones": (), "full": (255,)}[image.__name__]
    pixels = image((2, 8, 8, 1), *value).astype(np.uint8)
    with Session(file) as session:
        found = session.run(pixels)
    assert found.tobytes() == run_reference(load(file), pixels).tobytes()
    assert np.isfinite(found).all()


def test_a_session_takes_pixels_and_no_floats(file: Path) -> None:
    with Session(file) as session:
        assert not session.accepts_float
        with pytest.raises(ReactnetError, match="float32"):
            session.run(np.zeros((1, 8, 8, 1), np.float32))


def test_every_verb_takes_the_file(
    file: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    for name in ("3", "7"):
        (tmp_path / name).mkdir()
        Image.fromarray(random.integers(0, 256, (12, 9), dtype=np.uint8)).save(tmp_path / name / "a.png")

    def from_json(*words: object) -> dict:
        assert main([*map(str, words), "--json"]) == 0
        return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]

    capsys.readouterr()
    assert from_json("verify", checkpoint, file, "--images", 3)["ok"] is True
    assert from_json("verify", checkpoint, file, "--data", tmp_path)["ok"] is True
    assert from_json("eval", file, "--data", tmp_path)["images"] == 2
    about = from_json("inspect", file)
    assert (about["ends"], about["accepts_float"]) == ("integer", False)
    assert any(step["kernel"].startswith("conv_u8") for step in about["plan"]["steps"])
    assert main(["predict", str(file), str(tmp_path / "3" / "a.png")]) == 0


def test_count_gives_the_size_of_a_file_with_integer_ends(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {}
    for ends in ("float", "integer"):
        assert main(["count", "reactnet_a", "--ends", ends, "--json"]) == 0
        sizes[ends] = json.loads(capsys.readouterr().out)["packed_bytes"]
    assert sizes["integer"] < 4_850_000 < sizes["float"]


def test_stem_bits_without_integer_ends_are_a_mistake(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compile", str(checkpoint), "-o", str(tmp_path / "x.rnet"), "--stem-bits", "16"]) == 2
    assert "ends are float" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def change(file: Path, out: Path, tensor: str, edit: Callable[[np.ndarray], None]) -> Path:
    graph = load(file)
    constants = {name: array.copy() for name, array in graph.constants.items()}
    edit(constants[tensor])
    save(replace(graph, constants=constants), out)
    return out


def test_one_step_of_one_integer_weight_is_found(file: Path, checkpoint: Path, tmp_path: Path) -> None:
    def step(weight: np.ndarray) -> None:
        weight.reshape(-1)[5] += 1 if weight.reshape(-1)[5] < 0 else -1

    for tensor in ("stem.0.weight", "head.weight", "stem.0.offset"):
        found = verify(load_model(checkpoint), change(file, tmp_path / "x.rnet", tensor, step), count=1)
        assert not found.ok
        assert found.stored == [f"{tensor}: 1 values differ"]
        assert found.runtime_differs == []


def test_a_wrong_scale_is_found_in_its_layer(file: Path, checkpoint: Path, tmp_path: Path) -> None:
    def double(scale: np.ndarray) -> None:
        scale *= 2

    for tensor, layer in (("stem.0.scale", "stem"), ("head.scale", "head")):
        found = verify(load_model(checkpoint), change(file, tmp_path / "x.rnet", tensor, double), count=2)
        assert found.first is not None
        assert found.first.startswith(layer)


def test_a_file_of_float_ends_is_verified_as_such(checkpoint: Path, tmp_path: Path) -> None:
    model = load_model(checkpoint)
    compile_model(model, tmp_path / "x.rnet")
    found = verify(model, tmp_path / "x.rnet", count=2)
    assert found.ok
    assert not any(check.rounded for check in found.layers)
