"""The two containers every part of the Detection tab speaks: raw ``Candidates`` and final ``Detections``.

``Candidates`` are what a network returned for one picture, before any threshold or non-maximum suppression; they are
computed once and cached. ``Detections`` are what one setting of the sliders keeps of them. Both are validated when
built, so code downstream never re-checks shapes.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvdemo.detection.labels import NAME_OF_ID

NO_LEVEL = -1

_IRREGULAR_PLURALS = {
    "person": "people",
    "mouse": "mice",
    "knife": "knives",
    "sheep": "sheep",
    "broccoli": "broccoli",
    "skis": "pairs of skis",
    "scissors": "pairs of scissors",
    "tv": "TVs",
}
_COUNTED_SINGULARS = {"skis": "pair of skis", "scissors": "pair of scissors", "tv": "TV"}
_CSV_COLUMNS = ("label", "category_id", "score", "x1", "y1", "x2", "y2")


def name_of(label: int) -> str:
    """Name of a COCO category id (1 to 90); an id outside COCO's list reads "category 123"."""
    return NAME_OF_ID.get(int(label), f"category {int(label)}")


def count_in_words(label: int, count: int) -> str:
    """ "1 dog", "3 people", "2 pairs of skis": a category id with its number and correct plural."""
    name = name_of(label)
    if count == 1:
        return f"1 {_COUNTED_SINGULARS.get(name, name)}"
    if name not in NAME_OF_ID.values():  # "category 123": a made-up plural would read oddly
        return f"{count} of {name}"
    if name in _IRREGULAR_PLURALS:
        return f"{count} {_IRREGULAR_PLURALS[name]}"
    return f"{count} {name}es" if name.endswith(("s", "x", "ch", "sh")) else f"{count} {name}s"


def _column(name: str, value: Any, length: int | None, width: int | None, dtype: type) -> np.ndarray:
    array = np.asarray(value)
    if array.size == 0 and length in (None, 0):
        array = array.reshape((0, width) if width else (0,))
    expected = 2 if width else 1
    if array.ndim != expected or (width and array.shape[1] != width):
        raise ValueError(f"{name} must have shape {f'(N, {width})' if width else '(N,)'}, not {array.shape}")
    if length is not None and len(array) != length:
        raise ValueError(f"{name} has {len(array)} rows where boxes have {length}")
    if np.issubdtype(dtype, np.integer) and array.size and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} must be whole numbers, not {array.dtype}")
    column: np.ndarray = np.ascontiguousarray(array, dtype=dtype)
    if np.issubdtype(dtype, np.floating) and not np.isfinite(column).all():
        raise ValueError(f"{name} holds NaN or infinite values")
    return column


def _validate(target: Any, columns: Sequence[tuple[str, int | None, type]]) -> None:
    """Replace each named attribute of the frozen dataclass by its checked, contiguous array of the stated dtype."""
    length: int | None = None
    for name, width, dtype in columns:
        column = _column(name, getattr(target, name), length, width, dtype)
        length = len(column)
        object.__setattr__(target, name, column)
    if target.scores.size and (target.scores.min() < 0 or target.scores.max() > 1 + 1e-4):
        raise ValueError("scores must lie between 0 and 1")
    if target.height < 1 or target.width < 1:
        raise ValueError(f"the picture's size must be positive, not {target.width} x {target.height}")


@dataclass(frozen=True, eq=False)
class Candidates:
    """Everything a detector proposed for one picture, before score threshold and suppression.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels of the picture.
        scores: (N,) float32 in [0, 1].
        labels: (N,) int64 COCO category ids.
        level: (N,) int16 index of the pyramid level the candidate came from (0 = finest), -1 where there is none.
        origins: (N, 4) float32 anchors or proposals the boxes were regressed from, or None.
        height, width: of the picture, in pixels.
        model: registry name of the detector.
        class_aware: whether the detector's own suppression compares only boxes of the same class.

    Raises ValueError when shapes, dtypes or lengths disagree, or a value is not finite. Compared by identity.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    level: np.ndarray
    origins: np.ndarray | None
    height: int
    width: int
    model: str = ""
    class_aware: bool = True

    def __post_init__(self) -> None:
        _validate(self, (("boxes", 4, np.float32), ("scores", None, np.float32), ("labels", None, np.int64),
                         ("level", None, np.int16)))  # fmt: skip
        if self.origins is not None:
            object.__setattr__(self, "origins", _column("origins", self.origins, len(self.boxes), 4, np.float32))

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def from_arrays(
        cls,
        boxes: Any,
        scores: Any,
        labels: Any,
        *,
        height: int,
        width: int,
        level: Any = None,
        origins: Any = None,
        model: str = "",
        class_aware: bool = True,
    ) -> Candidates:
        """Build from anything numpy can read; ``level`` None means no pyramid (-1 everywhere)."""
        if level is None:
            level = np.full(len(boxes), NO_LEVEL, dtype=np.int16)
        return cls(boxes, scores, labels, level, origins, int(height), int(width), model, class_aware)

    @classmethod
    def empty(cls, height: int, width: int, *, model: str = "", class_aware: bool = True) -> Candidates:
        """No candidates for a picture of the given size."""
        return cls.from_arrays([], [], [], height=height, width=width, model=model, class_aware=class_aware)

    def take(self, index: Any) -> Candidates:
        """The rows that ``index`` (integers, in that order, or a boolean mask) selects."""
        index = _as_index(index)
        origins = None if self.origins is None else self.origins[index]
        return Candidates(self.boxes[index], self.scores[index], self.labels[index], self.level[index], origins,
                          self.height, self.width, self.model, self.class_aware)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Detections:
    """What one setting of thresholds and suppression keeps of a picture's candidates, best score first.

    Columns as in :class:`Candidates`, with ``scores`` after soft suppression and ``index`` (N,) int64, the row of
    each detection in the candidates it was taken from (0, 1, 2, ... where it was taken from nothing).
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    level: np.ndarray
    index: np.ndarray
    height: int
    width: int
    model: str = ""

    def __post_init__(self) -> None:
        _validate(self, (("boxes", 4, np.float32), ("scores", None, np.float32), ("labels", None, np.int64),
                         ("level", None, np.int16), ("index", None, np.int64)))  # fmt: skip

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def from_arrays(
        cls,
        boxes: Any,
        scores: Any,
        labels: Any,
        *,
        height: int,
        width: int,
        level: Any = None,
        index: Any = None,
        model: str = "",
    ) -> Detections:
        """Build from anything numpy can read, for results that did not come from ``Candidates``."""
        if level is None:
            level = np.full(len(boxes), NO_LEVEL, dtype=np.int16)
        if index is None:
            index = np.arange(len(boxes))
        return cls(boxes, scores, labels, level, index, int(height), int(width), model)

    @classmethod
    def from_candidates(cls, candidates: Candidates, index: Any, scores: Any = None) -> Detections:
        """Rows ``index`` of ``candidates``, in that order, with new ``scores`` if given (soft suppression)."""
        index = _as_index(index)
        kept = candidates.scores[index] if scores is None else scores
        return cls(candidates.boxes[index], kept, candidates.labels[index], candidates.level[index], index,
                   candidates.height, candidates.width, candidates.model)  # fmt: skip

    @classmethod
    def empty(cls, height: int, width: int, *, model: str = "") -> Detections:
        """No detections for a picture of the given size."""
        return cls.from_arrays([], [], [], height=height, width=width, model=model)

    def take(self, index: Any) -> Detections:
        """The rows that ``index`` (integers, in that order, or a boolean mask) selects."""
        index = _as_index(index)
        return Detections(self.boxes[index], self.scores[index], self.labels[index], self.level[index],
                          self.index[index], self.height, self.width, self.model)  # fmt: skip

    @property
    def names(self) -> list[str]:
        """Category name of each detection."""
        return [name_of(label) for label in self.labels]

    def to_dict(self, image_name: str = "") -> dict[str, Any]:
        """JSON-ready: ``{"image": {name, width, height}, "model", "detections": [{label, category_id, score, box}]}``.

        ``box`` is [x1, y1, x2, y2] in pixels rounded to 1/1000 pixel, ``score`` to six decimals.
        """
        rows = [
            {"label": name, "category_id": int(label), "score": round(float(score), 6), "box": _rounded(box)}
            for name, label, score, box in zip(self.names, self.labels, self.scores, self.boxes)
        ]
        image = {"name": image_name, "width": self.width, "height": self.height}
        return {"image": image, "model": self.model, "detections": rows}

    def to_coco(self, image_id: int | str) -> list[dict[str, Any]]:
        """COCO result format: one ``{image_id, category_id, bbox: [x, y, width, height], score}`` per detection.

        Numbers are not rounded, so that evaluating the exported file equals evaluating these detections.
        """
        corners = self.boxes.astype(np.float64)
        corners[:, 2:] -= corners[:, :2]
        return [
            {"image_id": image_id, "category_id": int(label), "bbox": box, "score": float(score)}
            for label, box, score in zip(self.labels, corners.tolist(), self.scores)
        ]

    def to_csv(self, image_name: str | None = None, *, header: bool = True) -> str:
        """One line per detection: label, category_id, score, x1, y1, x2, y2; an ``image`` column first if named."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        first = [] if image_name is None else [image_name]
        if header:
            writer.writerow([*(["image"] if first else []), *_CSV_COLUMNS])
        for name, label, score, box in zip(self.names, self.labels, self.scores, self.boxes):
            writer.writerow([*first, name, int(label), round(float(score), 6), *_rounded(box)])
        return text.getvalue()

    def counts(self) -> dict[int, int]:
        """Number of detections per category id, most frequent first, ties by id."""
        found = Counter(self.labels.tolist())
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def sentence(self) -> str:
        """One plain sentence for screen readers and the API: "3 people, 1 dog"."""
        if not len(self):
            return "No objects above the score threshold"
        return ", ".join(count_in_words(label, count) for label, count in self.counts().items())


def _as_index(index: Any) -> np.ndarray:
    index = np.asarray(index)
    if index.dtype == bool:
        return np.flatnonzero(index)
    return index.astype(np.int64) if index.size else np.zeros(0, dtype=np.int64)


def _rounded(box: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in box]
