"""How the playground of losses is drawn: points, arrows downhill, and the rings the margin means."""

from __future__ import annotations

import html
import math

import numpy as np

from cvdemo.faces.playground import HIGH, NAMES, ON_DIRECTIONS, WIDE, Moment
from cvdemo.ui.plane import handle

UNIT = 130.0  # of the view box, for one unit of the plane
SIZE = (2 * WIDE * UNIT, 2 * HIGH * UNIT)
COLOURS = {"anchor": "var(--tone-7)", "positive": "var(--tone-2)", "negative": "var(--tone-1)"}
SHORTEST, LONGEST = 0.02, 1.2  # units: shorter arrows are not drawn, longer ones are cut and marked
MARKS = {
    "anchor": '<circle r="13" style="fill:{}"/>',
    "positive": '<circle r="13" style="fill:{}"/>',
    "negative": '<rect x="-12" y="-12" width="24" height="24" rx="3" style="fill:{}"/>',
}


def at(point: np.ndarray) -> tuple[float, float]:
    """A point of the plane (y up) in the drawing (y down)."""
    return float((point[0] + WIDE) * UNIT), float((HIGH - point[1]) * UNIT)


def from_shares(x: float, y: float) -> np.ndarray:
    """A place in shares of the drawing's sides as a point of the plane."""
    return np.array([(2 * x - 1) * WIDE, (1 - 2 * y) * HIGH])


def svg(body: str, title: str, size: tuple[float, float] = SIZE) -> str:
    """A drawing of the plane, with the arrows' heads at hand."""
    return (
        f'<svg viewBox="0 0 {size[0]:g} {size[1]:g}" xmlns="http://www.w3.org/2000/svg" role="group" '
        f'aria-label="{html.escape(title)}">{body}</svg>'
    )


def arrow(start: np.ndarray, move: np.ndarray, colour: str) -> str:
    """An arrow from a point of the plane; dashed where it had to be cut short."""
    length = float(np.linalg.norm(move))
    if length < SHORTEST:
        return ""
    cut = length > LONGEST
    x1, y1 = at(start)
    x2, y2 = at(start + move * (LONGEST / length if cut else 1.0))
    angle = math.atan2(y2 - y1, x2 - x1)
    wings = " ".join(
        f"{x2 - 15 * math.cos(angle + turn):.1f},{y2 - 15 * math.sin(angle + turn):.1f}" for turn in (0.42, -0.42)
    )
    dash = " stroke-dasharray:9 5;" if cut else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" style="stroke:{colour};stroke-width:4;{dash}"/>'
        f'<polygon points="{x2:.1f},{y2:.1f} {wings}" style="fill:{colour}"/>'
    )


def ring(centre: np.ndarray, radius: float, words: str, dashed: bool = False) -> str:
    """A circle on the plane with its meaning written at its top."""
    if radius <= 0:
        return ""
    x, y = at(centre)
    top = min(max(y - radius * UNIT - 6, 18.0), SIZE[1] - 8)
    kind = "soft dashed" if dashed else "soft"
    return (
        f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius * UNIT:.1f}"/>'
        f'<text class="plate" x="{x:.1f}" y="{top:.1f}" text-anchor="middle">{html.escape(words)}</text>'
    )


def axes() -> str:
    """The plane's two axes."""
    return (
        f'<line class="axis" x1="0" x2="{SIZE[0]:g}" y1="{SIZE[1] / 2:g}" y2="{SIZE[1] / 2:g}"/>'
        f'<line class="axis" y1="0" y2="{SIZE[1]:g}" x1="{SIZE[0] / 2:g}" x2="{SIZE[0] / 2:g}"/>'
    )


def _guides(moment: Moment) -> str:
    """What the chosen loss compares: rings about the anchor, or directions from the middle."""
    anchor, settings = moment.points[0], moment.settings
    if settings.loss == "contrastive":
        return ring(anchor, settings.margin, "margin m")
    if settings.loss == "triplet":
        outer = math.sqrt(moment.near**2 + settings.margin)
        return ring(anchor, moment.near, "as far as the positive") + ring(anchor, outer, "plus the margin", dashed=True)
    middle = np.zeros(2)
    rays = "".join(
        '<line class="soft dashed" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'.format(*at(middle), *at(point))
        for point in moment.points
    )
    return ring(middle, 1.0, "only directions count") + rays


def picture(moment: Moment) -> str:
    """The plane with three handles, the arrows of the next step, and the guides."""
    lines = ""
    if moment.settings.loss not in ON_DIRECTIONS:
        for other, name in ((1, "positive"), (2, "negative")):
            (x1, y1), (x2, y2) = at(moment.points[0]), at(moment.points[other])
            lines += (
                f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                f'style="stroke:{COLOURS[name]};stroke-width:2;stroke-opacity:0.6;stroke-dasharray:3 5"/>'
            )
    moves = -moment.settings.rate * moment.gradient
    arrows = "".join(arrow(point, move, COLOURS[name]) for name, point, move in zip(NAMES, moment.points, moves))
    points = ""
    for name, point in zip(NAMES, moment.points):
        said = f"{name.capitalize()} at {point[0]:.2f}, {point[1]:.2f}; arrow keys move it"
        body = MARKS[name].format(COLOURS[name]) + (
            f'<text class="plate" y="34" text-anchor="middle" aria-hidden="true">{name}</text>'
        )
        points += handle(name, *at(point), said, body)
    return svg(axes() + _guides(moment) + lines + arrows + points, "Anchor, positive and negative on a plane")
