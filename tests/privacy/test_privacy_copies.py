"""Copies are found by hashes, confirmed by detail, one by one; other photos are not."""

import io
from functools import lru_cache

import numpy as np
import pytest
from PIL import Image
from scipy import fft

from synthface.core.errors import AuditError
from synthface.privacy.config import AuditConfig
from synthface.privacy.copies import detail_correlation, find_copies
from synthface.privacy.copy_checks import copy_checks, search_copies
from synthface.privacy.registration import cut, register
from synthface.privacy.signatures import ImageSignatures, shrink

LIMITS = {"max_bits": 6, "min_correlation": 0.9}


@lru_cache
def photos(n, seed, side=112):
    """Draw pictures with a common layout, as aligned faces have, and with light and detail of their own."""
    rng = np.random.default_rng(seed)
    frequency = np.fft.fftfreq(side, 1 / side)
    spectrum = 1 / np.maximum(1, np.hypot(frequency[:, None], frequency[: side // 2 + 1]))
    layout = np.random.default_rng(99).standard_normal((side, side))
    noise = rng.standard_normal((n, side, side)) + 0.7 * layout
    field = np.fft.irfft2(np.fft.rfft2(noise) * spectrum**1.5, s=(side, side))
    field = (field - field.mean(axis=(1, 2), keepdims=True)) / field.std(axis=(1, 2), keepdims=True)
    tint = rng.uniform(-20, 20, (n, 1, 1, 3))
    return np.clip(128 + 45 * field[..., None] + tint, 0, 255).astype(np.uint8)


def sign(pixels, prefix="photo", **more):
    return ImageSignatures.of_images(pixels, [f"{prefix}{index}" for index in range(len(pixels))], **more)


def jpeg(pixels, quality=30):
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream).convert("RGB"))


def cropped(pixels, margin):
    side = len(pixels)
    part = Image.fromarray(np.ascontiguousarray(pixels)).crop((margin, 0, side - 1, side - margin))
    return np.asarray(part.resize((side, side), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def library():
    pixels = photos(200, 1)
    return pixels, sign(pixels)


def test_difference_hash_against_loops(library):
    _, signatures = library
    for index in range(3):
        grey = signatures.pictures[index].astype(np.float64)
        cells = np.zeros((8, 9))
        fine = grey.repeat(9, axis=1)  # each cell is 32 of 288 columns wide
        for row in range(8):
            for column in range(9):
                cells[row, column] = fine[4 * row : 4 * row + 4, 32 * column : 32 * column + 32].mean()
        bits = "".join(
            "1" if cells[row, column] > cells[row, column + 1] else "0" for row in range(8) for column in range(8)
        )
        ours = "".join(f"{byte:08b}" for byte in signatures.difference_hash[index : index + 1].view(np.uint8))
        assert ours == bits


def test_frequency_hash_against_scipy(library):
    _, signatures = library
    for index in range(3):
        low = fft.dctn(signatures.pictures[index].astype(np.float64))[1:9, 1:9]
        bits = "".join("1" if bit else "0" for bit in (low > np.median(low)).ravel())
        assert "".join(f"{byte:08b}" for byte in signatures.frequency_hash[index : index + 1].view(np.uint8)) == bits


def test_shrinking_keeps_the_mean_and_is_a_block_mean_where_cells_fit():
    pictures = np.random.default_rng(2).random((3, 24, 12)).astype(np.float32)
    np.testing.assert_allclose(shrink(pictures, 5, 7).mean(axis=(1, 2)), pictures.mean(axis=(1, 2)), rtol=1e-5)
    blocks = pictures.reshape(3, 8, 3, 4, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(shrink(pictures, 8, 4), blocks, rtol=1e-5)


def test_registration_finds_crops_that_differ_at_each_edge(library):
    _, signatures = library
    rng = np.random.default_rng(6)
    pictures = signatures.pictures[:60]
    box = np.stack([rng.uniform(0, 0.06, 60), 1 - rng.uniform(0, 0.06, 60)] * 2, axis=1)
    box[:, 2:] = box[::-1, 2:]
    shown = cut(pictures, box)
    darker = 0.7 * shown + 20
    before = np.abs(pictures - shown).mean()
    assert np.abs(register(darker, pictures) - shown).mean() < 0.1 * before


def test_cutting_nothing_keeps_the_picture_and_half_is_the_middle():
    pictures = np.random.default_rng(7).random((2, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(cut(pictures, np.tile([0.0, 1.0, 0.0, 1.0], (2, 1))), pictures, rtol=1e-5)
    middle = cut(pictures, np.tile([0.25, 0.75, 0.25, 0.75], (2, 1)))
    np.testing.assert_allclose(middle, pictures[:, 2:6, 2:6].repeat(2, axis=1).repeat(2, axis=2), rtol=1e-5)


CHANGES = {
    "verbatim": lambda image: image,
    "jpeg": jpeg,
    "mirrored jpeg": lambda image: jpeg(image[:, ::-1]),
    "small": lambda image: np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR)),
    "brighter": lambda image: np.clip(0.8 * image + 30, 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_one_by_one(library, change):
    pixels, signatures = library
    strangers = photos(40, 3)
    chosen = np.arange(0, 200, 5)
    copies = np.stack([CHANGES[change](pixels[index]) for index in chosen])
    images = ImageSignatures(
        [f"image{index}" for index in range(80)],
        np.concatenate([sign(strangers).pictures, sign(copies).pictures]),
    )
    found = find_copies(images, signatures, **LIMITS)
    assert found.images.tolist() == list(range(40, 80))
    assert found.photos.tolist() == chosen.tolist()
    assert found.mirrored.all() == ("mirrored" in change) == found.mirrored.any()


def test_a_crop_hides_from_hashes_but_not_from_the_recognisers_candidates(library):
    pixels, signatures = library
    images = sign(np.stack([jpeg(cropped(image[:, ::-1], 6)) for image in pixels[:30]]))
    assert len(find_copies(images, signatures, **LIMITS)) < 20
    nearest = np.stack([np.arange(30), np.arange(30)[::-1]], axis=1)  # two recognisers, one right and one wrong
    found = find_copies(images, signatures, **LIMITS, nearest=nearest)
    assert found.photos.tolist() == list(range(30))


def test_other_pictures_of_one_layout_are_candidates_but_not_confirmed(library):
    _, signatures = library
    strangers = sign(photos(200, 4))
    loose = find_copies(strangers, signatures, max_bits=16, min_correlation=0.9)
    assert loose.n_candidates > 50
    assert len(loose) == 0
    assert loose.highest < 0.7


def test_candidates_are_all_pairs_within_the_distance(library):
    _, signatures = library
    images = sign(photos(30, 5))
    found = find_copies(images, signatures, max_bits=18, min_correlation=2.0)

    def distance(first, second):
        return bin(int(first) ^ int(second)).count("1")

    expected = sum(
        min(distance(a, c), distance(b, d)) <= 18
        for view in (images, images.mirrored())
        for a, b in zip(view.difference_hash, view.frequency_hash, strict=True)
        for c, d in zip(signatures.difference_hash, signatures.frequency_hash, strict=True)
    )
    assert found.n_candidates == expected > 0


def test_flat_pictures_have_no_detail_to_confirm():
    flat = sign(np.full((2, 112, 112, 3), 90, np.uint8))
    assert detail_correlation(flat, flat, np.array([[0, 1]]))[0] == 0.0


def searched(roles):
    config = AuditConfig()
    signatures = {role: sign(pixels, role) for role, pixels in roles.items()}
    return copy_checks(search_copies(signatures, {}, config), signatures, config)


def test_gate_fails_on_copies_and_shows_the_false_alarms_of_the_search(library):
    pixels, _ = library
    clean = {"synthetic": photos(50, 6), "train": pixels, "holdout": photos(80, 7), "placebo": photos(60, 8)}
    count, alarms = searched(clean)
    assert (count.value, count.passed, count.baseline) == (0, True, 0.0)
    assert (alarms.value, alarms.n) == (0.0, 140)
    assert alarms.interval[1] == pytest.approx(1 - 0.05 ** (1 / 140))
    leaked = np.concatenate([photos(48, 6), [jpeg(pixels[3]), jpeg(pixels[9][:, ::-1])]])
    count = searched(clean | {"synthetic": leaked})[0]
    assert (count.value, count.passed) == (2, False)


def test_gate_does_not_decide_where_hold_out_photos_are_copied_as_well(library):
    pixels, _ = library
    unused = photos(200, 7)
    both = np.concatenate([pixels[:3], unused[:3]])
    count = searched({"synthetic": both, "train": pixels, "holdout": unused})[0]
    assert (count.value, count.control, count.passed) == (3, 3.0, None)
    many = np.concatenate([pixels[:30], unused[:3]])
    assert searched({"synthetic": many, "train": pixels, "holdout": unused})[0].passed is False


def test_signatures_must_fit_their_names():
    with pytest.raises(AuditError, match="one picture of 32 x 32"):
        ImageSignatures(["a"], np.zeros((2, 32, 32)))
    with pytest.raises(AuditError, match="NaN"):
        ImageSignatures(["a"], np.full((1, 32, 32), np.nan))
