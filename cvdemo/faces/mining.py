"""Which triplets of a batch each rule of mining picks, and how many of them still teach anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cvdemo.core.errors import InputError
from cvdemo.core.settings import Settings, setting
from cvdemo.faces.metric_losses import MINING, mine_triplets, squared_distances
from cvdemo.faces.projection import pca

DRAWN, ENROLLED = "drawn", "gallery"
SOURCES: dict[str, str] = {DRAWN: "Drawn points", ENROLLED: "Faces of the gallery"}
CLASSES = ("A", "B", "C")
EACH = 4
RULE_WORDS = {
    "all": "every negative",
    "hard": "the nearest negative",
    "semi-hard": "the nearest one farther than the positive, within the margin",
    "random": "any negative",
}


@dataclass(frozen=True)
class MiningSettings(Settings):
    """The batch, the rule and the margin."""

    source: str = setting(
        DRAWN, label="Batch", choices=(DRAWN, ENROLLED), help="Points drawn at random, or the faces of your gallery."
    )
    rule: str = setting("semi-hard", label="Mining", choices=MINING, help="Which negative a pair is given.")
    mining_margin: float = setting(
        0.5, label="Margin m", minimum=0.0, maximum=3.0, step=0.05, help="Of squared distances, as in the triplet loss."
    )
    spread: float = setting(
        0.6, label="Spread of a class", minimum=0.05, maximum=1.0, step=0.05,
        help="How far the points of one class lie apart: a batch early or late in training.",
    )  # fmt: skip
    draw: int = setting(7, label="Draw", minimum=0, maximum=9999, step=1, help="Another number is another batch.")


@dataclass(frozen=True, eq=False)
class Batch:
    """What is mined.

    vectors: (N, D) embeddings.   labels: (N,) indices into ``names``.   places: (N, 2) where each is drawn; the vectors
    themselves for drawn points.   note: what the drawing leaves out.
    """

    vectors: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    places: np.ndarray
    note: str = ""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Mined:
    """What one rule picked: triplets (T, 3) of anchor, positive and negative, and the loss of each (T,)."""

    rule: str
    triplets: np.ndarray
    losses: np.ndarray
    kinds: np.ndarray

    @property
    def active(self) -> int:
        """Triplets whose loss is not zero: only these have a gradient."""
        return int((self.losses > 0).sum())

    def count(self, kind: str) -> int:
        """How many triplets are "hard", "semi-hard" or "easy"."""
        return int((self.kinds == kind).sum())

    @property
    def mean(self) -> float:
        """The batch's loss; zero for no triplets."""
        return float(self.losses.mean()) if len(self.losses) else 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "rule": self.rule, "triplets": len(self.triplets), "active": self.active, "mean": round(self.mean, 5),
            **{kind: self.count(kind) for kind in ("hard", "semi-hard", "easy")},
        }  # fmt: skip


def drawn_batch(settings: MiningSettings) -> Batch:
    """Three classes of four points each about three centres; the same settings draw the same batch."""
    rng = np.random.default_rng(settings.draw)
    turn = rng.uniform(0, 2 * np.pi)
    angles = turn + np.arange(len(CLASSES)) * 2 * np.pi / len(CLASSES)
    centres = np.stack([1.3 * np.cos(angles), 0.95 * np.sin(angles)], 1)
    labels = np.repeat(np.arange(len(CLASSES)), EACH)
    points = centres[labels] + settings.spread * rng.normal(0, 1, (len(labels), 2))
    points = np.clip(points, [-2.85, -1.85], [2.85, 1.85])
    return Batch(points, labels, CLASSES, points)


def gallery_batch(vectors: np.ndarray, owners: Sequence[str], most: int = 60) -> Batch:
    """Enrolled faces (N, D) of unit length and whose each is: mined where they are, drawn by principal components.

    The first ``most`` are taken. InputError unless two people are there and one of them twice.
    """
    names = tuple(dict.fromkeys(owners))
    if len(names) < 2 or len(names) == len(owners):
        raise InputError(
            "Triplets need two people, and two pictures of one of them.",
            hint="Enrol them in the Gallery, or look at drawn points.",
        )
    rows = np.asarray(vectors, np.float64)[:most]
    labels = np.array([names.index(owner) for owner in owners[:most]])
    flat = pca(rows)
    reach = np.maximum(np.abs(flat.coordinates).max(0), 1e-9)
    places = flat.coordinates * min(2.6 / reach[0], 1.6 / reach[1])
    note = (
        f"The map shows {100 * flat.explained.sum():.0f} % of the variance; distances are those of all {rows.shape[1]} "
        "dimensions."
    )
    return Batch(rows, labels, names, places, note)


def mine(batch: Batch, rule: str, margin: float, seed: int = 0) -> Mined:
    """The triplets of one rule; ``seed`` is for "random"."""
    vectors, labels = torch.from_numpy(np.asarray(batch.vectors, np.float64)), torch.from_numpy(batch.labels)
    generator = torch.Generator().manual_seed(seed)
    rows = mine_triplets(vectors, labels, margin, rule, generator).numpy()  # type: ignore[arg-type]
    squared = squared_distances(vectors, vectors).numpy()
    near, far = squared[rows[:, 0], rows[:, 1]], squared[rows[:, 0], rows[:, 2]]
    kinds = np.where(far <= near, "hard", np.where(far < near + margin, "semi-hard", "easy"))
    return Mined(rule, rows, np.maximum(margin + near - far, 0), kinds)


def mine_all(batch: Batch, margin: float, seed: int = 0) -> dict[str, Mined]:
    """What each rule picks of a batch."""
    return {rule: mine(batch, rule, margin, seed) for rule in MINING}


def sentence(mined: Mined) -> str:
    """Such as "semi-hard mining: 14 triplets, 14 of them active"."""
    count = len(mined.triplets)
    if not count:
        return f"{mined.rule.capitalize()} mining finds no triplet: no negative lies within the margin"
    return f"{mined.rule.capitalize()} mining: {count} triplet{'s' * (count > 1)}, {mined.active} of them active"
