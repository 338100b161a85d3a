"""Emotions over time: each face of a live picture keeps a running average of its probabilities."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from cvdemo.detection.nms import iou_matrix

MATCH_IOU = 0.3
FORGET_SECONDS = 1.0


@dataclass
class _Track:
    number: int
    box: np.ndarray
    probabilities: np.ndarray
    seen: float


class EmotionTracks:
    """The faces of one live session. Not thread-safe: one session, one caller at a time."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._tracks)

    def update(
        self, boxes: np.ndarray, probabilities: np.ndarray, seconds: float, smoothing: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Average the faces of a new picture with those of the last ones.

        A face goes on with the track it overlaps most (IoU of at least 0.3, best pairs first). The old average counts
        exp(-elapsed / smoothing): the result does not depend on how many pictures a second arrive.

        Args:
            boxes: (N, 4) x1 y1 x2 y2 in pixels.   probabilities: (N, 7).
            seconds: time of the picture on any clock that does not go back.
            smoothing: time constant in seconds, 0 for none.
        Returns:
            averaged probabilities (N, 7) float64 whose rows sum to 1, and track numbers (N,) int64.
        """
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        averaged = np.array(probabilities, np.float64)
        numbers = np.zeros(len(boxes), np.int64)
        self._tracks = [track for track in self._tracks if seconds - track.seen <= FORGET_SECONDS]
        for face, track in self._matches(boxes):
            kept = np.exp(-max(0.0, seconds - track.seen) / smoothing) if smoothing > 0 else 0.0
            averaged[face] = kept * track.probabilities + (1 - kept) * averaged[face]
            track.box, track.probabilities, track.seen = boxes[face], averaged[face].copy(), seconds
            numbers[face] = track.number
        for face in np.flatnonzero(numbers == 0).tolist():
            numbers[face] = next(self._numbers)
            self._tracks.append(_Track(int(numbers[face]), boxes[face], averaged[face].copy(), seconds))
        return averaged, numbers

    def _matches(self, boxes: np.ndarray) -> list[tuple[int, _Track]]:
        """(face, track) pairs, each face and track at most once, largest overlap first."""
        if not self._tracks or not len(boxes):
            return []
        overlap = iou_matrix(boxes, np.stack([track.box for track in self._tracks]))
        pairs: list[tuple[int, _Track]] = []
        while overlap.max() >= MATCH_IOU:
            face, track = divmod(int(overlap.argmax()), overlap.shape[1])
            pairs.append((face, self._tracks[track]))
            overlap[face, :], overlap[:, track] = -1, -1
        return pairs
