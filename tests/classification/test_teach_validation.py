"""Cross-validation against scikit-learn's on the same folds, and against guessing."""

import threading

import numpy as np
import pytest

from cvdemo.classification.teach_head import train_head
from cvdemo.classification.teach_validation import CrossValidation, cross_validate, stratified_folds
from cvdemo.core.errors import Cancelled, InputError

NAMES = ("mug", "cup", "plate")


def pictures(seed: int, counts=(9, 14, 11), size: int = 8):
    draw = np.random.default_rng(seed)
    labels = draw.permutation(np.repeat(np.arange(len(counts)), counts))
    centres = draw.normal(size=(len(counts), size)) * 0.7
    return centres[labels] + draw.normal(size=(len(labels), size)), labels


def reference_answers(features, labels, folds, l2):
    """Held-back answers of scikit-learn on given folds, standardised by the training part of each."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    selection = pytest.importorskip("sklearn.model_selection")
    answers = np.zeros_like(labels)
    for train, test in selection.PredefinedSplit(folds).split():
        mean, std = features[train].mean(0), features[train].std(0)
        model = linear_model.LogisticRegression(C=1 / (len(train) * l2), tol=1e-8, max_iter=5000)
        model.fit((features[train] - mean) / std, labels[train])
        answers[test] = model.predict((features[test] - mean) / std)
    return answers


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("folds", [2, 5])
def test_the_confusion_matrix_is_scikit_learns(seed, folds):
    metrics = pytest.importorskip("sklearn.metrics")
    features, labels = pictures(seed)
    found = cross_validate(features, labels, classes=NAMES, folds=folds, l2=0.05)
    answers = reference_answers(features, labels, stratified_folds(labels, folds), 0.05)
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(labels, answers))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, answers))
    np.testing.assert_allclose(found.per_class, metrics.recall_score(labels, answers, average=None))
    assert found.baseline == pytest.approx(14 / 34)
    assert found.folds == folds


@pytest.mark.parametrize("seed", range(3))
def test_attributes_are_judged_one_by_one(seed):
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(30, 6))
    table = (features @ draw.normal(size=(6, 3)) + draw.normal(size=(30, 3)) > 0).astype(np.int64)
    table[:3, 0], table[3:6, 0] = 1, 0
    found = cross_validate(features, table, classes=NAMES, kind="multi-label", folds=3, l2=0.05)
    answers = np.stack(
        [reference_answers(features, column, stratified_folds(column, 3), 0.05) for column in table.T], 1
    )
    np.testing.assert_array_equal(found.confusion, metrics.multilabel_confusion_matrix(table, answers))
    assert found.accuracy == pytest.approx((answers == table).mean())
    np.testing.assert_allclose(found.per_class, (answers == table).mean(0))
    assert found.probabilities.shape == (30, 3)


@pytest.mark.parametrize("counts", [(2, 2), (5, 5, 5), (7, 23, 11, 4), (200, 3)])
@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_are_even_for_every_class_and_altogether(counts, folds):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    assigned = stratified_folds(labels, folds)
    sizes = np.bincount(assigned, minlength=folds)
    assert np.ptp(sizes) <= 1
    for label in range(len(counts)):
        assert np.ptp(np.bincount(assigned[labels == label], minlength=folds)) <= 1
        assert (np.diff(assigned[labels == label]) >= 0).all()  # neighbours stay together


def test_the_copies_of_a_burst_do_not_vouch_for_each_other():
    """Labels without any meaning: four near-copies of each of ten scenes must not look learnable."""
    draw = np.random.default_rng(1)
    scenes = draw.normal(size=(10, 40))
    features = np.repeat(scenes, 4, 0) + draw.normal(size=(40, 40)) * 0.01
    labels = np.repeat(np.arange(10) % 2, 4)
    neighbours = cross_validate(features, labels, classes=NAMES[:2])
    dealt_out = np.tile(np.arange(4), 10)  # one copy of every scene in each fold
    flattered = reference_answers(features, labels, dealt_out, 0.01)
    assert (flattered == labels).mean() > 0.95
    assert neighbours.accuracy < 0.8


def test_held_back_probabilities_come_from_a_head_that_has_not_seen_the_picture():
    features, labels = pictures(5)
    features[0] += 1e3  # an outlier that a head trained on it would have learnt
    found = cross_validate(features, labels, classes=NAMES, folds=5)
    fold = stratified_folds(labels, 5)
    rest = fold != fold[0]
    head = train_head(features[rest], labels[rest], classes=NAMES)
    scores = (features[0] - head.mean) / head.std @ head.weight.T + head.bias
    np.testing.assert_allclose(found.probabilities[0], np.exp(scores - np.logaddexp.reduce(scores)), atol=1e-5)
    np.testing.assert_allclose(found.probabilities.sum(1), 1, atol=1e-5)


def test_the_smallest_class_limits_the_folds():
    features, labels = pictures(6, counts=(2, 9, 9))
    found = cross_validate(features, labels, classes=NAMES)
    assert found.folds == 2
    assert found.confusion.sum(1).tolist() == [2, 9, 9]


@pytest.mark.parametrize("folds", [1, 6])
def test_impossible_folds_are_refused(folds):
    features, labels = pictures(7)
    with pytest.raises(InputError, match="Choose 2 to 5"):
        cross_validate(features, labels, classes=NAMES, folds=folds)


def test_too_few_pictures_are_explained():
    with pytest.raises(InputError, match="cup has one picture only"):
        cross_validate(np.eye(4), np.array([0, 0, 0, 1]), classes=NAMES[:2])


def test_progress_reaches_the_end_and_cancelling_stops():
    features, labels = pictures(8)
    told: list[tuple[float, str]] = []
    cross_validate(features, labels, classes=NAMES, folds=4, progress=lambda *args: told.append(args))
    assert [share for share, _ in told] == [0, 0.25, 0.5, 0.75, 1]
    assert told[1][1] == "fold 2 of 4"
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        cross_validate(features, labels, classes=NAMES, cancel=stop)


def judged(confusion, kind="softmax") -> CrossValidation:
    table = np.array(confusion)
    if kind == "softmax":
        accuracy, per_class = np.trace(table) / table.sum(), np.diag(table) / table.sum(1)
    else:
        per_class = np.trace(table, axis1=1, axis2=2) / table.sum((1, 2))
        accuracy = per_class.mean()
    return CrossValidation(table, float(accuracy), per_class, 0.4, np.zeros((0, 0)), NAMES[: len(table)], kind, 5)


@pytest.mark.parametrize(
    ("confusion", "kind", "sentence"),
    [
        ([[10, 0], [0, 10]], "softmax", "20 of 20 held-back pictures right (100 %), guessing gives 40 %"),
        (
            [[7, 3], [0, 10]], "softmax",
            "17 of 20 held-back pictures right (85 %), guessing gives 40 %; mug was taken for cup 3 times",
        ),
        (
            [[9, 0], [1, 10]], "softmax",
            "19 of 20 held-back pictures right (95 %), guessing gives 40 %; cup was taken for mug once",
        ),
        (
            [[[5, 0], [0, 5]], [[3, 2], [1, 4]]], "multi-label",
            "17 of 20 answers on held-back pictures right (85 %), guessing gives 40 %; the hardest is cup",
        ),
    ],
)  # fmt: skip
def test_the_sentence(confusion, kind, sentence):
    assert judged(confusion, kind).sentence() == sentence
