"""The layers of a synthetic scene: what each is made of, how it moves, and how frames are drawn of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.flow.warp import pixel_grid

_ROUNDS = 7

Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Waves:
    """The deformation d: amplitude (2,), wave vectors (2, 2) in radians per pixel, phases (2,)."""

    amplitude: np.ndarray
    vectors: np.ndarray
    phases: np.ndarray

    def at(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(d_x, d_y) at the places, float32."""
        a, k, f = (part.astype(np.float32) for part in (self.amplitude, self.vectors, self.phases))
        dx = a[0] * np.sin(k[0, 0] * x + k[0, 1] * y + f[0])
        dy = a[1] * np.sin(k[1, 0] * x + k[1, 1] * y + f[1])
        return dx, dy


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: where its texture lies, its silhouette, its motion.

    texture: (h, w, 3) uint8.   to_texture: (3, 3) from the first frame's pixels to the texture's.
    mask: (m, m) uint8 silhouette with its top left pixel at ``corner`` (x, y) of the first frame; None covers all.
    motion: (3, 3) from the first frame to the second.   waves: the deformation or None.
    """

    texture: np.ndarray
    to_texture: np.ndarray
    motion: np.ndarray
    mask: np.ndarray | None = None
    corner: tuple[int, int] = (0, 0)
    waves: Waves | None = None

    def flow(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Displacement of the pixels (x, y) of the first frame, float32."""
        to_x, to_y = _apply(self.motion, x, y)
        if self.waves is None:
            return to_x - x, to_y - y
        at_x, at_y = to_x, to_y
        for _ in range(_ROUNDS):
            dx, dy = self.waves.at(at_x, at_y)
            at_x, at_y = to_x - dx, to_y - dy
        return at_x - x, at_y - y


def draw_frame(layers: Sequence[Layer], height: int, width: int, *, moved: bool) -> tuple[np.ndarray, np.ndarray]:
    """One frame, (H, W, 3) uint8, and the number of the nearest layer at each pixel, (H, W) uint8."""
    picture = _sampled(layers[0], layers[0].texture, layers[0].to_texture, (0, 0, width, height), moved)
    labels = np.zeros((height, width), np.uint8)
    for number, layer in enumerate(layers[1:], 1):
        assert layer.mask is not None
        box = _box_after(layer, height, width) if moved else box_before(layer, height, width)
        left, top, right, bottom = box
        if right <= left or bottom <= top:
            continue
        to_mask = np.eye(3)
        to_mask[:2, 2] = -layer.corner[0], -layer.corner[1]
        alpha = _sampled(layer, layer.mask, to_mask, box, moved, outside=cv2.BORDER_CONSTANT)
        content = _sampled(layer, layer.texture, layer.to_texture, box, moved)
        part = np.s_[top:bottom, left:right]
        share = alpha.astype(np.float32) * np.float32(1 / 255)
        picture[part] = cv2.blendLinear(content, np.ascontiguousarray(picture[part]), share, 1 - share)
        labels[part][alpha >= 128] = number
    return picture, labels


def _sampled(
    layer: Layer, source: np.ndarray, to_source: np.ndarray, box: Box, moved: bool, outside: int | None = None
) -> np.ndarray:
    """What lies in ``box`` of a frame: ``source`` looked up through the motion (second frame) and the placement."""
    left, top, right, bottom = box
    size = (right - left, bottom - top)
    border = cv2.BORDER_REFLECT_101 if outside is None else outside
    shift = np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], np.float64)
    matrix = to_source @ np.linalg.inv(layer.motion) if moved else to_source
    if moved and layer.waves is not None:
        x, y = pixel_grid(size[1], size[0])
        x, y = x + np.float32(left), y + np.float32(top)
        dx, dy = layer.waves.at(x, y)
        map_x, map_y = _apply(matrix, x + dx, y + dy)
        return np.asarray(cv2.remap(source, map_x, map_y, cv2.INTER_LINEAR, borderMode=border))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(source, (matrix @ shift)[:2], size, flags=flags, borderMode=border))


def _apply(matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    m = matrix.astype(np.float32)
    return m[0, 0] * x + m[0, 1] * y + m[0, 2], m[1, 0] * x + m[1, 1] * y + m[1, 2]


def box_before(layer: Layer, height: int, width: int) -> Box:
    """Columns and rows of the first frame that a layer's silhouette can cover."""
    assert layer.mask is not None
    (x, y), side = layer.corner, len(layer.mask)
    return max(0, x), max(0, y), min(width, x + side), min(height, y + side)


def _box_after(layer: Layer, height: int, width: int) -> Box:
    """The part of the second frame that the moved silhouette can reach."""
    assert layer.mask is not None
    (x, y), side = layer.corner, len(layer.mask)
    corners = np.array([[x, x + side, x, x + side], [y, y, y + side, y + side], [1, 1, 1, 1]], np.float64)
    moved = (layer.motion @ corners)[:2]
    slack = 1.0 if layer.waves is None else 1.0 + float(np.abs(layer.waves.amplitude).max())
    left, top = np.floor(moved.min(axis=1) - slack).astype(int)
    right, bottom = np.ceil(moved.max(axis=1) + slack).astype(int)
    return max(0, int(left)), max(0, int(top)), min(width, int(right)), min(height, int(bottom))
