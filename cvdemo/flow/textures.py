"""Procedural textures and shapes for synthetic scenes: what the layers are made of when there are no photographs."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from cvdemo.core.lazy import cv2

SIZE = 256
BANK = 40
_BANK_SEED = 20150


@functools.cache
def texture_bank() -> tuple[np.ndarray, ...]:
    """The textures every scene draws from, (256, 256, 3) uint8 each, always the same."""
    rng = np.random.default_rng(_BANK_SEED)
    kinds = (cloud, cloud, stripes, checks, dots, rubble)
    return tuple(kinds[number % len(kinds)](rng) for number in range(BANK))


def _colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two colours, far enough apart to be seen, (3,) float32 each."""
    while True:
        pair = rng.integers(0, 256, (2, 3)).astype(np.float32)
        if np.abs(pair[0] - pair[1]).max() > 60:
            return pair[0], pair[1]


def _mixed(level: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture between two colours where ``level`` (SIZE, SIZE) in [0, 1] says how far."""
    low, high = _colours(rng)
    return np.clip(low + (high - low) * level[..., None], 0, 255).astype(np.uint8)


def _noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    grid = rng.random((cells, cells), np.float32)
    return np.asarray(cv2.resize(grid, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC))


def cloud(rng: np.random.Generator) -> np.ndarray:
    """Noise at several scales, rough or smooth."""
    decay = rng.uniform(0.4, 0.9)
    level = np.sum([decay**octave * _noise(rng, 4 * 2**octave) for octave in range(6)], axis=0)
    level = (level - level.min()) / (level.max() - level.min())
    return _mixed(level, rng)


def stripes(rng: np.random.Generator) -> np.ndarray:
    """Parallel bands that are not quite straight."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    angle, wave = rng.uniform(0, np.pi), rng.uniform(6, 40)
    phase = (x * np.cos(angle) + y * np.sin(angle)) / wave + rng.uniform(0, 1.0) * _noise(rng, 5)
    level = 0.5 + 0.5 * np.sin(2 * np.pi * phase)
    sharp = rng.uniform(0.5, 4)
    return _mixed(np.clip(0.5 + sharp * (level - 0.5), 0, 1) * 0.8 + 0.2 * _noise(rng, 64), rng)


def checks(rng: np.random.Generator) -> np.ndarray:
    """A chessboard with a little dirt on it."""
    y, x = np.mgrid[:SIZE, :SIZE]
    side = int(rng.integers(6, 32))
    level = ((x // side + y // side) % 2).astype(np.float32)
    return _mixed(np.clip(0.7 * level + 0.3 * _noise(rng, 48), 0, 1), rng)


def dots(rng: np.random.Generator) -> np.ndarray:
    """Discs of many colours on a soft ground."""
    picture = np.ascontiguousarray(cloud(rng))
    for _ in range(int(rng.integers(20, 160))):
        x, y, radius = (int(part) for part in rng.integers((0, 0, 2), (SIZE, SIZE, 16)))
        cv2.circle(picture, (x, y), radius, rng.integers(0, 256, 3).tolist(), -1, cv2.LINE_AA)
    return picture


def rubble(rng: np.random.Generator) -> np.ndarray:
    """Overlapping polygons of many colours."""
    picture = np.ascontiguousarray(cloud(rng))
    for _ in range(int(rng.integers(15, 80))):
        centre = rng.integers(0, SIZE, 2)
        corners = centre + rng.integers(-30, 31, (int(rng.integers(3, 7)), 2))
        cv2.fillPoly(picture, [corners.astype(np.int32)], rng.integers(0, 256, 3).tolist(), cv2.LINE_AA)
    return picture


# ------------------------------------------------------------------ shapes: (size, size) uint8 masks, 255 inside


def shape_mask(rng: np.random.Generator, size: int) -> np.ndarray:
    """A random silhouette that fills about a square of ``size`` pixels, its edge soft over about two pixels."""
    kinds: tuple[Callable[..., None], ...] = (_blob, _polygon, _ellipse, _ring, _stroke, _scatter)
    mask = np.zeros((size, size), np.uint8)
    kinds[int(rng.choice(len(kinds), p=(0.3, 0.25, 0.12, 0.1, 0.13, 0.1)))](mask, rng)
    return np.asarray(cv2.GaussianBlur(mask, (3, 3), 0.6))


def _fill(mask: np.ndarray, points: np.ndarray, value: int = 255) -> None:
    """Polygon with corners in pixels, drawn with a sixteenth of a pixel's accuracy."""
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], value, cv2.LINE_AA, shift=4)


def _outline(rng: np.random.Generator, size: int, corners: int, roughness: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius = np.ones(corners)
    for wave in range(2, 6):
        radius += roughness / wave * rng.normal() * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.25, 2)
    radius *= (size / 2 - 2) / radius.max()
    squeeze = rng.uniform(0.5, 1.0)
    return size / 2 + np.stack([radius * np.cos(angle), squeeze * radius * np.sin(angle)], axis=1)


def _blob(mask: np.ndarray, rng: np.random.Generator) -> None:
    _fill(mask, _outline(rng, len(mask), 64, 0.5))


def _polygon(mask: np.ndarray, rng: np.random.Generator) -> None:
    _fill(mask, _outline(rng, len(mask), int(rng.integers(3, 9)), 0.6))


def _ellipse(mask: np.ndarray, rng: np.random.Generator) -> None:
    _fill(mask, _outline(rng, len(mask), 48, 0.0))


def _ring(mask: np.ndarray, rng: np.random.Generator) -> None:
    outline = _outline(rng, len(mask), int(rng.choice([4, 6, 48])), 0.2)
    _fill(mask, outline)
    middle = outline.mean(axis=0)
    _fill(mask, middle + rng.uniform(0.5, 0.85) * (outline - middle), 0)


def _stroke(mask: np.ndarray, rng: np.random.Generator) -> None:
    size = len(mask)
    points = rng.uniform(0.1, 0.9, (int(rng.integers(2, 5)), 2)) * size
    width = int(max(2, size * rng.uniform(0.04, 0.18)))
    cv2.polylines(mask, [np.round(points * 16).astype(np.int32)], False, 255, width, cv2.LINE_AA, shift=4)


def _scatter(mask: np.ndarray, rng: np.random.Generator) -> None:
    size = len(mask)
    for _ in range(int(rng.integers(3, 12))):
        small = max(6, int(size * rng.uniform(0.1, 0.3)))
        x, y = rng.integers(0, max(1, size - small), 2)
        _fill(mask, np.add(_outline(rng, small, int(rng.choice([3, 4, 32])), 0.3), (x, y)))
