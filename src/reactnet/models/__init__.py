"""Models by name. Importing this package registers every model that ships with it: each file here is imported."""

import importlib
import pkgutil

from reactnet.models.registry import ModelInfo as ModelInfo
from reactnet.models.registry import check_image_size as check_image_size
from reactnet.models.registry import create_model as create_model
from reactnet.models.registry import list_models as list_models
from reactnet.models.registry import model_info as model_info
from reactnet.models.registry import register as register

__all__ = ["ModelInfo", "check_image_size", "create_model", "list_models", "model_info", "register"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
