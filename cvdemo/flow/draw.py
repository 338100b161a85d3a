"""A flow field as a picture: its colours, arrows, speed, tracks, occlusion, warp error, and the wheel that explains it.

Everything takes and returns (H, W, 3) uint8 RGB and leaves its arguments as they are.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.flow.colour import colour_wheel, flow_to_colour, known_mask, magnitude, wheel_mask

RIM, PLATE, INK = (20, 20, 20), (250, 250, 250), (16, 16, 16)
OCCLUDED = (230, 159, 0)  # orange of Okabe and Ito, striped, so that it differs without colour too
WHEEL_SHARE = 0.18  # of the picture's shorter side
_SHADES = 256
MOST_ARROWS = 1500
_LEAST_ARROW = 0.5  # pixels of motion
_ARROW_HUES = 48


def greyed(pixels: np.ndarray) -> np.ndarray:
    """The picture without its colours, so that those of the flow are the only ones."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return cv2.merge([grey, grey, grey])


def blend(under: np.ndarray, over: np.ndarray, opacity: float) -> np.ndarray:
    """``over`` with the given opacity, 0 to 1, on ``under``."""
    if opacity >= 1:
        return over.copy()
    if opacity <= 0:
        return under.copy()
    return cv2.addWeighted(over, opacity, under, 1 - opacity, 0)


def draw_colour(pixels: np.ndarray, flow: np.ndarray, maximum: float, opacity: float = 1.0) -> np.ndarray:
    """The colour code over the picture in grey. flow: (H, W, 2); maximum: pixels of the full colour."""
    colours = flow_to_colour(flow, maximum)
    return colours if opacity >= 1 else blend(greyed(pixels), colours, opacity)


def draw_arrows(
    pixels: np.ndarray, flow: np.ndarray, maximum: float, spacing: int = 24, scale: float = 1.0, width: int = 2
) -> np.ndarray:
    """Arrows on a grid, coloured by direction, over the picture in grey.

    Args:
        spacing: pixels between arrows, and more where there would be over 1,500 of them.
        scale: length of an arrow in pixels for each pixel of motion.
        width: of the lines. Motion under half a pixel, and the unknown, get a dot and nothing.
    """
    out = cv2.convertScaleAbs(greyed(pixels), alpha=0.62, beta=60)
    height, width_of = flow.shape[:2]
    spacing = max(spacing, math.ceil(math.sqrt(height * width_of / MOST_ARROWS)))
    rows = np.arange(spacing // 2, height, spacing)
    columns = np.arange(spacing // 2, width_of, spacing)
    if not len(rows) or not len(columns):
        return out
    roots = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    # the median of a small neighbourhood would be calmer, but an arrow should say what the field has at its root
    there = flow[roots[:, 1], roots[:, 0]]
    known = known_mask(there)
    roots, there = roots[known], there[known]
    length = magnitude(there)
    for x, y in roots[length < _LEAST_ARROW].tolist():
        cv2.circle(out, (x, y), max(1, width - 1), RIM, -1)
    moves = length >= _LEAST_ARROW
    lines = _arrow_lines(roots[moves], there[moves] * scale, width)
    cv2.polylines(out, list(lines), False, RIM, width + 2, cv2.LINE_AA)
    direction = np.arctan2(there[moves, 1], there[moves, 0])
    hue = np.floor(direction / (2 * np.pi) * _ARROW_HUES).astype(int) % _ARROW_HUES
    middle = (np.arange(_ARROW_HUES) + 0.5) * 2 * np.pi / _ARROW_HUES
    colours = flow_to_colour(np.stack([np.cos(middle), np.sin(middle)], axis=-1)[None].astype(np.float32), 1.0)[0]
    for index in np.unique(hue).tolist():  # one call a colour: a call an arrow takes longer than the drawing
        cv2.polylines(out, list(lines[hue == index]), False, colours[index].tolist(), width, cv2.LINE_AA)
    return out


def _arrow_lines(roots: np.ndarray, moved: np.ndarray, width: int) -> np.ndarray:
    """(N, 5, 2) int32: each arrow as one line from its root to the tip, and round the head back to the tip.

    roots, moved: (N, 2) x y in pixels. The head is as long as the line is wide, and at most half of the arrow.
    """
    moved = np.clip(moved, -4000, 4000).astype(np.float64)
    length = np.maximum(magnitude(moved), 1e-6)[:, None]
    head = np.clip((3.0 + 2 * width) / length, 0.15, 0.45) * moved
    side = np.stack([-head[:, 1], head[:, 0]], axis=-1)
    tips = roots + moved
    points = np.stack([roots.astype(np.float64), tips, tips - head + side, tips, tips - head - side], axis=1)
    return np.rint(points).astype(np.int32)


def _saturated(flow: np.ndarray) -> np.ndarray:
    """Displacements of length 1: their colours are full."""
    length = np.maximum(magnitude(flow), 1e-9)
    return np.asarray(flow / length[..., None], np.float32)


@functools.lru_cache(maxsize=1)
def _heat() -> np.ndarray:
    """(256, 3) uint8: black, purple, orange, light yellow; brighter is more."""
    scale = np.arange(_SHADES, dtype=np.uint8)[:, None]
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(scale, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)[:, 0])


def shaded(values: np.ndarray, maximum: float) -> np.ndarray:
    """(H, W) numbers from 0 to ``maximum`` as brightness and warmth; NaN is grey."""
    known = np.isfinite(values)
    plain = np.where(known, values, np.float32(0)).astype(np.float32)
    level = cv2.convertScaleAbs(plain, alpha=(_SHADES - 1) / max(maximum, 1e-12))
    out = cv2.LUT(cv2.merge([level, level, level]), _heat()[None])
    out[~known] = 128
    return np.asarray(out)


def draw_magnitude(flow: np.ndarray, maximum: float) -> np.ndarray:
    """Speed alone: dark is still, light yellow is ``maximum`` pixels or more, grey is not known."""
    known = known_mask(flow)
    with np.errstate(invalid="ignore", over="ignore"):
        speed = magnitude(flow)
    speed[~known] = np.nan
    return shaded(speed, maximum)


def draw_occlusion(pixels: np.ndarray, occluded: np.ndarray) -> np.ndarray:
    """The picture in grey, striped orange where a pixel has no partner in the other frame. occluded: (H, W) bool."""
    out = greyed(pixels)
    rows, columns = np.ogrid[: occluded.shape[0], : occluded.shape[1]]
    stripe = (rows + columns) % 10 < 3
    out[occluded] = OCCLUDED
    out[occluded & stripe] = tuple(value // 2 for value in OCCLUDED)
    return out


def draw_tracks(pixels: np.ndarray, starts: np.ndarray, ends: np.ndarray, width: int = 2) -> np.ndarray:
    """Points that were followed: a line from where each was, (N, 2) x y, to where it is, coloured by direction."""
    out = pixels.copy()
    if not len(starts):
        return out
    moved = np.asarray(ends - starts, np.float32)
    colours = flow_to_colour(_saturated(moved)[None], 1.0)[0].tolist()
    clipped = [np.clip(np.rint(part), -8000, 8000).astype(int).tolist() for part in (starts, ends)]
    for start, end, colour in zip(*clipped, colours):
        cv2.line(out, start, end, RIM, width + 2, cv2.LINE_AA)
        cv2.line(out, start, end, colour, width, cv2.LINE_AA)
        cv2.circle(out, end, width + 2, RIM, -1, cv2.LINE_AA)
        cv2.circle(out, end, width + 1, colour, -1, cv2.LINE_AA)
    return out


@functools.lru_cache(maxsize=16)
def _wheel(size: int) -> tuple[np.ndarray, np.ndarray]:
    return colour_wheel(size), wheel_mask(size)


def add_wheel(pixels: np.ndarray, maximum: float, projector: bool = False) -> np.ndarray:
    """The colour wheel on a plate in the lower right corner, with the number of pixels at its rim."""
    size, scale, thick = _inset(pixels, projector)
    words = f"rim {maximum:g} px"
    (wide, high), base = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    box_wide, box_high = max(size, wide) + 12, size + high + base + 16
    out, corner = _plate(pixels, box_wide, box_high)
    if corner is None:
        return out
    x, y = corner
    wheel, disc = _wheel(size)
    left, top = x + (box_wide - size) // 2, y + 6
    out[top : top + size, left : left + size][disc] = wheel[disc]
    cv2.circle(out, (left + size // 2, top + size // 2), size // 2, INK, 1, cv2.LINE_AA)
    place = (x + (box_wide - wide) // 2, y + box_high - base - 4)
    cv2.putText(out, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, thick, cv2.LINE_AA)
    return out


def add_scale(pixels: np.ndarray, maximum: float, unit: str = "px", projector: bool = False) -> np.ndarray:
    """The scale of ``shaded`` on a plate in the lower right corner: from 0 to ``maximum``."""
    size, scale, thick = _inset(pixels, projector)
    words = f"0 to {maximum:g} {unit}"
    (wide, high), base = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    bar_wide, bar_high = max(size, wide), max(8, size // 5)
    box_wide, box_high = bar_wide + 12, bar_high + high + base + 16
    out, corner = _plate(pixels, box_wide, box_high)
    if corner is None:
        return out
    x, y = corner
    ramp = np.linspace(0, _SHADES - 1, bar_wide).astype(int)
    out[y + 6 : y + 6 + bar_high, x + 6 : x + 6 + bar_wide] = _heat()[ramp][None]
    place = (x + (box_wide - wide) // 2, y + box_high - base - 4)
    cv2.putText(out, words, place, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, thick, cv2.LINE_AA)
    return out


def _inset(pixels: np.ndarray, projector: bool) -> tuple[int, float, int]:
    """Side of the wheel, size of the letters and their thickness, for a picture."""
    share = WHEEL_SHARE * (1.4 if projector else 1.0)
    size = int(np.clip(min(pixels.shape[:2]) * share, 40, 260))
    return size, max(0.38, size / 190), 1 if size < 150 else 2


def _plate(pixels: np.ndarray, wide: int, high: int) -> tuple[np.ndarray, tuple[int, int] | None]:
    """A copy with a light plate in its lower right corner, and the plate's corner; None where there is no room."""
    out = np.ascontiguousarray(pixels).copy()
    height, width = out.shape[:2]
    x, y = width - wide - 8, height - high - 8
    if x < 0 or y < 0:
        return out, None
    out[y : y + high, x : x + wide] = PLATE
    cv2.rectangle(out, (x, y), (x + wide - 1, y + high - 1), RIM, 1)
    return out, (x, y)


def beside(*pictures: np.ndarray, gap: int = 8) -> np.ndarray:
    """Pictures of one height next to each other."""
    height = max(picture.shape[0] for picture in pictures)
    parts: list[np.ndarray] = []
    for picture in pictures:
        missing = height - picture.shape[0]
        if missing:
            picture = np.pad(picture, ((0, missing), (0, 0), (0, 0)), constant_values=255)
        parts += [np.full((height, gap, 3), 255, np.uint8), picture]
    return np.concatenate(parts[1:], axis=1)
