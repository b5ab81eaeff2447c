"""`reactnet doctor`: what this machine and this installation can do, and what is missing."""

import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import reactnet
from reactnet.cli.screen import Json, print_json, print_pairs, print_table
from reactnet.errors import ReactnetError

_PACKAGES = ("numpy", "pillow", "cyclopts", "torch", "torchvision", "safetensors", "scikit-learn")
_NEEDED_FOR = {
    "torch": ("train, compile, verify, count, demo", "train"),
    "torchvision": ("ready-made teachers", "train"),
    "safetensors": ("train", "train"),
    "scikit-learn": ("demo", "demo"),
}


def doctor(*, json: Json = False) -> int:
    """Say which instruction set and kernels this machine will use, which versions are here, and what is missing.

    Exit code 1 if packed files cannot be run here.
    """
    found = diagnosis()
    if json:
        print_json(found)
    else:
        _print(found)
    return 0 if found["problem"] is None else 1


def diagnosis() -> dict[str, Any]:
    """Everything that `doctor` says, for programs."""
    versions = {name: _version(name) for name in _PACKAGES}
    found: dict[str, Any] = {
        "reactnet": reactnet.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "versions": versions,
        "missing": [name for name, version in versions.items() if version is None],
        "environment": {name: os.environ.get(name) for name in ("REACTNET_ISA", "REACTNET_THREADS")},
        "writable": {str(folder): os.access(folder, os.W_OK) for folder in (Path.cwd(), Path(tempfile.gettempdir()))},
        "library": None,
        "isa": None,
        "isas": [],
        "compiled": [],
        "kernels": {},
        "problem": None,
        "hint": None,
    }
    try:
        from reactnet.runtime import system

        native = system()
        found |= {key: native[key] for key in ("library", "isas", "compiled")}
        found["isa"] = _ceiling(native)
        found["kernels"] = _chosen(native, found["isa"])
    except ReactnetError as error:
        found |= {"problem": error.problem, "hint": error.hint}
    return found


def _ceiling(native: dict[str, Any]) -> str:
    """The best instruction set that a session will use; REACTNET_ISA lowers it."""
    wanted = os.environ.get("REACTNET_ISA")
    if not wanted:
        return str(native["isa"])
    if wanted not in native["isas"]:
        raise ReactnetError(
            f"REACTNET_ISA is {wanted!r}, which this machine does not have",
            hint=f"unset it, or set one of {', '.join(native['isas'])}",
        )
    return wanted


def _chosen(native: dict[str, Any], ceiling: str) -> dict[str, str]:
    """The kernel that each op gets: the first of the list, best first, that runs here below the ceiling."""
    allowed = native["isas"][: native["isas"].index(ceiling) + 1]
    chosen: dict[str, str] = {}
    for kernel in native["kernels"]:
        if kernel["runs_here"] and kernel["isa"] in allowed:
            chosen.setdefault(kernel["op"], kernel["name"])
    return chosen


def _version(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _print(found: dict[str, Any]) -> None:
    threads = found["environment"]["REACTNET_THREADS"] or "1 (set REACTNET_THREADS, or give threads)"
    native = found["library"] or f"missing: {found['problem']}"
    print_pairs(
        [
            ("reactnet", found["reactnet"]),
            ("python", f"{found['python']} ({sys.executable})"),
            ("machine", f"{found['machine']}, {found['cpus']} processors"),
            ("library", native if found["problem"] is None or found["library"] is None else found["library"]),
            ("isa", f"{found['isa']} (of {', '.join(found['isas'])})" if found["isa"] else "none"),
            ("threads", threads),
            *[(name, version or f"missing, needed for {_need(name)}") for name, version in found["versions"].items()],
            *[(folder, "writable" if fine else "NOT writable") for folder, fine in found["writable"].items()],
        ]
    )
    if found["kernels"]:
        print()
        print_table(("op", "kernel"), list(found["kernels"].items()), left=2)
    if found["problem"] is not None:
        print(f"\nproblem: {found['problem']}\nhint: {found['hint']}")


def _need(package: str) -> str:
    if package not in _NEEDED_FOR:
        return f"everything: pip install {package}"
    verbs, extra = _NEEDED_FOR[package]
    return f"{verbs}: pip install 'reactnet[{extra}]'"
