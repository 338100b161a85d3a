"""COCO's masks against the reference implementation."""

import cv2
import numpy as np
import pytest
from pycocotools import mask as reference

from cvdemo.core.errors import InputError
from cvdemo.segmentation import rle


def blobs(seed, height=37, width=53):
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), 3 if seed % 3 else 0.1)
    return noise > np.quantile(noise, rng.uniform(0.1, 0.9))


MASKS = [*(blobs(seed) for seed in range(9)), np.zeros((5, 7), bool), np.ones((5, 7), bool), np.ones((1, 1), bool)]


@pytest.mark.parametrize("mask", MASKS, ids=range(len(MASKS)))
def test_run_lengths_there_and_back_and_as_the_reference_writes_them(mask):
    height, width = mask.shape
    runs = rle.encode(mask)
    np.testing.assert_array_equal(rle.decode(runs, height, width), mask)
    theirs = reference.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert rle.to_text(runs) == theirs["counts"].decode()
    assert rle.from_text(theirs["counts"].decode()) == runs
    for counts in (runs, rle.to_text(runs), theirs["counts"]):
        np.testing.assert_array_equal(rle.mask_of({"size": [height, width], "counts": counts}, height, width), mask)


@pytest.mark.parametrize("seed", range(60))
def test_polygons_cover_the_same_pixels(seed):
    rng = np.random.default_rng(seed)
    height, width = (40, 57) if seed % 2 else (1, 500)
    count = int(rng.integers(3, 12))
    points = rng.uniform(-8, 8 + max(height, width) * (seed % 5 > 0), (count, 2))
    if seed % 3 == 0:
        points = np.round(points)
    if seed % 7 == 0:
        points[1] = points[0]  # a doubled corner
    flat = points.ravel().tolist()
    theirs = reference.decode(reference.frPyObjects([flat], height, width))[:, :, 0]
    np.testing.assert_array_equal(rle.from_polygon(flat, height, width), theirs.astype(bool))
    both = [flat, (points[:, ::-1] / 2).ravel().tolist()]
    merged = reference.decode(reference.merge(reference.frPyObjects(both, height, width)))
    np.testing.assert_array_equal(rle.mask_of(both, height, width), merged.astype(bool))


@pytest.mark.parametrize("seed", range(4))
def test_overlaps_equal_the_references(seed):
    first = [blobs(10 * seed + k) for k in range(4)] + [np.zeros((37, 53), bool)]
    second = [blobs(50 + 10 * seed + k) for k in range(5)]
    crowd = np.arange(5) % 2 == 0
    coded = [[reference.encode(np.asfortranarray(m.astype(np.uint8))) for m in group] for group in (first, second)]
    expected = reference.iou(coded[0], coded[1], crowd.astype(np.uint8).tolist())
    np.testing.assert_allclose(rle.iou(first, second, crowd), np.nan_to_num(expected), atol=1e-12)
    assert rle.iou([], second, crowd).shape == (0, 5)


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ({"size": [5, 5], "counts": [25]}, "does not fit"),
        ({"size": [4, 6], "counts": [25]}, "add up to 25"),
        ({"size": [4, 6], "counts": [30, -6]}, "do not fill"),
        ({"size": [4, 6], "counts": [24.0]}, "whole numbers"),
        ({"size": [4, 6]}, "no counts"),
        ({"size": [4, 6], "counts": "\x20"}, "does not belong"),
        ({"size": [4, 6], "counts": "o"}, "middle of a number"),
        ([], "no usable outline"),
        (None, "no usable outline"),
        ([[1, 2, 3]], "not a list of x y pairs"),
        ([[1, 2, 3, 4, 5, "6"]], "not a list of x y pairs"),
        ([[1, 2, 3, 4, 5, float("nan")]], "has no area"),
    ],
)
def test_damaged_masks_are_refused(segmentation, words):
    with pytest.raises(InputError, match=words):
        rle.mask_of(segmentation, 4, 6)


def test_a_polygon_far_outside_costs_no_memory():
    assert not rle.from_polygon([1e12, 1e12, 2e12, 1e12, 1e12, 2e12], 20, 20).any()
    assert rle.from_polygon([-1e9, -1e9, 1e9, -1e9, 1e9, 1e9, -1e9, 1e9], 20, 20).all()
