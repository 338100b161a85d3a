"""The flow a user is shown: displacements, where they cannot be trusted, and what they say in numbers and words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

STILL = 0.5
"""Below this mean speed, in pixels, the sentence calls a pair still."""
MOVING = 1.0
"""Pixels faster than this count as moving."""
DIRECTIONS: tuple[str, ...] = (
    "to the right", "down and to the right", "down", "down and to the left",
    "to the left", "up and to the left", "up", "up and to the right",
)  # fmt: skip


@dataclass(frozen=True)
class FlowStatistics:
    """Speeds in pixels per frame pair; direction in degrees clockwise from the right, None where nothing moves.

    coherence: length of the mean vector over the mean length, 1 when everything moves alike, 0 when it cancels out.
    moving: share of the pixels faster than ``MOVING``.
    """

    mean: float
    median: float
    p95: float
    maximum: float
    direction: float | None
    coherence: float
    moving: float

    def to_dict(self) -> dict[str, float | None]:
        """All figures by name, rounded for JSON."""
        return {
            name: None if value is None else round(float(value), 4)
            for name, value in vars(self).items()
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class FlowField:
    """What the settings make of an inference.

    Attributes:
        flow: (H, W, 2) float32, displacement x, y in pixels of the original frames.
        occluded: (H, W) bool, pixels without a counterpart in the second frame by the forward-backward check; None
            where no backward flow was computed.
        model: registry name.   iteration, iterations: which refinement this is, from 1, of how many.
        notes: what a user should know about how it came about.   milliseconds: decoding took.
        variational: whether it is what the variational refinement made of the method's last one.
    """

    flow: np.ndarray
    model: str
    occluded: np.ndarray | None = None
    iteration: int = 1
    iterations: int = 1
    notes: tuple[str, ...] = ()
    milliseconds: float = 0.0
    variational: bool = False

    def __post_init__(self) -> None:
        if self.flow.ndim != 3 or self.flow.shape[2] != 2:
            raise ValueError(f"a flow field is (H, W, 2), not {self.flow.shape}")
        if self.occluded is not None and self.occluded.shape != self.flow.shape[:2]:
            raise ValueError(f"an occlusion mask of {self.occluded.shape} for a field of {self.flow.shape[:2]}")

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.flow.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.flow.shape[1])

    @cached_property
    def speed(self) -> np.ndarray:
        """(H, W) float32, pixels per frame pair."""
        return np.asarray(np.hypot(self.flow[..., 0], self.flow[..., 1]), np.float32)

    @cached_property
    def statistics(self) -> FlowStatistics:
        """Figures over all pixels with a finite flow."""
        finite = np.isfinite(self.speed)
        speed = self.speed[finite]
        if not speed.size:
            return FlowStatistics(0.0, 0.0, 0.0, 0.0, None, 0.0, 0.0)
        mean = float(speed.mean())
        u, v = (float(channel) for channel in self.flow[finite].mean(axis=0, dtype=np.float64))
        resulting = math.hypot(u, v)
        direction = math.degrees(math.atan2(v, u)) % 360 if resulting > 1e-6 else None
        median, p95 = (float(value) for value in np.percentile(speed[:: max(1, speed.size // 50_000)], [50, 95]))
        coherence = resulting / mean if mean > 1e-6 else 0.0
        return FlowStatistics(
            mean, median, p95, float(speed.max()), direction, min(1.0, coherence), float((speed > MOVING).mean())
        )

    @property
    def occluded_share(self) -> float | None:
        """Share of pixels without a counterpart, 0 to 1; None without a backward flow."""
        return None if self.occluded is None else float(self.occluded.mean())

    def to_dict(self) -> dict[str, Any]:
        """The facts for JSON; the field itself is exported by ``flow.files``."""
        return {
            "model": self.model,
            "width": self.width,
            "height": self.height,
            "iteration": self.iteration,
            "iterations": self.iterations,
            "variational": self.variational,
            "speed": self.statistics.to_dict(),
            "occluded_share": None if self.occluded is None else round(float(self.occluded.mean()), 4),
            "notes": list(self.notes),
            "sentence": self.sentence(),
            "decode_ms": round(self.milliseconds, 3),
        }

    def sentence(self) -> str:
        """Such as "Mean motion 4.2 px to the right, at most 31 px; 3 % occluded"."""
        figures = self.statistics
        if figures.mean < STILL and figures.p95 < MOVING:
            text = f"Almost still: mean motion {figures.mean:.2f} px"
        else:
            where = ""
            if figures.direction is not None and figures.coherence >= 0.5:
                where = " " + DIRECTIONS[round(figures.direction / 45) % 8]
            elif figures.coherence < 0.5:
                where = " in different directions"
            text = f"Mean motion {figures.mean:.1f} px{where}, at most {figures.maximum:.0f} px"
        if self.occluded is not None:
            text += f"; {100 * float(self.occluded.mean()):.0f} % occluded"
        if self.iteration < self.iterations:
            text += f"; after {self.iteration} of {self.iterations} refinements"
        return text
