"""Where boxes come from: the cell, anchor or proposal behind each box, its pyramid level, and the way to the final box.

Everything is read off ``RawDetections``, which one network run returned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.detection.candidates import Candidates, name_of
from cvdemo.detection.draw import PALETTE, PATTERNS, WHITE, Style, draw_boxes, make_style
from cvdemo.detection.nms import iou_matrix
from cvdemo.detection.raw import RawDetections

Show = Literal["found", "best", "proposals"]
Word = Literal["cell", "anchor", "proposal"]

MOST_LABELS = 15  # beyond this, only the best boxes are named
PROPOSAL_STYLE = make_style(PALETTE[1], PATTERNS[1])
_PADDING = 32  # what the networks' inputs are padded to a multiple of


def level_style(level: int, *, before: bool = False) -> Style:
    """Colour by pyramid level; what comes before refinement is dashed, what comes after is solid."""
    colour = PALETTE[(0, 1, 2, 3, 6, 10)[level % 6]] if level >= 0 else (190, 190, 190)
    return make_style(colour, PATTERNS[1 if before else 0])


def origin_word(raw: RawDetections, family: str = "") -> Word:
    """What this detector's boxes start from. family: the registry's words for it."""
    if raw.proposals is not None:
        return "proposal"
    return "cell" if "anchor-free" in family else "anchor"


# ------------------------------------------------------------------ numbers


@dataclass(frozen=True, eq=False)
class Refinement:
    """From origin to box, for N rows: distance of the two centres in pixels, IoU of the two, and their area ratio."""

    shift: np.ndarray
    iou: np.ndarray
    growth: np.ndarray


def refinement(candidates: Candidates, rows: np.ndarray) -> Refinement:
    """How far each row's box lies from its origin. ValueError when the candidates have no origins."""
    if candidates.origins is None:
        raise ValueError("these candidates have no origins")
    before, after = candidates.origins[rows].astype(np.float64), candidates.boxes[rows].astype(np.float64)
    iou = np.array([float(iou_matrix(a[None], b[None])[0, 0]) for a, b in zip(before, after)])
    areas = _area(before)
    growth = np.divide(_area(after), areas, out=np.zeros(len(rows)), where=areas > 0)
    return Refinement(np.hypot(*(_centres(after) - _centres(before)).T), iou, growth)


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _centres(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def per_level(candidates: Candidates, rows: np.ndarray, levels: int) -> np.ndarray:
    """(levels,) number of the rows that come from each pyramid level."""
    level = candidates.level[rows]
    return np.bincount(level[level >= 0], minlength=levels)[:levels]


def best_rows(candidates: Candidates, most: int, class_ids: frozenset[int] | None = None) -> np.ndarray:
    """Rows of the best ``most`` candidates before any suppression, of the chosen classes."""
    rows = np.argsort(-candidates.scores, kind="stable")
    if class_ids is not None:
        rows = rows[np.isin(candidates.labels[rows], list(class_ids))]
    return rows[:most]


# ------------------------------------------------------------------ the grid of a level


@dataclass(frozen=True)
class Grid:
    """One feature map laid over the picture: its cells' width and height in pixels of the picture, and their number."""

    across: float
    down: float
    columns: int
    rows: int

    def cells_of(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(row, column) of the cell each (N, 4) origin is centred in.

        Some networks count from the cell's middle, others from its corner; which one shows in the centres themselves.
        """
        position = _centres(boxes.astype(np.float64)) / [self.across, self.down]
        part = np.abs(position - np.round(position))
        in_the_middle = not len(part) or float(np.median(part)) > 0.25
        index = np.floor(position + 1e-6) if in_the_middle else np.round(position)
        index = index.clip(0, [self.columns - 1, self.rows - 1]).astype(np.int64)
        return index[:, 1], index[:, 0]


def grid_of(raw: RawDetections, level: int) -> Grid:
    """The grid of a pyramid level. IndexError for a level that does not exist."""
    rows, columns, stride = raw.levels[level]
    height, width = raw.input_size
    across = stride
    for multiple in (1, _PADDING):
        padded = math.ceil(height / multiple) * multiple, math.ceil(width / multiple) * multiple
        if abs(padded[0] / rows - stride) < 1e-3:
            across = padded[1] / columns  # sizes are rounded up on coarse maps, differently in the two directions
    to_picture = raw.candidates.width / width, raw.candidates.height / height
    return Grid(across * to_picture[0], stride * to_picture[1], columns, rows)


def cell_scores(raw: RawDetections, level: int) -> np.ndarray:
    """(rows, columns) float32: the best score any candidate of each cell of a level got, 0 for none."""
    grid = grid_of(raw, level)
    scores = np.zeros((grid.rows, grid.columns), np.float32)
    candidates = raw.candidates
    mine = np.flatnonzero(candidates.level == level)
    if candidates.origins is not None and len(mine):
        np.maximum.at(scores, grid.cells_of(candidates.origins[mine]), candidates.scores[mine])
    return scores


# ------------------------------------------------------------------ drawing


def draw_origins(
    pixels: np.ndarray,
    candidates: Candidates,
    rows: np.ndarray,
    strides: tuple[float, ...],
    *,
    arrows: bool = True,
    scale: float = 1.0,
    line_width: int = 2,
    text_scale: float = 1.0,
) -> np.ndarray:
    """Origins dashed, refined boxes solid, an arrow from the middle of the one to the middle of the other.

    Colour tells the level; the best boxes' labels name it by its stride. ``arrows`` False draws the origins alone.
    ``scale``: pixels of ``pixels`` per pixel of the candidates' picture. Returns a new (H, W, 3) uint8 array.
    """
    if candidates.origins is None:
        raise ValueError("these candidates have no origins")
    rows = np.asarray(rows, dtype=np.int64)[::-1]  # the best on top
    before, after = (boxes[rows] * np.float32(scale) for boxes in (candidates.origins, candidates.boxes))
    texts = []
    for rank, row in zip(reversed(range(len(rows))), rows):
        level = int(candidates.level[row])
        stride = f", stride {strides[level]:g}" if 0 <= level < len(strides) else ""
        named = f"{name_of(candidates.labels[row])} {candidates.scores[row]:.2f}{stride}"
        texts.append(named if rank < MOST_LABELS else "")
    levels = candidates.level[rows].tolist()
    shown, words = [level_style(level, before=True) for level in levels], texts
    boxes = before
    if arrows:
        boxes = np.concatenate([before, after])
        shown, words = shown + [level_style(level) for level in levels], [""] * len(rows) + texts
    out = draw_boxes(pixels, boxes, shown, words, line_width=line_width, text_scale=text_scale)
    if arrows:
        _draw_arrows(out, before, after, [level_style(level) for level in levels], line_width)
    return out


def _draw_arrows(out: np.ndarray, before: np.ndarray, after: np.ndarray, styles: list[Style], width: int) -> None:
    line = max(1, round(width * max(1.0, max(out.shape[:2]) / 1000)))
    for start, stop, style in zip(_centres(before), _centres(after), styles):
        a, b = (tuple(np.round(point).astype(int).tolist()) for point in (start, stop))
        length = max(math.dist(a, b), 1.0)
        tip = min(0.5, 12.0 / length)
        for colour, thickness in ((style.ink, line + 2), (style.colour, line)):
            cv2.arrowedLine(out, a, b, colour, thickness, cv2.LINE_AA, tipLength=tip)
            cv2.circle(out, a, line + (2 if colour == style.ink else 1), colour, -1, cv2.LINE_AA)


def draw_proposals(
    pixels: np.ndarray, raw: RawDetections, most: int, *, scale: float = 1.0, line_width: int = 2,
    text_scale: float = 1.0,
) -> np.ndarray:  # fmt: skip
    """The best ``most`` regions a two-stage detector's first stage proposed, the better ones labelled by objectness.

    ValueError for a one-stage detector. Returns a new (H, W, 3) uint8 array.
    """
    if raw.proposals is None or raw.objectness is None:
        raise ValueError("a one-stage detector has no proposals")
    count = min(most, len(raw.proposals))
    boxes, scores = raw.proposals[:count][::-1] * np.float32(scale), raw.objectness[:count][::-1]
    texts = [f"object {score:.2f}" if count - rank <= MOST_LABELS else "" for rank, score in enumerate(scores)]
    return draw_boxes(pixels, boxes, [PROPOSAL_STYLE] * count, texts, line_width=line_width, text_scale=text_scale)


def draw_grid(pixels: np.ndarray, raw: RawDetections, level: int, *, scale: float = 1.0) -> np.ndarray:
    """The picture under the grid of one level; a cell is the brighter, the better its best candidate scored.

    Proposals belong to no cell: of a two-stage detector only the lines are drawn. Returns a new array.
    """
    grid = grid_of(raw, level)
    height, width = pixels.shape[:2]
    xs, ys = (np.round(np.arange(n + 1) * size * scale).astype(int)
              for n, size in ((grid.columns, grid.across), (grid.rows, grid.down)))  # fmt: skip
    out = cv2.addWeighted(pixels, 0.55, np.zeros_like(pixels), 0.45, 0)
    if raw.proposals is None:
        scores = cell_scores(raw, level)
        colour = np.array(level_style(level).colour, np.float32)
        for row, column in np.argwhere(scores > 0).tolist():
            window = out[ys[row] : ys[row + 1], xs[column] : xs[column + 1]]
            share = 0.15 + 0.6 * float(scores[row, column])
            window[:] = (window * (1 - share) + colour * share).astype(np.uint8)
    lines = out.copy()
    for x in xs[xs < width].tolist():
        cv2.line(lines, (x, 0), (x, height), WHITE, 1)
    for y in ys[ys < height].tolist():
        cv2.line(lines, (0, y), (width, y), WHITE, 1)
    return cv2.addWeighted(lines, 0.35, out, 0.65, 0)
