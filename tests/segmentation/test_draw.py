"""Overlays, legends, maps, objects: the right pixels change and the others do not."""

import cv2
import numpy as np
import pytest

from cvdemo.segmentation import draw
from cvdemo.segmentation.instances import decode_instances
from cvdemo.segmentation.labels import VOC_CLASSES, VOC_COLOURS
from cvdemo.segmentation.raw import RawInstances, RawSegmentation
from cvdemo.segmentation.result import Segmentation


def scene(height=60, width=80, chosen=frozenset()):
    logits = np.zeros((21, 15, 20), np.float32)
    logits[0] = 1
    logits[15, 3:12, 5:12] = 9
    logits[12, 3:12, 12:18] = 9
    raw = RawSegmentation(logits, VOC_CLASSES, (0.0, 0.0, float(width), float(height)), height, width, "test")
    return Segmentation(raw, chosen=chosen)


def photo(height=60, width=80):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_colours_are_looked_up():
    labels = np.random.default_rng(1).integers(0, 21, (13, 17), np.uint8)
    table = draw.colours_of(VOC_CLASSES)
    np.testing.assert_array_equal(draw.colour_map(labels, table), VOC_COLOURS[labels])
    assert tuple(draw.colours_of(VOC_CLASSES, {"dog": (1, 2, 3)})[12]) == (1, 2, 3)
    assert len({tuple(colour) for colour in draw.colours_of([f"c{i}" for i in range(9)])[:9].tolist()}) == 9


def test_the_overlay_blends_inside_and_keeps_the_rest():
    found, pixels = scene(), photo()
    before = pixels.copy()
    for opacity in (0.0, 0.3, 1.0):
        out = draw.draw_overlay(pixels, found, opacity=opacity, outline=0)
        inside = found.labels > 0
        expected = pixels * (1 - opacity) + VOC_COLOURS[found.labels] * opacity
        assert np.abs(out[inside] - expected[inside]).max() <= 1
        np.testing.assert_array_equal(out[~inside], pixels[~inside])
    np.testing.assert_array_equal(pixels, before)


def test_outlines_lie_on_borders_and_only_on_shown_classes():
    found, pixels = scene(), photo()
    out = draw.draw_overlay(pixels, found, opacity=0.0, outline=2)
    changed = (out != pixels).any(axis=2)
    regions = found.labels
    near = cv2.dilate(regions, np.ones((5, 5))) != cv2.erode(regions, np.ones((5, 5)))
    assert changed.any()
    assert not changed[~near].any()
    colours = {tuple(c) for c in out[changed].tolist()}
    assert colours == {tuple(VOC_COLOURS[15].tolist()), tuple(VOC_COLOURS[12].tolist())}
    only = draw.draw_overlay(pixels, scene(chosen=frozenset({"dog"})), opacity=0.0, outline=2)
    drawn = {tuple(c) for c in only[(only != pixels).any(axis=2)].tolist()}
    assert drawn == {tuple(VOC_COLOURS[12].tolist())}


def test_nothing_found_changes_nothing():
    raw = scene().raw
    empty = np.zeros_like(raw.logits)
    empty[0] = 5
    found = Segmentation(RawSegmentation(empty, raw.categories, raw.extent, 60, 80, "test"))
    np.testing.assert_array_equal(draw.draw_overlay(photo(), found), photo())
    assert [entry.name for entry in draw.legend(found)] == ["background"]


def test_the_legend_has_colours_and_shares():
    entries = draw.legend(scene(chosen=frozenset({"dog"})), {"person": (255, 0, 16)})
    assert [entry.name for entry in entries] == ["background", "person", "dog"]
    assert sum(entry.percent for entry in entries) == pytest.approx(100)
    assert entries[1].hex == "#ff0010"
    assert [entry.shown for entry in entries] == [False, False, True]


def test_numbers_become_lighter_as_they_rise():
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None].repeat(4, 0)
    picture = draw.draw_values(ramp, 0, 1, bar=False)
    lightness = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)[0, :, 0].astype(int)
    assert (np.diff(lightness) >= -1).all()
    assert lightness[-1] - lightness[0] > 150
    assert draw.draw_values(ramp, 0, 1).shape[0] > 4
    np.testing.assert_array_equal(draw.draw_values(ramp * 0 + 9, 0, 1, bar=False)[0, 0], picture[0, -1])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 500), (3000, 20)])
def test_adversarial_sizes(height, width):
    found, pixels = scene(height, width), photo(height, width)
    assert draw.draw_overlay(pixels, found, outline=12).shape == pixels.shape
    assert draw.draw_confidence(found).shape[1:] == (width, 3)
    assert draw.draw_entropy(found, bar=False).shape == pixels.shape
    assert draw.before_after(pixels, pixels).shape == pixels.shape
    with pytest.raises(ValueError, match="pixels must be"):
        draw.draw_overlay(photo(height + 1, width), found)


def test_before_and_after_meet_at_the_position():
    before, after = np.zeros((10, 40, 3), np.uint8), np.full((10, 40, 3), 100, np.uint8)
    out = draw.before_after(before, after, 0.25)
    assert (out[:, :9] == 0).all()
    assert (out[:, 9:11] == 255).all()
    assert (out[:, 11:] == 100).all()
    np.testing.assert_array_equal(draw.before_after(before, after, 0.0), after)
    np.testing.assert_array_equal(draw.before_after(before, after, 1.0), before)
    with pytest.raises(ValueError, match="laid over"):
        draw.before_after(before, after[:5])


def objects(count=3):
    boxes = np.array([[10, 10, 40, 50], [30, 20, 70, 55], [0, 0, 79, 59]], np.float32)[:count]
    masks = np.zeros((count, 28, 28), np.float32)
    masks[:, 4:24, 4:24] = 1
    scores = np.array([0.9, 0.8, 0.7], np.float32)[:count]
    raw = RawInstances(boxes, scores, np.arange(count) % 2, masks, ("person", "dog"), 60, 80, "test")
    return decode_instances(raw, score_threshold=0.1)


def test_objects_are_drawn_in_colours_of_their_own_with_the_best_on_top():
    found, pixels = objects(), photo()
    out = draw.draw_instances(pixels, found, opacity=1.0, outline=0, show_labels=False)
    for row in range(3):
        own = found.mask(row) & ~np.any([found.mask(r) for r in range(row)] or [np.zeros((60, 80), bool)], axis=0)
        np.testing.assert_array_equal(out[own], np.broadcast_to(draw.instance_colour(row, ""), out[own].shape))
    free = ~np.any([found.mask(row) for row in range(3)], axis=0)
    np.testing.assert_array_equal(out[free], pixels[free])
    lit = draw.draw_instances(pixels, found, opacity=1.0, outline=0, show_labels=False, highlight=2)
    assert (lit[found.mask(2)] == draw.instance_colour(2, "")).all(), "the highlighted object comes to the top"
    chosen = draw.draw_instances(pixels, found, opacity=1.0, outline=0, show_labels=False, colours={"dog": (1, 2, 3)})
    assert (chosen == (1, 2, 3)).all(axis=2).any()


def test_labels_and_no_objects():
    pixels = photo()
    assert (draw.draw_instances(pixels, objects(), opacity=0.0, outline=1) != pixels).any()
    np.testing.assert_array_equal(draw.draw_instances(pixels, objects(0)), pixels)
