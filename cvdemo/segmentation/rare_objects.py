"""Objects of rare classes, cut out of labelled pictures and pasted into others (Ghiasi et al. 2021, arXiv:2012.07177).

A few hundred street photographs hold thousands of people and a dozen cats. Drawing those pictures more often shows the
same backgrounds again and again; pasting the cats elsewhere shows the class apart from where it was found. Pictures
too small to learn from whole (64 pixels) still give objects of the size that objects have in a larger one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.segmentation.copy_paste import blended, placed
from cvdemo.segmentation.labels import IGNORE
from cvdemo.segmentation.training_data import LOSS_STRIDE, Example

COMMON = 0.05  # a class with more than this share of the pixels needs no pasting
SMALLEST_SIDE = 16  # pixels of the source
SMALLEST_AREA = 0.03  # of its picture
MOST_ENLARGED = 1.4  # a small cut-out is hardly enlarged, or the network would learn to know it by its blur
SIZES = (0.15, 0.8)  # longest side of a pasted object, share of the crop


@dataclass(frozen=True, eq=False)
class CutOut:
    """pixels (h, w, 3) uint8 and mask (h, w) bool: one connected region of a class in its bounding box."""

    pixels: np.ndarray
    mask: np.ndarray


def cut_outs(example: Example, wanted: Sequence[int]) -> list[tuple[int, CutOut]]:
    """(class, cut-out) of the large connected regions of the classes ``wanted`` in one picture."""
    found = []
    for label in wanted:
        if example.counts[label] < SMALLEST_AREA * example.labels.size:
            continue
        regions, drawn, facts, _ = cv2.connectedComponentsWithStats((example.labels == label).astype(np.uint8))
        for region in range(1, regions):
            left, top, width, height, area = facts[region]
            if area < SMALLEST_AREA * example.labels.size or min(width, height) < SMALLEST_SIDE:
                continue
            window = np.s_[top : top + height, left : left + width]
            found.append((label, CutOut(example.pixels[window], drawn[window] == region)))
    return found


class RareObjects:
    """Cut-outs of the classes that are rare among ``pictures``, found there and in ``more``; pastes one at random.

    Every class is as likely as any other, except that one with few cut-outs is not shown more than they can bear
    (square root of their number, as repeat-factor sampling does it).
    """

    def __init__(self, pictures: Sequence[Example], more: Sequence[Example], seed: int) -> None:
        counts = np.sum([example.counts for example in pictures], axis=0)
        rare = [int(label) for label in np.flatnonzero(counts <= COMMON * counts.sum()) if label > 0]
        self.by_class: dict[int, list[CutOut]] = {}
        for example in (*pictures, *more):
            for label, cut in cut_outs(example, rare):
                self.by_class.setdefault(label, []).append(cut)
        self.rng = np.random.default_rng(seed)
        self._classes = sorted(self.by_class)
        weights = np.sqrt([min(len(self.by_class[label]), 100) for label in self._classes])
        self._shares = weights / weights.sum()

    def draw(self) -> tuple[int, CutOut]:
        """A random class and one of its cut-outs."""
        label = int(self.rng.choice(self._classes, p=self._shares))
        candidates = self.by_class[label]
        return label, candidates[int(self.rng.integers(len(candidates)))]

    def paste(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A random object put into a crop: pixels (size, size, 3) uint8, labels (size / 2, size / 2) uint8.

        Where the object's edge is mixed with what lies below, the label becomes "no opinion". Without effect when
        there are no cut-outs.
        """
        if not self._classes:
            return pixels, labels
        label, item = self.draw()
        size, longest = len(pixels), max(item.mask.shape)
        side = size * math.exp(self.rng.uniform(math.log(SIZES[0]), math.log(SIZES[1])))
        scale = min(side / longest, MOST_ENLARGED)
        centre = self.rng.uniform(0.1, 0.9, 2) * size
        linear = np.diag([scale * self.rng.choice([-1.0, 1.0]), scale])
        middle = np.array(item.mask.shape[::-1]) / 2
        matrix = np.concatenate([linear, (centre - linear @ middle)[:, None]], 1)
        figure, alpha = placed(item.pixels, item.mask, matrix, size)
        cover = cv2.resize(alpha, (size // LOSS_STRIDE,) * 2, interpolation=cv2.INTER_AREA)
        below = np.where(cover < 0.1, labels, IGNORE)
        return blended(pixels, figure, alpha), np.where(cover > 0.6, label, below).astype(np.uint8)
