"""Charts of the Faces tab as HTML and SVG text: error rates, ROC, embedding maps, tables of similarities.

Lines differ by dashes as well as by colour; every text that comes from a visitor is escaped.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np

from cvdemo.faces.curves import Curves
from cvdemo.faces.predict import distance_of
from cvdemo.ui.markup import safe

WIDTH, HEIGHT, LEFT, TOP = 600, 250, 62, 14
LOW, HIGH = -0.2, 1.0  # similarities on the axis; what lies beyond sits at its end
FAR_LINE = 'fill="none" stroke="var(--chart-wrong)" stroke-width="3"'
FRR_LINE = 'fill="none" stroke="var(--chart-right)" stroke-width="3" stroke-dasharray="9 5"'
MOST_IN_TABLE = 24
_STRONGEST = 0.45  # of a cell's tint, so that its number stays legible in both themes


def _x(similarity: float) -> float:
    return LEFT + WIDTH * (min(max(similarity, LOW), HIGH) - LOW) / (HIGH - LOW)


def _svg(body: str, spoken: str, caption: str, height: float = HEIGHT + 62) -> str:
    return (
        f'<figure class="curve" style="max-width:720px"><svg viewBox="0 0 {LEFT + WIDTH + 16} {TOP + height}" '
        f'role="img" aria-label="{safe(spoken)}">{body}</svg><figcaption>{caption}</figcaption></figure>'
    )


def _similarity_axis() -> str:
    bottom = TOP + HEIGHT
    text = ""
    for tick in np.round(np.arange(LOW, HIGH + 0.01, 0.2), 1).tolist():
        x, tick = _x(tick), tick + 0.0
        text += f'<path class="rule" d="M{x:.1f} {TOP}V{bottom}"/>'
        text += f'<text x="{x:.1f}" y="{bottom + 19}" text-anchor="middle">{tick:g}</text>'
        text += f'<text x="{x:.1f}" y="{bottom + 39}" text-anchor="middle">{distance_of(tick):.2f}</text>'
    text += f'<text x="{LEFT - 8}" y="{bottom + 19}" text-anchor="end">cosine</text>'
    return text + f'<text x="{LEFT - 8}" y="{bottom + 39}" text-anchor="end">distance</text>'


def rates_chart(
    curves: Curves | None, threshold: float, pair: float | None = None, default: float | None = None
) -> str:
    """FAR and FRR over the threshold on a logarithmic scale, with the threshold now and the similarity of this pair.

    Without curves the scale of similarities alone. Rates that so many pairs cannot show lie on the lowest line.
    """
    body, bottom = _similarity_axis(), TOP + HEIGHT
    spoken = f"Threshold {threshold:.2f}"
    if curves is not None:
        body += _rates(curves, threshold)
        far, frr = curves.at(threshold)
        spoken += f": FAR {100 * far:.2f} %, FRR {100 * frr:.2f} %"
    if default is not None:
        body += (
            f'<path class="rule" style="stroke-width:2;stroke-dasharray:3 4" d="M{_x(default):.1f} {TOP}V{bottom}"/>'
        )
    x = _x(threshold)
    body += f'<path d="M{x:.1f} {TOP}V{bottom}" style="stroke:currentColor;stroke-width:2"/>'
    anchor, shift = ("end", -7) if x > LEFT + 0.7 * WIDTH else ("start", 7)
    body += (
        f'<text class="here" x="{x + shift:.1f}" y="{TOP + 14}" text-anchor="{anchor}">threshold {threshold:.2f}</text>'
    )
    if pair is not None:
        at = _x(pair)
        end, away = ("end", -12) if at > LEFT + 0.7 * WIDTH else ("start", 12)
        body += f'<path class="now" d="M{at:.1f} {bottom - 10}l9 10l-9 10l-9 -10z"/>'
        body += (
            f'<text class="here" x="{at + away:.1f}" y="{bottom - 8}" text-anchor="{end}">this pair {pair:.2f}</text>'
        )
        spoken += f"; this pair {pair:.2f}"
    key = (
        "Solid: FAR, strangers accepted. Dashed: FRR, the same person turned away. Both over the threshold; "
        "the lowest line means none. "
        if curves is not None
        else ""
    )
    return _svg(body, spoken, f"{key}Vertical: the threshold now. Diamond: this pair.")


def _rates(curves: Curves, threshold: float) -> str:
    floor = math.log10(curves.finest) - 0.3

    def y(share: float) -> float:
        value = max(math.log10(share), floor) if share > 0 else floor
        return TOP + HEIGHT * value / floor

    body = ""
    for power in range(0, math.floor(-floor) + 1):
        body += f'<path class="rule" d="M{LEFT} {y(10.0**-power):.1f}H{LEFT + WIDTH}"/>'
        body += f'<text x="{LEFT - 8}" y="{y(10.0**-power) + 5:.1f}" text-anchor="end">{100 * 10.0**-power:g} %</text>'
    body += f'<text x="{LEFT - 8}" y="{TOP + HEIGHT + 1}" text-anchor="end">none</text>'
    inside = (curves.thresholds >= LOW) & (curves.thresholds <= HIGH)
    for shares, look in ((curves.far, FAR_LINE), (curves.frr, FRR_LINE)):
        pairs = zip(curves.thresholds[inside].tolist(), shares[inside].tolist())
        body += f'<polyline points="{" ".join(f"{_x(t):.1f},{y(v):.1f}" for t, v in pairs)}" {look}/>'
    for share, colour in zip(curves.at(threshold), ("var(--chart-wrong)", "var(--chart-right)")):
        body += (
            f'<circle cx="{_x(threshold):.1f}" cy="{y(share):.1f}" r="6" fill="{colour}" '
            'stroke="var(--background-fill-primary)" stroke-width="2"/>'
        )
    return body


def similarity_table(
    table: np.ndarray, rows: Sequence[str], columns: Sequence[str], threshold: float, caption: str = ""
) -> str:
    """Similarities (R, C) as a table: those at or above the threshold are framed and bold, tints grow with the value.

    At most 24 rows and columns are shown, and it says so.
    """
    cut = max(len(rows), len(columns)) > MOST_IN_TABLE
    rows, columns = rows[:MOST_IN_TABLE], columns[:MOST_IN_TABLE]
    head = "".join(f"<th scope='col'>{safe(name)}</th>" for name in columns)
    lines = []
    for name, values in zip(rows, table.tolist()):
        cells = []
        for value in values[: len(columns)]:
            tint = 100 * _STRONGEST * min(max(value, 0), 1)
            style = f"background:color-mix(in srgb, var(--chart-right) {tint:.0f}%, transparent)"
            kind = ' class="yes"' if value >= threshold else ""
            cells.append(f'<td{kind} style="{style} !important">{value:.2f}</td>')
        lines.append(f"<tr><th scope='row'>{safe(name)}</th>{''.join(cells)}</tr>")
    more = f" The first {MOST_IN_TABLE} are shown." if cut else ""
    note = f'<p class="caption">{html.escape(caption)}{more}</p>' if caption or more else ""
    return (
        f'<div class="numbers"><div class="wide"><table class="similarities"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>{note}</div>"
    )
