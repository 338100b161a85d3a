"""How a mined batch is drawn: the triplets of one anchor with their rings, and the rules side by side."""

from __future__ import annotations

import html
import math

import numpy as np

from cvdemo.faces.mining import RULE_WORDS, Batch, Mined
from cvdemo.faces.playground_view import COLOURS, at, axes, ring, svg
from cvdemo.ui.markup import safe
from cvdemo.ui.plane import handle

TONES = 8


def colour_of(label: int) -> str:
    """A class's colour, one of the page's eight tones; a letter or a number says the same."""
    return f"var(--tone-{label % TONES})"


def _line(start: np.ndarray, end: np.ndarray, colour: str, style: str) -> str:
    (x1, y1), (x2, y2) = at(start), at(end)
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" style="stroke:{colour};{style}"/>'


def picture(batch: Batch, mined: Mined, anchor: int | None, margin: float, movable: bool) -> str:
    """The batch on its plane.

    anchor: the row whose triplets are drawn strongly; None for all of them thinly.   movable: whether distances on the
    plane are the distances that count, so that rings can be drawn and points moved.
    """
    rows = mined.triplets if anchor is None else mined.triplets[mined.triplets[:, 0] == anchor]
    thin = anchor is None
    green, orange = COLOURS["positive"], COLOURS["negative"]
    pull = "stroke-width:1;stroke-opacity:0.5" if thin else "stroke-width:3"
    push = "stroke-width:1;stroke-opacity:0.5;" if thin else "stroke-width:3;"
    lines = "".join(
        _line(batch.places[a], batch.places[p], green, pull) for a, p in {(int(a), int(p)) for a, p, _ in rows}
    )
    lines += "".join(
        _line(batch.places[a], batch.places[n], orange, push + "stroke-dasharray:8 5")
        for a, n in {(int(a), int(n)) for a, _, n in rows}
    )
    rings = ""
    if anchor is not None and movable:
        same = np.flatnonzero((batch.labels == batch.labels[anchor]) & (np.arange(len(batch)) != anchor))
        if len(same):
            near = float(((batch.vectors[same] - batch.vectors[anchor]) ** 2).sum(1).max())
            centre = batch.places[anchor]
            rings = ring(centre, math.sqrt(near), "farthest positive")
            rings += ring(centre, math.sqrt(near + margin), "plus the margin", dashed=True)
    points = "".join(_point(batch, row, row == anchor) for row in range(len(batch)))
    return svg(axes() * movable + rings + lines + points, "A batch on a plane; choose an anchor")


def _point(batch: Batch, row: int, chosen: bool) -> str:
    name, colour = batch.names[batch.labels[row]], colour_of(int(batch.labels[row]))
    ringed = '<circle r="18" style="fill:none;stroke:#e69f00;stroke-width:4"/>' if chosen else ""
    body = (
        f'{ringed}<circle r="13" style="fill:{colour}"/><text y="5.5" text-anchor="middle" aria-hidden="true" '
        f'style="--ink:var(--background-fill-primary);font-weight:700">{html.escape(name[:1].upper())}</text>'
    )
    said = f"{name}, point {row + 1}{', the anchor' if chosen else ''}; Enter makes it the anchor"
    return handle(str(row), *at(batch.places[row]), said, body, reach=18)


def table(rules: dict[str, Mined], chosen: str) -> str:
    """The rules side by side."""
    lines = ""
    for rule, mined in rules.items():
        count = len(mined.triplets)
        share = mined.active / count if count else 0.0
        mark = ' aria-current="true" class="now"' if rule == chosen else ""
        lines += (
            f"<tr{mark}><td>{'▸ ' if rule == chosen else ''}{rule}</td><td>{RULE_WORDS[rule]}</td><td>{count}</td>"
            f'<td>{mined.active}</td><td class="bar"><div style="width:{100 * share:.0f}%"></div></td>'
            f"<td>{mined.count('hard')}</td><td>{mined.count('semi-hard')}</td><td>{mined.count('easy')}</td>"
            f"<td>{mined.mean:.3f}</td></tr>"
        )
    return (
        '<div class="numbers mined"><table><thead><tr><th>Mining</th><th>a pair is given</th><th>triplets</th>'
        "<th>active</th><th>share that is active</th><th>hard</th><th>semi-hard</th><th>easy</th><th>mean loss</th>"
        f"</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def legend(batch: Batch) -> str:
    """What the lines mean, and whose the letters are."""
    names = "" if len(batch.names) > 12 else ", ".join(f"{safe(n[:1].upper())} {safe(n)}" for n in batch.names)
    said = f" · {names}" if batch.note else ""
    note = f" · {safe(batch.note)}" if batch.note else ""
    return (
        f'<p class="hint">Solid green: anchor to positive · dashed orange: anchor to the negative that was picked{said}'
        f"{note}</p>"
    )
