"""The settings of a run: float32 is float32, and everything is as before afterwards."""

import pytest
import torch

from reactnet.train.determinism import reproducible


@pytest.mark.parametrize("before", [True, False])
def test_a_run_computes_float32_without_tf32_and_puts_the_setting_back(before):
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    found = convolutions.allow_tf32, products.allow_tf32
    convolutions.allow_tf32 = products.allow_tf32 = before
    try:
        with reproducible(1, torch.device("cpu")):
            assert (convolutions.allow_tf32, products.allow_tf32) == (False, False)
        assert (convolutions.allow_tf32, products.allow_tf32) == (before, before)
    finally:
        convolutions.allow_tf32, products.allow_tf32 = found
