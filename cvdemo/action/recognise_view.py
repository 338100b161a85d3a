"""What the Recognise view shows of a clip, of the windows of a video and of the camera: bars, lines and exports."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvdemo.action.clips import Clip
from cvdemo.action.live import KEPT_SECONDS, LiveState
from cvdemo.action.predict import ActionInference, Actions, ActionSettings, decode, of_probabilities, smooth
from cvdemo.action.raw import RawScores, softmax
from cvdemo.action.timeline import RawTimeline, decode_timeline
from cvdemo.action.timeline_view import TONES, Timeline, style_of

BARS_CSS = (
    """
.strip-head { margin: 0 0 8px; font-weight: 600; }
.class-bars .key { display: inline-block; width: 1.5em; height: 0.8em; margin-right: 6px; vertical-align: baseline; }
.class-bars .key path { fill: none; stroke-width: 3; }
"""
    + TONES
)
NO_BARS = '<p class="hint">The most probable actions appear here.</p>'


@dataclass(frozen=True, eq=False)
class Look:
    """A clip and what one model said of it."""

    name: str
    clip: Clip
    inference: ActionInference


def bars_html(actions: Actions, keys: bool = True) -> str:
    """The most probable actions as bars, best first, and what is left for the others.

    keys: with the line style that the class has in the timeline.
    """
    rows = [_bar(str(rank), name, p, style_of(index) if keys else None) for rank, (index, name, p) in
            enumerate(actions.top, 1)]  # fmt: skip
    left = len(actions.probabilities) - len(actions.top)
    if left > 0:
        rest = max(0.0, 1.0 - sum(p for *_, p in actions.top))
        noun = "action" if left == 1 else "actions"
        rows.append(_bar("", f"the other {left:,} {noun}", rest, None, "rest"))
    return f'<ol class="class-bars{"" if actions.sure else " unsure"}">{"".join(rows)}</ol>'


def _bar(rank: str, name: str, probability: float, style: tuple[int, str] | None, kind: str = "") -> str:
    key = colour = ""
    if style is not None:
        key = (
            f'<svg class="key" viewBox="0 0 30 10" aria-hidden="true"><path class="tone{style[0]}" '
            f'stroke-dasharray="{style[1]}" d="M0 5H30"/></svg>'
        )
        colour = ";background:var(--tone)"
    tone = f" tone{style[0]}" if style is not None else ""
    return (
        f'<li class="{kind}"><span class="rank">{rank}</span><span class="name">{key}{html.escape(name)}</span>'
        f'<span class="value">{percent(probability)}</span><span class="track{tone}">'
        f'<span style="width:{100 * probability:.2f}%{colour}"></span></span></li>'
    )


def percent(probability: float) -> str:
    """ "87 %", "4.2 %", "under 0.1 %"."""
    share = 100 * probability
    if share >= 9.95:
        return f"{share:.0f} %"
    return f"{share:.1f} %" if share >= 0.1 else "under 0.1 %"


def timing_line(inference: ActionInference, decoded: float = 0.0) -> str:
    """Such as "38 ms (network 30, prepare 6) · cpu float32"; steps under half a millisecond are left out."""
    steps = dict(inference.stages) | {"read out": decoded}
    parts = ", ".join(f"{name} {ms:.0f}" for name, ms in steps.items() if ms >= 0.5)
    return f"{sum(steps.values()):.0f} ms{f' ({parts})' if parts else ''} · {inference.device} {inference.precision}"


def picture_words(actions: Actions) -> str:
    """The sentence for a still picture, which is a video in which nothing moves."""
    return f"{actions.sentence()}, going by one picture{remark(actions)}"


def remark(actions: Actions) -> str:
    """What the model remarks on the clip, such as that it found nobody; "" without anything."""
    return f" ({actions.clip.note})" if actions.clip.note else ""


# ------------------------------------------------------------------ the windows of a video


def timeline_of(raw: RawTimeline, settings: ActionSettings) -> Timeline:
    """A video's windows for drawing, smoothed as the settings say."""
    made = decode_timeline(raw, settings)
    ends = np.minimum(raw.starts + raw.spec.span, max(raw.duration, 1e-3))
    return Timeline(
        made.times, np.stack([raw.starts, ends], axis=1), made.probabilities, made.categories, 0.0,
        max(raw.duration, float(ends.max())),
    )  # fmt: skip


def selected(raw: RawTimeline, settings: ActionSettings, rows: Sequence[int]) -> Actions:
    """The actions over some windows: the mean of their probabilities, after smoothing."""
    line = decode_timeline(raw, settings)
    chosen = [row for row in rows if 0 <= row < len(raw)] or [0]
    return of_probabilities(line.probabilities[chosen].mean(axis=0), raw.raws[chosen[0]], settings)


def selection_words(raw: RawTimeline, rows: Sequence[int]) -> str:
    """Such as "Window 3 of 12, 4.0 to 6.0 s"."""
    first, last = min(rows), max(rows)
    begin, end = float(raw.starts[first]), min(float(raw.starts[last]) + raw.spec.span, max(raw.duration, 0.01))
    if first == last:
        return f"Window {first + 1} of {len(raw)}, {begin:.1f} to {end:.1f} s"
    return f"Windows {first + 1} to {last + 1} of {len(raw)}, {begin:.1f} to {end:.1f} s, averaged"


def video_line(raw: RawTimeline, seconds: float, runs: int) -> str:
    """The timings under a finished video."""
    windows = "1 window" if len(raw) == 1 else f"{len(raw)} windows"
    how = f"{runs} network runs" if runs else "drawn again without the network"
    parts = [f"{windows} of {raw.spec.frames} frames at {raw.spec.rate:g} a second, {how}, {seconds:.1f} s"]
    if runs and raw.stages:
        spent = sum(ms for name, ms in raw.stages.items() if name not in ("read", "wait", "load"))
        parts.append(f"{spent / len(raw):.0f} ms a window")
    if not raw.complete:
        parts.append("not the whole video")
    return " · ".join([*parts, *raw.notes])


def timeline_csv(raw: RawTimeline, settings: ActionSettings) -> str:
    """A line per window: start, middle, best action, and the probability of every action."""
    line = decode_timeline(raw, settings)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["start", "time", "best", *line.categories])
    for start, time, row in zip(raw.starts.tolist(), line.times.tolist(), line.probabilities):
        best = line.categories[int(row.argmax())]
        writer.writerow([f"{start:.3f}", f"{time:.3f}", best, *(f"{p:.6f}" for p in row)])
    return out.getvalue()


def timeline_json(raw: RawTimeline, settings: ActionSettings, name: str) -> str:
    """The windows with their best actions and the segments, with model and settings."""
    document = decode_timeline(raw, settings).to_dict(name)
    document["settings"] = settings.to_dict()
    return json.dumps(document, indent=1, ensure_ascii=False)


# ------------------------------------------------------------------ one clip


def look_json(look: Look, settings: ActionSettings) -> str:
    """One clip's actions, with model and settings."""
    document = decode(look.inference, settings).to_dict(look.name)
    document["settings"] = settings.to_dict()
    return json.dumps(document, indent=1, ensure_ascii=False)


def look_csv(look: Look, settings: ActionSettings) -> str:
    """A line per action, best first."""
    actions = decode(look.inference, settings)
    order = np.argsort(-actions.probabilities, kind="stable")
    lines = [f"{actions.categories[i]},{actions.probabilities[i]:.6f}" for i in order]
    return "\n".join(["action,probability", *lines]) + "\n"


def stem_of(name: str) -> str:
    """The name of a download's file without its ending."""
    return Path(name).stem or "clip"


# ------------------------------------------------------------------ the camera


@dataclass(frozen=True, eq=False)
class LiveShown:
    """A camera's newest answer: actions after smoothing, the timeline, and where it stands."""

    actions: Actions
    timeline: Timeline


def live_shown(state: LiveState, settings: ActionSettings) -> LiveShown | None:
    """The smoothed answer of the last half minute; None before the first."""
    if state.newest is None or not state.history:
        return None
    times = np.array([time for time, _ in state.history])
    raws: list[RawScores] = [result.raw for _, result in state.history]
    logits = np.stack([raw.logits for raw in raws])
    probabilities = smooth(softmax(logits, settings.temperature), times, settings.smoothing)
    spans = np.stack([times - state.span, times], axis=1)
    line = Timeline(times, spans, probabilities, raws[-1].categories, state.now - KEPT_SECONDS, state.now)
    return LiveShown(of_probabilities(probabilities[-1], raws[-1], settings), line)


def live_line(state: LiveState, inference: ActionInference | None) -> str:
    """Such as "15 captures a second, 6.1 clips a second; result 0.2 s old; 40 clips passed over · 61 ms (…)"."""
    parts = [f"{state.captures:.0f} captures a second"]
    if state.age is None:
        parts.append(f"filling the first clip: {state.filled * state.span:.1f} of {state.span:.1f} s")
        return "; ".join(parts)
    parts += [
        f"{state.clips:.1f} clips a second",
        f"newest result {state.age:.1f} s old",
        f"{state.analysed} clips seen, {state.passed} passed over",
    ]
    timing = f" · {timing_line(inference)}" if inference is not None else ""
    return "; ".join(parts) + timing
