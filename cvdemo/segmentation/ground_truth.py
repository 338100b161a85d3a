"""The true mask of a picture, from a mask file or a COCO annotation file.

A mask file (PNG and the like) is read without any of the conversions a photograph goes through. It may hold class
indices (grey), indices with a palette (PASCAL VOC's own form, and what ``export.index_png`` writes), or colours of a
known palette. 255 and the palettes' "void" colours mean "not judged".
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cvdemo.core.errors import InputError
from cvdemo.core.files import existing_file, read_bytes
from cvdemo.segmentation import rle
from cvdemo.segmentation.labels import (
    CAMVID_CLASSES,
    CAMVID_COLOURS,
    COCO_NAMES,
    IGNORE,
    VOC_CLASSES,
    VOC_COLOURS,
)

MAX_PIXELS = rle.MAX_PIXELS
FORMATS = ("PNG", "BMP", "GIF", "TIFF")  # lossless ones: JPEG would invent classes at every edge

_VOID = -1
# CamVid's colours (Brostow et al. 2009) in the order of CAMVID_CLASSES; void is black.
_CAMVID_ORIGINAL = (
    (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (0, 0, 192), (128, 128, 0),
    (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
)  # fmt: skip
# The colours of the other CamVid classes, by the class of the eleven that counts them: the grouping of SegNet.
_CAMVID_GROUPED = {
    "building": ((192, 0, 128), (0, 128, 64), (64, 0, 64), (64, 192, 0)),  # archway, bridge, tunnel, wall
    "pole": ((0, 0, 64),),  # traffic cone
    "road": ((128, 0, 192), (192, 0, 64)),  # lane markings, driving and other
    "pavement": ((64, 192, 128), (128, 128, 192)),  # parking block, road shoulder
    "tree": ((192, 192, 0),),  # other vegetation
    "sign": ((128, 128, 64), (0, 64, 64)),  # other text, traffic light
    "car": ((64, 128, 192), (192, 128, 192), (192, 64, 128), (128, 64, 64)),  # pick-up, lorry or bus, train, other
    "pedestrian": ((192, 128, 64), (64, 0, 192), (64, 128, 64)),  # child, pram, animal
    "cyclist": ((192, 0, 192),),  # motorcycle
}
_SEGNET_PAVEMENT = (60, 40, 222)  # SegNet's copy of CamVid colours this one class differently


def voc_palette(count: int = 256) -> np.ndarray:
    """(count, 3) uint8: PASCAL VOC's colours, index i spread bit by bit over red, green and blue, high bits first."""
    index = np.arange(count)
    colours = np.zeros((count, 3), np.uint8)
    for place in range(8):
        for channel in range(3):
            bit = (index >> (3 * place + channel)) & 1
            colours[:, channel] |= (bit << (7 - place)).astype(np.uint8)
    return colours


def known_palettes(categories: Sequence[str]) -> tuple[dict[tuple[int, int, int], int], ...]:
    """{colour: class index, or -1 for void} for each palette that masks of these classes come in."""
    if tuple(categories) == VOC_CLASSES:
        original = _numbered(voc_palette(len(VOC_CLASSES)))
        return {**original, (224, 224, 192): _VOID}, _numbered(VOC_COLOURS)
    if tuple(categories) == CAMVID_CLASSES:
        original = _numbered(np.array(_CAMVID_ORIGINAL, np.uint8))
        for name, colours in _CAMVID_GROUPED.items():
            original |= dict.fromkeys(colours, CAMVID_CLASSES.index(name))
        return {**original, _SEGNET_PAVEMENT: CAMVID_CLASSES.index("pavement"), (0, 0, 0): _VOID}, {
            **_numbered(CAMVID_COLOURS),
            (0, 0, 0): _VOID,
        }
    return ()


def _numbered(colours: np.ndarray) -> dict[tuple[int, int, int], int]:
    return {(int(r), int(g), int(b)): index for index, (r, g, b) in enumerate(colours)}


def read_truth(
    source: str | os.PathLike[str],
    categories: Sequence[str],
    height: int,
    width: int,
    *,
    picture_name: str = "",
) -> np.ndarray:
    """The true index map (H, W) uint8 of a picture, 255 where it is not judged, from a mask file or COCO json.

    Args:
        categories: the classes the indices count; those of the model that is judged.
        height, width: of the picture, which the mask must have.
        picture_name: which picture of a COCO file is meant; not needed where the file holds only one.
    Errors: InputError for another size, unknown colours or indices, several pictures in one file, a lossy or
    unreadable file, and for a COCO file without this picture or without outlines.
    """
    path = existing_file(source)
    if path.suffix.lower() == ".json":
        return truth_from_coco(read_coco(path), categories, height, width, picture_name=picture_name, source=path.name)
    return truth_from_mask(read_bytes(path), categories, height, width, name=path.name)


def truth_from_mask(
    data: bytes, categories: Sequence[str], height: int, width: int, *, name: str = "the mask"
) -> np.ndarray:
    """The index map of a mask file's bytes; result and errors as in ``read_truth``."""
    image = _open(data, name)
    if image.size != (width, height):
        raise InputError(
            f"{name} is {image.size[0]} x {image.size[1]} pixels, the picture {width} x {height}.",
            hint="Give the mask that was drawn on this picture, unscaled.",
        )
    if image.mode in ("L", "1", "I;16", "I"):
        values = np.asarray(image).astype(np.int64)
        return _checked(values, categories, name)
    if image.mode == "P":
        return _from_palette(image, categories, name)
    if image.mode not in ("RGB", "RGBA"):
        raise InputError(f"{name} stores its colours as {image.mode}.", hint="Save the mask as an RGB or grey PNG.")
    return _from_colours(np.asarray(image.convert("RGB")), categories, name)


def _open(data: bytes, name: str) -> Image.Image:
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InputError(f"{name} has {image.width} x {image.height} pixels.", hint="Use a smaller picture.")
            frames = int(getattr(image, "n_frames", 1))
            if frames > 1:
                raise InputError(
                    f"{name} holds {frames} pictures.",
                    hint="Give one mask, saved as a single PNG.",
                )
            image.load()
            return image
    except InputError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever a broken byte led to
        raise InputError(
            f"{name} is not a mask that can be read.", hint="Use a PNG; JPEG blurs the class indices."
        ) from error


def _checked(values: np.ndarray, categories: Sequence[str], name: str) -> np.ndarray:
    unknown = np.setdiff1d(values, [*range(len(categories)), IGNORE])
    if len(unknown):
        share = 100 * float(np.isin(values, unknown).mean())
        raise InputError(
            f"{name} holds {_listed(unknown.tolist())}, which are not classes ({share:.1f} % of its pixels).",
            hint=f"Grey values must be class indices, 0 to {len(categories) - 1}, or 255 for pixels not to count.",
        )
    return values.astype(np.uint8)


def _from_palette(image: Image.Image, categories: Sequence[str], name: str) -> np.ndarray:
    values = np.asarray(image)
    used = np.unique(values)
    palette = np.zeros((256, 3), np.uint8)
    given = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)[:256]
    palette[: len(given)] = given
    # Drawing programs renumber palettes. Where all colours are known they say more than the indices.
    for known in known_palettes(categories):
        found = [known.get(tuple(colour)) for colour in palette[used].tolist()]
        if all(index is not None or number == IGNORE for index, number in zip(found, used.tolist())):
            table = np.full(256, IGNORE, np.uint8)
            for number, index in zip(used.tolist(), found):
                if index is not None and index != _VOID and number != IGNORE:
                    table[number] = index
            return table[values]
    return _checked(values.astype(np.int64), categories, name)


def _from_colours(pixels: np.ndarray, categories: Sequence[str], name: str) -> np.ndarray:
    codes = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    used, where, counts = np.unique(codes, return_inverse=True, return_counts=True)
    colours = [(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in used]
    palettes = known_palettes(categories)
    for known in palettes:
        if all(colour in known for colour in colours):
            table = np.array([known[colour] if known[colour] != _VOID else IGNORE for colour in colours], np.uint8)
            return table[where].reshape(codes.shape)
    if all(red == green == blue for red, green, blue in colours):  # a grey mask that was saved with three channels
        return _checked(pixels[:, :, 0].astype(np.int64), categories, name)
    nearest = max(palettes, key=lambda known: sum(colour in known for colour in colours), default={})
    foreign = [(count, colour) for count, colour in zip(counts.tolist(), colours) if colour not in nearest]
    listed = _listed([f"rgb{colour}" for _, colour in sorted(foreign, reverse=True)])
    share = 100 * sum(count for count, _ in foreign) / codes.size
    raise InputError(
        f"{name} has colours that stand for no class: {listed} ({share:.1f} % of its pixels).",
        hint="Save class indices as grey values, or use the palette of PASCAL VOC or CamVid, without smoothing.",
    )


def _listed(values: Sequence[Any], most: int = 4) -> str:
    shown = ", ".join(str(value) for value in values[:most])
    return shown + (f" and {len(values) - most} more" if len(values) > most else "")


# ------------------------------------------------------------------ COCO


def read_coco(path: Path) -> dict[str, Any]:
    """The content of a COCO annotation file; InputError where its three lists are missing."""
    try:
        content = json.loads(read_bytes(path).decode("utf-8"))
    except ValueError as error:
        raise InputError(f"{path.name} is not valid JSON.", hint="Check that it is the right file.") from error
    lists = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in lists):
        raise InputError(
            f"{path.name} is not a COCO annotation file.",
            hint='It needs lists called "images", "annotations" and "categories".',
        )
    return content


def truth_from_coco(
    content: Mapping[str, Any],
    categories: Sequence[str],
    height: int,
    width: int,
    *,
    picture_name: str = "",
    source: str = "the annotations",
) -> np.ndarray:
    """The index map painted from one picture's outlines in a COCO file; result and errors as in ``read_truth``."""
    record = _record(content, picture_name, source)
    if (record.get("width", width), record.get("height", height)) != (width, height):
        raise InputError(
            f"{source} describes a picture of {record.get('width')} x {record.get('height')} pixels, this one has "
            f"{width} x {height}.",
            hint="Outlines only fit the picture they were drawn on; use the original.",
        )
    rows = [row for row in content["annotations"] if row.get("image_id") == record.get("id")]
    names = {row["id"]: str(row["name"]) for row in content["categories"] if "id" in row and "name" in row}
    return paint(rows, names, categories, height, width)


def _record(content: Mapping[str, Any], name: str, source: str) -> Mapping[str, Any]:
    records: list[Mapping[str, Any]] = content["images"]
    if len(records) == 1:
        return records[0]
    named = [row for row in records if name and Path(str(row.get("file_name", ""))).name == Path(name).name]
    if len(named) == 1:
        return named[0]
    raise InputError(
        f"{source} describes {len(records)} pictures, and {'none' if not named else 'several'} called {name or '-'}.",
        hint="Keep the picture's file name, or give a file with this one picture.",
    )


def paint(
    rows: Sequence[Mapping[str, Any]],
    names: Mapping[Any, str],
    categories: Sequence[str],
    height: int,
    width: int,
) -> np.ndarray:
    """The index map (H, W) uint8 of one picture's COCO annotations.

    Smaller objects lie on top of larger ones. Objects of categories the model does not know are background. Where a
    known object is a crowd, or has a box but no outline, its region is 255 unless an outlined object covers it: what
    is there is not known pixel by pixel. Without a background class, all that is not covered is 255.
    """
    own = {COCO_NAMES.get(name, name): index for index, name in enumerate(categories)}
    own |= {name: index for index, name in enumerate(categories)}
    start = categories.index("background") if "background" in categories else IGNORE
    out = np.full((height, width), start, np.uint8)
    outlined: list[tuple[int, np.ndarray, int]] = []
    for row in rows:
        index = own.get(names.get(row.get("category_id"), ""))
        if index is None:
            continue
        if row.get("segmentation"):
            mask = rle.mask_of(row["segmentation"], height, width)
            if row.get("iscrowd"):
                out[mask] = IGNORE
            else:
                outlined.append((int(np.count_nonzero(mask)), mask, index))
        elif row.get("bbox"):
            out[box_mask(row["bbox"], height, width)] = IGNORE
    for _, mask, index in sorted(outlined, key=lambda item: -item[0]):
        out[mask] = index
    return out


def box_mask(box: Sequence[float], height: int, width: int) -> np.ndarray:
    """The (H, W) bool mask of a box x y width height; every pixel it touches belongs to it."""
    try:
        x, y, wide, high = (float(value) for value in box)
        limits = [x, y, x + wide, y + high]
        if not np.isfinite(limits).all():
            raise ValueError("not finite")
    except (TypeError, ValueError) as error:
        raise InputError(f"{box!r} is not a box.", hint="It needs x, y, width and height.") from error
    mask = np.zeros((height, width), bool)
    left, top = max(int(np.floor(x)), 0), max(int(np.floor(y)), 0)
    mask[top : max(int(np.ceil(limits[3])), 0), left : max(int(np.ceil(limits[2])), 0)] = True
    return mask
