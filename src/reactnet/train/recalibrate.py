"""Batch-norm statistics measured anew, on images as they are deployed: un-augmented, in float32."""

from collections.abc import Iterable

import torch
from torch import nn

from reactnet.train.feed import Batch

BATCH = 256


def recalibrate(model: nn.Module, batches: Iterable[Batch], device: torch.device) -> None:
    """Replace the running mean and variance of every batch norm by the average over `batches`, each counted alike.

    Nothing else of the model changes; it is left in eval mode. What is measured depends on the parameters and the
    images alone, so doing it twice gives the same statistics.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm)]
    model.eval()
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for a cumulative average
        norm.train()
    try:
        with torch.no_grad():
            for batch in batches:
                model(batch.images.to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
