"""Charts of the Classification tab as SVG text: probability bars, training curves, a confusion matrix.

They follow the page: letters and lines take its text colour (currentColor), filled shapes the variables --chart-right
and --chart-wrong, and all lengths are in em of the text or in per cent of the width, so that nothing shrinks below
14 px in a narrow column and everything grows with the projector switch. Each chart has a title and a description that
holds its numbers; every text that comes from a user is escaped.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np

RIGHT = "var(--chart-right,#0b62b8)"
WRONG = "var(--chart-wrong,#d55e00)"
MOST_BARS = 20

_TRACK = "fill:currentColor;fill-opacity:0.12"
_LINE = "stroke:currentColor;stroke-opacity:0.35"
# The strongest tint of a cell: the page's text stays above 4.5 : 1 on it in the light and in the dark theme.
_STRONGEST = 0.45
_CELL = 2.4  # em: the least width of a cell, three digits


def percent(share: float) -> str:
    """ "87 %", "5.2 %", "< 0.1 %"; one decimal below ten and where 100 would round away the doubt."""
    value = 100 * share
    if 0 < value < 0.05:
        return "< 0.1 %"
    if 99.95 <= value < 100:
        return "> 99.9 %"
    return f"{value:.0f} %" if value in (0, 100) or 9.95 <= value < 99.5 else f"{value:.1f} %"


def short(text: str, most: int) -> str:
    """A text of at most ``most`` letters, the end replaced by an ellipsis."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _escape(text: str) -> str:
    # XML has no place for control characters, not even escaped, nor UTF-8 for halves of a surrogate pair.
    shown = "".join(c if c in "\u200c\u200d" or c.isprintable() else " " for c in str(text))
    return html.escape(shown)


def _svg(title: str, description: str, height: float, body: str, kind: str, narrowest: float = 0.0) -> str:
    """A drawing as wide as its column, at least ``narrowest`` em, and ``height`` em of its own text high."""
    least = f"min-width:{narrowest:.1f}em;" if narrowest else ""
    return (
        f'<svg class="chart {kind}" xmlns="http://www.w3.org/2000/svg" role="img" '
        f'style="display:block;width:100%;{least}height:{height:g}em;font-size:max(14px,1em);color:inherit;overflow:visible">'
        f"<title>{_escape(title)}</title><desc>{_escape(description)}</desc>{body}</svg>"
    )


def _text(x: str, y: str, content: str, *, anchor: str = "start", extra: str = "") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="currentColor"{extra}>{_escape(content)}</text>'


def probability_bars(
    names: Sequence[str],
    probabilities: Sequence[float] | np.ndarray,
    *,
    title: str = "Probabilities",
    threshold: float | None = None,
    chosen: int | None = None,
) -> str:
    """Horizontal bars, one per name in the given order, each with its name and per cent; at most 20.

    probabilities: in [0, 1].   threshold: a mark across the tracks (attributes: 0.5).   chosen: index of the row that
    is set in bold with an arrow, the class that other panels show.
    Raises ValueError when names and probabilities do not fit or a value is not a probability.
    """
    values = np.asarray(probabilities, np.float64)
    if values.shape != (len(names),):
        raise ValueError(f"there are {len(names)} names for probabilities of shape {values.shape}")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("probabilities must lie between 0 and 1")
    shown = list(zip(names[:MOST_BARS], values.tolist()))
    if not shown:
        return _svg(title, "No classes.", 1.6, _text("0", "1.1em", "No classes yet"), "bars")
    body = "".join(
        _bar(2.5 * index, name, value, threshold, index == chosen) for index, (name, value) in enumerate(shown)
    )
    spoken = "; ".join(f"{name} {percent(value)}" for name, value in shown)
    return _svg(title, spoken, 2.5 * len(shown), body, "bars")


def _bar(top: float, name: str, value: float, threshold: float | None, chosen: bool) -> str:
    """One row: name and per cent, the track with the bar on it below them."""
    bold = ' font-weight="700"' if chosen else ""
    label = _text("0", "1.1em", short(f"▸ {name}" if chosen else name, 42), extra=bold)
    place = f'x="0" y="{top + 1.45:g}em" height="0.6em" rx="3"'
    mark = ""
    if threshold is not None:
        ends = f'x1="{100 * threshold:g}%" x2="{100 * threshold:g}%" y1="{top + 1.3:g}em" y2="{top + 2.2:g}em"'
        mark = f'<line class="threshold" {ends} style="stroke:currentColor;stroke-width:2"/>'
    return (
        f"<g><title>{_escape(name)}: {_escape(percent(value))}</title>"
        # A nested svg cuts off what a narrow column leaves no room for.
        f'<svg x="0" y="{top:g}em" width="80%" height="1.4em">{label}</svg>'
        + _text("100%", f"{top + 1.1:g}em", percent(value), anchor="end", extra=f' class="value"{bold}')
        + f'<rect {place} width="100%" style="{_TRACK}"/>'
        f'<rect class="bar" {place} width="{100 * value:.2f}%" style="fill:{RIGHT}"/>{mark}</g>'
    )


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"


def curve(
    values: Sequence[float],
    *,
    title: str,
    unit: str = "",
    top: float | None = None,
    level: float | None = None,
    level_name: str = "",
    x_name: str = "iteration",
) -> str:
    """One line over iterations 0, 1, 2 … with its axes and its last value; an empty sequence gives a note.

    unit: "%" shows shares as per cent.   top: end of the axis, the largest value when not given; it starts at 0.
    level: a dashed line across with its name (accuracy when held back).
    Raises ValueError for negative values and those that are not finite.
    """
    series = np.asarray(values, np.float64)
    if not np.isfinite(series).all() or (series < 0).any():
        raise ValueError("a curve needs values that are finite and not negative")
    if not len(series):
        return _svg(title, "No training history.", 3.2, _heading(title) + _text("0", "2.6em", "No history"), "curve")
    show = percent if unit == "%" else _number
    highest = float(max(series.max(), level or 0.0)) if top is None else top
    highest = highest or 1.0
    steps = len(series) - 1
    # A drawing of 100 x 100 units stretched over the plot; lines keep their width, text is set outside of it.
    points = " ".join(
        f"{100 * index / max(steps, 1):.2f},{100 * (1 - min(value / highest, 1)):.2f}"
        for index, value in enumerate(series)
    )
    line = f"fill:none;stroke:{RIGHT};stroke-width:2.5;stroke-linejoin:round"
    inside = f'<polyline points="{points}" vector-effect="non-scaling-stroke" style="{line}"/>'
    spoken = f"From {show(series[0])} to {show(series[-1])} in {steps} {x_name}{'' if steps == 1 else 's'}."
    body = _heading(title) + _text("100%", "1.1em", show(series[-1]), anchor="end", extra=' class="value"')
    if level is not None:
        height = 100 * (1 - min(level / highest, 1))
        inside += (
            f'<line x1="0" x2="100" y1="{height:.2f}" y2="{height:.2f}" vector-effect="non-scaling-stroke" '
            f'style="stroke:{WRONG};stroke-width:2;stroke-dasharray:6 4"/>'
        )
        spoken += f" {level_name}: {show(level)}."
        body += f'<line x1="0" x2="2em" y1="12.3em" y2="12.3em" style="stroke:{WRONG};stroke-width:2;'
        body += f'stroke-dasharray:6 4"/>{_text("2.5em", "12.65em", f"{level_name} {show(level)}")}'
    body += (
        f'<line x1="18%" x2="100%" y1="9.6em" y2="9.6em" style="{_LINE}"/>'
        f'<line x1="18%" x2="18%" y1="1.9em" y2="9.6em" style="{_LINE}"/>'
        f'<svg x="18%" y="1.9em" width="82%" height="7.7em" viewBox="0 0 100 100" preserveAspectRatio="none" '
        f'style="overflow:visible">{inside}</svg>'
        + _text("17%", "2.6em", show(highest), anchor="end")
        + _text("17%", "9.6em", "0", anchor="end")
        + _text("18%", "10.9em", "0")
        + _text("59%", "10.9em", x_name, anchor="middle")
        + _text("100%", "10.9em", str(steps), anchor="end")
    )
    return _svg(title, spoken, 11.4 if level is None else 13.0, body, "curve")


def _heading(title: str) -> str:
    return _text("0", "1.1em", title, extra=' font-weight="600"')


def training_curves(loss: Sequence[float], accuracy: Sequence[float], *, held_back: float | None = None) -> str:
    """Loss and training accuracy (shares) side by side; ``held_back`` is the accuracy of cross-validation."""
    curves = curve(loss, title="Loss") + curve(
        accuracy, title="Training accuracy", unit="%", top=1.0, level=held_back, level_name="held back"
    )
    return f'<div class="chart-pair">{curves}</div>'


def confusion_matrix(confusion: np.ndarray, classes: Sequence[str], *, title: str = "Confusion matrix") -> str:
    """Counts (C, C): a row is what a picture is, a column what it was taken for; the diagonal is framed.

    Columns bear the numbers of the rows, as names would not fit over them. Tints grow with the share of the row.
    The drawing scrolls sideways in a column too narrow for its numbers.
    Raises ValueError when the table does not fit the classes or holds anything but counts.
    """
    table = np.asarray(confusion)
    count = len(classes)
    if table.shape != (count, count) or not count:
        raise ValueError(f"confusion must have shape ({count}, {count}), not {table.shape}")
    if not np.issubdtype(table.dtype, np.integer) or (table < 0).any():
        raise ValueError("confusion must hold counts")
    totals = np.maximum(table.sum(1), 1)
    width = 66 / count  # per cent: names take the left third
    body = _text("34%", "1.1em", "taken for", extra=' font-style="italic"')
    body += _text("0", "2.6em", "is", extra=' font-style="italic"')
    spoken = []
    for column in range(count):
        body += _text(f"{34 + width * (column + 0.5):.2f}%", "2.6em", str(column + 1), anchor="middle")
    for row, name in enumerate(classes):
        top = 3.2 + 2.2 * row
        label = _text("0", "1.45em", short(f"{row + 1} {name}", 22))
        body += f'<svg x="0" y="{top:g}em" width="32%" height="2.1em">{label}<title>{_escape(name)}</title></svg>'
        for column, other in enumerate(classes):
            body += _cell(table, totals, row, column, f"{name} taken for {other}", width, top)
        answers = [f"{classes[c]} {table[row, c]}" for c in range(count) if table[row, c]]
        spoken.append(f"{name}: {', '.join(answers) or 'no pictures'}")
    right, total = int(np.trace(table)), int(table.sum())
    summary = f"{right} of {total} right. What pictures are, then what they were taken for. {'; '.join(spoken)}."
    drawing = _svg(title, summary, 3.4 + 2.2 * count, body, "confusion", narrowest=_CELL / (width / 100))
    return f'<div class="chart-wide" style="overflow-x:auto">{drawing}</div>'


def _cell(table: np.ndarray, totals: np.ndarray, row: int, column: int, name: str, width: float, top: float) -> str:
    count, diagonal = int(table[row, column]), row == column
    strength = _STRONGEST * math.sqrt(count / totals[row])  # the root makes few mistakes visible too
    frame = ";stroke:currentColor;stroke-width:2" if diagonal else ""
    style = f"fill:{RIGHT if diagonal else WRONG};fill-opacity:{strength:.3f}{frame}"
    left = 34 + width * column
    middle = f"{left + width / 2:.2f}%"
    weight = ' font-weight="700"' if diagonal else ""
    return (
        f"<g><title>{_escape(name)}: {count}</title>"
        f'<rect x="{left + 0.2:.2f}%" y="{top:g}em" width="{width - 0.4:.2f}%" height="2em" rx="2" style="{style}"/>'
        + _text(middle, f"{top + 1.4:g}em", str(count), anchor="middle", extra=f' class="count"{weight}')
        + "</g>"
    )
