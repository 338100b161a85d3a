"""The poses a user is shown: 17 joints per person, and how they are written down."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cvdemo.pose.skeleton import COCO_EDGES, COCO_JOINTS, COCO_KEYPOINT_NAMES

PERSON = 1
"""COCO's category id of a person."""
_JOINTS = len(COCO_JOINTS)
_CSV_COLUMNS = ("person", "joint", "x", "y", "score", "visible")


@dataclass(frozen=True, eq=False)
class Poses:
    """What one setting makes of an inference, best box first.

    Attributes:
        keypoints: (N, 17, 3) float64 x, y in pixels of the picture and score in [0, 1].
        visible: (N, 17) bool, joints that are shown: above the threshold and not hidden by the user.
        boxes: (N, 4) float32 x1 y1 x2 y2 in pixels.   box_scores: (N,) float32 in [0, 1].
        rows: (N,) int64, the row of ``RawPoses`` each person comes from.
        height, width: of the picture.   model: registry name.
        found: people before any limit on their number.   milliseconds: decoding took.
        tracks: (N,) int64, numbers that stay with a person over a video; None for a single picture.
    """

    keypoints: np.ndarray
    visible: np.ndarray
    boxes: np.ndarray
    box_scores: np.ndarray
    rows: np.ndarray
    height: int
    width: int
    model: str
    found: int = 0
    milliseconds: float = 0.0
    tracks: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = len(self.keypoints)
        if self.keypoints.shape != (count, _JOINTS, 3) or self.visible.shape != (count, _JOINTS):
            raise ValueError(f"keypoints of shape {self.keypoints.shape} and visible of {self.visible.shape}")
        if self.boxes.shape != (count, 4) or {len(self.box_scores), len(self.rows)} != {count}:
            raise ValueError("every person needs a box, its score and a row")

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def scores(self) -> np.ndarray:
        """(N,) float64 in [0, 1]: the box's score times the mean score of the visible joints, COCO's usual ranking."""
        shown = self.visible.sum(axis=1)
        sums = np.where(self.visible, self.keypoints[..., 2], 0.0).sum(axis=1)
        return self.box_scores * sums / np.maximum(shown, 1)

    def take(self, index: Any) -> Poses:
        """The people that ``index`` (integers in that order, or a boolean mask) selects."""
        tracks = None if self.tracks is None else self.tracks[index]
        return replace(
            self,
            keypoints=self.keypoints[index],
            visible=self.visible[index],
            boxes=self.boxes[index],
            box_scores=self.box_scores[index],
            rows=self.rows[index],
            tracks=tracks,
        )

    def sentence(self) -> str:
        """Such as "2 people: 15 and 17 of 17 joints visible"; says so when there is nobody."""
        if not len(self):
            return "No person was found"
        counts = self.visible.sum(axis=1).tolist()
        noun = "1 person" if len(self) == 1 else f"{len(self)} people"
        lead = f"{noun} (of {self.found} found)" if self.found > len(self) else noun
        if len(counts) > 6:
            return f"{lead}: {sum(counts) / len(counts):.0f} of {_JOINTS} joints visible on average"
        listed = " and ".join(filter(None, [", ".join(map(str, counts[:-1])), str(counts[-1])]))
        return f"{lead}: {listed} of {_JOINTS} joints visible"

    def to_dict(self, image_name: str = "") -> dict[str, Any]:
        """JSON-ready: ``{"image", "model", "found", "people": [COCO annotation with scores]}``.

        Each person has COCO's ``bbox`` [x, y, width, height], ``keypoints`` [x, y, v, ...] (v is 2 for a visible joint;
        others are 0, 0, 0), ``num_keypoints``, and ``keypoint_scores`` of all 17 joints, ``box_score`` and ``score``.
        """
        people = []
        for row in range(len(self)):
            person: dict[str, Any] = {
                "bbox": _box(self.boxes[row]),
                "box_score": round(float(self.box_scores[row]), 6),
                "score": round(float(self.scores[row]), 6),
                "num_keypoints": int(self.visible[row].sum()),
                "keypoints": _flat(self.keypoints[row], self.visible[row]),
                "keypoint_scores": [round(float(v), 6) for v in self.keypoints[row, :, 2]],
            }
            if self.tracks is not None:
                person["track"] = int(self.tracks[row])
            people.append(person)
        image = {"name": image_name, "width": self.width, "height": self.height}
        return {"image": image, "model": self.model, "found": max(self.found, len(self)), "people": people}

    def to_coco(self, image_id: int | str) -> list[dict[str, Any]]:
        """COCO's format for results: all 17 joints of each person, not rounded, the third number their score."""
        shared = {"image_id": image_id, "category_id": PERSON}
        return [
            {**shared, "keypoints": points.reshape(-1).tolist(), "score": float(score)}
            for points, score in zip(self.keypoints, self.scores)
        ]

    def to_csv(self, image_name: str | None = None, *, header: bool = True) -> str:
        """One line per joint of each person: person, joint, x, y, score, visible; an ``image`` column first if named.

        ``person`` counts from 1, or is the track number in a video.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        first = [] if image_name is None else [image_name]
        if header:
            writer.writerow([*(["image"] if first else []), *_CSV_COLUMNS])
        for row in range(len(self)):
            number = row + 1 if self.tracks is None else int(self.tracks[row])
            for name, (x, y, score), shown in zip(COCO_JOINTS, self.keypoints[row].tolist(), self.visible[row]):
                writer.writerow([*first, number, name, round(x, 2), round(y, 2), round(score, 4), int(shown)])
        return text.getvalue()


def no_poses(height: int, width: int, model: str = "") -> Poses:
    """The result for a picture without people."""
    return Poses(
        np.zeros((0, _JOINTS, 3)),
        np.zeros((0, _JOINTS), bool),
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.float32),
        np.zeros(0, np.int64),
        height,
        width,
        model,
    )


def coco_document(pictures: Sequence[tuple[str, Poses]]) -> dict[str, Any]:
    """A complete COCO keypoints file, with images, annotations and the category with its skeleton (counting from 1)."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, poses) in enumerate(pictures, 1):
        images.append({"id": number, "file_name": name, "width": poses.width, "height": poses.height})
        for person in poses.to_dict()["people"]:
            width, height = person["bbox"][2:]
            row = {"id": len(annotations) + 1, "image_id": number, "category_id": PERSON, "iscrowd": 0}
            annotations.append({**row, "area": round(width * height, 2), **person})
    category: Mapping[str, Any] = {
        "id": PERSON,
        "name": "person",
        "keypoints": list(COCO_KEYPOINT_NAMES),
        "skeleton": [[a + 1, b + 1] for a, b in COCO_EDGES],
    }
    return {"images": images, "annotations": annotations, "categories": [category]}


def _box(box: np.ndarray) -> list[float]:
    x1, y1, x2, y2 = (float(v) for v in box)
    return [round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)]


def _flat(points: np.ndarray, visible: np.ndarray) -> list[float | int]:
    """COCO's 51 numbers of a person."""
    flat: list[float | int] = []
    for (x, y, _), shown in zip(points.tolist(), visible.tolist()):
        flat += [round(x, 2), round(y, 2), 2] if shown else [0, 0, 0]
    return flat
