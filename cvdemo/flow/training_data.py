"""Batches of synthetic pairs for training, their textures cut from folders of photographs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2
from cvdemo.flow.synthetic import SceneSettings, make_pair

PHOTO_HEIGHT, PHOTO_WIDTH = 288, 384
SUFFIXES = {".jpg", ".jpeg", ".png"}


@dataclass(frozen=True)
class Source:
    """A folder of photographs, searched with its sub-folders, of which ``limit`` are taken evenly; 0 takes all."""

    folder: Path
    limit: int = 0


def parse_source(text: str) -> Source:
    """``FOLDER`` or ``FOLDER#LIMIT``."""
    folder, _, limit = text.partition("#")
    return Source(Path(folder), int(limit or 0))


def photo_files(source: Source) -> list[Path]:
    """The files in the order of their names; InputError when there are none."""
    found = sorted(path for path in source.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{source.folder} holds no photographs.", hint="Give a folder of JPEG or PNG files.")
    step = max(1.0, len(found) / source.limit) if source.limit else 1.0
    return [found[int(number * step)] for number in range(int(len(found) / step))]


def load_photos(sources: Sequence[Source], cache: Path | None = None) -> np.ndarray:
    """All photographs of the sources as (N, 288, 384, 3) uint8 RGB, cut in the middle.

    cache: a folder where the pixels are kept, and from which they are mapped instead of read the next time.
    """
    files = [path for source in sources for path in photo_files(source)]
    key = hashlib.sha256("\n".join(map(str, files)).encode()).hexdigest()[:16]
    target = None if cache is None else cache / f"photos-{key}.npy"
    if target is not None and target.exists():
        return np.asarray(np.load(target, mmap_mode="r"))
    pixels = np.stack([photo for photo in map(_read, files) if photo is not None])
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, pixels)
    return pixels


def _read(path: Path) -> np.ndarray | None:
    """One photograph, scaled to cover 384 x 288 and cut; upright ones are laid on their side. None if unreadable."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        return None
    if picture.shape[0] > picture.shape[1]:
        picture = cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE)
    height, width = picture.shape[:2]
    scale = max(PHOTO_HEIGHT / height, PHOTO_WIDTH / width)
    size = max(PHOTO_WIDTH, round(width * scale)), max(PHOTO_HEIGHT, round(height * scale))
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (size[1] - PHOTO_HEIGHT) // 2, (size[0] - PHOTO_WIDTH) // 2
    return np.ascontiguousarray(picture[top : top + PHOTO_HEIGHT, left : left + PHOTO_WIDTH, ::-1])


@dataclass(frozen=True)
class Phase:
    """From ``start`` (share of the time budget) on: the crops, the longest motion, pairs a step, refinements."""

    start: float
    height: int
    width: int
    motion: float
    batch: int
    iterations: int = 1


def phase_at(phases: Sequence[Phase], progress: float) -> Phase:
    """The phase of a progress in [0, 1]."""
    return next(phase for phase in reversed(phases) if progress >= phase.start)


@dataclass(frozen=True, eq=False)
class Batch:
    """first, second: (B, H, W, 3) uint8.   flow: (B, H, W, 2) float32.   visible: (B, H, W) bool, in both frames."""

    first: np.ndarray
    second: np.ndarray
    flow: np.ndarray
    visible: np.ndarray
    phase: Phase

    def __len__(self) -> int:
        return len(self.first)


class BatchMaker:
    """Endless batches; the seed and the order of the calls decide everything."""

    def __init__(self, photos: np.ndarray, seed: int, base: SceneSettings | None = None) -> None:
        self.photos, self.rng = photos, np.random.default_rng(seed)
        self.base = base or SceneSettings(things=10)

    def batch(self, phase: Phase) -> Batch:
        """A batch as the phase says; the motion's limit varies from pair to pair, so that slow scenes are learned."""
        columns: tuple[list[np.ndarray], ...] = ([], [], [], [])
        for _ in range(phase.batch):
            motion = phase.motion * float(self.rng.uniform(0.15, 1.0))
            settings = replace(self.base, height=phase.height, width=phase.width, motion=motion)
            pair = make_pair(int(self.rng.integers(2**62)), settings, self.photos)
            arrays = [pair.first, pair.second, pair.flow, pair.valid & ~pair.occluded]
            self._mirror(arrays)
            for kept, array in zip(columns, arrays):
                kept.append(array)
        first, second, flow, visible = map(np.stack, columns)
        return Batch(first, second, flow, visible, phase)

    def _mirror(self, arrays: list[np.ndarray]) -> None:
        """Mirror images in both directions, and colours exchanged, in place of the list's items."""
        for axis, component in ((1, 0), (0, 1)):
            if self.rng.random() < 0.5:
                arrays[:] = [np.flip(array, axis) for array in arrays]
                arrays[2] = arrays[2] * np.where(np.arange(2) == component, -1, 1).astype(np.float32)
        if self.rng.random() < 0.3:
            order = self.rng.permutation(3)
            arrays[0], arrays[1] = arrays[0][..., order], arrays[1][..., order]
