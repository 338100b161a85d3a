"""Finding faces: ``infer_faces`` runs the network once, ``decode_faces`` does everything a slider can change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from cvdemo.core import registry
from cvdemo.core.engine import Engine, default_engine
from cvdemo.core.inputs import example_picture, pixels_of
from cvdemo.core.media import Picture
from cvdemo.core.registry import ModelSpec, Precision, RunContext, WeightsFile, register
from cvdemo.core.settings import Settings, setting
from cvdemo.core.tracing import LIVE_PRECISIONS, frozen_graph, fused
from cvdemo.detection.compact import letterboxed
from cvdemo.detection.nms import iou_matrix, nms
from cvdemo.faces.labels import LANDMARKS
from cvdemo.faces.nets.face_detector import (
    STRIDES,
    CompactFaceDetector,
    cell_centres,
    decode_boxes,
    decode_landmarks,
    flatten_levels,
)
from cvdemo.faces.result import Faces, RawFaces

__all__ = [
    "DEFAULT_MODEL",
    "FaceDetectionSettings",
    "FaceInference",
    "Faces",
    "RawFaces",
    "decode_faces",
    "infer_faces",
]

DEFAULT_MODEL = "compact-face-detector"
LONG_SIDE = 512  # larger pictures are shrunk to it, smaller ones are taken as they are
CANDIDATES = 400
AGREE_TOP, AGREE_IOU, AGREE_SCORE, AGREE_SHARE = 20, 0.85, 0.05, 0.9


@dataclass(frozen=True)
class FaceDetectionSettings(Settings):
    """Everything that acts on candidates already computed."""

    score_threshold: float = setting(
        0.35, label="Score threshold", minimum=0.0, maximum=1.0, step=0.01,
        help="Only faces with a score above this are kept. Lower finds more and errs more.",
    )  # fmt: skip
    iou_threshold: float = setting(
        0.4, label="IoU threshold", minimum=0.0, maximum=1.0, step=0.01, advanced=True,
        help="How much two boxes may overlap (intersection over union) before the better one suppresses the other.",
    )  # fmt: skip
    min_size: float = setting(
        0.0, label="Smallest face", minimum=0.0, maximum=500.0, step=1.0, advanced=True,
        help="Faces with a side shorter than this many pixels are dropped.",
    )  # fmt: skip
    max_faces: int = setting(
        100, label="Most faces", minimum=1, maximum=CANDIDATES, step=1, advanced=True,
        help="Keep only the best so many faces.",
    )  # fmt: skip


@dataclass(frozen=True)
class FaceInference:
    """One network run on one picture: its raw output and what it cost, milliseconds per stage in order."""

    raw: RawFaces
    stages: dict[str, float]
    device: str
    precision: str
    model: str


def run(network: Any, picture: Any, context: RunContext) -> RawFaces:
    """One picture (``Picture`` or (H, W, 3) uint8 RGB) through the network."""
    with context.stage("preprocess"):
        pixels = pixels_of(picture)
        height, width = pixels.shape[:2]
        blob, (scale_x, scale_y) = letterboxed(pixels, min(LONG_SIDE, max(height, width)), context)
    with context.stage("network"), context.autocast():
        outputs = network(blob)
    with context.stage("decode"):
        values = flatten_levels(outputs)[0]
        centres, strides = cell_centres(blob.shape[2], blob.shape[3], context.device)
        logits, cell = values[:, 0].topk(min(CANDIDATES, len(values)))
        boxes = decode_boxes(values[cell], centres[cell], strides[cell]).cpu().numpy()
        landmarks = decode_landmarks(values[cell], centres[cell], strides[cell]).cpu().numpy()
        to_picture = np.array([scale_x, scale_y], np.float32)
        boxes = np.clip(boxes / np.tile(to_picture, 2), 0, np.array([width, height] * 2, np.float32))
        faces = Faces(
            boxes,
            logits.sigmoid().cpu().numpy(),
            landmarks / to_picture,
            height=height,
            width=width,
            model=DEFAULT_MODEL,
        )
        seen = (round(height * scale_y), round(width * scale_x))
        return RawFaces(faces, strides[cell].cpu().numpy(), seen)


def infer_faces(
    picture: Picture | np.ndarray,
    model: str = DEFAULT_MODEL,
    engine: Engine | None = None,
    *,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> FaceInference:
    """Run the face detector on one picture ((H, W, 3) uint8 RGB or ``Picture``); errors as in ``Engine.run``."""
    ran = (engine or default_engine()).run(model, picture, user=user, cancel=cancel, progress=progress)
    return FaceInference(ran.output, ran.stages, ran.device, ran.precision, ran.model)


def decode_faces(inference: FaceInference | RawFaces, settings: FaceDetectionSettings | None = None) -> Faces:
    """Threshold, suppress, sort: the faces a user is shown, best first. No network is touched."""
    chosen = settings or FaceDetectionSettings()
    raw = inference if isinstance(inference, RawFaces) else inference.raw
    faces = raw.candidates
    # A box without area is one that lies wholly outside the picture.
    faces = faces.take((faces.scores > chosen.score_threshold) & (faces.sides() > 0))
    faces = faces.take(nms(faces.boxes, faces.scores, chosen.iou_threshold))
    faces = faces.take(faces.sides() >= chosen.min_size)
    return faces.take(np.arange(min(len(faces), chosen.max_faces)))


def agree(reference: RawFaces, other: RawFaces) -> bool:
    """Whether a faster number format may replace the reference.

    Of the reference's twenty best boxes that do not overlap, whatever their score, at least 90 % need a partner in
    ``other``: IoU of at least 0.85, score within 0.05, landmarks within 5 % of the box's side on average.
    """
    best = decode_faces(reference, FaceDetectionSettings(score_threshold=0.0, min_size=1.0, max_faces=AGREE_TOP))
    others = other.candidates
    if not len(best):
        return True
    overlap = iou_matrix(best.boxes, others.boxes)
    close = np.abs(best.scores[:, None] - others.scores[None, :]) <= AGREE_SCORE
    moved = np.linalg.norm(best.landmarks[:, None] - others.landmarks[None, :], axis=3).mean(axis=2)
    near = moved <= 0.05 * np.maximum(best.sides()[:, None], 20.0)
    return bool(((overlap >= AGREE_IOU) & close & near).any(axis=1).mean() >= AGREE_SHARE)


class _PlainOutputs(nn.Module):
    """A network whose levels come as a tuple: a graph cannot return lists."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(x))


def _trace(network: nn.Module, precision: Precision) -> Any:
    """A frozen graph of the network without Python between its layers; it accepts every multiple of 32."""
    return frozen_graph(_PlainOutputs(network), 1, 384, LONG_SIDE, precision)


SPEC: ModelSpec = register(
    ModelSpec(
        name=DEFAULT_MODEL,
        task="faces",
        tier="compact",
        title="Compact face detector (ships with cvdemo)",
        family="one-stage, anchor-free, with landmarks",
        architecture=f"CSP backbone, feature pyramid, score, box and {len(LANDMARKS)} landmarks in every cell of "
        f"strides {', '.join(map(str, STRIDES))}",
        year=2026,
        paper="after RetinaFace, Deng et al. 2020, arXiv:1905.00641, and FCOS, Tian et al. 2019, arXiv:1904.01355",
        lecture="deck 003: faces, from detection over alignment to recognition",
        parameters=371_949,
        gflops=0.58,  # at 512 x 384
        metrics={"recall against YuNet (faces of 24 px and more)": 0.911, "precision against YuNet": 0.962},
        licence="MIT",
        input="as it is up to 512 px on the longer side, larger ones shrunk; padded to multiples of 32, RGB in [0, 1]",
        weights=WeightsFile("compact_face_detector.safetensors"),
        build=CompactFaceDetector,
        run=run,
        example=example_picture,
        agrees=agree,
        prepare=fused,
        precisions=LIVE_PRECISIONS,
        extras={"trace": _trace},
    )
)


def available() -> registry.Availability:
    """Whether faces can be found now, and if not why and what to do."""
    return registry.availability(SPEC)
