"""The area of each class of a video over time, as a drawing that follows light and dark."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from cvdemo.detection.draw import PALETTE
from cvdemo.segmentation.labels import CAMVID_CLASSES, CAMVID_COLOURS, VOC_CLASSES, VOC_COLOURS

MOST_CLASSES = 8
LEAST = 0.05  # per cent on average; a line below lies on the axis
_WIDTH, _HEIGHT, _LEFT, _TOP = 720, 240, 44, 10
_DASHES = ("", "9 5", "3 4", "12 4 3 4")  # lines differ by more than their colour


def areas_html(rows: Sequence[tuple[float, Mapping[str, float]]]) -> str:
    """A line per class (the largest ones) of its share of the picture in per cent; rows: (seconds, {class: share})."""
    totals: dict[str, float] = {}
    for _, shares in rows:
        for name, share in shares.items():
            totals[name] = totals.get(name, 0.0) + share
    named = [name for name in totals if totals[name] >= LEAST * len(rows)]
    names = sorted(named, key=lambda name: -totals[name])[:MOST_CLASSES]
    if not names or len(rows) < 2:
        return '<p class="hint">No class but the background was found in this video.</p>'
    start, end = rows[0][0], rows[-1][0]
    top = max(1.0, max(max(shares.values(), default=0.0) for _, shares in rows))

    def x(time: float) -> float:
        return _LEFT + _WIDTH * (time - start) / max(end - start, 1e-9)

    def y(share: float) -> float:
        return _TOP + _HEIGHT * (1 - share / top)

    lines = []
    for number, name in enumerate(names):
        points = " ".join(f"{x(time):.1f},{y(shares.get(name, 0.0)):.1f}" for time, shares in rows)
        lines.append(f'<polyline points="{points}" {_stroke(name, number)}/>')
    grid = "".join(
        f'<line class="rule" x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{y(value) + 5:.1f}" text-anchor="end">{value:.0f}</text>'
        for value in (0.0, top / 2, top)
    )
    ends = (
        f'<text x="{_LEFT}" y="{_TOP + _HEIGHT + 20}">{start:.1f} s</text>'
        f'<text x="{_LEFT + _WIDTH}" y="{_TOP + _HEIGHT + 20}" text-anchor="end">{end:.1f} s</text>'
    )
    svg = (
        f'<svg viewBox="0 0 {_LEFT + _WIDTH + 12} {_TOP + _HEIGHT + 30}" role="img" '
        f'aria-label="Area of each class in per cent over time">{grid}{ends}{"".join(lines)}</svg>'
    )
    keys = "".join(
        f'<li><svg width="38" height="12" aria-hidden="true"><line x1="1" y1="6" x2="37" y2="6" '
        f"{_stroke(name, number)}/></svg>{html.escape(name)}</li>"
        for number, name in enumerate(names)
    )
    caption = '<p class="caption">Share of the picture in per cent, frame by frame.</p>'
    figure = f'<figure class="curve" style="max-width:900px">{svg}</figure>'
    return f'<div class="numbers"><ul class="legend">{keys}</ul>{figure}{caption}</div>'


def _stroke(name: str, number: int) -> str:
    dashes = _DASHES[number % len(_DASHES)]
    pattern = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'fill="none" stroke="{_colour(name, number)}" stroke-width="3"{pattern}'


def _colour(name: str, number: int) -> str:
    if name in VOC_CLASSES:
        red, green, blue = (int(value) for value in VOC_COLOURS[VOC_CLASSES.index(name)])
    elif name in CAMVID_CLASSES:
        red, green, blue = (int(value) for value in CAMVID_COLOURS[CAMVID_CLASSES.index(name)])
    else:
        red, green, blue = PALETTE[number % len(PALETTE)]
    return f"#{red:02x}{green:02x}{blue:02x}"
