"""What the Ground truth view shows: hits and misses in the picture, and the measures of deck 001 with their numbers."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2
from cvdemo.core.settings import Settings, borrowed, setting
from cvdemo.segmentation.draw import colour_map, colours_of
from cvdemo.segmentation.labels import IGNORE
from cvdemo.segmentation.metrics import DEFINITIONS, SegmentationScores, compare
from cvdemo.segmentation.predict import SegmentationSettings
from cvdemo.segmentation.result import BACKGROUND

SHOW = ("classes", "errors")
ALL = "all classes"
# Colours of Okabe and Ito; light on dark on grey, so that they differ without colour too.
HIT, FALSE_ALARM, MISS, UNJUDGED = (86, 180, 233), (213, 94, 0), (60, 20, 90), (255, 255, 255)
MOST_CLASSES = 16
NO_TRUTH = (
    '<p class="hint">Bring the true mask of this picture (a PNG of class indices or colours, or a COCO json with '
    "outlines). Or keep the present result as the truth, and see what another model, or another confidence, makes of "
    "it.</p>"
)


@dataclass(frozen=True)
class TruthSettings(Settings):
    """What is measured, and how it is drawn."""

    min_confidence: float = borrowed(
        SegmentationSettings, "min_confidence",
        help="Pixels whose best class is less probable are undecided: misses for their class.",
    )  # fmt: skip
    min_region: float = borrowed(SegmentationSettings, "min_region")
    score_threshold: float = borrowed(
        SegmentationSettings, "score_threshold",
        help="Instance models: only objects with a score above this count.",
    )  # fmt: skip
    show: str = setting(
        "classes", label="Show", choices=SHOW,
        help="The true and the found classes on two sides of the edge, or right and wrong pixels.",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Truth:
    """A true index map (H, W) uint8, 255 not judged, the classes it counts in, and where it comes from."""

    labels: np.ndarray
    categories: tuple[str, ...]
    source: str

    def counted_in(self, categories: Sequence[str]) -> np.ndarray:
        """The map in another list of classes; InputError where that list lacks a class of this map."""
        if tuple(categories) == self.categories:
            return self.labels
        table = np.full(256, IGNORE, np.uint8)
        for index in np.unique(self.labels).tolist():
            if index == IGNORE:
                continue
            name = self.categories[index]
            if name not in categories:
                raise InputError(
                    f"The truth ({self.source}) has {name}, which this model does not know.",
                    hint="Choose a model with the same classes, or bring another mask.",
                )
            table[index] = list(categories).index(name)
        return cv2.LUT(self.labels, table)


@dataclass(frozen=True, eq=False)
class Assessment:
    """One result against the truth, both (H, W) uint8 in the same classes, and all measures."""

    truth: np.ndarray
    predicted: np.ndarray
    scores: SegmentationScores
    source: str

    @property
    def categories(self) -> tuple[str, ...]:
        return self.scores.categories

    @property
    def present(self) -> tuple[str, ...]:
        """Classes in truth or prediction."""
        return tuple(self.scores.per_class())


def assess(truth: Truth, predicted: np.ndarray, categories: Sequence[str]) -> Assessment:
    """Measure a predicted map; errors as in ``metrics.confusion_matrix`` and ``Truth.counted_in``."""
    true = truth.counted_in(categories)
    return Assessment(true, predicted, compare(true, predicted, categories), truth.source)


def sentence(result: Assessment) -> str:
    """The three numbers of the picture."""
    scores = result.scores
    if not scores.confusion.sum():
        return "No pixel of the truth is judged"
    return (
        f"Pixel accuracy {scores.pixel_accuracy:.3f}, mean pixel accuracy {scores.mean_pixel_accuracy:.3f}, "
        f"mean IoU {scores.mIoU:.3f}"
    )


# ------------------------------------------------------------------ pictures


def _small(labels: np.ndarray, like: np.ndarray) -> np.ndarray:
    height, width = like.shape[:2]
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)


def classes_over(display: np.ndarray, labels: np.ndarray, categories: Sequence[str]) -> np.ndarray:
    """(H, W, 3) uint8: a map laid over the display copy; background plain, unjudged pixels white."""
    small = _small(labels, display)
    painted = cv2.addWeighted(display, 0.4, colour_map(small, colours_of(categories)), 0.6, 0)
    if BACKGROUND in categories:
        painted[small == list(categories).index(BACKGROUND)] = display[small == list(categories).index(BACKGROUND)]
    return painted


def errors_over(display: np.ndarray, result: Assessment, chosen: str = ALL) -> np.ndarray:
    """(H, W, 3) uint8: hits, false alarms and misses of one class; or right and wrong pixels of all."""
    truth, predicted = _small(result.truth, display), _small(result.predicted, display)
    grey = cv2.cvtColor(display, cv2.COLOR_RGB2GRAY)
    base = cv2.merge([grey, grey, grey])
    layer = base.copy()
    judged = truth != IGNORE
    if chosen in result.categories:
        index = list(result.categories).index(chosen)
        true, called = judged & (truth == index), judged & (predicted == index)
        layer[true & called], layer[called & ~true], layer[true & ~called] = HIT, FALSE_ALARM, MISS
    else:
        wrong = judged & (truth != predicted)
        layer[wrong] = FALSE_ALARM
    layer[~judged] = UNJUDGED
    return cv2.addWeighted(base, 0.25, layer, 0.75, 0)


def legend_html(show: str, chosen: str) -> str:
    """What the colours of the errors mean; "" for the classes."""
    if show != "errors":
        return '<p class="caption">Left of the edge the truth, right of it the prediction.</p>'
    meanings = (
        [(HIT, "right (true positive)"), (FALSE_ALARM, "wrong (false positive)"), (MISS, "missed (false negative)")]
        if chosen != ALL
        else [(FALSE_ALARM, "another class than the truth")]
    )
    meanings.append((UNJUDGED, "not judged"))
    items = "".join(
        f'<li><svg width="18" height="18" aria-hidden="true"><rect width="18" height="18" rx="4" stroke="#888" '
        f'fill="rgb{colour}"/></svg>{html.escape(words)}</li>'
        for colour, words in meanings
    )
    return f'<ul class="legend">{items}</ul>'


# ------------------------------------------------------------------ numbers


def definitions_markdown(result: Assessment, chosen: str = ALL) -> str:
    """The measures as the lecture defines them, with their numbers on this picture, as a Markdown table."""
    scores = result.scores
    one = scores.per_class().get(chosen)
    about = f"of {chosen}" if one is not None else "mean over the classes"
    rows = [f"| Measure | Definition | In words | This picture ({about}) |", "|---|---|---|---|"]
    for each in DEFINITIONS:
        if not each.per_class:
            value = _number(getattr(scores, each.key))
        elif one is not None:
            value = _number(one[each.key])
        else:
            values = getattr(scores, each.key)
            value = _number(float(np.nanmean(values)) if not np.isnan(values).all() else None)
        rows.append(f"| {each.name} | ${each.formula}$ | {each.words} ({each.source}) | **{value}** |")
    return "\n".join(rows)


def _number(value: float | int | None) -> str:
    return "undefined" if value is None or value != value else f"{value:.4f}"


def classes_html(result: Assessment) -> str:
    """A row per class in truth or prediction with IoU, precision, recall, F1 and Dice, and their means."""
    keys = ("iou", "precision", "recall", "f1", "dice")
    listed = sorted(result.scores.per_class().items(), key=lambda item: -int(item[1]["pixels"] or 0))
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{values['pixels']:,}</td>"
        + "".join(f"<td>{_number(values[key])}</td>" for key in keys)
        + f'<td class="bar"><div style="width:{100 * float(values["iou"] or 0):.1f}%"></div></td></tr>'
        for name, values in listed
    )
    report = result.scores.to_dict()
    means = "".join(f"<td>{_number(report[key])}</td>" for key in
                    ("mIoU", "mean_precision", "mean_recall", "mean_f1", "mean_dice"))  # fmt: skip
    head = "".join(f"<th>{word}</th>" for word in ("Class", "True pixels", "IoU", "Precision", "Recall", "F1", "Dice"))
    return (
        f'<div class="numbers"><div class="wide"><table><tr>{head}<th></th></tr>{rows}'
        f"<tr><td><strong>mean</strong></td><td></td>{means}<td></td></tr></table></div>"
        f'<p class="caption">Truth: {html.escape(result.source)}. Undefined where there is nothing to divide by.</p>'
        "</div>"
    )


def confusion_html(result: Assessment) -> str:
    """The confusion matrix of the classes that occur: rows true, columns found, in per cent of the row."""
    matrix, names = result.scores.confusion, result.categories
    totals = matrix.sum(axis=1) + matrix[:, : len(names)].sum(axis=0)
    chosen = np.argsort(-totals, kind="stable")
    chosen = chosen[totals[chosen] > 0][:MOST_CLASSES]
    columns = [*chosen.tolist()]
    if matrix.shape[1] > len(names) and matrix[:, -1].any():
        columns.append(len(names))
    headed = [*names, "undecided"]
    head = "".join(f"<th>{html.escape(headed[column])}</th>" for column in columns)
    body = ""
    for row in chosen.tolist():
        total = int(matrix[row].sum())
        cells = ""
        for column in columns:
            share = matrix[row, column] / total if total else 0.0
            ink = "#0b62b8" if row == column else "#d55e00"
            cells += (
                f'<td title="{int(matrix[row, column]):,} pixels" '
                f'style="background:color-mix(in srgb, {ink} {75 * share:.0f}%, transparent)">{100 * share:.1f}</td>'
            )
        body += f"<tr><th>{html.escape(names[row])}</th>{cells}<td>{total:,}</td></tr>"
    left_out = int((totals > 0).sum()) - len(chosen)
    more = f" {left_out} smaller classes are left out." if left_out else ""
    return (
        f'<div class="numbers"><div class="wide"><table><tr><th>true \\ found</th>{head}<th>pixels</th></tr>{body}'
        f'</table></div><p class="caption">Row: true class, column: what was found there, in per cent of the row.{more}'
        "</p></div>"
    )


def report(result: Assessment, picture: str, model: str) -> tuple[str, bytes]:
    """(file name, content) of the measures as JSON, as ``evaluate segmentation`` words them, with the matrix."""
    document = {
        "image": picture,
        "model": model,
        "truth": result.source,
        **result.scores.to_dict(),
        "categories": list(result.categories),
        "confusion": result.scores.confusion.tolist(),
    }
    return f"{Path(picture).stem or 'picture'}-measures.json", json.dumps(document, indent=1).encode()
