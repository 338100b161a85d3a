"""Objects with masks: pasting the small masks a network gives into the picture, and what is shown of them.

A mask is kept as a crop with its place, never as a picture-sized array: 28 masks of a 1080p frame would be 55 MB.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.segmentation import rle
from cvdemo.segmentation.raw import RawInstances

_PADDING = 1


@dataclass(frozen=True, eq=False)
class Crop:
    """A mask cut to its box: (h, w) bool ``pixels`` whose left upper corner is at column ``x``, row ``y``."""

    x: int
    y: int
    pixels: np.ndarray

    @property
    def area(self) -> int:
        return int(np.count_nonzero(self.pixels))

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the picture that the crop covers."""
        height, width = self.pixels.shape
        return slice(self.y, self.y + height), slice(self.x, self.x + width)


def paste(mask: np.ndarray, box: np.ndarray, height: int, width: int) -> tuple[int, int, np.ndarray]:
    """A (m, m) mask of probabilities stretched over its box: column, row and (h, w) float32 crop in the picture.

    As in Mask R-CNN (He et al. 2017, arXiv:1703.06870) and equal to torchvision's ``paste_masks_in_image``: the mask
    gets a rim of zeros, the box grows by the same share and is cut to whole pixels, and values between the cells are
    interpolated. The crop is empty where the box lies outside the picture.
    """
    side = len(mask)
    padded = np.pad(np.asarray(mask, np.float32), _PADDING)
    grown = np.float32((side + 2 * _PADDING) / side)
    x1, y1, x2, y2 = (np.float32(value) for value in box)
    half_width, half_height = (x2 - x1) * np.float32(0.5) * grown, (y2 - y1) * np.float32(0.5) * grown
    centre_x, centre_y = (x2 + x1) * np.float32(0.5), (y2 + y1) * np.float32(0.5)
    left, right = int(centre_x - half_width), int(centre_x + half_width)
    top, bottom = int(centre_y - half_height), int(centre_y + half_height)
    x0, x3 = max(left, 0), min(right + 1, width)
    y0, y3 = max(top, 0), min(bottom + 1, height)
    if x0 >= x3 or y0 >= y3:
        return min(max(x0, 0), width), min(max(y0, 0), height), np.zeros((0, 0), np.float32)
    size = (max(right - left + 1, 1), max(bottom - top + 1, 1))
    stretched = cv2.resize(padded, size, interpolation=cv2.INTER_LINEAR)
    return x0, y0, stretched[y0 - top : y3 - top, x0 - left : x3 - left]


@dataclass(frozen=True, eq=False)
class InstanceSegmentation:
    """The objects one setting of the sliders keeps, best score first.

    Attributes:
        boxes: (N, 4) float32 x1 y1 x2 y2 in pixels. scores: (N,) float32. labels: (N,) indices into ``categories``.
        crops: N masks. rows: (N,) the objects' rows in the raw output, for showing the raw 28 x 28 mask.
        height, width: of the picture. model: registry name.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    crops: tuple[Crop, ...]
    rows: np.ndarray
    categories: tuple[str, ...]
    height: int
    width: int
    model: str

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.categories[int(label)] for label in self.labels)

    def mask(self, row: int) -> np.ndarray:
        """(H, W) bool mask of one object."""
        full = np.zeros((self.height, self.width), bool)
        full[self.crops[row].window] = self.crops[row].pixels
        return full

    def at(self, x: int, y: int) -> tuple[int, ...]:
        """Rows of the objects whose mask covers pixel column x, row y, best score first."""
        found = []
        for row, crop in enumerate(self.crops):
            inside = 0 <= y - crop.y < crop.pixels.shape[0] and 0 <= x - crop.x < crop.pixels.shape[1]
            if inside and crop.pixels[y - crop.y, x - crop.x]:
                found.append(row)
        return tuple(found)

    def foreground(self) -> np.ndarray:
        """(H, W) float32, 1 where any of the objects is."""
        alpha = np.zeros((self.height, self.width), np.float32)
        for crop in self.crops:
            alpha[crop.window][crop.pixels] = 1
        return alpha

    def label_map(self, names: tuple[str, ...], same: dict[str, str] | None = None) -> np.ndarray:
        """(H, W) uint8 indices into ``names`` painted from the objects, the best score on top, 0 where there is none.

        same: what a category is called in ``names`` where that differs; categories without a name there are left out.
        """
        index = {name: position for position, name in enumerate(names)}
        out = np.zeros((self.height, self.width), np.uint8)
        for row in reversed(range(len(self))):
            name = self.names[row]
            position = index.get((same or {}).get(name, name))
            if position is not None:
                out[self.crops[row].window][self.crops[row].pixels] = position
        return out

    def sentence(self) -> str:
        """ "2 person, 1 dog": what was found, most frequent first."""
        counts = Counter(self.names)
        if not counts:
            return "No objects above the score threshold"
        return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))

    def to_dict(self, name: str = "") -> dict[str, Any]:
        """Plain values for JSON: picture, model and a row for each object with its area in pixels and per cent."""
        total = self.height * self.width
        return {
            "image": {"name": name, "width": self.width, "height": self.height},
            "model": self.model,
            "instances": [
                {
                    "label": label,
                    "score": round(float(score), 5),
                    "box": [round(float(value), 2) for value in box],
                    "pixels": crop.area,
                    "percent": round(100.0 * crop.area / total, 3),
                }
                for label, score, box, crop in zip(self.names, self.scores, self.boxes, self.crops)
            ],
        }

    def run_lengths(self, row: int) -> list[int]:
        """One object's mask as COCO's run lengths, worked out from the crop alone."""
        crop = self.crops[row]
        height, width = crop.pixels.shape
        if not crop.area:
            return [self.height * self.width]
        # Only the columns of the crop differ from zero; the rest of the picture is two runs of zeros.
        columns = np.zeros((self.height, width), bool)
        columns[crop.y : crop.y + height] = crop.pixels
        runs = rle.encode(columns)
        before, after = crop.x * self.height, (self.width - crop.x - width) * self.height
        runs[0] += before
        if after and len(runs) % 2:
            runs[-1] += after
        elif after:
            runs.append(after)
        return runs


def decode_instances(
    raw: RawInstances,
    *,
    score_threshold: float,
    mask_threshold: float = 0.5,
    most: int = 100,
    chosen: frozenset[str] = frozenset(),
) -> InstanceSegmentation:
    """Keep the objects above the score threshold (of the chosen classes, all when empty) and paste their masks.

    mask_threshold: a pixel belongs to the object where its probability is at least this.
    """
    kept = raw.scores > score_threshold
    if chosen:
        wanted = [name in chosen for name in raw.categories]
        kept &= np.array(wanted, bool)[raw.labels]
    rows = np.flatnonzero(kept)
    rows = rows[np.argsort(-raw.scores[rows], kind="stable")][:most]
    limits = np.array([raw.width, raw.height, raw.width, raw.height], np.float32)
    boxes = np.clip(raw.boxes[rows], 0, limits).astype(np.float32)
    crops = []
    for row, box in zip(rows.tolist(), boxes):
        x, y, values = paste(raw.masks[row], box, raw.height, raw.width)
        crops.append(Crop(x, y, values >= np.float32(mask_threshold)))
    return InstanceSegmentation(
        boxes, raw.scores[rows], raw.labels[rows], tuple(crops), rows, raw.categories, raw.height, raw.width, raw.model
    )
