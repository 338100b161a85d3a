"""What one run of an action model returns for one clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cvdemo.action.clips import Clip
from cvdemo.classification.raw import AGREE_PROBABILITY, AGREE_SPREAD, softmax

__all__ = ["ClipFacts", "RawScores", "agree", "facts_of", "softmax"]


@dataclass(frozen=True)
class ClipFacts:
    """Of the clip a model saw: how many frames, from when to when (seconds), their size, and a note for the reader."""

    frames: int
    start: float
    end: float
    height: int
    width: int
    source: str = ""
    note: str = ""


def facts_of(clip: Clip) -> ClipFacts:
    """The facts of a clip."""
    return ClipFacts(len(clip), clip.start, float(clip.times.max()), clip.height, clip.width, clip.source, clip.note)


@dataclass(frozen=True, eq=False)
class RawScores:
    """Everything ``infer`` found out about one clip.

    Attributes:
        logits: (C,) float32, one score a class before the softmax.
        categories: C names of actions.   model: registry name.   clip: facts of what was seen.
        extras: further results by name, as arrays: "joints" (T, 17, 3) x, y in pixels and score of the skeleton model;
            "slow" and "fast", indices of the frames each pathway of a two-pathway network was given.
    """

    logits: np.ndarray
    categories: tuple[str, ...]
    model: str
    clip: ClipFacts
    extras: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.logits.shape != (len(self.categories),):
            raise ValueError(f"logits of shape {self.logits.shape} for {len(self.categories)} classes")


def agree(reference: RawScores, other: RawScores) -> bool:
    """Whether a faster number format may replace the reference: its actions are as probable as before.

    No probability may move by more than 0.05, and the logits may differ, root mean square, by at most 5 % of their
    spread, which also judges networks that are sure of nothing on the example.
    """
    if not np.isfinite(other.logits).all():
        return False
    if float(np.abs(softmax(reference.logits) - softmax(other.logits)).max()) > AGREE_PROBABILITY:
        return False
    difference = (reference.logits - other.logits) - (reference.logits - other.logits).mean()
    return bool(np.sqrt((difference**2).mean()) <= AGREE_SPREAD * reference.logits.std())
