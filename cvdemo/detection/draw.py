"""Boxes and labels on a picture: colour-blind-safe, legible on any background, fast enough to follow a slider.

A class always has the same colour and line pattern. The twelve colours start from Okabe and Ito's palette (2008) and
stay apart under simulated protanopia, deuteranopia and tritanopia; seven line patterns multiply them to 84, so that no
two COCO classes look alike. Every line has a halo and every label a backing plate in black or white, whichever
contrasts more with the colour (always above 4.5 : 1 by WCAG 2's formula).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.detection.average_precision import GroundTruth, ImageMatch
from cvdemo.detection.candidates import Detections, name_of
from cvdemo.detection.labels import COCO_CATEGORIES

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (240, 228, 66), (0, 114, 178),
    (213, 94, 0), (136, 0, 255), (0, 255, 136), (119, 51, 34), (136, 119, 255), (153, 255, 238),
)  # fmt: skip
# On, off, on, off ... in units of twice the line width; the gaps are filled with the halo's colour.
PATTERNS: tuple[tuple[float, ...], ...] = (
    (), (4, 2), (1, 1), (4, 1, 1, 1), (9, 3), (2, 2), (4, 1, 1, 1, 1, 1),
)  # fmt: skip
BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)
MOST_PLATES = 150  # more would hide the picture; the best scores have theirs

# The classes seen most often get the solid lines.
_COMMON = ("person", "car", "chair", "dog", "cat", "cup", "bottle", "bicycle", "tv", "laptop", "cell phone", "book")
_FONT_UNIT = 30.0  # pixels of font size at scale 1
_REFERENCE_SIDE = 1000  # longer side of the picture for which a line width is meant literally


@dataclass(frozen=True)
class Style:
    """How a class is drawn: RGB colour, the ink of its text and halo, and its line pattern (see ``PATTERNS``)."""

    colour: Colour
    ink: Colour
    pattern: tuple[float, ...] = ()


def luminance(colour: Colour) -> float:
    """Relative luminance of an RGB colour, 0 (black) to 1 (white), as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrasting(colour: Colour) -> Colour:
    """Black or white, whichever has the higher contrast ratio with ``colour``."""
    level = luminance(colour)
    return BLACK if (level + 0.05) / 0.05 >= 1.05 / (level + 0.05) else WHITE


def make_style(colour: Colour, pattern: tuple[float, ...] = ()) -> Style:
    """A style whose ink contrasts with ``colour``."""
    return Style(colour, contrasting(colour), pattern)


@lru_cache(maxsize=1024)
def style_of(label: int) -> Style:
    """The style of a COCO category id, the same in every picture and tab; other ids share the styles."""
    position = _style_order().get(label, label)
    return make_style(PALETTE[position % len(PALETTE)], PATTERNS[position // len(PALETTE) % len(PATTERNS)])


@lru_cache(maxsize=1)
def _style_order() -> dict[int, int]:
    ranked = sorted(COCO_CATEGORIES, key=lambda c: _COMMON.index(c.name) if c.name in _COMMON else len(_COMMON))
    return {category.id: position for position, category in enumerate(ranked)}


MATCH_STYLES = {
    "TP": make_style(PALETTE[0], PATTERNS[0]),
    "FP": make_style(PALETTE[6], PATTERNS[1]),
    "FN": make_style(PALETTE[4], PATTERNS[2]),
    "ignored": make_style((160, 160, 160), PATTERNS[3]),
}


def draw_detections(
    pixels: np.ndarray,
    detections: Detections,
    *,
    line_width: int = 2,
    show_labels: bool = True,
    show_scores: bool = True,
    opacity: float = 1.0,
    fill: float = 0.0,
    text_scale: float = 1.0,
    highlight: Iterable[int] = (),
) -> np.ndarray:
    """The picture with a box and a label for each detection; better scores lie on top.

    Args:
        pixels: (H, W, 3) uint8 RGB; never written to.
        line_width: in pixels of a picture up to 1000 px on its longer side, scaled up with larger ones.
        show_labels, show_scores: what the plate says; no plate without either, and none beyond ``MOST_PLATES``.
        opacity: of everything drawn, 0 to 1. fill: share of the class colour inside the boxes, 0 to 1.
        text_scale: multiplies the text size, which is 1/56 of the longer side and at least 13 px.
        highlight: rows drawn last, thicker and tinted.
    Returns:
        a new (H, W, 3) uint8 array.
    """
    marked = set(highlight)
    rows = sorted(range(len(detections)), key=lambda row: (row in marked, detections.scores[row]))
    labels, scores = detections.labels.tolist(), detections.scores.tolist()
    texts = []
    for row in rows:
        words = ([name_of(labels[row])] if show_labels else []) + ([f"{scores[row]:.2f}"] if show_scores else [])
        texts.append(" ".join(words))
    return draw_boxes(
        pixels,
        detections.boxes[rows],
        [style_of(labels[row]) for row in rows],
        texts,
        emphasised=[row in marked for row in rows],
        line_width=line_width,
        opacity=opacity,
        fill=fill,
        text_scale=text_scale,
    )


def draw_match(
    pixels: np.ndarray,
    truth: GroundTruth,
    detections: Detections,
    match: ImageMatch,
    *,
    line_width: int = 2,
    text_scale: float = 1.0,
) -> np.ndarray:
    """The picture with hits solid blue, false positives dashed red, misses dotted yellow, each named in its label.

    Detections matched to a crowd are grey ("ignored"). Arguments and result as in :func:`draw_detections`.
    """
    boxes = [truth.boxes[match.missed]]
    kinds = ["FN"] * len(match.missed)
    texts = [f"missed {name_of(truth.labels[row])}" for row in match.missed]
    for status in ("ignored", "FP", "TP"):
        rows = np.flatnonzero(match.status == status)[::-1]
        boxes.append(detections.boxes[rows])
        kinds += [status] * len(rows)
        texts += [f"{status} {name_of(detections.labels[row])} {detections.scores[row]:.2f}" for row in rows]
    styles = [MATCH_STYLES[kind] for kind in kinds]
    return draw_boxes(pixels, np.concatenate(boxes), styles, texts, line_width=line_width, text_scale=text_scale)


def draw_boxes(
    pixels: np.ndarray,
    boxes: np.ndarray,
    styles: Sequence[Style],
    texts: Sequence[str],
    *,
    emphasised: Sequence[bool] | None = None,
    line_width: int = 2,
    opacity: float = 1.0,
    fill: float = 0.0,
    text_scale: float = 1.0,
) -> np.ndarray:
    """Boxes (N, 4) x1 y1 x2 y2 in the given order, the last on top, each with its style and plate ("" for none).

    ``emphasised`` boxes get a thicker line and a tint. Other arguments and result as in :func:`draw_detections`.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}")
    out = np.array(pixels, order="C")
    height, width = out.shape[:2]
    scale = max(1.0, max(height, width) / _REFERENCE_SIDE)
    line = max(1, min(round(line_width * scale), height // 3, width // 3))
    halo = max(1, round(scale))
    bold = emphasised if emphasised is not None else [False] * len(boxes)
    frames = _frames(np.asarray(boxes, dtype=np.float64), line, height, width)
    for frame, style, strong in zip(frames.tolist(), styles, bold):
        tint = max(fill, 0.25) if strong else fill
        if tint > 0:
            _tint(out, frame, style.colour, tint)
        thickness = 2 * line if strong else line
        length = -(-max(height, width) // 256) * 256
        _outline(out, frame, thickness, halo, _strip(style.ink, style.ink, (), thickness + 2 * halo, length))
        _outline(out, frame, thickness, 0, _strip(style.colour, style.ink, style.pattern, thickness, length))
    size = round(text_scale * max(13.0, max(height, width) / 56))
    shown = [position for position in reversed(range(len(frames))) if texts[position]][:MOST_PLATES]
    plates = [_fitting_plate(texts[position], styles[position], size, height, width) for position in shown]
    corners = _places(frames[shown], np.array([plate.shape[:2] for plate in plates]).reshape(-1, 2), height, width)
    for plate, (x, y) in zip(reversed(plates), reversed(corners)):
        out[y : y + plate.shape[0], x : x + plate.shape[1]] = plate
    if opacity < 1:
        out = cv2.addWeighted(out, max(opacity, 0.0), np.ascontiguousarray(pixels), 1 - max(opacity, 0.0), 0)
    return out


# ------------------------------------------------------------------ boxes


def _frames(boxes: np.ndarray, line: int, height: int, width: int) -> np.ndarray:
    """(N, 4) int outer edges of the outlines: lines centred on the box's edges but wholly inside the picture."""
    start = np.round(boxes[:, :2] - line / 2)
    stop = np.round(boxes[:, 2:] + line / 2)
    size = np.array([width, height], dtype=np.float64)
    start = np.clip(start, 0, size - line)
    stop = np.clip(np.maximum(stop, start + line), line, size)
    return np.concatenate([start, stop], axis=1).astype(np.int64)


@lru_cache(maxsize=256)
def _strip(colour: Colour, gap: Colour, pattern: tuple[float, ...], thickness: int, length: int) -> np.ndarray:
    """(thickness, length, 3) piece of line, from which edges are copied: one copy is faster than many short dashes."""
    row = np.empty((length, 3), dtype=np.uint8)
    row[:] = colour
    if pattern:
        ends = np.cumsum(np.maximum(np.round(np.array(pattern) * 2 * thickness), 1))
        part = np.searchsorted(ends, np.arange(length) % ends[-1], side="right")
        row[part % 2 == 1] = gap
    return np.ascontiguousarray(np.broadcast_to(row, (thickness, length, 3)))


def _outline(out: np.ndarray, frame: Sequence[int], line: int, margin: int, strip: np.ndarray) -> None:
    """Copy ``strip`` along the four edges, ``margin`` pixels wider than the line on both sides."""
    x0, y0, x1, y1 = max(frame[0] - margin, 0), max(frame[1] - margin, 0), frame[2] + margin, frame[3] + margin
    thick = line + 2 * margin
    upright = strip.transpose(1, 0, 2)
    for y in (y0, max(y1 - thick, y0)):
        edge = out[y : y + thick, x0:x1]
        edge[:] = strip[: edge.shape[0], : edge.shape[1]]
    for x in (x0, max(x1 - thick, x0)):
        edge = out[y0:y1, x : x + thick]
        edge[:] = upright[: edge.shape[0], : edge.shape[1]]


def _tint(out: np.ndarray, frame: Sequence[int], colour: Colour, share: float) -> None:
    x0, y0, x1, y1 = frame
    inside = out[y0:y1, x0:x1]
    levels = np.arange(256)[:, None] * (1 - share) + np.array(colour) * share
    inside[:] = cv2.LUT(inside, np.round(levels).astype(np.uint8).reshape(256, 1, 3)).reshape(inside.shape)


# ------------------------------------------------------------------ labels


@lru_cache(maxsize=1024)
def _piece(text: str, colour: Colour, ink: Colour, size: int, first: bool, last: bool) -> np.ndarray:
    """(h, w, 3) part of a plate: text of font size ``size`` in ``ink`` on ``colour``, with the plate's rim."""
    scale, weight = size / _FONT_UNIT, max(1, round(size / 24))
    above, below = _line_height(scale, weight)
    (text_width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, weight)
    pad, space, rim = max(2, round(size * 0.2)), max(2, round(size * 0.14)), max(1, round(size / 28))
    left, right = pad if first else space, pad if last else space
    piece = np.empty((above + below + pad, left + text_width + right, 3), dtype=np.uint8)
    piece[:] = ink
    piece[rim:-rim, rim if first else 0 : -rim if last else None] = colour
    cv2.putText(piece, text, (left, above + pad // 2), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, weight, cv2.LINE_AA)
    return piece


@lru_cache(maxsize=64)
def _line_height(scale: float, weight: int) -> tuple[int, int]:
    (_, above), below = cv2.getTextSize("Ag0", cv2.FONT_HERSHEY_SIMPLEX, scale, weight)
    return above, below


def _plate(text: str, style: Style, size: int) -> np.ndarray:
    # Name and score are rendered apart: few different pieces make all plates, so nearly every piece is cached.
    name, gap, score = text.rpartition(" ")
    if not gap:
        return _piece(text, style.colour, style.ink, size, True, True)
    pieces = (_piece(name, style.colour, style.ink, size, True, False),
              _piece(score, style.colour, style.ink, size, False, True))  # fmt: skip
    return np.concatenate(pieces, axis=1)


def _fitting_plate(text: str, style: Style, size: int, height: int, width: int) -> np.ndarray:
    """A plate no larger than the picture: the text is cut, and in a tiny picture the plate itself."""
    # Only ASCII has glyphs in OpenCV's fonts, in all versions.
    text = text.encode("ascii", "replace").decode("ascii")
    plate = _plate(text, style, size)
    while plate.shape[1] > width and len(text) > 1:
        text = text[: max(1, min(len(text) - 1, len(text) * width // plate.shape[1]))].rstrip() or "."
        plate = _plate(text, style, size)
    return plate[:height, :width]


def _places(frames: np.ndarray, sizes: np.ndarray, height: int, width: int) -> list[tuple[int, int]]:
    """Left upper corners for plates of ``sizes`` (h, w), placed in order, inside the picture.

    Each takes the first of seven spots at its box that covers no plate placed before, or the one that covers least.
    """
    x0, y0, x1, y1 = frames.T
    h, w = sizes.T
    # Spots by preference: above, inside at the top, below, the same at the right edge, inside at the bottom.
    xs = np.stack([x0, x0, x0, x1 - w, x1 - w, x1 - w, x0], axis=1).clip(0, (width - w)[:, None])
    ys = np.stack([y0 - h, y0, y1, y0 - h, y0, y1, y1 - h], axis=1).clip(0, (height - h)[:, None])
    taken = np.zeros((height, width), dtype=bool)
    chosen: list[tuple[int, int]] = []
    for (tall, wide), spots in zip(sizes.tolist(), np.stack([xs, ys], axis=2).tolist()):
        least, place = tall * wide + 1, (0, 0)
        for x, y in spots:
            covered = int(np.count_nonzero(taken[y : y + tall, x : x + wide]))
            if covered < least:
                least, place = covered, (x, y)
            if not covered:
                break
        taken[place[1] : place[1] + tall, place[0] : place[0] + wide] = True
        chosen.append(place)
    return chosen
