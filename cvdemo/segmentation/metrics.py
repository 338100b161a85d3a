"""How good a label map is: the measures of deck 001, slides 155 to 158, from one confusion matrix.

Everything is counted in pixels. Row i, column j of the matrix p is the number of pixels of true class i that were
called class j; pixels whose truth is 255 ("not judged": object borders, unlabelled parts) are left out everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.segmentation.labels import IGNORE

__all__ = ["DEFINITIONS", "IGNORE", "Definition", "SegmentationScores", "compare", "confusion_matrix", "scores_of"]


@dataclass(frozen=True)
class Definition:
    """A measure as the lecture defines it: key in ``SegmentationScores``, name, formula (LaTeX), where, in words."""

    key: str
    name: str
    formula: str
    source: str
    words: str
    per_class: bool


DEFINITIONS = (
    Definition("pixel_accuracy", "Pixel accuracy", r"PA = \frac{\sum_i p_{ii}}{\sum_i \sum_j p_{ij}}",
               "deck 001, slide 155", "share of the judged pixels that have the right class", False),
    Definition("mean_pixel_accuracy", "Mean pixel accuracy",
               r"MPA = \frac{1}{K+1} \sum_i \frac{p_{ii}}{\sum_j p_{ij}}",
               "deck 001, slide 155", "pixel accuracy of each class, averaged over the classes in the truth", False),
    Definition("iou", "IoU (Jaccard index)",
               r"J(A, B) = \frac{|A \cap B|}{|A \cup B|} = \frac{TP}{TP + FP + FN}",
               "deck 001, slide 156", "overlap of true and predicted pixels over what either covers", True),
    Definition("mIoU", "Mean IoU", r"mIoU = \frac{1}{K+1} \sum_i J(A_i, B_i)",
               "deck 001, slide 156", "IoU averaged over the classes that occur in truth or prediction", False),
    Definition("precision", "Precision", r"P = \frac{TP}{TP + FP}",
               "deck 001, slide 157", "share of the pixels called so that are so", True),
    Definition("recall", "Recall", r"R = \frac{TP}{TP + FN}",
               "deck 001, slide 157", "share of the class's true pixels that were found; its pixel accuracy", True),
    Definition("f1", "F1 score", r"F_1 = \frac{2 P R}{P + R}",
               "deck 001, slide 157", "harmonic mean of precision and recall", True),
    Definition("dice", "Dice coefficient", r"\frac{2 |A \cap B|}{|A| + |B|} = \frac{2 TP}{2 TP + FP + FN} = F_1",
               "deck 001, slide 158", "the same number as F1; IoU = Dice / (2 - Dice)", True),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class SegmentationScores:
    """All measures of one confusion matrix. NaN marks what is undefined: a class without pixels to divide by.

    confusion: (C, C) int64 or (C, C + 1), see ``confusion_matrix``. Per class, (C,) float64: iou, precision, recall,
    f1, dice; pixels: (C,) int64 true pixels.
    """

    confusion: np.ndarray
    categories: tuple[str, ...]
    pixel_accuracy: float
    mean_pixel_accuracy: float
    mIoU: float
    iou: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    dice: np.ndarray
    pixels: np.ndarray

    def per_class(self) -> dict[str, dict[str, float | int | None]]:
        """{class: {iou, precision, recall, f1, dice, pixels}} of the classes in truth or prediction, None for NaN."""
        out: dict[str, dict[str, float | int | None]] = {}
        for index, name in enumerate(self.categories):
            if np.isnan(self.iou[index]):
                continue
            values = {key: _plain(getattr(self, key)[index]) for key in ("iou", "precision", "recall", "f1", "dice")}
            out[name] = {**values, "pixels": int(self.pixels[index])}
        return out

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON: pixel_accuracy, mean_pixel_accuracy, mIoU, and the averages and classes beneath."""
        return {
            "pixel_accuracy": _plain(self.pixel_accuracy),
            "mean_pixel_accuracy": _plain(self.mean_pixel_accuracy),
            "mIoU": _plain(self.mIoU),
            "mean_precision": _plain(_mean(self.precision)),
            "mean_recall": _plain(_mean(self.recall)),
            "mean_f1": _plain(_mean(self.f1)),
            "mean_dice": _plain(_mean(self.dice)),
            "per_class": self.per_class(),
            "pixels": int(self.confusion.sum()),
        }


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(C, C + 1) int64 pixel counts: row true class, column predicted class.

    The last column holds pixels of a true class that were given none (255, undecided): a miss for their class and a
    false alarm for no other.

    Args:
        truth, predicted: index maps of the same shape, 0 to C - 1 or 255. Where the truth is 255 nothing is counted.
    Errors: InputError when shapes differ or an index is neither a class nor 255.
    """
    if truth.shape != predicted.shape:
        raise InputError(
            f"The true mask is {_size(truth)} pixels, the prediction {_size(predicted)}.",
            hint="Give the mask that was drawn on this picture, unscaled.",
        )
    judged = truth.ravel() != IGNORE
    rows = truth.ravel()[judged].astype(np.int64)
    columns = predicted.ravel()[judged].astype(np.int64)
    columns[columns == IGNORE] = classes
    for name, values, limit in (("true mask", rows, classes), ("prediction", columns, classes + 1)):
        if len(values) and int(values.max()) >= limit:
            raise InputError(
                f"The {name} holds index {int(values.max())}, but there are {classes} classes (0 to {classes - 1}).",
                hint="It may belong to another list of classes; 255 marks pixels that do not count.",
            )
    return np.bincount(rows * (classes + 1) + columns, minlength=classes * (classes + 1)).reshape(classes, classes + 1)


def scores_of(confusion: np.ndarray, categories: Sequence[str]) -> SegmentationScores:
    """All measures of a (C, C) or (C, C + 1) confusion matrix with true classes as rows."""
    classes = len(categories)
    if confusion.shape not in ((classes, classes), (classes, classes + 1)):
        raise ValueError(f"a confusion matrix of shape {confusion.shape} for {classes} classes")
    counts = confusion.astype(np.float64)
    right = np.diagonal(counts)
    true, called = counts.sum(axis=1), counts[:, :classes].sum(axis=0)
    recall = _ratio(right, true)
    precision = _ratio(right, called)
    both = np.where(right > 0, precision + recall, 1.0)
    found = (true > 0) | (called > 0)
    f1 = np.where(found, np.where(right > 0, 2 * precision * recall / both, 0.0), np.nan)
    total = counts.sum()
    return SegmentationScores(
        confusion,
        tuple(categories),
        float(right.sum() / total) if total else float("nan"),
        _mean(recall),
        _mean(iou := _ratio(right, true + called - right)),
        iou,
        precision,
        recall,
        f1,
        _ratio(2 * right, true + called),
        true.astype(np.int64),
    )


def compare(truth: np.ndarray, predicted: np.ndarray, categories: Sequence[str]) -> SegmentationScores:
    """All measures of one predicted map against its truth; errors as in ``confusion_matrix``."""
    return scores_of(confusion_matrix(truth, predicted, len(categories)), categories)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _size(mask: np.ndarray) -> str:
    return " x ".join(str(side) for side in mask.shape[1::-1])
