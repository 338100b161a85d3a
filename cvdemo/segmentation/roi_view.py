"""RoIPool and RoIAlign drawn side by side on the feature map: box, quantised box, bins, sampling points, outputs.

The true box is a solid line in both drawings. RoIPool's whole-cell regions are dashed, and the cells its values came
from are framed; RoIAlign's sampling points are dots. Lengths are em of the page's text: nothing shrinks below it.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.segmentation.linear_map import Cell
from cvdemo.segmentation.roi import Aligned, Box, Pooled
from cvdemo.segmentation.upsampling_view import (
    CHOSEN_COLOUR,
    MINUS,
    PARTNER_COLOUR,
    TIMES,
    Mark,
    map_table,
    number,
    panel,
    place,
    said,
)

MOST_NUMBERS = 12  # cells across or down with their numbers in them
MOST_CELLS = 196  # above that the tints are one small picture instead of a rectangle each
_WIDE = 30.0  # em: the width of a drawing without numbers
_NUMBERED = 3.2  # em: a cell with a number in it
_LEAST_GRID = 0.8  # em: smaller cells would be all lines
MOST_DOTS = 1200  # points; above that only a chosen bin's are drawn
MOST_ROWS = 16  # points in the table of a bin
_TINT = 0.45
_TINT_RGB = (0x3A, 0x8F, 0xD8)  # between the page's two blues: an embedded picture cannot follow the theme
_GRID = "stroke:currentColor;stroke-opacity:0.25;stroke-width:1;fill:none"
_TRUE = "fill:none;stroke:currentColor;stroke-width:2.5"
_QUANTISED = f"fill:none;stroke:{PARTNER_COLOUR};stroke-width:3;stroke-dasharray:7 5"
_POOL_BIN = f"fill:none;stroke:{PARTNER_COLOUR};stroke-width:1.5;stroke-dasharray:4 3"
_WINNER = f"fill:none;stroke:{PARTNER_COLOUR};stroke-width:3"  # no fill: the number below must stay legible
_ALIGN_BIN = f"fill:none;stroke:{CHOSEN_COLOUR};stroke-width:1.5"
_POINT = f"fill:{CHOSEN_COLOUR};stroke:var(--background-fill-primary,#fff);stroke-width:0.8"
_CHOSEN_BIN = f"fill:{CHOSEN_COLOUR};fill-opacity:0.22;stroke:none"


def _window(spans: Sequence[tuple[float, float]], size: int) -> tuple[int, int]:
    """First cell and end of what is drawn along an axis: the spans and a cell around them, at most 2 beyond the map."""
    low, high = math.floor(min(span[0] for span in spans)), math.ceil(max(span[1] for span in spans))
    first = max(low, -2) if low < 0 else min(max(low - 1, 0), size - 1)
    end = min(high, size + 2) if high > size else max(min(high + 1, size), 1)
    return min(first, size - 1), max(end, 1)


class _Canvas:
    """A window of the map: x1 y1 x2 y2 in whole cells, and how many em a cell is wide."""

    def __init__(self, features: np.ndarray, boxes: Sequence[Box]) -> None:
        rows, columns = features.shape
        self.x1, self.x2 = _window([(box[0], box[2]) for box in boxes], columns)
        self.y1, self.y2 = _window([(box[1], box[3]) for box in boxes], rows)
        if max(rows, columns) <= MOST_NUMBERS:  # small maps are shown whole
            self.x1, self.y1 = min(self.x1, 0), min(self.y1, 0)
            self.x2, self.y2 = max(self.x2, columns), max(self.y2, rows)
        self.across, self.down = self.x2 - self.x1, self.y2 - self.y1
        self.numbered = max(self.across, self.down) <= MOST_NUMBERS + 2
        self.cell = _NUMBERED if self.numbered else _WIDE / max(self.across, self.down)
        self.features = features

    def rectangle(self, box: Sequence[float], style: str, extra: str = "") -> str:
        """A box in cells."""
        x, y = (box[0] - self.x1) * self.cell, (box[1] - self.y1) * self.cell
        width, height = (box[2] - box[0]) * self.cell, (box[3] - box[1]) * self.cell
        return (
            f'<rect x="{x:.2f}em" y="{y:.2f}em" width="{width:.2f}em" height="{height:.2f}em" style="{style}"{extra}/>'
        )

    def dot(self, x: float, y: float, radius: float) -> str:
        """A sampling point in cells."""
        middle = f'cx="{(x - self.x1) * self.cell:.2f}em" cy="{(y - self.y1) * self.cell:.2f}em"'
        return f'<circle class="point" {middle} r="{radius:.2f}em" style="{_POINT}"/>'

    def ground(self) -> str:
        """Cells tinted by their value, their numbers where there is room, and the grid."""
        rows, columns = self.features.shape
        left, top = max(self.x1, 0), max(self.y1, 0)
        right, bottom = min(self.x2, columns), min(self.y2, rows)
        shown = self.features[top:bottom, left:right]
        low, high = min(float(shown.min()), 0.0), float(shown.max())
        strength = (shown - low) / (high - low) if high > low else np.zeros_like(shown)
        if shown.size > MOST_CELLS:
            grid = self._grid(left, top, right, bottom) if self.cell >= _LEAST_GRID else ""
            return self._tints_as_picture(strength, left, top) + grid
        body = ""
        for row, line in enumerate(strength.tolist()):
            for column, share in enumerate(line):
                x, y = left + column, top + row
                style = f"fill:{CHOSEN_COLOUR};fill-opacity:{_TINT * share:.2f};{_GRID.replace('fill:none', '')}"
                body += self.rectangle((x, y, x + 1, y + 1), style)
                if self.numbered:
                    body += self._number(x, y, float(shown[row, column]))
        return body

    def _number(self, x: int, y: int, value: float) -> str:
        across, down = (x - self.x1 + 0.5) * self.cell, (y - self.y1) * self.cell + 1.2
        middle = f'x="{across:.2f}em" y="{down:.2f}em" text-anchor="middle"'
        return f'<text {middle} fill="currentColor">{_fixed(value, 2)}</text>'

    def _grid(self, left: int, top: int, right: int, bottom: int) -> str:
        columns = [self.rectangle((x, top, x + 1, bottom), _GRID) for x in range(left, right, 2)]
        rows = [self.rectangle((left, y, right, y + 1), _GRID) for y in range(top, bottom, 2)]
        return "".join(columns + rows)

    def _tints_as_picture(self, strength: np.ndarray, left: int, top: int) -> str:
        pixels = np.empty((*strength.shape, 4), np.uint8)
        pixels[..., :3] = _TINT_RGB[::-1]
        pixels[..., 3] = np.round(255 * 1.6 * _TINT * strength)
        _, data = cv2.imencode(".png", pixels)
        place = f'x="{(left - self.x1) * self.cell:.2f}em" y="{(top - self.y1) * self.cell:.2f}em"'
        size = f'width="{strength.shape[1] * self.cell:.2f}em" height="{strength.shape[0] * self.cell:.2f}em"'
        return (
            f'<image {place} {size} preserveAspectRatio="none" style="image-rendering:pixelated" '
            f'href="data:image/png;base64,{base64.b64encode(data.tobytes()).decode()}"/>'
        )

    def svg(self, title: str, description: str, body: str) -> str:
        """The drawing with its heading; it scrolls sideways where there is no room."""
        width, height = self.across * self.cell, self.down * self.cell
        return (
            f'<figure style="margin:0;max-width:100%"><figcaption><b>{html.escape(title)}</b></figcaption>'
            f'<div style="overflow-x:auto;padding:3px"><svg class="roi" xmlns="http://www.w3.org/2000/svg" role="img" '
            f'style="display:block;width:{width:.2f}em;height:{height:.2f}em;font-size:max(14px,1em);color:inherit">'
            f"<title>{html.escape(title)}</title><desc>{html.escape(description)}</desc>"
            f"{self.ground()}{body}</svg></div></figure>"
        )


def pool_figure(pooled: Pooled, chosen: tuple[int, int] | None = None, around: Sequence[Box] = ()) -> str:
    """RoIPool on the map: the true box, the whole cells taken for it, the bins, and the cells with the largest values.

    chosen: row and column of a bin to fill.   around: further boxes, in cells, that the drawing must have room for.
    """
    canvas = _Canvas(pooled.features, [*pool_boxes(pooled), *around])
    body = ""
    for i, (top, bottom) in enumerate(pooled.row_bins.tolist()):
        for j, (left, right) in enumerate(pooled.column_bins.tolist()):
            if (i, j) == chosen:
                body += canvas.rectangle((left, top, right, bottom), _CHOSEN_BIN)
            body += canvas.rectangle((left, top, right, bottom), _POOL_BIN)
            row, column = pooled.winners[i, j].tolist()
            if row >= 0:
                body += canvas.rectangle((column, row, column + 1, row + 1), _WINNER, ' class="winner"')
    body += canvas.rectangle(pooled.quantised, _QUANTISED) + canvas.rectangle(pooled.region, _TRUE)
    return canvas.svg("RoIPool", shift_sentence(pooled), body)


def align_figure(aligned: Aligned, chosen: tuple[int, int] | None = None, around: Sequence[Box] = ()) -> str:
    """RoIAlign on the map: the box unrounded, its bins and the sampling points; arguments as ``pool_figure``."""
    (x1, y1, x2, y2), true = align_boxes(aligned)
    canvas = _Canvas(aligned.features, [(x1, y1, x2, y2), true, *around])
    height, width = aligned.bin_size
    rows, columns = aligned.values.shape
    body = ""
    for i in range(rows):
        for j in range(columns):
            left, top = x1 + j * width, y1 + i * height
            if (i, j) == chosen:
                body += canvas.rectangle((left, top, left + width, top + height), _CHOSEN_BIN)
            body += canvas.rectangle((left, top, left + width, top + height), _ALIGN_BIN)
    body += canvas.rectangle(true, _TRUE)
    radius = min(0.25, max(0.17, 0.12 * canvas.cell))
    points = aligned.points
    if points.size > 2 * MOST_DOTS:
        points = points[chosen] if chosen is not None else points[:0]
    for y, x in (points.reshape(-1, 2)[:MOST_DOTS] + 0.5).tolist():
        if canvas.x1 <= x <= canvas.x2 and canvas.y1 <= y <= canvas.y2:
            body += canvas.dot(x, y, radius)
    return canvas.svg("RoIAlign", align_sentence(aligned), body)


def pool_boxes(pooled: Pooled) -> tuple[Box, Box]:
    """What RoIPool's drawing shows, in cells: the true box and the quantised one."""
    x1, y1, x2, y2 = (float(value) for value in pooled.quantised)
    return pooled.region, (x1, y1, x2, y2)


def align_boxes(aligned: Aligned) -> tuple[Box, Box]:
    """What RoIAlign's drawing shows, in cells: the box that is read, and the true one."""
    # A point's index coordinate is half a cell less than its position in cells.
    x1, y1, x2, y2 = (value + 0.5 for value in aligned.region)
    across, down = aligned.scale
    box = aligned.box
    return (x1, y1, x2, y2), (box[0] * across, box[1] * down, box[2] * across, box[3] * down)


def shift_sentence(pooled: Pooled) -> str:
    """By how many picture pixels rounding to whole cells moved the box, and what it does to the bins."""
    shifts = pooled.shift()
    right, down = pooled.centre_shift()
    if any(round(abs(value), 1) for value in shifts):
        edges = ", ".join(f"{name} {_signed(value)}" for name, value in zip(("left", "top", "right", "bottom"), shifts))
        first = (
            f"RoIPool rounds the box to whole cells, which moves its edges by {edges} picture pixels (positive: right "
            f"or down) and its centre by {_signed(right)} and {_signed(down)}."
        )
    else:
        first = "The box lies on whole cells: rounding it moves nothing."
    return f"{first} {_bins_sentence(pooled)}"


def _bins_sentence(pooled: Pooled) -> str:
    x1, y1, x2, y2 = pooled.quantised
    rows, columns = pooled.values.shape
    exact = f"{number((x2 - x1) / columns)} x {number((y2 - y1) / rows)}"
    if (x2 - x1) % columns == 0 and (y2 - y1) % rows == 0:
        return f"Its bins are {exact} cells (across x down), so they need no rounding."
    wide, high = (_either(np.diff(bins, axis=1)) for bins in (pooled.column_bins, pooled.row_bins))
    shared = " and may share cells" if pooled.sections == "overlapping" else ""
    return f"Its bins should be {exact} cells (across x down); in whole cells they are {wide} x {high}{shared}."


def _either(sizes: np.ndarray) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    return str(low) if low == high else f"{low} to {high}"


def align_sentence(aligned: Aligned) -> str:
    """What RoIAlign reads, and where the old form without the half-cell shift goes wrong."""
    rows, columns, down, across = aligned.points.shape[:4]
    word = "mean" if aligned.reduce == "mean" else "largest"
    text = (
        f"Nothing is rounded: {rows} x {columns} bins of {down} x {across} points, each between four cells; a bin's "
        f"value is the {word} of its points."
    )
    if aligned.points.size > 2 * MOST_DOTS:
        text += " They are too many to draw: only a chosen bin's are shown."
    if aligned.half_pixel:
        return text
    dx, dy = (0.5 / factor for factor in aligned.scale)
    return f"{text} Without the half-cell shift all points lie {number(dx)} and {number(dy)} picture pixels too far on."


def _fixed(value: float, digits: int) -> str:
    """Equally many digits for all cells of a map, as long as that stays short."""
    return f"{value:.{digits}f}".replace("-", MINUS) if abs(value) < 100 else number(value)


def _signed(value: float) -> str:
    return f"+{value:.1f}" if round(value, 1) > 0 else f"{MINUS}{abs(value):.1f}" if round(value, 1) < 0 else "0"


def bin_sentence(pooled: Pooled, aligned: Aligned, chosen: tuple[int, int]) -> str:
    """How one output value comes about in both methods."""
    i, j = chosen
    top, bottom = pooled.row_bins[i].tolist()
    left, right = pooled.column_bins[j].tolist()
    row, column = pooled.winners[i, j].tolist()
    start = f"Output {place(chosen)}. "
    if row < 0:
        first = "RoIPool: no cell of the map lies in this bin, so it is 0. "
    else:
        first = (
            f"RoIPool: the largest of {bottom - top} x {right - left} cells, {number(float(pooled.values[i, j]))} at "
            f"{place((row, column))}. "
        )
    values = aligned.point_values[i, j].reshape(-1)
    shown = ", ".join(number(float(value)) for value in values[:9]) + (", …" if len(values) > 9 else "")
    word = "mean" if aligned.reduce == "mean" else "largest"
    second = f"RoIAlign: the {word} of {shown or 'no points'} is {number(float(aligned.values[i, j]))}."
    return start + first + second


def points_table(aligned: Aligned, chosen: tuple[int, int]) -> str:
    """The sampling points of one bin: position in cells, the four cells with their weights, and the value read."""
    points = (aligned.points[chosen] + 0.5).reshape(-1, 2)
    cells = aligned.corners[chosen].reshape(-1, 4, 2)
    weights = aligned.weights[chosen].reshape(-1, 4)
    values = aligned.point_values[chosen].reshape(-1)
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Point at (x, y)", f"Cells {TIMES} weights", "Value"))
    body = ""
    for k in range(min(len(points), MOST_ROWS)):
        y, x = points[k].tolist()
        parts = [
            f"{number(float(aligned.features[row, column]))} {TIMES} {share:.2f}"
            for (row, column), share in zip(cells[k].tolist(), weights[k].tolist())
            if share >= 0.005
        ]
        terms = " + ".join(parts) or "outside"
        body += f"<tr><td>{x:.2f}, {y:.2f}</td><td>{terms}</td><td>{number(float(values[k]))}</td></tr>"
    if len(points) > MOST_ROWS:
        body += f'<tr><td colspan="3">and {len(points) - MOST_ROWS} more points</td></tr>'
    return f'<div class="numbers"><div class="wide"><table><tr>{head}</tr>{body}</table></div></div>'


def legend() -> str:
    """What the lines mean."""
    samples = (
        (_TRUE, "the box as the network predicted it"),
        (_QUANTISED, "whole cells taken for it, and RoIPool's bins"),
        (_WINNER, "the cell with the largest value of a bin"),
        (_ALIGN_BIN, "RoIAlign's bins, unrounded"),
    )
    items = "".join(
        f'<li><svg width="38" height="16" aria-hidden="true"><rect x="2" y="3" width="34" height="10" style="{style}"/>'
        f"</svg>{html.escape(words)}</li>"
        for style, words in samples
    )
    dot = f'<li><svg width="16" height="16" aria-hidden="true"><circle cx="8" cy="8" r="5" style="{_POINT}"/></svg>'
    return f'<ul class="legend">{items}{dot}sampling point</li></ul>'


def roi_panel(pooled: Pooled, aligned: Aligned, chosen: tuple[int, int] | None = None) -> str:
    """Both methods: drawings, outputs, what quantisation moved, and one bin in numbers if chosen (row, column).

    The two must have the same number of bins. Raises ValueError otherwise, and for a bin that does not exist.
    """
    if pooled.values.shape != aligned.values.shape:
        raise ValueError(f"the outputs are {pooled.values.shape} and {aligned.values.shape}")
    rows, columns = pooled.values.shape
    if chosen is not None and not (0 <= chosen[0] < rows and 0 <= chosen[1] < columns):
        raise ValueError(f"there is no bin {chosen} among {rows} x {columns}")
    marks: dict[Cell, Mark] = {chosen: Mark("chosen", 0.6, "chosen bin")} if chosen is not None else {}
    tables = [
        map_table([[_fixed(value, 3) for value in line] for line in values.tolist()], f"{name}'s output", marks)
        for values, name in ((pooled.values, "RoIPool"), (aligned.values, "RoIAlign"))
    ]
    text = (
        panel(pool_figure(pooled, chosen, align_boxes(aligned)), align_figure(aligned, chosen, pool_boxes(pooled)))
        + legend()
        + panel(*tables)
    )
    text += said(shift_sentence(pooled)) + said(align_sentence(aligned))
    if chosen is not None:
        text += said(bin_sentence(pooled, aligned, chosen)) + points_table(aligned, chosen)
    return text
