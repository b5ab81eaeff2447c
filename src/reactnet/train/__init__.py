"""Training: recipes, the two phases and their distillation, exact resume, and trained models on disk."""

from reactnet.data.config import Augmentation as Augmentation
from reactnet.data.config import DataConfig as DataConfig
from reactnet.train.card import ModelCard as ModelCard
from reactnet.train.card import load_model as load_model
from reactnet.train.card import save_model as save_model
from reactnet.train.default_recipe import default_recipe as default_recipe
from reactnet.train.distill import cross_entropy as cross_entropy
from reactnet.train.distill import distributional_loss as distributional_loss
from reactnet.train.events import Event as Event
from reactnet.train.events import Progress as Progress
from reactnet.train.recipe import Phase as Phase
from reactnet.train.recipe import Recipe as Recipe
from reactnet.train.recipe import dump_recipe as dump_recipe
from reactnet.train.recipe import load_recipe as load_recipe
from reactnet.train.recipe import parse_value as parse_value
from reactnet.train.run import train as train
from reactnet.train.stop import Interrupted as Interrupted

__all__ = [
    "Augmentation",
    "DataConfig",
    "Event",
    "Interrupted",
    "ModelCard",
    "Phase",
    "Progress",
    "Recipe",
    "cross_entropy",
    "default_recipe",
    "distributional_loss",
    "dump_recipe",
    "load_model",
    "load_recipe",
    "parse_value",
    "save_model",
    "train",
]
