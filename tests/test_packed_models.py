"""Every model, as if trained, goes the whole way: lowered, compiled, verified by layers, run natively.

All see small images, most of odd size, so that borders, ceilings and thin last words are met; those whose blocks
another has too are only verified. One of each family is also as published, one image each; `-m "not slow"` leaves
those out.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from reactnet.cli.count import costs
from reactnet.compiler import compile as compile_model
from reactnet.graph import load, run_reference
from reactnet.models import create_model, list_models, model_info
from reactnet.nn import BinaryConv2d, RPReLU, RSign, Sign
from reactnet.runtime import Session
from reactnet.verify import verify
from trained import trained

Size = tuple[int, int, int]

# Every family, and every member whose blocks are its own. Of VGG, `hidden` makes the head narrow.
SMALL: dict[str, Size] = {
    "reactnet_a": (63, 40, 3),
    "reactnet_b": (63, 40, 3),
    "reactnet_c": (33, 40, 3),
    "reactnet18": (63, 40, 3),
    "birealnet18": (63, 40, 3),
    "birealnet152": (32, 33, 3),
    "xnornet18": (63, 40, 3),
    "bnn_resnet18": (63, 40, 3),
    "real_to_binary18": (63, 40, 3),
    "meliusnet22": (63, 40, 3),
    "quicknet_small": (63, 40, 3),
    "bnext_t": (63, 40, 3),
    "mobilenet_v1_050": (63, 40, 3),
    "resnet18": (63, 40, 3),
    "vgg11": (33, 70, 3),
    "vgg11_bn": (32, 40, 3),
}
CIFAR = [*list_models("*_cifar"), "reactnet_digits"]  # small as they are: at their full size
FULL = [
    "reactnet_a", "reactnet18", "birealnet18", "xnornet18", "bnn_resnet18", "real_to_binary18", "meliusnet22",
    "quicknet_small", "bnext_t", "mobilenet_v1", "resnet18", "vgg11",
]  # fmt: skip
OPTIONS = {name: {"hidden": 70} for name in list_models("vgg1*")}

COMPARED = (BinaryConv2d, RSign, Sign, RPReLU, nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.PReLU, nn.MaxPool2d)


def _family(name: str) -> str:
    """The first part of a model's name, up to digits: reactnet_a and reactnet18 are of one family."""
    return name.split("_")[0].rstrip("0123456789")


def _with_new_families(names: Iterable[str]) -> list[str]:
    """`names`, and one of each family that is not among them: a new file needs no line here."""
    chosen = {_family(name): name for name in reversed(list_models())}
    listed = list(names)
    return listed + [name for family, name in chosen.items() if family not in {_family(other) for other in listed}]


def _small_size(name: str) -> Size:
    info = model_info(name)
    side = min(info.image_size[0], info.stride + 1)
    return SMALL.get(name, info.image_size if name in CIFAR else (side, side, info.image_size[2]))


def _verify(model: nn.Module, path: Path, size: Size) -> None:
    """Compile to `path`; compare model and reference layer by layer, reference and runtime bit for bit."""
    compile_model(model, path, image_size=size)
    found = verify(model, path, count=1)
    assert found.ok, str(found)
    compared = {check.layer for check in found.layers}
    assert {name for name, module in model.named_modules() if isinstance(module, COMPARED)} <= compared


OWN_BLOCKS = _with_new_families([*SMALL, *CIFAR])


@pytest.mark.parametrize("name", OWN_BLOCKS)
def test_a_small_model_runs_packed_with_the_references_bits(name: str, tmp_path: Path) -> None:
    size = _small_size(name)
    model = trained(create_model(name, **OPTIONS.get(name, {})), image_size=size)
    path = tmp_path / "small.rnet"

    _verify(model, path, size)

    pixels = np.random.default_rng(1).integers(0, 256, (3, *size), dtype=np.uint8)
    expected = run_reference(load(path), pixels)
    assert np.isfinite(expected).all()
    assert len({row.tobytes() for row in expected}) == 3, "the pixels decide"
    with Session(path, threads=2) as session:
        assert session.run(pixels).tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", sorted(set(list_models()) - set(OWN_BLOCKS)))
def test_a_deeper_or_wider_member_is_verified(name: str, tmp_path: Path) -> None:
    size = _small_size(name)
    model = trained(create_model(name, **OPTIONS.get(name, {})), image_size=size)
    _verify(model, tmp_path / "small.rnet", size)


@pytest.mark.slow
@pytest.mark.parametrize("name", _with_new_families(FULL))
def test_a_full_size_model_runs_packed_with_the_references_bits(name: str, tmp_path: Path) -> None:
    size = model_info(name).image_size
    model = trained(create_model(name), image_size=size)
    path = tmp_path / "full.rnet"

    _verify(model, path, size)

    assert path.stat().st_size == costs(name, None)["packed_bytes"]
    path.unlink()  # VGG's is half a gigabyte, and pytest keeps the folders of three runs
