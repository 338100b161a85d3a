"""Probabilities over time as a drawing: a line per class, the windows they were measured in, and the chosen ones.

HTML and SVG that stretch with the column; letters keep the page's size. Lines differ by colour and by dashes, and
each bears its name. Colours belong to classes, so they are the same in the bars and from one video to the next.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

COLOURS = 8
"""The stylesheet names them --tone-0 to --tone-7, in light and in dark."""
DASHES = ("", "9 5", "2 4", "12 4 2 4")
EMPTY = '<p class="hint">Probabilities are drawn over time here, for a video or the camera.</p>'
MOST_LINES = 8
MOST_TICKS = 400
_PLATE = "color-mix(in srgb, var(--background-fill-primary) 75%, transparent)"

TONES = "".join(f".tone{i} {{ stroke: var(--tone-{i}); --tone: var(--tone-{i}); }}\n" for i in range(COLOURS))
CSS = (
    """
.timeline { font-size: max(14px, 1em); font-variant-numeric: tabular-nums; margin: 6px 8px 2px 0; display: grid;
  grid-template-columns: 3.6em 1fr; }
.timeline .ys, .timeline .area { position: relative; height: 13em; }
.timeline .ys span { position: absolute; right: 8px; white-space: nowrap; transform: translateY(50%); }
.timeline .area { border-left: 1px solid currentColor; border-bottom: 1px solid currentColor; touch-action: none; }
.timeline.pick .area { cursor: col-resize; }
.timeline svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.timeline path { fill: none; vector-effect: non-scaling-stroke; }
.timeline .rule { stroke: currentColor; opacity: 0.15; stroke-width: 1; }
.timeline .line { stroke-width: 3; stroke-linejoin: round; stroke-linecap: butt; }
.timeline .tick { stroke: currentColor; stroke-width: 1.5; opacity: 0.55; }
.timeline .chosen { fill: var(--chart-wrong, #d55e00); opacity: 0.16; }
.timeline .edge { stroke: var(--chart-wrong, #d55e00); stroke-width: 2; stroke-dasharray: 5 4; }
.timeline .brush { position: absolute; top: 0; bottom: 0; background: var(--chart-wrong, #d55e00); opacity: 0.25;
  pointer-events: none; }
.timeline .word { position: absolute; padding: 0 4px; border-radius: 3px; line-height: 1.25; pointer-events: none;
  white-space: nowrap; font-weight: 600; transform: translate(-50%, -115%); background: """
    + _PLATE
    + """; }
.timeline .xs { grid-column: 2; position: relative; height: 1.6em; }
.timeline .xs span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
.timeline .xs span:first-child { transform: none; }
.timeline .xs span:last-child { transform: translateX(-100%); }
.timeline-keys { display: flex; flex-wrap: wrap; gap: 2px 18px; list-style: none !important; padding: 0 !important;
  margin: 2px 0 2px 3.6em !important; }
.timeline-keys li { display: flex; align-items: center; gap: 6px; margin: 0 !important; padding: 0 !important; }
.timeline-keys path { fill: none; stroke-width: 3; }
@media (max-width: 760px) { .timeline-keys { margin-left: 0 !important; } }
"""
    + TONES
)

# Click: the window there, and the finished video jumps to it. Drag: all windows in between. Arrow keys: a window on.
SCRIPT = """
let start = null;
const area = () => element.querySelector(".timeline.pick .area");
const share = (event) => {
  const box = area().getBoundingClientRect();
  return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
};
const brush = (a, b) => {
  let mark = area().querySelector(".brush");
  if (!mark) { mark = document.createElement("div"); mark.className = "brush"; area().appendChild(mark); }
  mark.style.left = 100 * Math.min(a, b) + "%";
  mark.style.width = 100 * Math.abs(a - b) + "%";
};
const clear = () => { const mark = element.querySelector(".brush"); if (mark) mark.remove(); };
element.addEventListener("pointerdown", (event) => {
  if (!area() || !event.target.closest(".area")) return;
  start = share(event);
  element.setPointerCapture(event.pointerId);
});
element.addEventListener("pointermove", (event) => { if (start !== null && area()) brush(start, share(event)); });
element.addEventListener("pointerup", (event) => {
  if (start === null || !area()) return;
  const from = start, to = share(event), video = document.querySelector("#action-result-clip video");
  start = null;
  clear();
  if (video && video.duration) video.currentTime = (from + to) / 2 * video.duration;
  trigger("select", { from, to });
});
element.addEventListener("pointercancel", () => { start = null; clear(); });
element.addEventListener("keydown", (event) => {
  const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!way || !area()) return;
  event.preventDefault();
  trigger("select", { step: way });
});
"""


@dataclass(frozen=True, eq=False)
class Timeline:
    """What is drawn.

    times: (N,) seconds, rising: where each window's answer is placed.   spans: (N, 2) its first and last second.
    probabilities: (N, C).   categories: C names.   begin, end: of the axis.
    """

    times: np.ndarray
    spans: np.ndarray
    probabilities: np.ndarray
    categories: tuple[str, ...]
    begin: float
    end: float

    def __post_init__(self) -> None:
        count = len(self.times)
        if self.spans.shape != (count, 2) or self.probabilities.shape != (count, len(self.categories)):
            raise ValueError(
                f"{count} times, {self.spans.shape} spans and {self.probabilities.shape} probabilities of "
                f"{len(self.categories)} classes do not belong together"
            )

    def lines(self, most: int) -> list[int]:
        """Classes worth a line: those that were highest somewhere, or most probable on average; best first."""
        if not len(self.times):
            return []
        merit = self.probabilities.mean(axis=0) + (self.probabilities.argmax(axis=1)[:, None] == np.arange(
            len(self.categories))).mean(axis=0)  # fmt: skip
        order = np.argsort(-merit, kind="stable")[: min(most, MOST_LINES)]
        return [int(index) for index in order]

    def nearest(self, time: float) -> int:
        """The window whose answer is placed nearest to a time."""
        return int(np.abs(self.times - time).argmin())

    def between(self, first: float, last: float) -> list[int]:
        """Windows whose answers are placed between two times, at least the one nearest to their middle."""
        low, high = min(first, last), max(first, last)
        rows = np.flatnonzero((self.times >= low) & (self.times <= high)).tolist()
        return rows or [self.nearest((low + high) / 2)]

    def at_share(self, share: float) -> float:
        """The time at a share of the axis."""
        return self.begin + share * (self.end - self.begin)


def style_of(index: int) -> tuple[int, str]:
    """Tone and dashes of a class, always the same."""
    return index % COLOURS, DASHES[index // COLOURS % len(DASHES)]


def styles_of(indices: Sequence[int]) -> dict[int, tuple[int, str]]:
    """Tone and dashes of the classes drawn together: those that would look alike get other dashes, then tones."""
    taken: set[tuple[int, str]] = set()
    styles = {}
    for index in indices:
        tone, dash = style_of(index)
        others = [(tone, other) for other in DASHES] + [(t, dash) for t in range(COLOURS)]
        style = next((one for one in ((tone, dash), *others) if one not in taken), (tone, dash))
        taken.add(style)
        styles[index] = style
    return styles


def timeline_html(line: Timeline, *, most: int = 5, chosen: Sequence[int] = (), pick: bool = False,
                  zero: float | None = None) -> str:  # fmt: skip
    """The drawing. chosen: rows that are shaded.   pick: windows can be chosen by mouse and arrow keys.

    zero: seconds that count as now on the axis (a camera).
    """
    if not len(line.times):
        return EMPTY
    span = max(line.end - line.begin, 1e-6)
    shown = line.lines(most)
    styles = styles_of(shown)

    def x(time: float) -> float:
        return min(max((time - line.begin) / span, 0.0), 1.0) * 1000

    parts = ['<path class="rule" d="M0 25H1000M0 50H1000M0 75H1000"/>']
    for row in chosen:
        first, last = (x(float(value)) for value in line.spans[row])
        parts.append(f'<rect class="chosen" x="{first:.1f}" y="0" width="{max(last - first, 3):.1f}" height="100"/>')
    if chosen:
        edges = x(float(line.spans[list(chosen), 0].min())), x(float(line.spans[list(chosen), 1].max()))
        parts.append(f'<path class="edge" d="M{edges[0]:.1f} 0V100M{edges[1]:.1f} 0V100"/>')
    every = max(1, len(line.times) // MOST_TICKS)
    ticks = "".join(f"M{x(float(time)):.1f} 96V100" for time in line.times[::every])
    parts.append(f'<path class="tick" d="{ticks}"/>')
    words = []
    for index in reversed(shown):
        tone, dash = styles[index]
        values = line.probabilities[:, index]
        parts.append(f'<path class="line tone{tone}" stroke-dasharray="{dash}" d="{_path(line.times, values, x)}"/>')
        words.append(_word(line, index, values, x))
    ys = "".join(f'<span style="bottom:{y}%">{y} %</span>' for y in (0, 50, 100))
    xs = "".join(
        f'<span style="left:{100 * share:.0f}%">{_axis_words(line.begin + share * span, zero)}</span>'
        for share in (0, 0.25, 0.5, 0.75, 1)
    )
    keys = "".join(
        f'<li><svg width="34" height="10" aria-hidden="true"><path class="tone{styles[index][0]}" '
        f'stroke-dasharray="{styles[index][1]}" d="M0 5H34"/></svg>{html.escape(line.categories[index])}</li>'
        for index in shown
    )
    label = html.escape(label_of(line, shown))
    focus = ' tabindex="0"' if pick else ""
    return (
        f'<ul class="timeline-keys">{keys}</ul><div class="timeline{" pick" if pick else ""}" role="img" '
        f'aria-label="{label}"{focus}><div class="ys">{ys}</div><div class="area"><svg viewBox="0 0 1000 100" '
        f'preserveAspectRatio="none" aria-hidden="true">{"".join(parts)}</svg>{"".join(filter(None, words))}</div>'
        f'<div class="xs">{xs}</div></div>'
    )


def _path(times: np.ndarray, values: np.ndarray, x: object) -> str:
    place = [(x(float(time)), 100 * (1 - float(value))) for time, value in zip(times, values)]  # type: ignore[operator]
    if len(place) == 1:  # a single window is a short level line
        at, y = place[0]
        return f"M{max(at - 15, 0):.1f} {y:.1f}H{min(at + 15, 1000):.1f}"
    return "M" + "L".join(f"{at:.1f} {y:.1f}" for at, y in place)


def _word(line: Timeline, index: int, values: np.ndarray, x: object) -> str:
    """The class's name at its peak, where it is the highest of all; elsewhere the legend must do."""
    ahead = np.flatnonzero(line.probabilities.argmax(axis=1) == index)
    if not len(ahead):
        return ""
    row = int(ahead[values[ahead].argmax()])
    at = x(float(line.times[row])) / 10  # type: ignore[operator]
    high = 100 * float(values[row])
    style = f"left:clamp(3.5em,{at:.1f}%,calc(100% - 3.5em));top:max(1.5em,{100 - high:.1f}%)"
    return f'<span class="word" style="{style}">{html.escape(line.categories[index])}</span>'


def _axis_words(time: float, zero: float | None) -> str:
    if zero is None:
        return f"{time:.1f} s"
    before = zero - time
    return "now" if before < 0.05 else f"\N{MINUS SIGN}{before:.0f} s"


def label_of(line: Timeline, shown: Sequence[int]) -> str:
    """The drawing in words, for screen readers."""
    best = line.probabilities.argmax(axis=1)
    parts = []
    for index in shown:
        share = float((best == index).mean())
        if share:
            parts.append(f"{line.categories[index]} ahead in {share:.0%}")
    windows = "1 window" if len(line.times) == 1 else f"{len(line.times)} windows"
    return f"Probabilities over {line.end - line.begin:.1f} seconds, {windows}: {', '.join(parts)}"
