"""Label faces with a published detector, so that the compact face detector can learn from its outputs.

``python -m cvdemo.faces.pseudo_label --teacher yunet.onnx --out faces.json FOLDER [FOLDER ...]``

The teacher is YuNet (Wu et al. 2023, "YuNet: a tiny millisecond-level face detector"), run by OpenCV's
``FaceDetectorYN``. Each face becomes a COCO annotation with ``bbox``, ``score`` and five ``keypoints``: right eye, left
eye, nose tip, right mouth corner, left mouth corner, where right is the person's right. Doubtful faces are written too,
with their score, so that a recipe can treat them as "do not punish". Only outputs are used; the teacher's weights are
not shipped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.faces.labels import CATEGORY, LANDMARKS

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png"}
TEACHER_STEP = 32  # the teacher's coarsest stride: pictures are padded to multiples of it


class YuNetTeacher:
    """BGR uint8 picture -> faces, through OpenCV's wrapper of the ONNX file.

    floor: score below which a face is dropped.   side: longer pictures are shrunk so that their longest side is this.
    """

    def __init__(self, path: Path, floor: float = 0.3, side: int = 640) -> None:
        self.side = side
        self.network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), floor, 0.45, 500)

    def __call__(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(H, W, 3) -> boxes (N, 4) xyxy, scores (N,), landmarks (N, 5, 2), all in pixels of ``picture``, float32."""
        height, width = picture.shape[:2]
        scale = min(1.0, self.side / max(height, width))
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        seen_height, seen_width = picture.shape[:2]
        bottom, right = -seen_height % TEACHER_STEP, -seen_width % TEACHER_STEP
        padded = cv2.copyMakeBorder(picture, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=(0, 0, 0))
        self.network.setInputSize((padded.shape[1], padded.shape[0]))
        _, rows = self.network.detect(padded)
        table = np.zeros((0, 15), np.float32) if rows is None else np.asarray(rows, np.float32)
        to_picture = np.array([width / seen_width, height / seen_height], np.float32)
        corners = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], 1).reshape(-1, 2, 2) * to_picture
        landmarks = table[:, 4:14].reshape(-1, 5, 2) * to_picture
        return corners.reshape(-1, 4), table[:, 14], landmarks


def to_annotation(box: np.ndarray, score: float, landmarks: np.ndarray, width: int, height: int) -> dict[str, Any]:
    """One face as a COCO annotation without ids; the box is cut at the picture's edge, the landmarks are not."""
    x1, y1, x2, y2 = np.clip(box, 0, [width, height, width, height]).tolist()
    keypoints = [value for x, y in landmarks.tolist() for value in (round(x, 1), round(y, 1), 2)]
    return {
        "category_id": CATEGORY["id"],
        "bbox": [round(x1, 1), round(y1, 1), round(x2 - x1, 1), round(y2 - y1, 1)],
        "area": round((x2 - x1) * (y2 - y1), 1),
        "score": round(float(score), 3),
        "keypoints": keypoints,
        "num_keypoints": len(LANDMARKS),
        "iscrowd": 0,
    }


def pictures_in(folders: Iterable[Path], every: int = 1) -> list[Path]:
    """Picture files under the folders, sorted, every ``every``-th of them."""
    found = sorted(p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    return found[::every]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, label every picture, write one COCO json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of pictures, searched recursively")
    parser.add_argument("--teacher", type=Path, required=True, help="YuNet as an ONNX file")
    parser.add_argument("--out", type=Path, required=True, help="COCO json to write; file names relative to --root")
    parser.add_argument("--root", type=Path, default=Path("."))
    parser.add_argument("--every", type=int, default=1, help="label only every so many pictures")
    parser.add_argument("--floor", type=float, default=0.3, help="score below which a face is dropped")
    parser.add_argument("--side", type=int, default=640, help="longest side the teacher sees, pixels")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(arguments)
    cv2.setNumThreads(args.threads)
    teacher = YuNetTeacher(args.teacher, args.floor, args.side)
    paths = pictures_in(args.folders, args.every)
    if not all(path.is_relative_to(args.root) for path in paths):
        parser.error(f"some pictures do not lie under --root {args.root}")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    unreadable = 0
    for done, path in enumerate(paths, 1):
        picture = cv2.imread(str(path))
        if picture is None or min(picture.shape[:2]) < 16:
            unreadable += 1
            continue
        height, width = picture.shape[:2]
        ids = {"image_id": len(images)}
        name = str(path.relative_to(args.root))
        images.append({"id": ids["image_id"], "file_name": name, "width": width, "height": height})
        for box, score, landmarks in zip(*teacher(picture)):
            face = to_annotation(box, score, landmarks, width, height)
            if min(face["bbox"][2:]) >= 2:
                annotations.append({"id": len(annotations)} | ids | face)
        if done % 200 == 0 or done == len(paths):
            print(f"\r{done}/{len(paths)} pictures, {len(annotations)} faces", end="", file=sys.stderr, flush=True)
    args.out.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [CATEGORY]}))
    print(f"\n{args.out}: {len(images)} pictures, {len(annotations)} faces, {unreadable} unreadable", file=sys.stderr)


if __name__ == "__main__":
    main()
