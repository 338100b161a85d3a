"""Specks taken out of a map of logits: a region too small to be believed goes to the class that is next there."""

from __future__ import annotations

import numpy as np

from cvdemo.core.lazy import cv2

MOST_PASSES = 4
"""What takes a speck's place can be a speck itself; after so many rounds it stays."""


def small_regions(labels: np.ndarray, least: float) -> np.ndarray:
    """(H, W) bool: cells in connected regions (8 neighbours) of one class of fewer than ``least`` cells.

    labels: (H, W) uint8.
    """
    small = np.zeros(labels.shape, bool)
    for label in np.unique(labels):
        _, regions, facts, _ = cv2.connectedComponentsWithStats((labels == label).astype(np.uint8), connectivity=8)
        tiny = facts[:, cv2.CC_STAT_AREA] < least
        tiny[0] = False  # region 0 is everything that is not of this class
        if tiny.any():
            small |= tiny[regions]
    return small


def without_small_regions(logits: np.ndarray, share: float) -> np.ndarray:
    """The same logits where no region of the winning classes is smaller than ``share`` of the map, as far as possible.

    In such a region its class is made the least probable of all, so the next one wins, and every measure taken of the
    logits (probabilities, entropy, soft edges) agrees with the map that is shown. A map whose regions are all small
    stays as it is.

    logits: (C, H, W) float32, not written to.   share: in [0, 1]; 0 returns ``logits`` themselves.
    """
    if share <= 0:
        return logits
    least = share * logits[0].size
    changed = logits
    for _ in range(MOST_PASSES):
        labels = changed.argmax(axis=0).astype(np.uint8)
        small = small_regions(labels, least)
        if not small.any() or small.all():
            break
        if changed is logits:
            changed = logits.copy()
        rows, columns = np.nonzero(small)
        changed[labels[small], rows, columns] = logits[:, rows, columns].min(axis=0) - 1
    return changed
