"""What each verb prints and returns, and that bad input changes nothing on the disk."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reactnet.cli.inspect import description
from reactnet.cli.main import main
from reactnet.images import load_image
from reactnet.runtime import Session

RECIPE = Path(__file__).parents[2] / "recipes" / "reactnet_digits.toml"


def printed(capsys: pytest.CaptureFixture[str], *argv: object, code: int = 0) -> str:
    assert main([str(word) for word in argv]) == code, capsys.readouterr().err
    return capsys.readouterr().out


def from_json(capsys: pytest.CaptureFixture[str], *argv: object, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed(capsys, *argv, "--json", code=code))
    return found


def test_models_lists_names_that_match(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "models", "reactnet_?").splitlines()
    assert [line.split()[0] for line in lines] == ["model", "reactnet_a", "reactnet_b", "reactnet_c"]


def test_count_of_reactnet_a_is_the_papers(capsys: pytest.CaptureFixture[str]) -> None:
    found = from_json(capsys, "count", "reactnet_a")
    assert found["params"] == 29_343_592
    assert found["binary_params"] == 28_253_184
    assert found["real_params"] == found["params"] - found["binary_params"]
    assert f"{found['bops']:.3e}" == "4.817e+09"
    assert round(found["flops"] / 1e8, 3) == 0.119
    assert round(found["ops"] / 1e8, 3) == 0.871
    assert found["flops"] == sum(layer["flops"] for layer in found["layers"])
    assert found["flops_full"] > found["ops"]
    # One bit a binary parameter, at most four bytes a real one, and the graph's text.
    assert 28_253_184 / 8 < found["packed_bytes"] < 28_253_184 / 8 + 4 * found["real_params"] + 100_000


def test_count_of_the_packed_file_is_its_size(capsys: pytest.CaptureFixture[str], packed: Path) -> None:
    found = from_json(capsys, "count", "reactnet_digits")
    assert abs(found["packed_bytes"] - packed.stat().st_size) < 2_000  # class names and provenance differ


def test_count_says_by_which_convention_it_counts(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "count", "reactnet_digits", "--layers")
    assert "OPs = FLOPs + BOPs / 64" in text
    assert "bconv2d" in text


def test_predict_names_the_sessions_answer(capsys: pytest.CaptureFixture[str], packed: Path, folder: Path) -> None:
    found = from_json(capsys, "predict", packed, folder / "7", folder / "3" / "a.png", "--top", "3")
    assert [entry["path"] for entry in found["predictions"]] == [str(folder / "7/c.png"), str(folder / "3/a.png")]
    with Session(packed) as session:
        logits = session.run(load_image(folder / "7" / "c.png", 1)[None])[0].astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum()
    classes = found["predictions"][0]["classes"]
    assert [entry["index"] for entry in classes] == np.argsort(-logits)[:3].tolist()
    assert [entry["label"] for entry in classes] == [str(entry["index"]) for entry in classes]
    np.testing.assert_allclose([entry["probability"] for entry in classes], np.sort(probabilities)[::-1][:3])


def test_predict_prints_labels_with_probabilities(
    capsys: pytest.CaptureFixture[str], packed: Path, folder: Path
) -> None:
    lines = printed(capsys, "predict", packed, folder, "--top", "20").splitlines()
    assert len(lines) == 3 * (1 + 10)  # no more than there are classes
    assert lines[0] == str(folder / "3" / "a.png")
    assert sum(float(line.split()[1]) for line in lines[1:11]) == pytest.approx(100, abs=0.1)


def test_predict_takes_images_of_any_kind(capsys: pytest.CaptureFixture[str], packed: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (30, 20, 4), dtype=np.uint8)).save(tmp_path / "alpha.png")
    Image.fromarray(random.integers(0, 256, (9, 40, 3), dtype=np.uint8)).save(tmp_path / "photo.jpg")
    Image.fromarray(random.integers(0, 65536, (8, 8)).astype(np.uint16)).save(tmp_path / "deep.png")
    assert len(from_json(capsys, "predict", packed, tmp_path)["predictions"]) == 3


def test_predict_can_skip_bad_images(
    capsys: pytest.CaptureFixture[str], packed: Path, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "images")
    (tmp_path / "images" / "bad.png").write_bytes(b"bad")
    found = from_json(capsys, "predict", packed, tmp_path / "images", "--on-bad-image", "skip")
    assert len(found["predictions"]) == 3
    assert [entry["path"] for entry in found["skipped"]] == [str(tmp_path / "images" / "bad.png")]


def test_eval_is_the_same_for_checkpoint_and_packed_file(
    capsys: pytest.CaptureFixture[str], packed: Path, checkpoint: Path
) -> None:
    found = [from_json(capsys, "eval", model, "--data", "digits", "--confusion") for model in (checkpoint, packed)]
    for result, model in zip(found, (checkpoint, packed), strict=True):
        assert result.keys() == {
            "model", "top1", "top5", "images", "skipped", "per_class", "seconds", "confusion",
        }  # fmt: skip
        assert result["model"] == str(model)
        assert (result["images"], result["skipped"]) == (360, 0)
        assert np.trace(result["confusion"]) == round(result["top1"] * 360)
        assert list(result["per_class"]) == list("0123456789")
    # Untrained weights answer many images nearly alike, so a rounding may turn a few.
    changed = np.abs(np.array(found[0]["confusion"]) - np.array(found[1]["confusion"])).sum() / 2
    assert changed <= 0.05 * 360


def test_eval_prints_classes_and_confusion_on_request(
    capsys: pytest.CaptureFixture[str], packed: Path, folder: Path
) -> None:
    short = printed(capsys, "eval", packed, "--data", folder)
    long = printed(capsys, "eval", packed, "--data", folder, "--per-class", "--confusion")
    assert "top-1" in short
    assert "the answer" not in short
    assert long.splitlines()[-11].split() == list("0123456789")


def test_compile_writes_the_file_and_reports(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, packed: Path, tmp_path: Path
) -> None:
    text = printed(capsys, "compile", checkpoint, "-o", tmp_path / "again.rnet")
    assert (tmp_path / "again.rnet").read_bytes() == packed.read_bytes()
    assert "binary" in text


def test_verify_accepts_the_models_own_file(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, packed: Path, folder: Path
) -> None:
    assert from_json(capsys, "verify", checkpoint, packed, "--images", "2")["ok"] is True
    assert from_json(capsys, "verify", checkpoint, packed, "--data", folder)["ok"] is True


def test_verify_exits_with_1_on_a_difference(
    capsys: pytest.CaptureFixture[str], checkpoint: Path, tmp_path: Path
) -> None:
    import torch

    from reactnet.compiler import compile as compile_model
    from reactnet.train import load_model

    other = load_model(checkpoint)
    with torch.no_grad():
        other.head.bias += 1
    compile_model(other, tmp_path / "other.rnet")
    assert from_json(capsys, "verify", checkpoint, tmp_path / "other.rnet", "--images", "2", code=1)["ok"] is False


def test_inspect_tells_what_is_in_the_file(capsys: pytest.CaptureFixture[str], packed: Path) -> None:
    found = from_json(capsys, "inspect", packed)
    assert found["model"] == "reactnet_digits"
    assert found["input_shape"] == [8, 8, 1]
    assert found["class_names"] == list("0123456789")
    assert found["provenance"]["seed"] == "0"
    assert found["file_bytes"] == packed.stat().st_size
    assert 0 < sum(found["bytes_by_dtype"].values()) < found["file_bytes"]
    assert sum(len(step["nodes"]) for step in found["plan"]["steps"]) == found["nodes"]
    text = printed(capsys, "inspect", packed)
    for step in description(packed)["plan"]["steps"]:
        assert step["kernel"] in text


def test_doctor_names_isa_kernels_and_versions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REACTNET_ISA", raising=False)
    found = from_json(capsys, "doctor")
    assert found["isa"] in found["isas"]
    assert "bconv2d" in found["kernels"]
    assert found["versions"]["numpy"] == np.__version__
    monkeypatch.setenv("REACTNET_ISA", "scalar")
    scalar = from_json(capsys, "doctor")
    assert scalar["isa"] == "scalar"
    assert "scalar" in scalar["kernels"]["bconv2d"]


def test_doctor_says_that_an_isa_is_not_here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REACTNET_ISA", "abacus")
    assert "'abacus'" in from_json(capsys, "doctor", code=1)["problem"]


def bad_image(path: Path, kind: str) -> Path:
    if kind == "empty folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes({"corrupt": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "empty": b""}[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "problem"),
    [("missing", "No such file"), ("corrupt", "image"), ("empty", "0 bytes"), ("empty folder", "no images")],
)
def test_predict_refuses_a_bad_image(fails, packed: Path, tmp_path: Path, kind: str, problem: str) -> None:
    path = bad_image(tmp_path / "bad.png", kind)
    found, _ = fails("predict", packed, path)
    assert found.startswith(f"{path}: ")
    assert problem in found


@pytest.mark.parametrize("verb", ["predict", "inspect", "eval"])
@pytest.mark.parametrize("kind", ["missing", "foreign", "cut"])
def test_unreadable_packed_file_is_refused(fails, packed: Path, tmp_path: Path, verb: str, kind: str) -> None:
    path = tmp_path / "bad.rnet"
    if kind != "missing":
        path.write_bytes(b"PK\x03\x04 a foreign file" if kind == "foreign" else packed.read_bytes()[:-1])
    more = {"predict": [tmp_path / "a.png"], "inspect": [], "eval": ["--data", "digits"]}[verb]
    problem, _ = fails(verb, path, *more)
    assert "bad.rnet" in problem


def test_eval_refuses_classes_that_do_not_match(fails, packed: Path, tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "cat" / "0.png")
    problem, _ = fails("eval", packed, "--data", tmp_path)
    assert "'cat'" in problem


def test_eval_refuses_an_empty_folder(fails, packed: Path, tmp_path: Path) -> None:
    problem, _ = fails("eval", packed, "--data", tmp_path)
    assert str(tmp_path) in problem


@pytest.mark.parametrize("argv", [("count", "reactnet_z"), ("count", "reactnet_a", "--image-size", "3")])
def test_count_refuses_what_it_cannot_make(fails, argv: tuple[str, ...]) -> None:
    problem, _ = fails(*argv)
    assert argv[-1] in problem


def test_recipe_typo_is_refused_and_nothing_is_written(fails, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(RECIPE.read_text().replace("learning_rate", "learning_rat", 1))
    problem, hint = fails("train", recipe, "--out", tmp_path / "run")
    assert problem.startswith(f"{recipe}: ")
    assert "'learning_rat'" in problem
    assert "'learning_rate'" in hint
    assert sorted(tmp_path.iterdir()) == [recipe]


@pytest.mark.parametrize("kind", ["missing", "pickle", "folder"])
def test_compile_refuses_what_is_no_checkpoint(fails, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.safetensors"
    if kind == "pickle":
        path.write_bytes(b"\x80\x02}q\x00.")
    elif kind == "folder":
        path.mkdir()
    before = sorted(tmp_path.iterdir())
    problem, _ = fails("compile", path, "-o", tmp_path / "out.rnet")
    assert str(path) in problem
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("target", ["no/such/folder/out.rnet", "."])
def test_compile_refuses_a_target_that_cannot_be_written(fails, checkpoint: Path, tmp_path: Path, target: str) -> None:
    problem, _ = fails("compile", checkpoint, "-o", tmp_path / target)
    assert str(tmp_path) in problem
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_nothing_half_written(checkpoint: Path, tmp_path: Path) -> None:
    """A limit on file sizes stands in for the full disk: the write fails in the middle just so."""
    code = (
        "import resource, signal, sys; from reactnet.cli.main import main;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000));"
        f"sys.exit(main(['compile', {str(checkpoint)!r}, '-o', {str(tmp_path / 'out.rnet')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert [line.split(":")[0] for line in lines] == ["error", "hint"]
    assert "out.rnet" in lines[0]
    assert list(tmp_path.iterdir()) == []
