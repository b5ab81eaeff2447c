"""Options that make a network for 32x32 images and small budgets: `width` and `stem_stride`."""

from pathlib import Path

import numpy as np
import pytest
import torch

from reactnet import Session, compile, create_model  # noqa: A004
from reactnet.errors import ReactnetError
from reactnet.graph import load, run_reference
from reactnet.models import model_info

NAMES = ("reactnet18_cifar", "birealnet18_cifar", "xnornet18_cifar", "resnet18_cifar", "quicknet", "meliusnet22")


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_the_network_and_a_quarter_of_the_width_leaves_a_quarter_of_the_channels(name: str) -> None:
    options = model_info(name).options
    narrow = create_model(name, num_classes=10, width=16, stem_stride=1)
    wide = create_model(name, num_classes=10)
    explicit = create_model(name, num_classes=10, width=64, stem_stride=options["stem_stride"])

    assert {key: value.shape for key, value in wide.state_dict().items()} == {
        key: value.shape for key, value in explicit.state_dict().items()
    }
    assert 4 * narrow.head.in_features == wide.head.in_features
    assert set(narrow.state_dict()) == set(wide.state_dict())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_the_stem_strides_as_it_says(name: str, stride: int) -> None:
    model = create_model(name, num_classes=10, width=16, stem_stride=stride).eval()
    with torch.no_grad():
        stem = model.stem(torch.zeros(1, 3, 32, 32))
        last = model.stages(stem)

    assert stem.shape[2:] == (32 // stride, 32 // stride)
    assert last.shape[2:] == (4 // stride, 4 // stride)


@pytest.mark.parametrize("name", NAMES)
def test_packed_it_answers_as_the_reference(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = create_model(name, num_classes=10, width=16, stem_stride=2).eval()
    path = tmp_path / "small.rnet"
    compile(model, path, image_size=(32, 32))
    images = np.random.default_rng(2).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    with Session(path) as session:
        np.testing.assert_array_equal(session.run(images), run_reference(load(path), images))


@pytest.mark.parametrize(("name", "width"), [("quicknet", 18), ("meliusnet22", 24)])
def test_a_width_that_the_stem_cannot_divide_is_an_error_with_a_cure(name: str, width: int) -> None:
    with pytest.raises(ReactnetError, match=f"{name}: width {width} is no multiple of"):
        create_model(name, width=width)
    with pytest.raises(ReactnetError, match="option 'stem_stride' is 3"):
        create_model(name, stem_stride=3)
