"""Pictures and boxes for training the compact detector: one packed cache of pixels, mosaics made on the fly.

The cache is a flat uint8 file that is memory-mapped, so tens of thousands of small pictures cost no decoding per epoch
and no more memory than the operating system likes to lend. Annotations are COCO json files; a ``score`` beside a box
marks it as a pseudo-label.
"""

from __future__ import annotations

import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2
from cvdemo.detection.labels import INDEX_OF_ID

SURE_SCORE = 0.32  # fused pseudo-labels at or above are objects, below are regions not to punish
FULL_CONFIDENCE_SCORE = 0.7
PSEUDO_CONFIDENCE = 0.99  # the most a pseudo-label gets: 1 says that a person made the label
TINY_SIDE = 64  # pictures this small (an object each) are laid out as contact sheets inside mosaics
TINY_SHARE = 0.12


@dataclass(frozen=True)
class Example:
    """One picture: where its pixels lie in the cache, and its boxes (M, 4) xyxy as fractions of width and height."""

    offset: int
    height: int
    width: int
    boxes: np.ndarray
    classes: np.ndarray
    confidence: np.ndarray
    ignored: np.ndarray

    @property
    def tiny(self) -> bool:
        return max(self.height, self.width) <= TINY_SIDE


def _load_source(annotations: Path, only_ids: set[int] | None) -> list[tuple[str, np.ndarray]]:
    """[(file name, rows)] with rows (M, 7): x1 y1 x2 y2 as fractions, class index, confidence, ignored."""
    data = json.loads(annotations.read_text())
    rows: dict[int, list] = {image["id"]: [] for image in data["images"]}
    size = {image["id"]: (image["width"], image["height"]) for image in data["images"]}
    for box in data["annotations"]:
        if box["category_id"] not in INDEX_OF_ID or box["image_id"] not in rows:
            continue
        width, height = size[box["image_id"]]
        x, y, w, h = box["bbox"]
        score = box.get("score")
        ignored = bool(box.get("iscrowd")) or (score is not None and score < SURE_SCORE)
        confidence = 1.0 if score is None else min(PSEUDO_CONFIDENCE, score / FULL_CONFIDENCE_SCORE)
        row = [x / width, y / height, (x + w) / width, (y + h) / height, INDEX_OF_ID[box["category_id"]]]
        rows[box["image_id"]].append([*row, confidence, float(ignored)])
    return [
        (image["file_name"], np.asarray(rows[image["id"]], np.float32).reshape(-1, 7))
        for image in data["images"]
        if only_ids is None or image["id"] in only_ids
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


class PictureCache:
    """Decoded RGB pictures of several sources, longest side at most ``side``, packed into one file in ``folder``.

    Args:
        sources: (annotation file, folder its file names are relative to, image ids to use or None for all).
    """

    def __init__(self, folder: Path, sources: list[tuple[Path, Path, set[int] | None]], side: int) -> None:
        self.examples: list[Example] = []
        folder.mkdir(parents=True, exist_ok=True)
        parts, base = [], 0
        for labels, root, ids in sources:
            listed = _load_source(labels, ids)
            pixels, shapes = self._pack(folder, labels, root, [name for name, _ in listed], side)
            start = base
            for (_, rows), (height, width) in zip(listed, shapes):
                if height:
                    self.examples.append(
                        Example(
                            start, height, width, rows[:, :4], rows[:, 4].astype(np.int64), rows[:, 5], rows[:, 6] > 0
                        )
                    )
                start += height * width * 3
            parts.append((base, pixels))
            base = start
        self._parts = parts

    @staticmethod
    def _pack(folder: Path, annotations: Path, root: Path, names: list[str], side: int) -> tuple[np.ndarray, list]:
        key = hashlib.sha256(f"{root.resolve()}|{side}|{'|'.join(names)}".encode()).hexdigest()[:16]
        target = folder / f"{annotations.stem}-{key}.rgb"
        index = target.with_suffix(".json")
        if not index.exists():
            shapes = []
            with target.open("wb") as out, ThreadPoolExecutor(2) as pool:
                for done, picture in enumerate(pool.map(lambda name: _read_small(root / name, side), names), 1):
                    shapes.append((0, 0) if picture is None else picture.shape[:2])
                    if picture is not None:
                        out.write(picture.tobytes())
                    if done % 500 == 0:
                        print(f"\r{annotations.stem}: {done}/{len(names)}", end="", file=sys.stderr, flush=True)
            read = sum(height > 0 for height, _ in shapes)
            if not read:  # most likely the wrong folder: remembering it would outlast the mistake
                target.unlink()
                raise InputError(
                    f"None of the {len(names)} pictures of {annotations.name} could be read.",
                    hint=f"File names must be relative to {root}.",
                )
            if read < len(names):
                print(f"{annotations.stem}: {len(names) - read} of {len(names)} pictures unreadable", file=sys.stderr)
            index.write_text(json.dumps(shapes))
        shapes = [tuple(shape) for shape in json.loads(index.read_text())]
        return np.memmap(target, np.uint8, "r"), shapes

    def pixels(self, example: Example) -> np.ndarray:
        """(H, W, 3) uint8 RGB view into the cache."""
        base, part = next(p for p in reversed(self._parts) if p[0] <= example.offset)
        start = example.offset - base
        return part[start : start + example.height * example.width * 3].reshape(example.height, example.width, 3)

    def sampling_weights(self, rare_share: float = 0.03) -> np.ndarray:
        """How often to draw each picture: repeat-factor sampling (Gupta et al. 2019, arXiv:1908.03195).

        A picture counts as often as its rarest class demands, sqrt(rare_share / share of pictures with the class);
        pictures with nothing in them are drawn at a third.
        """
        present = np.zeros(80)
        for example in self.examples:
            present[np.unique(example.classes[~example.ignored])] += 1
        share = np.maximum(present / max(len(self.examples), 1), 1e-6)
        repeat = np.clip(np.sqrt(rare_share / share), 1.0, 8.0)
        weights = []
        for example in self.examples:
            sure = example.classes[~example.ignored]
            made_by_people = len(example.confidence) > 0 and bool((example.confidence == 1).all())
            weight = repeat[sure].max() if len(sure) else 0.33
            # Labels made by people are complete and exact; there are few, so each is seen more often.
            weights.append(weight * (3.0 if made_by_people else 1.0))
        result, tiny = np.asarray(weights), np.array([example.tiny for example in self.examples])
        if tiny.any() and not tiny.all():
            result[tiny] *= TINY_SHARE / (1 - TINY_SHARE) * result[~tiny].sum() / result[tiny].sum()
        return result


def _place(canvas: np.ndarray, picture: np.ndarray, example: Example, scale: float, x: float, y: float, window: tuple):
    """Draw a scaled picture with its corner at (x, y), clipped to ``window``; return rows (M, 7) in canvas pixels."""
    left, top, right, bottom = window
    width, height = max(1, round(example.width * scale)), max(1, round(example.height * scale))
    interpolation = cv2.INTER_AREA if scale < 0.7 else cv2.INTER_LINEAR
    resized = cv2.resize(picture, (width, height), interpolation=interpolation)
    x, y = round(x), round(y)
    x1, y1, x2, y2 = max(x, left), max(y, top), min(x + width, right), min(y + height, bottom)
    if x2 <= x1 or y2 <= y1:
        return np.zeros((0, 7), np.float32)
    canvas[y1:y2, x1:x2] = resized[y1 - y : y2 - y, x1 - x : x2 - x]
    boxes = example.boxes * np.array([width, height, width, height], np.float32) + np.array([x, y, x, y], np.float32)
    clipped = np.clip(boxes, [x1, y1, x1, y1], [x2, y2, x2, y2])
    side = clipped[:, 2:] - clipped[:, :2]
    visible = side.prod(1) / np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1e-6)
    keep = (side.min(1) >= 2) & (visible > 0.1)
    ignored = example.ignored | (visible < 0.3)  # a sliver of an object is neither an object nor background
    rows = np.concatenate([clipped, example.classes[:, None], example.confidence[:, None], ignored[:, None]], 1)
    return rows[keep].astype(np.float32)


def _jitter_colour(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random brightness, contrast, saturation and a slight channel shift, as one affine map of the colours."""
    saturation = rng.uniform(0.6, 1.4) if rng.random() > 0.08 else 0.0
    grey = np.full((3, 3), 1 / 3, np.float32)
    matrix = (saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * grey) * rng.uniform(0.75, 1.25, (3, 1))
    gain = rng.uniform(0.7, 1.3)
    offset = np.full((3, 1), rng.uniform(-25, 25) + 110 * (1 - gain), np.float32)
    return cv2.transform(picture, np.concatenate([matrix * gain, offset], 1).astype(np.float32))


class BatchMaker:
    """Draws random training batches: single pictures and four-picture mosaics (Bochkovskiy et al. 2020)."""

    def __init__(self, cache: PictureCache, seed: int) -> None:
        self.cache = cache
        self.rng = np.random.default_rng(seed)
        weights = cache.sampling_weights()
        self._cumulative = np.cumsum(weights / weights.sum())
        tiny = np.array([example.tiny for example in cache.examples])
        self._tiny, tiny_weights = np.flatnonzero(tiny), weights[tiny]
        self._tiny_cumulative = np.cumsum(tiny_weights / tiny_weights.sum()) if tiny.any() else np.zeros(0)

    def _draw(self) -> Example:
        index = int(np.searchsorted(self._cumulative, self.rng.random()))
        return self.cache.examples[min(index, len(self.cache.examples) - 1)]

    def _contact_sheet(self, canvas: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
        """Fill ``window`` with a grid of tiny pictures; rows as in ``_place``."""
        left, top, right, bottom = window
        side = TINY_SIDE * self.rng.uniform(0.8, 1.7)
        rows = []
        for y in np.arange(top, bottom, side):
            for x in np.arange(left, right, side):
                pick = int(np.searchsorted(self._tiny_cumulative, self.rng.random()))
                example = self.cache.examples[self._tiny[min(pick, len(self._tiny) - 1)]]
                scale = side / max(example.height, example.width)
                rows.append(_place(canvas, self.cache.pixels(example), example, scale, x, y, window))
        return np.concatenate(rows)

    def _mosaic(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        canvas = np.full((size, size, 3), 114, np.uint8)
        cx, cy = (round(size * self.rng.uniform(0.3, 0.7)) for _ in range(2))
        rows = []
        for window in ((0, 0, cx, cy), (cx, 0, size, cy), (0, cy, cx, size), (cx, cy, size, size)):
            example = self._draw()
            if example.tiny:
                rows.append(self._contact_sheet(canvas, window))
                continue
            scale = size * self.rng.uniform(0.45, 1.1) / max(example.height, example.width)
            width, height = example.width * scale, example.height * scale
            x = window[2] - width if window[0] == 0 else window[0]
            y = window[3] - height if window[1] == 0 else window[1]
            rows.append(_place(canvas, self.cache.pixels(example), example, scale, x, y, window))
        return canvas, np.concatenate(rows)

    def _single(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        canvas = np.full((size, size, 3), 114, np.uint8)
        example = self._draw()
        if example.tiny:
            return canvas, self._contact_sheet(canvas, (0, 0, size, size))
        scale = size * self.rng.uniform(0.75, 1.5) / max(example.height, example.width)
        slack_x, slack_y = size - example.width * scale, size - example.height * scale
        x, y = slack_x * self.rng.random(), slack_y * self.rng.random()
        window = (0, 0, size, size)
        return canvas, _place(canvas, self.cache.pixels(example), example, scale, x, y, window)

    def batch(self, count: int, size: int, mosaic_share: float) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (count, size, size, 3) uint8 RGB; rows (M, 8): picture, x1 y1 x2 y2, class, confidence, ignored."""
        pictures, all_rows = [], []
        for index in range(count):
            picture, rows = self._mosaic(size) if self.rng.random() < mosaic_share else self._single(size)
            if self.rng.random() < 0.5:
                picture = picture[:, ::-1]
                rows[:, [0, 2]] = size - rows[:, [2, 0]]
            pictures.append(_jitter_colour(np.ascontiguousarray(picture), self.rng))
            all_rows.append(np.concatenate([np.full((len(rows), 1), index, np.float32), rows], 1))
        return np.stack(pictures), np.concatenate(all_rows)
