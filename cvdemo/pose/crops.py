"""From a person's box to the crop a top-down pose network sees, and back."""

from __future__ import annotations

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.pose.raw import MARGIN

CROP_WIDTH, CROP_HEIGHT = 192, 256
PAD_VALUE = 114  # grey outside the picture: close to zero after normalisation


def regions_of(boxes: np.ndarray, aspect: float = CROP_WIDTH / CROP_HEIGHT, margin: float = MARGIN) -> np.ndarray:
    """Boxes (N, 4) xyxy -> the regions (N, 4) xyxy around them that crops show.

    Each box is widened or heightened about its centre to ``aspect`` (width / height), then enlarged ``margin`` times.
    Regions may reach outside the picture; a degenerate box gets a region of one pixel at least.
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    width = np.maximum(np.maximum(sides[:, 0], sides[:, 1] * aspect) * margin, 1.0)
    half = np.stack([width, width / aspect], axis=1) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def affine_of(region: np.ndarray, width: int = CROP_WIDTH, height: int = CROP_HEIGHT) -> np.ndarray:
    """(2, 3) float64: from places in the picture to places in a crop of ``region``; pixels are unit squares."""
    x1, y1, x2, y2 = (float(v) for v in region)
    scale_x, scale_y = width / (x2 - x1), height / (y2 - y1)
    return np.array([[scale_x, 0, -x1 * scale_x], [0, scale_y, -y1 * scale_y]])


def move(points: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Points (..., 2) through a (2, 3) affine map."""
    return points @ affine[:, :2].T + affine[:, 2]


def warp(pixels: np.ndarray, affine: np.ndarray, width: int = CROP_WIDTH, height: int = CROP_HEIGHT) -> np.ndarray:
    """(H, W, 3) uint8 -> (height, width, 3) uint8: what the affine map of ``affine_of`` makes of the pixels.

    Strong shrinking is done in two steps, by area first, so that fine patterns do not alias.
    """
    scale = float(np.sqrt(abs(np.linalg.det(affine[:, :2]))))
    if scale < 0.5:
        size = (max(1, round(pixels.shape[1] * scale * 1.4)), max(1, round(pixels.shape[0] * scale * 1.4)))
        ratio = np.array([pixels.shape[1] / size[0], pixels.shape[0] / size[1]])
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        affine = np.concatenate([affine[:, :2] * ratio, affine[:, 2:]], axis=1)
    # OpenCV counts from the centre of the first pixel, half a pixel further in than the corner.
    shift = affine[:, :2] @ np.full(2, 0.5) + affine[:, 2] - 0.5
    matrix = np.concatenate([affine[:, :2], shift[:, None]], axis=1)
    return cv2.warpAffine(
        pixels,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(PAD_VALUE, PAD_VALUE, PAD_VALUE),
    )


def crops_of(pixels: np.ndarray, regions: np.ndarray, width: int = CROP_WIDTH, height: int = CROP_HEIGHT) -> np.ndarray:
    """(H, W, 3) uint8 and regions (N, 4) -> (N, height, width, 3) uint8.

    Each region is cut out before it is warped, so that many people in a large picture cost no more than small ones.
    """
    crops = np.full((len(regions), height, width, 3), PAD_VALUE, np.uint8)
    for crop, region in zip(crops, regions):
        left, top = np.maximum(np.floor(region[:2]).astype(int) - 2, 0)
        right, bottom = np.ceil(region[2:]).astype(int) + 2
        part = pixels[top : max(bottom, 0), left : max(right, 0)]
        if part.size:
            crop[:] = warp(part, affine_of(region - np.array([left, top, left, top]), width, height), width, height)
    return crops


def to_picture(points: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Points (N, K, 2) as fractions of their region -> pixels of the picture."""
    sides = regions[:, None, 2:] - regions[:, None, :2]
    return regions[:, None, :2] + points * sides
