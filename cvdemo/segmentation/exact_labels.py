"""Correct the teacher's label maps with what people drew: exact masks, polygons and boxes.

``python -m cvdemo.segmentation.exact_labels clothing --teacher LABELS --masks MATS --ids SPLIT.json#KEY --out LABELS``
``python -m cvdemo.segmentation.exact_labels horses --teacher LABELS --masks JPEGS --ids SPLIT.json#KEY --out LABELS``
``python -m cvdemo.segmentation.exact_labels coco --teacher LABELS --annotations COCO.json --ids … --out LABELS``

Each reads index PNGs written by ``cvdemo.segmentation.pseudo_label`` and writes corrected ones. What people drew wins;
where they contradict the teacher without saying what is there instead, the pixel becomes 255 ("ignore").
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.detection.labels import NAME_OF_ID
from cvdemo.segmentation.labels import COCO_NAMES, HORSE, IGNORE, PERSON, VOC_CLASSES

NEAR = 13  # pixels: what the teacher says about an object this close to its exact outline is the object's blurred edge
BOX_MARGIN = 0.06  # how far an object may reach out of its box, as a share of the box
MISSED_SIDE = 12  # pixels: an object smaller than this may be missing from the teacher's map without being ignored


def with_object_mask(teacher: np.ndarray, mask: np.ndarray, label: int) -> np.ndarray:
    """The teacher's map (H, W) with one object's exact mask (H, W) bool painted in.

    Outside the mask the object's class (and doubt about it) near the outline becomes background; farther away another
    object of the class may well be, which nobody drew: ignored.
    """
    result = teacher.copy()
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * NEAR + 1, 2 * NEAR + 1))
    near = cv2.dilate(mask.astype(np.uint8), kernel) > 0
    doubtful = (teacher == label) | (teacher == IGNORE)
    result[(teacher == label) & ~near] = IGNORE
    result[doubtful & near] = 0
    result[mask] = label
    return result


def with_boxes(
    teacher: np.ndarray, boxes: np.ndarray, labels: np.ndarray, polygons: Sequence[Sequence[np.ndarray]]
) -> np.ndarray:
    """The teacher's map (H, W) checked against all objects people boxed in the picture.

    boxes (N, 4) xyxy in the map's pixels, labels (N,) VOC indices; polygons[n]: outlines (P, 2) of object n, maybe
    none. Pixels of a class outside every box of the class are ignored, and so is a box in which the teacher saw
    nothing of the class. Inside an outline the object's class wins; the rest of an outlined box is left to the teacher.
    """
    height, width = teacher.shape
    result = teacher.copy()
    allowed = np.zeros((len(VOC_CLASSES), height, width), bool)
    allowed[0] = True
    windows = []
    for (x1, y1, x2, y2), label in zip(boxes, labels):
        margin_x, margin_y = BOX_MARGIN * (x2 - x1) + 1, BOX_MARGIN * (y2 - y1) + 1
        left, top = max(0, int(x1 - margin_x)), max(0, int(y1 - margin_y))
        window = np.s_[top : int(np.ceil(y2 + margin_y)), left : int(np.ceil(x2 + margin_x))]
        allowed[label][window] = True
        windows.append(window)
    known = teacher != IGNORE
    rows, columns = np.nonzero(known)
    said = teacher[known]
    false = ~allowed[said, rows, columns]
    result[rows[false], columns[false]] = IGNORE
    for (x1, y1, x2, y2), label, window in zip(boxes, labels, windows):
        missed = not (teacher[window] == label).any()
        if missed and min(x2 - x1, y2 - y1) >= MISSED_SIDE:
            inside = result[window]  # another class's pixels in the box stay what they are
            inside[inside == 0] = IGNORE
    for outlines, label in zip(polygons, labels):
        if outlines:
            drawn = np.zeros((height, width), np.uint8)
            cv2.fillPoly(drawn, [np.round(outline).astype(np.int32) for outline in outlines], 1)
            result[drawn > 0] = label
    return result


def _resized(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return cv2.resize(mask.astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_AREA) > 0.5


def clothing_mask(path: Path) -> np.ndarray:
    """(H, W) bool: the person (clothes, skin, hair and what is carried) of a clothing_ccp annotation (.mat)."""
    import scipy.io

    return scipy.io.loadmat(path)["groundtruth"] > 0


def horse_mask(path: Path) -> np.ndarray:
    """(H, W) bool: the horse of a weizmann_horse annotation, a grey JPEG with compression noise."""
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise OSError(f"{path} is not a picture")
    return picture > 127


def coco_objects(annotations: Path) -> dict[str, list[tuple[np.ndarray, int, list[np.ndarray]]]]:
    """File name -> [(box xyxy, VOC label, outlines)], everything as fractions of the picture's width and height."""
    data = json.loads(annotations.read_text())
    voc_of_name = {COCO_NAMES.get(name, name): index for index, name in enumerate(VOC_CLASSES)}
    # By the official numbers: the names in annotation files vary ("tv", "tvmonitor", "television").
    label_of = {number: voc_of_name[name] for number, name in NAME_OF_ID.items() if name in voc_of_name}
    pictures = {image["id"]: image for image in data["images"]}
    objects: dict[str, list] = {image["file_name"]: [] for image in data["images"]}
    for entry in data["annotations"]:
        if entry["category_id"] not in label_of:
            continue
        image = pictures[entry["image_id"]]
        size = np.array([image["width"], image["height"]], np.float64)
        x, y, w, h = entry["bbox"]
        box = np.array([x, y, x + w, y + h]) / np.tile(size, 2)
        outlines = entry.get("segmentation")
        drawn = [np.reshape(part, (-1, 2)) / size for part in outlines] if isinstance(outlines, list) else []
        objects[image["file_name"]].append((box, label_of[entry["category_id"]], drawn))
    return objects


def _correct_coco(teacher: np.ndarray, objects: list[tuple[np.ndarray, int, list[np.ndarray]]]) -> np.ndarray:
    size = np.array([teacher.shape[1], teacher.shape[0]], np.float64)
    boxes = np.array([box for box, _, _ in objects]).reshape(-1, 4) * np.tile(size, 2)
    labels = np.array([label for _, label, _ in objects], np.int64)
    return with_boxes(teacher, boxes, labels, [[part * size for part in parts] for _, _, parts in objects])


def parse_ids(text: str) -> list:
    """``FILE.json#KEY`` -> the list under KEY."""
    file, _, key = text.partition("#")
    listed = json.loads(Path(file).read_text())
    return listed[key] if key else listed


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options and correct every label map that the ids name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("clothing", "horses", "coco"))
    parser.add_argument("--teacher", type=Path, required=True, help="folder of the teacher's index PNGs")
    parser.add_argument("--masks", type=Path, help="folder of the exact masks (clothing, horses)")
    parser.add_argument("--annotations", type=Path, help="COCO json (coco)")
    parser.add_argument("--ids", type=parse_ids, required=True, help="SPLIT.json#KEY: stems, or image ids for coco")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    if (args.annotations if args.kind == "coco" else args.masks) is None:
        parser.error("coco needs --annotations, clothing and horses need --masks")
    wanted = {str(number) for number in args.ids}
    objects: dict[str, list] = {}
    if args.kind == "coco":
        named = coco_objects(args.annotations)
        images = json.loads(args.annotations.read_text())["images"]
        objects = {
            str(Path(image["file_name"]).with_suffix("")): named[image["file_name"]]
            for image in images
            if str(image["id"]) in wanted
        }
    written = 0
    for path in sorted(args.teacher.rglob("*.png")):
        relative = path.relative_to(args.teacher)
        stem = str(relative.with_suffix(""))
        if (stem not in objects) if args.kind == "coco" else (path.stem not in wanted):
            continue
        teacher = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if teacher is None:
            print(f"{path} is unreadable", file=sys.stderr)
            continue
        if args.kind == "coco":
            corrected = _correct_coco(teacher, objects[stem])
        elif args.kind == "clothing":
            mask = _resized(clothing_mask(args.masks / f"{path.stem}.mat"), teacher.shape)
            corrected = with_object_mask(teacher, mask, PERSON)
        else:
            mask = _resized(horse_mask(args.masks / f"{path.stem}.jpg"), teacher.shape)
            corrected = with_object_mask(teacher, mask, HORSE)
        target = args.out / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), corrected)
        written += 1
    print(f"{args.out}: {written} corrected label maps", file=sys.stderr)


if __name__ == "__main__":
    main()
