"""Segmentation's two halves: ``infer`` runs the network once, ``decode`` does everything a slider can change.

A model either labels every pixel (semantic, ``RawSegmentation``) or finds objects with a mask each (instances,
``RawInstances``); ``decode`` tells them apart by what the network returned.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import overload

import numpy as np

from cvdemo import tasks
from cvdemo.core import registry
from cvdemo.core.engine import Engine, default_engine
from cvdemo.core.media import Picture
from cvdemo.core.settings import Settings, setting
from cvdemo.detection.labels import COCO_CATEGORIES
from cvdemo.segmentation import background
from cvdemo.segmentation.draw import Colour, draw_instances, draw_overlay
from cvdemo.segmentation.instances import InstanceSegmentation, decode_instances
from cvdemo.segmentation.labels import CAMVID_CLASSES, VOC_CLASSES
from cvdemo.segmentation.raw import RawInstances, RawSegmentation
from cvdemo.segmentation.result import Segmentation

TASK = "segmentation"
DEFAULT_MODEL = "compact-segmentation"
CLASS_NAMES = tuple(dict.fromkeys((*VOC_CLASSES, *CAMVID_CLASSES, *(category.name for category in COCO_CATEGORIES))))
BACKGROUNDS = ("keep", "blur", "colour", "picture", "cut-out")
COLOURS = tuple(background.NAMED_COLOURS)


@dataclass(frozen=True)
class SegmentationSettings(Settings):
    """Everything that acts on logits or masks already computed."""

    temperature: float = setting(
        1.0, label="Softmax temperature", minimum=0.1, maximum=10.0, step=0.1,
        help="Divides the logits before the softmax: above 1 the network seems less sure, below 1 surer.",
    )  # fmt: skip
    min_confidence: float = setting(
        0.0, label="Least confidence", minimum=0.0, maximum=1.0, step=0.01,
        help="Pixels whose best class is less probable than this stay undecided.",
    )  # fmt: skip
    min_region: float = setting(
        0.0, label="Smallest region, %", minimum=0.0, maximum=5.0, step=0.05,
        help="A connected region of a class that covers less of the picture goes to the class that is next there.",
    )  # fmt: skip
    opacity: float = setting(
        0.55, label="Overlay opacity", minimum=0.0, maximum=1.0, step=0.05,
        help="How much of the class colour covers the picture: 0 none, 1 all.",
    )  # fmt: skip
    outline: int = setting(
        2, label="Outline", minimum=0, maximum=12, step=1, help="Thickness of the outlines in pixels; 0 draws none."
    )
    classes: tuple[str, ...] = setting(
        (), label="Classes", choices=CLASS_NAMES, help="Show only these classes; none chosen shows all."
    )
    background: str = setting(
        "keep", label="Background", choices=BACKGROUNDS,
        help="What happens to everything that is not shown: keep, blur, one colour, another picture, transparent.",
    )  # fmt: skip
    blur: float = setting(
        12.0, label="Blur", minimum=1.0, maximum=60.0, step=1.0, advanced=True,
        help="Strength of the background blur: its standard deviation in pixels.",
    )  # fmt: skip
    background_colour: str = setting(
        "white", label="Background colour", choices=COLOURS, advanced=True, help="Colour of a replaced background."
    )
    score_threshold: float = setting(
        0.5, label="Score threshold", minimum=0.05, maximum=1.0, step=0.01,
        help="Instance models: only objects with a score above this are shown.",
    )  # fmt: skip
    mask_threshold: float = setting(
        0.5, label="Mask threshold", minimum=0.05, maximum=0.95, step=0.05, advanced=True,
        help="Instance models: how probable a pixel must be to belong to its object.",
    )  # fmt: skip
    max_instances: int = setting(
        50, label="Most objects", minimum=1, maximum=100, step=1, advanced=True,
        help="Instance models: keep only the best so many objects.",
    )  # fmt: skip
    show_labels: bool = setting(
        True, label="Labels", advanced=True, help="Instance models: write the class and score on each object."
    )


@dataclass(frozen=True)
class SegmentationInference:
    """One network run on one picture: its raw output and what it cost, milliseconds per stage in order."""

    raw: RawSegmentation | RawInstances
    stages: dict[str, float]
    device: str
    precision: str
    model: str

    @property
    def semantic(self) -> bool:
        """Whether the model labels pixels (True) or finds objects (False)."""
        return isinstance(self.raw, RawSegmentation)


def settings_for(model: str) -> SegmentationSettings:
    """The settings a model starts with."""
    return SegmentationSettings.from_mapping(dict(registry.get(model).extras.get("defaults", {})))


def infer(
    picture: Picture | np.ndarray,
    model: str = DEFAULT_MODEL,
    engine: Engine | None = None,
    *,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> SegmentationInference:
    """Run a model on one picture ((H, W, 3) uint8 RGB or ``Picture``); errors as in ``Engine.run``."""
    tasks.load_all()
    ran = (engine or default_engine()).run(model, picture, user=user, cancel=cancel, progress=progress)
    return SegmentationInference(ran.output, ran.stages, ran.device, ran.precision, ran.model)


@overload
def decode(
    inference: RawSegmentation,
    settings: SegmentationSettings,
    earlier: Segmentation | InstanceSegmentation | None = None,
) -> Segmentation: ...
@overload
def decode(
    inference: RawInstances, settings: SegmentationSettings, earlier: Segmentation | InstanceSegmentation | None = None
) -> InstanceSegmentation: ...
@overload
def decode(
    inference: SegmentationInference,
    settings: SegmentationSettings,
    earlier: Segmentation | InstanceSegmentation | None = None,
) -> Segmentation | InstanceSegmentation: ...


def decode(
    inference: SegmentationInference | RawSegmentation | RawInstances,
    settings: SegmentationSettings,
    earlier: Segmentation | InstanceSegmentation | None = None,
) -> Segmentation | InstanceSegmentation:
    """What the settings make of the network's output; no network is touched.

    A semantic output becomes a label map with areas, confidence and entropy; instances are filtered and pasted.
    earlier: another result for the same output, whose maps are not made again where they still hold.
    """
    raw = inference.raw if isinstance(inference, SegmentationInference) else inference
    if isinstance(raw, RawInstances):
        return decode_instances(
            raw,
            score_threshold=settings.score_threshold,
            mask_threshold=settings.mask_threshold,
            most=settings.max_instances,
            chosen=frozenset(settings.classes),
        )
    chosen = frozenset(settings.classes) & frozenset(raw.categories)
    found = Segmentation(raw, settings.temperature, settings.min_confidence, chosen, settings.min_region / 100)
    if isinstance(earlier, Segmentation):
        found.take_over(earlier)
    found.labels  # noqa: B018  (worked out now, so that the caller's clock sees it here)
    return found


def draw(
    pixels: np.ndarray,
    found: Segmentation | InstanceSegmentation,
    settings: SegmentationSettings,
    *,
    behind: np.ndarray | None = None,
    colours: Mapping[str, Colour] | None = None,
    highlight: int | None = None,
) -> np.ndarray:
    """What the settings show: the overlay on the picture, or the foreground on a changed background.

    Args:
        pixels: (H, W, 3) uint8 RGB of the picture's size; never written to.
        behind: (h, w, 3) uint8, the picture for background "picture"; without one the background colour is taken.
        colours: by class name, instead of the usual ones. highlight: the object drawn stronger.
    Returns: a new (H, W, 3) uint8 array; (H, W, 4) with alpha for background "cut-out".
    """
    if settings.background == "keep":
        if isinstance(found, InstanceSegmentation):
            return draw_instances(
                pixels, found, opacity=settings.opacity, outline=settings.outline,
                show_labels=settings.show_labels, highlight=highlight, colours=colours,
            )  # fmt: skip
        return draw_overlay(pixels, found, opacity=settings.opacity, outline=settings.outline, colours=colours)
    alpha = found.foreground()
    if settings.background == "blur":
        return background.blurred_background(pixels, alpha, settings.blur)
    if settings.background == "cut-out":
        return background.cut_out(pixels, alpha)
    if settings.background == "picture" and behind is not None:
        return background.picture_background(pixels, alpha, behind)
    return background.colour_background(pixels, alpha, background.NAMED_COLOURS[settings.background_colour])
