"""Segmentations on a picture: overlays, outlines, legends, maps of confidence, objects, before and after.

Everything works on the label map with table look-ups; a 640 x 480 frame takes a few milliseconds on one core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.detection.draw import PALETTE, contrasting, draw_boxes, make_style
from cvdemo.segmentation.instances import InstanceSegmentation
from cvdemo.segmentation.labels import CAMVID_CLASSES, CAMVID_COLOURS, VOC_CLASSES, VOC_COLOURS
from cvdemo.segmentation.result import UNDECIDED, Segmentation

Colour = tuple[int, int, int]


def colours_of(categories: Sequence[str], chosen: Mapping[str, Colour] | None = None) -> np.ndarray:
    """(256, 3) uint8 colours by class index: the set's own, replaced by those chosen by name; undecided is white."""
    table = np.zeros((256, 3), np.uint8)
    if tuple(categories) == VOC_CLASSES:
        table[: len(VOC_COLOURS)] = VOC_COLOURS
    elif tuple(categories) == CAMVID_CLASSES:
        table[: len(CAMVID_COLOURS)] = CAMVID_COLOURS
    else:
        table[: len(categories)] = [PALETTE[index % len(PALETTE)] for index in range(len(categories))]
    for index, name in enumerate(categories):
        if chosen and name in chosen:
            table[index] = chosen[name]
    table[UNDECIDED] = 255
    return table


def _check(pixels: np.ndarray, height: int, width: int) -> None:
    if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be ({height}, {width}, 3) uint8, not {pixels.shape} {pixels.dtype}")


def colour_map(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: each pixel in the colour of its label; colours (256, 3) uint8."""
    return cv2.LUT(cv2.merge([labels, labels, labels]), np.ascontiguousarray(colours, np.uint8)[None])


def draw_overlay(
    pixels: np.ndarray,
    found: Segmentation,
    *,
    opacity: float = 0.55,
    outline: int = 2,
    colours: Mapping[str, Colour] | None = None,
) -> np.ndarray:
    """The picture with the shown classes in their colours and their borders drawn solid.

    Args:
        pixels: (H, W, 3) uint8 RGB of the picture's size; never written to.
        opacity: share of the colour inside, 0 to 1. outline: thickness of the borders in pixels, 0 for none.
        colours: by class name, instead of the usual ones.
    """
    _check(pixels, found.height, found.width)
    table = colours_of(found.categories, colours)
    shown = np.zeros(256, np.uint8)
    shown[sorted(found.shown)] = 255
    painted = colour_map(found.labels, table)
    inside = cv2.LUT(found.labels, shown)
    out = np.array(pixels, order="C")
    if opacity > 0:
        blended = cv2.addWeighted(pixels, 1 - opacity, painted, opacity, 0) if opacity < 1 else painted
        cv2.copyTo(blended, inside, out)
    if outline > 0:
        keep = np.zeros(256, np.uint8)
        keep[sorted(found.shown)] = np.array(sorted(found.shown), np.uint8) + 1
        regions = cv2.LUT(found.labels, keep)  # 0 where nothing is drawn
        edge, owner = _borders(regions, outline)
        ink = np.zeros((256, 3), np.uint8)
        ink[1:] = table[:-1]
        cv2.copyTo(colour_map(owner, ink), edge, out)
    return out


def _borders(regions: np.ndarray, thickness: int) -> tuple[np.ndarray, np.ndarray]:
    """Mask (0 or 255) of the pixels where regions meet, and the region each takes its colour from."""
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (thickness + 1, thickness + 1))
    high, low = cv2.dilate(regions, kernel), cv2.erode(regions, kernel)
    return cv2.compare(high, low, cv2.CMP_NE), high


@dataclass(frozen=True)
class LegendEntry:
    """One line of the legend: class, its colour as "#rrggbb" and RGB, share of the picture, whether it is drawn."""

    index: int
    name: str
    hex: str
    colour: Colour
    percent: float
    shown: bool


def legend(found: Segmentation, colours: Mapping[str, Colour] | None = None) -> tuple[LegendEntry, ...]:
    """The classes that have pixels, largest first, with the colours ``draw_overlay`` gives them."""
    table = colours_of(found.categories, colours)
    entries = []
    for area in found.areas:
        red, green, blue = (int(value) for value in table[area.index])
        text = f"#{red:02x}{green:02x}{blue:02x}"
        shown = area.index in found.shown
        entries.append(LegendEntry(area.index, area.name, text, (red, green, blue), area.percent, shown))
    return tuple(entries)


# ------------------------------------------------------------------ maps of numbers


@lru_cache(maxsize=1)
def _viridis() -> np.ndarray:
    """(256, 1, 3) uint8 RGB: dark blue over green to yellow, rising in lightness, so it reads without colour too."""
    ramp = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)
    return np.ascontiguousarray(ramp[:, :, ::-1])


def draw_values(values: np.ndarray, low: float, high: float, *, unit: str = "", bar: bool = True) -> np.ndarray:
    """A map of numbers as colours, dark for ``low`` and yellow for ``high``, with a colour bar under it.

    Args:
        values: (H, W) float32, such as confidence (0 to 1) or entropy (0 to log2 C bits).
        unit: written beside the highest number of the bar.
    Returns: (H + bar height, W, 3) uint8; (H, W, 3) without the bar.
    """
    span = max(high - low, 1e-9)
    scaled = cv2.convertScaleAbs(np.clip(values, low, high) - np.float32(low), alpha=255.0 / span)
    table = _viridis()[:, 0][None]
    picture = cv2.LUT(cv2.merge([scaled, scaled, scaled]), table)
    if not bar:
        return picture
    return np.concatenate([picture, colour_bar(picture.shape[1], low, high, unit)], axis=0)


def colour_bar(width: int, low: float, high: float, unit: str = "") -> np.ndarray:
    """A strip (h, width, 3) with the colours of ``draw_values`` and the numbers at its ends and middle."""
    height = max(14, min(36, width // 16))
    positions = np.linspace(0, 255, width).round().astype(np.uint8)
    strip = np.repeat(_viridis()[:, 0][positions][None], height, axis=0)
    strip = np.ascontiguousarray(strip)
    scale, weight = height / 44, max(1, height // 20)
    texts = (f"{low:.3g}", f"{(low + high) / 2:.3g}", f"{high:.3g} {unit}".strip())
    widths = [cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, weight)[0][0] for text in texts]
    if sum(widths) + 4 * height > width:  # the numbers would run into each other
        return strip
    places = (height // 4, (width - widths[1]) // 2, width - widths[2] - height // 4)
    for text, x in zip(texts, places):
        r, g, b = (int(value) for value in strip[0, min(max(x, 0), width - 1)])
        cv2.putText(
            strip,
            text,
            (x, round(height * 0.7)),
            cv2.FONT_HERSHEY_SIMPLEX,
            scale,
            contrasting((r, g, b)),
            weight,
            cv2.LINE_AA,
        )
    return strip


def draw_confidence(found: Segmentation, *, bar: bool = True) -> np.ndarray:
    """The winner's softmax probability at every pixel, 0 to 1."""
    return draw_values(found.confidence, 0.0, 1.0, bar=bar)


def draw_entropy(found: Segmentation, *, bar: bool = True) -> np.ndarray:
    """The entropy at every pixel in bits, 0 to log2 of the number of classes."""
    return draw_values(found.entropy, 0.0, float(np.log2(max(len(found.categories), 2))), unit="bit", bar=bar)


# ------------------------------------------------------------------ before and after


def before_after(before: np.ndarray, after: np.ndarray, position: float = 0.5, *, line: int = 2) -> np.ndarray:
    """The left part of one picture and the right part of another of the same size, with a white line between.

    position: where they meet, 0 (all after) to 1 (all before).
    """
    if before.shape != after.shape:
        raise ValueError(f"pictures of {before.shape} and {after.shape} cannot be laid over each other")
    width = before.shape[1]
    cut = round(min(max(position, 0.0), 1.0) * width)
    out = np.array(after, order="C")
    out[:, :cut] = before[:, :cut]
    if 0 < cut < width:
        out[:, max(cut - line // 2, 0) : cut + max(line - line // 2, 1)] = 255
    return out


# ------------------------------------------------------------------ objects


def draw_instances(
    pixels: np.ndarray,
    found: InstanceSegmentation,
    *,
    opacity: float = 0.5,
    outline: int = 2,
    show_labels: bool = True,
    highlight: int | None = None,
    colours: Mapping[str, Colour] | None = None,
) -> np.ndarray:
    """The picture with each object in a colour of its own (or its class's, when chosen), outlined and labelled.

    Blending stays inside each mask's box: drawing whole-picture layers would cost more than the network. Better scores
    lie on top; ``highlight`` is drawn last and stronger. pixels: (H, W, 3) uint8 RGB, never written to.
    """
    _check(pixels, found.height, found.width)
    out = np.array(pixels, order="C")
    order = sorted(range(len(found)), key=lambda row: (row == highlight, -row))
    inks = [instance_colour(row, found.names[row], colours) for row in range(len(found))]
    for row in order:
        crop = found.crops[row]
        if not crop.pixels.size:
            continue
        window = out[crop.window]
        mask = crop.pixels.astype(np.uint8)
        share = min(1.0, opacity + 0.25) if row == highlight else opacity
        tint = np.empty_like(window)
        tint[:] = inks[row]
        cv2.copyTo(cv2.addWeighted(window, 1 - share, tint, share, 0), mask, window)
        if outline > 0:
            kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (outline + 1, outline + 1))
            inner = cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1)
            cv2.copyTo(tint, cv2.subtract(mask, inner), window)
    if not show_labels or not len(found):
        return out
    texts = [f"{found.names[row]} {found.scores[row]:.2f}" for row in order]
    styles = [make_style(inks[row]) for row in order]
    return draw_boxes(out, found.boxes[order], styles, texts, line_width=1)


def instance_colour(row: int, name: str, colours: Mapping[str, Colour] | None = None) -> Colour:
    """The colour of an object: chosen for its class, or by its place in the list so that neighbours differ."""
    if colours and name in colours:
        return colours[name]
    return PALETTE[row % len(PALETTE)]
