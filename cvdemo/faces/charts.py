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
from cvdemo.faces.verification import Roc
from cvdemo.ui.markup import safe

WIDTH, HEIGHT, LEFT, TOP = 600, 250, 62, 14
LOW, HIGH = -0.2, 1.0  # similarities on the axis; what lies beyond sits at its end
FAR_LINE = 'fill="none" stroke="var(--chart-wrong)" stroke-width="3"'
FRR_LINE = 'fill="none" stroke="var(--chart-right)" stroke-width="3" stroke-dasharray="9 5"'
MOST_IN_TABLE = 24
_STRONGEST = 0.45  # of a cell's tint, so that its number stays legible in both themes

TABLE_CSS = """
.similarities td { text-align: center; min-width: 3.2em; padding: 5px 8px !important; }
.similarities td.yes { font-weight: 700; outline: 2px solid currentColor; outline-offset: -3px; }
.similarities th { padding-right: 12px !important; }
"""


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
        if tick < 0:  # the names of the two scales stand there
            continue
        text += f'<path class="rule" d="M{x:.1f} {TOP}V{bottom}"/>'
        text += f'<text x="{x:.1f}" y="{bottom + 19}" text-anchor="middle">{tick:g}</text>'
        text += f'<text x="{x:.1f}" y="{bottom + 39}" text-anchor="middle">{distance_of(tick):.2f}</text>'
    text += f'<path class="rule" d="M{LEFT} {TOP}V{bottom}"/><text x="{LEFT}" y="{bottom + 19}">cosine</text>'
    return text + f'<text x="{LEFT}" y="{bottom + 39}">distance</text>'


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


# ------------------------------------------------------------------ the gallery's charts


def roc_chart(curve: Roc, threshold: float) -> str:
    """TAR over FAR of few pairs, steps and all, with the point of the threshold and the line of equal errors."""
    side, left, top = 300, 52, 12

    def x(far: float) -> float:
        return left + side * far

    def y(tar: float) -> float:
        return top + side * (1 - tar)

    body = ""
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        body += f'<path class="rule" d="M{x(tick):.1f} {top}V{top + side}M{left} {y(tick):.1f}H{left + side}"/>'
        body += f'<text x="{x(tick):.1f}" y="{top + side + 19}" text-anchor="middle">{tick:g}</text>'
        body += f'<text x="{left - 8}" y="{y(tick) + 5:.1f}" text-anchor="end">{tick:g}</text>'
    points = [(0.0, 0.0)]
    for far, tar in zip(curve.far.tolist(), curve.tar.tolist()):
        points += [(far, points[-1][1]), (far, tar)]
    line = "M" + "L".join(f"{x(far):.1f} {y(tar):.1f}" for far, tar in points)
    accepted = curve.thresholds >= threshold
    at = int(np.flatnonzero(accepted)[-1])  # the first threshold is infinite
    far, tar = float(curve.far[at]), float(curve.tar[at])
    body += f'<path class="best" d="M{x(0):.1f} {y(1):.1f}L{x(1):.1f} {y(0):.1f}"/><path class="raw" d="{line}"/>'
    body += f'<path class="now" d="M{x(far):.1f} {y(tar) - 9:.1f}l9 9l-9 9l-9 -9z"/>'
    body += f'<text x="{x(0.5)}" y="{top + side + 40}" text-anchor="middle">FAR</text>'
    body += f'<text x="14" y="{y(0.5)}" text-anchor="middle" transform="rotate(-90 14 {y(0.5)})">TAR</text>'
    spoken = f"ROC; at threshold {threshold:.2f} FAR {100 * far:.0f} %, TAR {100 * tar:.0f} %"
    return (
        f'<figure class="curve" style="max-width:420px"><svg viewBox="0 0 {left + side + 16} {top + side + 50}" '
        f'role="img" aria-label="{spoken}">{body}</svg><figcaption>Diamond: the threshold now. Dashed: FAR equals FRR; '
        "the curve crosses it at the EER.</figcaption></figure>"
    )


def map_chart(places: np.ndarray, owners: Sequence[str], probes: np.ndarray | None = None) -> str:
    """Embeddings (N, 2) on a plane, one shape and colour a person, names on hover and once as a label.

    probes: (M, 2) of faces that are not enrolled, drawn as diamonds.
    """
    width, height, margin = 640, 420, 36
    every = places if probes is None or not len(probes) else np.concatenate([places, probes])
    low, high = every.min(0), every.max(0)
    middle, spread = (low + high) / 2, max(float((high - low).max()), 1e-9)
    scale = min(width - 2 * margin, height - 2 * margin) / spread

    def at(place: np.ndarray) -> tuple[float, float]:
        return float(width / 2 + scale * (place[0] - middle[0])), float(height / 2 - scale * (place[1] - middle[1]))

    names = list(dict.fromkeys(owners))
    body = f'<rect x="1" y="1" width="{width - 2}" height="{height - 2}" class="rule"/>'
    for index, (place, owner) in enumerate(zip(places, owners)):
        x, y = at(place)
        number = names.index(owner)
        body += (
            f'<path d="{_shape(number, x, y)}" stroke="var(--background-fill-primary)" fill="var(--tone-{number % 8})">'
            f"<title>{safe(owner)}, picture {owners[: index + 1].count(owner)}</title></path>"
        )
    for probe in probes if probes is not None else ():
        x, y = at(probe)
        look = 'fill="none" stroke="currentColor" stroke-width="2.5"'
        body += f'<path {look} d="M{x:.1f} {y - 12:.1f}l12 12l-12 12l-12 -12z"><title>this picture</title></path>'
    for name in names:
        x, y = at(places[[owner == name for owner in owners]].mean(0))
        body += f'<text class="here" x="{x:.1f}" y="{y - 14:.1f}" text-anchor="middle">{safe(name)}</text>'
    spoken = f"Map of {len(places)} enrolled pictures of {len(names)} people"
    return (
        f'<figure class="curve" style="max-width:720px"><svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{spoken}">{body}</svg></figure>'
    )


def _shape(number: int, x: float, y: float) -> str:
    """A circle, square, triangle or cross of about 8 pixels: people differ by more than their colour."""
    kind = number % 4
    if kind == 0:
        return f"M{x - 7:.1f} {y:.1f}a7 7 0 1 0 14 0a7 7 0 1 0 -14 0z"
    if kind == 1:
        return f"M{x - 6:.1f} {y - 6:.1f}h12v12h-12z"
    if kind == 2:
        return f"M{x:.1f} {y - 8:.1f}l8 14h-16z"
    return f"M{x - 3:.1f} {y - 8:.1f}h6v5h5v6h-5v5h-6v-5h-5v-6h5z"
