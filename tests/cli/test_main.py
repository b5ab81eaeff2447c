"""How the command line fails and ends: two lines and exit code 2, quiet pipes, quick help without torch."""

import subprocess
import sys
import time

import pytest

from reactnet.cli import main as main_module
from reactnet.cli.main import main
from reactnet.cli.train import read_overrides
from reactnet.errors import ReactnetError

VERBS = (
    "demo",
    "models",
    "count",
    "train",
    "report",
    "eval",
    "compile",
    "verify",
    "predict",
    "zoo",
    "inspect",
    "doctor",
)


def test_help_names_every_verb_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    places = [text.index(f" {verb} ") for verb in VERBS]
    assert places == sorted(places)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"reactnet {verb}" in capsys.readouterr().out


def test_help_is_quick_and_loads_no_heavy_package() -> None:
    code = (
        "import sys; from reactnet.cli.main import main; main(['--help']);"
        "print('loaded', sorted({'torch', 'torchvision', 'sklearn', 'numpy', 'PIL'} & sys.modules.keys()))"
    )
    best = float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        best = min(best, time.perf_counter() - begin)
    assert done.stdout.splitlines()[-1] == "loaded []"
    assert best < 1.0  # 0.2 s on an idle machine: five times that before a busy one fails the test


@pytest.mark.parametrize(
    ("argv", "problem", "hint"),
    [
        (["predic"], 'unknown command "predic"', 'did you mean "predict"?'),
        (["predict"], "FILE", "reactnet predict --help"),
        (["predict", "a.rnet"], "no image given", "IMAGE_OR_FOLDER"),
        (["predict", "a.rnet", "b.png", "--tpo", "3"], "--tpo", "did you mean --top?"),
        (["predict", "a.rnet", "b.png", "--top", "many"], '"many"', "reactnet predict --help"),
        (["predict", "a.rnet", "b.png", "--top", "0"], "--top is 0", "at least 1"),
        (["compile", "run", "-o", "file", "--ends", "flot"], '"flot"', 'did you mean "float"?'),
        (["compile", "run"], "--output", "reactnet compile --help"),
        (["models", "a", "b"], "'b'", "reactnet models --help"),
        (["models", "nosuch*"], "'nosuch*'", "reactnet models"),
        (["eval", "run"], "--data", "reactnet eval --help"),
        (["train", "recipe.toml", "--out", "run", "--sed", "1"], "--sed", "did you mean --seed?"),
        (["train", "recipe.toml", "--out", "run", "--seed"], "--seed has no value", "--seed VALUE"),
        (["train", "recipe.toml", "--out", "run", "more"], "'more'", "--out DIR"),
        (["--verbose"], '"--verbose"', "available commands"),
    ],
)
def test_usage_error_is_two_lines_with_the_value(fails, argv: list[str], problem: str, hint: str) -> None:
    found_problem, found_hint = fails(*argv)
    assert problem in found_problem
    assert hint in found_hint


def test_overrides_are_read_as_toml() -> None:
    tokens = [
        "--phases.binary-weights.epochs",
        "1",
        "--seed=7",
        "--data.name",
        "digits",
        "--phases.a.betas",
        "[0.9, 0.99]",
    ]
    assert read_overrides(tokens) == {
        "phases.binary_weights.epochs": 1,
        "seed": 7,
        "data.name": "digits",
        "phases.a.betas": [0.9, 0.99],
    }


def raising(error: BaseException) -> object:
    def verb() -> None:
        raise error

    return verb


@pytest.mark.parametrize(
    ("error", "problem", "hint"),
    [
        (ReactnetError("a: b\nc", hint="d\ne"), "a: b c", "d e"),
        (OSError(28, "No space left on device", "out/file"), "out/file: No space left on device", "free some space"),
        (PermissionError(13, "Permission denied", "out"), "out: Permission denied", "may read, or write"),
        (MemoryError(), "out of memory", "smaller"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "torch is not installed", "reactnet[train]"),
        (ModuleNotFoundError("No module named 'sklearn'", name="sklearn"), "sklearn is not", "reactnet[demo]"),
    ],
)
def test_what_a_verb_raises_becomes_two_lines(
    fails, monkeypatch: pytest.MonkeyPatch, error: Exception, problem: str, hint: str
) -> None:  # fmt: skip
    monkeypatch.setattr(main_module, "doctor", raising(error))
    found_problem, found_hint = fails("doctor")
    assert problem in found_problem
    assert hint in found_hint


def test_a_bug_is_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module, "doctor", raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["doctor"])


def test_interrupt_exits_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(main_module, "doctor", raising(KeyboardInterrupt()))
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_closed_pipe_is_quiet() -> None:
    code = "import sys; from reactnet.cli.main import main; sys.exit(main(['models']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
    assert errors == b""
    assert process.returncode == 141
