"""Histograms of activations before and after RSign and RPReLU: what the paper argues from.

ReActNet's case is that a binary network lives by the distribution of its activations: a learned threshold decides which
become +1, a learned shift and slope hand the next one a better spread. Written at the end of each phase.
"""

from typing import Any

import torch
from torch import Tensor, nn

from reactnet.nn import RPReLU, RSign, Sign
from reactnet.train.vitals import watched

BINS = 48
BALANCE_BINS = 20
TAIL = 0.002  # this share of the values on either side falls into the outermost bins, lest one outlier set the scale


def activation_histograms(model: nn.Module, images: Tensor) -> dict[str, Any]:
    """Of every sign and RPReLU, on `images` (N, C, H, W), in eval mode.

    `signs`: `range` (lowest, highest edge), `before` and `after` the shift (shares in `BINS` equal bins, the
    outermost taking what lies beyond), `plus` (share of +1 then), `balance` (shares of the channels by their own share
    of +1, in `BALANCE_BINS` bins over 0 to 1). `rprelus`: `range`, `before`, `after`.
    """
    signs: dict[str, dict[str, Any]] = {}
    rprelus: dict[str, dict[str, Any]] = {}
    inputs: dict[str, Tensor] = {}

    def before(name: str, module: nn.Module, x: Tensor) -> None:
        x = _here(x)
        if isinstance(module, RPReLU):
            inputs[name] = x
            return
        shifted = x + _here(module.shift.detach()).view(1, -1, 1, 1) if isinstance(module, RSign) else x
        plus = (shifted >= 0).float()
        by_channel = plus.mean([dim for dim in range(plus.dim()) if dim != 1])
        signs[name] = {
            **_pair(x, shifted),
            "plus": float(plus.mean()),
            "balance": _shares(by_channel, 0.0, 1.0, BALANCE_BINS),
        }

    def after(name: str, module: nn.Module, out: Tensor) -> None:
        if isinstance(module, RPReLU):
            rprelus[name] = _pair(inputs.pop(name), _here(out))

    with watched(model, (RSign, Sign, RPReLU), before=before, after=after), torch.no_grad():
        model(images)
    return {"images": len(images), "signs": signs, "rprelus": rprelus}


def _here(values: Tensor) -> Tensor:
    """As float32 on the CPU: MPS has no float64, and CUDA no deterministic k-th value."""
    return values.float().cpu()


def _pair(before: Tensor, after: Tensor) -> dict[str, Any]:
    """Both in the same bins, so that they can be laid over each other."""
    low = min(_edge(before, TAIL), _edge(after, TAIL))
    high = max(_edge(before, 1 - TAIL), _edge(after, 1 - TAIL))
    if not high > low:
        low, high = low - 1, high + 1
    return {
        "range": [low, high],
        "before": _shares(before, low, high, BINS),
        "after": _shares(after, low, high, BINS),
    }


def _edge(values: Tensor, share: float) -> float:
    flat = values.reshape(-1)
    finite = flat[torch.isfinite(flat)]
    if not len(finite):
        return 0.0
    return float(finite.kthvalue(1 + round(share * (len(finite) - 1))).values)


def _shares(values: Tensor, low: float, high: float, bins: int) -> list[float]:
    flat = values.reshape(-1)
    flat = flat[torch.isfinite(flat)]
    if not len(flat):
        return [0.0] * bins
    place = ((flat.double() - low) / (high - low) * bins).floor().clamp(0, bins - 1).long()
    counts = torch.bincount(place, minlength=bins)
    return [round(count / len(flat), 6) for count in counts.tolist()]
