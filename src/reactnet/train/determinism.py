"""The same bits each time: seeds that depend on the position alone, and torch's settings for the length of a run."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_for(*what: int | str) -> int:
    """A seed of 63 bits for these words: the first bytes of SHA-256 over them, one a line."""
    text = "\n".join(str(word) for word in what)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


@contextmanager
def reproducible(threads: int, device: torch.device) -> Iterator[None]:
    """Deterministic algorithms, `threads` CPU threads and a generator of our own; all as before afterwards.

    And float32 is float32: a GPU's TF32, which torch turns on for convolutions, rounds factors to 11 bits and would
    move every accuracy that is measured. Who wants speed asks for `precision = "bfloat16"`.

    On the CPU an operation without a deterministic algorithm raises; elsewhere, torch only warns, since some of its
    GPU kernels have none.
    """
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warned_only = torch.is_deterministic_algorithms_warn_only_enabled()
    tf32 = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        try:
            yield
        finally:
            torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = tf32
            torch.set_num_threads(before[0])
            torch.use_deterministic_algorithms(before[1], warn_only=warned_only)
