"""Labelled pictures for training: read once, packed small into one memory-mapped file, split by their names."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2

PACKED_SIDE = 184
"""Shorter side in pixels of a packed picture; of long ones only the middle 1.5 : 1 is kept."""
LONGEST = 1.5
FIFTHS = 5


def fifth_of(name: str) -> int:
    """0 to 4, fixed for ever by a file's name: the first byte of its SHA-256, modulo 5. Fifth 0 is held back."""
    return hashlib.sha256(name.encode("utf-8")).digest()[0] % FIFTHS


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures in a memory-mapped file, with labels (N,) int64 into ``classes`` and their names."""

    packed: np.ndarray
    shapes: np.ndarray
    starts: np.ndarray
    names: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB view."""
        height, width = (int(v) for v in self.shapes[row])
        start = int(self.starts[row])
        return self.packed[start : start + height * width * 3].reshape(height, width, 3)

    def held_back(self) -> np.ndarray:
        """(N,) bool: which pictures are never trained or tuned on."""
        return np.array([fifth_of(name) == 0 for name in self.names])


def read_labels(folder: Path) -> list[tuple[Path, str]]:
    """(picture, class) pairs of har15_stills: ``train/Image_1.jpg`` … and ``Training_set.csv`` with filename, label."""
    table = folder / "Training_set.csv"
    if not table.is_file():
        raise InputError(f"{folder} has no Training_set.csv.", hint="Give the har15_stills folder.")
    with table.open(newline="", encoding="utf-8") as file:
        rows = [(row["filename"].replace("\\", "/").rpartition("/")[2], row["label"]) for row in csv.DictReader(file)]
    return [(folder / "train" / name, label.replace("_", " ")) for name, label in rows]


def pack(cache: Path, pairs: Sequence[tuple[Path, str]], side: int = PACKED_SIDE) -> Pictures:
    """Read the pictures once; a second call with the same files opens what the first one wrote.

    pairs: (file, class name). Pictures that cannot be read are left out and counted.
    """
    stamp = "|".join(f"{path}:{path.stat().st_size}:{label}" for path, label in pairs if path.exists())
    key = hashlib.sha256(f"{side}|{stamp}".encode()).hexdigest()[:16]
    target, index = cache / f"pictures-{key}.bin", cache / f"pictures-{key}.json"
    if not index.exists():
        cache.mkdir(parents=True, exist_ok=True)
        rows: list[tuple[int, int, str, str]] = []
        with target.open("wb") as out:
            for done, (path, label) in enumerate(pairs, 1):
                pixels = read_small(path, side)
                if pixels is not None:
                    rows.append((pixels.shape[0], pixels.shape[1], path.name, label))
                    out.write(pixels.tobytes())
                if done % 500 == 0:
                    print(f"\rpacking pictures: {done}/{len(pairs)}", end="", file=sys.stderr, flush=True)
        if not rows:
            target.unlink()
            raise InputError("None of the pictures could be read.", hint="Check the folder.")
        index.write_text(json.dumps(rows))
    rows = [tuple(row) for row in json.loads(index.read_text())]
    shapes = np.array([row[:2] for row in rows], np.int64)
    sizes = shapes.prod(axis=1) * 3
    classes = tuple(sorted({row[3] for row in rows}))
    labels = np.array([classes.index(row[3]) for row in rows], np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return Pictures(np.memmap(target, np.uint8, "r"), shapes, starts, tuple(row[2] for row in rows), labels, classes)


def read_small(path: Path, side: int) -> np.ndarray | None:
    """(H, W, 3) uint8 RGB with a shorter side of ``side`` pixels; None when the file is not a picture."""
    data = np.fromfile(path, np.uint8) if path.is_file() else np.zeros(0, np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if pixels is None:
        return None
    height, width = pixels.shape[:2]
    if max(height, width) > LONGEST * min(height, width):
        keep = round(LONGEST * min(height, width))
        top, left = max(0, (height - keep) // 2), max(0, (width - keep) // 2)
        pixels = pixels[top : top + keep, left : left + keep]
        height, width = pixels.shape[:2]
    scale = side / min(height, width)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    size = max(side, round(width * scale)), max(side, round(height * scale))
    small: np.ndarray = cv2.cvtColor(cv2.resize(pixels, size, interpolation=how), cv2.COLOR_BGR2RGB)
    return small


def random_crop(picture: np.ndarray, size: int, rng: np.random.Generator, least: float = 0.3) -> np.ndarray:
    """(size, size, 3) uint8: a part of at least ``least`` of the area, 3 : 4 to 4 : 3, mirrored half of the time."""
    height, width = picture.shape[:2]
    area = height * width * rng.uniform(least, 1.0)
    ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    w = int(min(width, max(16, round(np.sqrt(area * ratio)))))
    h = int(min(height, max(16, round(np.sqrt(area / ratio)))))
    y, x = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    part = picture[y : y + h, x : x + w]
    how = cv2.INTER_AREA if min(h, w) > 1.4 * size else cv2.INTER_LINEAR
    resized = cv2.resize(part, (size, size), interpolation=how)
    return np.ascontiguousarray(resized[:, ::-1]) if rng.random() < 0.5 else resized


def middle_square(picture: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) uint8: the whole middle square, as at run time."""
    from cvdemo.action.prepare import middle_squares

    return middle_squares(picture[None], size)[0]
