"""Run folders made up for tests of the report: logs alone, no training."""

import json
from pathlib import Path
from typing import Any

PHASES = {"teacher": ([], 2), "student": (["activations", "weights"], 3)}


def recipe(**changes: Any) -> str:
    lines = ['model = "reactnet_digits"', f"seed = {changes.get('seed', 0)}", "[data]", 'name = "digits"']
    lines.append(f'evaluate_on = "{changes.get("evaluate_on", "test")}"')
    for name, (binarize, epochs) in changes.get("phases", PHASES).items():
        lines += [f"[phases.{json.dumps(name)}]", f"epochs = {epochs}", f"binarize = {json.dumps(binarize)}"]
    return "\n".join(lines) + "\n"


def line(phase: str, epoch: int, **changes: Any) -> dict[str, Any]:
    return {
        "phase": phase,
        "epoch": epoch,
        "step": 2 * (epoch + 1),
        "learning_rate": 0.01 / (epoch + 1),
        "loss": 1.0 / (epoch + 1),
        "train_top1": 0.5 + 0.1 * epoch,
        "test_top1": 0.4 + 0.1 * epoch,
        "time": 1.5,
        "rate": 1000.0,
        **changes,
    }


def vitals(
    phase: str, epoch: int, *, layer: str = "layer4.conv2", binary: bool = True, **changes: Any
) -> dict[str, Any]:
    weights = {"binary": binary, "flips": 0.02, "quantiles": [0.01, 0.02, 0.05, 0.1, 0.2], "outside": 0.0}
    signs = {
        "binary": binary,
        "plus": 0.5,
        "channels": 64,
        "dead": 0,
        "window": 0.7,
        "spread": 1.0,
        "drift": [0.1, 0.3],
    }
    rprelu = {"shift_in": [0.1, 0.2], "slope": [0.0, 0.1], "shift_out": [0.2, 0.3]}
    weights |= {key: value for key, value in changes.items() if key in weights}
    signs |= {key: value for key, value in changes.items() if key in signs}
    groups = {"weights": {layer: weights}, "signs": {f"{layer}.sign": signs}, "rprelus": {f"{layer}.act": rprelu}}
    return {"phase": phase, "epoch": epoch, "step": 2 * (epoch + 1), "images": 64, **groups, "time": 0.01}


def histograms(layer: str) -> dict[str, Any]:
    shares = [1 / 48] * 48
    both = {"range": [-2.0, 2.0], "before": shares, "after": shares[::-1]}
    sign = {**both, "plus": 0.25, "balance": [1 / 20] * 20}
    return {"phase": "student", "images": 64, "signs": {f"{layer}.sign": sign}, "rprelus": {f"{layer}.act": both}}


def write_run(
    folder: Path,
    lines: list[dict[str, Any]] | None = None,
    seen: list[dict[str, Any]] | None = None,
    *,
    text: str | None = None,
    info: dict[str, Any] | None = None,
    shares: dict[str, Any] | None = None,
) -> Path:
    """A folder as training leaves it; without lines, those of a whole run."""
    folder.mkdir(parents=True)
    whole = [(name, epoch, bool(parts)) for name, (parts, epochs) in PHASES.items() for epoch in range(epochs)]
    lines = [line(name, epoch) for name, epoch, _ in whole] if lines is None else lines
    seen = [vitals(name, epoch, binary=binary) for name, epoch, binary in whole] if seen is None else seen
    (folder / "recipe.toml").write_text(recipe() if text is None else text)
    (folder / "run.json").write_text(json.dumps({"finished": True, "device": "cpu"} if info is None else info))
    (folder / "log.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    (folder / "vitals.jsonl").write_text("".join(json.dumps(one) + "\n" for one in seen))
    if shares is not None:
        (folder / "histograms").mkdir()
        (folder / "histograms" / "student.json").write_text(json.dumps(shares))
    return folder
