"""The gate's own shape: a missing tool is named with the line that installs it, and `--all` makes it an error."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STEPS = sorted((ROOT / ".ci/steps").iterdir())
TABLE = [line.split() for line in (ROOT / ".ci/tools").read_text().splitlines() if not line.startswith("#")]
TOOLS: dict[str, str] = dict(TABLE)
COMMANDS = sorted(tool for tool in TOOLS if not tool.startswith("/"))
SHELL = ("bash", "env", "sed", "awk", "grep", "sort", "dirname", "mktemp", "rm", "id")


def comments(step: Path, kind: str) -> list[str]:
    """The tools in the comments `# kind: ...` of a step."""
    lines = (
        line.removeprefix(f"# {kind}: ") for line in step.read_text().splitlines() if line.startswith(f"# {kind}: ")
    )
    return [tool for line in lines for tool in line.split()]


def listed(folder: Path, tools: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    """`.ci/run --list` on a machine that has these tools and no others, and what the script itself needs."""
    for name in SHELL:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"no {name}")
        (folder / name).symlink_to(path)
    for name in tools:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    environment = {**os.environ, "PATH": str(folder)}
    command = [str(folder / "bash"), str(ROOT / ".ci/run"), "--list", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)


@pytest.mark.parametrize("tool", COMMANDS)
def test_a_missing_tool_is_named_with_its_package_and_all_makes_it_an_error(tool: str, tmp_path: Path) -> None:
    needing = [step.name for step in STEPS if tool in comments(step, "needs")]
    using = [step.name for step in STEPS if tool in comments(step, "uses")]
    assert needing + using, f"no step uses {tool}"
    others = [name for name in COMMANDS if name != tool]

    (tmp_path / "some").mkdir()
    done = listed(tmp_path / "some", others)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for name in needing:
        assert f"SKIPPED: {name}: no {tool} (apt-get install {TOOLS[tool]})" in lines
        assert not any(line.startswith(f"== {name}:") for line in lines)
    for name in using:
        assert f"SKIPPED: tests of {name} that use {tool} (apt-get install {TOOLS[tool]})" in lines
    kept = [step.name for step in STEPS if step.name not in needing and set(comments(step, "needs")) <= {*others}]
    assert all(any(line.startswith(f"== {name}:") for line in lines) for name in kept)

    (tmp_path / "all").mkdir()
    done = listed(tmp_path / "all", others, "--all")
    assert done.returncode == 1
    assert tool in done.stdout
    assert "== " not in done.stdout
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_says_what_it_does_and_which_tools_it_needs(step: Path) -> None:
    lines = step.read_text().splitlines()
    assert os.access(step, os.X_OK)
    assert lines[0] == "#!/usr/bin/env bash"
    assert lines[1].startswith("# ")
    assert not lines[1].startswith("# needs:")
    assert "set -euo pipefail" in lines
    for tool in comments(step, "needs") + comments(step, "uses"):
        assert tool in TOOLS


def test_an_unknown_option_of_the_gate_is_an_error(tmp_path: Path) -> None:
    done = listed(tmp_path, COMMANDS, "--everything")
    assert done.returncode == 2
    assert "--everything" in done.stderr
