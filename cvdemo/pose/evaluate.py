"""How good a pose model is on labelled people: ``python -m cvdemo evaluate pose --annotations COCO.json --images DIR``.

With true boxes the pose model is measured alone; with detected ones, the detector before it too. PCK and PCKh are
taken over people with enough labelled joints who are large enough; OKS-AP over everybody, as COCO does it.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.media import read_picture
from cvdemo.core.report import hand_over, locate
from cvdemo.detection.evaluate import DataSet, read_annotations, read_ids
from cvdemo.detection.nms import iou_matrix
from cvdemo.pose.metrics import coco_keypoint_metrics, head_sizes, oks, pck, torso_diagonals
from cvdemo.pose.poses import PERSON, Poses
from cvdemo.pose.skeleton import COCO_JOINTS

Predict = Callable[[np.ndarray, "np.ndarray | None"], Poses]

MIN_JOINTS = 8
MIN_SIDE = 96.0
MATCH_IOU = 0.5
BOXES: tuple[str, ...] = ("true", "detected")
_NOWHERE = -1e6  # pixels: far from everything
_NUMBERS = 3 * len(COCO_JOINTS)


@dataclass
class _Matched:
    """Predictions beside the truth, a row per person that counts for PCK."""

    points: list[np.ndarray] = field(default_factory=list)
    truth: list[np.ndarray] = field(default_factory=list)
    similarities: list[float] = field(default_factory=list)

    def add(self, points: np.ndarray, truth: np.ndarray, area: float) -> None:
        self.points.append(points[:, :2])
        self.truth.append(truth)
        self.similarities.append(float(oks(points[None], truth, area)[0]))


def read_people(path: Path) -> DataSet:
    """A COCO keypoint file; InputError when no person in it has keypoints, or some have not 51 numbers."""
    data = read_annotations(path)
    people = [row for row in data.objects if row["category_id"] == PERSON and "keypoints" in row]
    for row in people:
        values = row["keypoints"]
        if not isinstance(values, list) or len(values) != _NUMBERS or not all(_is_number(v) for v in values):
            raise InputError(
                f"{path.name} has a person whose keypoints are not {_NUMBERS} numbers (picture {row['image_id']}).",
                hint="COCO writes x, y and visibility of 17 joints.",
            )
    if not people:
        raise InputError(
            f"{path.name} has no person with keypoints.", hint="Give a COCO keypoint file (person_keypoints_….json)."
        )
    return DataSet(data.pictures, people, data.names)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def evaluate(
    annotations: Path,
    images: Path,
    predict: Predict,
    ids: Iterable[Any] | None = None,
    *,
    model: str = "",
    boxes: str = "true",
    min_joints: int = MIN_JOINTS,
    min_side: float = MIN_SIDE,
    skip_missing: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Run ``predict`` on every picture with labelled people and measure.

    Args:
        predict: pixels (H, W, 3) and, with true boxes, the (N, 4) xyxy boxes of the people; returns their poses, whose
            ``rows`` are rows of those boxes.
        ids: pictures, None for all.   boxes: "true" or "detected".
        min_joints, min_side: people count for PCK with so many labelled joints and a box so large on its longer side.
        skip_missing: go on without pictures that are not there, which otherwise are an InputError.
    Returns:
        JSON-ready: PCK@0.2, PCKh@0.5, mean_OKS, OKS_AP, OKS_AP50, OKS_AP75, OKS_APm, OKS_APl, OKS_AR, per_joint
        {joint: PCK@0.2}, people (that count for PCK), images, skipped, boxes, model. None where nothing was labelled.
        A person that was not found has all joints wrong.
    """
    if boxes not in BOXES:
        raise InputError(f"--boxes cannot be {boxes!r}.", hint=f"Use {' or '.join(BOXES)}.")
    data = read_people(annotations)
    people: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for row in data.objects:
        people[row["image_id"]].append(row)
    chosen = _chosen(data, people, ids, annotations.name)
    paths = locate({id_: data.pictures[id_]["file_name"] for id_ in chosen}, images, skip_missing)
    skipped = len(chosen) - len(paths)
    matched, results = _Matched(), []
    for done, (id_, path) in enumerate(paths.items()):
        if progress is not None:
            progress(done, len(paths))
        picture = read_picture(path)
        stated = tuple(data.pictures[id_].get(key, side) for key, side in zip(("width", "height"), _size(picture)))
        if stated != _size(picture):
            raise InputError(
                f"{path.name} is {picture.width} x {picture.height} pixels where the annotations say "
                f"{stated[0]} x {stated[1]}.",
                hint="The joints only fit the pictures they were labelled on; use the originals.",
            )
        rows = [row for row in people[id_] if not row.get("iscrowd") and min(row["bbox"][2:]) > 0]
        true_boxes = np.array([_corners(row["bbox"]) for row in rows], np.float32).reshape(-1, 4)
        poses = predict(picture.pixels, true_boxes if boxes == "true" else None)
        results += poses.to_coco(id_)
        _match(matched, rows, true_boxes, poses, boxes == "true", min_joints, min_side)
    if progress is not None:
        progress(len(paths), len(paths))
    measured = _measure(matched, coco_keypoint_metrics(data.objects, results, paths))
    return {**measured, "images": len(paths), "skipped": skipped, "boxes": boxes, "model": model}


def _measure(matched: _Matched, average: Mapping[str, float]) -> dict[str, Any]:
    truth = np.array(matched.truth).reshape(-1, len(COCO_JOINTS), 3)
    points = np.array(matched.points).reshape(-1, len(COCO_JOINTS), 2)
    by_torso = pck(points, truth, torso_diagonals(truth), 0.2)
    by_head = pck(points, truth, head_sizes(truth), 0.5)
    return {
        "PCK@0.2": _or_none(by_torso.mean),
        "PCKh@0.5": _or_none(by_head.mean),
        "mean_OKS": _or_none(float(np.mean(matched.similarities)) if matched.similarities else float("nan")),
        **{f"OKS_{name}": value if value >= 0 else None for name, value in average.items()},
        "per_joint": {name: _or_none(value) for name, value in zip(COCO_JOINTS, by_torso.per_joint.tolist())},
        "people": len(truth),
    }


def _match(
    matched: _Matched,
    rows: Sequence[Mapping[str, Any]],
    true_boxes: np.ndarray,
    poses: Poses,
    given: bool,
    min_joints: int,
    min_side: float,
) -> None:
    """Add the people of one picture that count for PCK, each with its pose: that of its box, or the one found there."""
    partner = np.full(len(rows), -1)
    if given:
        partner[poses.rows] = np.arange(len(poses))
    elif len(rows) and len(poses):
        overlap = iou_matrix(true_boxes, poses.boxes)
        while overlap.max() >= MATCH_IOU:
            row, pose = divmod(int(overlap.argmax()), overlap.shape[1])
            partner[row] = pose
            overlap[row, :], overlap[:, pose] = -1, -1
    for index, row in enumerate(rows):
        truth = np.array(row["keypoints"], np.float64).reshape(-1, 3)
        if (truth[:, 2] > 0).sum() < min_joints or max(row["bbox"][2:]) < min_side:
            continue
        missed = np.full((len(COCO_JOINTS), 3), _NOWHERE)
        found = poses.keypoints[partner[index]] if partner[index] >= 0 else missed
        area = float(row.get("area", row["bbox"][2] * row["bbox"][3]))
        matched.add(found, truth, area)


def _chosen(data: DataSet, people: Mapping[Any, Any], ids: Iterable[Any] | None, source: str) -> list[Any]:
    if ids is None:
        return sorted(id_ for id_ in data.pictures if id_ in people)
    chosen = list(dict.fromkeys(ids))
    unknown = [id_ for id_ in chosen if id_ not in data.pictures]
    if unknown:
        raise InputError(
            f"{len(unknown)} ids are not in {source}, the first: {', '.join(map(str, unknown[:3]))}.",
            hint="The ids must be those of the annotation file's images.",
        )
    return sorted(chosen)


def _size(picture: Any) -> tuple[int, int]:
    return picture.width, picture.height


def _corners(box: Sequence[float]) -> list[float]:
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


# ------------------------------------------------------------------ command line


def add_parser(subparsers: Any) -> None:
    """Add ``pose`` to the tasks of ``python -m cvdemo evaluate``; the parsed arguments carry ``run``."""
    parser = subparsers.add_parser("pose", help="PCK and OKS average precision on people with labelled joints")
    parser.add_argument("--annotations", type=Path, required=True, metavar="COCO.json", help="COCO keypoint file")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder the file names start from")
    parser.add_argument("--ids", type=Path, metavar="FILE", help="picture ids: JSON list or object, or an id a line")
    parser.add_argument("--split", metavar="NAME", help='which list of an --ids object to use (default: "test")')
    parser.add_argument("--model", metavar="NAME", help="registry name of the pose model (default: the compact one)")
    parser.add_argument("--boxes", choices=BOXES, default="true", help="whose boxes to use (%(default)s)")
    parser.add_argument("--decode", metavar="KIND", help="how heatmaps are decoded (default: the model's setting)")
    parser.add_argument("--min-joints", type=int, default=MIN_JOINTS, metavar="N",
                        help="PCK: people with so many labelled joints (%(default)s)")  # fmt: skip
    parser.add_argument("--min-side", type=float, default=MIN_SIDE, metavar="PX",
                        help="PCK: people whose box is so long (%(default)g)")  # fmt: skip
    parser.add_argument("--skip-missing", action="store_true", help="go on without pictures that are not there")
    parser.add_argument("--json", metavar="FILE", help="write JSON to a file, or to the output with -")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate as the parsed arguments say and print the result; 0, or InputError and its like."""
    ids = None if args.ids is None else read_ids(args.ids, args.split)
    model, predict = _predictor(args.model, args.decode)
    result = evaluate(
        args.annotations, args.images, predict, ids, model=model, boxes=args.boxes, min_joints=args.min_joints,
        min_side=args.min_side, skip_missing=args.skip_missing, progress=_report,
    )  # fmt: skip
    hand_over(result, args.json, _table(result))
    return 0


def _predictor(model: str | None, kind: str | None) -> tuple[str, Predict]:
    from cvdemo import tasks
    from cvdemo.pose import predict  # here, so that scoring somebody's own function needs no model code

    tasks.load_all()
    name = model or predict.DEFAULT_MODEL
    changes: dict[str, Any] = {"joint_threshold": 0.0, "box_threshold": predict.PEOPLE_FLOOR, "max_people": 100}
    if kind is not None:
        changes["decode"] = kind
    settings = predict.PoseSettings.from_mapping(changes, base=predict.settings_for(name))

    def look(pixels: np.ndarray, boxes: np.ndarray | None) -> Poses:
        return predict.decode(predict.infer(pixels, name, boxes=boxes), settings)

    return name, look


def _report(done: int, total: int) -> None:
    if done == total or (done and done % 50 == 0):
        print(f"{done} of {total} pictures", file=sys.stderr, flush=True)


def _table(result: Mapping[str, Any]) -> str:
    """The result for people: the overall numbers, then PCK of each joint."""
    people, images = result["people"], result["images"]
    lines = [f"{result['model']} on {people} people of {images} pictures, {result['boxes']} boxes"]
    lines += [
        f"  {name:<9} {_percent(value)}" for name, value in result.items() if name.startswith(("PCK", "OKS", "mean"))
    ]
    lines += ["", f"  {'joint':<15} PCK@0.2"]
    lines += [f"  {name:<15} {_percent(value)}" for name, value in result["per_joint"].items()]
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "    -" if value is None else f"{100 * value:5.1f}"
