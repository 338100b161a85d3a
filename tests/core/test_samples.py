from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from cvdemo.core.errors import InputError
from cvdemo.core.samples import array_to_uint8, grey_to_rgb, turn, wide_to_uint8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turn_agrees_with_pillow(orientation):
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.getexif().update(exif)
    assert np.array_equal(turn(pixels, orientation), np.asarray(ImageOps.exif_transpose(image)))


def test_16_bit_is_the_nearest_8_bit_value():
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    nearest = np.floor(every.astype(np.float64) * 255 / 65535 + 0.5)
    assert np.array_equal(array_to_uint8(every, "ramp", []), nearest)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_wide_ranges_are_stretched(dtype):
    values = np.array([[-500, 0], [250, 1500]], dtype)
    notes: list[str] = []
    expected = np.rint((values.astype(float) + 500) / 2000 * 255)
    assert np.array_equal(wide_to_uint8(values, "depth.tiff", notes), expected)
    assert notes == ["values from -500 to 1500 stretched to 0..255"]


def test_a_constant_wide_picture_is_black():
    assert not wide_to_uint8(np.full((3, 3), 4000, np.int32), "flat.tiff", []).any()


def test_values_that_are_not_numbers_are_refused():
    with pytest.raises(InputError, match=r"depth\.tiff contains values that are not numbers"):
        wide_to_uint8(np.array([[0.5, np.nan]]), "depth.tiff", [])


def test_grey_has_three_equal_channels():
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert np.array_equal(grey_to_rgb(grey), np.stack([grey, grey, grey], axis=2))
