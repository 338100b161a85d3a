"""What the Overlay view shows: the drawn picture, the legend, downloads (its tables are in ``overlay_tables``).

``Look`` is what a session remembers of one picture and one model. Everything here acts on it and touches no network.
The page works on a copy of at most 1280 pixels; downloads are made in full size from the same output.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2
from cvdemo.core.media import Picture, encode_picture
from cvdemo.core.settings import setting
from cvdemo.segmentation import export
from cvdemo.segmentation.background import on_checks
from cvdemo.segmentation.draw import Colour, draw_values, legend
from cvdemo.segmentation.instances import InstanceSegmentation, paste
from cvdemo.segmentation.labels import COCO_NAMES, VOC_CLASSES
from cvdemo.segmentation.predict import SegmentationInference, SegmentationSettings, decode, draw
from cvdemo.segmentation.raw import RawInstances
from cvdemo.segmentation.result import BACKGROUND, Segmentation, percent_in_words

Found = Segmentation | InstanceSegmentation

SHOW = ("overlay", "confidence", "entropy")
EXPORTS = {"png": "Overlay PNG", "index": "Index PNG", "cut-out": "Cut-out PNG", "json": "JSON", "coco": "COCO JSON",
           "csv": "CSV"}  # fmt: skip
STAGE_WORDS = {"preprocess": "prepare", "decode": "read out"}
_COARSE_SIDE = 320  # confidence and entropy are as smooth as the logits: larger pictures show them enlarged
VOC_OF_COCO = {coco: voc for voc, coco in COCO_NAMES.items()}


@dataclass(frozen=True)
class OverlaySettings(SegmentationSettings):
    """The task's settings, and which picture is made of the result."""

    show: str = setting(
        "overlay", label="Show", choices=SHOW,
        help="The classes over the picture, how probable the winner is at each pixel, or how undecided the network is.",
    )  # fmt: skip


def at_size(inference: SegmentationInference, height: int, width: int) -> SegmentationInference:
    """The same output for a copy of the picture of another size, (width, height) pixels."""
    raw = inference.raw
    across, down = width / raw.width, height / raw.height
    if isinstance(raw, RawInstances):
        factors = np.array([across, down, across, down], np.float32)
        return replace(inference, raw=replace(raw, boxes=raw.boxes * factors, height=height, width=width))
    x1, y1, x2, y2 = raw.extent
    # Division may fall short of the edge by a rounding error.
    extent = (x1 * across, y1 * down, max(x2 * across, float(width)), max(y2 * down, float(height)))
    return replace(inference, raw=replace(raw, extent=extent, height=height, width=width))


@dataclass(frozen=True, eq=False)
class Look:
    """A picture, the copy the page shows, and what a model said of it.

    Attributes:
        inference: the output for the picture. small: the same for ``display``, (H, W, 3) uint8.
        before: ``display`` as the viewer's lower layer; "" for webcam frames.
    """

    picture: Picture
    display: np.ndarray
    inference: SegmentationInference
    small: SegmentationInference
    before: str = ""
    _decoded: dict[Any, Found] = field(default_factory=dict)
    _coarse: dict[str, Segmentation] = field(default_factory=dict)

    @classmethod
    def of(cls, picture: Picture, display: np.ndarray, inference: SegmentationInference, before: str = "") -> Look:
        """Put together what belongs together."""
        return cls(picture, display, inference, at_size(inference, *display.shape[:2]), before)

    def found(self, settings: SegmentationSettings) -> Found:
        """The decoded result for the display copy; the last one is kept, so that drawing alone decodes nothing."""
        key = (settings.temperature, settings.min_confidence, settings.min_region, settings.classes,
               settings.score_threshold, settings.mask_threshold, settings.max_instances)  # fmt: skip
        known = self._decoded.get(key)
        if known is None:
            known = decode(self.small, settings, next(iter(self._decoded.values()), None))
            self._decoded.clear()
            self._decoded[key] = known
        return known

    def coarse(self, found: Segmentation) -> Segmentation:
        """The same result on at most 320 pixels, for what is a mean over the picture or a smooth map of it."""
        scale = _COARSE_SIDE / max(found.height, found.width)
        if scale >= 1:
            found.entropy  # noqa: B018  (with the confidence, in one pass over the classes)
            return found
        earlier = self._coarse.get("last")
        if earlier is None:
            size = [max(1, round(side * scale)) for side in (found.height, found.width)]
            raw = at_size(self.small, *size).raw
            assert not isinstance(raw, RawInstances)
            earlier = Segmentation(raw)
        coarse = replace(found, raw=earlier.raw)
        coarse.take_over(earlier)
        coarse.entropy  # noqa: B018  (as above)
        self._coarse["last"] = coarse
        return coarse


@dataclass(frozen=True)
class LegendRow:
    """A line of the legend: class, "#rrggbb" ("" where every object has its own colour), words, whether it is shown."""

    name: str
    hex: str
    words: str
    shown: bool


@dataclass(frozen=True, eq=False)
class Rendered:
    """Everything the view says about a look: pixels (H, W, 3) uint8, sentence, timings, legend."""

    found: Found
    pixels: np.ndarray
    sentence: str
    timing: str
    legend: tuple[LegendRow, ...]


def render(
    look: Look,
    settings: OverlaySettings,
    *,
    colours: Mapping[str, Colour] | None = None,
    behind: np.ndarray | None = None,
) -> Rendered:
    """Decode and draw a look on its display copy. behind: another picture, for background "picture"."""
    started = perf_counter()
    found = look.found(settings)
    decoded = perf_counter()
    if settings.show == "overlay":
        pixels = draw(look.display, found, settings, behind=behind, colours=colours)
        if pixels.shape[2] == 4:
            pixels = on_checks(pixels)
    else:
        pixels = value_map(look, found, settings.show)
    stages = {
        **look.inference.stages, "masks": 1e3 * (decoded - started), "draw": 1e3 * (perf_counter() - decoded)
    }  # fmt: skip
    return Rendered(found, pixels, found.sentence(), timing_line(look, stages),
                    legend_rows(look, found, settings, colours))  # fmt: skip


def value_map(look: Look, found: Found, show: str) -> np.ndarray:
    """(H, W, 3) uint8: the confidence (0 to 1) or entropy (bits) of every pixel in colours, dark to yellow.

    Of objects: the largest mask probability at the pixel, and the entropy of inside against outside.
    """
    if isinstance(found, Segmentation):
        coarse, limit = look.coarse(found), entropy_limit(found)
        values, most = (coarse.confidence, 1.0) if show == "confidence" else (coarse.entropy, limit)
        if values.shape != (found.height, found.width):
            values = cv2.resize(values, (found.width, found.height), interpolation=cv2.INTER_LINEAR)
        return draw_values(values, 0.0, most, bar=False)
    raw = look.small.raw
    assert isinstance(raw, RawInstances)
    inside = np.zeros((found.height, found.width), np.float32)
    for row, box in zip(found.rows.tolist(), found.boxes):
        x, y, values = paste(raw.masks[row], box, found.height, found.width)
        window = inside[y : y + values.shape[0], x : x + values.shape[1]]
        np.maximum(window, values, out=window)
    if show == "confidence":
        return draw_values(inside, 0.0, 1.0, bar=False)
    share = np.clip(inside, 1e-7, 1 - 1e-7)
    bits = -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
    return draw_values(bits.astype(np.float32), 0.0, 1.0, bar=False)


def entropy_limit(found: Found) -> float:
    """The entropy in bits of knowing nothing."""
    return math.log2(max(len(found.categories), 2)) if isinstance(found, Segmentation) else 1.0


def timing_line(look: Look, stages: Mapping[str, float]) -> str:
    """ "41 ms (prepare 2.1, network 30, masks 4.0, draw 3.2) · cpu bf16"."""
    named = {STAGE_WORDS.get(name, name): ms for name, ms in stages.items() if ms >= 0.05}
    listed = ", ".join(f"{name} {ms:.0f}" if ms >= 9.5 else f"{name} {ms:.1f}" for name, ms in named.items())
    line = f"{sum(named.values()):.0f} ms ({listed}) · {look.inference.device} {look.inference.precision}"
    return line + (f" · {'; '.join(look.picture.notes)}" if look.picture.notes else "")


# ------------------------------------------------------------------ legend


def legend_rows(
    look: Look, found: Found, settings: SegmentationSettings, colours: Mapping[str, Colour] | None = None
) -> tuple[LegendRow, ...]:
    """The classes of the picture, hidden ones too, those with the most pixels (or objects) first."""
    if isinstance(found, Segmentation):
        return tuple(LegendRow(e.name, e.hex, words_of(e.percent), e.shown) for e in legend(found, colours))
    raw = look.small.raw
    assert isinstance(raw, RawInstances)
    shown = Counter(found.names)
    # Objects of classes that are switched off are counted too: their line is how they are switched on again.
    there = Counter(raw.categories[int(label)] for label in raw.labels[raw.scores > settings.score_threshold])
    chosen = colours or {}
    return tuple(
        LegendRow(name, hex_of(chosen[name]) if name in chosen else "", f"{count}", name in shown)
        for name, count in there.most_common()
    )


def words_of(percent: float) -> str:
    """A share as the legend words it; ``percent_in_words`` would round small ones to nothing."""
    return percent_in_words(percent) if percent >= 0.05 else "< 0.1 %"


def toggled(settings: SegmentationSettings, look: Look, found: Found, name: str) -> tuple[str, ...]:
    """The classes setting after the legend's line ``name`` was pressed; () stands for all but the background."""
    rows = legend_rows(look, found, settings)
    present = [row.name for row in rows]
    if name not in present:
        return settings.classes
    shown = {row.name for row in rows if row.shown} ^ {name}
    usual = {each for each in present if each != BACKGROUND}
    if shown == usual:
        return ()
    if not shown:  # an empty choice means all: choose those that are not there instead
        shown = set(found.categories) - set(present) - {BACKGROUND}
    return tuple(each for each in found.categories if each in shown) or settings.classes


def parse_colour(text: Any) -> Colour | None:
    """ "#rrggbb" as red, green, blue; None for anything else."""
    if not isinstance(text, str) or len(text) != 7 or text[0] != "#":
        return None
    try:
        value = int(text[1:], 16)
    except ValueError:
        return None
    return value >> 16, value >> 8 & 255, value & 255


def hex_of(colour: Colour) -> str:
    """The other way round."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


# ------------------------------------------------------------------ downloads


def index_map(found: Found) -> tuple[np.ndarray, tuple[str, ...]]:
    """(H, W) uint8 class indices and their names; objects are painted into the 21 classes of PASCAL VOC."""
    if isinstance(found, Segmentation):
        return found.labels, found.categories
    return found.label_map(VOC_CLASSES, VOC_OF_COCO), VOC_CLASSES


def make_download(
    look: Look,
    settings: OverlaySettings,
    kind: str,
    *,
    colours: Mapping[str, Colour] | None = None,
    behind: np.ndarray | None = None,
) -> tuple[str, bytes]:
    """(file name, content) of a download in the picture's full size; ``kind`` is one of ``EXPORTS``."""
    found = decode(look.inference, settings)
    stem, pixels = Path(look.picture.name).stem or "picture", look.picture.pixels
    if kind == "png":
        return f"{stem}-segmented.png", encode_picture(draw(pixels, found, settings, behind=behind, colours=colours))
    if kind == "index":
        labels, categories = index_map(found)
        return f"{stem}-classes.png", export.index_png(labels, categories, colours)
    if kind == "cut-out":
        return f"{stem}-cut-out.png", export.cut_out_png(pixels, found)
    if kind == "csv":
        return f"{stem}-areas.csv", export.to_csv(found, look.picture.name).encode()
    if kind == "coco":
        document: dict[str, Any] = export.coco_document([(look.picture.name, found)])
        return f"{stem}-coco.json", json.dumps(document).encode()
    if kind == "json":
        document = found.to_dict(look.picture.name)
        document["temperature"] = settings.temperature
        document["milliseconds"] = {stage: round(ms, 3) for stage, ms in look.inference.stages.items()}
        return f"{stem}-areas.json", json.dumps(document, indent=1).encode()
    raise InputError(f"There is no download of the kind {kind!r}.", hint=f"Choose {', '.join(EXPORTS)}.")
