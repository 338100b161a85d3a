"""Ground truth for the picture on the page: reading a COCO file, and everything the page says about hits and misses.

The curve is that of all candidates after suppression, not only of those above the score threshold: the threshold is a
point on it. All of it is arithmetic on one network run, so it follows a slider.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.detection.average_precision import (
    Curve,
    GroundTruth,
    ImageMatch,
    average_precision,
    curve_of,
    match_image,
)
from cvdemo.detection.candidates import Candidates, Detections, name_of
from cvdemo.detection.evaluate import read_annotations
from cvdemo.detection.labels import COCO_CATEGORIES, NAME_OF_ID
from cvdemo.detection.nms import iou_matrix
from cvdemo.detection.predict import DetectionSettings, decode

# Below this IoU a box has not even touched the object (Hoiem et al. 2012, "Diagnosing error in object detectors").
TOUCHING = 0.1
HARDEST = 10
# PASCAL VOC's names of COCO's classes.
_OTHER_NAMES = {
    "aeroplane": "airplane", "motorbike": "motorcycle", "sofa": "couch", "tvmonitor": "tv", "pottedplant":
    "potted plant", "diningtable": "dining table",
}  # fmt: skip
_ID_OF_NAME = {category.name: category.id for category in COCO_CATEGORIES}


@dataclass(frozen=True, eq=False)
class TruthFile:
    """The true objects of every picture of a COCO file.

    Attributes:
        source: the file's name. names: (I) file name of each picture. sizes: (I) (height, width), 0 where not stated.
        first: (I + 1,) objects of picture i are rows first[i] to first[i + 1] of the next three.
        boxes: (M, 4) float32 x1 y1 x2 y2 in pixels. labels: (M,) COCO category ids. crowd: (M,) bool.
        note: what had to be left out, "" if nothing.
        made_up: whether detections stand in for it, which fit no other picture.
    """

    source: str
    names: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    first: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    note: str = ""
    made_up: bool = False

    def of(self, name: str, height: int, width: int) -> tuple[GroundTruth, str]:
        """The true objects of a picture and a remark on how it was found ("" when by its name).

        Args:
            name: its file name; folders, capitals and characters a browser replaces do not matter.
        Errors:
            InputError when no picture, or more than one, has that name and there is not just one picture; when the
            file states another size than height x width.
        """
        wanted = _plain(name)
        same = [index for index, known in enumerate(self.names) if _plain(known) == wanted]
        remark = ""
        if not same and len(self.names) == 1 and not self.made_up:
            same, remark = [0], f"Its only picture, {self.names[0]}, was taken for this one."
        if not same and self.made_up:
            raise InputError(
                f"The boxes that stand in for the truth belong to {self.names[0]}, not to this picture.",
                hint="Press the button again for this one.",
            )
        if not same:
            raise InputError(
                f"{self.source} has {len(self.names)} pictures, and none is called {name or 'like this one'}.",
                hint=f"They are matched by file name, for example {self.names[0]}.",
            )
        if len(same) > 1:
            raise InputError(
                f"{self.source} has {len(same)} pictures called {name}.", hint="Load a file with this picture alone."
            )
        index = same[0]
        stated = self.sizes[index]
        if any(side and side != actual for side, actual in zip(stated, (height, width))):
            raise InputError(
                f"{self.source} is about a picture of {stated[1]} x {stated[0]} pixels; this one has "
                f"{width} x {height}.",
                hint="Boxes only fit the picture they were drawn on: use the original.",
            )
        rows = slice(int(self.first[index]), int(self.first[index + 1]))
        return GroundTruth(self.boxes[rows], self.labels[rows], self.crowd[rows]), remark


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", Path(name.replace("\\", "/")).name.lower())


def read_truth(path: Path) -> TruthFile:
    """Read a COCO annotation file. Classes are matched by name, so that other numberings work too.

    InputError for anything that is not such a file, and when none of its classes is one of the 80.
    """
    try:
        data = read_annotations(path)
    except (OverflowError, RecursionError, MemoryError, AttributeError) as error:
        hint = "Check that it is the right file."
        raise InputError(f"{path.name} is not a usable COCO annotation file.", hint=hint) from error
    if not data.pictures:
        raise InputError(f"{path.name} lists no pictures.", hint="It needs at least one entry under images.")
    known = {id_: _label_of(name) for id_, name in data.names.items()}
    if known and not any(known.values()):
        listed = ", ".join(list(data.names.values())[:4])
        raise InputError(
            f"{path.name} has none of the 80 classes the detectors know, only {listed}.",
            hint="Name them as COCO does, such as person or dog.",
        )
    position = {id_: index for index, id_ in enumerate(data.pictures)}
    rows: list[tuple[int, float, float, float, float, int, bool]] = []
    foreign = unusable = 0
    for row in data.objects:
        try:
            x, y, width, height = (float(value) for value in row["bbox"])
            index, category = position.get(row["image_id"]), int(row["category_id"])
        except (TypeError, ValueError, OverflowError):
            index = None
        if index is None or not (width > 0 and height > 0):
            unusable += 1
            continue
        label = known.get(category, category if category in NAME_OF_ID else None)
        if label is None:
            foreign += 1
            continue
        rows.append((index, x, y, x + width, y + height, label, bool(row.get("iscrowd", 0))))
    rows.sort(key=lambda entry: entry[0])
    table = np.array(rows, dtype=np.float64).reshape(-1, 7)
    note = f"Left out because the detectors do not know their class: {foreign}. " if foreign else ""
    note += f"Left out because they have no area or no picture: {unusable}." if unusable else ""
    return TruthFile(
        source=path.name,
        names=tuple(str(picture["file_name"]) for picture in data.pictures.values()),
        sizes=tuple((_side(p, "height"), _side(p, "width")) for p in data.pictures.values()),
        first=np.searchsorted(table[:, 0], np.arange(len(position) + 1)),
        boxes=table[:, 1:5].astype(np.float32),
        labels=table[:, 5].astype(np.int64),
        crowd=table[:, 6].astype(bool),
        note=note.strip(),
    )


def _label_of(name: str) -> int | None:
    plain = name.strip().lower()
    return _ID_OF_NAME.get(_OTHER_NAMES.get(plain, plain))


def _side(picture: Mapping[str, Any], key: str) -> int:
    value = picture.get(key)
    return int(value) if isinstance(value, (int, float)) and 0 < value < 1e6 else 0


def stand_in(name: str, detections: Detections) -> TruthFile:
    """The boxes shown now in place of a ground truth, to try the view without a file. It is none, and says so."""
    return TruthFile(
        source=f"{len(detections)} boxes of {detections.model or 'a detector'}",
        names=(name,),
        sizes=((detections.height, detections.width),),
        first=np.array([0, len(detections)]),
        boxes=detections.boxes.copy(),
        labels=detections.labels.copy(),
        crowd=np.zeros(len(detections), dtype=bool),
        note="Boxes that a detector found stand in for the truth: good for trying the view, no measure of quality.",
        made_up=True,
    )


# ------------------------------------------------------------------ what it says


@dataclass(frozen=True)
class FalsePositive:
    """One wrong detection: ``row`` in ``Assessment.everything``, why it is wrong, and whether it is shown now."""

    row: int
    score: float
    label: int
    iou: float
    reason: str
    shown: bool


@dataclass(frozen=True)
class ClassScore:
    """One class of the picture: objects to find, counts at the current thresholds, AP over all thresholds."""

    label: int
    objects: int
    counts: dict[str, int]
    ap_11: float
    ap_101: float


@dataclass(frozen=True, eq=False)
class Assessment:
    """How one setting does on one picture with known objects.

    Attributes:
        truth: objects of the chosen classes. iou: the IoU a hit needs. label: the class looked at, None for all.
        detections, match: what is shown now, and which of it is right (every class).
        everything: all detections of any score after suppression. curve: theirs, of the class looked at.
        counts: {"TP", "FP", "FN"} of the class looked at, now. ap_11, ap_101: of the curve. classes: those with
        objects or detections. hardest: false positives of the class looked at, best score first (hard negatives).
    """

    truth: GroundTruth
    iou: float
    label: int | None
    detections: Detections
    match: ImageMatch
    everything: Detections
    curve: Curve
    counts: dict[str, int]
    ap_11: float
    ap_101: float
    classes: tuple[ClassScore, ...]
    hardest: tuple[FalsePositive, ...]

    @property
    def precision(self) -> float:
        """TP / (TP + FP) now; 0 when nothing is shown."""
        return _share(self.counts["TP"], self.counts["TP"] + self.counts["FP"])

    @property
    def recall(self) -> float:
        """TP / (TP + FN) now; 0 when there is nothing to find."""
        return _share(self.counts["TP"], self.counts["TP"] + self.counts["FN"])

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN): the harmonic mean of precision and recall."""
        return _share(2 * self.counts["TP"], 2 * self.counts["TP"] + self.counts["FP"] + self.counts["FN"])

    @property
    def mean_ap(self) -> tuple[float, float]:
        """(11-point, 101-point) AP averaged over the classes that have objects; 0 when there is none."""
        rated = [(score.ap_11, score.ap_101) for score in self.classes if score.objects]
        if not rated:
            return 0.0, 0.0
        eleven, hundred = np.mean(rated, axis=0).tolist()
        return eleven, hundred


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def assess(
    candidates: Candidates, truth: GroundTruth, settings: DetectionSettings, iou: float = 0.5, label: int | None = None
) -> Assessment:
    """Match what the settings show, and what they would show at any score, to the true objects.

    ``settings.classes`` restricts both sides: a class that is hidden is neither found nor missed.
    """
    if settings.class_ids is not None:
        chosen = np.isin(truth.labels, list(settings.class_ids))
        truth = GroundTruth(truth.boxes[chosen], truth.labels[chosen], truth.crowd[chosen])
    detections = decode(candidates, settings).detections
    everything = decode(candidates, replace(settings, score_threshold=0.0)).detections
    match = match_image(truth, detections, iou)
    full = match_image(truth, everything, iou)
    curve = curve_of([full], label)
    return Assessment(
        truth=truth,
        iou=iou,
        label=label,
        detections=detections,
        match=match,
        everything=everything,
        curve=curve,
        counts=counts_of(match, label),
        ap_11=average_precision(curve, "11-point"),
        ap_101=average_precision(curve, "101-point"),
        classes=tuple(_class_scores(match, full, detections)),
        hardest=tuple(_hardest(truth, everything, full, iou, label, set(detections.index.tolist()))),
    )


def counts_of(match: ImageMatch, label: int | None) -> dict[str, int]:
    """{"TP", "FP", "FN"} of one class, or of all."""
    if label is None:
        return match.counts()
    ours = match.status[match.labels == label]
    missed = int((match.true_labels[match.missed] == label).sum())
    return {"TP": int((ours == "TP").sum()), "FP": int((ours == "FP").sum()), "FN": missed}


def _class_scores(match: ImageMatch, full: ImageMatch, detections: Detections) -> list[ClassScore]:
    listed = []
    for label in np.union1d(full.true_labels, detections.labels).tolist():
        curve = curve_of([full], label)
        objects = int(((full.true_labels == label) & ~full.crowd).sum())
        scores = (average_precision(curve, "11-point"), average_precision(curve, "101-point"))
        listed.append(ClassScore(label, objects, counts_of(match, label), *scores))
    return sorted(listed, key=lambda score: (-score.objects, score.label))


def _hardest(
    truth: GroundTruth, everything: Detections, full: ImageMatch, iou: float, label: int | None, shown: set[int]
) -> list[FalsePositive]:
    wrong = np.flatnonzero((full.status == "FP") & ((full.labels == label) | (label is None)))
    wrong = wrong[np.argsort(-full.scores[wrong], kind="stable")][:HARDEST]
    overlap = iou_matrix(everything.boxes[wrong], truth.boxes)
    listed = []
    for position, row in enumerate(wrong.tolist()):
        best = int(overlap[position].argmax()) if len(truth) else -1
        touching = best >= 0 and overlap[position, best] >= TOUCHING
        own = float(full.iou[row])
        if own >= iou:
            reason = "second box on an object that is already found"
        elif own >= TOUCHING:
            reason = "badly placed"
        elif touching and truth.labels[best] != full.labels[row]:
            reason = f"wrong class: there is a {name_of(truth.labels[best])}"
        else:
            reason = "background"
        is_shown = int(everything.index[row]) in shown
        listed.append(FalsePositive(row, float(full.scores[row]), int(full.labels[row]), own, reason, is_shown))
    return listed


def scaled(truth: GroundTruth, scale: float) -> GroundTruth:
    """The same objects on a copy of the picture that is ``scale`` times as large."""
    return truth if scale == 1.0 else replace(truth, boxes=truth.boxes * np.float32(scale))
