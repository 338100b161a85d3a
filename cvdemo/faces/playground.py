"""Three points on a plane under a loss of metric learning: its value, its gradient, and one step downhill.

No network: the points are the embeddings themselves, so that what a loss pulls and pushes can be seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from cvdemo.core.settings import Settings, setting
from cvdemo.faces.metric_losses import (
    angular_margin_loss,
    contrastive_loss,
    squared_distances,
    triplet_loss,
    value_and_gradient,
)

LOSSES: dict[str, str] = {
    "contrastive": "Contrastive",
    "triplet": "Triplet",
    "n-pair": "N-pair (NT-Xent)",
    "angular": "Angular margin",
}
ON_DIRECTIONS = ("n-pair", "angular")
"""Losses that look at directions alone: how long an embedding is does not matter to them."""
WIDE, HIGH = 3.0, 2.0
"""The plane goes from -WIDE to WIDE and from -HIGH to HIGH."""
NAMES = ("anchor", "positive", "negative")
ANGULAR_SCALE = 4.0


@dataclass(frozen=True)
class PlaygroundSettings(Settings):
    """The loss, what it is set to, and where the three points are."""

    loss: str = setting("triplet", label="Loss", choices=tuple(LOSSES), help="What the three points are judged by.")
    margin: float = setting(
        1.0, label="Margin m", minimum=0.0, maximum=3.0, step=0.05,
        help="How far apart different things must be; for the angular margin an angle in radians.",
    )  # fmt: skip
    temperature: float = setting(
        0.5, label="Temperature", minimum=0.05, maximum=2.0, step=0.05,
        help="N-pair: similarities are divided by it; small ones look at the hardest negative alone.",
    )  # fmt: skip
    rate: float = setting(
        0.1, label="Step size", minimum=0.01, maximum=0.5, step=0.01,
        help="A step moves each point by this times its negative gradient: along its arrow.",
    )  # fmt: skip
    anchor_x: float = setting(-0.8, label="Anchor x", minimum=-WIDE, maximum=WIDE, step=0.05, help="To the right.")
    anchor_y: float = setting(-0.2, label="Anchor y", minimum=-HIGH, maximum=HIGH, step=0.05, help="Upwards.")
    positive_x: float = setting(0.6, label="Positive x", minimum=-WIDE, maximum=WIDE, step=0.05, help="To the right.")
    positive_y: float = setting(0.7, label="Positive y", minimum=-HIGH, maximum=HIGH, step=0.05, help="Upwards.")
    negative_x: float = setting(0.4, label="Negative x", minimum=-WIDE, maximum=WIDE, step=0.05, help="To the right.")
    negative_y: float = setting(-0.9, label="Negative y", minimum=-HIGH, maximum=HIGH, step=0.05, help="Upwards.")

    @property
    def points(self) -> np.ndarray:
        """(3, 2) float64: anchor, positive, negative; y points up."""
        return np.array([[getattr(self, f"{name}_{axis}") for axis in "xy"] for name in NAMES])


S = TypeVar("S", bound=PlaygroundSettings)


@dataclass(frozen=True, eq=False)
class Moment:
    """A loss at three points.

    value: of the loss.   gradient: (3, 2), uphill.   near, far: Euclidean distances of anchor and positive, anchor and
    negative.   made_of: the value's parts in words and numbers.
    """

    points: np.ndarray
    value: float
    gradient: np.ndarray
    near: float
    far: float
    made_of: str
    settings: PlaygroundSettings

    @property
    def kind(self) -> str:
        """ "hard", "semi-hard" or "easy": where the negative is, as the triplet loss with this margin sees it."""
        return kind_of(self.near**2, self.far**2, self.settings.margin)

    @property
    def still(self) -> bool:
        """Whether a step would move nothing."""
        return bool(np.abs(self.gradient).max() < 1e-9)

    def sentence(self) -> str:
        """Such as "Triplet loss 1.83: a hard triplet, the negative is nearer than the positive"."""
        said = f"{LOSSES[self.settings.loss]} loss {self.value:.3f}"
        if self.settings.loss == "triplet":
            why = {
                "hard": "a hard triplet, the negative is nearer to the anchor than the positive",
                "semi-hard": "a semi-hard triplet, the negative is farther than the positive, but within the margin",
                "easy": "an easy triplet, the negative is beyond the margin and nothing is learnt from it",
            }
            return f"{said}: {why[self.kind]}"
        if self.settings.loss == "contrastive":
            beyond = self.far >= self.settings.margin
            return f"{said}: the negative is {'beyond' if beyond else 'within'} the margin and " + (
                "left alone" if beyond else "pushed away"
            )
        return f"{said}: it falls, but never to zero" if self.value > 0 else said

    def details(self) -> str:
        """Distances or similarities, and the parts of the value."""
        if self.settings.loss in ON_DIRECTIONS:
            anchor, positive, negative = self.points
            return (
                f"cos(a, p) {cosine(anchor, positive):.2f} · cos(a, n) {cosine(anchor, negative):.2f} · {self.made_of}"
            )
        return f"d(a, p) {self.near:.2f} · d(a, n) {self.far:.2f} · {self.made_of}"

    def to_dict(self) -> dict[str, object]:
        """JSON-ready."""
        return {
            "loss": self.settings.loss, "value": round(self.value, 6), "kind": self.kind,
            "points": self.points.round(4).tolist(), "gradient": self.gradient.round(6).tolist(),
        }  # fmt: skip


def kind_of(near: float, far: float, margin: float) -> str:
    """ "hard", "semi-hard" or "easy" of the squared distances to the positive and to the negative."""
    if far <= near:
        return "hard"
    return "semi-hard" if far < near + margin else "easy"


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of the angle between two vectors; 0 where one of them has no direction."""
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length > 1e-12 else 0.0


def loss_of(points: Tensor, settings: PlaygroundSettings) -> Tensor:
    """The chosen loss at (3, 2) points (anchor, positive, negative), a scalar."""
    anchor, positive, negative = points[0:1], points[1:2], points[2:3]
    if settings.loss == "contrastive":  # two pairs: one of the same, one of different things
        same = torch.tensor([1.0, 0.0], dtype=points.dtype)
        return 2 * contrastive_loss(torch.cat([anchor, anchor]), points[1:], same, settings.margin)
    if settings.loss == "triplet":
        return triplet_loss(anchor, positive, negative, settings.margin)
    if settings.loss == "n-pair":
        similarity = torch.cosine_similarity(anchor.expand(2, -1), points[1:], dim=1) / settings.temperature
        return torch.logsumexp(similarity, 0) - similarity[0]
    return angular_margin_loss(anchor, points[1:], torch.zeros(1, dtype=torch.long), settings.margin, ANGULAR_SCALE)


def look(settings: PlaygroundSettings) -> Moment:
    """The loss and its gradient where the points are now."""
    points = settings.points
    value, gradient = value_and_gradient(lambda place: loss_of(place, settings), points)
    squared = squared_distances(torch.from_numpy(points), torch.from_numpy(points)).sqrt().numpy()
    near, far = float(squared[0, 1]), float(squared[0, 2])
    return Moment(points, value, gradient, near, far, _made_of(settings, near, far, points), settings)


def _made_of(settings: PlaygroundSettings, near: float, far: float, points: np.ndarray) -> str:
    if settings.loss == "contrastive":
        return f"pull d(a, p)² {near**2:.2f} + push (m - d(a, n))² {max(0.0, settings.margin - far) ** 2:.2f}"
    if settings.loss == "triplet":
        return f"m {settings.margin:.2f} + d(a, p)² {near**2:.2f} - d(a, n)² {far**2:.2f}"
    to_positive, to_negative = cosine(points[0], points[1]), cosine(points[0], points[2])
    if settings.loss == "n-pair":
        chance = 1 / (1 + math.exp(min((to_negative - to_positive) / settings.temperature, 700.0)))
        return f"softmax gives the positive {100 * chance:.0f} %"
    angle = math.acos(max(-1.0, min(1.0, to_positive)))
    return f"angle to the positive {angle:.2f} + margin {settings.margin:.2f} radians"


def step(settings: S) -> S:
    """The settings after one step of gradient descent; points stay on the plane."""
    moment = look(settings)
    points = np.clip(moment.points - settings.rate * moment.gradient, [-WIDE, -HIGH], [WIDE, HIGH])
    return placed(settings, points)


def placed(settings: S, points: np.ndarray) -> S:
    """The same settings with the three points (3, 2) elsewhere."""
    places: dict[str, Any] = {}
    for name, (x, y) in zip(NAMES, points):
        places |= {f"{name}_x": float(x), f"{name}_y": float(y)}
    return replace(settings, **places)
