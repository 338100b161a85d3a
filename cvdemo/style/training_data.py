"""What the style recipes learn from: photos as content, pictures of styles as style.

Content comes from packs (see ``cvdemo.classification.soft_labels``). Styles are drawn by the program with a new seed
each, and cut out of any further pictures in a folder, such as classic paintings.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cvdemo.classification.train import Pack, crop_and_resize, jitter_colour
from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2
from cvdemo.style.styles import STYLES, draw_style

POOL_SIDE = 288
SUFFIXES = {".jpg", ".jpeg", ".png"}


class ContentMaker:
    """Square crops of the photos in packs, each photo as likely as its pack's share says."""

    def __init__(self, packs: Sequence[Pack], seed: int) -> None:
        self.packs, self.rng = packs, np.random.default_rng(seed)
        amount = np.array([len(pack.tables["shapes"]) * pack.share for pack in packs], np.float64)
        self.cumulative = np.cumsum(amount / amount.sum())

    def batch(self, count: int, size: int) -> np.ndarray:
        """(count, size, size, 3) uint8; crops of 50 to 100 % of the shorter side, half of them mirrored."""
        made = []
        for _ in range(count):
            pack = self.packs[min(int(np.searchsorted(self.cumulative, self.rng.random())), len(self.packs) - 1)]
            picture = pack.picture(int(self.rng.integers(len(pack.tables["shapes"]))))
            made.append(square(picture, self.rng, size, 0.5))
        return np.stack(made)


class StyleMaker:
    """Square crops of style pictures: a pool of drawn ones, every now and then renewed, and those of a folder.

    pool: drawn pictures kept.   folder: further pictures, or None.   own: share of drawn ones where there is a folder.
    """

    def __init__(self, seed: int, pool: int = 60, folder: Path | None = None, own: float = 0.6) -> None:
        self.rng = np.random.default_rng(seed)
        self.size, self.own = pool, own
        self.drawn: list[np.ndarray] = []
        self.given = [] if folder is None else read_folder(folder)

    def draw(self) -> np.ndarray:
        """A new style picture of a random kind and seed, (288, 288, 3) uint8."""
        name = list(STYLES)[int(self.rng.integers(len(STYLES)))]
        return draw_style(name, POOL_SIDE, int(self.rng.integers(2**31)))

    def batch(self, count: int, size: int) -> np.ndarray:
        """(count, size, size, 3) uint8; colours are jittered, so that no palette is learnt by heart."""
        if len(self.drawn) < self.size:
            self.drawn += [self.draw() for _ in range(min(4, self.size - len(self.drawn)))]
        elif self.rng.random() < 0.2:
            self.drawn[int(self.rng.integers(self.size))] = self.draw()
        made = []
        for _ in range(count):
            source = self.drawn if not self.given or self.rng.random() < self.own else self.given
            picture = source[int(self.rng.integers(len(source)))]
            made.append(jitter_colour(square(picture, self.rng, size, 0.35), self.rng))
        return np.stack(made)


def square(picture: np.ndarray, rng: np.random.Generator, size: int, least: float) -> np.ndarray:
    """A random square of ``least`` to 1 of the shorter side, at (size, size, 3), half of the time mirrored."""
    height, width = picture.shape[:2]
    side = max(8, round(min(height, width) * rng.uniform(least, 1.0)))
    x, y = rng.integers(0, width - side + 1), rng.integers(0, height - side + 1)
    box = np.array([x / width, y / height, (x + side) / width, (y + side) / height])
    cut = crop_and_resize(picture, box, size)
    return np.ascontiguousarray(cut[:, ::-1]) if rng.random() < 0.5 else cut


def read_folder(folder: Path) -> list[np.ndarray]:
    """Every picture of a folder, longer side at most 512; InputError when there is none."""
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.suffix.lower() in SUFFIXES else None
        if picture is None or min(picture.shape[:2]) < 32:
            continue
        scale = min(1.0, 512 / max(picture.shape[:2]))
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        found.append(cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB))
    if not found:
        raise InputError(f"{folder} holds no pictures.", hint=f"Known endings: {' '.join(sorted(SUFFIXES))}.")
    return found


def tensor(pictures: np.ndarray, device: torch.device) -> Tensor:
    """(B, S, S, 3) uint8 -> (B, 3, S, S) float32 in [0, 1], channels last in memory."""
    x = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float().div_(255)
    return x.contiguous(memory_format=torch.channels_last)
