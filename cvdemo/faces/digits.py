"""Digits that the program draws itself: OpenCV's line fonts, bent, blurred and noisy. No data set is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvdemo.core.lazy import cv2

SIDE = 16
CLASSES = 10
VIEWS = 4
_CANVAS = 40
_FONTS = (0, 2, 3, 4, 6)
"""Hershey simplex, duplex, complex, triplex and script complex, as OpenCV numbers them."""


@dataclass(frozen=True, eq=False)
class Digits:
    """N glyphs, each in several distortions.

    images: (N, VIEWS, SIDE, SIDE) float32 in [0, 1], strokes bright.   labels: (N,) the digit.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def draw_digits(each: int, seed: int) -> Digits:
    """``each`` glyphs of every digit, class by class; the same seed draws the same."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), each)
    images = np.stack([_views(int(label), rng) for label in labels])
    return Digits(images, labels)


def _views(digit: int, rng: np.random.Generator) -> np.ndarray:
    """One glyph (its font and stroke are drawn once) in ``VIEWS`` distortions."""
    font, stroke = int(rng.choice(_FONTS)), int(rng.integers(2, 4))
    glyph = np.zeros((_CANVAS, _CANVAS), np.uint8)
    (width, height), _ = cv2.getTextSize(str(digit), font, 1.15, stroke)
    origin = ((_CANVAS - width) // 2, (_CANVAS + height) // 2)
    cv2.putText(glyph, str(digit), origin, font, 1.15, 255, stroke, cv2.LINE_AA)
    return np.stack([distort(glyph, rng) for _ in range(VIEWS)])


def distort(glyph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A glyph (H, W) uint8, turned by up to 20 degrees, sheared, stretched, moved and noisy: (SIDE, SIDE) float32."""
    middle = np.array([glyph.shape[1] / 2, glyph.shape[0] / 2])
    turn, shear = np.deg2rad(rng.uniform(-20, 20)), rng.uniform(-0.25, 0.25)
    scale = rng.uniform(0.8, 1.15, 2)
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.array([[1, shear], [0, 1]])
    linear = linear * scale
    shift = middle - linear @ middle + rng.uniform(-3, 3, 2)
    bent = cv2.warpAffine(glyph, np.column_stack([linear, shift]), glyph.shape[::-1])
    small = cv2.resize(bent, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return np.clip(small * rng.uniform(0.9, 1.6) + rng.normal(0, 0.05, small.shape), 0, 1).astype(np.float32)
