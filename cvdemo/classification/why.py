"""Why a classifier answers as it does: an attribution map for one class of one picture, and its drawing.

``explain`` runs the network (through the engine's queue, on the shared network, which it never changes); ``overlay``
and everything else here acts on the map alone. Callers keep explanations under (picture fingerprint, model, class,
method, randomise). The methods themselves are in ``why_methods``.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from cvdemo import tasks
from cvdemo.classification.heat import COLOUR_MAPS, blend
from cvdemo.classification.raw import pixels_of, softmax
from cvdemo.classification.why_methods import (
    Evidence,
    grad_cam,
    input_gradient,
    logits_of,
    occlusion,
    randomised,
    rank_correlation,
)
from cvdemo.core import registry
from cvdemo.core.context import ProgressFn, RunContext
from cvdemo.core.engine import Engine, default_engine
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.lazy import cv2
from cvdemo.core.media import Picture
from cvdemo.core.registry import ModelSpec
from cvdemo.core.settings import Settings, setting
from cvdemo.detection.draw import PALETTE, draw_boxes, make_style

METHODS: tuple[str, ...] = ("grad-cam", "occlusion", "gradient", "smooth-grad")
METHOD_TITLES = {
    "grad-cam": "Grad-CAM",
    "occlusion": "Occlusion sensitivity",
    "gradient": "Input gradient",
    "smooth-grad": "SmoothGrad",
}
RANDOMISE: tuple[str, ...] = ("top", "all")
NOT_AN_EXPLANATION = "randomised network, not an explanation"
SMOOTH_SAMPLES = 24

# Single pixels of a gradient map tower over the rest, which would be black if the largest one were the scale's end.
_GRADIENT_PERCENTILE = 99.0
_HARDLY = 0.95  # of the probability left under the worst patch: what is mapped then is next to nothing
_SEED = 0
_STYLE = make_style(PALETTE[4])


@dataclass(frozen=True)
class WhySettings(Settings):
    """How a map lies over the picture; acts on maps already computed."""

    opacity: float = setting(
        0.6, label="Map over picture", minimum=0.0, maximum=1.0, step=0.05,
        help="0 shows only the picture, 1 only the map.",
    )  # fmt: skip
    colours: str = setting(
        "inferno", label="Colours", choices=COLOUR_MAPS, advanced=True,
        help="The colour scale, from no influence to the strongest. All but turbo suit colour-blind viewers.",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Explanation:
    """One attribution map.

    Attributes:
        map: (h, w) float32 in [0, 1], 1 where the picture spoke most for the class; it covers ``extent``.
        values: (h, w) float32 before scaling: Grad-CAM's sum, the fall of the probability under occlusion, |dy/dx|.
        extent: x1 y1 x2 y2, what the network saw, in pixels of the picture.   height, width: of the picture.
        score: softmax probability of the class, None when the network was randomised (it would mean nothing).
        randomise: "" for the trained network, else "top" or "all".   note: a sentence to show with it, or "".
        stages: milliseconds per stage in order.
    """

    map: np.ndarray
    values: np.ndarray
    extent: tuple[float, float, float, float]
    height: int
    width: int
    method: str
    class_index: int
    class_name: str
    score: float | None
    stages: dict[str, float]
    device: str
    model: str
    randomise: str = ""
    note: str = ""

    def peak(self) -> tuple[float, float]:
        """(x, y) of the map's largest value, the middle of its cell, in pixels of the picture."""
        row, column = np.unravel_index(int(self.map.argmax()), self.map.shape)
        x1, y1, x2, y2 = self.extent
        rows, columns = self.map.shape
        return x1 + (x2 - x1) * (float(column) + 0.5) / columns, y1 + (y2 - y1) * (float(row) + 0.5) / rows

    def place(self) -> str:
        """Where in the picture the peak is, in words: "top left", "centre"."""
        x, y = self.peak()
        row = ("top", "middle", "bottom")[min(2, int(3 * y / self.height))]
        column = ("left", "centre", "right")[min(2, int(3 * x / self.width))]
        return "centre" if (row, column) == ("middle", "centre") else f"{row} {column}"

    def sentence(self) -> str:
        """One plain sentence for screen readers and the API."""
        title = METHOD_TITLES[self.method]
        chance = "" if self.score is None else f" ({_percent(self.score)})"
        lead = f"{title} for {self.class_name}{chance}"
        where = f"strongest at the {self.place()} of the picture" if self.map.any() else "the map is empty"
        return f"{NOT_AN_EXPLANATION.capitalize()}; {lead}: {where}" if self.randomise else f"{lead}: {where}"

    def to_dict(self, image_name: str = "") -> dict[str, Any]:
        """JSON-ready; ``map`` as rows of numbers, averaged down to at most 32 x 32 cells over ``extent``."""
        rows, columns = (min(32, side) for side in self.map.shape)
        small = cv2.resize(self.map, (columns, rows), interpolation=cv2.INTER_AREA)
        return {
            "image": {"name": image_name, "width": self.width, "height": self.height},
            "model": self.model,
            "method": self.method,
            "label": self.class_name,
            "index": self.class_index,
            "probability": None if self.score is None else round(self.score, 6),
            "randomised": self.randomise or None,
            "extent": [round(float(value), 2) for value in self.extent],
            "peak": [round(value, 2) for value in self.peak()],
            "map": [[round(value, 3) for value in row] for row in small.tolist()],
            "note": self.note,
        }


def methods_for(model: str) -> dict[str, str]:
    """Every method with the reason why it cannot explain that model, "" where it can."""
    tasks.load_all()
    spec = registry.get(model)
    reasons = dict.fromkeys(METHODS, "")
    if not callable(spec.extras.get("prepare_input")):
        return dict.fromkeys(METHODS, f"{spec.title} takes no picture that could be explained.")
    if not spec.extras.get("gradcam_layer"):
        default = f"Grad-CAM needs a convolutional feature map, which {spec.title} does not have."
        reasons["grad-cam"] = str(spec.extras.get("gradcam_unsupported") or default)
    return reasons


def explain(
    picture: Picture | np.ndarray,
    model: str,
    class_index: int | None = None,
    method: str = "grad-cam",
    *,
    randomise: str | None = None,
    engine: Engine | None = None,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: ProgressFn | None = None,
) -> Explanation:
    """Run one method on one picture ((H, W, 3) uint8 RGB or ``Picture``) for one class.

    class_index: None explains the network's best class.   method: one of ``METHODS``.
    randomise: "top" (last layer) or "all" runs it on a copy with random weights instead, the field's sanity check.
    Arithmetic is float32 whatever precision predictions use: differences of nearly equal probabilities need the digits.
    Raises InputError for a method or class the model does not have, else as ``Engine.run``.
    """
    spec = _checked(model, class_index, method, randomise)
    pixels = pixels_of(picture)

    def operation(module: Any, value: np.ndarray, context: RunContext) -> tuple[Evidence, tuple[float, ...], int]:
        return _explained(spec, module, value, context, class_index, method, randomise)

    ran = (engine or default_engine()).run(
        spec, pixels, user=user, cancel=cancel, progress=progress, operation=operation
    )
    evidence, extent, index = ran.output
    probability = float(softmax(evidence.logits)[index])
    name = spec.categories[index] if index < len(spec.categories) else f"class {index}"
    shown = scaled(evidence.values, method)
    note = NOT_AN_EXPLANATION if randomise else _note(evidence.values, shown, method, name, probability)
    return Explanation(
        map=shown,
        values=evidence.values,
        extent=extent,
        height=pixels.shape[0],
        width=pixels.shape[1],
        method=method,
        class_index=index,
        class_name=name,
        score=None if randomise else probability,
        stages=ran.stages,
        device=ran.device,
        model=ran.model,
        randomise=randomise or "",
        note=note,
    )


def scaled(values: np.ndarray, method: str) -> np.ndarray:
    """Values of a method -> [0, 1] float32: negative ones to 0, the largest (gradients: 99th percentile) to 1."""
    positive = np.maximum(values, 0)
    top = float(positive.max())
    if method in ("gradient", "smooth-grad"):
        top = float(np.percentile(positive, _GRADIENT_PERCENTILE)) or top
    if not top > 0:
        return np.zeros_like(positive, dtype=np.float32)
    return np.minimum(positive / np.float32(top), 1).astype(np.float32)


def overlay(
    pixels: np.ndarray,
    explanation: Explanation,
    opacity: float = 0.6,
    colours: str = "inferno",
    *,
    text_scale: float = 1.0,
) -> np.ndarray:
    """The map over the picture, a new (H, W, 3) uint8 array; no network.

    pixels: the picture or a resized copy of it.   What the network did not see gets the colour of 0, beyond a frame.
    A map of a randomised network always says so in the picture, because pictures travel without their captions.
    """
    height, width = pixels.shape[:2]
    factors = np.array([width, height] * 2) / ([explanation.width, explanation.height] * 2)
    box = np.array(explanation.extent) * factors
    out = blend(pixels, explanation.map, opacity, colours, box.tolist())
    whole = np.abs(box - [0, 0, width, height]).max() < 1.5
    text = NOT_AN_EXPLANATION if explanation.randomise else ""
    if opacity <= 0 or (whole and not text):
        return out
    return draw_boxes(out, box[None], [_STYLE], [text], line_width=1, text_scale=text_scale)


def agreement(first: Explanation, second: Explanation) -> float:
    """Spearman's rank correlation of two maps of the same part of a picture, -1 to 1, at the coarser resolution.

    Between a trained and a randomised network it should be far below 1, or the method does not explain the network.
    """
    rows = min(first.map.shape[0], second.map.shape[0])
    columns = min(first.map.shape[1], second.map.shape[1])
    small = [cv2.resize(each.map, (columns, rows), interpolation=cv2.INTER_AREA) for each in (first, second)]
    return rank_correlation(small[0], small[1])


def _checked(model: str, class_index: int | None, method: str, randomise: str | None) -> ModelSpec:
    if method not in METHODS:
        raise InputError(f"There is no method {method!r}.", hint=f"Choose one of {', '.join(METHODS)}.")
    if randomise and randomise not in RANDOMISE:
        raise InputError(f"Layers cannot be randomised as {randomise!r}.", hint="Choose top or all.")
    reason = methods_for(model)[method]
    if reason:
        raise InputError(reason, hint="" if "occlusion" in reason.lower() else "Choose another method.")
    spec = registry.get(model)
    if class_index is not None and not 0 <= class_index < (len(spec.categories) or class_index + 1):
        raise InputError(
            f"{spec.title} has no class {class_index}.", hint=f"Choose one from 0 to {len(spec.categories) - 1}."
        )
    return spec


def _explained(
    spec: ModelSpec, module: Any, pixels: np.ndarray, context: RunContext, class_index: int | None, method: str,
    randomise: str | None,
) -> tuple[Evidence, tuple[float, ...], int]:  # fmt: skip
    if not isinstance(module, nn.Module):  # a traced graph has neither layers nor gradients
        raise CvDemoError(f"{spec.title} runs in a form that cannot be explained.", hint="Choose another model.")
    with context.stage("preprocess"):
        x, extent = spec.extras["prepare_input"](pixels)
        x = context.tensor(x)
    index = class_index
    if index is None:
        with context.stage("network"):
            index = int(logits_of(module, x)[0].argmax())
    if randomise:
        with context.stage("randomise"):
            module = randomised(module, _SEED, randomise)
    with context.stage(method):
        if method == "grad-cam":
            evidence = grad_cam(module, x, spec.extras["gradcam_layer"], index)
        elif method == "occlusion":
            evidence = occlusion(module, x, index, report=context.report)
        else:
            samples = SMOOTH_SAMPLES if method == "smooth-grad" else 1
            evidence = input_gradient(module, x, index, samples=samples, seed=_SEED, report=context.report)
    return evidence, tuple(float(value) for value in extent), index


def _note(values: np.ndarray, shown: np.ndarray, method: str, name: str, probability: float) -> str:
    """What the numbers behind the map say in one sentence, "" when the map says it all."""
    if not shown.any():
        return f"Nothing in the picture speaks for {name}."
    if method == "occlusion":
        left = max(0.0, probability - float(values.max()))
        if left > _HARDLY * probability:
            return (
                f"Covering any one patch hardly changes the probability of {name}; the map enlarges small differences."
            )
        return (
            f"Covering the most important patch lowers the probability of {name} "
            f"from {_percent(probability)} to {_percent(left)}."
        )
    return ""


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f} %" if probability >= 0.01 or probability == 0 else f"{100 * probability:.2g} %"
