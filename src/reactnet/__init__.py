"""Binary neural networks from images to a packed one-bit file that runs fast anywhere.

The names below are loaded when first used, so that `import reactnet` brings in no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from reactnet.errors import ReactnetError as ReactnetError

if TYPE_CHECKING:
    from reactnet.compiler import compile as compile  # noqa: A004  # the verb of the command line, and of peers
    from reactnet.models import create_model as create_model
    from reactnet.models import list_models as list_models
    from reactnet.runtime import Session as Session
    from reactnet.train import load_model as load_model

__version__ = "0.1.0"
__all__ = ["ReactnetError", "Session", "compile", "create_model", "list_models", "load_model"]

_HOME = {
    "compile": "reactnet.compiler",
    "create_model": "reactnet.models",
    "list_models": "reactnet.models",
    "load_model": "reactnet.train",
    "Session": "reactnet.runtime",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'reactnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
