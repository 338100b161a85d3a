"""Low-shot classification and image retrieval on any pictures, with the features of a classifier's last layer.

No network is trained: a few labelled pictures of each class are looked up by similarity, by nearest class mean
(prototypes, Snell et al. 2017, arXiv:1703.05175) or k nearest neighbours, and a picture's likes are those whose
features point the same way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cvdemo.classification import predict as classification
from cvdemo.core.engine import Engine
from cvdemo.core.errors import InputError
from cvdemo.core.media import Picture
from cvdemo.faces.embedder import unit


@dataclass(frozen=True, eq=False)
class LowShot:
    """What few examples say about N pictures.

    labels: (N,) indices into ``classes``.   scores: (N, C), larger is likelier: cosine similarity to the class's mean,
    or the share of the neighbours' votes.
    """

    labels: np.ndarray
    scores: np.ndarray
    classes: tuple[str, ...]


def features_of(
    pictures: Sequence[Picture | np.ndarray],
    model: str = classification.DEFAULT_MODEL,
    engine: Engine | None = None,
    *,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> np.ndarray:
    """(N, D) float32 of unit length: what the model's last linear layer sees. Errors as ``classification.embed``."""
    return unit(classification.embed(pictures, model, engine, user=user, cancel=cancel, progress=progress))


def _examples(features: np.ndarray, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """(features (N, D), class index of each (N,), class names in order of first appearance)."""
    if len(features) != len(labels):
        raise ValueError(f"{len(features)} pictures with {len(labels)} labels")
    if not len(labels):
        raise InputError("There are no examples to learn from.", hint="Add a picture to at least one class.")
    classes = tuple(dict.fromkeys(labels))
    index = {name: number for number, name in enumerate(classes)}
    return np.asarray(features, np.float64), np.array([index[name] for name in labels]), classes


def nearest_class_mean(features: np.ndarray, labels: Sequence[str], queries: np.ndarray) -> LowShot:
    """Each query (M, D) gets the class whose examples' mean is nearest in direction (cosine).

    features: (N, D) of the labelled examples.   labels: their N class names.
    """
    x, of, classes = _examples(features, labels)
    means = unit(np.stack([x[of == c].mean(0) for c in range(len(classes))])).astype(np.float64)
    scores = unit(queries).astype(np.float64) @ means.T
    return LowShot(scores.argmax(1), scores, classes)


def nearest_neighbours(features: np.ndarray, labels: Sequence[str], queries: np.ndarray, k: int = 3) -> LowShot:
    """Each query (M, D) gets the class most of its k most similar examples have; of equals the first class.

    With fewer than k examples all of them vote.
    """
    x, of, classes = _examples(features, labels)
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    similarity = unit(queries).astype(np.float64) @ unit(x).astype(np.float64).T
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    votes = np.eye(len(classes))[of[nearest]].mean(1)
    return LowShot(votes.argmax(1), votes, classes)


def retrieve(features: np.ndarray, query: np.ndarray, most: int = 10) -> list[tuple[int, float]]:
    """(row, cosine similarity) of the ``most`` features (N, D) most like the query (D,), best first."""
    similarity = np.clip(unit(features) @ unit(query), -1, 1)
    return [(int(row), float(similarity[row])) for row in np.argsort(-similarity, kind="stable")[:most]]


def average_precision(relevant: np.ndarray) -> float:
    """Of a ranked list (N,) of hits and misses: the mean of the precisions at each hit; 0 without a hit."""
    hits = np.asarray(relevant, bool)
    if not hits.any():
        return 0.0
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def retrieval_quality(features: np.ndarray, labels: Sequence[str], k: int = 5) -> dict[str, float]:
    """Every picture asks for its like among the others: mean average precision and precision at k, both in [0, 1].

    Pictures that are alone in their class ask nothing; InputError when all are.
    """
    x, of, _ = _examples(features, labels)
    similarity = unit(x).astype(np.float64) @ unit(x).astype(np.float64).T
    precisions, averages = [], []
    for row in range(len(of)):
        others = np.delete(np.arange(len(of)), row)
        ranked = others[np.argsort(-similarity[row, others], kind="stable")]
        relevant = of[ranked] == of[row]
        if relevant.any():
            averages.append(average_precision(relevant))
            precisions.append(float(relevant[:k].mean()))
    if not averages:
        raise InputError("No two pictures are of one class.", hint="Give a class at least two pictures.")
    return {"mAP": float(np.mean(averages)), f"precision@{k}": float(np.mean(precisions))}


def few_shot_accuracy(
    features: np.ndarray, labels: Sequence[str], shots: int, episodes: int = 20, seed: int = 0
) -> tuple[float, float]:
    """(mean, standard deviation) accuracy of the nearest class mean over random draws of ``shots`` examples a class.

    What is not drawn is classified, every class counting as much as it has pictures. InputError when a class has no
    picture left to ask about.
    """
    x, of, classes = _examples(features, labels)
    counts = np.bincount(of)
    if shots < 1 or (counts <= shots).any():
        hint = f"Use fewer than {int(counts.min())} examples a class, or add pictures."
        raise InputError("Every class needs more pictures than examples are drawn.", hint=hint)
    rng = np.random.default_rng(seed)
    accuracies = []
    for _ in range(episodes):
        drawn = np.concatenate([rng.permutation(np.flatnonzero(of == c))[:shots] for c in range(len(classes))])
        asked = np.setdiff1d(np.arange(len(of)), drawn)
        answer = nearest_class_mean(x[drawn], [classes[of[i]] for i in drawn], x[asked])
        named = np.array([classes.index(answer.classes[label]) for label in answer.labels])
        accuracies.append(float((named == of[asked]).mean()))
    return float(np.mean(accuracies)), float(np.std(accuracies))
