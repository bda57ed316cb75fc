import numpy as np
import pytest

from synthface.data.alignment import TEMPLATE, align_face, similarity

RNG = np.random.default_rng(0)


def turned(points, scale, degrees, shift):
    angle = np.deg2rad(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ rotation.T + shift


@pytest.mark.parametrize(("scale", "degrees"), [(1.0, 0), (0.3, 25), (4.0, -170)])
def test_a_similarity_is_found_exactly(scale, degrees):
    targets = turned(TEMPLATE, scale, degrees, [7, -3])
    matrix = similarity(TEMPLATE, targets)
    np.testing.assert_allclose(TEMPLATE @ matrix[:, :2].T + matrix[:, 2], targets, atol=1e-9)


def test_noisy_points_are_fitted_by_least_squares():
    # A similarity without reflection is linear in (a, b, x, y), so ordinary least squares is the oracle.
    for _ in range(20):
        points, targets = RNG.normal(size=(5, 2)) * 30, RNG.normal(size=(5, 2)) * 30
        design = np.zeros((10, 4))
        design[0::2] = np.column_stack([points[:, 0], -points[:, 1], np.ones(5), np.zeros(5)])
        design[1::2] = np.column_stack([points[:, 1], points[:, 0], np.zeros(5), np.ones(5)])
        a, b, x, y = np.linalg.lstsq(design, targets.ravel(), rcond=None)[0]
        np.testing.assert_allclose(similarity(points, targets), [[a, -b, x], [b, a, y]], atol=1e-8)


def test_a_mirrored_face_is_not_mirrored_back():
    matrix = similarity(TEMPLATE * [-1, 1], TEMPLATE)
    assert np.linalg.det(matrix[:, :2]) > 0


@pytest.mark.parametrize(("scale", "degrees"), [(0.4, 10), (1.0, 0), (1.0, -20), (2.3, 8), (5.0, -35), (13.0, 100)])
def test_the_crop_shows_what_lies_under_its_pixels(scale, degrees):
    side = int(170 * scale) + 60
    landmarks = turned(TEMPLATE - 56, scale, degrees, [side / 2, side / 2])

    def waves(x, y):  # smooth: a period is 40 pixels of the crop
        x, y = ((value - side / 2) * 2 * np.pi / (40 * scale) for value in (x, y))
        return np.stack([128 + 80 * np.sin(x + phase) * np.cos(y - phase) for phase in (0, 1, 2)], axis=2)

    rows, columns = np.mgrid[:side, :side]
    crop = align_face(waves(columns, rows).round().astype(np.uint8), landmarks)
    to_photo = similarity(TEMPLATE, landmarks)
    down, right = np.mgrid[:112, :112]
    at = np.einsum("ij,jhw->hwi", to_photo[:, :2], np.stack([right, down])) + to_photo[:, 2]
    expected = waves(at[:, :, 0], at[:, :, 1])
    inner = np.s_[8:-8, 8:-8]
    error = (crop - expected)[inner]
    assert np.abs(error).max() < 6
    slope_down, slope_right = np.gradient(expected, axis=(0, 1))
    slopes = np.column_stack([slope_right[inner].ravel(), slope_down[inner].ravel(), np.ones(error.size)])
    shift_right, shift_down, bias = np.linalg.lstsq(slopes, error.ravel(), rcond=None)[0]
    assert max(abs(shift_right), abs(shift_down)) < 0.05  # pixels of the crop: a wrong half pixel cannot pass
    assert -0.75 < bias < 0.1  # of 255 levels: Pillow's interpolation cuts off fractions


def test_fine_detail_is_averaged_not_aliased():
    side = 1200
    stripes = np.zeros((side, side, 3), np.uint8)
    stripes[:, ::2] = 255
    for scale in (1.5, 2, 3.3, 6, 8):
        crop = align_face(stripes, turned(TEMPLATE - 56, scale, 3, [side / 2, side / 2]))[20:-20, 20:-20]
        assert crop.std() < (45 if scale < 2 else 25), scale  # of 127 in the photo


def test_what_lies_outside_the_photo_is_black():
    white = np.full((60, 60, 3), 255, np.uint8)
    crop = align_face(white, TEMPLATE - 26)
    assert crop[50:60, 50:60].min() == 255
    assert crop[:20].max() == 0
    assert crop[:, -20:].max() == 0
