"""What the compiler's tests compare with: torch's logits on the same pixels."""

import numpy as np
import torch
from torch import nn

from reactnet.graph import Graph, run_reference

CLOSE = 2e-5
"""Torch against reference over a whole small network, as a part of the largest logit: some 300 roundings of 6e-8."""


def images(shape: tuple[int, int, int], count: int = 3, seed: int = 0) -> np.ndarray:
    """Random pixels."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def torch_logits(model: nn.Module, pixels: np.ndarray) -> np.ndarray:
    """What the model makes of pixels scaled to [0, 1]: mean 0, std 1."""
    with torch.no_grad():
        return model(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255).numpy()


def assert_close(model: nn.Module, graph: Graph) -> None:
    """The reference's logits are the model's, but for rounding."""
    pixels = images(graph.input_shape)
    expected = torch_logits(model, pixels)
    assert np.abs(expected).max() > 1e-3  # logits of 0 would agree with anything scaled
    found = run_reference(graph, pixels)
    np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=0, atol=CLOSE * np.abs(expected).max())
