"""Filters and borders as matrices, against scipy and the properties that define them."""

import numpy as np
import pytest
import scipy.signal

from gan.augment.operators import OVERHANG, SYM2, SYM6, band_filters, band_taps, halving, mirrored_doubling


@pytest.mark.parametrize(("taps", "moments"), [(SYM2, 2), (SYM6, 6)])
def test_wavelets_are_orthogonal_and_vanish_on_polynomials(taps: np.ndarray, moments: int) -> None:
    assert len(taps) == 2 * moments
    assert taps.sum() == pytest.approx(np.sqrt(2), abs=1e-9)
    for shift in range(moments):
        product = taps[2 * shift :] @ taps[: len(taps) - 2 * shift]
        assert product == pytest.approx(float(shift == 0), abs=1e-9)
    k = np.arange(len(taps)) - len(taps) // 2
    for power in range(moments):
        assert abs(((-1.0) ** k * k**power) @ taps) < 1e-6 * max(1, np.abs(k**power).max())


@pytest.mark.parametrize(("size", "before", "after"), [(8, 3, 5), (8, 0, 0), (5, 4, 4), (16, 0, 15)])
def test_doubling_equals_mirroring_zeros_and_convolution(size: int, before: int, after: int) -> None:
    signal = np.random.default_rng(0).standard_normal(size)
    padded = np.pad(signal, (before, after), mode="reflect")
    stuffed = np.zeros(2 * len(padded))
    stuffed[::2] = padded
    full = np.convolve(stuffed, SYM6 * np.sqrt(2))
    expected = full[5 : 5 + len(stuffed)]
    np.testing.assert_allclose(mirrored_doubling(size, before, after) @ signal, expected, atol=1e-12)


def test_halving_undoes_doubling() -> None:
    size = 12
    np.testing.assert_allclose(halving(size) @ mirrored_doubling(size, OVERHANG, OVERHANG), np.eye(size), atol=1e-9)


def test_sample_2j_lies_on_pixel_j() -> None:
    """A straight line, doubled, is the line at twice the density, a twentieth of a pixel off."""
    line = mirrored_doubling(40, 0, 0) @ np.arange(40.0)
    np.testing.assert_allclose(line[20:60], np.arange(20, 60) / 2, atol=0.05)


def test_bands_sum_to_an_impulse_and_part_the_frequencies() -> None:
    taps = band_taps()
    impulse = np.zeros(43)
    impulse[21] = 1
    np.testing.assert_allclose(taps.sum(axis=0), impulse, atol=1e-12)
    np.testing.assert_allclose(taps, taps[:, ::-1], atol=1e-12)
    frequencies = np.array([1 / 32, 3 / 16, 3 / 8, 3 / 4]) * np.pi  # centres of the bands
    response = np.array([np.abs(scipy.signal.freqz(band, worN=frequencies)[1]) for band in taps])
    assert response.argmax(axis=0).tolist() == [0, 1, 2, 3]
    assert response.diagonal().min() > 0.7


@pytest.mark.parametrize("size", [8, 32, 50])
def test_band_filters_equal_convolution_behind_mirrored_borders(size: int) -> None:
    signal = np.random.default_rng(1).standard_normal(size)
    padded = np.pad(signal, 21, mode="reflect")
    for matrix, band in zip(band_filters(size), band_taps(), strict=True):
        np.testing.assert_allclose(matrix @ signal, np.convolve(padded, band, mode="valid"), atol=1e-12)
