"""What the lecture views say: one sentence under the picture, and HTML below it (legend, curve, tables).

Escapes every text it is given. The curve is SVG, so it is sharp on a projector and follows light and dark.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import numpy as np

from cvdemo.detection import lecture_nms, lecture_origins
from cvdemo.detection.average_precision import ELEVEN_POINTS, precision_at
from cvdemo.detection.candidates import name_of
from cvdemo.detection.draw import MATCH_STYLES, Style
from cvdemo.detection.lecture_nms import STEP_STYLES, Moment, Walk
from cvdemo.detection.lecture_origins import Word
from cvdemo.detection.lecture_truth import Assessment, ClassScore
from cvdemo.detection.raw import RawDetections

_LEFT, _TOP, _SIDE_X, _SIDE_Y = 52, 12, 400, 250  # where the curve's axes stand, in units of its view box
MOST_PAIRS = 12


def said(sentence: str) -> str:
    """A sentence that screen readers announce."""
    return f'<p class="said" role="status" aria-live="polite">{html.escape(sentence)}</p>'


def legend(entries: Iterable[tuple[Style, str]]) -> str:
    """Line samples with their meaning."""
    items = "".join(f"<li>{_sample(style)}{html.escape(text)}</li>" for style, text in entries)
    return f'<ul class="legend">{items}</ul>'


def _sample(style: Style) -> str:
    dashes = f' stroke-dasharray="{" ".join(f"{3 * part:g}" for part in style.pattern)}"' if style.pattern else ""
    ink, colour = (f"rgb({r},{g},{b})" for r, g, b in (style.ink, style.colour))
    return (
        f'<svg width="38" height="12" aria-hidden="true"><line x1="1" y1="6" x2="37" y2="6" stroke="{ink}" '
        f'stroke-width="8"/><line x1="2" y1="6" x2="36" y2="6" stroke="{colour}" stroke-width="5"{dashes}/></svg>'
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    words = f'<p class="caption">{html.escape(caption)}</p>' if caption else ""
    return f'{words}<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


# ------------------------------------------------------------------ suppression, step by step


def walk_panel(walked: Walk, at: Moment | None) -> str:
    """The legend, and every box the step did something to. ``at`` None when there is no step."""
    if at is None:
        return said("No candidate passes the filters: lower the score threshold to have something to suppress.")
    fate = "score lowered by this step" if walked.soft else "suppressed by this step, with its IoU"
    meanings = {"picked": "picked now", "affected": fate, "kept": "kept before", "waiting": "still waiting"}
    text = legend((STEP_STYLES[name], words) for name, words in meanings.items())
    listed = lecture_nms.rows(walked, at)
    if listed:
        left = len(at.step.affected) - len(listed)
        caption = f"The {len(listed)} that overlap most; {left} more are not listed." if left else ""
        text += _table(("Box", "IoU with the picked box", "Score", "What becomes of it"), listed, caption)
    return f'<div class="numbers">{text}</div>'


# ------------------------------------------------------------------ ground truth


def truth_sentence(result: Assessment, threshold: float) -> str:
    """Counts, precision, recall and F1 of the class looked at. ``threshold``: the score threshold now."""
    what = "all classes" if result.label is None else name_of(result.label)
    counts = result.counts
    return (
        f"{what.capitalize()}: {counts['TP']} right, {counts['FP']} wrong, {counts['FN']} missed. Precision "
        f"{result.precision:.2f}, recall {result.recall:.2f}, F1 {result.f1:.2f} at score {threshold:.2f} and IoU "
        f"{result.iou:.2f}."
    )


def truth_panel(result: Assessment, source: str, remarks: Sequence[str], threshold: float) -> str:
    """Curve, figures, classes and hard negatives of an assessment. ``remarks`` may hold empty ones."""
    words = {"TP": "right (TP)", "FP": "wrong (FP)", "FN": "missed (FN)"}
    if (result.match.status == "ignored").any():
        words["ignored"] = "inside a crowd: counts neither way"
    text = legend((MATCH_STYLES[kind], meaning) for kind, meaning in words.items())
    text += f'<div class="beside">{curve_svg(result, threshold)}<div>{_figures(result)}</div></div>'
    text += _hardest(result)
    notes = " ".join(html.escape(note) for note in (f"Ground truth: {source}.", *remarks) if note)
    return f'<div class="numbers">{text}<p class="caption">{notes}</p></div>'


def _figures(result: Assessment) -> str:
    """Precision, recall and F1 as fractions, then a row per class."""
    tp, fp, fn = (result.counts[kind] for kind in ("TP", "FP", "FN"))
    rows = [
        ("Precision", f"{tp} / {tp + fp}", f"{result.precision:.3f}"),
        ("Recall", f"{tp} / {tp + fn}", f"{result.recall:.3f}"),
        ("F1", f"{2 * tp} / {2 * tp + fp + fn}", f"{result.f1:.3f}"),
        ("AP, 11-point (VOC 2007)", "", f"{result.ap_11:.3f}"),
        ("AP, 101-point (COCO)", "", f"{result.ap_101:.3f}"),
    ]
    text = _table(("Measure", "", "Value"), rows)
    if len(result.classes) > 1:
        eleven, hundred = result.mean_ap
        listed = [_class_row(score) for score in result.classes[:MOST_PAIRS]]
        listed.append(("mean (mAP)", "", "", "", "", f"{eleven:.3f}", f"{hundred:.3f}"))
        text += _table(("Class", "Objects", "TP", "FP", "FN", "AP 11", "AP 101"), listed)
    return text


def _class_row(score: ClassScore) -> tuple[object, ...]:
    counts = (score.counts[kind] for kind in ("TP", "FP", "FN"))
    rated = (f"{score.ap_11:.3f}", f"{score.ap_101:.3f}") if score.objects else ("-", "-")
    return (name_of(score.label), score.objects, *counts, *rated)


def _hardest(result: Assessment) -> str:
    if not result.hardest:
        return '<p class="caption">No false positives at any score.</p>'
    rows = [
        (rank, name_of(false.label), f"{false.score:.2f}", f"{false.iou:.2f}", false.reason,
         "shown" if false.shown else "hidden by the threshold")
        for rank, false in enumerate(result.hardest, 1)
    ]  # fmt: skip
    return _table(
        ("#", "Label", "Score", "IoU with its class", "Why it is wrong", "Now"),
        rows,
        "Hard negatives: the false positives the detector is surest of, at any score.",
    )


def curve_svg(result: Assessment, threshold: float) -> str:
    """Precision over recall: the curve, its interpolation, the eleven points, and where the score threshold is now."""
    curve = result.curve
    if not len(curve.recall):
        nothing = "nothing to find" if not len(result.truth) else "nothing found at any score"
        return f'<p class="caption">No curve: {nothing} in this class.</p>'
    raw = [(0.0, float(curve.precision[0])), *zip(curve.recall.tolist(), curve.precision.tolist())]
    best = np.maximum.accumulate(curve.precision[::-1])[::-1].tolist()
    steps, last = [], 0.0
    for recall, precision in zip(curve.recall.tolist(), best):
        steps += [(last, precision), (recall, precision)]
        last = recall
    steps.append((last, 0.0))
    dots = "".join(
        f'<circle cx="{_x(r):.1f}" cy="{_y(p):.1f}" r="4.5" class="eleven"/>'
        for r, p in zip(ELEVEN_POINTS.tolist(), precision_at(curve.precision, curve.recall, ELEVEN_POINTS).tolist())
    )
    x, y = _x(result.recall), _y(result.precision)
    end = x > _LEFT + 0.6 * _SIDE_X
    now = (
        f'<path d="M{x:.1f} {y - 8:.1f} l8 8 l-8 8 l-8 -8 z" class="now"/><text x="{x + (-12 if end else 12):.1f}" '
        f'y="{y + (20 if y < _TOP + 40 else -10):.1f}" text-anchor="{"end" if end else "start"}" class="here">'
        f"score {threshold:.2f}</text>"
    )
    label = f"Precision over recall; now precision {result.precision:.2f} at recall {result.recall:.2f}"
    return (
        f'<figure class="curve"><svg viewBox="0 0 {_LEFT + _SIDE_X + 16} {_TOP + _SIDE_Y + 46}" role="img" '
        f'aria-label="{label}">{_axes()}<path d="{_path(steps)}" class="best"/><path d="{_path(raw)}" class="raw"/>'
        f"{dots}{now}</svg><figcaption>Line: as the score threshold falls. Dashed: the best precision at that recall "
        "or beyond. Rings: the eleven points. Diamond: the threshold now.</figcaption></figure>"
    )


def _x(recall: float) -> float:
    return _LEFT + recall * _SIDE_X


def _y(precision: float) -> float:
    return _TOP + (1 - precision) * _SIDE_Y


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{_x(r):.1f} {_y(p):.1f}" for r, p in points)


def _axes() -> str:
    text = ""
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        text += f'<path d="M{_x(tick)} {_y(0)} V{_y(1)} M{_x(0)} {_y(tick)} H{_x(1)}" class="rule"/>'
        text += f'<text x="{_x(tick)}" y="{_y(0) + 19}" text-anchor="middle">{tick:g}</text>'
        text += f'<text x="{_LEFT - 8}" y="{_y(tick) + 5}" text-anchor="end">{tick:g}</text>'
    text += f'<text x="{_x(0.5)}" y="{_y(0) + 40}" text-anchor="middle">recall</text>'
    middle = _y(0.5)
    return text + f'<text x="13" y="{middle}" text-anchor="middle" transform="rotate(-90 13 {middle})">precision</text>'


# ------------------------------------------------------------------ where boxes come from


def origins_sentence(raw: RawDetections, rows: np.ndarray, show: str) -> str:
    """How many boxes each level fired; "" when there is nothing to trace back."""
    if not len(rows) or raw.candidates.origins is None:
        return ""
    counts = lecture_origins.per_level(raw.candidates, rows, len(raw.levels))
    fired = [f"{counts[level]} at stride {raw.levels[level][2]:g}" for level in np.flatnonzero(counts).tolist()]
    nouns = ("found object", "found objects") if show == "found" else ("best candidate", "best candidates")
    text = f"{len(rows)} {nouns[len(rows) > 1]}"
    return f"{text} from {len(fired)} of {len(raw.levels)} levels: {', '.join(fired)}." if fired else f"{text}."


def origins_panel(raw: RawDetections, rows: np.ndarray, word: Word) -> str:
    """The levels and the pairs of origin and box, one by one."""
    candidates = raw.candidates
    if not len(rows) or candidates.origins is None:
        return said("No box to trace back: lower the score threshold, or choose more classes.")
    counts = lecture_origins.per_level(candidates, rows, len(raw.levels))
    moved = lecture_origins.refinement(candidates, rows)
    used = np.flatnonzero(counts).tolist()
    average = f"On average a box's middle lies {moved.shift.mean():.0f} px from its {word}'s, "
    if word == "cell":  # a cell is no guess of the box, so an overlap would mean nothing
        average += f"and it covers {np.median(moved.growth):.0f} times the cell's area (median)."
    else:
        average += f"and the two overlap with an IoU of {moved.iou.mean():.2f}."
    entries = [(lecture_origins.level_style(level), f"box, stride {raw.levels[level][2]:g}") for level in used]
    text = legend([*entries, (lecture_origins.level_style((used or [-1])[0], before=True), f"{word} it started from")])
    text += _levels_table(raw, counts)
    pairs = [
        (rank, name_of(candidates.labels[row]), f"{candidates.scores[row]:.2f}",
         f"{raw.levels[int(candidates.level[row])][2]:g}" if candidates.level[row] >= 0 else "-",
         _place(candidates.origins[row]), _place(candidates.boxes[row]), f"{shift:.0f} px", f"{iou:.2f}")
        for rank, (row, shift, iou) in enumerate(zip(rows[:MOST_PAIRS].tolist(), moved.shift, moved.iou), 1)
    ]  # fmt: skip
    header = ("#", "Label", "Score", "Stride", f"Before: {word}", "After: box", "Moved", "IoU of the two")
    text += _table(header, pairs, f"Before and after refinement, in pixels. {average}")
    return f'<div class="numbers">{text}</div>'


def _place(box: np.ndarray) -> str:
    x1, y1, x2, y2 = (float(value) for value in box)
    return f"{x2 - x1:.0f} x {y2 - y1:.0f} at {x1:.0f}, {y1:.0f}"


def _levels_table(raw: RawDetections, counts: np.ndarray) -> str:
    everyone = lecture_origins.per_level(raw.candidates, np.arange(len(raw.candidates)), len(raw.levels))
    rows = []
    for level, (height, width, stride) in enumerate(raw.levels):
        grid = lecture_origins.grid_of(raw, level)
        cell = f"{grid.across:.0f} x {grid.down:.0f}"
        rows.append((f"{height} x {width}", f"{stride:g}", cell, int(everyone[level]), int(counts[level])))
    return _table(("Feature map", "Stride", "Cell in the picture, px", "Candidates", "Of these boxes"), rows)


def proposals_sentence(raw: RawDetections, most: int) -> str:
    """How many regions the first stage handed to the second; "" for a one-stage detector."""
    if raw.objectness is None or not len(raw.objectness):
        return ""
    used = raw.objectness[:most]
    return (
        f"The best {len(used)} of {len(raw.objectness)} proposals, with an objectness from {used[-1]:.2f} to "
        f"{used[0]:.2f}. The second stage classifies and refines every one of them."
    )


def proposals_panel(raw: RawDetections) -> str:
    """What the dashed boxes are, or why there are none."""
    if raw.proposals is None:
        return said(
            "This detector has no proposals: it works in one stage, and every cell or anchor predicts a class and a "
            "box at once. Choose a Faster R-CNN to see proposals."
        )
    if not len(raw.proposals):
        return said("The first stage proposed nothing in this picture.")
    return legend([(lecture_origins.PROPOSAL_STYLE, "proposal: probably some object, of any class")])
