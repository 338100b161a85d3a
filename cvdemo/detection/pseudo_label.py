"""Label pictures with published detectors, so that the compact detector can learn from their outputs.

``python -m cvdemo.detection.pseudo_label --teachers DIR --out labels.json FOLDER [FOLDER ...]``

Two teachers see every picture: YOLOX-nano (Ge et al. 2021, arXiv:2107.08430) and PicoDet-S (Yu et al. 2021,
arXiv:2111.00902), both as ONNX files. Their boxes are merged per class by weighted boxes fusion (Solovyev et al. 2019,
arXiv:1910.13302), and the fused confidence is written as ``score`` beside each box, so that a recipe can treat sure
boxes as objects and doubtful ones as "do not punish". Only outputs are used; the teachers' weights are not shipped.

Needs ``onnxruntime`` (in requirements-dev.txt); nothing of the app imports this module.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.detection.labels import COCO_CATEGORIES

TEACHER_SIZE = 416
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png"}
Teacher = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


def _session(path: Path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # one picture per worker thread is faster than two threads on one picture
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _cell_centres(strides: tuple[int, ...], offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Cell positions (N, 2) in input pixels and the stride (N, 1) of each, level after level, row by row."""
    points, step = [], []
    for stride in strides:
        side = -(-TEACHER_SIZE // stride)
        ys, xs = np.mgrid[:side, :side].astype(np.float32)
        points.append(np.stack([(xs.ravel() + offset) * stride, (ys.ravel() + offset) * stride], 1))
        step.append(np.full((side * side, 1), stride, np.float32))
    return np.concatenate(points), np.concatenate(step)


class YoloxTeacher:
    """1x3x416x416 BGR [0, 255], letterboxed with grey; per cell: offset, log size, objectness, 80 class scores."""

    def __init__(self, path: Path) -> None:
        self.session = _session(path)
        self.corner, self.stride = _cell_centres((8, 16, 32), offset=0.0)

    def __call__(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """BGR uint8 (H, W, 3) -> boxes (N, 4) xyxy in picture pixels, scores (N, 80) in [0, 1]."""
        height, width = picture.shape[:2]
        scale = TEACHER_SIZE / max(height, width)
        canvas = np.full((TEACHER_SIZE, TEACHER_SIZE, 3), 114, np.uint8)
        resized = cv2.resize(picture, (round(width * scale), round(height * scale)))
        canvas[: resized.shape[0], : resized.shape[1]] = resized
        blob = canvas.transpose(2, 0, 1)[None].astype(np.float32)
        (out,) = self.session.run(None, {"images": blob})[0]
        centre = out[:, :2] * self.stride + self.corner
        half = np.exp(out[:, 2:4]) * self.stride / 2
        return np.concatenate([centre - half, centre + half], 1) / scale, out[:, 4:5] * out[:, 5:]


class PicoDetTeacher:
    """1x3x416x416 RGB, ImageNet-normalised, plain resize; per level 80 sigmoid scores and 4x8 distance bins."""

    def __init__(self, path: Path) -> None:
        self.session = _session(path)
        self.centre, self.stride = _cell_centres((8, 16, 32, 64), offset=0.5)
        # Ceil division above: stride 64 on 416 px has 7x7 cells.

    def __call__(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """BGR uint8 (H, W, 3) -> boxes (N, 4) xyxy in picture pixels, scores (N, 80) in [0, 1]."""
        height, width = picture.shape[:2]
        rgb = cv2.resize(picture, (TEACHER_SIZE, TEACHER_SIZE))[:, :, ::-1].astype(np.float32) / 255
        blob = ((rgb - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)[None]
        out = self.session.run(None, {"image": np.ascontiguousarray(blob)})
        scores = np.concatenate([level[0] for level in out[:4]])
        bins = np.concatenate([level[0] for level in out[4:]]).reshape(-1, 4, 8)
        bins = np.exp(bins - bins.max(-1, keepdims=True))
        distance = (bins / bins.sum(-1, keepdims=True)) @ np.arange(8, dtype=np.float32) * self.stride
        boxes = np.concatenate([self.centre - distance[:, :2], self.centre + distance[:, 2:]], 1)
        return boxes * np.array([width, height, width, height], np.float32) / TEACHER_SIZE, scores


def _pairwise_iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    overlap = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None).prod(1)
    area = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1)
    return overlap / np.maximum(area - overlap, 1e-9)


def _candidates(boxes: np.ndarray, scores: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every (box, class) pair above ``floor`` after class-wise NMS: boxes (M, 4), scores (M,), classes (M,)."""
    cell, label = np.nonzero(scores > floor)
    boxes, scores = boxes[cell], scores[cell, label]
    if len(boxes) == 0:
        return boxes, scores, label
    shifted = boxes + label[:, None] * 1e4  # classes never overlap each other
    xywh = np.concatenate([shifted[:, :2], shifted[:, 2:] - shifted[:, :2]], 1)
    keep = np.asarray(cv2.dnn.NMSBoxes(xywh.tolist(), scores.tolist(), floor, 0.6), int).ravel()
    return boxes[keep], scores[keep], label[keep]


def fuse(predictions: list[tuple[np.ndarray, np.ndarray, np.ndarray]], iou: float = 0.55) -> list[tuple]:
    """Weighted boxes fusion of several detectors' (boxes, scores, classes) -> [(box, score, class)].

    A box only one of T detectors saw keeps 1/T of its confidence, so agreement is what makes a label sure.
    """
    fused: list[tuple] = []
    teachers = len(predictions)
    for label in np.unique(np.concatenate([p[2] for p in predictions])):
        rows = [(s, t, b) for t, (bs, ss, ls) in enumerate(predictions) for b, s, n in zip(bs, ss, ls) if n == label]
        rows.sort(key=lambda row: -row[0])
        clusters: list[dict] = []
        for score, teacher, box in rows:
            best = None
            if clusters:
                overlap = _pairwise_iou(box, np.stack([c["box"] for c in clusters]))
                for index in np.argsort(-overlap):
                    if overlap[index] < iou:
                        break
                    if teacher not in clusters[index]["members"]:
                        best = clusters[index]
                        break
            if best is None:
                clusters.append({"box": box, "members": {teacher: (score, box)}})
            else:
                best["members"][teacher] = (score, box)
                weights = np.array([s for s, _ in best["members"].values()])
                best["box"] = (weights[:, None] * np.stack([b for _, b in best["members"].values()])).sum(
                    0
                ) / weights.sum()
        fused.extend((c["box"], sum(s for s, _ in c["members"].values()) / teachers, int(label)) for c in clusters)
    return fused


def label_picture(
    path: Path, teachers: list[Teacher], floor: float, keep: float
) -> tuple[tuple[int, int], list] | None:
    """((width, height), fused boxes) of one picture, or None when it cannot be read."""
    picture = cv2.imread(str(path))
    if picture is None or min(picture.shape[:2]) < 16:
        return None
    height, width = picture.shape[:2]
    results = []
    seen = [_candidates(*teacher(picture), floor) for teacher in teachers]
    for box, score, label in fuse(seen):
        box = np.clip(box, 0, [width, height, width, height])
        if score >= keep and min(box[2:] - box[:2]) >= 2:
            results.append((box, score, label))
    return (width, height), results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of pictures, searched recursively")
    parser.add_argument(
        "--teachers", type=Path, required=True, help="folder with yolox_nano.onnx and picodet_s_416_coco.onnx"
    )
    parser.add_argument("--out", type=Path, required=True, help="COCO json to write; file names relative to --root")
    parser.add_argument("--root", type=Path, default=Path("."))
    parser.add_argument("--floor", type=float, default=0.08, help="score below which a teacher's box is dropped")
    parser.add_argument("--keep", type=float, default=0.12, help="fused score below which a box is dropped")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    teachers: list[Teacher] = [
        YoloxTeacher(args.teachers / "yolox_nano.onnx"),
        PicoDetTeacher(args.teachers / "picodet_s_416_coco.onnx"),
    ]
    paths = sorted(p for folder in args.folders for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    images: list[dict] = []
    annotations: list[dict] = []
    unreadable = 0
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(args.workers) as pool:
        jobs = pool.map(lambda p: label_picture(p, teachers, args.floor, args.keep), paths)
        for done, (path, result) in enumerate(zip(paths, jobs), 1):
            if result is None:
                unreadable += 1
                continue
            (width, height), boxes = result
            image_id = len(images)
            images.append(
                {"id": image_id, "file_name": str(path.relative_to(args.root)), "width": width, "height": height}
            )
            for box, score, label in boxes:
                x1, y1, x2, y2 = (round(float(v), 1) for v in box)
                annotations.append(
                    {
                        "id": len(annotations),
                        "image_id": image_id,
                        "category_id": COCO_CATEGORIES[label].id,
                        "bbox": [x1, y1, round(x2 - x1, 1), round(y2 - y1, 1)],
                        "score": round(float(score), 3),
                        "area": round((x2 - x1) * (y2 - y1), 1),
                        "iscrowd": 0,
                    }
                )
            if done % 200 == 0 or done == len(paths):
                print(f"\r{done}/{len(paths)} pictures, {len(annotations)} boxes", end="", file=sys.stderr, flush=True)
    categories = [{"id": c.id, "name": c.name} for c in COCO_CATEGORIES]
    args.out.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    print(f"\n{args.out}: {len(images)} pictures, {len(annotations)} boxes, {unreadable} unreadable", file=sys.stderr)


if __name__ == "__main__":
    main()
