"""What the Clip view offers and says: the four videos, and how far a carried label has drifted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cvdemo.core.settings import Settings, setting
from cvdemo.flow.propagate import Propagation

COLOURS, SLOW, STEADY, CARRY = "colours", "slow", "steady", "carry"
MAKES: dict[str, str] = {
    COLOURS: "Flow in colours",
    SLOW: "Slow motion",
    STEADY: "Calm camera",
    CARRY: "Carry a label",
}
HELP: dict[str, str] = {
    COLOURS: "The flow from each frame to the next, all in one colour code.",
    SLOW: "Frames are made between the frames: both neighbours are moved along the flow by their share of the way, and "
    "what only one of them shows is taken from that one.",
    STEADY: "Most of the picture moves as the camera does. Its path is estimated from the flow, averaged over some "
    "frames, and each frame is moved to where the calm camera would have seen it.",
    CARRY: "Drag a box in the first frame, or click a thing: the flow carries the box, or the region of that colour, "
    "through the clip. Nothing looks at the picture again, so errors add up: the drift.",
}


@dataclass(frozen=True)
class ClipSettings(Settings):
    """What is made of the clip's flow; none of it needs the flow to be computed again."""

    make: str = setting(COLOURS, label="Make", choices=tuple(MAKES), help="Four uses of the flow of a clip.")
    factor: int = setting(4, label="Times as slow", minimum=2, maximum=8, step=1, help="Slow motion.")
    radius: int = setting(
        10, label="Frames to average", minimum=1, maximum=40, step=1, help="Calm camera: more is calmer."
    )
    maximum: float = setting(
        0.0, label="Full colour at (px)", minimum=0.0, maximum=200.0, step=0.5,
        help="Flow in colours: 0 takes one that fits the whole clip.",
    )  # fmt: skip
    opacity: float = setting(
        0.8, label="Opacity", minimum=0.1, maximum=1.0, step=0.05, help="Flow in colours: over the frame in grey."
    )


def drift_html(label: Propagation | None) -> str:
    """The drift over the frames, and the size of the label; "" without a label."""
    if label is None:
        return ""
    drift = np.array(label.drift)
    known = np.isfinite(drift)
    wide, high, left, base = 620, 200, 46, 160
    most = max(float(drift[known].max(initial=0.0)), 1.0)
    points = " ".join(
        f"{left + (wide - left - 16) * index / max(len(drift) - 1, 1):.1f},{base - 140 * value / most:.1f}"
        for index, value in enumerate(drift.tolist())
        if math.isfinite(value)
    )
    lost = (
        "" if known.all() else f" From frame {int(np.flatnonzero(~known)[0]) + 1} on, all points had left the picture."
    )
    area = label.area[-1] / label.area[0] if label.area[0] else float("nan")
    last = float(drift[known][-1])
    return (
        f'<figure class="curve drift"><svg viewBox="0 0 {wide} {high}" role="img" aria-label="Drift over the frames">'
        f'<line class="rule" x1="{left}" x2="{wide - 16}" y1="{base}" y2="{base}"/><polyline class="raw" '
        f'points="{points}"/><text x="4" y="26">{most:.1f} px</text><text x="{left}" y="184">frame 1</text>'
        f'<text x="{wide - 16}" y="184" text-anchor="end">{len(drift)}</text></svg><figcaption>Drift: how far points '
        f"end from their start when they go back to the first frame, {last:.2f} px in the end. The label is {area:.0%} "
        f"of its first size.{lost}</figcaption></figure>"
    )


def box_from_shares(one: tuple[float, float], other: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """(4,) x1 y1 x2 y2 in pixels of two corners given as shares of the picture's sides; at least 8 pixels wide."""
    height, width = size
    box = []
    for (a, b), length in zip(zip(one, other), (width, height)):
        low, high = sorted(min(max(float(value), 0.0), 1.0) * length for value in (a, b))
        if high - low < 8:
            low = min(max((low + high) / 2 - 4, 0.0), length - 8.0)
            high = low + 8
        box.append((low, high))
    (x1, x2), (y1, y2) = box
    return np.array([x1, y1, x2, y2])
