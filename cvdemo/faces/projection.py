"""Embeddings on a plane: principal components, and t-SNE in its exact form, both in numpy.

t-SNE (van der Maaten and Hinton 2008, JMLR 9) makes two distributions over pairs of points alike: Gaussian
neighbourhoods of a chosen perplexity where the points come from, Student's t on the plane. The exact form takes
O(N^2) a step, which is enough for the few hundred faces of a gallery.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cvdemo.core.errors import InputError

MOST_POINTS = 1000
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Principal:
    """coordinates (N, k) around zero; components (k, D) orthonormal; explained (k,) share of the variance each."""

    coordinates: np.ndarray
    components: np.ndarray
    explained: np.ndarray
    mean: np.ndarray

    def project(self, points: np.ndarray) -> np.ndarray:
        """New points (M, D) on the same plane, (M, k)."""
        return (np.asarray(points, np.float64) - self.mean) @ self.components.T


def pca(points: np.ndarray, dimensions: int = 2) -> Principal:
    """The directions of largest variance of (N, D) points, N >= 1, by the singular value decomposition.

    Fewer independent directions than asked for give zeros. A component's sign is chosen so that its largest entry is
    positive: the same points always give the same picture.
    """
    x = np.asarray(points, np.float64)
    if x.ndim != 2 or not len(x):
        raise InputError("There is nothing to draw yet.", hint="Enrol somebody first.")
    mean = x.mean(0)
    _, singular, rows = np.linalg.svd(x - mean, full_matrices=False)
    variance = singular**2
    keep = min(dimensions, len(singular))
    components = np.zeros((dimensions, x.shape[1]))
    components[:keep] = rows[:keep]
    largest = np.take_along_axis(components, np.abs(components).argmax(1)[:, None], 1)
    components *= np.where(largest < 0, -1.0, 1.0)
    explained = np.zeros(dimensions)
    if variance.sum() > _TINY:
        explained[:keep] = variance[:keep] / variance.sum()
    return Principal((x - mean) @ components.T, components, explained, mean)


def squared_distances(points: np.ndarray) -> np.ndarray:
    """(N, N) squared Euclidean distances of (N, D) points; exactly zero on the diagonal."""
    squares = (points**2).sum(1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * points @ points.T, 0)
    np.fill_diagonal(distances, 0)
    return distances


def neighbourhoods(distances: np.ndarray, perplexity: float) -> np.ndarray:
    """P of t-SNE, (N, N) symmetric, summing to 1, from squared distances.

    Each point's Gaussian is as wide as gives its neighbour distribution the entropy log(perplexity); all widths are
    found at once by bisection.
    """
    count = len(distances)
    shifted = distances + np.where(np.eye(count, dtype=bool), np.inf, 0.0)
    nearest = shifted.min(1, keepdims=True)
    shifted = shifted - nearest  # the same distribution, without underflow
    off = np.where(np.isfinite(shifted), shifted, 0.0)
    low, high = np.zeros((count, 1)), np.full((count, 1), np.inf)
    beta = 1 / np.maximum(off.mean(1, keepdims=True), _TINY)
    for _ in range(100):
        weights = np.exp(-shifted * beta)
        total = weights.sum(1, keepdims=True)
        entropy = np.log(total) + beta * (weights * off).sum(1, keepdims=True) / total
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, beta, low), np.where(wide, high, beta)
        beta = np.where(np.isinf(high), beta * 2, (low + np.where(np.isinf(high), 0, high)) / 2)
    conditional = np.exp(-shifted * beta)
    conditional /= conditional.sum(1, keepdims=True)
    joint = (conditional + conditional.T) / (2 * count)
    return np.maximum(joint, _TINY) * ~np.eye(count, dtype=bool)


def divergence(joint: np.ndarray, places: np.ndarray) -> float:
    """KL(P || Q), what t-SNE minimises, of places (N, 2) for neighbourhoods P (N, N)."""
    _, q = _student(places)
    off = ~np.eye(len(joint), dtype=bool)
    return float((joint[off] * np.log(joint[off] / np.maximum(q[off], _TINY))).sum())


def _student(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    weights = 1 / (1 + squared_distances(places))
    np.fill_diagonal(weights, 0)
    return weights, weights / weights.sum()


def gradient(joint: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Of the divergence in the places, (N, 2): 4 sum_j (p_ij - q_ij) (y_i - y_j) / (1 + |y_i - y_j|^2)."""
    weights, q = _student(places)
    pull = (joint - q) * weights
    return 4 * (pull.sum(1, keepdims=True) * places - pull @ places)


def tsne(
    points: np.ndarray,
    perplexity: float = 15.0,
    steps: int = 500,
    progress: Callable[[int, np.ndarray], None] | None = None,
) -> np.ndarray:
    """(N, D) points, 4 <= N <= 1000, on a plane, (N, 2), so that neighbours stay neighbours.

    It starts from the first two principal components and draws nothing at random: the same points give the same
    picture. The perplexity is lowered for few points (at most (N - 1) / 3). progress(step, places) is called every 25
    steps and may raise to stop. InputError for too few or too many points.
    """
    x = np.asarray(points, np.float64)
    count = len(x)
    if count < 4:
        raise InputError("t-SNE needs at least four faces.", hint="Enrol more, or look at the principal components.")
    if count > MOST_POINTS:
        raise InputError(f"t-SNE takes at most {MOST_POINTS} points here.", hint="Look at the principal components.")
    joint = neighbourhoods(squared_distances(x), min(perplexity, (count - 1) / 3))
    start = pca(x).coordinates
    spread = max(start[:, 0].std(), _TINY)
    # Points in the same place would never part: a fixed spiral, far smaller than anything else, tells them apart.
    angles = np.arange(count) * 2.399963
    places = 1e-4 * (start / spread + 1e-3 * np.stack([np.cos(angles), np.sin(angles)], 1))
    rate, exaggeration = max(count / 12.0 / 4, 50.0), 12.0
    velocity, gains = np.zeros_like(places), np.ones_like(places)
    early = min(250, steps // 2)
    for step in range(steps):
        slope = gradient(joint * (exaggeration if step < early else 1.0), places)
        # A larger step for a coordinate that keeps its direction (Jacobs 1988), as in the authors' own program.
        agrees = np.sign(slope) != np.sign(velocity)
        gains = np.maximum(np.where(agrees, gains + 0.2, gains * 0.8), 0.01)
        velocity = (0.5 if step < early else 0.8) * velocity - rate * gains * slope
        places = places + velocity
        places = places - places.mean(0)
        if progress is not None and (step + 1) % 25 == 0:
            progress(step + 1, places)
    return places
