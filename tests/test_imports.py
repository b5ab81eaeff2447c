"""The table of docs/design.md, "Two halves, one door": who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "reactnet"

# What each part may take from the project, and which heavy packages it may load. Anything else is a fault.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "images": {"errors"},
    "graph": {"errors"},
    "nn": {"errors"},
    "models": {"errors", "nn", "zoo"},  # zoo: for create_model(pretrained=True), when called
    "data": {"errors", "files", "images"},
    "train": {"errors", "files", "images", "nn", "models", "data"},
    "convert": {"errors", "files", "nn", "models", "train"},
    "compiler": {"errors", "nn", "graph"},
    "runtime": {"errors", "images", "zoo"},
    "zoo": {"errors", "graph", "nn", "models", "train"},  # beyond errors in pretrained.py only
    "report": {"errors", "files"},
    "bench": {"errors", "graph", "runtime"},
}
NEEDS_TORCH = {"nn", "models", "data", "train", "convert", "compiler", "zoo"}
HEAVY = {
    "torch",
    "torchvision",
    "sklearn",
    "safetensors",
    "rich",
    "timm",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "openvino",
}
LATE = {"bench"}  # loads heavy packages too, but only inside the function that needs them
TOP = {"evaluate", "verify", "cli", "__init__"}  # may import anything, inside the function that needs it


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> list[tuple[str, int]]:
    """Every imported module, absolute, with its line. `from reactnet import x` counts as `reactnet.x`."""
    found: list[tuple[str, int]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports absolute"
            if node.module == "reactnet":
                found += [(f"reactnet.{alias.name}", node.lineno) for alias in node.names]
            elif node.module is not None:
                found.append((node.module, node.lineno))
    return found


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_each_file_imports_only_what_its_part_may(path: Path) -> None:
    part = part_of(path)
    if part in TOP:
        return
    assert part in ALLOWED, f"{part}: a new part needs a line in docs/design.md and in this test"
    for module, line in imports(ast.parse(path.read_text())):
        root, _, rest = module.partition(".")
        if root == "reactnet":
            other = rest.split(".")[0]
            assert other in ALLOWED[part] | {part, "__version__"}, f"{path.name}:{line}: {part} may not import {other}"
        elif root in HEAVY and part not in NEEDS_TORCH | LATE:
            pytest.fail(f"{path.name}:{line}: {part} may not import {root}")


@pytest.mark.parametrize(
    "path", [p for p in FILES if part_of(p) in TOP | LATE], ids=lambda path: str(path.relative_to(SOURCE))
)
def test_top_level_files_and_bench_import_heavy_packages_only_inside_functions(path: Path) -> None:
    tree = ast.parse(path.read_text())
    outside = [
        node
        for node in tree.body
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.If)  # If: TYPE_CHECKING
    ]
    for module, line in imports(ast.Module(body=outside, type_ignores=[])):
        assert module.split(".")[0] not in HEAVY, (
            f"{path.name}:{line}: import {module} inside the function that needs it"
        )


def test_every_part_stands_in_the_table() -> None:
    assert {part_of(path) for path in FILES} <= ALLOWED.keys() | TOP


@pytest.mark.parametrize(
    "statement", ["import reactnet", "import reactnet.runtime", "import reactnet.zoo", "import reactnet.cli.main"]
)
def test_import_loads_no_torch(statement: str) -> None:
    code = f"{statement}; import sys; print(sorted({HEAVY - {'rich'}!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
