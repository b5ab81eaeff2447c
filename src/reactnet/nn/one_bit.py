"""A note on a tensor that every value of it is -1 or +1, by which a layer that keeps it for backward keeps a byte each.

The note is lost in any operation that makes a new tensor, and void once the tensor has been changed in place.
"""

import torch
from torch import Tensor

_NOTE = "_reactnet_one_bit"


def note_one_bit(x: Tensor) -> Tensor:
    """Note on `x`, which holds -1 and +1 only, that it does, and return it."""
    # A compiler decides for itself what to keep. Without gradients nothing is kept (and inference has no versions).
    if not torch.compiler.is_compiling() and torch.is_grad_enabled():
        setattr(x, _NOTE, x._version)
    return x


def is_one_bit(x: Tensor) -> bool:
    """Whether `x` was noted to hold -1 and +1 only, and has not been written to since."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return False
    return getattr(x, _NOTE, None) == x._version
