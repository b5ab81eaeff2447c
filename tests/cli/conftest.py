"""A small model with fresh weights as a checkpoint, its packed file, and a few images of its classes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reactnet.cli.main import main
from reactnet.compiler import compile as compile_model
from reactnet.models import create_model
from reactnet.train import load_model
from trained import save_digits


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = create_model("reactnet_digits").eval()
    return save_digits(model, tmp_path_factory.mktemp("checkpoint") / "fresh.safetensors")


@pytest.fixture(scope="session")
def packed(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "digits.rnet"
    compile_model(load_model(checkpoint), path)
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images in two class folders."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for name in ("3/a.png", "3/b.png", "7/c.png"):
        (root / name).parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8)).save(root / name)
    return root


Fails = Callable[..., tuple[str, str]]


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Fails:
    """Run a command that must fail as every mistake does; gives what its two lines say."""

    def run(*argv: object) -> tuple[str, str]:
        code = main([str(word) for word in argv])
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
        assert code == 2, err
        assert out == ""
        assert len(lines) == 2, err
        assert lines[0].startswith("error: ")
        assert lines[1].startswith("hint: ")
        return lines[0].removeprefix("error: "), lines[1].removeprefix("hint: ")

    return run
