"""From a picture and a face's five landmarks to the aligned grey crop the emotion network was trained on.

The template is how fer2013 frames its faces: YuNet's landmarks were found in 1,216 of 1,500 random training pictures,
enlarged to 144 px, and the median of each was made symmetrical. The spread around it (standard deviations of 3 to
5 px per landmark and 6 degrees of roll) lies within what the training varies.
"""

from __future__ import annotations

import numpy as np

from cvdemo.classification.nets.emotion_net import SIDE
from cvdemo.core.lazy import cv2
from cvdemo.faces.align import umeyama

# (5, 2) x, y in a 48 x 48 crop, pixel centres at whole numbers: right eye, left eye, nose tip, right and left mouth
# corner; the person's right is on the left of the picture
TEMPLATE = np.array([[14.9, 18.2], [32.1, 18.2], [23.5, 26.8], [16.1, 35.5], [30.9, 35.5]])
MOST_OVERSAMPLING = 16


def similarity(source: np.ndarray, target: np.ndarray = TEMPLATE) -> np.ndarray:
    """The turn, scale and shift (2, 3) that takes landmarks (5, 2) nearest to ``target`` by least squares.

    Landmarks that coincide say nothing of size and direction: they are only shifted. ValueError when not finite.
    """
    points = np.asarray(source, np.float64)
    if np.isfinite(points).all() and np.ptp(points, axis=0).max() < 0.01:
        return np.column_stack([np.eye(2), np.mean(target, axis=0) - points.mean(0)])
    return umeyama(points, target)


def crop_face(grey: np.ndarray, transform: np.ndarray, side: int = SIDE) -> np.ndarray:
    """The (side, side) uint8 crop of a grey picture (H, W) that ``transform`` (2, 3) maps onto it.

    Large faces are sampled several times per crop pixel and averaged, so that they are not aliased; what lies outside
    of the picture repeats its border.
    """
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    finer = int(np.clip(round(1 / scale), 1, MOST_OVERSAMPLING))
    # pixel centres lie at whole numbers: those of the finer grid at (p + 1/2) * finer - 1/2
    matrix = transform * finer
    matrix[:, 2] += (finer - 1) / 2
    size = (side * finer, side * finer)
    crop = cv2.warpAffine(grey, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return crop if finer == 1 else cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)


def crop_faces(pixels: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Aligned crops (N, 48, 48) uint8 grey and their transforms (N, 2, 3), picture to crop, of N faces.

    pixels: (H, W, 3) uint8 RGB.   landmarks: (N, 5, 2) x, y in pixels of the picture, in the order of ``TEMPLATE``.
    """
    landmarks = np.asarray(landmarks, np.float64).reshape(-1, 5, 2)
    if not len(landmarks):
        return np.zeros((0, SIDE, SIDE), np.uint8), np.zeros((0, 2, 3))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    transforms = np.stack([similarity(points) for points in landmarks])
    return np.stack([crop_face(grey, transform) for transform in transforms]), transforms
