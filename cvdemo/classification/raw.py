"""What one run of a classifier returns for one picture, and the run itself, the same for every classifier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cvdemo.classification.prepare import CropBox, Preprocess
from cvdemo.core.context import RunContext
from cvdemo.core.inputs import example_picture, pixels_of

__all__ = ["RawClassification", "agree", "classify", "example_picture", "feature_vectors", "pixels_of", "softmax"]

BATCH = 16
AGREE_PROBABILITY = 0.05
AGREE_SPREAD = 0.05


@dataclass(frozen=True, eq=False)
class RawClassification:
    """Everything ``infer`` found out about one picture.

    Attributes:
        logits: (C,) float32, one score a class before the softmax.
        embedding: (D,) float32, what the last linear layer was given; None where a network has no such layer.
        categories: C class names.
        crop: x1 y1 x2 y2, the part of the picture the network saw, in pixels of the picture.
        height, width: of the picture, in pixels.   model: registry name.
    """

    logits: np.ndarray
    embedding: np.ndarray | None
    categories: tuple[str, ...]
    crop: CropBox
    height: int
    width: int
    model: str

    def __post_init__(self) -> None:
        if self.logits.shape != (len(self.categories),):
            raise ValueError(f"logits of shape {self.logits.shape} for {len(self.categories)} classes")


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities along the last axis, float64: exp(z / T) normalised (T > 1 flatter, T < 1 sharper)."""
    scaled = np.asarray(logits, np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def agree(reference: RawClassification, other: RawClassification) -> bool:
    """Whether a faster number format may replace the reference: its classes are as probable as before.

    No probability may move by more than 0.05, and the logits may differ, root mean square, by at most 5 % of their
    spread, which also judges networks that are sure of nothing on the example.
    """
    if not np.isfinite(other.logits).all():
        return False
    if float(np.abs(softmax(reference.logits) - softmax(other.logits)).max()) > AGREE_PROBABILITY:
        return False
    difference = (reference.logits - other.logits) - (reference.logits - other.logits).mean()
    return bool(np.sqrt((difference**2).mean()) <= AGREE_SPREAD * reference.logits.std())


@contextmanager
def _input_of(network: nn.Module, layer: str) -> Iterator[list[Tensor]]:
    """Collect what a layer is given while the block runs. The caller holds the network's turn."""
    seen: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.append(inputs[0])

    handle = network.get_submodule(layer).register_forward_pre_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()


def classify(
    network: Any, picture: Any, context: RunContext, *, preprocess: Preprocess, head: str, name: str,
    categories: tuple[str, ...],
) -> RawClassification:  # fmt: skip
    """Run one picture (``Picture`` or (H, W, 3) uint8 RGB) through a classifier.

    preprocess: its input transform.   head: dotted name of its last linear layer.
    """
    with context.stage("preprocess"):
        pixels = pixels_of(picture)
        blob, crop = preprocess(pixels)
        blob = context.tensor(blob)
    with context.stage("network"), context.autocast(), _input_of(network, head) as seen:
        logits = network(blob)
    with context.stage("decode"):
        return RawClassification(
            logits[0].float().cpu().numpy(),
            seen[-1][0].float().flatten().cpu().numpy(),
            categories,
            crop,
            pixels.shape[0],
            pixels.shape[1],
            name,
        )


def feature_vectors(
    network: Any, pictures: Sequence[Any], context: RunContext, *, preprocess: Preprocess, head: str
) -> np.ndarray:
    """Embeddings (N, D) float32 of N >= 1 pictures, 16 at a time: an operation for ``Engine.run``."""
    rows: list[np.ndarray] = []
    for start in range(0, len(pictures), BATCH):
        context.report(start / len(pictures), f"{start} of {len(pictures)} pictures")
        with context.stage("preprocess"):
            squares = [preprocess.pixels(pixels_of(picture))[0] for picture in pictures[start : start + BATCH]]
            blob = context.tensor(preprocess.tensor(np.stack(squares)))
        with context.stage("network"), torch.no_grad(), context.autocast(), _input_of(network, head) as seen:
            network(blob)
            rows.append(seen[-1].float().flatten(1).cpu().numpy())
    context.report(1.0, f"{len(pictures)} pictures")
    return np.concatenate(rows)
