"""Where a NaN or an infinity began."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn


class NotFiniteError(Exception):
    """A loss that is not finite: `value`, and `where` it began, in words."""

    def __init__(self, value: float, where: str) -> None:
        super().__init__(f"the loss is {value}: {where}")
        self.value = value
        self.where = where


def not_finite(tensors: Iterable[tuple[str, Tensor]]) -> list[str]:
    """The names of those tensors that hold a value that is not finite."""
    return [name for name, tensor in tensors if tensor.is_floating_point() and not bool(tensor.isfinite().all())]


def where_not_finite(
    model: nn.Module, images: Tensor, autocast: Callable[[], AbstractContextManager[object]]
) -> str | None:
    """Where a forward pass of `images` first meets a value that is not finite, in words; None if nowhere.

    The pass is run again with a hook on every layer, so it must be repeatable: seed torch as for the first. Buffers are
    as before afterwards.
    """
    # Buffers say nothing of where it began: the pass that failed has already spoilt the running statistics.
    broken = not_finite(model.named_parameters())
    if broken:
        more = f" and {len(broken) - 1} more tensors" if len(broken) > 1 else ""
        return f"it began in an earlier update: {broken[0]!r}{more} of the model is not finite"
    if not bool(images.isfinite().all()):
        return "it began in the images, which are not finite"
    first: list[str] = []

    def watch(path: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if not first and isinstance(output, Tensor) and not bool(output.isfinite().all()):
                first.append(f"layer {path!r} ({type(module).__name__})" if path else "the model's own forward")

        return hook

    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    handles = [module.register_forward_hook(watch(path)) for path, module in model.named_modules()]
    try:
        with torch.no_grad(), autocast():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])
    return f"it began in {first[0]}" if first else None
