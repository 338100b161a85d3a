"""Pictures and label maps for training the compact segmentation models: packed caches, crops made on the fly.

A source is a folder of pictures and a folder of index PNGs of the same relative paths. Both are shrunk, decoded once
and packed into flat uint8 files that are memory-mapped, so that tens of thousands of pictures cost no decoding per
epoch. Labels are class indices, 255 where there is no opinion.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2
from cvdemo.segmentation.labels import IGNORE

E = TypeVar("E")
Crop = tuple[np.ndarray, np.ndarray]
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG")
EXACT_WEIGHT = 3.0  # how often a picture labelled by people is drawn, relative to one labelled by a teacher
GREY = 114  # beyond the picture's edge
LOSS_STRIDE = 2  # labels have half the crop's resolution: finer than the logits, and four times cheaper than pixels


@dataclass(frozen=True)
class Source:
    """Pictures with label maps: two folders, the stems to use (None: all), and whether people made the labels."""

    pictures: Path
    labels: Path
    stems: frozenset[str] | None = None
    exact: bool = False


@dataclass(frozen=True, eq=False)
class Example:
    """pixels (H, W, 3) uint8 RGB, labels (H, W) uint8, pixel counts (C,) per class, drawn how often."""

    pixels: np.ndarray
    labels: np.ndarray
    counts: np.ndarray
    weight: float


def pairs_of(source: Source) -> list[tuple[Path, Path]]:
    """(picture, index PNG) of every label map whose picture exists, sorted by relative path."""
    found = []
    for label in sorted(source.labels.rglob("*.png")):
        if label.name.endswith(".draft.png") or (source.stems is not None and label.stem not in source.stems):
            continue
        beside = source.pictures / label.relative_to(source.labels)
        picture = next((p for suffix in PICTURE_SUFFIXES if (p := beside.with_suffix(suffix)).exists()), None)
        if picture is not None:
            found.append((picture, label))
    return found


def _read_small(picture: Path, label: Path, side: int) -> tuple[np.ndarray, np.ndarray] | None:
    pixels, labels = cv2.imread(str(picture)), cv2.imread(str(label), cv2.IMREAD_UNCHANGED)
    if pixels is None or labels is None or labels.ndim != 2:
        return None
    scale = min(1.0, side / max(pixels.shape[:2]))
    width, height = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    if scale < 1:
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.ascontiguousarray(pixels[:, :, ::-1]), labels


def load_source(cache: Path, source: Source, side: int, classes: int, void: Collection[int] = ()) -> list[Example]:
    """The pictures of one source, longest side at most ``side``, packed into a file under ``cache``.

    void: indices in the label files that mean "no opinion", besides everything from ``classes`` on. Raises InputError
    when there is nothing to read.
    """
    pairs = pairs_of(source)
    stamps = "|".join(f"{p}:{q.stat().st_mtime_ns}:{q.stat().st_size}" for p, q in pairs)
    key = hashlib.sha256(f"{source.labels.resolve()}|{side}|{stamps}".encode()).hexdigest()[:16]
    target = cache / f"segmentation-{source.labels.name}-{key}.bin"
    index = target.with_suffix(".json")
    if not index.exists():
        cache.mkdir(parents=True, exist_ok=True)
        shapes: list[tuple[int, int]] = []
        with target.open("wb") as out:
            for done, (picture, label) in enumerate(pairs, 1):
                read = _read_small(picture, label, side)
                if read is None:
                    continue
                shapes.append((read[1].shape[0], read[1].shape[1]))
                out.write(read[0].tobytes())
                out.write(read[1].tobytes())
                if done % 500 == 0:
                    print(f"\r{source.labels}: {done}/{len(pairs)}", end="", file=sys.stderr, flush=True)
        if not shapes:  # most likely the wrong folder: remembering it would outlast the mistake
            target.unlink()
            raise InputError(
                f"None of the {len(pairs)} label maps under {source.labels} has a readable picture.",
                hint=f"Pictures are looked for at the same relative paths under {source.pictures}.",
            )
        index.write_text(json.dumps(shapes))
    packed = np.memmap(target, np.uint8, "r")
    known = np.full(256, IGNORE, np.uint8)
    known[:classes] = np.arange(classes)
    known[list(void)] = IGNORE
    examples, start = [], 0
    for height, width in json.loads(index.read_text()):
        area = height * width
        pixels = packed[start : start + 3 * area].reshape(height, width, 3)
        labels = known[packed[start + 3 * area : start + 4 * area]].reshape(height, width)
        counts = np.bincount(labels.ravel(), minlength=256)[:classes]
        examples.append(Example(pixels, labels, counts, EXACT_WEIGHT if source.exact else 1.0))
        start += 4 * area
    return examples


def sampling_weights(examples: Sequence[Example], rare_share: float = 0.04) -> np.ndarray:
    """How often to draw each picture: repeat-factor sampling (Gupta et al. 2019, arXiv:1908.03195), times ``weight``.

    A picture counts as often as its rarest class demands, sqrt(rare_share / share of pictures with the class), at
    most 6 times. A class counts as present from 0.5 % of the picture on; pictures of background only count a third.
    """
    present = np.stack([example.counts >= 0.005 * example.labels.size for example in examples])
    share = np.maximum(present.mean(0), 1e-6)
    repeat = np.clip(np.sqrt(rare_share / share), 1.0, 6.0)
    demanded = np.where(present, repeat, 0.0).max(1)
    several = present.shape[1] > 1
    empty = ~present[:, 1:].any(1) if several else np.zeros(len(examples), bool)
    own = np.array([example.weight for example in examples])
    return np.where(empty, 1 / 3, np.maximum(demanded, 1 / 3)) * own


def class_weights(examples: Sequence[Example], power: float = 0.25) -> np.ndarray:
    """Weights (C,) float32 for the cross-entropy: (share of the pixels) ** -power, 1 on average over pixels, at most 4.

    power 1 would make every class weigh the same, which lets rare classes flood the map; 0 changes nothing.
    """
    counts = np.sum([example.counts for example in examples], axis=0).astype(np.float64)
    share = np.maximum(counts / max(counts.sum(), 1), 1e-6)
    raw = share**-power
    return np.minimum(raw / (share * raw).sum(), 4.0).astype(np.float32)


def jitter_colour(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random gamma, contrast, brightness, saturation and tint; one picture in twelve turns grey, one is blurred."""
    levels = np.linspace(0, 1, 256) ** math.exp(rng.normal(0, 0.25))
    levels = (levels - 0.5) * rng.uniform(0.75, 1.25) + 0.5 + rng.uniform(-0.12, 0.12)
    table = np.clip(levels * 255, 0, 255).astype(np.uint8)
    saturation = rng.uniform(0.55, 1.4) if rng.random() > 1 / 12 else 0.0
    mix = (saturation * np.eye(3) + (1 - saturation) / 3) * rng.uniform(0.9, 1.1, (3, 1))
    result = cv2.transform(cv2.LUT(picture, table), mix.astype(np.float32))
    return cv2.GaussianBlur(result, (0, 0), rng.uniform(0.4, 1.3)) if rng.random() < 1 / 12 else result


class Drawer(Generic[E]):
    """Draws examples at random, each as often as its weight says.

    weigh(examples): their weights (N,).   long_side: the longest side pictures have at test time.
    Raises InputError when there are no examples.
    """

    def __init__(
        self, examples: Sequence[E], weigh: Callable[[Sequence[E]], np.ndarray], seed: int, long_side: int
    ) -> None:
        if not examples:
            raise InputError("There are no pictures to learn from.", hint="Check the folders of the sources.")
        self.examples = examples
        self.long_side = long_side
        self.rng = np.random.default_rng(seed)
        weights = weigh(examples)
        self._cumulative = np.cumsum(weights / weights.sum())

    def _draw(self) -> E:
        index = int(np.searchsorted(self._cumulative, self.rng.random()))
        return self.examples[min(index, len(self.examples) - 1)]


class BatchMaker(Drawer[Example]):
    """Draws random training crops: scaled, turned a little, mirrored, recoloured.

    long_side: the longest side pictures have at test time; crops show them at 0.6 to 1.7 times that scale.
    paste: puts something else into a crop (pixels, labels), as ``RareObjects.paste`` does; every second crop gets it.
    """

    def __init__(
        self, examples: Sequence[Example], seed: int, long_side: int, paste: Callable[..., Crop] | None = None
    ) -> None:
        super().__init__(examples, sampling_weights, seed, long_side)
        self._paste = paste
        total = np.sum([example.counts > 0 for example in examples], axis=0)
        self._rarity = 1 / np.sqrt(np.maximum(total, 1))

    def _focus(self, example: Example) -> np.ndarray:
        """Where to look, xy in the example's pixels: half the time at a class of the picture, rare ones more often."""
        height, width = example.labels.shape
        present = np.flatnonzero(example.counts)
        if len(present) and self.rng.random() < 0.5:
            rarity = self._rarity[present]
            label = self.rng.choice(present, p=rarity / rarity.sum())
            rows, columns = np.nonzero(example.labels == label)
            pick = int(self.rng.integers(len(rows)))
            return np.array([columns[pick], rows[pick]], np.float64)
        return self.rng.random(2) * (width - 1, height - 1)

    def _matrix(self, example: Example, size: int) -> np.ndarray:
        """A random similarity (2, 3) from the example's pixels to the crop's."""
        rng = self.rng
        height, width = example.labels.shape
        scale = self.long_side * math.exp(rng.uniform(math.log(0.6), math.log(1.7))) / max(height, width)
        focus = self._focus(example)
        return place(rng, (height, width), size, scale, focus, math.radians(6))

    def one(self, size: int) -> Crop:
        """A crop: pixels (size, size, 3) uint8, labels (size / 2, size / 2) uint8."""
        example = self._draw()
        matrix = self._matrix(example, size)
        pixels, labels = warp(example.pixels, example.labels, matrix, size)
        if self._paste is not None and self.rng.random() < 0.5:
            pixels, labels = self._paste(pixels, labels)
        return jitter_colour(pixels, self.rng), labels

    def batch(self, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (count, size, size, 3) uint8 RGB; labels (count, size / 2, size / 2) uint8, 255 ignored."""
        crops = [self.one(size) for _ in range(count)]
        return np.stack([pixels for pixels, _ in crops]), np.stack([labels for _, labels in crops])


def place(
    rng: np.random.Generator, shape: tuple[int, int], size: int, scale: float, focus: np.ndarray, turn: float = 0.0
) -> np.ndarray:
    """A random similarity (2, 3) from the pixels of a picture of ``shape`` (height, width) to a crop of size x size.

    focus: xy of a pixel that lands in the crop.   turn: standard deviation of the angle, radians; mirrored half the
    time.
    """
    # The focus may land anywhere in the crop, but no grey is shown that a shift could avoid.
    aim = np.empty(2)
    for axis, length in enumerate((shape[1], shape[0])):
        low, high = focus[axis] * scale, size - (length - 1 - focus[axis]) * scale
        low, high = min(low, high), max(low, high)
        low, high = max(low, 0.1 * size), min(high, 0.9 * size)
        aim[axis] = rng.uniform(low, high) if low < high else (low + high) / 2
    angle = rng.normal(0, turn)
    linear = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) * scale
    if rng.random() < 0.5:
        linear[0] *= -1
        aim[0] = size - 1 - aim[0]
    return np.concatenate([linear, (aim - linear @ focus)[:, None]], 1)


def warp(pixels: np.ndarray, labels: np.ndarray, matrix: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture and labels under the similarity ``matrix`` (2, 3), picture pixels to crop pixels (centres at integers).

    Returns pixels (size, size, 3) and labels (size / 2, size / 2); beyond the picture's edge grey, and ignored.
    """
    return warp_pixels(pixels, matrix, size), warp_labels(labels, matrix, size)


def shrunk(source: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H, W[, 3]) and a similarity (2, 3) to warp it by, the picture averaged to less where it shrinks a lot.

    Bilinear warping alone would skip pixels there. Returns both as they then belong together.
    """
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    source = np.ascontiguousarray(source)
    if scale >= 0.6:
        return source, matrix
    height, width = source.shape[:2]
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    ratio = np.array([width / small[0], height / small[1]])
    grow = np.array([[ratio[0], 0, ratio[0] / 2 - 0.5], [0, ratio[1], ratio[1] / 2 - 0.5], [0, 0, 1]])
    return cv2.resize(source, small, interpolation=cv2.INTER_AREA), matrix @ grow


def warp_pixels(pixels: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """The picture's half of ``warp``."""
    source, inner = shrunk(pixels, matrix)
    return cv2.warpAffine(source, inner, (size, size), borderMode=cv2.BORDER_CONSTANT, borderValue=(GREY,) * 3)


def warp_labels(labels: np.ndarray, matrix: np.ndarray, size: int, beyond: int = IGNORE) -> np.ndarray:
    """The labels' half of ``warp``; ``beyond``: the value outside of ``labels``."""
    shrink = 1 / LOSS_STRIDE
    halved = np.array([[shrink, 0, shrink / 2 - 0.5], [0, shrink, shrink / 2 - 0.5]])
    to_labels = halved @ np.concatenate([matrix, [[0, 0, 1]]])
    side = size // LOSS_STRIDE
    return cv2.warpAffine(
        labels, to_labels, (side, side), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=beyond
    )
