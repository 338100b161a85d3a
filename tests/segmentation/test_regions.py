"""Regions too small to be believed, against a flood fill written out."""

import numpy as np
import pytest

from cvdemo.segmentation.predict import SegmentationSettings, decode
from cvdemo.segmentation.raw import RawSegmentation
from cvdemo.segmentation.regions import small_regions, without_small_regions


def flooded(labels):
    """The connected regions of equal labels (8 neighbours) as sets of cells."""
    left = {(y, x) for y in range(labels.shape[0]) for x in range(labels.shape[1])}
    found = []
    while left:
        start = left.pop()
        region, edge = {start}, [start]
        while edge:
            y, x = edge.pop()
            for cell in [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
                if cell in left and labels[cell] == labels[start]:
                    left.remove(cell)
                    region.add(cell)
                    edge.append(cell)
        found.append(region)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_small_regions_are_those_a_flood_fill_finds(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2 + seed % 3, (11, 14)).astype(np.uint8)
    labels[2:8, 3:9] = 1
    for least in (0, 1, 2, 5, 1000):
        expected = np.zeros(labels.shape, bool)
        for region in flooded(labels):
            if len(region) < least:
                expected[tuple(zip(*region))] = True
        np.testing.assert_array_equal(small_regions(labels, least), expected)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_left_is_large_and_nothing_else_has_changed(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(5, 20, 24)).astype(np.float32)
    logits[1, :, :12] += 3
    logits[4, :10, 12:] += 3
    logits[0, 10:, 12:] += 3
    before = logits.copy()
    labels = logits.argmax(0)
    small = small_regions(labels.astype(np.uint8), 0.05 * labels.size)
    assert small.any(), "the noise makes specks"
    cleaned = without_small_regions(logits, 0.05)
    np.testing.assert_array_equal(logits, before)
    assert all(len(region) >= 0.05 * labels.size for region in flooded(cleaned.argmax(0)))
    np.testing.assert_array_equal(cleaned.argmax(0)[~small], labels[~small])
    changed = cleaned != logits
    assert (changed.any(0) == small).all()
    assert (cleaned[changed] < logits[changed]).all(), "a class only ever loses"


def test_nothing_is_asked_and_nothing_can_be_done():
    logits = np.random.default_rng(0).normal(size=(3, 6, 6)).astype(np.float32)
    assert without_small_regions(logits, 0.0) is logits
    assert without_small_regions(logits, 1.0) is logits, "all regions are small: the map stays as it is"


def speckled():
    """Class 0 with a speck of class 15 (which is sure of itself), 2 of 300 cells."""
    logits = np.zeros((21, 15, 20), np.float32)
    logits[0] = 4
    logits[15, 5, 5:7] = 9
    categories = tuple(f"class {index}" for index in range(21))
    return RawSegmentation(logits, categories, (0.0, 0.0, 80.0, 60.0), 60, 80, "test")


def test_the_map_and_its_measures_agree_while_a_pixel_says_what_the_network_said():
    raw = speckled()
    plain = decode(raw, SegmentationSettings())
    assert {area.index for area in plain.areas} == {0, 15}
    found = decode(raw, SegmentationSettings(min_region=1.0), plain)
    assert {area.index for area in found.areas} == {0}
    assert found.confidence[22, 24] == pytest.approx(np.exp(4) / (np.exp(4) + 19 + np.exp(-1)), abs=1e-3)
    assert plain.foreground([15]).max() > 0.9 > 0.02 > found.foreground([15]).max()
    assert found.probabilities_at(24, 22)[0][0] == "class 15"
    np.testing.assert_array_equal(decode(raw, SegmentationSettings(min_region=0.5), found).labels, plain.labels)
    np.testing.assert_array_equal(decode(raw, SegmentationSettings(), found).labels, plain.labels)
