"""Images with labels, and what is done to their pixels before a model sees them."""

from reactnet.data.datasets import ImageFolder as ImageFolder
from reactnet.data.datasets import ImageSet as ImageSet
from reactnet.data.datasets import Split as Split
from reactnet.data.datasets import is_cifar10 as is_cifar10
from reactnet.data.datasets import load_cifar10 as load_cifar10
from reactnet.data.datasets import load_digits_split as load_digits_split
from reactnet.data.datasets import load_image_folder as load_image_folder
from reactnet.data.transforms import normalize as normalize
from reactnet.data.transforms import normalize_table as normalize_table
from reactnet.data.transforms import random_flip as random_flip
from reactnet.data.transforms import random_shift as random_shift

__all__ = [
    "ImageFolder",
    "ImageSet",
    "Split",
    "is_cifar10",
    "load_cifar10",
    "load_digits_split",
    "load_image_folder",
    "normalize",
    "normalize_table",
    "random_flip",
    "random_shift",
]
