"""Pictures and faces for training the compact face detector: a packed cache of pixels, crops made on the fly.

Most crops are chosen around a face and scaled so that faces of every size are equally frequent, because that is what a
detector must cover; photographs themselves hold few small faces worth labelling and many of one size. The cache is one
memory-mapped uint8 file per source.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2
from cvdemo.faces.labels import MIRRORED

SURE_SCORE = 0.6  # teacher's score from which a face is a face; below it, its cells are not punished
EMPTY_WEIGHT = 0.3  # how often a picture without faces is drawn, relative to one with faces
SMALLEST_SIDE, LARGEST_SHARE = 11.0, 0.9  # face sides drawn: pixels, and share of the crop
MOST_ENLARGED = 2.0
GREY = 114


@dataclass(frozen=True)
class Example:
    """One picture: where its pixels lie, and its faces as fractions of width and height.

    boxes (M, 4) xyxy, landmarks (M, 5, 2), scores (M,) of the teacher.
    """

    pixels: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    scores: np.ndarray

    @property
    def sure(self) -> np.ndarray:
        return self.scores >= SURE_SCORE


def load_labels(path: Path, only: Collection[int] | None = None) -> list[tuple[str, np.ndarray]]:
    """[(file name, rows)] with rows (M, 15): x1 y1 x2 y2, ten landmark coordinates, all fractions, and the score."""
    data = json.loads(path.read_text())
    size = {image["id"]: (image["width"], image["height"]) for image in data["images"]}
    rows: dict[int, list[np.ndarray]] = {number: [] for number in size}
    for face in data["annotations"]:
        width, height = size[face["image_id"]]
        x, y, w, h = face["bbox"]
        points = np.asarray(face["keypoints"], np.float32).reshape(5, 3)[:, :2]
        pixels = np.concatenate([[x, y, x + w, y + h], points.ravel()])
        fractions = pixels / np.tile([width, height], 7)
        rows[face["image_id"]].append(np.append(fractions, face.get("score", 1.0)))
    return [
        (image["file_name"], np.asarray(rows[image["id"]], np.float32).reshape(-1, 15))
        for image in data["images"]
        if only is None or image["id"] in only
    ]


def _read_small(path: Path, side: int) -> np.ndarray | None:
    picture = cv2.imread(str(path))
    if picture is None:
        return None
    scale = side / max(picture.shape[:2])
    if scale < 1:
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(picture[:, :, ::-1])


def load_source(cache: Path, labels: Path, root: Path, only: Collection[int] | None, side: int) -> list[Example]:
    """The labelled pictures of one source, RGB, longest side at most ``side``, packed into a file under ``cache``.

    Raises InputError when none of the pictures can be read.
    """
    listed = load_labels(labels, only)
    names = [name for name, _ in listed]
    key = hashlib.sha256(f"{root.resolve()}|{side}|{'|'.join(names)}".encode()).hexdigest()[:16]
    target = cache / f"{labels.stem}-{key}.rgb"
    index = target.with_suffix(".json")
    if not index.exists():
        cache.mkdir(parents=True, exist_ok=True)
        shapes: list[tuple[int, int]] = []
        with target.open("wb") as out:
            for done, name in enumerate(names, 1):
                picture = _read_small(root / name, side)
                shapes.append((0, 0) if picture is None else (picture.shape[0], picture.shape[1]))
                if picture is not None:
                    out.write(picture.tobytes())
                if done % 500 == 0:
                    print(f"\r{labels.stem}: {done}/{len(names)}", end="", file=sys.stderr, flush=True)
        if not any(height for height, _ in shapes):  # the wrong folder: remembering it would outlast the mistake
            target.unlink()
            raise InputError(
                f"None of the {len(names)} pictures of {labels.name} could be read.",
                hint=f"File names must be relative to {root}.",
            )
        index.write_text(json.dumps(shapes))
    packed = np.memmap(target, np.uint8, "r")
    examples, start = [], 0
    for (_, rows), (height, width) in zip(listed, json.loads(index.read_text())):
        if height:
            pixels = packed[start : start + height * width * 3].reshape(height, width, 3)
            examples.append(Example(pixels, rows[:, :4], rows[:, 4:14].reshape(-1, 5, 2), rows[:, 14]))
        start += height * width * 3
    return examples


def jitter_colour(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random brightness, contrast, saturation and tint, as one affine map of the colours."""
    saturation = rng.uniform(0.5, 1.4) if rng.random() > 0.1 else 0.0
    matrix = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) / 3
    gain = rng.uniform(0.6, 1.4)
    matrix = matrix * gain * rng.uniform(0.88, 1.12, (3, 1))
    offset = np.full((3, 1), rng.uniform(-30, 30) + 110 * (1 - gain), np.float32)
    return cv2.transform(picture, np.concatenate([matrix, offset], 1).astype(np.float32))


def place(
    canvas: np.ndarray, window: tuple[int, int, int, int], example: Example, matrix: np.ndarray, mirror: bool
) -> np.ndarray:
    """Draw a picture into ``window`` (x1, y1, x2, y2) of ``canvas`` by the similarity ``matrix`` (2, 3).

    matrix maps picture pixels to canvas pixels. Returns rows (M, 15) of the faces in it: box, ten landmark
    coordinates in canvas pixels, ignored. A box keeps its sides under rotation: it turns about its centre.
    """
    left, top, right, bottom = window
    matrix = matrix.astype(np.float64).copy()
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    height, width = example.pixels.shape[:2]
    points = example.landmarks * (width, height)
    corners = example.boxes.reshape(-1, 2, 2) * (width, height)
    if mirror:
        turned = np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]])
        matrix = matrix @ turned
        points = points[:, list(MIRRORED)]
    pixels, inner = example.pixels, matrix
    if scale < 0.6:  # bilinear warping alone would skip pixels
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
        inner = matrix @ np.diag([width / small[0], height / small[1], 1.0])
    shifted = inner - [[0, 0, left], [0, 0, top]]
    canvas[top:bottom, left:right] = cv2.warpAffine(
        pixels, shifted, (right - left, bottom - top), borderMode=cv2.BORDER_CONSTANT, borderValue=(GREY,) * 3
    )

    points = points @ matrix[:, :2].T + matrix[:, 2]
    middle = corners.mean(1) @ matrix[:, :2].T + matrix[:, 2]
    half = (corners[:, 1] - corners[:, 0]) * scale / 2
    boxes = np.concatenate([middle - half, middle + half], 1)
    clipped = np.clip(boxes, [left, top, left, top], [right, bottom, right, bottom])
    sides = clipped[:, 2:] - clipped[:, :2]
    visible = sides.prod(1) / np.maximum((2 * half).prod(1), 1e-6)
    keep = (sides.min(1) >= 3) & (visible > 0.1)
    # Half a face is neither a face nor background; faces too small to learn from are left alone.
    ignored = ~example.sure | (visible < 0.6) | (sides.min(1) < 7)
    rows = np.concatenate([clipped, points.reshape(-1, 10), ignored[:, None]], 1)
    return rows[keep].astype(np.float32)


def _where(low: float, high: float, focus: float, extent: float, reach: float) -> tuple[float, float]:
    """Between which places of the window [low, high] a picture's point may land, in one direction.

    focus: the point's distance from the picture's edge; extent: the picture's length; reach: the point's distance from
    the window's edges. The picture covers the window, or lies within it where it is smaller, if the reach allows it.
    """
    edges = sorted((high - (extent - focus), low + focus))
    nearest, farthest = max(edges[0], low + reach), min(edges[1], high - reach)
    return (nearest, farthest) if nearest <= farthest else (low + reach, high - reach)


class BatchMaker:
    """Draws random training batches: single crops and mosaics of four."""

    def __init__(self, examples: Sequence[Example], seed: int) -> None:
        if not examples:
            raise InputError("There are no pictures to learn from.", hint="Check the label files and their ids.")
        self.examples = examples
        self.rng = np.random.default_rng(seed)
        weights = np.array([1.0 if example.sure.any() else EMPTY_WEIGHT for example in examples])
        self._cumulative = np.cumsum(weights / weights.sum())

    def _draw(self) -> Example:
        index = int(np.searchsorted(self._cumulative, self.rng.random()))
        return self.examples[min(index, len(self.examples) - 1)]

    def _matrix(self, example: Example, window: tuple[int, int, int, int], mirror: bool) -> np.ndarray:
        """A random similarity that brings a random face of the picture (or any part of it) into the window."""
        rng = self.rng
        height, width = example.pixels.shape[:2]
        left, top, right, bottom = window
        extent = min(right - left, bottom - top)
        sure = np.flatnonzero(example.sure)
        if len(sure) and rng.random() < 0.9:
            x1, y1, x2, y2 = example.boxes[rng.choice(sure)] * (width, height, width, height)
            side = max(1.0, math.sqrt(max(0.0, (x2 - x1) * (y2 - y1))))
            largest = max(SMALLEST_SIDE * 1.5, LARGEST_SHARE * extent)
            wanted = math.exp(rng.uniform(math.log(SMALLEST_SIDE), math.log(largest)))
            scale = min(wanted / side, MOST_ENLARGED)
            focus = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
            reach = min(extent, side * scale) / 2 * 0.9
        else:
            scale = math.exp(rng.uniform(math.log(0.4), math.log(1.3)))
            focus = rng.random(2) * (width, height)
            reach = 0.0
        if mirror:
            focus[0] = width - 1 - focus[0]
        aim_x = rng.uniform(*_where(left, right, focus[0] * scale, width * scale, reach))
        aim_y = rng.uniform(*_where(top, bottom, focus[1] * scale, height * scale, reach))
        aim = np.array([aim_x, aim_y])
        angle = rng.normal(0, math.radians(8)) if rng.random() < 0.8 else rng.uniform(-0.8, 0.8)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) * scale
        return np.concatenate([turn, (aim - turn @ focus)[:, None]], 1)

    def _fill(self, canvas: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
        example, mirror = self._draw(), bool(self.rng.random() < 0.5)
        return place(canvas, window, example, self._matrix(example, window, mirror), mirror)

    def one(self, size: int, mosaic: bool) -> tuple[np.ndarray, np.ndarray]:
        """A crop (size, size, 3) uint8 RGB and its rows (M, 15) as ``place`` gives them."""
        canvas: np.ndarray = np.full((size, size, 3), GREY, np.uint8)
        if mosaic:
            cx, cy = (round(size * self.rng.uniform(0.35, 0.65)) for _ in range(2))
            windows = [(0, 0, cx, cy), (cx, 0, size, cy), (0, cy, cx, size), (cx, cy, size, size)]
        else:
            windows = [(0, 0, size, size)]
        rows = np.concatenate([self._fill(canvas, window) for window in windows])
        if self.rng.random() < 0.1:
            canvas = cv2.GaussianBlur(canvas, (0, 0), self.rng.uniform(0.5, 1.5))
        return jitter_colour(canvas, self.rng), rows

    def batch(self, count: int, size: int, mosaic_share: float) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (count, size, size, 3) uint8 RGB; rows (M, 16): picture, then the columns of ``place``."""
        crops = [self.one(size, bool(self.rng.random() < mosaic_share)) for _ in range(count)]
        rows = [np.concatenate([np.full((len(r), 1), i, np.float32), r], 1) for i, (_, r) in enumerate(crops)]
        return np.stack([pixels for pixels, _ in crops]), np.concatenate(rows)
