"""Models whose every parameter and statistic is drawn at random."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

Randomized = Callable[..., nn.Module]


@pytest.fixture
def randomized() -> Randomized:
    """Draw what fresh models have at 0 or 1: shifts, slopes, norms and their statistics. Returns it in eval mode."""

    def draw(model: nn.Module, seed: int = 0) -> nn.Module:
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for module in model.modules():
                for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
                    if name == "running_var":
                        tensor.uniform_(0.5, 2, generator=random)
                    elif tensor.is_floating_point() and tensor.ndim <= 1:
                        tensor.normal_(0.1, 0.5, generator=random)
                    elif tensor.is_floating_point():
                        tensor.normal_(0, tensor[0].numel() ** -0.5, generator=random)
        return model.eval()

    return draw
