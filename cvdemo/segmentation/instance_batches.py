"""Random training crops with objects and their masks, made from the examples of ``instance_data``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cvdemo.segmentation.copy_paste import Placed, landing, paste
from cvdemo.segmentation.instance_data import Example, Object
from cvdemo.segmentation.training_data import Drawer, jitter_colour, place, warp_labels, warp_pixels

MOST_OBJECTS = 6  # in one crop: their masks are what a step costs
VISIBLE = 0.5  # share of a box that must lie in the crop
SMALLEST_SIDE = 12.0  # of what lies in the crop, pixels
PASTED = 0.4  # share of the crops that get another figure pasted in
_TRIES = 8


class InstanceBatch(NamedTuple):
    """pixels (B, S, S, 3) uint8 RGB; of M objects: picture (M,) and category (M,) int64, boxes (M, 4) float32 xyxy cut
    at the crop's edge, masks (M, S / 2, S / 2) uint8 of 0, 1 and 255 for "not known"."""

    pixels: np.ndarray
    picture: np.ndarray
    category: np.ndarray
    boxes: np.ndarray
    masks: np.ndarray


def moved_box(box: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A box (4,) under a matrix (2, 3) that maps pixel centres at integers; a box's edges lie between pixels."""
    corners = matrix @ np.array([[box[0] - 0.5, box[2] - 0.5], [box[1] - 0.5, box[3] - 0.5], [1, 1]]) + 0.5
    return np.concatenate([corners.min(1), corners.max(1)]).astype(np.float32)


def moved_mask(item: Object, matrix: np.ndarray, size: int) -> np.ndarray:
    """The object's mask (size / 2, size / 2) in the crop that ``matrix`` leads to."""
    shift = np.array([[1, 0, item.x], [0, 1, item.y], [0, 0, 1.0]])
    return warp_labels(np.ascontiguousarray(item.mask), matrix @ shift, size, beyond=0)


class InstanceBatchMaker(Drawer[Example]):
    """Draws random crops around objects: scaled, mirrored, recoloured, some with another figure pasted in.

    long_side: the longest side pictures have at test time; crops show them at 0.6 to 1.6 times that scale.
    """

    def __init__(self, examples: Sequence[Example], seed: int, long_side: int) -> None:
        super().__init__(examples, lambda drawn: np.array([example.weight for example in drawn]), seed, long_side)
        self._exact = any(example.exact for example in examples)

    def _matrix(self, example: Example, size: int) -> np.ndarray:
        height, width = example.pixels.shape[:2]
        scale = self.long_side * math.exp(self.rng.uniform(math.log(0.6), math.log(1.6))) / max(height, width)
        box = example.objects[int(self.rng.integers(len(example.objects)))].box
        # An object larger than the crop shows little but its inside.
        scale = min(scale, 1.15 * size / float((box[2:] - box[:2]).max()))
        focus = (box[:2] + self.rng.uniform(0.3, 0.7, 2) * (box[2:] - box[:2])).astype(np.float64)
        return place(self.rng, (height, width), size, scale, focus)

    def one(self, size: int) -> tuple[np.ndarray, list[Placed]]:
        """A crop (size, size, 3) uint8 and its objects: box (4,), category, mask (size / 2, size / 2)."""
        for _ in range(_TRIES):
            example = self._draw()
            matrix = self._matrix(example, size)
            objects: list[Placed] = []
            for index in self.rng.permutation(len(example.objects))[:MOST_OBJECTS]:
                item = example.objects[index]
                box = moved_box(item.box, matrix)
                seen = np.clip(box, 0, size)
                if (seen[2:] - seen[:2]).min() < SMALLEST_SIDE:
                    continue
                if (seen[2:] - seen[:2]).prod() < VISIBLE * (box[2:] - box[:2]).prod():
                    continue
                mask = moved_mask(item, matrix, size)
                if (mask == 1).any():
                    objects.append((seen, item.category, mask))
            if objects:
                break
        pixels = warp_pixels(example.pixels, matrix, size)
        if objects and self._exact and self.rng.random() < PASTED:
            pixels, objects = self._with_another(pixels, objects)
        return jitter_colour(pixels, self.rng), objects

    def _with_another(self, pixels: np.ndarray, objects: list[Placed]) -> tuple[np.ndarray, list[Placed]]:
        example = self._draw()
        while not example.exact:
            example = self._draw()
        item = example.objects[int(self.rng.integers(len(example.objects)))]
        beside = objects[int(self.rng.integers(len(objects)))][0]
        return paste(pixels, objects, example, item, landing(self.rng, item, beside, len(pixels)))

    def batch(self, count: int, size: int) -> InstanceBatch:
        """``count`` crops of size x size pixels with the objects in them."""
        crops = [self.one(size) for _ in range(count)]
        rows = [(index, *item) for index, (_, objects) in enumerate(crops) for item in objects]
        return InstanceBatch(
            np.stack([pixels for pixels, _ in crops]),
            np.array([row[0] for row in rows], np.int64),
            np.array([row[2] for row in rows], np.int64),
            np.array([row[1] for row in rows], np.float32).reshape(-1, 4),
            np.array([row[3] for row in rows], np.uint8).reshape(-1, size // 2, size // 2),
        )
