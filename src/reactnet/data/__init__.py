"""Images with labels, and what is done to their pixels before a model sees them."""

from reactnet.data.augment import augmented as augmented
from reactnet.data.config import Augmentation as Augmentation
from reactnet.data.config import DataConfig as DataConfig
from reactnet.data.datasets import ImageFolder as ImageFolder
from reactnet.data.datasets import ImageSet as ImageSet
from reactnet.data.datasets import Split as Split
from reactnet.data.datasets import load_digits_split as load_digits_split
from reactnet.data.datasets import load_image_folder as load_image_folder
from reactnet.data.fingerprint import fingerprint as fingerprint
from reactnet.data.layout import Images as Images
from reactnet.data.layout import Parts as Parts
from reactnet.data.layout import layout_of as layout_of
from reactnet.data.layout import open_split as open_split
from reactnet.data.layout import open_test as open_test
from reactnet.data.shards import ShardSet as ShardSet
from reactnet.data.transforms import normalize as normalize
from reactnet.data.transforms import normalize_table as normalize_table
from reactnet.data.transforms import random_flip as random_flip
from reactnet.data.transforms import random_shift as random_shift

__all__ = [
    "Augmentation",
    "DataConfig",
    "ImageFolder",
    "ImageSet",
    "Images",
    "Parts",
    "ShardSet",
    "Split",
    "augmented",
    "fingerprint",
    "layout_of",
    "load_digits_split",
    "load_image_folder",
    "normalize",
    "normalize_table",
    "open_split",
    "open_test",
    "random_flip",
    "random_shift",
]
