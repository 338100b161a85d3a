"""Faces on a picture: a box, a score, and five landmarks that tell right from left by colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.detection.draw import BLACK, PALETTE, WHITE, Colour, draw_boxes, make_style
from cvdemo.faces.result import Faces

FACE_STYLE = make_style(PALETTE[0])
# In the order of the landmarks. The person's right side is orange, the left blue, the nose white: colours that stay
# apart in every common form of colour blindness.
LANDMARK_COLOURS: tuple[Colour, ...] = (PALETTE[1], PALETTE[5], WHITE, PALETTE[1], PALETTE[5])
_SUBPIXEL_BITS = 4  # cv2.circle takes fixed-point coordinates


def draw_faces(
    pixels: np.ndarray,
    faces: Faces,
    *,
    texts: Sequence[str] | None = None,
    line_width: int = 2,
    show_scores: bool = True,
    show_landmarks: bool = True,
    opacity: float = 1.0,
) -> np.ndarray:
    """The picture with a box and the landmarks of each face; better scores lie on top.

    Args:
        pixels: (H, W, 3) uint8 RGB; never written to.
        texts: what stands at each box, such as a name or an emotion, instead of the score ("" for nothing).
        line_width, opacity: as in ``detection.draw.draw_detections``.
    Returns:
        a new (H, W, 3) uint8 array.
    """
    if texts is not None and len(texts) != len(faces):
        raise ValueError(f"{len(texts)} texts for {len(faces)} faces")
    words = list(texts) if texts is not None else [f"{s:.2f}" if show_scores else "" for s in faces.scores]
    order = np.argsort(faces.scores, kind="stable")
    styles = [FACE_STYLE] * len(faces)
    named = [words[row] for row in order]
    out = draw_boxes(pixels, faces.boxes[order], styles, named, line_width=line_width)
    if show_landmarks:
        for row in order:
            side = float((faces.boxes[row, 2:] - faces.boxes[row, :2]).max())
            draw_landmarks(out, faces.landmarks[row], max(1.5, side / 40))
    if opacity < 1:
        share = max(opacity, 0.0)
        out = cv2.addWeighted(out, share, np.ascontiguousarray(pixels), 1 - share, 0)
    return out


def draw_landmarks(out: np.ndarray, landmarks: np.ndarray, radius: float) -> None:
    """Five discs of ``radius`` pixels with a dark rim, drawn into ``out`` (H, W, 3) uint8, which must be contiguous."""
    unit = 1 << _SUBPIXEL_BITS
    limit = 4 * max(out.shape)
    for (x, y), colour in zip(landmarks.tolist(), LANDMARK_COLOURS):
        if not (abs(x) < limit and abs(y) < limit):  # far outside, where fixed-point numbers would overflow
            continue
        centre = (round(x * unit), round(y * unit))
        for size, ink in ((radius + 1, BLACK), (radius, colour)):
            cv2.circle(out, centre, round(size * unit), ink, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)


def contact_sheet(crops: np.ndarray, columns: int = 8, gap: int = 4) -> np.ndarray:
    """Aligned crops (N, S, S, 3) uint8 side by side on white, row by row; one white crop when there are none."""
    size = crops.shape[1] if crops.ndim == 4 and crops.shape[1] else 1
    count = max(1, len(crops))
    columns = max(1, min(columns, count))
    rows = -(-count // columns)
    sheet = np.full((rows * (size + gap) + gap, columns * (size + gap) + gap, 3), 255, np.uint8)
    for index, crop in enumerate(crops):
        y, x = (gap + (index // columns) * (size + gap)), gap + (index % columns) * (size + gap)
        sheet[y : y + size, x : x + size] = crop
    return sheet
