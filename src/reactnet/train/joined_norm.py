"""Statistics over the batch of all processes: for batch norms, and for the running window of a sign's gradient."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from reactnet.nn import RSign, Sign
from reactnet.train.parallel import World, sum_together


class JoinedBatchNorm2d(nn.BatchNorm2d):
    """A batch norm whose statistics in training are those of the images of all processes, on any device.

    torch's SyncBatchNorm is for GPUs only. This one does the same in operations that autograd knows, so that sums over
    processes have gradients; mean and variance are of the joined batch, also if the pieces differ in size.

    Shape: (N, C, H, W), kept; N may differ between processes.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))  # under autocast x may be half as wide
        count = _sum(wide.new_tensor([x.numel() // x.shape[1]], dtype=torch.float64)).to(wide.dtype)
        mean = _sum(wide.sum((0, 2, 3))) / count
        centred = wide - mean.view(1, -1, 1, 1)
        variance = _sum(centred.square().sum((0, 2, 3))) / count
        self._follow(mean.detach(), (variance * count / (count - 1)).detach())
        factor = torch.rsqrt(variance + self.eps)
        if not self.affine:
            return (centred * factor.view(1, -1, 1, 1)).to(x.dtype)
        factor = factor * self.weight
        return (centred * factor.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        # Without a momentum, torch keeps the plain average of all batches: `recalibrate` uses that.
        weight = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance, weight)


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return sum_together(x.clone())

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        return sum_together(grads[0].clone(memory_format=torch.contiguous_format))


def _sum(x: Tensor) -> Tensor:
    return cast("Tensor", _Sum.apply(x))  # type: ignore[no-untyped-call]


def join_statistics(model: nn.Module, world: World, *, norms: bool) -> None:
    """Let every sign of `model` follow the mean square over all processes and, with `norms`, every batch norm too.

    Signs are always joined: their windows must be the same in each process. Batch norms are exchanged in place, their
    parameters and buffers kept; make the optimizer before or after, as you like.
    """
    if world.size == 1:
        return
    for module in list(model.modules()):
        if isinstance(module, RSign | Sign):
            module.join = _joined_mean
        if norms:
            for name, child in module.named_children():
                if type(child) is nn.BatchNorm2d:
                    setattr(module, name, _joined(child))


@contextmanager
def apart(model: nn.Module) -> Iterator[None]:
    """Let this process run `model` by itself for once: every norm and window takes its own piece for the whole."""
    norms = [module for module in model.modules() if isinstance(module, JoinedBatchNorm2d | nn.SyncBatchNorm)]
    signs = [module for module in model.modules() if isinstance(module, RSign | Sign)]
    joins = [sign.join for sign in signs]
    for norm in norms:
        norm.forward = partial(nn.BatchNorm2d.forward, norm)  # type: ignore[method-assign]
    for sign in signs:
        sign.join = None
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward
        for sign, join in zip(signs, joins, strict=True):
            sign.join = join


def _joined(norm: nn.BatchNorm2d) -> nn.Module:
    assert norm.running_mean is not None
    if norm.running_mean.device.type == "cuda":
        return cast("nn.Module", nn.SyncBatchNorm.convert_sync_batchnorm(norm))  # type: ignore[no-untyped-call]
    joined = JoinedBatchNorm2d(norm.num_features, norm.eps, norm.momentum, affine=norm.affine)
    joined.weight, joined.bias = norm.weight, norm.bias
    for name, buffer in norm.named_buffers():
        setattr(joined, name, buffer)
    return joined.train(norm.training)


def _joined_mean(mean: Tensor, count: int) -> Tensor:
    sums = torch.stack([mean.double() * count, mean.new_tensor(count, dtype=torch.float64)])
    sums = sum_together(sums)
    return (sums[0] / sums[1]).to(mean.dtype)
