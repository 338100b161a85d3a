"""What a model must beat: the commonest class, the nearest training example, a linear model on plain features."""

from __future__ import annotations

import numpy as np


def top_k(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of rows (N, C) whose true label (N,) is among the k highest scores."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float((order == labels[:, None]).any(axis=1).mean())


def majority(train_labels: np.ndarray, test_labels: np.ndarray) -> float:
    """Accuracy of always answering with the commonest training class."""
    return float((test_labels == np.bincount(train_labels).argmax()).mean())


def nearest_neighbour(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray, chunk: int = 512
) -> float:
    """Accuracy of the label of the most similar training row, by the cosine of the angle between features (N, D)."""
    known = _unit(train)
    right = 0
    for start in range(0, len(test), chunk):
        nearest = (_unit(test[start : start + chunk]) @ known.T).argmax(axis=1)
        right += int((train_labels[nearest] == test_labels[start : start + chunk]).sum())
    return right / len(test)


def logistic_regression(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> float:
    """Accuracy of multinomial logistic regression on standardised features (N, D)."""
    from sklearn.linear_model import LogisticRegression

    mean, deviation = train.mean(axis=0), train.std(axis=0) + 1e-6
    model = LogisticRegression(max_iter=500, C=1.0).fit((train - mean) / deviation, train_labels)
    return float(model.score((test - mean) / deviation, test_labels))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
