"""The linear head against scikit-learn's logistic regression and against the conditions of an optimum."""

import threading

import numpy as np
import pytest
import torch

from cvdemo.classification.teach_head import (
    MOST_CLASSES,
    NAME_LENGTH,
    Head,
    check_classes,
    clean_name,
    predict_head,
    train_head,
)
from cvdemo.core.errors import Cancelled, InputError

NAMES = ("mug", "cup", "plate", "fork")


def pictures(seed: int, classes: int = 3, each: int = 12, size: int = 20, apart: float = 0.5):
    """Features (N, D) that overlap somewhat, non-negative as those of a network, and labels (N,) in mixed order."""
    draw = np.random.default_rng(seed)
    labels = draw.permutation(np.repeat(np.arange(classes), each))
    centres = draw.normal(size=(classes, size)) * apart
    return np.maximum(centres[labels] + draw.normal(size=(len(labels), size)) + 0.5, 0).astype(np.float32), labels


def attributes(seed: int, count: int = 3, n: int = 40, size: int = 16):
    """Features and a table (N, C) of attributes that depend on them with noise."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(n, size)).astype(np.float32)
    scores = features @ draw.normal(size=(size, count)) + draw.normal(size=(n, count)) * 2
    return features, (scores > 0).astype(np.int64)


def standardised(head: Head, features: np.ndarray) -> np.ndarray:
    return (features.astype(np.float64) - head.mean) / head.std


def regularised_loss(head: Head, features: np.ndarray, labels: np.ndarray, l2: float) -> float:
    """The objective by its definition, from the probabilities."""
    p = predict_head(head, features).astype(np.float64)
    if head.kind == "softmax":
        return -np.log(p[np.arange(len(labels)), labels]).mean() + l2 / 2 * (head.weight**2).sum()
    entropy = -np.where(labels == 1, np.log(p), np.log(1 - p)).mean()
    return entropy + l2 / 2 * (head.weight**2).sum() / len(head.classes)


@pytest.mark.parametrize(("seed", "l2"), [(0, 0.01), (1, 0.1), (2, 0.003)])
def test_a_softmax_head_is_scikit_learns_optimum(seed, l2):
    linear_model = pytest.importorskip("sklearn.linear_model")
    features, labels = pictures(seed)
    head = train_head(features, labels, classes=NAMES[:3], l2=l2, iterations=300)
    z = standardised(head, features)
    reference = linear_model.LogisticRegression(C=1 / (len(labels) * l2), tol=1e-9, max_iter=10000).fit(z, labels)
    fresh, _ = pictures(seed + 100)
    np.testing.assert_allclose(head.weight, reference.coef_, atol=2e-3)
    np.testing.assert_allclose(predict_head(head, fresh), reference.predict_proba(standardised(head, fresh)), atol=1e-3)
    decisions = reference.predict(standardised(head, fresh))
    assert (predict_head(head, fresh).argmax(1) == decisions).mean() >= 0.99
    assert head.history.accuracy[-1] == pytest.approx(reference.score(z, labels))


@pytest.mark.parametrize("seed", [0, 1])
def test_every_attribute_is_scikit_learns_binary_regression(seed):
    linear_model = pytest.importorskip("sklearn.linear_model")
    features, table = attributes(seed)
    head = train_head(features, table, classes=NAMES[:3], kind="multi-label", l2=0.02, iterations=300)
    z = standardised(head, features)
    for column in range(3):
        reference = linear_model.LogisticRegression(C=1 / (len(z) * 0.02), tol=1e-9, max_iter=10000)
        reference.fit(z, table[:, column])
        np.testing.assert_allclose(head.weight[column], reference.coef_[0], atol=2e-3)
        np.testing.assert_allclose(predict_head(head, features)[:, column], reference.predict_proba(z)[:, 1], atol=1e-3)


@pytest.mark.parametrize("kind", ["softmax", "multi-label"])
def test_the_gradient_vanishes_at_the_optimum(kind):
    """d/dW = (p - onehot).T @ z / N + l2 W and the column means of (p - onehot), both zero; derived by hand."""
    l2 = 0.05
    features, labels = pictures(3) if kind == "softmax" else attributes(3)
    head = train_head(features, labels, classes=NAMES[:3], kind=kind, l2=l2, iterations=300)
    wanted = np.eye(3)[labels] if kind == "softmax" else labels
    error = predict_head(head, features).astype(np.float64) - wanted
    gradient = error.T @ standardised(head, features) / len(labels) + l2 * head.weight
    assert np.abs(gradient).max() < 1e-4
    assert np.abs(error.mean(0)).max() < 1e-4


@pytest.mark.parametrize("kind", ["softmax", "multi-label"])
def test_the_history_is_the_objective_from_zero_weights_to_the_end(kind):
    features, labels = pictures(4) if kind == "softmax" else attributes(4)
    head = train_head(features, labels, classes=NAMES[:3], kind=kind, l2=0.02)
    loss, accuracy = head.history.loss, head.history.accuracy
    assert loss[0] == pytest.approx(np.log(3) if kind == "softmax" else np.log(2))
    assert loss[-1] == pytest.approx(regularised_loss(head, features, labels, 0.02), abs=1e-5)
    assert (np.diff(loss) <= 0).all()
    answers = predict_head(head, features)
    right = answers.argmax(1) == labels if kind == "softmax" else (answers > 0.5) == labels
    assert accuracy[-1] == pytest.approx(right.mean())
    assert len(loss) == len(accuracy)


def test_two_runs_give_the_same_head_bit_by_bit():
    features, labels = pictures(5)
    first, second = (train_head(features, labels, classes=NAMES[:3]) for _ in range(2))
    np.testing.assert_array_equal(first.weight, second.weight)
    np.testing.assert_array_equal(first.bias, second.bias)
    assert first.history.loss == second.history.loss


def test_probabilities_sum_to_one_only_where_one_class_is_chosen():
    features, labels = pictures(6)
    chosen = predict_head(train_head(features, labels, classes=NAMES[:3]), features)
    np.testing.assert_allclose(chosen.sum(1), 1, atol=1e-6)
    features, table = attributes(6)
    several = predict_head(train_head(features, table, classes=NAMES[:3], kind="multi-label"), features)
    assert chosen.dtype == several.dtype == np.float32
    assert np.ptp(several.sum(1)) > 0.5
    assert several.min() >= 0
    assert several.max() <= 1


@pytest.mark.parametrize("kind", ["softmax", "multi-label"])
def test_enormous_scores_neither_overflow_nor_warn(kind, recwarn):
    weight = np.array([[1e6, 0], [-1e6, 0]], np.float32)
    one = np.ones(2, np.float32)
    head = Head(weight, np.zeros(2, np.float32), 0 * one, one, ("a", "b"), kind)
    found = predict_head(head, np.array([[1000.0, 0], [-1000.0, 0]]))
    np.testing.assert_array_equal(found, [[1, 0], [0, 1]])
    assert not recwarn.list


def test_a_feature_that_hardly_moves_is_not_blown_up_and_a_dead_one_is_harmless():
    features, labels = pictures(7)
    features = np.concatenate([features, np.zeros((len(features), 2), np.float32)], 1)
    features[0, -1] = 1e-7
    head = train_head(features, labels, classes=NAMES[:3])
    assert np.isfinite(predict_head(head, features)).all()
    assert np.abs(standardised(head, features)[:, -2:]).max() < 1e-3
    same = train_head(np.ones((4, 3)), np.array([0, 0, 1, 1]), classes=NAMES[:2])
    np.testing.assert_allclose(predict_head(same, np.ones((1, 3))), 0.5, atol=1e-6)


def test_it_can_be_trained_by_a_caller_in_inference_mode():
    features, labels = pictures(8)
    with torch.inference_mode():
        head = train_head(features, labels, classes=NAMES[:3])
    assert head.history.accuracy[-1] > head.history.accuracy[0]


def test_progress_rises_and_cancelling_stops():
    features, labels = pictures(9)
    shares: list[float] = []
    stop = threading.Event()

    def progress(share: float, text: str) -> None:
        assert "loss" in text
        shares.append(share)
        if len(shares) == 3:
            stop.set()

    with pytest.raises(Cancelled):
        train_head(features, labels, classes=NAMES[:3], iterations=50, progress=progress, cancel=stop)
    assert shares == [1 / 50, 2 / 50, 3 / 50]


@pytest.mark.parametrize(
    ("classes", "labels", "kind", "says"),
    [
        (("mug",), [0, 0, 0, 0], "softmax", "at least 2"),
        ((), np.zeros((4, 0)), "multi-label", "at least 1"),
        (tuple(f"c{i}" for i in range(MOST_CLASSES + 1)), [0, 0, 1, 1], "softmax", "at most 10"),
        (("mug", "Mug"), [0, 0, 1, 1], "softmax", "called Mug"),
        (("mug", " mug "), [0, 0, 1, 1], "softmax", "called mug"),
        (("mug", "cup"), [0, 0, 0, 1], "softmax", "cup has one picture only"),
        (("mug", "cup", "fork"), [0, 0, 1, 1], "softmax", "fork has no pictures"),
        (("mug",), [[1], [1], [1], [0]], "multi-label", "not mug has one picture only"),
        (("mug", " "), [0, 0, 1, 1], "softmax", "no name"),
        (("mug", "cup"), [0, 0, 1, 1], "tree", "kind 'tree'"),
    ],
)
def test_what_cannot_be_learnt_is_explained(classes, labels, kind, says):
    with pytest.raises(InputError, match=says):
        train_head(np.eye(4), np.array(labels), classes=classes, kind=kind)


@pytest.mark.parametrize("settings", [{"l2": -1.0}, {"iterations": 0}])
def test_impossible_settings_are_explained(settings):
    with pytest.raises(InputError, match="l2 must be 0 or more"):
        train_head(np.eye(4), np.array([0, 0, 1, 1]), classes=("mug", "cup"), **settings)


@pytest.mark.parametrize(
    ("features", "labels"),
    [
        (np.ones(4), [0, 0, 1, 1]),
        (np.ones((4, 0)), [0, 0, 1, 1]),
        (np.full((4, 2), np.nan), [0, 0, 1, 1]),
        (np.ones((4, 2)), [0, 0, 1]),
        (np.ones((4, 2)), [0, 0, 1, 2]),
        (np.ones((4, 2)), [0, 0, 1, -1]),
        (np.ones((4, 2)), [0, 0, 0.5, 1]),
        (np.ones((4, 2)), [[0], [0], [1], [1]]),
    ],
)
def test_arrays_that_do_not_fit_are_a_mistake_of_the_caller(features, labels):
    with pytest.raises(ValueError, match=r"must|hold"):
        train_head(features, np.array(labels), classes=("mug", "cup"))


def test_features_of_another_network_are_refused_with_its_name():
    features, labels = pictures(10)
    head = train_head(features, labels, classes=NAMES[:3], backbone="resnet18")
    with pytest.raises(InputError, match=r"20 features \(resnet18\), the pictures have 7"):
        predict_head(head, np.ones((1, 7)))


def test_names_are_tidied_and_checked():
    assert clean_name("  coffee \n mug ") == "coffee mug"
    assert clean_name("می‌شود 👩‍🔬") == "می‌شود 👩‍🔬"
    assert check_classes(["<b>", "x" * NAME_LENGTH], "softmax") == ("<b>", "x" * NAME_LENGTH)
    for bad in ("", "x" * (NAME_LENGTH + 1), "a\x00b", "a\u202eb", "\ud800"):
        with pytest.raises(InputError):
            clean_name(bad)
