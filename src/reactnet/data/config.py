"""What a recipe says of its images: the data set, and how each phase augments it. Absent is off."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

# What is wrong with a table: the key, its value, and the cure.
Fault = tuple[str, object, str]

FOLDERS = ("image_folder", "webdataset")  # sets of images of any size, decoded when asked for
_OF_FOLDERS = ("image_size", "evaluate_resize", "mean", "std")


@dataclass(frozen=True)
class DataConfig:
    """The `[data]` table.

    `evaluate_on = "validation"` takes `validation_images` of the training part, or a fifth where it is absent, away
    from training and measures on them: that is for choosing hyper-parameters, so that the test part is never looked at.

    `image_size` is the side of the square that a model sees of an image file, `evaluate_resize` the shorter side
    before the centre crop, `mean` and `std` those of a channel where white is 1. They belong to `image_folder` and
    `webdataset` and are required there; the other sets have one size, and their statistics are computed.
    """

    name: Literal["digits", "cifar10", "cifar100", "mnist", "fashion_mnist", "image_folder", "webdataset"]
    evaluate_on: Literal["test", "validation"]
    validation_images: int | None = None
    image_size: int | None = None
    evaluate_resize: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def faults(self) -> Iterator[Fault]:
        """What cannot be: each key that is out of range, missing or out of place."""
        if self.validation_images is not None:
            if self.validation_images < 1:
                yield "validation_images", self.validation_images, "give a whole number of at least 1"
            if self.evaluate_on != "validation":
                yield "validation_images", self.validation_images, "it goes with evaluate_on = 'validation'"
        wants = self.name in FOLDERS
        for key in _OF_FOLDERS:
            value = getattr(self, key)
            if wants and value is None:
                yield key, value, f"name = {self.name!r} needs {key}"
            if not wants and value is not None:
                yield key, value, f"leave {key} out: {self.name!r} settles it"
        if self.image_size is not None and not 1 <= self.image_size <= 4096:
            yield "image_size", self.image_size, "give the side in pixels, 1 to 4096"
        least_resize = 1 if self.image_size is None else self.image_size
        if self.evaluate_resize is not None and not least_resize <= self.evaluate_resize <= 8192:
            yield "evaluate_resize", self.evaluate_resize, "give at least image_size, at most 8192"
        for key, least in (("mean", 0.0), ("std", 1e-6)):
            values = getattr(self, key)
            if values is None:
                continue
            if len(values) not in (1, 3):
                yield key, list(values), "give 1 number for grey images, 3 for colour"
            if not all(least <= value <= 1 for value in values):
                yield key, list(values), f"give numbers from {least:g} to 1: white is 1"
        if self.mean is not None and self.std is not None and len(self.mean) != len(self.std):
            yield "std", list(self.std), "give as many numbers as in mean"


@dataclass(frozen=True)
class Augmentation:
    """A `[phases.NAME.augment]` table, in the order in which it is applied; what is absent is off.

    `random_resized_crop` takes a piece of such a share of the area; without it, an image file is prepared as for
    evaluation. Then `random_shift` pads by so many pixels and crops back, with a probability, where a pixel is a large
    part of the image; `random_crop` keeps a square of such a side at a random place, so that a network without a fixed
    size trains on smaller maps at less cost, and is measured on whole images; `random_flip` mirrors half of the images;
    `rand_augment` is (operations, magnitude of 0 to 30);
    `color_jitter` changes brightness, contrast and saturation by up to such a share; `lighting` adds the principal
    colours of ImageNet with such a deviation, and with `lighting_as_released` next to nothing, as the published code
    does; `cutout` blanks a square of such a side. Of a batch: `mixup` and `cutmix` are the concentration of their Beta
    distributions. Cutout and mixing stop after the share `until` of a phase's epochs.
    """

    random_resized_crop: tuple[float, float] | None = None
    random_shift: int = 0
    random_shift_probability: float = 1.0
    random_shift_fill: Literal["zero", "reflect"] = "zero"
    random_crop: int = 0
    random_flip: bool = False
    rand_augment: tuple[int, int] | None = None
    color_jitter: tuple[float, float, float] | None = None
    lighting: float = 0.0
    lighting_as_released: bool = False
    cutout: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0
    until: float = 1.0

    def faults(self) -> Iterator[Fault]:
        """What cannot be: each key that is out of range."""
        if self.random_resized_crop is not None:
            low, high = self.random_resized_crop
            if not 0 < low <= high <= 1:
                yield "random_resized_crop", [low, high], "give the least and the largest share of the area, up to 1"
        if not 0 <= self.random_shift <= 64:
            yield "random_shift", self.random_shift, "give the pixels to pad by, up to 64"
        if not 0 <= self.random_crop <= 4096:
            yield "random_crop", self.random_crop, "give the side of the square in pixels, up to 4096"
        for key in ("random_shift_probability", "until"):
            if not 0 <= getattr(self, key) <= 1:
                yield key, getattr(self, key), "give a number from 0 to 1"
        if self.rand_augment is not None:
            count, magnitude = self.rand_augment
            if not (1 <= count <= 16 and 0 <= magnitude <= 30):
                yield "rand_augment", [count, magnitude], "give a number of 1 to 16 and a magnitude of 0 to 30"
        if self.color_jitter is not None and not all(0 <= strength <= 1 for strength in self.color_jitter):
            yield "color_jitter", list(self.color_jitter), "give brightness, contrast and saturation, each from 0 to 1"
        if not 0 <= self.lighting <= 10:
            yield "lighting", self.lighting, "give a standard deviation from 0 to 10, such as 0.1"
        if self.lighting_as_released and not self.lighting:
            yield "lighting_as_released", True, "give lighting too: it says how lighting is added"
        if not 0 <= self.cutout <= 4096:
            yield "cutout", self.cutout, "give the side of the square in pixels, up to 4096"
        for key in ("mixup", "cutmix"):
            if not 0 <= getattr(self, key) <= 100:
                yield key, getattr(self, key), "give the Beta distribution's concentration, such as 0.2 or 1.0"


PLAIN = Augmentation()
