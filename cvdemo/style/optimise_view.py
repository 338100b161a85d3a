"""What the Optimise view shows of a run: the weights in words, the loss curves, the numbers and the files."""

from __future__ import annotations

import csv
import html
import io
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvdemo.core.media import encode_picture
from cvdemo.core.settings import setting
from cvdemo.style.gatys import WEIGHTS, GatysRun, Step
from cvdemo.style.losses import ratio_text
from cvdemo.style.nets.compact_vgg import LAYERS, SMALLEST
from cvdemo.style.settings import ALL_LAYERS, StyleSettings

LEAST, MOST = -3.0, 3.0
POWERS = {"content_weight": "content_power", "style_weight": "style_power", "tv_weight": "tv_power"}
TERMS = {"content": "content", "style": "style (Gram)", "variation": "total variation"}
KINDS = {"png": "Picture (PNG)", "csv": "Losses (CSV)", "json": "Losses (JSON)"}
_DASHES = {"content": "", "style": "9 5", "variation": "2 5"}
_MOST_POINTS = 240
_FLOOR = 1e-5
_WORTH_A_WORD = 2048


def _power(default: float, label: str, zero: str) -> Any:
    return setting(
        default, label=label, minimum=LEAST, maximum=MOST, step=0.1,
        help=f"A power of ten: 0 is 1, 1 is 10, -1 is 0.1. The left end is 0: {zero}.",
    )  # fmt: skip


@dataclass(frozen=True)
class OptimiseSettings(StyleSettings):
    """``StyleSettings`` whose three weights are set on a scale of powers of ten, with 0 at its lower end."""

    content_power: float = _power(0.0, "Content weight", "texture synthesis")
    style_power: float = _power(1.0, "Style weight", "feature inversion")
    tv_power: float = _power(-1.0, "Total variation weight", "no smoothing")

    def weighed(self) -> OptimiseSettings:
        """The same with the weights that the powers stand for."""
        weights = {name: weight_of(getattr(self, power)) for name, power in POWERS.items()}
        weights["tv_weight"] = min(weights["tv_weight"], 100.0)
        return type(self).from_mapping(weights, base=self)


def weight_of(power: float) -> float:
    """The weight at a place of its slider: 0 at the left end, ten to that power elsewhere."""
    return 0.0 if power <= LEAST else float(10**power)


def power_of(weight: float) -> float:
    """The place of a weight on its slider, as exactly as the slider has places."""
    return LEAST if weight <= 0 else round(min(max(math.log10(weight), LEAST), MOST), 1)


def layer_choices() -> list[tuple[str, str]]:
    """(label, name) of the layers of both feature networks; those that the compact one lacks say so."""
    return [(name if name in LAYERS else f"{name} (VGG19 only)", name) for name in ALL_LAYERS]


def weights_line(weights: dict[str, float]) -> str:
    """Such as "Content 1, style 10, total variation 0.1: style : content = 10 : 1"."""
    content, style, variation = (weights[name] for name in WEIGHTS)
    listed = f"Content {content:.3g}, style {style:.3g}, total variation {variation:.3g}"
    return f"{listed}: {ratio_text(content, style)}"


def notes_on(content: np.ndarray | None, styles: Sequence[np.ndarray], size: int) -> list[str]:
    """What is worth saying about pictures (H, W, 3): that a large one is shrunk, that a tiny one is enlarged."""
    said = []
    for name, picture in [("content", content), *(("style", style) for style in styles)]:
        if picture is None:
            continue
        height, width = picture.shape[:2]
        if max(height, width) >= _WORTH_A_WORD:
            said.append(f"the {name} picture has {width} x {height} pixels and is worked on at {size}")
        elif min(height, width) < SMALLEST:
            lacking = ", it has a colour but no texture" if name == "style" and max(height, width) == 1 else ""
            said.append(f"the {name} picture has only {width} x {height} pixels and is enlarged{lacking}")
    return said


def sentence_of(run: GatysRun, history: Sequence[Step]) -> str:
    """Where a run is, in one plain sentence; history: its steps so far."""
    if not history:
        return "Not started"
    last, total = history[-1], run.settings.steps
    state = "Finished" if last.number >= total else "Stopped" if run.finished else "Paused" if run.paused else "Running"
    kept = f"content loss {last.losses.content:.3g}, style loss {last.losses.style:.3g}"
    return f"{state} at step {last.number} of {total}: {kept}"


def timing_of(run: GatysRun, history: Sequence[Step], notes: Sequence[str] = ()) -> str:
    """Such as "41 ms a step · 4.1 s · compact-vgg"; the first step, which also makes the targets, counts in the sum."""
    if not history:
        return ""
    later = [step.milliseconds for step in history[1:]] or [history[0].milliseconds]
    seconds = sum(step.milliseconds for step in history) / 1e3
    parts = [f"{float(np.median(later)):.0f} ms a step", f"{seconds:.1f} s", run.model, *notes]
    return " · ".join(parts)


# ---------------------------------------------------------------------- the curves


def changes_of(history: Sequence[Step]) -> list[tuple[int, str]]:
    """(step number, the new ratio) wherever a weight differs from the step before."""
    return [
        (later.number, ratio_text(later.weights["content_weight"], later.weights["style_weight"]))
        for earlier, later in itertools.pairwise(history)
        if later.weights != earlier.weights
    ]


def curves_html(history: Sequence[Step], steps: int, width: int = 480, height: int = 330) -> str:
    """The relative losses of every step so far on a logarithmic scale, one curve a term, with the last values above.

    A dotted upright line marks each change of a weight. steps: how many there will be, the end of the axis.
    """
    if not history:
        return '<p class="hint">The loss of each term appears here while the picture is optimised.</p>'
    shown = list(history[:: max(1, len(history) // _MOST_POINTS)])
    shown += [history[-1]] if shown[-1] is not history[-1] else []
    drawn = {
        term: [(step.number, value) for step in shown if (value := getattr(step.losses, term)) > _FLOOR]
        for term in TERMS
    }
    values = [value for points in drawn.values() for _, value in points] or [1.0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 1e-9)
    high = max(high, low + 1)
    left, right, top, bottom = 58, 16, 10, 28
    x = _scale(1, max(steps, 2), left, width - right)
    y = _scale(low, high, height - bottom, top)
    parts = [
        f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y(power):.1f}" y2="{y(power):.1f}"/>'
        f'<text x="{left - 8}" y="{y(power) + 5:.1f}" text-anchor="end">{10.0**power:g}</text>'
        for power in range(low, high + 1)
    ]
    for number, words in changes_of(history):
        parts.append(
            f'<line class="mark" x1="{x(number):.1f}" x2="{x(number):.1f}" y1="{top}" y2="{height - bottom}">'
            f"<title>step {number}: {html.escape(words)}</title></line>"
        )
    for term, points in drawn.items():
        line = " ".join(f"{x(number):.1f},{y(math.log10(value)):.1f}" for number, value in points)
        parts.append(f'<polyline class="{term}" stroke-dasharray="{_DASHES[term]}" points="{line}"/>' if line else "")
    under = ((left, "1"), ((left + width - right) / 2, "step"), (width - right, str(steps)))
    parts += [f'<text x="{place}" y="{height - 8}" text-anchor="middle">{words}</text>' for place, words in under]
    return (
        f'<figure class="style-curves"><div class="keys">{"".join(_key(term, history[-1]) for term in TERMS)}</div>'
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(spoken(history))}">'
        f"{''.join(parts)}</svg><figcaption>Relative losses: 0 is as in the target, 1 as far from it as features that "
        "are all zero. Upright lines: a weight was changed.</figcaption></figure>"
    )


def _key(term: str, last: Step) -> str:
    """A sample of a term's line, its name and its last value."""
    sample = f'<polyline class="{term}" stroke-dasharray="{_DASHES[term]}" points="1,5 33,5"/>'
    value = getattr(last.losses, term)
    return f'<span><svg width="34" height="10">{sample}</svg> {TERMS[term]} <b>{value:.2g}</b></span>'


def spoken(history: Sequence[Step]) -> str:
    """The curves in words, for screen readers."""
    first, last = history[0].losses, history[-1].losses
    falls = [f"{words} from {getattr(first, t):.3g} to {getattr(last, t):.3g}" for t, words in TERMS.items()]
    return f"Losses of {len(history)} steps: {', '.join(falls)}"


def _scale(first: float, last: float, start: float, end: float) -> Any:
    return lambda value: start + (value - first) / (last - first) * (end - start)


# ---------------------------------------------------------------------- numbers and files


def numbers_html(run: GatysRun, history: Sequence[Step]) -> str:
    """Each term's weight, its loss at the last step and what it adds to the total."""
    if not history:
        return '<p class="hint">Press Start first.</p>'
    last = history[-1]
    rows = "".join(
        f"<tr><td>{TERMS[term]}</td><td>{last.weights[weight]:.3g}</td><td>{getattr(last.losses, term):.4f}</td>"
        f"<td>{last.weights[weight] * getattr(last.losses, term):.4f}</td></tr>"
        for term, weight in zip(TERMS, WEIGHTS)
    )
    s = run.settings
    asked = (
        ("Total", f"{last.total:.4f}, best so far {last.best:.4f}"),
        ("Content layers", ", ".join(s.content_layers)),
        ("Style layers", ", ".join(s.style_layers)),
        ("Optimiser", f"{s.optimiser}, from {s.init}"),
    )
    more = "".join(f'<tr><td>{name}</td><td colspan="3">{html.escape(text)}</td></tr>' for name, text in asked)
    head = "<thead><tr><th>Term</th><th>Weight</th><th>Relative loss</th><th>Weighted</th></tr></thead>"
    return f'<div class="numbers"><table>{head}<tbody>{rows}{more}</tbody></table></div>'


def losses_csv(history: Sequence[Step]) -> str:
    """One line a step: losses, the weights they were summed with, the total, the best total and the time."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["step", *TERMS, *WEIGHTS, "total", "best", "milliseconds"])
    for step in history:
        found = [f"{getattr(step.losses, term):.6f}" for term in TERMS]
        used = [f"{step.weights[name]:g}" for name in WEIGHTS]
        writer.writerow(
            [step.number, *found, *used, f"{step.total:.6f}", f"{step.best:.6f}", f"{step.milliseconds:.1f}"]
        )
    return stream.getvalue()


def export(run: GatysRun, history: Sequence[Step], kind: str, name: str) -> tuple[str, bytes]:
    """File name and content of a download; ``kind`` is one of ``KINDS``, ``name`` the content picture's."""
    stem = f"{name.rsplit('.', 1)[0] or 'style'}-stylised"
    if kind == "png":
        return f"{stem}.png", encode_picture(run.best(), "png")
    if kind == "csv":
        return f"{stem}-losses.csv", losses_csv(history).encode()
    steps = [
        {"step": s.number, **s.losses.to_dict(), **s.weights, "total": round(s.total, 6), "best": round(s.best, 6)}
        for s in history
    ]
    told = {"model": run.model, "settings": StyleSettings.to_dict(run.settings), "losses": steps}
    return f"{stem}-losses.json", json.dumps(told, indent=1).encode()
