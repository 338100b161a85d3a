"""What a classifier sees of a picture: shrink, cut out the middle, scale the colours.

The resampling is antialiased like torchvision's published transforms, but only the pixels under the crop are computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cvdemo.core.lazy import cv2

CropBox = tuple[float, float, float, float]
PrepareInput = Callable[[np.ndarray], tuple[Tensor, CropBox]]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocess:
    """The published input transform of one model.

    Attributes:
        resize: the picture's shorter side is brought to this many pixels (both sides where ``squash``).
        crop: then the middle square of this side is cut out.
        mean, std: taken from, and divided out of, RGB in [0, 1].
        resampling: "bilinear" and "bicubic" as in Pillow, antialiased; "area" averages (OpenCV, several times faster).
        squash: ignore the picture's shape while resizing.
    """

    resize: int
    crop: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    resampling: Literal["area", "bilinear", "bicubic"] = "bilinear"
    squash: bool = False

    def box(self, height: int, width: int) -> CropBox:
        """The part x1 y1 x2 y2 of a picture, in its pixels, that is left after resizing and cropping."""
        resized_height, resized_width = self._resized(height, width)
        top = round((resized_height - self.crop) / 2)
        left = round((resized_width - self.crop) / 2)
        x, y = width / resized_width, height / resized_height
        return left * x, top * y, min(width, (left + self.crop) * x), min(height, (top + self.crop) * y)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if self.squash:
            return self.resize, self.resize
        short = min(height, width)
        return self.resize * height // short, self.resize * width // short

    def pixels(self, picture: np.ndarray) -> tuple[np.ndarray, CropBox]:
        """(H, W, 3) uint8 -> what the network sees (crop, crop, 3) uint8, and where that lies in the picture."""
        box = self.box(*picture.shape[:2])
        if self.resampling == "area":
            box = tuple(float(round(value)) for value in box)  # type: ignore[assignment]
            return _area(picture, box, self.crop), box
        method = Image.Resampling.BILINEAR if self.resampling == "bilinear" else Image.Resampling.BICUBIC
        image = Image.fromarray(picture).resize((self.crop, self.crop), method, box=box)
        return np.array(image), box

    def tensor(self, pixels: np.ndarray) -> Tensor:
        """Squares (crop, crop, 3) or (N, crop, crop, 3) uint8 -> (N, 3, crop, crop) float32, normalised."""
        batch = torch.from_numpy(np.ascontiguousarray(pixels)).reshape(-1, *pixels.shape[-3:])
        mean, std = torch.tensor(self.mean) * 255, torch.tensor(self.std) * 255
        return batch.float().sub_(mean).div_(std).permute(0, 3, 1, 2).contiguous()

    def __call__(self, picture: np.ndarray) -> tuple[Tensor, CropBox]:
        """(H, W, 3) uint8 RGB -> the network's input (1, 3, crop, crop) on the processor, and the crop box."""
        pixels, box = self.pixels(picture)
        return self.tensor(pixels), box

    def facts(self) -> dict[str, Any]:
        """The numbers, for cards and lessons."""
        return {"resize": self.resize, "crop": self.crop, "mean": self.mean, "std": self.std}

    def words(self) -> str:
        """One line for the model card."""
        resized = f"squashed to {self.resize}x{self.resize} px" if self.squash else f"shorter side to {self.resize} px"
        cut = "" if self.squash and self.crop == self.resize else f", middle {self.crop}x{self.crop} px"
        normalised = (
            "RGB in [0, 1]" if self.std == (1.0, 1.0, 1.0) else "RGB normalised with ImageNet's mean and deviation"
        )
        return f"{resized}{cut}, {normalised}"


def _area(picture: np.ndarray, box: CropBox, side: int) -> np.ndarray:
    x1, y1, x2, y2 = (int(value) for value in box)
    crop = picture[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
    shrinking = min(crop.shape[:2]) > side
    return cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
