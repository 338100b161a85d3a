"""Does a model use motion? The same clip shuffled, frozen, reversed and slowed, each scored by the same network.

A frozen clip keeps one frame's appearance and has no motion; a shuffled one keeps all frames and spoils their order; a
reversed one keeps even the speed. What the answer does in each case tells what the model goes by.
"""

from __future__ import annotations

import html
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cvdemo.action.clips import Clip, frozen, reversed_, shuffled, strided
from cvdemo.action.predict import ActionInference, ActionSettings, decode, infer
from cvdemo.action.strip import strip_html
from cvdemo.core.context import ProgressFn
from cvdemo.core.engine import Engine
from cvdemo.core.settings import Settings, setting

ORIGINAL, SHUFFLED, FROZEN, REVERSED, HELD, FASTER = "original", "shuffled", "frozen", "reversed", "held", "faster"
WORDS = {
    ORIGINAL: ("As it is", "all frames in their order"),
    SHUFFLED: ("Shuffled", "all frames, in random order"),
    FROZEN: ("Frozen", "the middle frame all the time"),
    REVERSED: ("Reversed", "from the last frame to the first"),
    HELD: ("Fewer frames", "every {}th frame, held until the next"),
    FASTER: ("Faster", "frames {} times as far apart"),
}
LITTLE = 0.1
"""Answers whose probabilities differ by less than this altogether count as the same."""
DEFINITION = (
    "Change: the total variation distance between the probabilities for the clip as it is and for the changed one, "
    "half the sum of all absolute differences. 0: the same answer; 100 %: nothing in common. Each row is one network "
    "run on the same frames; the table is redrawn from these scores when the temperature moves."
)


@dataclass(frozen=True)
class MotionControls(Settings):
    """What the test does; each needs the network."""

    place: float = setting(
        50.0, label="Place in the video", minimum=0.0, maximum=100.0, step=1.0, network=True,
        help="Per cent: where the tested clip lies. Needs the network.",
    )  # fmt: skip
    factor: int = setting(
        2, label="Stride", minimum=2, maximum=8, step=1, network=True,
        help="For fewer frames and for faster motion. Needs the network.",
    )  # fmt: skip
    seed: int = setting(
        0, label="Shuffle number", minimum=0, maximum=99, step=1, network=True,
        help="Another number, another random order. Needs the network.",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Variant:
    """A changed clip and what the network said of it. ``kind``: a key of ``WORDS``."""

    kind: str
    clip: Clip
    inference: ActionInference


@dataclass(frozen=True, eq=False)
class MotionTest:
    """All variants of one clip; the first is the clip as it is."""

    variants: tuple[Variant, ...]
    factor: int
    rate: float

    @property
    def still(self) -> bool:
        """Whether nothing moves in the clip itself."""
        frames = self.variants[0].clip.frames
        return bool((frames == frames[:1]).all())


@dataclass(frozen=True)
class MotionRow:
    """One line of the comparison. best, probability: of this variant.   original: the probability here of what was
    best for the clip as it is.   change: total variation distance from the clip as it is, 0 to 1.
    """

    kind: str
    best: str
    probability: float
    original: float
    change: float


def variants_of(clip: Clip, controls: MotionControls, faster: Clip | None = None) -> list[tuple[str, Clip]]:
    """The clips that are compared. faster: the same place sampled with frames further apart, where there is a video."""
    found = [
        (ORIGINAL, clip),
        (SHUFFLED, shuffled(clip, controls.seed)),
        (FROZEN, frozen(clip)),
        (REVERSED, reversed_(clip)),
        (HELD, strided(clip, controls.factor)),
    ]
    return found if faster is None else [*found, (FASTER, faster)]


def run_test(
    clips: list[tuple[str, Clip]],
    model: str,
    controls: MotionControls,
    rate: float,
    engine: Engine | None = None,
    *,
    known: Callable[[str, Clip], ActionInference | None] | None = None,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: ProgressFn | None = None,
) -> MotionTest:
    """Score every clip; ``known`` may spare runs. rate: the model's frames a second.   Errors as in ``infer``."""
    variants = []
    for number, (kind, clip) in enumerate(clips):
        if progress is not None:
            progress(number / len(clips), WORDS[kind][0])
        inference = known(kind, clip) if known is not None else None
        if inference is None:
            inference = infer(clip, model, engine, user=user, cancel=cancel)
        variants.append(Variant(kind, clip, inference))
    return MotionTest(tuple(variants), controls.factor, rate)


def rows_of(test: MotionTest, settings: ActionSettings) -> list[MotionRow]:
    """The comparison at a temperature; no network is touched."""
    answers = [decode(variant.inference, settings) for variant in test.variants]
    first = answers[0]
    best = first.top[0][0]
    return [
        MotionRow(
            variant.kind, answer.top[0][1], answer.top[0][2], float(answer.probabilities[best]),
            0.5 * float(np.abs(answer.probabilities - first.probabilities).sum()),
        )
        for variant, answer in zip(test.variants, answers)
    ]  # fmt: skip


def verdict(test: MotionTest, rows: list[MotionRow]) -> str:
    """What the changes say about the model on this clip."""
    if test.still:
        return (
            "Nothing moves in this clip, so every variant is the same clip. Choose a video on the left, or the camera."
        )
    change = {row.kind: row.change for row in rows}
    name = rows[0].best
    if change[FROZEN] < LITTLE and change[SHUFFLED] < LITTLE and change[REVERSED] < LITTLE:
        return f"The model says “{name}” by appearance here: one frozen frame gives the same answer."
    if change[SHUFFLED] < LITTLE and change[REVERSED] < LITTLE:
        return (
            f"Freezing changes the answer ({change[FROZEN]:.0%}), the order of the frames does not: the model looks at "
            "several frames but not at their order."
        )
    if change[REVERSED] < LITTLE:
        return (
            f"Shuffling changes the answer ({change[SHUFFLED]:.0%}), running backwards does not: smooth motion "
            "matters, its direction does not."
        )
    return (
        f"The order of the frames matters: shuffled {change[SHUFFLED]:.0%}, reversed {change[REVERSED]:.0%}, frozen "
        f"{change[FROZEN]:.0%} change."
    )


def words_of(kind: str, factor: int) -> tuple[str, str]:
    """Title and explanation of a variant."""
    title, text = WORDS[kind]
    return title, text.format(factor).replace("2th", "2nd").replace("3th", "3rd")


def table_html(test: MotionTest, rows: list[MotionRow]) -> str:
    """The comparison as a table with bars."""
    original = html.escape(rows[0].best)
    body = "".join(_row_html(test, row) for row in rows)
    return (
        '<div class="numbers motion"><div class="wide"><table><thead><tr><th>Clip</th><th>Best action</th>'
        f"<th>Probability of “{original}”</th><th>Change</th></tr></thead><tbody>{body}</tbody></table></div></div>"
    )


def _row_html(test: MotionTest, row: MotionRow) -> str:
    title, text = words_of(row.kind, test.factor)
    change = "" if row.kind == ORIGINAL else _bar(row.change, "change")
    return (
        f'<tr data-kind="{row.kind}"><td><b>{title}</b><br><span class="caption">{html.escape(text)}</span></td>'
        f"<td>{html.escape(row.best)} ({row.probability:.0%})</td><td>{_bar(row.original, '')}</td>"
        f"<td>{change}</td></tr>"
    )


def _bar(share: float, kind: str) -> str:
    return (
        f'<span class="amount">{share:.0%}</span><span class="bar {kind}">'
        f'<span style="width:{100 * share:.1f}%"></span></span>'
    )


CSS = """
.motion td:first-child { min-width: 12em; white-space: normal !important; }
.motion td { vertical-align: top; }
.motion .caption { margin: 0; font-size: 0.9em; }
.motion .amount { display: inline-block; min-width: 3.4em; }
.motion .bar { display: inline-block; width: min(9em, 26vw); height: 12px; border-radius: 3px; overflow: hidden;
  vertical-align: baseline; background: color-mix(in srgb, var(--body-text-color-subdued) 16%, transparent); }
.motion .bar span { display: block; height: 100%; background: var(--chart-right, #0b62b8); }
.motion .bar.change span { background: repeating-linear-gradient(45deg, var(--chart-wrong, #d55e00) 0 6px,
  color-mix(in srgb, var(--chart-wrong, #d55e00) 55%, transparent) 6px 9px); }
"""


def strips_html(test: MotionTest) -> str:
    """The frames of every variant in the order the network was given them."""
    parts = []
    for variant in test.variants:
        title, text = words_of(variant.kind, test.factor)
        parts.append(strip_html(variant.clip, caption=f"{title}: {text}", kind="small", side=72))
    return "".join(parts)
