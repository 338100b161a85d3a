"""Replaced backgrounds: exact where alpha is 0 or 1, blended between, no halo."""

import numpy as np
import pytest

from cvdemo.segmentation import background


def photo(height=60, width=80, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def half(height=60, width=80):
    alpha = np.zeros((height, width), np.float32)
    alpha[:, width // 2 :] = 1
    return alpha


@pytest.mark.parametrize(
    "replace",
    [
        lambda pixels, alpha: background.blurred_background(pixels, alpha, 6),
        lambda pixels, alpha: background.colour_background(pixels, alpha, (9, 8, 7)),
        lambda pixels, alpha: background.picture_background(pixels, alpha, photo(33, 140, 5)),
    ],
)
def test_the_foreground_stays_and_the_rest_changes(replace):
    pixels, alpha = photo(), half()
    out = replace(pixels, alpha)
    np.testing.assert_array_equal(out[alpha == 1], pixels[alpha == 1])
    assert np.abs(out[alpha == 0].astype(int) - pixels[alpha == 0]).mean() > 20
    np.testing.assert_array_equal(replace(pixels, np.ones_like(alpha)), pixels)
    np.testing.assert_array_equal(pixels, photo())


def test_soft_edges_are_blended():
    pixels = photo()
    alpha = np.random.default_rng(2).random((60, 80)).astype(np.float32)
    out = background.colour_background(pixels, alpha, (200, 100, 0))
    expected = alpha[..., None] * pixels + (1 - alpha[..., None]) * np.array([200, 100, 0])
    assert np.abs(out - expected).max() <= 1


def test_the_blur_holds_no_colour_of_the_foreground():
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[:, 40:] = (255, 0, 0)
    out = background.blurred_background(pixels, half(), 10)
    assert out[:, :40].max() <= 1
    everything = background.blurred_background(pixels, np.zeros((60, 80), np.float32), 10)
    assert 30 < everything[30, 39, 0] < 225, "without a foreground the edge itself is blurred"


def test_a_stronger_blur_is_smoother():
    alpha = np.zeros((60, 80), np.float32)
    rough = [background.blurred_background(photo(), alpha, sigma).std() for sigma in (1, 4, 20)]
    assert rough[0] > rough[1] > rough[2]


def test_cut_outs_carry_alpha():
    pixels, alpha = photo(), half()
    alpha[0, 0] = 0.5
    cut = background.cut_out(pixels, alpha)
    assert cut.shape == (60, 80, 4)
    np.testing.assert_array_equal(cut[..., :3], pixels)
    assert (cut[0, 0, 3], cut[0, 1, 3], cut[0, 79, 3]) == (128, 0, 255)
    shown = background.on_checks(cut)
    np.testing.assert_array_equal(shown[:, 40:], pixels[:, 40:])
    assert set(np.unique(shown[1:, 1:39]).tolist()) == {204, 255}


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 500), (3000, 20)])
def test_adversarial_sizes(height, width):
    pixels, alpha = photo(height, width), half(height, width)
    for out in (
        background.blurred_background(pixels, alpha, 60),
        background.picture_background(pixels, alpha, photo(7, 300)),
        background.on_checks(background.cut_out(pixels, alpha)),
    ):
        assert out.shape == pixels.shape
    with pytest.raises(ValueError, match="alpha must be"):
        background.cut_out(pixels, alpha[:-1])
    with pytest.raises(ValueError, match="pixels must be"):
        background.composite(pixels[..., :2], pixels, alpha)
