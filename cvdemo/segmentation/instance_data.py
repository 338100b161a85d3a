"""Pictures with objects and their masks, for training the compact instance model: three kinds of labels, one cache.

``polygons``: objects that people outlined (COCO json). ``clothing``, ``horses``: pictures of one figure, with its
exact mask.
``pseudo``: objects that people boxed, of a class that a teacher labels pixel by pixel, where no other box of the class
interferes: inside the box, the teacher's pixels of the class are the object.

A mask is kept cut to its box; outside of it nothing belongs to the object. Values are 0, 1 and 255 for "not known".
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2
from cvdemo.detection.labels import INDEX_OF_ID, NAME_OF_ID
from cvdemo.segmentation import rle
from cvdemo.segmentation.exact_labels import clothing_mask, horse_mask
from cvdemo.segmentation.labels import COCO_NAMES, IGNORE, VOC_CLASSES

SMALLEST_SIDE = 16.0  # pixels of the cached picture
# What makes a teacher's pixels in a box one object's mask:
CROWDED = 0.25  # at most this share of the box lies in any one other box of the class
UNSURE = 0.3  # at most this share of the box is unknown
FILLED = (0.15, 0.97)  # the mask covers this share of the box …
REACH = 0.12  # … and comes this close to each of its sides, as a share of the side

_VOC_INDEX = {COCO_NAMES.get(name, name): index for index, name in enumerate(VOC_CLASSES)}
_PERSON, _HORSE = INDEX_OF_ID[1], INDEX_OF_ID[19]


@dataclass(frozen=True, eq=False)
class Object:
    """box (4,) xyxy in the picture's pixels, category 0..79, mask (h, w) uint8 from column ``x``, row ``y``."""

    box: np.ndarray
    category: int
    x: int
    y: int
    mask: np.ndarray


@dataclass(frozen=True, eq=False)
class Example:
    """pixels (H, W, 3) uint8 RGB; the objects whose masks are known, one or more, and whether people drew those; drawn
    how often."""

    pixels: np.ndarray
    objects: tuple[Object, ...]
    exact: bool = True
    weight: float = 1.0


LabelFn = Callable[[int, int], list[Object]]
"""From the (height, width) the picture is kept at to its objects."""


@dataclass(frozen=True)
class Source:
    """Where examples come from.

    kind: "polygons", "pseudo", "clothing" or "horses".   pictures: their folder.   ids: those to use, None for all.
    labels: a COCO json for the first two kinds, the folder of exact masks for the others.
    teacher: folder of index PNGs (pseudo).
    """

    kind: str
    labels: Path
    pictures: Path
    teacher: Path | None = None
    ids: frozenset[str] | None = None


# ------------------------------------------------------------------ masks


def shrunk(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A bool mask at another size: set where at least half of the area is."""
    if mask.shape == (height, width):
        return mask.astype(np.uint8)
    small = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return (small >= 0.5).astype(np.uint8)


def cut(mask: np.ndarray, category: int, box: np.ndarray | None = None) -> Object | None:
    """The object of a picture-sized mask (H, W) of 0, 1, 255, cut to ``box`` (the mask's own bounds when None).

    None where the box is too small to learn from.
    """
    if box is None:
        rows, columns = np.flatnonzero((mask == 1).any(1)), np.flatnonzero((mask == 1).any(0))
        if not len(rows):
            return None
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    if (box[2:] - box[:2]).min() < SMALLEST_SIDE:
        return None
    left, top = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
    right, bottom = int(np.ceil(box[2])), int(np.ceil(box[3]))
    return Object(box.astype(np.float32), category, left, top, np.ascontiguousarray(mask[top:bottom, left:right]))


def from_teacher(labels: np.ndarray, box: np.ndarray, others: np.ndarray, voc_class: int) -> np.ndarray | None:
    """The mask of a boxed object in a teacher's label map, or None where it is not clear that it is one object.

    labels (H, W) of VOC indices and 255; box (4,) xyxy; others (N, 4), the other boxes of the class in the picture.
    Pixels that lie in one of those too are unknown. Outside of the box everything is 0.
    """
    height, width = labels.shape
    x1, y1, x2, y2 = np.clip(np.round(box), 0, [width, height] * 2).astype(int)
    if x2 <= x1 or y2 <= y1:
        return None
    inside = labels[y1:y2, x1:x2]
    cropped = np.where(inside == voc_class, 1, np.where(inside == IGNORE, IGNORE, 0)).astype(np.uint8)
    area = float(cropped.size)
    for other in others:
        left, top, right, bottom = np.clip(np.round(other - [x1, y1, x1, y1]), 0, [x2 - x1, y2 - y1] * 2).astype(int)
        part = cropped[top:bottom, left:right]
        if part.size > CROWDED * area:
            return None
        part[part == 1] = IGNORE
    own = cropped == 1
    if not FILLED[0] <= own.mean() <= FILLED[1] or (cropped == IGNORE).mean() > UNSURE:
        return None
    rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
    slack = [columns[0] / (x2 - x1), 1 - (columns[-1] + 1) / (x2 - x1)]
    slack += [rows[0] / (y2 - y1), 1 - (rows[-1] + 1) / (y2 - y1)]
    if max(slack) > REACH:
        return None
    mask = np.zeros((height, width), np.uint8)
    mask[y1:y2, x1:x2] = cropped
    return mask


# ------------------------------------------------------------------ sources


def labelled(source: Source) -> Iterator[tuple[Path, LabelFn]]:
    """Every picture of a source that may have objects, with the function that finds them."""
    if source.kind in ("clothing", "horses"):
        yield from _figures(source)
        return
    data = json.loads(source.labels.read_text())
    rows: dict[Any, list[dict]] = {image["id"]: [] for image in data["images"]}
    for row in data["annotations"]:
        if row["image_id"] in rows and row["category_id"] in INDEX_OF_ID:
            rows[row["image_id"]].append(row)
    make = _polygons if source.kind == "polygons" else _pseudo
    for image in data["images"]:
        if source.ids is None or str(image["id"]) in source.ids:
            found = make(source, image, rows[image["id"]])
            if found is not None:
                yield source.pictures / image["file_name"], found


def _polygons(source: Source, image: dict[str, Any], rows: list[dict]) -> LabelFn | None:
    drawn = [row for row in rows if row.get("segmentation") and not row.get("iscrowd")]

    def label(height: int, width: int) -> list[Object]:
        found = []
        for row in drawn:
            mask = rle.mask_of(row["segmentation"], image["height"], image["width"])
            found.append(cut(shrunk(mask, height, width), INDEX_OF_ID[row["category_id"]]))
        return [item for item in found if item is not None]

    return label if drawn else None


def _pseudo(source: Source, image: dict[str, Any], rows: list[dict]) -> LabelFn | None:
    path = ((source.teacher or Path()) / image["file_name"]).with_suffix(".png")
    boxed = [row for row in rows if NAME_OF_ID[row["category_id"]] in _VOC_INDEX]
    if not boxed or not path.is_file():
        return None

    def label(height: int, width: int) -> list[Object]:
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if labels is None:
            return []
        labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        scale = np.array([width / image["width"], height / image["height"]] * 2, np.float32)
        boxes = np.array([row["bbox"] for row in boxed], np.float32)
        boxes[:, 2:] += boxes[:, :2]
        boxes *= scale
        numbers = np.array([row["category_id"] for row in boxed])
        found = []
        for index, row in enumerate(boxed):
            if row.get("iscrowd") or row.get("segmentation"):  # outlined ones are the other source's
                continue
            rivals = (numbers == numbers[index]) & (np.arange(len(boxed)) != index)
            mask = from_teacher(labels, boxes[index], boxes[rivals], _VOC_INDEX[NAME_OF_ID[row["category_id"]]])
            if mask is not None:
                found.append(cut(mask, INDEX_OF_ID[row["category_id"]], boxes[index]))
        return [item for item in found if item is not None]

    return label


def _figures(source: Source) -> Iterator[tuple[Path, LabelFn]]:
    read, suffix, category = (
        (clothing_mask, ".mat", _PERSON) if source.kind == "clothing" else (horse_mask, ".jpg", _HORSE)
    )
    for path in sorted(source.pictures.glob("*.jpg")):
        exact = source.labels / f"{path.stem}{suffix}"
        if (source.ids is None or path.stem in source.ids) and exact.is_file():

            def label(height: int, width: int, exact: Path = exact) -> list[Object]:
                found = cut(shrunk(read(exact), height, width), category)
                return [] if found is None else [found]

            yield path, label


# ------------------------------------------------------------------ cache


def load_source(cache: Path, source: Source, side: int) -> list[Example]:
    """The examples of one source, longest side at most ``side``, packed into a memory-mapped file under ``cache``.

    Raises InputError when there is not one.
    """
    stamp = source.labels.stat().st_mtime_ns
    rules = (SMALLEST_SIDE, CROWDED, UNSURE, FILLED, REACH)
    named = (source.kind, source.labels.resolve(), stamp, source.pictures, source.teacher, sorted(source.ids or ()))
    key = hashlib.sha256(f"{named}|{side}|{rules}".encode()).hexdigest()[:16]
    target = cache / f"instances-{source.kind}-{key}.bin"
    index = target.with_suffix(".json")
    if not index.exists():
        cache.mkdir(parents=True, exist_ok=True)
        entries = _pack(target, source, side)
        if not entries:  # most likely the wrong folder: remembering it would outlast the mistake
            target.unlink()
            raise InputError(
                f"No picture with a usable mask was found for {source.labels.name}.",
                hint=f"Pictures are looked for under {source.pictures}.",
            )
        index.write_text(json.dumps(entries))
    packed = np.memmap(target, np.uint8, "r")
    examples, start = [], 0

    def take(*shape: int) -> np.ndarray:
        nonlocal start
        size = int(np.prod(shape))
        start += size
        return packed[start - size : start].reshape(shape)

    for entry in json.loads(index.read_text()):
        pixels = take(*entry["shape"], 3)
        objects = tuple(
            Object(np.array(o["box"], np.float32), o["category"], o["x"], o["y"], take(*o["shape"]))
            for o in entry["objects"]
        )
        examples.append(Example(pixels, objects, source.kind != "pseudo"))
    return examples


def _pack(target: Path, source: Source, side: int) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    with target.open("wb") as out:
        for done, (path, label) in enumerate(labelled(source), 1):
            pixels = cv2.imread(str(path))
            if pixels is None:
                continue
            scale = min(1.0, side / max(pixels.shape[:2]))
            height, width = (max(1, round(length * scale)) for length in pixels.shape[:2])
            objects = label(height, width)
            if not objects:
                continue
            pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
            out.write(np.ascontiguousarray(pixels[:, :, ::-1]).tobytes())
            for item in objects:
                out.write(item.mask.tobytes())
            facts = [
                {"box": o.box.tolist(), "category": o.category, "x": o.x, "y": o.y, "shape": list(o.mask.shape)}
                for o in objects
            ]
            entries.append({"shape": [height, width], "objects": facts})
            if done % 200 == 0:
                print(f"\r{source.kind}: {len(entries)} of {done} pictures", end="", file=sys.stderr, flush=True)
    return entries


def weighted(groups: Sequence[tuple[float, Sequence[Example]]]) -> list[Example]:
    """One list in which each group (share, examples) is drawn as often as its share says."""
    whole = sum(share for share, examples in groups if examples)
    return [
        replace(example, weight=share / whole / len(examples)) for share, examples in groups for example in examples
    ]
