"""Finding the same picture, or the same recording, twice: so that nothing held back is also trained on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cvdemo.core.lazy import cv2

ALIKE = 0.97
"""Thumbnails that correlate more than this show the same picture."""
_SIDE = 24


def signature(picture: np.ndarray) -> np.ndarray:
    """(576,) float32 of unit length: a grey thumbnail without its mean, so that dot products are correlations."""
    grey = cv2.cvtColor(cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    values = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).ravel().astype(np.float32)
    values -= values.mean()
    return np.asarray(values / max(float(np.linalg.norm(values)), 1e-6), np.float32)


def signatures(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """(N, 576) of pictures (H, W, 3) uint8."""
    return np.stack([signature(picture) for picture in pictures])


def twins(rows: np.ndarray, of: np.ndarray, alike: float = ALIKE, chunk: int = 512) -> np.ndarray:
    """(N,) bool: which signatures (N, 576) have one like them among ``of`` (M, 576)."""
    found = np.zeros(len(rows), bool)
    for start in range(0, len(rows), chunk):
        found[start : start + chunk] = (rows[start : start + chunk] @ of.T > alike).any(axis=1)
    return found


def groups(similar: np.ndarray) -> np.ndarray:
    """(N,) int: the connected component of each row of a symmetric (N, N) bool matrix, numbered from 0."""
    count = len(similar)
    component = np.full(count, -1)
    number = 0
    for first in range(count):
        if component[first] >= 0:
            continue
        waiting = [first]
        component[first] = number
        while waiting:
            for other in np.flatnonzero(similar[waiting.pop()] & (component < 0)):
                component[other] = number
                waiting.append(int(other))
        number += 1
    return component
