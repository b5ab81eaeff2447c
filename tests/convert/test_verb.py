"""`reactnet convert`: what it prints, and how it fails."""

import json
from pathlib import Path

import pytest
import torch

from convert.published import Form, ResNet, randomise
from reactnet.cli.main import main
from reactnet.train import load_model


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = ResNet((6, 6, 6), 16, 3, Form("weights", flat=True), small=True)
    randomise(network, exact=True)
    state = {f"module.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 1}, tmp_path / "model_best.pth.tar")
    return tmp_path / "model_best.pth.tar"


@pytest.mark.usefixtures("small")
def test_convert_says_what_it_found(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.safetensors"
    assert main(["convert", str(file), "-o", str(output)]) == 0
    text = capsys.readouterr().out
    assert "official ReActNet, ResNet family (in 'state_dict', prefix 'module.' taken off)" in text
    assert "reactnet20_cifar, 3 classes" in text
    assert "deployment weights, not a starting point for fine-tuning" in text
    assert text.splitlines()[-1].split() == ["written", str(output)]
    load_model(output)


@pytest.mark.usefixtures("small")
def test_convert_prints_json_and_takes_class_names(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, names = tmp_path / "out.safetensors", tmp_path / "names.txt"
    names.write_text("null\neins\nzwölf\n", encoding="utf-8")
    command = ["convert", str(file), "-o", str(output), "--class-names", str(names), "--json"]
    assert main([*command, "--model", "reactnet20_cifar"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["phase"], found["deployment_weights"]) == ("reactnet20_cifar", "two", True)
    assert (found["output"], found["ignored"], found["zeros"]) == (str(output), ["epoch"], 0)
    card = load_model(output).reactnet
    assert card.class_names == ("null", "eins", "zwölf")  # type: ignore[union-attr]


def test_convert_fails_in_two_lines(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(file), "-o", str(tmp_path / "out.safetensors")]) == 2
    out, err = capsys.readouterr()
    error, hint = err.splitlines()
    assert out == ""
    assert error.startswith(f"error: {file}: not a reactnet18, which is nearest")
    assert hint.startswith("hint: ")
    assert not (tmp_path / "out.safetensors").exists()
