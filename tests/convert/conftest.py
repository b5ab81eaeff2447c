"""The small stand-ins: registered models of each family that are no published ones, made known to `recognise`."""

from dataclasses import replace

import pytest

from reactnet.convert import official, recognition, torchvision


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the digits' ReActNet and the CIFAR ResNets come in the published layouts: whole files, and few weights."""
    more = {
        official.MOBILENET: "reactnet_digits",
        official.RESNET: "reactnet20_cifar",
        torchvision.RESNET: "resnet20_cifar",
    }
    layouts = [
        replace(layout, models=(*layout.models, more[layout])) if layout in more else layout
        for layout in recognition.LAYOUTS
    ]
    monkeypatch.setattr(recognition, "LAYOUTS", layouts)
    monkeypatch.setattr("reactnet.convert.conversion._NAMED_BY_HASH", [x for x in layouts if "official" not in x.name])
