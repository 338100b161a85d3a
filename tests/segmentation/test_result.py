"""What decoding makes of logits: labels, areas, confidence, foreground, and words."""

import numpy as np
import pytest

from cvdemo.segmentation.labels import CAMVID_CLASSES, VOC_CLASSES
from cvdemo.segmentation.raw import RawSegmentation
from cvdemo.segmentation.result import UNDECIDED, Segmentation


def scene(height=60, width=80, sharpness=8.0, categories=VOC_CLASSES):
    """Left half class 0, right upper quarter class 15, right lower quarter class 12 (modulo the classes)."""
    logits = np.random.default_rng(0).normal(size=(len(categories), 15, 20)).astype(np.float32) * 0.1
    first, second, third = 0, 15 % len(categories), 12 % len(categories)
    logits[first, :, :10] += sharpness
    logits[second, :8, 10:] += sharpness
    logits[third, 8:, 10:] += sharpness
    return RawSegmentation(logits, categories, (0.0, 0.0, float(width), float(height)), height, width, "test")


def test_labels_areas_and_words():
    found = Segmentation(scene())
    assert found.labels.shape == (60, 80)
    assert found.labels.dtype == np.uint8
    assert (found.labels[10, 5], found.labels[10, 70], found.labels[55, 70]) == (0, 15, 12)
    assert sum(area.pixels for area in found.areas) == 60 * 80
    assert [area.name for area in found.areas] == ["background", "person", "dog"]
    assert found.areas[0].percent == pytest.approx(50, abs=1)
    assert found.sentence() == "27 % person, 23 % dog, the rest background"
    report = found.to_dict("a.png")
    assert report["image"] == {"name": "a.png", "width": 80, "height": 60}
    assert [row["label"] for row in report["classes"]] == ["background", "person", "dog"]
    assert report["undecided_percent"] == 0


def test_pixels_below_the_confidence_are_undecided():
    found = Segmentation(scene(sharpness=3.0), min_confidence=0.5)
    np.testing.assert_array_equal(found.labels == UNDECIDED, found.confidence < 0.5)
    assert 0 < found.undecided_percent < 100
    assert "undecided" in found.sentence()
    nothing = Segmentation(scene(sharpness=0.0), min_confidence=0.9)
    assert (nothing.labels == UNDECIDED).all()
    assert nothing.areas == ()
    assert nothing.sentence() == "No class above the confidence asked: 100 % undecided"


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_probabilities_at_a_pixel_are_those_of_the_maps(temperature):
    found = Segmentation(scene(sharpness=3.0), temperature)
    for x, y in ((0, 0), (79, 59), (39, 30), (40, 31), (17, 44)):
        shares = found.probabilities_at(x, y)
        assert sum(share for _, share in shares) == pytest.approx(1, abs=1e-5)
        assert shares[0][0] == VOC_CLASSES[found.labels[y, x]]
        assert shares[0][1] == pytest.approx(found.confidence[y, x], abs=1e-4)
        entropy = -sum(share * np.log2(share) for _, share in shares)
        assert entropy == pytest.approx(found.entropy[y, x], abs=1e-3)
    for x, y in ((80, 0), (0, 60), (-1, 5)):
        with pytest.raises(IndexError, match="outside"):
            found.probabilities_at(x, y)


def test_confidence_is_the_same_whether_or_not_entropy_was_asked_first():
    first, second = Segmentation(scene()), Segmentation(scene())
    second.entropy  # noqa: B018
    np.testing.assert_array_equal(first.confidence, second.confidence)


def test_a_higher_temperature_is_less_sure_and_moves_no_label():
    cold, hot = Segmentation(scene(), 0.5), Segmentation(scene(), 5.0)
    np.testing.assert_array_equal(cold.labels, hot.labels)
    assert cold.confidence.mean() > hot.confidence.mean()
    assert cold.entropy.mean() < hot.entropy.mean()


def test_the_soft_edge_lies_where_the_labels_change():
    found = Segmentation(scene())
    alpha = found.foreground()
    assert alpha.dtype == np.float32
    assert ((alpha > 0.5) == (found.labels > 0)).mean() > 0.99
    assert alpha[10, 5] < 0.1
    assert alpha[10, 70] > 0.9
    edge = alpha[10, 30:50]
    assert len(np.unique(edge)) > 5, "the edge is soft"
    assert (np.diff(edge) > -0.02).all()
    dog = found.foreground([12])
    assert dog[10, 70] < 0.1 < 0.9 < dog[55, 70]
    assert Segmentation(scene(), chosen=frozenset({"dog"})).foreground() == pytest.approx(dog)
    assert found.foreground([]).max() == 0
    assert found.foreground(range(21)).min() == 1


def test_chosen_classes_change_what_is_shown_and_nothing_else():
    everything, dogs = Segmentation(scene()), Segmentation(scene(), chosen=frozenset({"dog"}))
    np.testing.assert_array_equal(everything.labels, dogs.labels)
    assert everything.shown == frozenset(range(1, 21))
    assert dogs.shown == {12}
    streets = Segmentation(scene(categories=CAMVID_CLASSES))
    assert streets.shown == frozenset(range(11)), "without a background class everything is shown"
    assert "background" not in streets.sentence()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 500), (3000, 20)])
def test_adversarial_sizes(height, width):
    found = Segmentation(scene(height, width), min_confidence=0.3)
    for plane in (found.labels, found.confidence, found.entropy, found.foreground()):
        assert plane.shape == (height, width)
    assert found.to_dict()["image"]["height"] == height
