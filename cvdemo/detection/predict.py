"""Detection's two halves: ``infer`` runs the network once, ``decode`` does everything a slider can change.

``DetectionSettings`` is the one declaration of those sliders; the page, the command line, the HTTP API and the URL
are generated from it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from cvdemo import tasks
from cvdemo.core import registry
from cvdemo.core.engine import Engine, default_engine
from cvdemo.core.media import Picture
from cvdemo.core.settings import Settings, setting
from cvdemo.detection.candidates import Candidates, Detections
from cvdemo.detection.draw import draw_detections
from cvdemo.detection.labels import COCO_CATEGORIES
from cvdemo.detection.nms import NMS_KINDS, Report, filter_and_suppress
from cvdemo.detection.raw import RawDetections

TASK = "detection"
DEFAULT_MODEL = "compact-detector"
CLASS_NAMES = tuple(category.name for category in COCO_CATEGORIES)
_ID_OF_NAME = {category.name: category.id for category in COCO_CATEGORIES}

NMS_HELP = (
    "What happens to overlapping boxes. hard: the best box removes its rivals of the same class; class-agnostic: of "
    "any class; soft: rivals lose score instead; none: everything stays."
)


@dataclass(frozen=True)
class DetectionSettings(Settings):
    """Everything that acts on candidates already computed. Defaults suit the compact detector."""

    score_threshold: float = setting(
        0.35, label="Score threshold", minimum=0.0, maximum=1.0, step=0.01,
        help="Only boxes with a score above this are shown. Lower finds more and errs more.",
    )  # fmt: skip
    iou_threshold: float = setting(
        0.6, label="IoU threshold", minimum=0.0, maximum=1.0, step=0.01,
        help="How much two boxes may overlap (intersection over union) before one suppresses the other.",
    )  # fmt: skip
    nms_kind: str = setting("hard", label="Suppression", choices=NMS_KINDS, help=NMS_HELP)
    max_detections: int = setting(
        100,
        label="Most boxes",
        minimum=1,
        maximum=1000,
        step=1,
        advanced=True,
        help="Keep only the best so many boxes.",
    )
    min_size: float = setting(
        0.0, label="Smallest box", minimum=0.0, maximum=500.0, step=1.0, advanced=True,
        help="Boxes with a side shorter than this many pixels are dropped.",
    )  # fmt: skip
    sigma: float = setting(
        0.5, label="Soft-NMS sigma", minimum=0.05, maximum=2.0, step=0.05, advanced=True,
        help="Width of the Gaussian in soft suppression: smaller punishes overlap harder.",
    )  # fmt: skip
    classes: tuple[str, ...] = setting(
        (), label="Classes", choices=CLASS_NAMES, help="Show only these classes; none chosen shows all."
    )
    line_width: int = setting(
        2,
        label="Line width",
        minimum=1,
        maximum=12,
        step=1,
        advanced=True,
        help="Thickness of the boxes, in pixels (more on pictures over 1000 px).",
    )
    show_labels: bool = setting(True, label="Labels", advanced=True, help="Write the class on each box.")
    show_scores: bool = setting(True, label="Scores", advanced=True, help="Write the score beside the class.")

    @property
    def class_ids(self) -> frozenset[int] | None:
        """COCO category ids of the chosen classes, None when all are shown."""
        return frozenset(_ID_OF_NAME[name] for name in self.classes) or None


@dataclass(frozen=True)
class Inference:
    """One network run on one picture: its raw output and what it cost, milliseconds per stage in order."""

    raw: RawDetections
    stages: dict[str, float]
    device: str
    precision: str
    model: str

    @property
    def candidates(self) -> Candidates:
        return self.raw.candidates


@dataclass(frozen=True)
class Decoded:
    """What one setting makes of an inference: detections, how many candidates survived each stage, milliseconds."""

    detections: Detections
    report: Report
    milliseconds: float


def settings_for(model: str) -> DetectionSettings:
    """The settings a model's publisher (or our own card) uses by default."""
    spec = registry.get(model)
    return DetectionSettings.from_mapping(dict(spec.extras.get("defaults", {})))


def infer(
    picture: Picture | np.ndarray,
    model: str = DEFAULT_MODEL,
    engine: Engine | None = None,
    *,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Inference:
    """Run a detector on one picture ((H, W, 3) uint8 RGB or ``Picture``); errors as in ``Engine.run``."""
    tasks.load_all()
    ran = (engine or default_engine()).run(model, picture, user=user, cancel=cancel, progress=progress)
    return Inference(ran.output, ran.stages, ran.device, ran.precision, ran.model)


def decode(inference: Inference | RawDetections | Candidates, settings: DetectionSettings) -> Decoded:
    """Filter, suppress and sort the candidates; no network is touched (a few milliseconds for 1000 candidates)."""
    candidates = inference if isinstance(inference, Candidates) else inference.candidates
    started = perf_counter()
    detections, report = filter_and_suppress(
        candidates,
        score_threshold=settings.score_threshold,
        nms_kind=settings.nms_kind,  # type: ignore[arg-type]
        iou_threshold=settings.iou_threshold,
        sigma=settings.sigma,
        max_detections=settings.max_detections,
        class_ids=settings.class_ids,
        min_size=settings.min_size,
    )
    return Decoded(detections, report, (perf_counter() - started) * 1e3)


def draw(pixels: np.ndarray, decoded: Decoded, settings: DetectionSettings, **style: Any) -> np.ndarray:
    """The picture with boxes and labels, a new (H, W, 3) uint8 array."""
    return draw_detections(
        pixels,
        decoded.detections,
        line_width=settings.line_width,
        show_labels=settings.show_labels,
        show_scores=settings.show_scores,
        **style,
    )
