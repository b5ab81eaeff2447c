"""The zoo at the terminal: the list, a card, and names where a packed file is asked for."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reactnet.cli.main import main
from reactnet.zoo import DEFAULT, list_zoo, read_card


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def test_zoo_lists_what_ships_with_its_accuracy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo"]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert [line.split()[0] for line in lines[1 : 1 + len(list_zoo())]] == list_zoo()
    assert all(f"{100 * read_card(name).top1:.2f} %" in line for name, line in zip(list_zoo(), lines[1:], strict=False))
    assert DEFAULT in lines[-1]


def test_zoo_shows_a_whole_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo", DEFAULT, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sha256"] == read_card(DEFAULT).sha256
    assert Path(found["file"]).is_file()

    assert main(["zoo", DEFAULT]) == 0
    assert read_card(DEFAULT).limits in capsys.readouterr().out


@pytest.mark.parametrize("named", [True, False])
def test_predict_without_a_file_takes_the_default_and_says_so(
    capsys: pytest.CaptureFixture[str], photograph: Path, named: bool
) -> None:
    assert main(["predict", *([DEFAULT] if named else []), str(photograph), "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)

    assert found["model"] == DEFAULT
    assert len(found["predictions"][0]["classes"]) == 5
    assert (DEFAULT in err) == (not named)


def test_predict_of_a_folder_takes_the_default_too(capsys: pytest.CaptureFixture[str], photograph: Path) -> None:
    assert main(["predict", str(photograph.parent), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == DEFAULT


def test_inspect_and_eval_take_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "reactnet_digits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file_bytes"] == read_card("reactnet_digits").bytes

    assert main(["eval", "reactnet_digits", "--data", "digits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["top1"] == read_card("reactnet_digits").top1


def test_an_unknown_zoo_name_is_a_mistake_with_a_cure(fails) -> None:
    problem, cure = fails("zoo", "reactnet_digit")
    assert "no model 'reactnet_digit'" in problem
    assert cure == "did you mean 'reactnet_digits'?"
