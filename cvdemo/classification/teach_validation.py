"""How good a taught head is on pictures it has not seen: stratified k-fold cross-validation."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvdemo.classification.teach_head import (
    ITERATIONS,
    L2,
    Kind,
    check_classes,
    check_features,
    check_labels,
    fit,
    predict_head,
)
from cvdemo.core.context import ProgressFn
from cvdemo.core.errors import InputError

MOST_FOLDS = 5


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """How a head does on pictures it was not trained on.

    confusion: (C, C) int64, row = true class, column = answer; for "multi-label" (C, 2, 2), one table per attribute
    with rows and columns (without, with).   accuracy: share of right answers.   per_class: (C,) share of right answers
    per class (recall) or per attribute.   baseline: accuracy of always giving the most frequent answer.
    probabilities: (N, C) float32, of each picture by the head that had not seen it.
    """

    confusion: np.ndarray
    accuracy: float
    per_class: np.ndarray
    baseline: float
    probabilities: np.ndarray
    classes: tuple[str, ...]
    kind: Kind
    folds: int

    def sentence(self) -> str:
        """ "46 of 50 held-back pictures right (92 %), guessing gives 20 %; mug was taken for cup 3 times"."""
        total = int(self.confusion.sum())
        right, accuracy, guessing = round(self.accuracy * total), 100 * self.accuracy, 100 * self.baseline
        what = "held-back pictures" if self.kind == "softmax" else "answers on held-back pictures"
        text = f"{right} of {total} {what} right ({accuracy:.0f} %), guessing gives {guessing:.0f} %"
        if self.accuracy == 1:
            return text
        if self.kind == "multi-label":
            return f"{text}; the hardest is {self.classes[int(self.per_class.argmin())]}"
        mistakes = self.confusion - np.diag(np.diag(self.confusion))
        true, given = np.unravel_index(int(mistakes.argmax()), mistakes.shape)
        count = int(mistakes[true, given])
        times = {1: "once", 2: "twice"}.get(count, f"{count} times")
        return f"{text}; {self.classes[true]} was taken for {self.classes[given]} {times}"


def stratified_folds(labels: np.ndarray, folds: int) -> np.ndarray:
    """Fold number (N,) of each picture: every class is spread evenly over the folds, fold sizes differ little.

    Within a class a fold is a run of neighbours in the given order. Webcam bursts are full of near-copies: dealt out
    at random, each would be tested by a head that was trained on its twin, and the figure would flatter.
    """
    labels = np.asarray(labels)
    assigned = np.zeros(len(labels), np.int64)
    spare = 0  # the fold that takes the next picture that does not divide evenly
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        sizes = np.full(folds, len(members) // folds)
        extra = len(members) % folds
        sizes[(spare + np.arange(extra)) % folds] += 1
        spare = (spare + extra) % folds
        assigned[members] = np.repeat(np.arange(folds), sizes)
    return assigned


def cross_validate(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    classes: Sequence[str],
    kind: Kind = "softmax",
    folds: int = MOST_FOLDS,
    l2: float = L2,
    iterations: int = ITERATIONS,
    progress: ProgressFn | None = None,
    cancel: threading.Event | None = None,
) -> CrossValidation:
    """Train on all folds but one, test on that one, in turn (arguments as in ``train_head``, and its errors).

    folds: 2 to 5, stratified; fewer are used when a class has fewer pictures than that. Attributes are tested one by
    one, each with folds of its own.
    """
    names = check_classes(classes, kind)
    inputs = check_features(features)
    targets = check_labels(labels, len(inputs), names, kind)
    if not 2 <= folds <= MOST_FOLDS:
        raise InputError(f"{folds} folds are not possible.", hint=f"Choose 2 to {MOST_FOLDS}.")
    columns = [targets] if kind == "softmax" else list(targets.T)
    used = [min(folds, int(np.bincount(column).min())) for column in columns]
    done = 0
    answers: list[np.ndarray] = []  # (N, C), or one (N, 1) per attribute
    for index, (column, count) in enumerate(zip(columns, used)):
        fold_of = stratified_folds(column, count)
        asked, wanted = (names, column) if kind == "softmax" else (names[index : index + 1], column[:, None])
        out = np.zeros((len(inputs), len(asked)), np.float32)
        for fold in range(count):
            if progress is not None:
                progress(done / sum(used), f"fold {fold + 1} of {count}")
            held = fold_of == fold
            # Of a class with two pictures one is left to learn from, so counts are not checked again.
            head = fit(inputs[~held], wanted[~held], asked, kind, l2, iterations, cancel=cancel)
            out[held] = predict_head(head, inputs[held])
            done += 1
        answers.append(out)
    if progress is not None:
        progress(1.0, "done")
    return _judge(np.concatenate(answers, 1), targets, names, kind, min(used))


def _judge(
    probabilities: np.ndarray, targets: np.ndarray, names: tuple[str, ...], kind: Kind, folds: int
) -> CrossValidation:
    """Confusion, accuracy and baseline of held-back probabilities (N, C)."""
    if kind == "softmax":
        confusion = np.zeros((len(names), len(names)), np.int64)
        np.add.at(confusion, (targets, probabilities.argmax(1)), 1)
        totals = confusion.sum(1)
        per_class = np.diag(confusion) / totals
        accuracy, baseline = np.diag(confusion).sum() / totals.sum(), totals.max() / totals.sum()
    else:
        confusion = np.zeros((len(names), 2, 2), np.int64)
        attribute = np.broadcast_to(np.arange(len(names)), targets.shape)
        np.add.at(confusion, (attribute, targets, (probabilities > 0.5).astype(np.int64)), 1)
        per_class = (confusion[:, 0, 0] + confusion[:, 1, 1]) / len(targets)
        accuracy, baseline = per_class.mean(), (confusion.sum(2).max(1) / len(targets)).mean()
    return CrossValidation(
        confusion, float(accuracy), per_class, float(baseline), probabilities, names, kind, folds=folds
    )
