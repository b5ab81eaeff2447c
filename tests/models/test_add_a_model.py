"""The page that shows how to add a model: what it prints is executed, and its model is held to the tests of all."""

import re
import sys
import types
from pathlib import Path

import pytest
import torch

from reactnet.models import registry
from reactnet.nn import BinaryConv2d, binarized

PAGE = Path(__file__).parents[2] / "docs" / "add_a_model.md"
FILE, USE = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture
def tinynet(monkeypatch):
    """The page's file, imported under its own name for one test; what the page then does with it, by name."""
    monkeypatch.setattr(registry, "_MAKERS", dict(registry._MAKERS))
    monkeypatch.setattr(registry, "_INFOS", dict(registry._INFOS))
    module = types.ModuleType("reactnet.models.tinynet")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(FILE, "add_a_model.md", "exec"), module.__dict__)
    used = {}
    exec(compile(USE, "add_a_model.md", "exec"), used)
    return module, used


def test_the_file_registers_a_model_that_trains(tinynet):
    _, used = tinynet
    x = torch.randn(2, 3, 8, 8)

    used["model"](x).logsumexp(1).sum().backward()

    assert used["model"](x).shape == (2, 100)
    assert all(parameter.grad.isfinite().all() for parameter in used["model"].parameters())
    assert (binarized(used["model"]), binarized(used["twin"])) == (("activations", "weights"), ())


def test_the_header_counts_right(tinynet):
    module, used = tinynet
    total = sum(parameter.numel() for parameter in used["twin"].parameters())
    binary = sum(layer.weight.numel() for layer in used["twin"].modules() if isinstance(layer, BinaryConv2d))

    assert f"tinynet {total:,} ({binary:,} binary)" in module.__doc__


def test_the_table_lists_the_layers_that_the_tests_allow():
    page = PAGE.read_text(encoding="utf-8")
    tests = (Path(__file__).parent / "test_every_model.py").read_text(encoding="utf-8")
    allowed = set(
        re.findall(r"nn\.\w+|BinaryConv2d|Blend|RPReLU|RSign|\bSign", tests.split("LAYERS = (")[1].split(")")[0])
    )

    assert {layer for layer in allowed if f"`{layer}`" not in page} <= {"nn.Identity"}
