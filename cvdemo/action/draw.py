"""Actions on a frame: a bar per action with its name and probability, and the skeleton where there is one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.detection.draw import PALETTE, Colour
from cvdemo.pose.draw import JOINT_COLOURS, RIM, edge_colour
from cvdemo.pose.skeleton import COCO_EDGES

_FONT_UNIT = 30.0  # pixels of font size at scale 1
_PLATE: Colour = (16, 16, 16)
_INK: Colour = (255, 255, 255)
_FAINT: Colour = (170, 170, 170)
JOINT_SEEN = 0.2
"""Joints the pose model is less sure of are not drawn."""


def colour_of(index: int) -> Colour:
    """The colour of an action, the same in every picture and curve; colours come round after twelve."""
    return PALETTE[index % len(PALETTE)]


def draw_actions(
    pixels: np.ndarray,
    top: Sequence[tuple[int, str, float]],
    *,
    sure: bool = True,
    joints: np.ndarray | None = None,
    text_scale: float = 1.0,
) -> np.ndarray:
    """The frame with a plate at its lower left: one line an action, with a bar as long as it is probable.

    Args:
        pixels: (H, W, 3) uint8 RGB; never written to.
        top: (index, name, probability), best first; lines that do not fit into the frame are left out.
        sure: False greys the text: no action is claimed.
        joints: (17, 3) x, y in pixels and score; joints of score below 0.2 are left out.
        text_scale: multiplies the text size, which is 1/32 of the longer side and at least 12 px.
    Returns:
        a new (H, W, 3) uint8 array.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}")
    out = np.array(pixels, order="C")
    if joints is not None:
        _skeleton(out, np.asarray(joints, np.float64))
    height, width = out.shape[:2]
    size = round(text_scale * max(12.0, max(height, width) / 32))
    line = round(size * 1.5)
    rows = list(top)[: max(0, (height - size) // line)]
    if not rows or width < 4 * size:
        return out
    scale, weight = size / _FONT_UNIT, max(1, round(size / 20))
    margin, wide = size // 2, min(width - size, 18 * size)
    above = height - margin - line * len(rows)
    plate = out[above : height - margin, margin : margin + wide]
    plate[:] = (plate * 0.3 + np.array(_PLATE) * 0.7).astype(np.uint8)
    for row, (index, name, probability) in enumerate(rows):
        y = above + row * line
        bar = max(1, round(wide * min(max(probability, 0.0), 1.0)))
        out[y + line - max(3, size // 4) : y + line - 1, margin : margin + bar] = colour_of(index)
        text = f"{name} {100 * probability:.0f} %".encode("ascii", "replace").decode("ascii")
        place = (margin + size // 4, y + line - max(3, size // 4) - size // 6)
        cv2.putText(
            out, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale * 0.9, _INK if sure else _FAINT, weight, cv2.LINE_AA
        )
    return out


def _skeleton(out: np.ndarray, joints: np.ndarray) -> None:
    seen = np.isfinite(joints).all(axis=1) & (joints[:, 2] >= JOINT_SEEN) & (np.abs(joints[:, :2]).max(axis=1) < 1e5)
    points = [(round(x), round(y)) if ok else (0, 0) for (x, y, _), ok in zip(joints.tolist(), seen)]
    line = max(2, max(out.shape[:2]) // 200)
    for thickness, rim in ((line + 2, True), (line, False)):
        for edge in COCO_EDGES:
            if seen[edge[0]] and seen[edge[1]]:
                colour = RIM if rim else edge_colour(edge)
                cv2.line(out, points[edge[0]], points[edge[1]], colour, thickness, cv2.LINE_AA)
    for joint, point in enumerate(points):
        if seen[joint]:
            cv2.circle(out, point, line + 1, JOINT_COLOURS[joint], -1, cv2.LINE_AA)
