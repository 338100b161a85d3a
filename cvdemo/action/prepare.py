"""From a clip's frames to the tensor a network is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cvdemo.core.lazy import cv2


@dataclass(frozen=True)
class ClipPreprocess:
    """The published input transform of a video model.

    Attributes:
        resize: frames are brought to (height, width), or with one number to that shorter side, bilinearly and without
            antialiasing.   crop: then the middle square of this side is cut out.
        mean, std: taken from, and divided out of, RGB in [0, 1].
    """

    resize: int | tuple[int, int]
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) after resizing."""
        if isinstance(self.resize, tuple):
            return self.resize
        if height <= width:
            return self.resize, int(self.resize * width / height)
        return int(self.resize * height / width), self.resize

    def __call__(self, frames: np.ndarray) -> Tensor:
        """(T, H, W, 3) uint8 RGB -> (1, 3, T, crop, crop) float32, normalised."""
        blob = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()  # (T, 3, H, W)
        size = self.size_of(*frames.shape[1:3])
        blob = torch.nn.functional.interpolate(blob, size=size, mode="bilinear", align_corners=False)
        top, left = round((size[0] - self.crop) / 2), round((size[1] - self.crop) / 2)
        blob = blob[:, :, top : top + self.crop, left : left + self.crop].round_()
        mean, std = (torch.tensor(values).view(3, 1, 1) * 255 for values in (self.mean, self.std))
        return blob.sub_(mean).div_(std).permute(1, 0, 2, 3).unsqueeze(0).contiguous()

    def words(self) -> str:
        """One line for the model card."""
        resized = (
            f"{self.resize[1]}x{self.resize[0]} px"
            if isinstance(self.resize, tuple)
            else f"shorter side {self.resize} px"
        )
        return f"frames resized to {resized}, middle {self.crop}x{self.crop} px, RGB normalised"


def middle_squares(frames: np.ndarray, side: int) -> np.ndarray:
    """(T, H, W, 3) uint8 -> (T, side, side, 3) uint8: the middle square of every frame, averaged down to a size."""
    height, width = frames.shape[1:3]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    how = cv2.INTER_AREA if edge > side else cv2.INTER_LINEAR
    squares = [
        cv2.resize(np.ascontiguousarray(f[top : top + edge, left : left + edge]), (side, side), interpolation=how)
        for f in frames
    ]
    return np.stack(squares)
