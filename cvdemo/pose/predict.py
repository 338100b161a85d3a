"""Pose's two halves: ``infer`` finds people and runs the network once on all of them, ``decode`` does the rest.

``PoseSettings`` is the one declaration of what a slider can change; the page, the command line, the HTTP API and the
URL are generated from it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from cvdemo import tasks
from cvdemo.core import registry
from cvdemo.core.context import ProgressFn
from cvdemo.core.engine import Engine, default_engine
from cvdemo.core.inputs import pixels_of
from cvdemo.core.media import Picture
from cvdemo.core.settings import Settings, setting
from cvdemo.detection import predict as detection
from cvdemo.pose.draw import draw_poses
from cvdemo.pose.duplicates import without_duplicates
from cvdemo.pose.heatmaps import DECODE_KINDS, decode_heatmaps
from cvdemo.pose.poses import PERSON, Poses
from cvdemo.pose.raw import TOP_DOWN, People, RawPoses, no_people, unit_scores
from cvdemo.pose.skeleton import COCO_JOINTS, JOINT_INDEX

__all__ = [
    "DEFAULT_MODEL", "PoseInference", "PoseSettings", "Poses", "decode", "draw", "find_people", "infer", "settings_for",
]  # fmt: skip

TASK = "pose"
DEFAULT_MODEL = "compact-pose"
OWN_DECODE = "own"
STYLES: tuple[str, ...] = ("lines", "limbs", "dots")
PEOPLE_FLOOR = 0.15
"""People the detector is less sure of are not looked at; the slider starts here."""
MOST_PEOPLE = 100
"""People of one picture that are looked at unless the caller says otherwise; the surest ones."""
PEOPLE_IOU = 0.6

_DECODE_HELP = (
    "argmax: the highest cell; quarter: a quarter of a cell on, to the higher neighbour; sub-pixel: the summit of a "
    "Gaussian (DARK); own: as the model does it."
)


@dataclass(frozen=True)
class PoseSettings(Settings):
    """Everything that acts on heatmaps already computed. Defaults suit the compact heatmap model."""

    joint_threshold: float = setting(
        0.3, label="Joint confidence", minimum=0.0, maximum=1.0, step=0.01,
        help="Only joints with a score above this are shown.",
    )  # fmt: skip
    box_threshold: float = setting(
        0.3, label="Person score", minimum=PEOPLE_FLOOR, maximum=1.0, step=0.01,
        help="Only people the detector is surer of than this are shown.",
    )  # fmt: skip
    decode: str = setting("sub-pixel", label="Decoding", choices=(*DECODE_KINDS, OWN_DECODE), help=_DECODE_HELP)
    style: str = setting(
        "lines", label="Skeleton", choices=STYLES,
        help="lines: thin limbs and joints; limbs: limbs that taper; dots: joints only.",
    )  # fmt: skip
    hidden_joints: tuple[str, ...] = setting(
        (), label="Hide joints", choices=COCO_JOINTS, help="These joints, and the limbs that end in them, are left out."
    )
    max_people: int = setting(
        20, label="Most people", minimum=1, maximum=MOST_PEOPLE, step=1, advanced=True,
        help="Show only so many people, those the detector is surest of.",
    )  # fmt: skip
    line_width: int = setting(
        3, label="Line width", minimum=1, maximum=12, step=1, advanced=True,
        help="Thickness of the limbs, in pixels (more on pictures over 1000 px).",
    )  # fmt: skip
    show_boxes: bool = setting(False, label="Boxes", advanced=True, help="Draw the box each person was found in.")
    show_oks: bool = setting(
        False, label="OKS circles", advanced=True,
        help="Around each joint, where a guess would have an object keypoint similarity of 0.85 and of 0.5.",
    )  # fmt: skip
    trails: bool = setting(True, label="Trails", advanced=True, help="Video: draw where wrists and ankles came from.")
    smoothing: float = setting(
        0.5, label="Smoothing", minimum=0.0, maximum=1.0, step=0.05, advanced=True,
        help="Video: how strongly a resting joint is calmed (one-euro filter). 0 shows each frame by itself.",
    )  # fmt: skip


@dataclass(frozen=True)
class PoseInference:
    """One network run on one picture: its raw output and what it cost, milliseconds per stage in order.

    "people" is the time of the detector. Without people there is nothing to run: device and precision are empty.
    """

    raw: RawPoses
    stages: dict[str, float]
    device: str
    precision: str
    model: str


def settings_for(model: str) -> PoseSettings:
    """The settings a model's publisher (or our own card) uses by default."""
    return PoseSettings.from_mapping(dict(registry.get(model).extras.get("defaults", {})))


def find_people(
    pixels: np.ndarray,
    engine: Engine | None = None,
    *,
    most: int = MOST_PEOPLE,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: ProgressFn | None = None,
) -> tuple[People, int]:
    """The people in a picture, surest first, by the compact detector; and how many there were before the limit."""
    seen = detection.infer(pixels, detection.DEFAULT_MODEL, engine, user=user, cancel=cancel, progress=progress)
    settings = detection.DetectionSettings(
        score_threshold=PEOPLE_FLOOR, iou_threshold=PEOPLE_IOU, max_detections=1000, classes=("person",), min_size=1.0
    )
    found = detection.decode(seen, settings).detections
    assert (found.labels == PERSON).all()
    return People(pixels, found.boxes[:most], found.scores[:most]), len(found)


def infer(
    picture: Picture | np.ndarray,
    model: str = DEFAULT_MODEL,
    engine: Engine | None = None,
    *,
    boxes: np.ndarray | None = None,
    most: int = MOST_PEOPLE,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: ProgressFn | None = None,
) -> PoseInference:
    """Find the people in a picture ((H, W, 3) uint8 RGB or ``Picture``) and run a pose model on all of them at once.

    Somebody the detector found twice is in the result once.

    boxes: (N, 4) x1 y1 x2 y2 in pixels, people that are known already (true boxes, or those of an earlier run whose
    picture was painted over); the detector is then left out, and boxes without area or undefined are passed over.
    most: look at this many people only, the surest.   Errors as in ``Engine.run``.
    """
    tasks.load_all()
    engine = engine or default_engine()
    spec = registry.get(model)
    pixels = pixels_of(picture)
    stages: dict[str, float] = {}
    people, found = People(pixels, np.zeros((0, 4), np.float32), np.zeros(0, np.float32)), 0
    if boxes is not None:
        known = np.asarray(boxes, np.float32).reshape(-1, 4)
        known = known[np.isfinite(known).all(axis=1) & (known[:, 2:] > known[:, :2]).all(axis=1)]
        people, found = People(pixels, known[:most], np.ones(len(known[:most]), np.float32)), len(known)
    elif spec.extras.get(TOP_DOWN):
        started = perf_counter()
        people, found = find_people(pixels, engine, most=most, user=user, cancel=cancel, progress=progress)
        stages["people"] = (perf_counter() - started) * 1e3
    if not len(people.boxes) and (boxes is not None or spec.extras.get(TOP_DOWN)):
        return PoseInference(no_people(pixels.shape[0], pixels.shape[1], model), stages, "", "", model)
    ran = engine.run(spec, people, user=user, cancel=cancel, progress=progress)
    raw: RawPoses = ran.output
    raw = replace(raw, found=max(found, raw.found, len(raw)))
    if boxes is None and spec.extras.get(TOP_DOWN):
        raw = without_duplicates(raw)
    return PoseInference(raw, {**stages, **ran.stages}, ran.device, ran.precision, ran.model)


def decode(inference: PoseInference | RawPoses, settings: PoseSettings | None = None) -> Poses:
    """The poses the settings make of an inference; no network is touched (about a millisecond for five people)."""
    started = perf_counter()
    raw = inference if isinstance(inference, RawPoses) else inference.raw
    chosen = settings or PoseSettings()
    above = np.flatnonzero(np.nan_to_num(raw.box_scores) > chosen.box_threshold)
    above = above[np.argsort(-raw.box_scores[above], kind="stable")]
    rows = above[: chosen.max_people]
    points, scores = _joints(raw, rows, chosen.decode)
    visible = scores > chosen.joint_threshold
    visible[:, [JOINT_INDEX[name] for name in chosen.hidden_joints]] = False
    poses = Poses(
        np.concatenate([points, scores[..., None]], axis=2),
        visible,
        raw.boxes[rows],
        raw.box_scores[rows],
        rows,
        raw.height,
        raw.width,
        raw.model,
        len(above) + max(raw.found - len(raw), 0),
    )
    return replace(poses, milliseconds=(perf_counter() - started) * 1e3)


def _joints(raw: RawPoses, rows: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, 17, 2) float64 places and (N, 17) scores of the rows; joints at undefined places score 0."""
    if raw.heatmaps is not None:
        of_maps = DECODE_KINDS[-1] if kind == OWN_DECODE else kind
        points, scores = decode_heatmaps(raw.heatmaps[rows], raw.regions[rows], of_maps, logits=raw.logits)
        if kind == OWN_DECODE and raw.keypoints is not None:
            points = raw.keypoints[rows].astype(np.float64)
    else:
        assert raw.keypoints is not None
        points, scores = raw.keypoints[rows].astype(np.float64), unit_scores(raw)[rows]
    usable = np.isfinite(points).all(axis=2)
    return np.where(usable[..., None], points, 0.0), np.where(usable, scores, 0.0)


def draw(
    pixels: np.ndarray, poses: Poses, settings: PoseSettings, trails: Mapping[int, np.ndarray] | None = None
) -> np.ndarray:
    """The picture with skeletons as the settings say, a new (H, W, 3) uint8 array; trails: of ``PoseTracks``."""
    return draw_poses(
        pixels,
        poses,
        style=settings.style,
        line_width=settings.line_width,
        show_boxes=settings.show_boxes,
        show_oks=settings.show_oks,
        trails=trails if settings.trails else None,
    )
