"""Models as if trained: nothing is left at the 0 or 1 that it starts from, and activations stay of ordinary size."""

from pathlib import Path

import torch
from torch import nn

from reactnet.train import ModelCard, save_model


def trained(model: nn.Module, *, seed: int = 0, image_size: tuple[int, int, int] | None = None) -> nn.Module:
    """Draw every parameter and statistic of `model`; returns it in eval mode.

    With `image_size` (H, W, C), each batch norm then takes its statistics from four images of noise, so that the values
    neither vanish nor explode on their way through a deep network.
    """
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
                if not tensor.is_floating_point():
                    continue
                if name == "running_var" or (name == "weight" and isinstance(module, nn.BatchNorm2d)):
                    tensor.uniform_(0.5, 1.5, generator=random)
                elif tensor.ndim == 1:
                    tensor.normal_(0.1, 0.3, generator=random)
                elif name == "weight":
                    tensor.normal_(0, tensor[0].numel() ** -0.5, generator=random)
        if image_size is not None:
            _settle(model, image_size, random)
    return model.eval()


def save_digits(model: nn.Module, path: Path, *, resize: tuple[int, int] = (8, 8)) -> Path:
    """Save a `reactnet_digits` as a run does, with the card that says how its images are prepared; returns the path."""
    model.reactnet = ModelCard(
        name="reactnet_digits",
        num_classes=10,
        binarize=("activations", "weights"),
        image_size=(8, 8, 1),
        mean=(0.3,),
        std=(0.376,),
        resize=resize,
        crop=(8, 8),
        class_names=tuple("0123456789"),
        provenance={"seed": "0"},
    )
    save_model(model, path)
    return path


def _settle(model: nn.Module, image_size: tuple[int, int, int], random: torch.Generator) -> None:
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    height, width, channels = image_size
    model.train()(torch.rand(4, channels, height, width, generator=random))
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
