"""A classifier slid over the picture: object detection as it was done before region proposals.

``classify_windows`` runs the network on every window at several scales, once. Heatmaps, the ranking of classes and the
best boxes act on what it returned, so that another class costs no network call. The number of windows is the lesson:
it grows with the square of everything, which is why detectors learnt to propose regions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch

from cvdemo import tasks
from cvdemo.classification.heat import blend
from cvdemo.classification.raw import pixels_of, softmax
from cvdemo.classification.windows import Windows, count_windows, default_sides, windows
from cvdemo.core import registry
from cvdemo.core.context import ProgressFn, RunContext
from cvdemo.core.engine import Engine, default_engine
from cvdemo.core.errors import InputError
from cvdemo.core.media import Picture
from cvdemo.core.settings import Settings, setting
from cvdemo.detection.draw import PALETTE, draw_boxes, make_style
from cvdemo.detection.nms import nms

__all__ = [
    "HEAT_KINDS",
    "SlidingResult",
    "SlidingSettings",
    "Windows",
    "best_boxes",
    "classify_windows",
    "count_windows",
    "default_sides",
    "draw_sliding",
    "heatmap",
    "ranked_classes",
    "windows",
]

HeatKind = Literal["max", "mean"]
HEAT_KINDS: tuple[HeatKind, ...] = get_args(HeatKind)
BATCH = 16
HEAT_FLOOR = 0.1
"""The brightest colour of a heatmap stands for its largest probability, but never for less than this."""

_STYLE = make_style(PALETTE[0])


@dataclass(frozen=True)
class SlidingSettings(Settings):
    """Window sizes and strides need the network again; the rest acts on the windows already classified."""

    scales: int = setting(
        4, label="Scales", minimum=1, maximum=6, step=1, network=True,
        help="How many window sizes, each about 0.7 of the one before, beginning with the picture's shorter side.",
    )  # fmt: skip
    stride_share: float = setting(
        0.25, label="Stride", minimum=0.05, maximum=1.0, step=0.05, network=True,
        help="Step from one window to the next as a share of its side; half the step makes four times the windows.",
    )  # fmt: skip
    kind: str = setting(
        "max", label="Heat", choices=HEAT_KINDS,
        help="A pixel's heat is the largest, or the mean, probability of all windows that cover it.",
    )  # fmt: skip
    opacity: float = setting(
        0.5, label="Map over picture", minimum=0.0, maximum=1.0, step=0.05,
        help="0 shows only the picture, 1 only the map.",
    )  # fmt: skip
    iou: float = setting(
        0.3, label="IoU threshold", minimum=0.0, maximum=1.0, step=0.05, advanced=True,
        help="A window that overlaps a better one by more than this is not shown.",
    )  # fmt: skip
    boxes: int = setting(
        3, label="Boxes", minimum=0, maximum=20, step=1, advanced=True, help="How many of the best windows are framed."
    )
    min_score: float = setting(
        0.1, label="Lowest probability", minimum=0.0, maximum=1.0, step=0.05, advanced=True,
        help="Windows below this are not framed.",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class SlidingResult:
    """What the classifier said about every window of one picture.

    Attributes:
        windows: where they are.   probabilities: (N, C) float16 softmax of each.
        seen: share of a window's area the network's own centre crop kept.   stages: milliseconds per stage in order.
        milliseconds: spent on the windows, waiting and loading left out.   categories: C names.
    """

    windows: Windows
    probabilities: np.ndarray
    categories: tuple[str, ...]
    height: int
    width: int
    seen: float
    stages: dict[str, float]
    milliseconds: float
    device: str
    precision: str
    model: str

    @property
    def boxes(self) -> np.ndarray:
        """(N, 4) int64 x1 y1 x2 y2."""
        return self.windows.boxes

    @property
    def evaluations(self) -> int:
        """How many windows the network classified."""
        return len(self.windows)

    def sentence(self) -> str:
        """Such as "316 windows at 4 scales in 2.1 s, 6.6 ms each"; says when the network saw only their middle."""
        count, scales = self.evaluations, len(self.windows.sides)
        each = self.milliseconds / max(count, 1)
        middle = f"; of each the network sees the middle {100 * self.seen:.0f} %" if self.seen < 0.95 else ""
        return (
            f"{count} window{'s' if count > 1 else ''} at {scales} scale{'s' if scales > 1 else ''} "
            f"in {self.milliseconds / 1e3:.1f} s, {each:.1f} ms each{middle}"
        )

    def to_dict(self, image_name: str = "", *, top: int = 10) -> dict[str, Any]:
        """JSON-ready: counts, cost, and the ``top`` best classes each with its best window."""
        rows = []
        for index, name, probability in ranked_classes(self, top):
            box = self.boxes[int(self.probabilities[:, index].argmax())]
            rows.append({"label": name, "index": index, "probability": round(probability, 4), "box": box.tolist()})
        return {
            "image": {"name": image_name, "width": self.width, "height": self.height},
            "model": self.model,
            "evaluations": self.evaluations,
            "windows_per_side": {str(side): n for side, n in zip(self.windows.sides, self.windows.counts)},
            "milliseconds": round(self.milliseconds, 1),
            "classes": rows,
        }


def classify_windows(
    picture: Picture | np.ndarray,
    model: str = "compact-classifier",
    sides: Sequence[int] | None = None,
    stride_share: float = 0.25,
    engine: Engine | None = None,
    *,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: ProgressFn | None = None,
) -> SlidingResult:
    """Classify every window of a picture ((H, W, 3) uint8 RGB or ``Picture``), 16 at a time.

    sides: of the windows in pixels, None for ``default_sides``.   Errors as in ``windows`` and ``Engine.run``.
    """
    tasks.load_all()
    spec = registry.get(model)
    prepare = spec.extras.get("prepare_input")
    if not callable(prepare):
        raise InputError(f"{spec.title} is not a classifier of pictures.", hint="Choose a classifier.")
    pixels = pixels_of(picture)
    height, width = pixels.shape[:2]
    chosen = default_sides(height, width) if sides is None else tuple(sides)
    placed = windows(height, width, chosen, stride_share)

    def operation(module: Any, value: np.ndarray, context: RunContext) -> tuple[np.ndarray, float]:
        return _classified(module, value, context, placed.boxes, prepare)

    ran = (engine or default_engine()).run(
        spec, pixels, user=user, cancel=cancel, progress=progress, operation=operation
    )
    probabilities, seen = ran.output
    spent = sum(ms for name, ms in ran.stages.items() if name not in ("wait", "load"))
    names = spec.categories or tuple(f"class {index}" for index in range(probabilities.shape[1]))
    return SlidingResult(
        placed, probabilities, names, height, width, seen, ran.stages, spent, ran.device, ran.precision, ran.model
    )


def heatmap(result: SlidingResult, class_index: int, kind: HeatKind = "max") -> np.ndarray:
    """(H, W) float32: the largest or the mean probability of all windows that cover a pixel, 0 where none does.

    Windows share few distinct edges, so the sums run over the rectangles between those edges and not over pixels.
    """
    if kind not in HEAT_KINDS:
        raise ValueError(f"unknown kind of heatmap {kind!r}; there are {', '.join(HEAT_KINDS)}")
    scores = _scores(result, class_index)
    boxes = result.boxes
    xs = np.unique(np.concatenate([boxes[:, 0], boxes[:, 2], [0, result.width]]))
    ys = np.unique(np.concatenate([boxes[:, 1], boxes[:, 3], [0, result.height]]))
    left, right = np.searchsorted(xs, boxes[:, 0]), np.searchsorted(xs, boxes[:, 2])
    top, bottom = np.searchsorted(ys, boxes[:, 1]), np.searchsorted(ys, boxes[:, 3])
    grid = np.zeros((len(ys) - 1, len(xs) - 1))
    if kind == "max":
        for row in np.argsort(scores, kind="stable").tolist():  # the largest is painted last
            grid[top[row] : bottom[row], left[row] : right[row]] = scores[row]
    else:
        edges = (top, left, bottom, right)
        total = _painted_sum(scores.astype(np.float64), *edges, grid.shape)
        count = np.round(_painted_sum(np.ones(len(scores)), *edges, grid.shape))
        np.divide(total, count, out=grid, where=count > 0)
    pixels = np.repeat(np.repeat(grid.astype(np.float32), np.diff(ys), 0), np.diff(xs), 1)
    return np.clip(pixels, 0, 1)


def best_boxes(
    result: SlidingResult, class_index: int, iou: float = 0.3, k: int = 3, *, min_score: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """The k best windows of a class after suppression at that IoU: (K, 4) float32 and probabilities (K,), falling."""
    scores = _scores(result, class_index)
    rows = np.flatnonzero(scores >= min_score)
    kept = rows[nms(result.boxes[rows].astype(np.float32), scores[rows], iou)[: max(k, 0)]]
    return result.boxes[kept].astype(np.float32), scores[kept]


def ranked_classes(result: SlidingResult, k: int = 10) -> tuple[tuple[int, str, float], ...]:
    """The k classes with the highest probability in any window, best first: (index, name, probability)."""
    best = result.probabilities.max(0).astype(np.float32)
    order = np.argsort(-best, kind="stable")[:k]
    return tuple((int(index), result.categories[index], float(best[index])) for index in order)


def draw_sliding(
    pixels: np.ndarray,
    result: SlidingResult,
    class_index: int,
    settings: SlidingSettings | None = None,
    *,
    colours: str = "inferno",
    text_scale: float = 1.0,
) -> np.ndarray:
    """The picture (or a resized copy) under the heatmap of a class, its best windows framed; a new uint8 array.

    The brightest colour is the largest probability on the map, or 0.1 where nothing reaches that.
    """
    chosen = settings or SlidingSettings()
    heat = heatmap(result, class_index, chosen.kind)  # type: ignore[arg-type]
    out = blend(pixels, heat / max(float(heat.max()), HEAT_FLOOR), chosen.opacity, colours)
    boxes, scores = best_boxes(result, class_index, chosen.iou, chosen.boxes, min_score=chosen.min_score)
    factors = np.array([pixels.shape[1], pixels.shape[0]] * 2) / ([result.width, result.height] * 2)
    texts = [f"{result.categories[class_index]} {100 * score:.0f} %" for score in scores]
    return draw_boxes(out, (boxes * factors)[::-1], [_STYLE] * len(boxes), texts[::-1], text_scale=text_scale)


def _classified(
    module: Any, pixels: np.ndarray, context: RunContext, boxes: np.ndarray, prepare: Callable[[np.ndarray], Any]
) -> tuple[np.ndarray, float]:
    """(N, C) float16 probabilities, and the share of the first window that the network's own crop kept."""
    found: list[np.ndarray] = []
    seen = 1.0
    for start in range(0, len(boxes), BATCH):
        context.report(start / len(boxes), f"{start} of {len(boxes)} windows")
        with context.stage("preprocess"):
            some = [
                prepare(np.ascontiguousarray(pixels[y1:y2, x1:x2])) for x1, y1, x2, y2 in boxes[start : start + BATCH]
            ]
            if start == 0:
                x1, y1, x2, y2 = some[0][1]
                side = float(boxes[0, 2] - boxes[0, 0])
                seen = min(1.0, float((x2 - x1) * (y2 - y1)) / side**2)
            batch = context.tensor(torch.cat([x for x, _ in some]))
        with context.stage("network"), torch.inference_mode(), context.autocast():
            logits = module(batch).float().cpu().numpy()
        found.append(softmax(logits).astype(np.float16))
    context.report(1.0, f"{len(boxes)} windows")
    return np.concatenate(found), seen


def _scores(result: SlidingResult, class_index: int) -> np.ndarray:
    """(N,) float32 probabilities of one class; InputError when there is no such class."""
    if not 0 <= class_index < result.probabilities.shape[1]:
        raise InputError(
            f"There is no class {class_index}.", hint=f"Choose one from 0 to {result.probabilities.shape[1] - 1}."
        )
    return result.probabilities[:, class_index].astype(np.float32)


def _painted_sum(
    values: np.ndarray, top: np.ndarray, left: np.ndarray, bottom: np.ndarray, right: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Sum of values over rectangles of a grid, from its four corners by two running sums (Viola and Jones 2001)."""
    corners = np.zeros((shape[0] + 1, shape[1] + 1))
    for rows, columns, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
        np.add.at(corners, (rows, columns), sign * values)
    summed: np.ndarray = corners.cumsum(0).cumsum(1)[:-1, :-1]
    return summed
