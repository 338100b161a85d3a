"""Painting over a picture, and how far the joints moved by it."""

from dataclasses import replace

import numpy as np
import pytest

from cvdemo.pose.occlude import FILLS, displacements, occlude, rectangle_in
from cvdemo.pose.poses import Poses

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


@pytest.mark.parametrize("fill", FILLS)
def test_only_the_rectangle_is_painted(fill):
    before = PICTURE.copy()
    out = occlude(PICTURE, [(50, 40, 20, 10)], fill)  # any two corners
    np.testing.assert_array_equal(PICTURE, before)
    inside = np.zeros((60, 80), bool)
    inside[10:40, 20:50] = True
    np.testing.assert_array_equal(out[~inside], PICTURE[~inside])
    assert (out[inside] != PICTURE[inside]).any(axis=1).mean() > 0.9
    np.testing.assert_array_equal(out, occlude(PICTURE, [(20, 10, 50, 40)], fill))


def test_fills():
    mean = occlude(PICTURE, [(0, 0, 10, 10)])[5, 5]
    np.testing.assert_allclose(mean, PICTURE.reshape(-1, 3).mean(axis=0), atol=0.6)
    assert (occlude(PICTURE, [(0, 0, 80, 60)], "black") == 0).all()
    blurred = occlude(PICTURE, [(0, 0, 80, 60)], "blur")
    assert blurred.std() < PICTURE.std() / 3
    with pytest.raises(ValueError, match="red"):
        occlude(PICTURE, [], "red")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((-5, -5, 10.2, 3), (0, 0, 11, 3)),
        ((70, 50, 500, 500), (70, 50, 80, 60)),
        ((100, 10, 120, 20), None),
        ((5, 5, 5, 9), None),
        ((np.nan, 0, 5, 5), None),
    ],
)
def test_rectangles_are_cut_to_the_picture(given, expected):
    assert rectangle_in(given, 60, 80) == expected
    if expected is None:
        np.testing.assert_array_equal(occlude(PICTURE, [given]), PICTURE)


@pytest.mark.parametrize("fill", FILLS)
def test_a_single_pixel(fill):
    assert occlude(PICTURE[:1, :1], [(0, 0, 1, 1)], fill).shape == (1, 1, 3)


def test_displacements_pair_people_by_row():
    keypoints = np.zeros((2, 17, 3))
    visible = np.ones((2, 17), bool)
    visible[0, 3] = False
    before = Poses(keypoints, visible, np.zeros((2, 4), np.float32), np.ones(2, np.float32), np.array([4, 1]), 9, 9, "")
    moved = keypoints[:1].copy()
    moved[0, :, :2] = (3, 4)
    after = replace(before.take(np.array([0])), keypoints=moved)
    found = displacements(before, after)
    assert found[0, 0] == 5
    assert np.isnan(found[0, 3])
    assert np.isnan(found[1]).all()
