"""Embedding aligned faces: the model as the registry knows it, and its run on any number of crops at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from cvdemo.core import registry
from cvdemo.core.engine import Engine, Ran, default_engine
from cvdemo.core.inputs import example_picture
from cvdemo.core.lazy import cv2
from cvdemo.core.registry import ModelSpec, Precision, RunContext, WeightsFile, register
from cvdemo.core.tracing import LIVE_PRECISIONS, frozen_graph, fused
from cvdemo.faces.nets.compact_embedder import DIMENSIONS, SIZE, CompactEmbedder

EMBEDDER = "compact-faces"
BATCH = 32
AGREE_SIMILARITY = 0.995
DEFAULT_THRESHOLD = 0.26  # cosine similarity above which two faces count as one person


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows (..., D) scaled to length 1, float32; a row of zeros stays as it is."""
    rows = np.asarray(vectors, np.float64)
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return (rows / np.where(length > 0, length, 1.0)).astype(np.float32)


def run(network: Any, crops: Any, context: RunContext) -> np.ndarray:
    """Aligned faces (N, 112, 112, 3) uint8 RGB -> embeddings (N, 128) float32 of unit length; N may be zero."""
    pixels = np.asarray(crops)
    if pixels.ndim != 4 or pixels.shape[1:] != (SIZE, SIZE, 3) or pixels.dtype != np.uint8:
        raise ValueError(f"aligned faces must be (N, {SIZE}, {SIZE}, 3) uint8 RGB, not {pixels.shape} {pixels.dtype}")
    rows = [np.zeros((0, DIMENSIONS), np.float32)]
    for start in range(0, len(pixels), BATCH):
        context.check_cancelled()
        with context.stage("preprocess"):
            part = np.ascontiguousarray(pixels[start : start + BATCH].transpose(0, 3, 1, 2))
            blob = context.tensor(torch.from_numpy(part)).float().div_(255)
        with context.stage("network"), context.autocast():
            vectors = network(blob)
        with context.stage("decode"):
            rows.append(unit(vectors.float().cpu().numpy()))
    return np.concatenate(rows)


def example() -> np.ndarray:
    """(2, 112, 112, 3) uint8 for warming up and measuring."""
    picture = example_picture()
    return np.stack([cv2.resize(picture[:, x : x + 480], (SIZE, SIZE)) for x in (0, 160)])


def agree(reference: np.ndarray, other: np.ndarray) -> bool:
    """Whether a faster number format may replace the reference: every embedding keeps its direction (cos >= 0.995)."""
    return bool(((reference * other).sum(axis=1) >= AGREE_SIMILARITY).all())


def _trace(network: Any, precision: Precision) -> Any:
    """A frozen graph of the network without Python between its layers, for any number of faces."""
    return frozen_graph(network, 1, SIZE, SIZE, precision)


SPEC: ModelSpec = register(
    ModelSpec(
        name=EMBEDDER,
        task="faces",
        tier="compact",
        title="Compact face embedder (ships with cvdemo)",
        family="metric learning",
        architecture="cross-stage partial blocks of 3x3 convolutions, depthwise 7x7 over the last map, 128 dimensions",
        year=2026,
        paper="after MobileFaceNet, Chen et al. 2018, arXiv:1804.07573, and ArcFace, Deng et al. 2019, "
        "arXiv:1801.07698; distilled as in Hinton et al. 2015, arXiv:1503.02531",
        lecture="decks 000 and 004: metric learning, contrastive and triplet loss, low-shot face recognition",
        parameters=1_074_240,
        gflops=0.155,
        metrics={"LFW, 6,000 official pairs, accuracy": 0.933, "LFW, TAR at FAR 1e-2": 0.849},
        licence="MIT",
        input="112x112, RGB in [0, 1], turned and scaled so that five landmarks lie at fixed places",
        weights=WeightsFile("compact_faces.safetensors"),
        build=CompactEmbedder,
        run=run,
        example=example,
        agrees=agree,
        prepare=fused,
        precisions=LIVE_PRECISIONS,
        extras={"trace": _trace},
    )
)


def embed(
    crops: np.ndarray,
    model: str = EMBEDDER,
    engine: Engine | None = None,
    *,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Ran:
    """Run the embedder on aligned faces; ``output`` is (N, 128) float32 of unit length. Errors as in ``Engine.run``."""
    return (engine or default_engine()).run(model, crops, user=user, cancel=cancel, progress=progress)


def available() -> registry.Availability:
    """Whether faces can be embedded now, and if not why and what to do."""
    return registry.availability(SPEC)
