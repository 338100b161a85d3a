"""What the sliding-window view shows beside its picture: the plan before, the bill afterwards, the class menu."""

from __future__ import annotations

import html
from dataclasses import dataclass

from cvdemo.classification.race_view import percent
from cvdemo.classification.sliding import SlidingResult, count_windows, default_sides, ranked_classes
from cvdemo.classification.windows import MOST_WINDOWS
from cvdemo.detection.predict import Inference as DetectorRun

OFFERED = 10
DETECTOR_STAGES = ("preprocess", "network", "decode")


@dataclass(frozen=True, eq=False)
class Slid:
    """Every window of a picture classified, and what one run of a detector on the same picture cost.

    detector_ms: None when no detector could be run.
    """

    result: SlidingResult
    detector: str = ""
    detector_ms: float | None = None

    def bill(self) -> str:
        """The sentence that compares the two."""
        result = self.result
        if not self.detector_ms:
            return result.sentence()
        times = result.milliseconds / self.detector_ms
        factor = f"{times:.0f} times" if times >= 2 else f"{times:.1f} times"
        return (
            f"{result.evaluations} evaluations took {result.milliseconds / 1e3:.1f} s; the {self.detector} looks at "
            f"the whole picture once, in {self.detector_ms:.0f} ms: the windows cost {factor} as much."
        )


def detector_milliseconds(run: DetectorRun) -> float:
    """What one detector run took, without waiting for its turn and without loading its file."""
    return sum(run.stages.get(stage, 0.0) for stage in DETECTOR_STAGES)


def plan(height: int, width: int, scales: int, stride_share: float) -> str:
    """What is about to be computed: "284, 199, 142 px windows: 1 + 6 + 15 = 22 evaluations"."""
    sides = default_sides(height, width, scales)
    counts = count_windows(height, width, sides, stride_share)
    listed = " + ".join(f"{count:,}" for count in counts)
    total = sum(counts)
    summed = f"{listed} = {total:,}" if len(counts) > 1 else f"{total:,}"
    line = f"Windows of {', '.join(str(side) for side in sides)} px: {summed} evaluations of the network"
    if total > MOST_WINDOWS:
        line += f"; at most {MOST_WINDOWS:,} are allowed, so take fewer scales or a larger stride"
    return line


def class_choices(result: SlidingResult, offered: int = OFFERED) -> list[tuple[str, str]]:
    """(label, index in digits) for the menu: the classes some window is most sure of first, then all others by name."""
    ranked = ranked_classes(result, offered)
    top = {index for index, _, _ in ranked}
    others = sorted((name.lower(), index) for index, name in enumerate(result.categories) if index not in top)
    return [
        *((f"{name} · {percent(probability)}", str(index)) for index, name, probability in ranked),
        *((result.categories[index], str(index)) for _, index in others),
    ]


def index_of(value: str | None, result: SlidingResult) -> int:
    """The class a menu value stands for; the one some window is most sure of for anything else."""
    if value is not None and str(value).isdecimal() and int(value) < len(result.categories):
        return int(value)
    return ranked_classes(result, 1)[0][0]


def sentence(result: SlidingResult, index: int) -> str:
    """ "lion: 91 % in the best of 232 windows"."""
    best = float(result.probabilities[:, index].max())
    return f"{result.categories[index]}: {percent(best)} in the best of {result.evaluations} windows"


def scales_html(slid: Slid) -> str:
    """Windows per scale as a table, and the bill."""
    result = slid.result
    most = max(result.windows.counts)
    rows = "".join(
        f"<tr><td>{side} x {side} px</td><td>{count:,}</td>"
        f'<td class="bar"><div style="width:{100 * count / most:.1f}%"></div></td></tr>'
        for side, count in zip(result.windows.sides, result.windows.counts)
    )
    return (
        f'<div class="numbers"><p class="said">{html.escape(slid.bill())}</p>'
        f"<table><thead><tr><th>Window</th><th>Evaluations</th><th></th></tr></thead><tbody>{rows}</tbody></table>"
        '<p class="caption">Half the stride makes four times the windows, and every shape of box would need windows of '
        "its own. Region proposals, and later detectors that share one feature map, replaced this search.</p></div>"
    )
