"""`reactnet bench`: the keys that programs read, numbers that agree with each other, and mistakes."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from reactnet.cli.bench import verdict
from reactnet.cli.main import main
from reactnet.graph import cost, load
from reactnet.runtime import Session

KEYS = {
    "ms_median": float,
    "ms_min": float,
    "cpu_ms": float,
    "binary_macs": int,
    "popcount_peak_gmacs": float,
    "isa": str,
    "threads": int,
    "batch": int,
    "arena_bytes": int,
    "peak_rss_bytes": int,
    "load_ms": float,
    "file_bytes": int,
    "layers": list,
    "peers": list,
}
RUNTIMES = {
    "onnxruntime": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "onnxruntime", "openvino"),
    "torch": ("onnx", "torch"),
}
NO_INT8 = ("torch", "int8")
LAYER_KEYS = ["name", "op", "kernel", "ms", "gmacs", "share_of_peak"]


def benched(capsys: pytest.CaptureFixture[str], *argv: object) -> dict[str, Any]:
    code = main(["bench", *map(str, argv), "--seconds", "0.1", "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_json_has_the_promised_keys_and_types(capsys: pytest.CaptureFixture[str], packed: Path) -> None:
    found = benched(capsys, packed)
    assert {key: type(value) for key, value in found.items()} == KEYS
    assert found["peers"] == []
    assert found["layers"]
    for layer in found["layers"]:
        assert list(layer) == LAYER_KEYS
        assert layer["ms"] > 0
        assert (layer["gmacs"] is None) == (layer["op"] != "bconv2d") == (layer["share_of_peak"] is None)


def test_numbers_agree_with_the_file_and_the_plan(capsys: pytest.CaptureFixture[str], packed: Path) -> None:
    found = benched(capsys, packed)
    with Session(packed) as session:
        plan, sizes = session.plan, session.sizes
    assert found["binary_macs"] == cost(load(packed)).bops
    assert (found["arena_bytes"], found["file_bytes"]) == (sizes["arena_bytes"], packed.stat().st_size)
    assert (found["isa"], found["threads"]) == (plan["isa"], plan["threads"])
    assert [(layer["name"], layer["kernel"]) for layer in found["layers"]] == [
        (step["nodes"][0], step["kernel"]) for step in plan["steps"]
    ]
    for layer in found["layers"]:
        if layer["gmacs"] is not None:
            assert layer["share_of_peak"] == pytest.approx(layer["gmacs"] / found["popcount_peak_gmacs"])
    done = sum(layer["gmacs"] * layer["ms"] * 1e6 for layer in found["layers"] if layer["gmacs"] is not None)
    assert done == pytest.approx(found["binary_macs"])
    assert 0 < found["ms_min"] <= found["ms_median"]
    assert found["peak_rss_bytes"] > 10e6


def test_layers_add_up_to_the_whole(capsys: pytest.CaptureFixture[str], packed: Path) -> None:
    found = benched(capsys, packed, "--batch", "16")
    total = sum(layer["ms"] for layer in found["layers"])
    # Whole runs also pay for the call and the clock, layers for nothing else; both are disturbed by other processes.
    assert 0.5 * found["ms_min"] < total < 1.5 * found["ms_median"]


def test_times_are_of_one_image(capsys: pytest.CaptureFixture[str], packed: Path) -> None:
    one, many = benched(capsys, packed), benched(capsys, packed, "--batch", "32")
    assert many["batch"] == 32
    assert many["ms_min"] < 3 * one["ms_min"]  # 32 times it, were it the batch's
    assert many["binary_macs"] == one["binary_macs"]


def test_the_isa_is_forced_and_the_floor_is_not(
    capsys: pytest.CaptureFixture[str], packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = benched(capsys, packed)
    monkeypatch.setenv("REACTNET_ISA", "scalar")
    forced = benched(capsys, packed, "--threads", "2")
    assert (forced["isa"], forced["threads"]) == ("scalar", 2)
    assert all("scalar" in layer["kernel"] for layer in forced["layers"])
    assert 0.3 < forced["popcount_peak_gmacs"] / free["popcount_peak_gmacs"] < 3


def test_text_names_the_floor_and_every_step(capsys: pytest.CaptureFixture[str], packed: Path) -> None:
    assert main(["bench", str(packed), "--seconds", "0.05"]) == 0
    text = capsys.readouterr().out
    for word in ("popcount peak", "floor", "peak RSS", "GMAC/s", "bconv2d"):
        assert word in text


def test_rivals_are_timed_beside_the_file(
    capsys: pytest.CaptureFixture[str], packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reactnet.bench.peers.NETWORKS", {"resnet18": None})  # one is enough here
    present = [runtime for runtime, needs in RUNTIMES.items() if all(map(find_spec, needs))]
    if not present:
        pytest.skip("no other runtime is installed: pip install 'reactnet[bench,train]'")
    peers = benched(capsys, packed, "--against", ",".join(present))["peers"]
    wanted = [(runtime, kind) for runtime in present for kind in ("float", "int8") if (runtime, kind) != NO_INT8]
    assert [(peer["runtime"], peer["precision"]) for peer in peers] == wanted
    for peer in peers:
        assert peer["model"] == "resnet18"
        assert 0 < peer["ms_min"] <= peer["ms_median"]
        assert peer["cpu_ms"] > 0
        assert peer["peak_rss_bytes"] > 20e6
        assert peer["file_bytes"] > 1e7
        assert peer["version"][0].isdigit()


def test_the_text_says_who_wins() -> None:
    ours = {"cpu_ms": 2.0, "binary_macs": 1}
    rival = {"model": "resnet18", "precision": "int8", "runtime": "openvino"}
    assert "loses" in verdict(ours | {"peers": [rival | {"cpu_ms": 1.9}]})
    assert "resnet18 int8 in openvino" in verdict(ours | {"peers": [rival | {"cpu_ms": 1.9}]})
    assert "fastest" in verdict(ours | {"peers": [rival | {"cpu_ms": 2.1}]})


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--batch", "0"], "batch is 0"),
        (["--batch", "100000"], "batch is 100000"),
        (["--threads", "0"], "threads is 0"),
        (["--seconds", "0"], "seconds is 0"),
        (["--seconds", "nan"], "seconds is nan"),
        (["--against", "tflite"], "'tflite'"),
        (["--against", "torch,,"], "''"),
    ],
)
def test_mistakes_are_named(fails: Any, packed: Path, options: list[str], problem: str) -> None:
    assert problem in fails("bench", packed, *options)[0]


def test_a_missing_file_is_named(fails: Any, tmp_path: Path) -> None:
    assert "none.rnet" in fails("bench", tmp_path / "none.rnet")[0]


def test_a_runtime_that_is_not_installed_says_how_to_get_it(
    fails: Any, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    problem, hint = fails("bench", packed, "--against", "onnxruntime")
    assert "onnxruntime" in problem
    assert "pip install 'reactnet[bench]'" in hint
