"""Label the joints of people with a published network, so that the compact pose models can learn from its outputs.

``python -m cvdemo.pose.pseudo_label --teacher movenet.tflite --source BOXES.json:PICTURES[:IDS.json#KEY] --out O.json``

The teacher is MoveNet SinglePose Lightning (Google 2021, a CenterNet after Zhou et al. 2019, arXiv:1904.07850) as a
TFLite file. It sees each person's box, enlarged 1.25 times and made square, twice: as it is and mirrored. The mean of
the two is the label; where they disagree, the score says so. The result is a COCO keypoints json with ``score`` beside
each box and ``keypoint_scores`` beside the joints. Only outputs are used; the teacher's weights are not shipped.

Needs ``ai-edge-litert`` (in requirements-dev.txt); nothing of the app imports this module.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.pose.crops import crops_of, regions_of, to_picture
from cvdemo.pose.skeleton import COCO_EDGES, COCO_KEYPOINT_NAMES, FLIP_ORDER

PERSON = 1  # COCO's category id
DISAGREEMENT = 0.05  # distance of the two views' joints, in sides of the crop, at which the score falls to 1/e
VISIBLE_SCORE = 0.3  # joints scored at or above are written as visible (2 in COCO's terms),
GUESSED_SCORE = 0.15  # at or above as hidden (1), below as not labelled (0)
CATEGORY = {
    "id": PERSON,
    "name": "person",
    "keypoints": list(COCO_KEYPOINT_NAMES),
    "skeleton": [[a + 1, b + 1] for a, b in COCO_EDGES],
}
Teacher = Callable[[np.ndarray], np.ndarray]


class MoveNetTeacher:
    """(192, 192, 3) uint8 RGB -> (17, 3) float32 x, y as fractions of the crop and a score in [0, 1]."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(str(path), num_threads=1)
        self.interpreter.allocate_tensors()
        entry = self.interpreter.get_input_details()[0]
        self.input, self.dtype, self.side = entry["index"], entry["dtype"], int(entry["shape"][1])
        self.output = self.interpreter.get_output_details()[0]["index"]

    def __call__(self, crop: np.ndarray) -> np.ndarray:
        self.interpreter.set_tensor(self.input, crop[None].astype(self.dtype))
        self.interpreter.invoke()
        return np.asarray(self.interpreter.get_tensor(self.output), np.float32).reshape(17, 3)[:, [1, 0, 2]]


def label_people(pixels: np.ndarray, boxes: np.ndarray, teacher: Teacher, side: int, flip: bool = True) -> np.ndarray:
    """Joints (N, 17, 3) x, y in pixels and score, of the people in boxes (N, 4) xyxy of an RGB picture.

    side: of the square crop the teacher takes.   flip: ask about the mirrored crop as well and take the mean.
    """
    regions = regions_of(boxes, aspect=1.0)
    found = np.zeros((len(boxes), 17, 3), np.float32)
    for row, crop in zip(found, crops_of(pixels, regions, side, side)):
        row[:] = teacher(crop)
        if flip:
            mirrored = teacher(np.ascontiguousarray(crop[:, ::-1]))[list(FLIP_ORDER)]
            mirrored[:, 0] = 1 - mirrored[:, 0]
            apart = np.linalg.norm(mirrored[:, :2] - row[:, :2], axis=1)
            row[:] = (row + mirrored) / 2
            row[:, 2] *= np.exp(-((apart / DISAGREEMENT) ** 2))
    found[..., :2] = to_picture(found[..., :2], regions)
    return found


def to_annotation(
    box: Sequence[float], score: float | None, joints: np.ndarray, known: np.ndarray | None = None
) -> dict[str, Any]:
    """One person as a COCO annotation without ids.

    box: x, y, width, height.   joints: (17, 3) as above.   known: (17, 3) x, y, COCO visibility of joints that people
    have labelled already, which take the place of the teacher's where the visibility is not 0.
    """
    visibility = np.digitize(joints[:, 2], (GUESSED_SCORE, VISIBLE_SCORE))
    places, scores = joints[:, :2], joints[:, 2]
    if known is not None:
        labelled = known[:, 2] > 0
        places = np.where(labelled[:, None], known[:, :2], places)
        visibility, scores = np.where(labelled, known[:, 2].astype(int), visibility), np.where(labelled, 1.0, scores)
    keypoints = [
        value
        for (x, y), visible in zip(places.tolist(), visibility.tolist())
        for value in ((round(x, 1), round(y, 1), visible) if visible else (0, 0, 0))
    ]
    return {
        "category_id": PERSON,
        "bbox": [round(float(v), 1) for v in box],
        "area": round(float(box[2]) * float(box[3]), 1),
        "score": round(float(joints[:, 2].mean() if score is None else score), 3),
        "keypoints": keypoints,
        "keypoint_scores": [round(float(v), 3) for v in scores],
        "num_keypoints": int((visibility > 0).sum()),
        "iscrowd": 0,
    }


def people_in(annotations: Sequence[dict], min_score: float, min_side: float) -> dict[int, list[dict]]:
    """Person boxes by image id: no crowds, scored at least ``min_score``, longer side at least ``min_side`` pixels."""
    people: dict[int, list[dict]] = {}
    for entry in annotations:
        sure = entry["category_id"] == PERSON and entry.get("score", 1.0) >= min_score and not entry.get("iscrowd")
        if sure and max(entry["bbox"][2:]) >= min_side and min(entry["bbox"][2:]) >= 4:
            people.setdefault(entry["image_id"], []).append(entry)
    return people


def label_source(
    source: tuple[Path, Path, set[int] | None], teacher: Teacher, side: int, args: argparse.Namespace
) -> dict[str, Any]:
    """The COCO keypoints document of one source (labels, folder of its pictures, image ids or None for all)."""
    labels, folder, ids = source
    document = json.loads(labels.read_text())
    people = people_in(document["annotations"], args.min_score, args.min_side)
    images = [image for image in document["images"] if image["id"] in people and (ids is None or image["id"] in ids)]
    annotations: list[dict[str, Any]] = []
    unreadable = 0
    for done, image in enumerate(images, 1):
        picture = cv2.imread(str(folder / image["file_name"]))
        if picture is None:
            unreadable += 1
            continue
        entries = people[image["id"]]
        corners = np.array([entry["bbox"] for entry in entries], np.float32)
        corners[:, 2:] += corners[:, :2]
        rgb = np.ascontiguousarray(picture[:, :, ::-1])
        for entry, joints in zip(entries, label_people(rgb, corners, teacher, side)):
            known = np.array(entry["keypoints"], float).reshape(17, 3) if args.fill else None
            annotation = to_annotation(entry["bbox"], entry.get("score"), joints, known)
            if annotation["num_keypoints"] >= args.min_joints:
                annotations.append({"id": len(annotations), "image_id": image["id"]} | annotation)
        if done % 200 == 0 or done == len(images):
            print(f"\r{done}/{len(images)} pictures, {len(annotations)} people", end="", file=sys.stderr, flush=True)
    print(f"\n{len(images)} pictures, {len(annotations)} people, {unreadable} unreadable", file=sys.stderr)
    kept = {annotation["image_id"] for annotation in annotations}
    listed = [image for image in images if image["id"] in kept]
    return {"images": listed, "annotations": annotations, "categories": [CATEGORY]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, label every person of the source, write one COCO keypoints json."""
    from cvdemo.detection.train import parse_source

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=parse_source, required=True, help="BOXES.json:PICTURES[:IDS.json#KEY]")
    parser.add_argument("--teacher", type=Path, required=True, help="MoveNet SinglePose as a TFLite file")
    parser.add_argument("--out", type=Path, required=True, help="COCO keypoints json to write")
    parser.add_argument("--min-score", type=float, default=0.5, help="least score of a box")
    parser.add_argument("--min-side", type=float, default=64, help="least longer side of a box, pixels")
    parser.add_argument("--min-joints", type=int, default=4, help="people with fewer visible joints are left out")
    parser.add_argument("--fill", action="store_true", help="keep the joints the source has, add those it lacks")
    args = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        teacher = MoveNetTeacher(args.teacher)
    except ImportError:
        sys.exit("This recipe needs the TFLite runtime: pip install ai-edge-litert")
    args.out.write_text(json.dumps(label_source(args.source, teacher, teacher.side, args)))


if __name__ == "__main__":
    main()
