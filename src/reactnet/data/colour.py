"""Operations on one picture that Pillow does: RandAugment's list, and colour jitter, by torchvision's definitions."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from reactnet.data.transforms import Indices, Pixels, draw, uniform

BINS = 31  # magnitudes 0 to 30

_JITTER, _ORDER = 300, 310  # streams: three factors, then three keys of an order
_OPERATION, _SIGN = 320, 340  # 16 each

Picture = Image.Image


def rand_augment(images: Pixels, count: int, magnitude: int, *, seed: int, epoch: int, indices: Indices) -> Pixels:
    """Apply `count` operations of `OPERATIONS`, drawn with replacement, at `magnitude`; a signed one to either side.

    What is moved into the picture is black, and nothing is interpolated. Shape: (N, H, W, C) -> (N, H, W, C).
    """
    names = tuple(OPERATIONS)
    result = np.empty_like(images)
    which = [
        draw(len(names), seed=seed, epoch=epoch, indices=indices, stream=_OPERATION + step) for step in range(count)
    ]
    signs = [draw(2, seed=seed, epoch=epoch, indices=indices, stream=_SIGN + step) for step in range(count)]
    for i, image in enumerate(images):
        picture = _picture(image)
        for operation, sign in zip(which, signs, strict=True):
            picture = apply(picture, names[operation[i]], magnitude, negative=bool(sign[i]))
        result[i] = _pixels(picture, image.shape)
    return result


def apply(picture: Picture, name: str, magnitude: int, *, negative: bool) -> Picture:
    """One operation of `OPERATIONS` at a magnitude of 0 to 30; `negative` turns those that have two sides."""
    operation, largest = OPERATIONS[name]
    share = magnitude / (BINS - 1)
    if largest is None:
        return operation(picture, share)
    return operation(picture, -share * largest if negative else share * largest)


def color_jitter(
    images: Pixels, strength: tuple[float, float, float], *, seed: int, epoch: int, indices: Indices
) -> Pixels:
    """Change brightness, contrast and saturation in an order drawn for each image.

    Each by a factor uniform in [max(0, 1 - strength), 1 + strength]. Shape: (N, H, W, C) -> (N, H, W, C).
    """
    drawn = [uniform(seed=seed, epoch=epoch, indices=indices, stream=_JITTER + k) for k in range(3)]
    keys = [draw(2**32, seed=seed, epoch=epoch, indices=indices, stream=_ORDER + k) for k in range(3)]
    orders = np.argsort(np.stack(keys), axis=0, kind="stable")
    result = np.empty_like(images)
    for i, image in enumerate(images):
        picture = _picture(image)
        for k in orders[:, i]:
            low = max(0.0, 1 - strength[k])
            factor = low + float(drawn[k][i]) * (1 + strength[k] - low)
            picture = _ENHANCE[k](picture, factor)
        result[i] = _pixels(picture, image.shape)
    return result


def _brightness(picture: Picture, factor: float) -> Picture:
    return ImageEnhance.Brightness(picture).enhance(factor)


def _contrast(picture: Picture, factor: float) -> Picture:
    return ImageEnhance.Contrast(picture).enhance(factor)


def _saturation(picture: Picture, factor: float) -> Picture:
    return ImageEnhance.Color(picture).enhance(factor)


def _sharpness(picture: Picture, factor: float) -> Picture:
    return ImageEnhance.Sharpness(picture).enhance(factor)


_ENHANCE = (_brightness, _contrast, _saturation)


def _affine(picture: Picture, a: float, b: float, c: float, d: float, e: float, f: float) -> Picture:
    # Output (x, y) shows input (a x + b y + c, d x + e y + f).
    return picture.transform(picture.size, Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.NEAREST)


def _translate_x(picture: Picture, share: float) -> Picture:
    return _affine(picture, 1, 0, -int(share * 150 / 331 * picture.width), 0, 1, 0)


def _translate_y(picture: Picture, share: float) -> Picture:
    return _affine(picture, 1, 0, 0, 0, 1, -int(share * 150 / 331 * picture.height))


def _posterize(picture: Picture, share: float) -> Picture:
    return ImageOps.posterize(picture, 8 - round(share * 4))


def _solarize(picture: Picture, share: float) -> Picture:
    return ImageOps.solarize(picture, 255 * (1 - share))  # type: ignore[arg-type]  # a threshold: it is compared only


# Name: what is done, and the largest magnitude where it has two sides, or None where it takes the share itself.
OPERATIONS: dict[str, tuple[Callable[[Picture, float], Picture], float | None]] = {
    "Identity": (lambda picture, _: picture, None),
    "ShearX": (lambda picture, level: _affine(picture, 1, level, 0, 0, 1, 0), 0.3),
    "ShearY": (lambda picture, level: _affine(picture, 1, 0, 0, level, 1, 0), 0.3),
    "TranslateX": (_translate_x, 1.0),
    "TranslateY": (_translate_y, 1.0),
    "Rotate": (lambda picture, degrees: picture.rotate(degrees, Image.Resampling.NEAREST), 30.0),
    "Brightness": (lambda picture, level: _brightness(picture, 1 + level), 0.9),
    "Color": (lambda picture, level: _saturation(picture, 1 + level), 0.9),
    "Contrast": (lambda picture, level: _contrast(picture, 1 + level), 0.9),
    "Sharpness": (lambda picture, level: _sharpness(picture, 1 + level), 0.9),
    "Posterize": (_posterize, None),
    "Solarize": (_solarize, None),
    "AutoContrast": (lambda picture, _: ImageOps.autocontrast(picture), None),
    "Equalize": (lambda picture, _: ImageOps.equalize(picture), None),
}


def _picture(image: Pixels) -> Picture:
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def _pixels(picture: Picture, shape: tuple[int, ...]) -> Pixels:
    return np.asarray(picture).reshape(shape)
