"""Class names and colours: complete, distinct, and told apart by people who cannot tell red from green."""

import numpy as np
import pytest

from cvdemo.detection.labels import COCO_CATEGORIES
from cvdemo.segmentation.labels import (
    CAMVID_CLASSES,
    CAMVID_COLOURS,
    COCO_NAMES,
    HORSE,
    IGNORE,
    PERSON,
    VOC_CLASSES,
    VOC_COLOURS,
)

SETS = [(VOC_CLASSES, VOC_COLOURS, 21), (CAMVID_CLASSES, CAMVID_COLOURS, 11)]


@pytest.mark.parametrize(("classes", "colours", "count"), SETS)
def test_every_class_has_a_name_and_a_colour_of_its_own(classes, colours, count):
    assert len(classes) == len(set(classes)) == count < IGNORE
    assert colours.shape == (count, 3)
    assert colours.dtype == np.uint8
    assert len({tuple(colour) for colour in colours.tolist()}) == count


def test_indices_are_those_of_the_data_set():
    assert VOC_CLASSES[0] == "background"
    assert not VOC_COLOURS[0].any(), "background is black, as in VOC's own files"
    assert (PERSON, HORSE) == (15, 13)
    assert (VOC_CLASSES[7], VOC_CLASSES[20]) == ("car", "tv monitor")
    assert [CAMVID_CLASSES.index(name) for name in ("sky", "road", "car", "cyclist")] == [0, 3, 8, 10]


def without_red_and_green(colours: np.ndarray) -> np.ndarray:
    """What is left of colours in deuteranopia (Vienot et al. 1999): linear light, red and green mixed."""
    linear = (colours / 255.0) ** 2.2
    mixed = 0.29275 * linear[:, 0] + 0.70725 * linear[:, 1]
    seen = np.stack([mixed, mixed, np.clip(-0.02234 * linear[:, 0] + 0.02234 * linear[:, 1] + linear[:, 2], 0, 1)], 1)
    return seen ** (1 / 2.2) * 255


@pytest.mark.parametrize(
    ("classes", "colours", "pairs"),
    [
        (VOC_CLASSES, VOC_COLOURS, [("person", "horse"), ("person", "motorbike"), ("person", "bicycle"),
                                    ("car", "bus"), ("cat", "dog"), ("chair", "dining table"), ("sofa", "chair"),
                                    ("person", "background"), ("cow", "sheep"), ("person", "chair")]),
        (CAMVID_CLASSES, CAMVID_COLOURS, [("road", "pavement"), ("building", "tree"), ("sky", "building"),
                                          ("car", "road"), ("pedestrian", "building"), ("pedestrian", "cyclist")]),
    ],
)  # fmt: skip
def test_neighbours_differ_without_red_and_green(classes, colours, pairs):
    seen = without_red_and_green(colours.astype(np.float64))
    for first, second in pairs:
        distance = np.linalg.norm(seen[classes.index(first)] - seen[classes.index(second)])
        assert distance > 40, (first, second, distance)


def test_names_for_coco_are_cocos():
    theirs = {category.name for category in COCO_CATEGORIES}
    for name in VOC_CLASSES[1:]:
        assert COCO_NAMES.get(name, name) in theirs
