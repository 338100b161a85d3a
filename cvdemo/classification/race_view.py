"""ImageNet's "deeper is better": several models on one picture, what each says, costs, and scored when published."""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cvdemo.classification.predict import ClassificationSettings, Comparison, Inference, decode
from cvdemo.core import registry

ACCURACY = "ImageNet val top-1"
OWN_STAGES = ("preprocess", "network", "decode")
HEADER = ("Model", "Year", "Answer", "Milliseconds", "Parameters, million", "GFLOPs", "Published top-1, %")


def percent(probability: float) -> str:
    """ "87.3 %"; small ones are not rounded to nothing."""
    value = 100 * probability
    if 0 < value < 0.1:
        return "< 0.1 %"
    return f"{value:.1f} %"


def own_milliseconds(inference: Inference) -> float:
    """What the model itself took for the picture: without waiting for its turn and without loading its file."""
    return sum(inference.stages.get(stage, 0.0) for stage in OWN_STAGES)


@dataclass(frozen=True)
class Contestant:
    """One model's line in "deeper is better". ``problem`` says why it did not run; then there is no answer."""

    name: str
    title: str
    year: int
    parameters: int
    gflops: float | None
    accuracy: float | None
    answer: str = ""
    probability: float = 0.0
    milliseconds: float = 0.0
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        facts = {"model": self.name, "year": self.year, "parameters": self.parameters, "gflops": self.gflops,
                 "published_top1": self.accuracy}  # fmt: skip
        if self.problem:
            return {**facts, "problem": self.problem}
        ran = {"label": self.answer, "probability": round(self.probability, 6)}
        return {**facts, **ran, "milliseconds": round(self.milliseconds, 3)}


def contestants(comparison: Comparison, names: Sequence[str], temperature: float = 1.0) -> list[Contestant]:
    """One line per model asked for, in that order."""
    settings = ClassificationSettings(top_k=1, temperature=temperature)
    ran = {inference.model: inference for inference in comparison.inferences}
    lines = []
    for name in names:
        spec = registry.get(name)
        facts = (spec.name, spec.title, spec.year, spec.parameters, spec.gflops, spec.metrics.get(ACCURACY))
        if name in ran:
            _, answer, probability = decode(ran[name], settings).top[0]
            lines.append(Contestant(*facts, answer, probability, own_milliseconds(ran[name])))
        else:
            # The reason alone: what to do about it stands on the model's card.
            state = registry.availability(spec)
            reason = comparison.skipped.get(name, "not run")
            lines.append(Contestant(*facts, problem=reason if state.ok else state.reason))
    return lines


def comparison_html(lines: Sequence[Contestant]) -> str:
    """The race as a table; the bars compare measured milliseconds."""
    slowest = max((line.milliseconds for line in lines), default=0.0) or 1.0
    body = "".join(_comparison_row(line, slowest) for line in lines)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in HEADER)
    return (
        f'<div class="numbers race">{race_svg(lines)}<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        '<p class="caption">Milliseconds: one picture, prepared, run and read out on this machine, without loading '
        "the file. Published accuracy: on ImageNet's validation pictures, by the publisher.</p></div>"
    )


def _comparison_row(line: Contestant, slowest: float) -> str:
    facts = [
        f"{line.parameters / 1e6:,.1f}",
        "" if line.gflops is None else f"{line.gflops:.2f}",
        "" if line.accuracy is None else f"{line.accuracy:.1f}",
    ]
    known = "".join(f'<td class="number">{text}</td>' for text in facts)
    first = f'<td>{html.escape(line.title)}</td><td class="number">{line.year}</td>'
    if line.problem:
        return f'<tr class="missing">{first}<td colspan="2">{html.escape(line.problem)}</td>{known}</tr>'
    answer = f"{html.escape(line.answer)} <span>{html.escape(percent(line.probability))}</span>"
    share = 100 * line.milliseconds / slowest
    timed = f'<div class="timed"><div style="width:{share:.1f}%"></div></div>{line.milliseconds:.1f}'
    return f'<tr>{first}<td>{answer}</td><td class="time">{timed}</td>{known}</tr>'


def race_svg(lines: Sequence[Contestant], width: int = 640, height: int = 250) -> str:
    """Published accuracy over measured milliseconds (logarithmic); a dot's area is the number of parameters.

    Empty with fewer than two models that have both figures: one dot compares nothing.
    """
    dots = [line for line in lines if line.accuracy is not None and not line.problem and line.milliseconds > 0]
    if len(dots) < 2:
        return ""
    left, right, top, bottom = 52, 130, 14, 42
    times = [math.log10(dot.milliseconds) for dot in dots]
    low, high = math.floor(min(times) * 2) / 2, math.ceil(max(times) * 2 + 0.01) / 2
    accuracies = [float(dot.accuracy or 0) for dot in dots]
    worst, best = 5 * math.floor(min(accuracies) / 5), 5 * math.ceil(max(accuracies) / 5 + 0.01)
    most = max(dot.parameters for dot in dots)

    def x(milliseconds: float) -> float:
        return left + (math.log10(milliseconds) - low) / (high - low) * (width - left - right)

    def y(accuracy: float) -> float:
        return top + (best - accuracy) / (best - worst) * (height - top - bottom)

    parts = [
        f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text class="tick" x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick}</text>'
        for tick in range(worst, best + 1, 5)
    ]
    decades = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
    parts += [
        f'<text class="tick" x="{x(tick):.1f}" y="{height - bottom + 18}" text-anchor="middle">{tick}</text>'
        for tick in decades
        if low <= math.log10(tick) <= high
    ]
    for dot in sorted(dots, key=lambda dot: -dot.parameters):
        radius = 4 + 14 * math.sqrt(dot.parameters / most)
        cx, cy = x(dot.milliseconds), y(float(dot.accuracy or 0))
        parts.append(
            f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="{radius:.1f}"/>'
            f'<text x="{cx + radius + 4:.1f}" y="{cy + 4:.1f}">{html.escape(dot.title)}</text>'
        )
    middle = left + (width - left - right) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{height - 4}" text-anchor="middle">milliseconds a picture</text>')
    parts.append(f'<text class="axis" x="14" y="{height / 2}" transform="rotate(-90 14 {height / 2})" '
                 'text-anchor="middle">published top-1, %</text>')  # fmt: skip
    words = "Published accuracy over measured milliseconds, one dot a model, its area the number of parameters"
    return (
        f'<svg class="race-plot" viewBox="0 0 {width} {height}" role="img" aria-label="{words}">{"".join(parts)}</svg>'
    )


def comparison_csv(lines: Sequence[Contestant]) -> str:
    """The race as a table: one line per model, empty cells where it did not run."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["model", "year", "label", "probability", "milliseconds", "parameters", "gflops", "published_top1"])
    for line in lines:
        ran = ["", "", ""] if line.problem else [line.answer, f"{line.probability:.6f}", f"{line.milliseconds:.3f}"]
        facts = ["" if value is None else value for value in (line.parameters, line.gflops, line.accuracy)]
        writer.writerow([line.name, line.year, *ran, *facts])
    return stream.getvalue()
