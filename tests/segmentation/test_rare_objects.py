"""Pasted objects of rare classes: what is cut out, what is drawn how often, and that labels follow the pixels."""

import cv2
import numpy as np
import pytest

from cvdemo.segmentation.labels import IGNORE
from cvdemo.segmentation.rare_objects import RareObjects, cut_outs
from cvdemo.segmentation.training_data import BatchMaker, Example

PERSON, CAT, DOG = 1, 2, 3
COLOUR = {0: (0, 0, 0), PERSON: (255, 255, 255), CAT: (255, 0, 0), DOG: (0, 255, 0)}


def example(*discs):
    """(class, x, y, radius) drawn on 120x160 pixels of background, each class in its own colour."""
    labels = np.zeros((120, 160), np.uint8)
    for label, x, y, radius in discs:
        cv2.circle(labels, (x, y), radius, label, -1)
    pixels = np.array([COLOUR[label] for label in range(4)], np.uint8)[labels]
    return Example(pixels, labels, np.bincount(labels.ravel(), minlength=4), 1.0)


def people(count=20):
    return [example((PERSON, 60, 60, 50)) for _ in range(count)]


def test_every_large_region_is_cut_out_alone():
    picture = example((CAT, 40, 50, 30), (CAT, 120, 60, 25), (CAT, 150, 110, 4), (DOG, 80, 110, 3))
    cuts = cut_outs(picture, [CAT, DOG])
    assert [label for label, _ in cuts] == [CAT, CAT]
    assert {cut.mask.shape for _, cut in cuts} == {(61, 61), (51, 51)}
    for _, cut in cuts:
        assert (cut.pixels[cut.mask] == COLOUR[CAT]).all()
        assert (cut.pixels[~cut.mask] == 0).all()


def test_common_classes_and_background_are_not_pasted():
    objects = RareObjects(
        [*people(), example((CAT, 80, 60, 30))], [example((DOG, 80, 60, 30), (PERSON, 20, 20, 20))], 0
    )
    assert {label: len(cuts) for label, cuts in objects.by_class.items()} == {CAT: 1, DOG: 1}


def test_classes_are_drawn_by_the_square_root_of_their_number():
    objects = RareObjects([*people(), *[example((CAT, 80, 60, 30))] * 9], [example((DOG, 80, 60, 30))], 0)
    drawn = [objects.draw()[0] for _ in range(4000)]
    assert drawn.count(CAT) / drawn.count(DOG) == pytest.approx(3, rel=0.15)


def test_labels_say_what_the_pixels_show():
    objects = RareObjects(people(), [example((CAT, 80, 60, 30))], 3)
    shares = []
    for _ in range(40):
        pixels, labels = objects.paste(np.zeros((128, 128, 3), np.uint8), np.zeros((64, 64), np.uint8))
        assert pixels.shape == (128, 128, 3)
        assert set(np.unique(labels)) <= {0, CAT, IGNORE}
        red = cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA)[..., 0] / 255.0
        assert (red[labels == CAT] > 0.3).all()
        assert (red[labels == 0] < 0.2).all()
        assert (pixels[..., 1:] == 0).all(), "only the object is pasted, not its surroundings"
        shares.append((labels == CAT).mean())
    assert 0.003 < min(shares) < 0.1 < max(shares) < 0.6, "objects come small and large"


def test_small_cut_outs_are_hardly_enlarged():
    labels = np.zeros((40, 50), np.uint8)
    labels[10:30, 10:30] = CAT
    small = Example(np.full((40, 50, 3), 200, np.uint8), labels, np.bincount(labels.ravel(), minlength=4), 1.0)
    objects = RareObjects(people(), [small], 0)
    for _ in range(30):
        _, labels = objects.paste(np.zeros((256, 256, 3), np.uint8), np.zeros((128, 128), np.uint8))
        assert (labels == CAT).sum() <= (20 * 1.4 / 2 + 2) ** 2


def test_without_cut_outs_nothing_changes():
    pixels, labels = np.full((64, 64, 3), 7, np.uint8), np.zeros((32, 32), np.uint8)
    after = RareObjects(people(), [], 0).paste(pixels, labels)
    np.testing.assert_array_equal(after[0], pixels)
    np.testing.assert_array_equal(after[1], labels)


def test_every_second_crop_of_a_batch_gets_an_object():
    objects = RareObjects(people(), [example((CAT, 80, 60, 30))], 0)
    maker = BatchMaker(people(), 0, 128, objects.paste)
    _, labels = maker.batch(200, 64)
    with_cat = (labels == CAT).any((1, 2)).mean()
    assert 0.35 < with_cat < 0.6
