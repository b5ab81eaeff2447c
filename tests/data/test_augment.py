"""Each augmentation against its definition, written out slowly, or against what it must keep."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from reactnet.data.augment import EIGENVALUES, EIGENVECTORS, augmented, cut_out, lighting, lighting_as_released
from reactnet.data.colour import BINS, OPERATIONS, apply, color_jitter, rand_augment
from reactnet.data.config import PLAIN, Augmentation
from reactnet.data.crop import centre_crop, random_box, random_resized_crop, resize
from reactnet.data.mixing import Mixing, mix, mixing_of, partners
from reactnet.data.transforms import normal, normalize, random_crop, random_shift, uniform

RNG = np.random.default_rng(0)
MANY = np.arange(20_000)
IMAGES = RNG.integers(0, 256, size=(12, 9, 7, 3), dtype=np.uint8)
AT: dict[str, Any] = {"seed": 1, "epoch": 2}
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
FIVE_SIGMA = 5 / math.sqrt(len(MANY))  # of a mean of numbers of deviation 1


def test_uniform_and_normal_numbers_have_their_distributions() -> None:
    u, n = uniform(**AT, indices=MANY, stream=7), normal(**AT, indices=MANY, stream=7)
    assert 0 <= u.min() < 0.001
    assert 0.999 < u.max() < 1
    assert abs(u.mean() - 0.5) < FIVE_SIGMA * math.sqrt(1 / 12)
    assert abs(n.mean()) < FIVE_SIGMA
    assert abs(n.var() - 1) < FIVE_SIGMA * math.sqrt(2)
    for x in (-2.0, -1.0, 0.5, 1.5):  # the share below x is the distribution's
        assert abs((n < x).mean() - 0.5 * (1 + math.erf(x / math.sqrt(2)))) < FIVE_SIGMA * 0.5


def test_a_crop_is_one_of_an_images_squares_and_each_comes_as_often() -> None:
    image = np.arange(30, dtype=np.uint8).reshape(6, 5, 1)
    cropped = random_crop(np.repeat(image[None], 6000, axis=0), 4, **AT, indices=MANY[:6000])
    squares = [image[y : y + 4, x : x + 4] for y in range(3) for x in range(2)]
    counts = [int((cropped == square).all(axis=(1, 2, 3)).sum()) for square in squares]
    assert sum(counts) == 6000
    assert max(abs(count - 1000) for count in counts) < 5 * math.sqrt(1000)
    found = augmented(IMAGES, Augmentation(random_crop=5), MEAN, STD, **AT, indices=np.arange(12))
    kept = random_crop(IMAGES, 5, **AT, indices=np.arange(12))
    assert torch.equal(found, normalize(kept, MEAN, STD))


def test_a_thousand_reflected_shifts_are_crops_of_the_reflected_image() -> None:
    image = np.arange(1, 31, dtype=np.uint8).reshape(6, 5, 1)
    shifted = random_shift(np.repeat(image[None], 1000, axis=0), 2, **AT, indices=MANY[:1000], fill="reflect")

    def pixel(y: int, x: int) -> int:  # mirrored at the edge pixel, which is not repeated
        y, x = abs(y), abs(x)
        return int(image[2 * 5 - y if y > 5 else y, 2 * 4 - x if x > 4 else x, 0])

    places = [(top, left) for top in range(-2, 3) for left in range(-2, 3)]
    crops = {bytes(pixel(top + y, left + x) for y in range(6) for x in range(5)) for top, left in places}
    assert {result.tobytes() for result in shifted} == crops


def slow_box(height: int, width: int, scale: tuple[float, float], numbers: Any) -> tuple[int, int, int, int]:
    """RandomResizedCrop as torchvision documents it, given its random numbers: four an attempt."""
    for _ in range(10):
        area = height * width * (scale[0] + next(numbers) * (scale[1] - scale[0]))
        ratio = math.exp(math.log(3 / 4) + next(numbers) * (math.log(4 / 3) - math.log(3 / 4)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        top, left = next(numbers), next(numbers)
        if 0 < w <= width and 0 < h <= height:
            return int(top * (height - h + 1)), int(left * (width - w + 1)), h, w
    ratio = min(max(width / height, 3 / 4), 4 / 3)
    w, h = (width, round(width / ratio)) if width / height < ratio else (round(height * ratio), height)
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize("size", [(40, 60), (500, 375), (8, 8), (3, 200), (200, 3), (1, 1)])
@pytest.mark.parametrize("scale", [(0.08, 1.0), (1.0, 1.0)])
def test_a_thousand_random_boxes_are_those_of_the_definition(size: tuple[int, int], scale: tuple[float, float]) -> None:
    for index in range(1000 if scale[0] < 1 and size == (40, 60) else 30):
        numbers = (float(uniform(**AT, indices=[index], stream=200 + k)[0]) for k in range(40))
        box = random_box(*size, scale, **AT, index=index)
        assert box == slow_box(*size, scale, numbers)
        top, left, height, width = box
        assert top >= 0 <= left
        assert top + height <= size[0]
        assert left + width <= size[1]
        assert min(height, width) >= 1


def test_boxes_cover_the_range_of_areas_evenly_and_every_place() -> None:
    boxes = np.array([random_box(300, 300, (0.08, 0.5), **AT, index=i) for i in range(1000)])
    areas = boxes[:, 2] * boxes[:, 3] / 300**2
    assert 0.07 < areas.min() < 0.09
    assert 0.49 < areas.max() < 0.51
    assert abs(areas.mean() - 0.29) < 5 * areas.std() / math.sqrt(1000)
    assert abs(np.log(boxes[:, 3] / boxes[:, 2]).mean()) < 0.03
    assert boxes[:, 0].min() < 5
    assert (boxes[:, 0] + boxes[:, 2]).max() > 295


def test_a_cropped_image_is_the_box_resized_by_pillow() -> None:
    image = RNG.integers(0, 256, size=(50, 41, 3), dtype=np.uint8)
    top, left, height, width = random_box(50, 41, (0.2, 0.6), **AT, index=3)
    piece = Image.fromarray(image).crop((left, top, left + width, top + height))
    expected = np.asarray(piece.resize((24, 24), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(random_resized_crop(image, (0.2, 0.6), size=(24, 24), **AT, index=3), expected)


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (31, 500), (64, 64), (224, 256)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_to_measure_on_are_prepared_as_the_runtime_does(size: tuple[int, int], channels: int) -> None:
    from reactnet.evaluate import preprocess
    from reactnet.graph import Preprocessing
    from reactnet.runtime import resize as native_resize

    image = RNG.integers(0, 256, size=(*size, channels), dtype=np.uint8)
    about = Preprocessing(resize=40, crop=(32, 32), mean=MEAN[:channels], std=STD[:channels])
    np.testing.assert_array_equal(centre_crop(image, shorter=40, side=32), preprocess(image, about))
    np.testing.assert_array_equal(resize(image, 17, 90), native_resize(image, 17, 90))


def test_lighting_has_the_covariance_of_its_components() -> None:
    found = lighting(0.1, **AT, indices=MANY)
    expected = 0.01 * EIGENVECTORS @ np.diag(EIGENVALUES**2) @ EIGENVECTORS.T
    np.testing.assert_allclose(np.cov(found.T), expected, rtol=0.1)
    np.testing.assert_allclose(EIGENVECTORS.T @ EIGENVECTORS, np.eye(3), atol=1e-3)  # printed with four digits
    assert np.abs(found.mean(axis=0)).max() < 5 * found.std() / math.sqrt(len(found))


def test_lighting_adds_one_colour_to_an_image_before_normalisation() -> None:
    light = lighting(0.1, **AT, indices=np.arange(12))
    found = augmented(IMAGES, Augmentation(lighting=0.1), MEAN, STD, **AT, indices=np.arange(12))
    expected = (IMAGES / 255 + light[:, None, None, :] - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(found.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


def test_lighting_as_released_leaves_a_pixel_or_darkens_it_by_one_level() -> None:
    pixels = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None, None], (12, 256, 1, 3))
    light = lighting(0.1, **AT, indices=np.arange(12))
    found = lighting_as_released(pixels, light)
    for i in range(12):
        for v in range(256):
            for c in range(3):  # as the published code has it: added, clipped, truncated
                assert found[i, v, 0, c] == int(min(max(v + light[i, c], 0), 255))
    changes = {int(x) for x in np.unique(pixels.astype(int) - found)}
    assert changes == {0, 1}


def test_cutout_blanks_a_square_around_every_pixel_to_the_mean() -> None:
    count = 2000
    images = torch.ones(count, 3, 9, 7)
    cut_out(images, 4, **AT, indices=MANY[:count])
    assert torch.equal(images[:, 0], images[:, 2])
    shapes = set()
    for image in images[:, 0]:
        rows, columns = (image == 0).any(1).nonzero().flatten(), (image == 0).any(0).nonzero().flatten()
        height, width = len(rows), len(columns)
        assert int((image == 0).sum()) == height * width  # a rectangle
        assert 2 <= height <= 4 >= width >= 2
        shapes.add((int(rows[0]), int(columns[0]), height, width))
    assert len(shapes) == 9 * 7  # one for each pixel it may be around
    plain = augmented(IMAGES, PLAIN, MEAN, STD, **AT, indices=np.arange(12))
    cut = augmented(IMAGES, Augmentation(cutout=4), MEAN, STD, **AT, indices=np.arange(12))
    assert torch.equal(cut[cut != 0], plain[cut != 0])
    late = augmented(IMAGES, Augmentation(cutout=4, until=0.9), MEAN, STD, **AT, indices=np.arange(12), progress=0.9)
    assert torch.equal(late, plain)


def test_color_jitter_of_one_kind_blends_as_its_definition_says() -> None:
    numbers = [uniform(**AT, indices=np.arange(12), stream=300 + k) for k in range(3)]
    grey = np.rint(IMAGES @ np.array([299, 587, 114]) / 1000)
    for k, toward in enumerate(
        (np.zeros((12, 1, 1, 1)), grey.mean((1, 2)).round()[:, None, None, None], grey[..., None])
    ):
        strength = [0.0, 0.0, 0.0]
        strength[k] = 0.4
        found = color_jitter(IMAGES, (strength[0], strength[1], strength[2]), **AT, indices=np.arange(12))
        factor = (0.6 + 0.8 * numbers[k])[:, None, None, None]
        expected = np.clip(toward + factor * (IMAGES - toward), 0, 255)
        assert np.abs(found - expected).max() <= 2  # whole grey levels, truncated; grey itself is rounded first


def test_color_jitter_takes_every_order() -> None:
    image = np.broadcast_to(np.array([200, 120, 40], np.uint8), (1, 4, 4, 3))
    image = np.concatenate([image, 255 - image], axis=2)
    found = color_jitter(np.repeat(image, 300, axis=0), (1.0, 1.0, 1.0), **AT, indices=MANY[:300])
    assert len({x.tobytes() for x in found}) > 250
    same = color_jitter(IMAGES, (0.0, 0.0, 0.0), **AT, indices=np.arange(12))
    np.testing.assert_array_equal(same, IMAGES)


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, size=(31, 29, 3), dtype=np.uint8))


def test_rand_augment_has_torchvisions_operations_with_identity_at_magnitude_zero() -> None:
    assert list(OPERATIONS) == [
        *("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast"),
        *("Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"),
    ]
    for name in set(OPERATIONS) - {"AutoContrast", "Equalize", "Solarize"}:
        assert np.array_equal(apply(picture(), name, 0, negative=False), picture()), name


@pytest.mark.parametrize("magnitude", [1, 9, 30])
@pytest.mark.parametrize("negative", [False, True])
def test_geometric_operations_move_pixels_as_their_definition_says(magnitude: int, negative: bool) -> None:
    source = np.asarray(picture())
    height, width = source.shape[:2]
    share = (-1 if negative else 1) * magnitude / (BINS - 1)
    moves = {
        "TranslateX": lambda y, x: (y, x - int(share * 150 / 331 * width)),
        "TranslateY": lambda y, x: (y - int(share * 150 / 331 * height), x),
        "ShearX": lambda y, x: (y, math.floor(x + 0.5 + 0.3 * share * (y + 0.5))),
        "ShearY": lambda y, x: (math.floor(y + 0.5 + 0.3 * share * (x + 0.5)), x),
    }
    for name, move in moves.items():
        found = np.asarray(apply(picture(), name, magnitude, negative=negative))
        wrong = 0
        for y in range(height):
            for x in range(width):
                from_y, from_x = move(y, x)
                inside = 0 <= from_y < height and 0 <= from_x < width
                wrong += not np.array_equal(found[y, x], source[from_y, from_x] if inside else (0, 0, 0))
        assert wrong <= 0.01 * height * width, name  # Pillow's fixed point may round a border the other way


def test_operations_on_values_are_those_of_their_definition() -> None:
    source = np.asarray(picture())
    for magnitude in (0, 9, 15, 30):
        bits = 8 - round(magnitude / ((BINS - 1) / 4))
        posterized = apply(picture(), "Posterize", magnitude, negative=False)
        np.testing.assert_array_equal(posterized, source & (256 - 2 ** (8 - bits)))
        threshold = np.linspace(255, 0, BINS)[magnitude]
        solarized = apply(picture(), "Solarize", magnitude, negative=True)  # it has one side only
        np.testing.assert_array_equal(solarized, np.where(source < threshold, source, 255 - source))
        brighter = np.asarray(apply(picture(), "Brightness", magnitude, negative=False)).astype(float)
        assert np.abs(brighter - np.clip(source * (1 + 0.9 * magnitude / 30), 0, 255)).max() <= 1


def test_rand_augment_is_a_function_of_the_image_alone_and_draws_every_operation() -> None:
    images = np.repeat(IMAGES[:1], 400, axis=0)
    whole = rand_augment(images, 1, 9, **AT, indices=MANY[:400])
    for i in (0, 7, 399):
        np.testing.assert_array_equal(rand_augment(images[:1], 1, 9, **AT, indices=[i])[0], whole[i])
    one = Image.fromarray(IMAGES[0])
    possible = {
        np.asarray(apply(one, name, 9, negative=negative)).tobytes()
        for name in OPERATIONS
        for negative in (False, True)
    }
    assert {x.tobytes() for x in whole} == possible


def test_grey_images_pass_through_every_operation() -> None:
    grey = IMAGES[..., :1]
    everything = Augmentation(
        random_shift=1, random_flip=True, rand_augment=(2, 9), color_jitter=(0.4, 0.4, 0.4), lighting=0.1, cutout=2
    )
    for augment in (everything, replace(everything, lighting_as_released=True)):
        found = augmented(grey, augment, MEAN[:1], STD[:1], **AT, indices=np.arange(12))
        assert found.shape == (12, 1, 9, 7)
        assert torch.isfinite(found).all()


def test_an_image_is_augmented_alike_alone_and_among_others() -> None:
    everything = Augmentation(
        random_shift=2,
        random_shift_probability=0.5,
        random_shift_fill="reflect",
        random_flip=True,
        rand_augment=(2, 9),
        color_jitter=(0.4, 0.4, 0.4),
        lighting=0.1,
        cutout=3,
    )
    whole = augmented(IMAGES, everything, MEAN, STD, **AT, indices=np.arange(12))
    for i in range(12):
        alone = augmented(IMAGES[i : i + 1], everything, MEAN, STD, **AT, indices=[i])
        assert torch.equal(alone[0], whole[i])
    assert not torch.equal(whole, augmented(IMAGES, everything, MEAN, STD, seed=1, epoch=3, indices=np.arange(12)))


def test_normalised_pixels_are_those_of_the_table_of_deployment() -> None:
    from reactnet.data import normalize_table

    table = normalize_table(MEAN, STD)
    found = normalize(IMAGES, MEAN, STD).numpy()
    for c in range(3):
        np.testing.assert_array_equal(found[:, c], table[IMAGES[..., c], c])


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9])
def test_partners_are_others_and_neighbours(count: int) -> None:
    found = partners(count).tolist()
    assert all(abs(a - b) == 1 for a, b in enumerate(found)) or count == 1
    assert all(0 <= b < count for b in found)
    assert all(found[b] == a for a, b in enumerate(found[: count - count % 2]))


def test_mixup_is_the_weighted_sum_and_its_share_is_a_beta_number() -> None:
    augment = Augmentation(mixup=0.4)
    shares = []
    for step in range(2000):
        mixing = mixing_of(augment, (9, 7), **AT, step=step, progress=0.0)
        assert mixing is not None
        assert mixing.box is None
        shares.append(mixing.share)
    assert abs(np.mean(shares) - 0.5) < 0.05
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * 0.4 + 1)), rel=0.1)  # of Beta(a, a)
    a, b = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(mix(a, b, Mixing(0.3, None)), 0.3 * a + 0.7 * b)


def test_cutmix_shows_the_partner_in_a_box_whose_area_is_the_rest_of_the_share() -> None:
    augment = Augmentation(cutmix=1.0)
    shares = []
    for step in range(1000):
        mixing = mixing_of(augment, (20, 30), **AT, step=step, progress=0.0)
        assert mixing is not None
        mixed = mix(torch.zeros(1, 1, 20, 30), torch.ones(1, 1, 20, 30), mixing)
        assert float(mixed.mean()) == pytest.approx(1 - mixing.share, abs=1e-6)
        shares.append(mixing.share)
    assert min(shares) < 0.25  # a box near the border is cut off
    assert max(shares) == 1.0  # a box of no pixel
    assert len(set(shares)) > 100


def test_both_ways_of_mixing_take_turns_and_end_with_until() -> None:
    augment = Augmentation(mixup=0.2, cutmix=1.0, until=0.5)
    found = [mixing_of(augment, (8, 8), **AT, step=step, progress=0.49) for step in range(400)]
    cut = sum(mixing is not None and mixing.box is not None for mixing in found)
    assert 150 < cut < 250
    assert None not in found
    assert mixing_of(augment, (8, 8), **AT, step=0, progress=0.5) is None
    assert mixing_of(PLAIN, (8, 8), **AT, step=0, progress=0.0) is None
