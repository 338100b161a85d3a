"""Judging same-or-different verdicts: ROC, equal error rate, TAR at a FAR, best threshold, ten-fold accuracy.

A pair is accepted ("same person") when its similarity is at least the threshold. FAR is the share of pairs of
different people that are accepted (a stranger gets in), TAR the share of pairs of one person that are accepted, and
FRR = 1 - TAR (the right person is turned away).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvdemo.core.errors import InputError


@dataclass(frozen=True, eq=False)
class Roc:
    """The curve, one point for each distinct similarity from the strictest threshold down.

    thresholds: (K,) decreasing, the first +infinity (accepts nothing).   far, tar: (K,) in [0, 1], increasing.
    """

    thresholds: np.ndarray
    far: np.ndarray
    tar: np.ndarray

    @property
    def frr(self) -> np.ndarray:
        """False rejection rate at each threshold."""
        return 1 - self.tar


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Accuracy of each fold (F,) and the threshold (F,) that the other folds chose for it."""

    accuracies: np.ndarray
    thresholds: np.ndarray

    @property
    def mean(self) -> float:
        """Mean accuracy over the folds."""
        return float(self.accuracies.mean())

    @property
    def std(self) -> float:
        """Standard deviation over the folds (divided by F - 1); 0 for one fold."""
        return float(self.accuracies.std(ddof=1)) if len(self.accuracies) > 1 else 0.0

    @property
    def standard_error(self) -> float:
        """Standard error of the mean, the figure after the +- in LFW's tables."""
        return self.std / len(self.accuracies) ** 0.5


def checked(scores: Sequence[float] | np.ndarray, same: Sequence[bool] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(scores (N,) float64, same (N,) bool); InputError unless both kinds of pairs are there and all is finite."""
    values, truth = np.asarray(scores, np.float64).ravel(), np.asarray(same).astype(bool).ravel()
    if values.shape != truth.shape:
        raise ValueError(f"{len(values)} scores for {len(truth)} pairs")
    if not np.isfinite(values).all():
        raise InputError("Some similarities are not numbers.", hint="Leave out pairs that could not be compared.")
    if truth.all() or not truth.any():
        raise InputError(
            "Pairs of one person and pairs of different people are needed.", hint="Add some of the missing kind."
        )
    return values, truth


def roc(scores: Sequence[float] | np.ndarray, same: Sequence[bool] | np.ndarray) -> Roc:
    """The receiver operating characteristic of similarities (N,) with ``same`` (N,) the truth; InputError as above."""
    values, truth = checked(scores, same)
    order = np.argsort(-values, kind="stable")
    values, truth = values[order], truth[order]
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)  # equal similarities are accepted together
    right, wrong = np.cumsum(truth)[last], np.cumsum(~truth)[last]
    far, tar = np.append(0.0, wrong / wrong[-1]), np.append(0.0, right / right[-1])
    return Roc(np.append(np.inf, values[last]), far, tar)


def area_under(curve: Roc) -> float:
    """Area under the ROC: how often a pair of one person is more similar than a pair of two, ties counting half."""
    return float((np.diff(curve.far) * (curve.tar[1:] + curve.tar[:-1]) / 2).sum())


def error_rates(
    scores: Sequence[float] | np.ndarray, same: Sequence[bool] | np.ndarray, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """FAR and FRR (T,) at given thresholds (T,): the two curves whose crossing is the equal error rate."""
    values, truth = checked(scores, same)
    strangers, own = np.sort(values[~truth]), np.sort(values[truth])
    places = np.asarray(thresholds, np.float64)
    far = 1 - np.searchsorted(strangers, places, side="left") / len(strangers)
    frr = np.searchsorted(own, places, side="left") / len(own)
    return far, frr


def equal_error_rate(curve: Roc) -> tuple[float, float]:
    """(EER, threshold): where as many strangers get in as own people are turned away.

    The curve jumps at pairs; between the two points around the crossing it is taken to be straight.
    """
    gap = curve.far - curve.frr  # from -1 up to 1
    after = int(np.argmax(gap >= 0))
    if gap[after] == 0 or after == 0:
        return float(curve.far[after]), float(curve.thresholds[after])
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    rate = curve.far[after - 1] + share * (curve.far[after] - curve.far[after - 1])
    high, low = curve.thresholds[after - 1], curve.thresholds[after]
    return float(rate), float(low if np.isinf(high) else high + share * (low - high))


def tar_at_far(curve: Roc, far: float) -> float:
    """The most pairs of one person that can be accepted with at most ``far`` of the strangers; no interpolation."""
    return float(curve.tar[curve.far <= far + 1e-12].max())


def threshold_at_far(curve: Roc, far: float) -> float:
    """The lowest threshold at which at most ``far`` of the strangers are accepted."""
    return float(curve.thresholds[np.flatnonzero(curve.far <= far + 1e-12)[-1]])


def accuracy_at(scores: np.ndarray, same: np.ndarray, threshold: float) -> float:
    """Share of right verdicts at a threshold."""
    return float(((np.asarray(scores) >= threshold) == np.asarray(same).astype(bool)).mean())


def best_threshold(scores: Sequence[float] | np.ndarray, same: Sequence[bool] | np.ndarray) -> tuple[float, float]:
    """(threshold, accuracy): the threshold with the most right verdicts, midway between two similarities.

    Of several equally good ones the middle one is taken, which leaves the most room on both sides.
    """
    values = np.asarray(scores, np.float64).ravel()
    truth = np.asarray(same).astype(bool).ravel()
    levels = np.unique(values)
    candidates = np.concatenate([levels[:1] - 1e-6, (levels[1:] + levels[:-1]) / 2, levels[-1:] + 1e-6])
    own, strangers = np.sort(values[truth]), np.sort(values[~truth])
    accepted = len(own) - np.searchsorted(own, candidates, side="left")
    refused = np.searchsorted(strangers, candidates, side="left")
    right = accepted + refused
    best = np.flatnonzero(right == right.max())
    chosen = best[len(best) // 2]
    return float(candidates[chosen]), float(right[chosen] / len(values))


def cross_validated(
    scores: Sequence[float] | np.ndarray, same: Sequence[bool] | np.ndarray, folds: Sequence[int] | np.ndarray
) -> CrossValidation:
    """LFW's protocol (Huang et al. 2007): each fold is judged at the threshold that is best on all the others.

    folds: (N,) the fold of each pair; at least two different ones. InputError otherwise.
    """
    values, truth = checked(scores, same)
    place = np.asarray(folds).ravel()
    names = np.unique(place)
    if len(names) < 2:
        raise InputError("At least two folds are needed.", hint="Give a pairs file with several sets.")
    accuracies, thresholds = [], []
    for name in names:
        mine = place == name
        threshold, _ = best_threshold(values[~mine], truth[~mine])
        thresholds.append(threshold)
        accuracies.append(accuracy_at(values[mine], truth[mine], threshold))
    return CrossValidation(np.array(accuracies), np.array(thresholds))
