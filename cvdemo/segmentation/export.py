"""Results to take away: index masks, cut-outs, JSON in COCO's layout, and areas as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from cvdemo.core.lazy import cv2
from cvdemo.core.media import encode_picture
from cvdemo.detection.labels import COCO_CATEGORIES
from cvdemo.segmentation import rle
from cvdemo.segmentation.background import cut_out
from cvdemo.segmentation.draw import Colour, colours_of
from cvdemo.segmentation.instances import InstanceSegmentation
from cvdemo.segmentation.result import BACKGROUND, Segmentation

_COCO_ID = {category.name: category.id for category in COCO_CATEGORIES}
AREA_COLUMNS = ("image", "label", "pixels", "percent")
INSTANCE_COLUMNS = ("image", "label", "score", "x1", "y1", "x2", "y2", "pixels", "percent")


def index_png(labels: np.ndarray, categories: Sequence[str], colours: Mapping[str, Colour] | None = None) -> bytes:
    """A PNG whose values are class indices (255 undecided), with a palette so that viewers show colours.

    labels: (H, W) uint8. ``ground_truth.read_truth`` and every tool for PASCAL VOC masks read it back.
    """
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise ValueError(f"labels must be (H, W) uint8, not {labels.shape} {labels.dtype}")
    image = Image.fromarray(np.ascontiguousarray(labels))
    image.putpalette(colours_of(categories, colours).ravel().tolist())
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def cut_out_png(pixels: np.ndarray, found: Segmentation | InstanceSegmentation) -> bytes:
    """A PNG of what is shown, with soft transparency around it."""
    return encode_picture(cut_out(pixels, found.foreground()))


def to_csv(found: Segmentation | InstanceSegmentation, name: str = "", *, header: bool = True) -> str:
    """One line per class with its area (semantic), or one per object with score, box and area."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    total = found.height * found.width
    if isinstance(found, Segmentation):
        if header:
            writer.writerow(AREA_COLUMNS)
        writer.writerows((name, area.name, area.pixels, f"{area.percent:.3f}") for area in found.areas)
        return text.getvalue()
    if header:
        writer.writerow(INSTANCE_COLUMNS)
    for label, score, box, crop in zip(found.names, found.scores, found.boxes, found.crops):
        corners = [f"{float(value):.1f}" for value in box]
        writer.writerow((name, label, f"{float(score):.4f}", *corners, crop.area, f"{100 * crop.area / total:.3f}"))
    return text.getvalue()


def polygons_of(mask: np.ndarray, *, tolerance: float = 0.0, offset: tuple[int, int] = (0, 0)) -> list[list[float]]:
    """Outer outlines of a (H, W) bool mask as COCO polygons [x1, y1, x2, y2, ...]; holes are not kept.

    tolerance: how many pixels a simplified outline may be off; 0 keeps every corner. offset: added to x and y.
    """
    # One pixel of rim closes outlines at the picture's edge, and every pixel is doubled, so that the outline runs
    # around the pixels instead of through their centres.
    grid = np.kron(mask.astype(np.uint8), np.ones((2, 2), np.uint8))
    outlines, _ = cv2.findContours(np.pad(grid, 1), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    found = []
    for outline in outlines:
        points = outline[:, 0].astype(np.float64) - 1  # in half pixels: 0 and 1 belong to the first pixel
        corners = (points + points % 2) / 2
        corners = corners[np.any(corners != np.roll(corners, 1, axis=0), axis=1)]
        if len(corners) < 3:
            continue
        if tolerance > 0:
            corners = cv2.approxPolyDP(corners.astype(np.float32)[:, None], tolerance, True)[:, 0].astype(np.float64)
        else:
            before, after = np.roll(corners, 1, axis=0) - corners, np.roll(corners, -1, axis=0) - corners
            corners = corners[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
        if len(corners) >= 3:
            found.append((corners + np.array(offset)).round(2).ravel().tolist())
    return found


def coco_document(
    results: Sequence[tuple[str, Segmentation | InstanceSegmentation]], *, polygons: bool = False
) -> dict[str, Any]:
    """Results of named pictures as one COCO annotation file.

    A semantic result has one annotation for each class of a picture, an instance one for each object with its score.
    Masks are compressed run lengths, exact; with ``polygons`` outer outlines instead, which editors can change (an
    outline that goes around a hole fills it). Category ids are COCO's for instances and index + 1 otherwise, so that 0
    stays free for the background.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: dict[int, str] = {}
    for number, (name, found) in enumerate(results, 1):
        images.append({"id": number, "file_name": name, "width": found.width, "height": found.height})
        for label, score, runs in _parts(found):
            semantic = isinstance(found, Segmentation)
            id_ = found.categories.index(label) + 1 if semantic else _COCO_ID.get(label, 0)
            id_ = id_ or found.categories.index(label) + 1
            categories.setdefault(id_, label)
            mask = rle.decode(runs, found.height, found.width)
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            top, left = int(rows[0]), int(columns[0])
            cut = mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
            text = {"size": [found.height, found.width], "counts": rle.to_text(runs)}
            annotations.append({
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": id_,
                "bbox": [left, top, cut.shape[1], cut.shape[0]],
                "area": int(np.count_nonzero(cut)),
                "iscrowd": 0,
                "segmentation": polygons_of(cut, offset=(left, top)) if polygons else text,
                **({} if score is None else {"score": round(score, 5)}),
            })  # fmt: skip
    named = [{"id": id_, "name": name} for id_, name in sorted(categories.items())]
    return {"images": images, "annotations": annotations, "categories": named}


def _parts(found: Segmentation | InstanceSegmentation) -> list[tuple[str, float | None, list[int]]]:
    """(label, score, run lengths) of every mask with pixels: classes without the background, or objects."""
    if isinstance(found, Segmentation):
        areas = [area for area in found.areas if area.name != BACKGROUND]
        return [(area.name, None, rle.encode(found.labels == area.index)) for area in areas]
    return [
        (name, float(score), found.run_lengths(row))
        for row, (name, score) in enumerate(zip(found.names, found.scores))
        if found.crops[row].area
    ]
