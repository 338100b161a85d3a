"""What finding faces gives: the network's raw candidates, and the faces a user is shown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvdemo.faces.labels import CATEGORY, LANDMARKS


@dataclass(frozen=True, eq=False)
class Faces:
    """Faces of one picture, best first; coordinates are pixels of that picture.

    boxes: (N, 4) float32 x1 y1 x2 y2.   scores: (N,) float32 in [0, 1].
    landmarks: (N, 5, 2) float32 x y of right eye, left eye, nose tip, right and left mouth corner, where right is the
    person's right (left in the picture); they may lie outside the picture where a face is cut off.
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray
    height: int = 0
    width: int = 0
    model: str = ""

    def __post_init__(self) -> None:
        count = len(self.scores)
        if self.boxes.shape != (count, 4) or self.landmarks.shape != (count, 5, 2) or self.scores.ndim != 1:
            raise ValueError(
                f"{count} scores need boxes ({count}, 4) and landmarks ({count}, 5, 2), not {self.boxes.shape} and "
                f"{self.landmarks.shape}"
            )

    @classmethod
    def none(cls, height: int = 0, width: int = 0, model: str = "") -> Faces:
        """No faces in a picture of that size."""
        boxes, scores, landmarks = (np.zeros((0, *shape), np.float32) for shape in ((4,), (), (5, 2)))
        return cls(boxes, scores, landmarks, height=height, width=width, model=model)

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: np.ndarray) -> Faces:
        """The faces of these rows (indices or a mask), in that order."""
        kept = (self.boxes[rows], self.scores[rows], self.landmarks[rows])
        return Faces(*kept, height=self.height, width=self.width, model=self.model)

    def sides(self) -> np.ndarray:
        """(N,) the shorter side of each box, pixels."""
        return (self.boxes[:, 2:] - self.boxes[:, :2]).min(axis=1)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One JSON-ready record a face: score, box [x1, y1, x2, y2], landmarks {name: [x, y]}."""
        for box, score, points in zip(self.boxes.tolist(), self.scores.tolist(), self.landmarks.tolist()):
            named = {name: [round(x, 1), round(y, 1)] for name, (x, y) in zip(LANDMARKS, points)}
            yield {"score": round(score, 4), "box": [round(value, 1) for value in box], "landmarks": named}

    def to_dict(self, image_name: str = "") -> dict[str, Any]:
        """``{"image": {name, width, height}, "model", "faces": [{score, box, landmarks}]}``, JSON-ready."""
        image = {"name": image_name, "width": self.width, "height": self.height}
        return {"image": image, "model": self.model, "faces": list(self.rows())}

    def to_coco(self, image_id: Any) -> list[dict[str, Any]]:
        """COCO keypoint results of a picture: bbox [x, y, width, height], keypoints [x, y, 2] five times, score."""
        results = []
        for box, score, points in zip(self.boxes.tolist(), self.scores.tolist(), self.landmarks.tolist()):
            x1, y1, x2, y2 = box
            keypoints = [value for x, y in points for value in (round(x, 2), round(y, 2), 2)]
            bbox = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
            ids = {"image_id": image_id, "category_id": CATEGORY["id"]}
            results.append(ids | {"bbox": bbox, "keypoints": keypoints, "score": round(score, 4)})
        return results

    def to_csv(self, image_name: str = "", header: bool = True) -> str:
        """One line a face: image, score, box corners, landmark coordinates."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if header:
            points = [f"{name} {axis}" for name in LANDMARKS for axis in "xy"]
            writer.writerow(["image", "score", "x1", "y1", "x2", "y2", *points])
        for row in self.rows():
            points = [value for point in row["landmarks"].values() for value in point]
            writer.writerow([image_name, row["score"], *row["box"], *points])
        return text.getvalue()

    def sentence(self) -> str:
        """ "No faces.", "1 face, 120 px wide." or "3 faces, 35 to 120 px wide."."""
        if not len(self):
            return "No faces."
        wide = self.boxes[:, 2] - self.boxes[:, 0]
        least, most = round(float(wide.min())), round(float(wide.max()))
        if len(self) == 1:
            return f"1 face, {most} px wide."
        return f"{len(self)} faces, {f'{least} to ' if least < most else 'each '}{most} px wide."


@dataclass(frozen=True, eq=False)
class RawFaces:
    """The network's best cells before any threshold or suppression, best first, whatever their score.

    candidates: their boxes, scores and landmarks.   levels: (M,) the stride each was predicted on, in network pixels.
    input_size: (height, width) of the picture as the network saw it, without padding.
    """

    candidates: Faces
    levels: np.ndarray
    input_size: tuple[int, int]

    @property
    def scale(self) -> float:
        """Network pixels per picture pixel."""
        return max(self.input_size) / max(self.candidates.height, self.candidates.width, 1)
