"""What the pages say is what the code does: their examples run, and their links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from reactnet.runtime import Session

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def examples(page: Path) -> list[str]:
    """The Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def test_a_graph_by_hand_runs_as_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = examples(ROOT / "docs" / "graph_by_hand.md")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}

    exec(compile(code, "docs/graph_by_hand.md", "exec"), names)

    with Session("by_hand.rnet") as session:
        assert session.class_names == ("cat", "dog")
        unit = [step for step in session.plan["steps"] if "unit.sum" in step["nodes"]]
        assert len(unit[0]["nodes"]) == 4
    assert names["logits"].shape == (5, 2)  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_model_zoo_page_is_what_the_code_counts() -> None:
    script = ROOT / "docs" / "make_model_zoo.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, f"run docs/make_model_zoo.py: the page is out of date {done.stderr}"


def test_the_guide_to_deployment_compiles_both_kinds_of_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = examples(ROOT / "docs" / "deploy.md")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/deploy.md", "exec"), {})
    for name in ("fresh", "integer"):
        with Session(f"{name}.rnet") as session:
            assert session.num_classes == 10
            assert session.accepts_float == (name == "fresh")


def test_the_tables_of_speed_are_what_was_measured() -> None:
    script = ROOT / "benchmarks" / "report.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, f"run benchmarks/report.py: {done.stdout}{done.stderr}"
