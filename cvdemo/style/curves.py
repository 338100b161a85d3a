"""Line charts of the Style tab: losses over steps, statistics over channels. Lines differ in their dashes, too."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LOOKS = ("one", "two", "three", "four")
BINS = 160
CSS = """
.lines { margin: 0; max-width: 540px; }
.lines svg.plot { width: 100%; height: auto; display: block; }
.lines text { font-size: 14px; fill: var(--body-text-color); font-variant-numeric: tabular-nums; }
.lines :is(polyline, line) { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
.lines .one { stroke: #0b62b8; } .lines .two { stroke: #d55e00; stroke-dasharray: 7 4; }
.lines .three { stroke: #00795a; stroke-dasharray: 2 4; } .lines .four { stroke: #a3478f; stroke-dasharray: 10 3 2 3; }
.dark .lines .one { stroke: #5aa2e6; } .dark .lines .two { stroke: #ff8f45; }
.dark .lines .three { stroke: #2fd0a0; } .dark .lines .four { stroke: #e6a0cc; }
.lines line.rule, .lines line.level { stroke: var(--border-color-primary); stroke-width: 1; }
.lines line.level { stroke: var(--body-text-color-subdued); stroke-dasharray: 1 4; stroke-width: 1.5; }
.lines .keys { display: flex; flex-wrap: wrap; gap: 2px 18px; font-variant-numeric: tabular-nums; }
.lines .keys span { display: inline-flex; align-items: center; gap: 6px; white-space: nowrap; }
.lines figcaption { font-size: 0.88rem; color: var(--body-text-color-subdued); }
.projector .lines .keys, .projector .lines figcaption { font-size: 1.15rem; }
"""


@dataclass(frozen=True)
class Line:
    """One line of a chart. level: a value that is marked across the chart, such as a loss in balance."""

    name: str
    values: Sequence[float]
    level: float | None = None


def thinned(values: Sequence[float], bins: int = BINS) -> list[float]:
    """At most ``bins`` means of equal stretches, so that long runs are drawn as fast as short ones."""
    known = np.asarray(values, np.float64)
    if len(known) <= bins:
        return known.tolist()
    return [float(part.mean()) for part in np.array_split(known, bins)]


def chart(
    title: str,
    lines: Sequence[Line],
    ends: tuple[str, str],
    words: str = "",
    span: tuple[float, float] | None = None,
    *,
    last: bool = True,
) -> str:
    """Up to four lines over one axis, as an SVG figure with a key, which names their last values where ``last``.

    ends: what stands under the first and the last value.   span: ends of the upright axis; by default it holds all
    values and zero.   Values that are not finite are left out.
    """
    wide, left, right, top, base = 460, 48, 12, 12, 148
    shown = [(line, thinned(line.values), look) for line, look in zip(lines, LOOKS)]
    low, high = span or _span(
        [value for line, values, _ in shown for value in (*values, line.level or 0.0) if math.isfinite(value)]
    )

    def height(value: float) -> float:
        return base - (base - top) * (min(max(value, low), high) - low) / (high - low)

    drawn, keys = [], []
    for line, values, look in shown:
        step = (wide - left - right) / max(len(values) - 1, 1)
        points = [f"{left + index * step:.1f},{height(v):.1f}" for index, v in enumerate(values) if math.isfinite(v)]
        points = points * 2 if len(points) == 1 else points
        if line.level is not None:
            y = height(line.level)
            drawn.append(f'<line class="level" x1="{left}" x2="{wide - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<polyline class="{look}" stroke-linecap="round" points="{" ".join(points)}"/>')
        value = f" {values[-1]:.3g}" if last and values else ""
        sample = f'<svg width="30" height="10"><line class="{look}" x1="1" x2="29" y1="5" y2="5"/></svg>'
        keys.append(f"<span>{sample} {html.escape(line.name)}{value}</span>")
    ticks = "".join(
        f'<text x="{left - 6}" y="{height(value) + 5:.1f}" text-anchor="end">{value:.3g}</text>'
        for value in (low, high)
    )
    marks = (
        f'<text x="{left}" y="168">{html.escape(ends[0])}</text>'
        f'<text x="{wide - right}" y="168" text-anchor="end">{html.escape(ends[1])}</text>'
    )
    caption = f"<figcaption>{html.escape(words)}</figcaption>" if words else ""
    return (
        f'<figure class="lines"><div class="keys">{"".join(keys)}</div><svg class="plot" viewBox="0 0 {wide} 174" '
        f'role="img" aria-label="{html.escape(title)}"><line class="rule" x1="{left}" x2="{wide - right}" y1="{base}" '
        f'y2="{base}"/>{"".join(drawn)}{ticks}{marks}</svg>{caption}</figure>'
    )


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis that holds the values and zero, with two digits at most."""
    low, high = min(0.0, *values, 0.0), max(0.0, *values, 0.0)
    reach = max(high - low, 1e-9)
    unit = 10.0 ** math.floor(math.log10(reach)) / 2
    low, high = math.floor(low / unit) * unit, math.ceil(high / unit) * unit
    return low, high if high > low else low + unit
