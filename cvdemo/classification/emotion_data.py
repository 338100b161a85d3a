"""Emotion data sets in folders (fer2013, CK+), and the augmentation the recipe uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvdemo.classification.nets.emotion_net import EMOTIONS, SIDE
from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
# what other data sets call the same seven; folders of other names hold emotions the network does not know
SYNONYMS = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "happiness": "happy",
    "sadness": "sad",
    "surprised": "surprise",
}


def emotion_of_folder(name: str) -> int | None:
    """Index into ``EMOTIONS`` of a folder's name (synonyms and any case are understood), None when it is no such."""
    name = SYNONYMS.get(name.lower(), name.lower())
    return EMOTIONS.index(name) if name in EMOTIONS else None


@dataclass(frozen=True)
class FaceSet:
    """Face crops in memory: pixels (N, 48, 48) uint8 grey, labels (N,) int64 into ``EMOTIONS``."""

    pixels: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __add__(self, other: FaceSet) -> FaceSet:
        return FaceSet(np.concatenate([self.pixels, other.pixels]), np.concatenate([self.labels, other.labels]))


def picture_files(folder: Path) -> list[tuple[Path, int]]:
    """The pictures under ``folder/<emotion>/`` with their emotion, sorted; folders of other names are left out.

    Raises InputError when there is none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", hint="Give a folder with one sub-folder per emotion.")
    found = []
    for child in sorted(folder.iterdir()):
        emotion = emotion_of_folder(child.name)
        if child.is_dir() and emotion is not None:
            files = (path for path in sorted(child.iterdir()) if path.suffix.lower() in SUFFIXES)
            found += [(path, emotion) for path in files]
    if not found:
        names = ", ".join(EMOTIONS)
        raise InputError(f"{folder} has no pictures in sub-folders.", hint=f"Name the sub-folders {names}.")
    return found


def read_grey(path: Path, side: int = SIDE) -> np.ndarray:
    """One face crop as (side, side) uint8 grey; raises InputError when the file is not a picture."""
    grey = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE) if path.stat().st_size else None
    if grey is None:
        raise InputError(f"{path} is not a picture that can be read.")
    if grey.shape != (side, side):
        shrinking = min(grey.shape) > side
        grey = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)
    return grey


def load_faces(folder: Path) -> FaceSet:
    """All pictures under ``folder/<emotion>/`` as a ``FaceSet``; raises InputError when there is none."""
    files = picture_files(folder)
    pixels = np.stack([read_grey(path) for path, _ in files])
    return FaceSet(pixels, np.array([emotion for _, emotion in files], np.int64))


def random_affine(rng: np.random.Generator, side: int, size: int) -> np.ndarray:
    """(2, 3) map from a side x side crop to a size x size one: flip, turn, scale and shift about the centre.

    Up to 14 degrees, 0.85 to 1.2 times and 9 % of the side: what an alignment by detected landmarks leaves to chance,
    and more.
    """
    angle = np.deg2rad(rng.uniform(-14, 14))
    scale = rng.uniform(0.85, 1.2) * size / side
    stretch = rng.uniform(0.94, 1.06)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([flip * scale * stretch, scale / stretch])
    shift = rng.uniform(-0.09, 0.09, 2) * size
    centre = np.full(2, (side - 1) / 2)
    return np.column_stack([linear, (size - 1) / 2 + shift - linear @ centre])


def random_tone(rng: np.random.Generator) -> np.ndarray:
    """(256,) uint8 look-up table: gamma, then contrast about middle grey, then brightness."""
    levels = np.linspace(0, 1, 256, dtype=np.float32) ** np.float32(np.exp(rng.uniform(-0.45, 0.45)))
    levels = (levels - 0.5) * rng.uniform(0.6, 1.4) + 0.5 + rng.uniform(-0.12, 0.12)
    return (levels.clip(0, 1) * 255).astype(np.uint8)


def erase(face: np.ndarray, rng: np.random.Generator) -> None:
    """Overwrite one random rectangle of 2 to 20 % of the area, in place (random erasing, arXiv:1708.04896)."""
    size = len(face)
    area, ratio = rng.uniform(0.02, 0.2) * size * size, np.exp(rng.uniform(-1, 1))
    height, width = (int(min(size, max(1, round(v)))) for v in (np.sqrt(area * ratio), np.sqrt(area / ratio)))
    top, left = int(rng.integers(size - height + 1)), int(rng.integers(size - width + 1))
    face[top : top + height, left : left + width] = rng.integers(256)


def augment(face: np.ndarray, size: int, rng: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """A random variant (size, size) uint8 of a grey face crop.

    ``strength`` in [0, 1] scales how often it is blurred, its tones change and a part is erased.
    """
    if rng.random() < 0.12 * strength:  # small faces come blurred
        small = int(rng.integers(22, 38))
        face = cv2.resize(cv2.resize(face, (small, small), interpolation=cv2.INTER_AREA), face.shape)
    affine = random_affine(rng, len(face), size)
    border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    face = cv2.warpAffine(face, affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)
    if rng.random() < 0.7 * strength:
        face = cv2.LUT(face, random_tone(rng))
    if rng.random() < 0.4 * strength:
        erase(face, rng)
    return face
