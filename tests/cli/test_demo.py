"""The demo, with one epoch a phase: everything it promises is there and tells the truth."""

import json
import re
import statistics
from pathlib import Path

import numpy as np
import pytest

from reactnet.cli import demo as demo_module
from reactnet.cli.demo import RECIPE, agree, milliseconds, recipe_path, write_atomically
from reactnet.cli.draw import side_by_side
from reactnet.cli.main import main
from reactnet.errors import ReactnetError

KEYS = [
    "teacher_top1", "phase1_top1", "phase2_top1", "packed_top1", "changed_images", "float_bytes", "packed_bytes",
    "torch_ms", "runtime_ms", "seconds",
]  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder and the words of a demo of one epoch a phase."""
    root = tmp_path_factory.mktemp("demo")
    short = root / "short.toml"
    short.write_text(re.sub(r"^epochs = \d+$", "epochs = 1", recipe_path(RECIPE).read_text(), flags=re.MULTILINE))
    words: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_module, "recipe_path", lambda name: short)
        patch.setattr(demo_module, "say", words.append)
        assert main(["demo", "--out", str(root / "out")]) == 0
    return root / "out", "\n".join(words)


def test_summary_has_the_promised_keys_and_sane_values(demo: tuple[Path, str]) -> None:
    out, _ = demo
    summary = json.loads((out / "summary.json").read_text())
    assert list(summary) == KEYS
    assert summary["packed_bytes"] == (out / "digits.rnet").stat().st_size
    assert summary["float_bytes"] > 5 * summary["packed_bytes"]
    for phase in ("teacher", "phase1", "phase2", "packed"):
        assert 0.3 < summary[f"{phase}_top1"] <= 1  # far from the 0.1 of chance, after one epoch
    assert abs(summary["packed_top1"] - summary["phase2_top1"]) * 360 <= summary["changed_images"]
    assert 0 < summary["runtime_ms"] < summary["torch_ms"]


def test_held_out_images_are_kept_by_class(demo: tuple[Path, str]) -> None:
    out, _ = demo
    assert sorted(path.name for path in (out / "images").iterdir()) == list("0123456789")
    assert len(list((out / "images").rglob("*.png"))) == 360


def test_eval_of_the_kept_images_is_the_summarys(demo: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = demo
    assert main(["eval", str(out / "digits.rnet"), "--data", str(out / "images"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["top1"] == json.loads((out / "summary.json").read_text())["packed_top1"]


def test_demo_says_that_the_reference_agrees(demo: tuple[Path, str]) -> None:
    assert "agree bit for bit on 360 of 360 held-out images" in demo[1]


def test_disagreement_with_the_reference_is_an_error(demo: tuple[Path, str]) -> None:
    from reactnet.graph import load
    from reactnet.runtime import Session

    class OneBitOff:
        def __init__(self, session: Session) -> None:
            self.session = session

        def run(self, images: np.ndarray) -> np.ndarray:
            logits = self.session.run(images)
            logits.view(np.uint32)[3, 5] ^= 1
            return logits

    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), dtype=np.uint8)
    file = demo[0] / "digits.rnet"
    with Session(file) as session, pytest.raises(ReactnetError, match=r"1 of 8 images differ .* first 3"):
        agree(load(file), OneBitOff(session), images)


def test_recipe_ships_with_the_package() -> None:
    assert 'model = "reactnet_digits"' in recipe_path(RECIPE).read_text()
    with pytest.raises(ReactnetError, match=r"nosuch\.toml"):
        recipe_path("nosuch.toml")


def test_milliseconds_is_a_median_over_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.cumsum([step for k in range(1000) for step in (0.0, 0.001 * (1 + k % 3))]).tolist())
    monkeypatch.setattr(demo_module.time, "perf_counter", lambda: next(clock))
    seen: list[int] = []
    assert milliseconds(seen.append, 7) == pytest.approx(statistics.median([1, 2, 3]))
    assert set(seen) == set(range(7))


def test_write_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "summary.json"
    write_atomically(target, "old")

    def full(self: Path, text: str) -> None:
        self.touch()
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(target, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    assert target.read_bytes() == b"old"


def test_half_blocks_show_two_pixels_a_character() -> None:
    image = np.array([[0, 255, 0, 255], [0, 0, 255, 255]], dtype=np.uint8)[..., None]
    assert side_by_side([image, image], ["ab", "cd"], scale=1, colour=False) == [" ▀▄█   ▀▄█", " ab    cd"]


def test_colour_gives_each_pixel_its_own() -> None:
    image = np.array([[[1, 2, 3]], [[4, 5, 6]]], dtype=np.uint8)
    assert side_by_side([image], ["x"], scale=1, colour=True)[0] == "\x1b[38;2;1;2;3;48;2;4;5;6m▀\x1b[0m"
