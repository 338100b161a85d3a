"""What the Race view shows: the pictures side by side, and who was how fast and how close."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Sequence

import numpy as np

from cvdemo.core import registry
from cvdemo.style.race import Race, Runner
from cvdemo.style.result import METHODS
from cvdemo.style.tab_shared import gallery_html

HEADER = ("Method", "Network", "Time to picture", "Content loss", "Style loss", "Style loss taken away")
KINDS = {"csv": "Table (CSV)", "json": "Race (JSON)"}


def seconds_text(seconds: float) -> str:
    """ "38 ms" or "4.2 s"."""
    return f"{1e3 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def panels_html(race: Race, content: np.ndarray) -> str:
    """The content itself, then the picture of each method that ran, the fastest first, each with its figures.

    content: (H, W, 3) uint8 at the size of the race.
    """
    panels = [(content, "The content itself", f"style loss {race.start.style:.3g}, what doing nothing gets")]
    for runner in race.runners:
        if runner.pixels is not None and runner.losses is not None:
            words = f"{seconds_text(runner.seconds)}, style loss {runner.losses.style:.3g}"
            panels.append((runner.pixels, capital(METHODS[runner.method]), words))
    return gallery_html(panels)


def sentence_of(race: Race) -> str:
    """Who was fastest and who came closest to the style, in one sentence."""
    ran = [runner for runner in race.runners if runner.losses is not None]
    if not ran:
        return "No method could start; the table says why."
    fastest = min(ran, key=lambda runner: runner.seconds)
    closest = max(ran, key=race.reduction)
    first = f"Fastest: {METHODS[fastest.method]}, {seconds_text(fastest.seconds)}"
    closer = f"{METHODS[closest.method]}, {100 * race.reduction(closest):.0f} % of the style loss taken away"
    return f"{first}; closest to the style: {closer}"


def table_html(race: Race) -> str:
    """All methods, those that did not start with their reason; bars compare the style loss that was taken away."""
    rows = "".join(_row(race, runner) for runner in race.runners)
    start = race.start
    own = (
        f"<tr><td>the content itself</td><td></td><td></td><td>{start.content:.3f}</td><td>{start.style:.3f}</td>"
        "<td>0 %</td></tr>"
    )
    head = "".join(f"<th>{name}</th>" for name in HEADER)
    judge = html.escape(title_of(race.judge))
    return (
        f'<div class="numbers race"><div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}{own}</tbody>'
        f'</table></div><p class="caption">Losses are relative and measured by one network for all: {judge}. Time: '
        "from the two pictures to the result on this machine, networks in memory.</p></div>"
    )


def capital(words: str) -> str:
    """Words as the start of a line; names such as AdaIN keep their letters."""
    return words[:1].upper() + words[1:]


def title_of(model: str) -> str:
    """A network as the menus call it."""
    return registry.get(model).title


def _row(race: Race, runner: Runner) -> str:
    title = title_of(runner.model) if runner.model else ""
    first = f"<td>{html.escape(METHODS[runner.method])}</td><td>{html.escape(title)}</td>"
    if runner.losses is None:
        return f'<tr class="missing">{first}<td colspan="4">unavailable: {html.escape(runner.reason)}</td></tr>'
    share = 100 * race.reduction(runner)
    bar = f'<div class="timed"><div style="width:{max(share, 0):.1f}%"></div></div>{share:.0f} %'
    return (
        f"<tr>{first}<td>{seconds_text(runner.seconds)}</td><td>{runner.losses.content:.3f}</td>"
        f'<td>{runner.losses.style:.3f}</td><td class="time">{bar}</td></tr>'
    )


def export(race: Race, kind: str) -> tuple[str, bytes]:
    """File name and content of a download; ``kind`` is one of ``KINDS``."""
    told = race.to_dict()
    if kind == "json":
        return "style-race.json", json.dumps(told, indent=1).encode()
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["method", "model", "seconds", "content_loss", "style_loss", "style_loss_reduction", "reason"])
    for row in told["methods"]:
        losses: Sequence[object] = ["", "", ""]
        if row["losses"] is not None:
            losses = [row["losses"]["content"], row["losses"]["style"], row["style_loss_reduction"]]
        writer.writerow([row["method"], row["model"], row["seconds"], *losses, row["reason"] or ""])
    return "style-race.csv", stream.getvalue().encode()
