"""Training clips of exercises and of "other", drawn so that neither the room nor a moving camera gives them away.

There are no real clips of people doing something else at hand. "Other" is therefore made: photographs of everyday
actions seen by a moving camera and bent as by a moving body, and exercises that stand still. So that none of this
becomes a cue by itself, exercises are seen by the same moving camera, and any clip may have a still mixed into all
of its frames (background erasing, Wang et al. 2021, arXiv:2009.05769).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cvdemo.action.exercise_data import RATE, PackedClips
from cvdemo.action.training_data import Pictures
from cvdemo.core.lazy import cv2

CLASSES: tuple[str, ...] = ("push-up", "pull-up", "squat", "dip", "other")
OTHER = CLASSES.index("other")
FRAMES, CLIP_RATE, SIDE = 16, 8.0, 128
MOVES = 0.55
"""A window of an exercise counts as one when its mean change is at least this share of its video's median."""


def starts_of(clip: np.ndarray, span: float = FRAMES / CLIP_RATE) -> np.ndarray:
    """First frames (at ``RATE``) of the windows of a packed video in which something happens, at least one.

    Somebody who rests between two repetitions does no push-up, and should not be shown as an example of one.
    """
    length = round(span * RATE)
    if len(clip) <= length:
        return np.zeros(1, int)
    small = clip[:, ::4, ::4].astype(np.int16)
    change = np.abs(np.diff(small, axis=0)).mean(axis=(1, 2, 3))
    energy = np.array([change[at : at + length].mean() for at in range(len(clip) - length)])
    return np.flatnonzero(energy >= MOVES * np.median(energy))


def camera(count: int, rng: np.random.Generator, strength: float) -> np.ndarray:
    """(count, 3): shift x, shift y (shares of the side) and log of the zoom of a hand-held camera over a clip."""
    drift = rng.normal(0, 1, (2, 3)) * [0.08, 0.05, 0.10] * strength
    time = np.linspace(-0.5, 0.5, count)[:, None]
    path = drift[0] * time + drift[1] * time**2
    if rng.random() < 0.4:  # swaying to and fro, as fast as people do exercises
        turns = rng.uniform(0.5, 3.0)
        path = path + rng.normal(0, 1, 3) * [0.03, 0.04, 0.04] * strength * np.sin(
            2 * np.pi * turns * time + rng.uniform(0, 6.3)
        )
    shake = rng.normal(0, rng.uniform(0, 0.004) * strength, (count, 3))
    return path + shake


def crop_clip(frames: Sequence[np.ndarray], size: int, rng: np.random.Generator, strength: float) -> np.ndarray:
    """(T, size, size, 3): a random square window of the frames, moving as a camera does, mirrored half of the time."""
    height, width = frames[0].shape[:2]
    side = min(height, width) * np.exp(rng.uniform(np.log(0.62), np.log(1.15)))
    centre = np.array([width / 2, height / 2]) + rng.uniform(-0.5, 0.5, 2) * np.maximum([width, height] - side, 0)
    flip = rng.random() < 0.5
    turn = np.deg2rad(rng.normal(0, 5))
    stretch = np.exp(rng.normal(0, 0.08))
    out = []
    for frame, (x, y, zoom) in zip(frames, camera(len(frames), rng, strength)):
        scale = size / (side * np.exp(zoom))
        cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
        linear = np.array([[cos * stretch, -sin], [sin, cos / stretch]])
        if flip:
            linear[0] *= -1
        shift = size / 2 - linear @ (centre + np.array([x, y]) * side)
        affine = np.column_stack([linear, shift])
        out.append(
            cv2.warpAffine(frame, affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        )
    return np.stack(out)


def bend(picture: np.ndarray, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """A still as ``count`` frames in which parts of it move smoothly to and fro by up to 6 % of its side."""
    height, width = picture.shape[:2]
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    field = cv2.resize(rng.normal(0, 1, (4, 4, 2)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    reach = rng.uniform(0.01, 0.06) * min(height, width)
    turns, phase = rng.uniform(0.3, 2.5), rng.uniform(0, 6.3)
    frames = []
    for time in np.linspace(0, 1, count):
        moved = reach * float(np.sin(2 * np.pi * turns * time + phase))
        frames.append(
            cv2.remap(
                picture,
                xs + moved * field[..., 0],
                ys + moved * field[..., 1],
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REFLECT_101,
            )
        )
    return frames


def tones(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same change of gamma, contrast, brightness, saturation and tint for all frames."""
    levels = np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.3))
    levels = (levels - 0.5) * rng.uniform(0.7, 1.3) + 0.5 + rng.uniform(-0.12, 0.12)
    table = np.clip(levels * 255, 0, 255).astype(np.uint8)
    saturation = rng.uniform(0.4, 1.4) if rng.random() > 0.15 else 0.0
    mix = ((saturation * np.eye(3) + (1 - saturation) / 3) * rng.uniform(0.88, 1.12, (3, 1))).astype(np.float32)
    flat = cv2.transform(cv2.LUT(np.ascontiguousarray(clip).reshape(len(clip), -1, 3), table), mix)
    return np.asarray(flat.reshape(clip.shape))


class ExerciseBatches:
    """Endless batches (B, 16, 128, 128, 3) uint8 and (B,) int64, the five classes drawn alike.

    rows: of the videos to draw from.   stills: pictures for "other", and the rows of them that may be used.
    """

    def __init__(
        self, clips: PackedClips, rows: np.ndarray, stills: Pictures, still_rows: np.ndarray, seed: int
    ) -> None:
        self.clips, self.stills, self.still_rows = clips, stills, still_rows
        self.rng = np.random.default_rng(seed)
        self.starts = {int(row): starts_of(clips[row]) for row in rows}
        self.by_group: list[dict[int, list[int]]] = [{} for _ in CLASSES]
        for row in rows:
            entry = clips.entries[row]
            self.by_group[CLASSES.index(entry.label)].setdefault(entry.group, []).append(int(row))

    def batch(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """A batch; a recording with many pieces is drawn as often as the square root of their number."""
        labels = self.rng.permutation(np.arange(count) % len(CLASSES))
        return np.stack([self.clip(int(label)) for label in labels]), labels

    def clip(self, label: int) -> np.ndarray:
        """One clip (16, 128, 128, 3) of a class."""
        rng = self.rng
        if label == OTHER and rng.random() < 0.75:
            frames = self._of_still()
        else:
            frames = self._of_video(int(rng.integers(OTHER)) if label == OTHER else label, freeze=label == OTHER)
        clip = crop_clip(frames, SIDE, rng, rng.choice([0.0, 0.5, 1.0]))
        if rng.random() < 0.35:
            clip = self._with_still(clip)
        return tones(clip, rng)

    def _of_video(self, label: int, freeze: bool) -> list[np.ndarray]:
        rng = self.rng
        groups = list(self.by_group[label].values())
        weights = np.sqrt([len(group) for group in groups])
        group = groups[rng.choice(len(groups), p=weights / weights.sum())]
        row = group[rng.integers(len(group))]
        video = self.clips[row]
        pace = RATE / CLIP_RATE * np.exp(rng.uniform(np.log(0.65), np.log(1.35)))
        first = int(rng.choice(self.starts[row]))
        at = np.clip(np.rint(first + np.arange(FRAMES) * pace), 0, len(video) - 1).astype(int)
        if rng.random() < 0.3:
            at = at[::-1]  # an exercise backwards is the same exercise
        if freeze:
            at = np.full(FRAMES, at[rng.integers(FRAMES)])
        return [video[index] for index in at]

    def _of_still(self) -> list[np.ndarray]:
        picture = self.stills[int(self.rng.choice(self.still_rows))]
        if self.rng.random() < 0.6:
            return bend(picture, FRAMES, self.rng)
        return [picture] * FRAMES

    def _with_still(self, clip: np.ndarray) -> np.ndarray:
        """The clip with another picture, at rest, shining through all of its frames."""
        other = self.stills[int(self.rng.choice(self.still_rows))]
        other = cv2.resize(other, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        share = self.rng.uniform(0.1, 0.45)
        return np.stack([cv2.addWeighted(frame, 1 - share, other, share, 0) for frame in clip])


def plain_windows(clip: np.ndarray) -> np.ndarray:
    """(W, 16, 128, 128, 3): middle squares of the windows of a held-back video, half a window apart, as at run time."""
    from cvdemo.action.prepare import middle_squares

    length = round(FRAMES / CLIP_RATE * RATE)
    starts = np.arange(0, max(1, len(clip) - length + 1), length // 2)
    windows = []
    for start in starts:
        at = np.clip(np.rint(start + np.arange(FRAMES) * RATE / CLIP_RATE), 0, len(clip) - 1).astype(int)
        windows.append(middle_squares(clip[at], SIDE))
    return np.stack(windows)
