"""The exponential moving average of a model's parameters."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The running average of every parameter of `model`: average += (1 - d) * (parameter - average), after each step.

    d is min(decay, (1 + n) / (10 + n)) at the n-th update, from 0, so that the first weights are soon forgotten.
    Batch-norm statistics are not averaged: they belong to the weights that they were measured with, so whoever installs
    the average measures them anew. An average of latent weights is a vote over past signs: it may differ from every
    network that was trained, and published experience with it in binary phases is poor.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    def update(self, model: nn.Module, updates: int) -> None:
        """Take a step's parameters in; `updates` counts those before."""
        weight = 1 - min(self.decay, (1 + updates) / (10 + updates))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                self.tensors[name].lerp_(parameter, weight)

    def install(self, model: nn.Module) -> None:
        """Copy the average into the model's parameters."""
        _copy_parameters(model, self.tensors)

    @contextmanager
    def installed(self, model: nn.Module) -> Iterator[None]:
        """The model with the average's parameters; all of its own, and its buffers, return afterwards."""
        parameters = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        self.install(model)
        try:
            yield
        finally:
            _copy_parameters(model, parameters)
            with torch.no_grad():
                for name, buffer in model.named_buffers():
                    buffer.copy_(buffers[name])


def _copy_parameters(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[name])
