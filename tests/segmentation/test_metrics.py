"""The measures of slides 155 to 158 against scikit-learn on random maps."""

import math

import numpy as np
import pytest
from sklearn import metrics as reference

from cvdemo.core.errors import InputError
from cvdemo.segmentation.metrics import DEFINITIONS, IGNORE, compare, confusion_matrix, scores_of

NAMES = tuple(f"class {index}" for index in range(7))


def maps(seed, classes=7, ignored=0.1):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (37, 53)).astype(np.uint8)
    predicted = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, classes, truth.shape)).astype(np.uint8)
    truth[rng.random(truth.shape) < ignored] = IGNORE
    return truth, predicted


@pytest.mark.parametrize("seed", range(8))
def test_all_measures_equal_scikit_learns(seed):
    truth, predicted = maps(seed)
    if seed % 2:  # classes that are missing in one or both
        truth[truth == 3] = 2
        predicted[predicted == 5] = 1
        truth[truth == 6] = predicted[predicted == 6] = 0
    judged = truth != IGNORE
    t, p = truth[judged], predicted[judged]
    found = compare(truth, predicted, NAMES)
    labels = list(range(7))
    np.testing.assert_array_equal(found.confusion[:, :7], reference.confusion_matrix(t, p, labels=labels))
    assert found.pixel_accuracy == pytest.approx(reference.accuracy_score(t, p))
    present = sorted(set(t.tolist()))
    either = sorted({*t.tolist(), *p.tolist()})
    recall = reference.recall_score(t, p, labels=present, average="macro", zero_division=0)
    assert found.mean_pixel_accuracy == pytest.approx(recall)
    assert found.mIoU == pytest.approx(reference.jaccard_score(t, p, labels=either, average="macro"))
    options = {"labels": labels, "average": None, "zero_division": np.nan}
    np.testing.assert_allclose(found.precision, reference.precision_score(t, p, **options))
    np.testing.assert_allclose(found.recall, reference.recall_score(t, p, **options))
    np.testing.assert_allclose(found.f1, reference.f1_score(t, p, **options))
    np.testing.assert_allclose(found.f1, found.dice)
    np.testing.assert_allclose(found.iou, found.dice / (2 - found.dice))
    assert list(found.per_class()) == [NAMES[index] for index in either]


def test_a_perfect_map_and_a_wholly_wrong_one():
    truth = np.arange(7, dtype=np.uint8).repeat(9).reshape(7, 9)
    assert compare(truth, truth, NAMES).mIoU == 1.0
    wrong = compare(truth, (truth + 1) % 7, NAMES)
    assert (wrong.pixel_accuracy, wrong.mIoU, wrong.mean_pixel_accuracy) == (0.0, 0.0, 0.0)
    np.testing.assert_array_equal(wrong.f1, np.zeros(7))


def test_undecided_pixels_are_misses_but_no_false_alarms():
    truth = np.zeros((1, 10), np.uint8)
    predicted = truth.copy()
    predicted[0, :4] = IGNORE
    found = compare(truth, predicted, NAMES)
    assert found.recall[0] == pytest.approx(0.6)
    assert found.precision[0] == 1.0
    assert found.iou[0] == pytest.approx(0.6)
    assert np.isnan(found.iou[1:]).all()


def test_nothing_to_judge_is_null_and_not_zero():
    truth = np.full((4, 4), IGNORE, np.uint8)
    report = compare(truth, np.zeros((4, 4), np.uint8), NAMES).to_dict()
    assert report["pixel_accuracy"] is report["mIoU"] is report["mean_pixel_accuracy"] is None
    assert report["per_class"] == {}
    assert report["pixels"] == 0


def test_matrices_of_several_pictures_add_up():
    pairs = [maps(seed) for seed in range(3)]
    total = sum(confusion_matrix(truth, predicted, 7) for truth, predicted in pairs)
    joined = compare(np.concatenate([t for t, _ in pairs]), np.concatenate([p for _, p in pairs]), NAMES)
    assert scores_of(total, NAMES).mIoU == pytest.approx(joined.mIoU)


def test_maps_that_do_not_fit_are_refused():
    truth, predicted = maps(0)
    with pytest.raises(InputError, match="53 x 37"):
        compare(truth, predicted[:-1], NAMES)
    with pytest.raises(InputError, match="index 6, but there are 5 classes"):
        compare(truth, predicted % 5, NAMES[:5])
    with pytest.raises(ValueError, match="confusion matrix"):
        scores_of(np.zeros((3, 3)), NAMES)


def test_every_definition_names_a_measure_that_exists():
    truth, predicted = maps(1)
    found = compare(truth, predicted, NAMES)
    slides = set()
    for definition in DEFINITIONS:
        value = getattr(found, definition.key)
        assert (np.ndim(value) == 1) == definition.per_class
        assert definition.formula
        assert definition.words
        slides.add(definition.source)
    assert slides == {f"deck 001, slide {number}" for number in range(155, 159)}
    assert not math.isnan(found.mIoU)
