"""How well faces are found: ``python -m cvdemo evaluate faces-detector --annotations COCO.json --images DIR``.

The annotations may be a teacher's (``cvdemo.faces.pseudo_label``): those it was not sure of, and faces too small to
count, are neither asked for nor held against the detector.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.media import read_picture
from cvdemo.core.report import hand_over
from cvdemo.detection.average_precision import average_precision, greedy_match, precision_recall
from cvdemo.detection.evaluate import read_annotations, read_ids
from cvdemo.detection.nms import iou_matrix
from cvdemo.faces.result import Faces

Find = Callable[[np.ndarray], tuple[Faces, float]]

MATCH_IOU = 0.5
SURE_SCORE = 0.7  # annotations with a lower score are doubtful
SMALLEST = 24.0  # pixels of the picture as the detector sees it
LOWEST_SCORE = 0.02  # detections below it take no part in the precision-recall curve
PROFILE = 0.15  # eyes closer than this share of the face's width: no yardstick for landmarks


@dataclass(frozen=True, eq=False)
class Truth:
    """The annotated faces of one picture: boxes (M, 4) xyxy, landmarks (M, 5, 2) or NaN, counts (M,) bool."""

    boxes: np.ndarray
    landmarks: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True, eq=False)
class PictureScore:
    """One picture's detections judged.

    scores (D,); correct (D,) bool; ignored (D,) bool, neither right nor wrong; positives: faces that count;
    errors (E, 2): row of each correct detection, and its landmarks' error (see ``landmark_errors``).
    """

    scores: np.ndarray
    correct: np.ndarray
    ignored: np.ndarray
    positives: int
    errors: np.ndarray


def truth_of(rows: Iterable[Mapping[str, Any]], smallest: float, sure: float = SURE_SCORE) -> Truth:
    """Annotations of one picture; ``smallest`` in its pixels, and ``sure``, decide which faces count."""
    listed = list(rows)
    boxes = np.array([row["bbox"] for row in listed], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    landmarks = np.full((len(listed), 5, 2), np.nan)
    for index, row in enumerate(listed):
        points = np.asarray(row.get("keypoints", ()), np.float64)
        if points.shape == (15,):
            table = points.reshape(5, 3)
            landmarks[index] = np.where(table[:, 2:] > 0, table[:, :2], np.nan)
    doubtful = np.array([bool(r.get("iscrowd")) or float(r.get("score", 1.0)) < sure for r in listed], bool)
    sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    return Truth(boxes, landmarks, ~doubtful & (sides >= smallest))


def judge(faces: Faces, truth: Truth, smallest: float) -> PictureScore:
    """Match detections to annotations greedily, best score first, at an IoU of at least 0.5.

    A detection that matches an annotation that does not count, or matches none and is smaller than ``smallest``
    pixels, is ignored.
    """
    faces = faces.take(np.argsort(-faces.scores, kind="stable"))
    overlap = iou_matrix(faces.boxes.astype(np.float64), truth.boxes)
    no_crowd = np.zeros(len(truth.boxes), bool)
    taken = greedy_match(overlap, ~truth.counts[None], no_crowd, np.array([MATCH_IOU]))[0, 0]
    hit = taken >= 0
    counted = np.zeros(len(taken), bool)
    counted[hit] = truth.counts[taken[hit]]
    ignored = (hit & ~counted) | (~hit & (faces.sides() < smallest))
    rows = np.flatnonzero(counted)
    errors = landmark_errors(faces.landmarks[rows], truth.landmarks[taken[rows]], truth.boxes[taken[rows]])
    return PictureScore(faces.scores, counted, ignored, int(truth.counts.sum()), np.column_stack([rows, errors]))


def landmark_errors(found: np.ndarray, true: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(N,) mean distance of five landmarks (N, 5, 2) as a share of the true distance between the eyes.

    NaN without all true landmarks, and for profiles, whose eyes (nearly) coincide.
    """
    eyes = np.linalg.norm(true[:, 0] - true[:, 1], axis=1)
    usable = eyes >= PROFILE * (boxes[:, 2] - boxes[:, 0])
    distance = np.linalg.norm(found - true, axis=2).mean(axis=1)
    return np.where(usable, distance / np.where(usable, eyes, 1.0), np.nan)


def summarise(pictures: Iterable[PictureScore], threshold: float) -> dict[str, float]:
    """recall, precision and landmark errors of detections above ``threshold``; AP50 of all. -1 where undefined."""
    listed = list(pictures)
    scores = np.concatenate([p.scores for p in listed] or [np.zeros(0)])
    correct = np.concatenate([p.correct for p in listed] or [np.zeros(0, bool)])
    ignored = np.concatenate([p.ignored for p in listed] or [np.zeros(0, bool)])
    positives = sum(p.positives for p in listed)
    shown = scores > threshold
    hits, wrong = int((shown & correct).sum()), int((shown & ~correct & ~ignored).sum())
    errors = np.concatenate([p.errors[p.scores[p.errors[:, 0].astype(int)] > threshold, 1] for p in listed] or [[]])
    errors = errors[np.isfinite(errors)]
    curve = precision_recall(scores, correct, positives, ignored)
    return {
        "recall": hits / positives if positives else -1.0,
        "precision": hits / (hits + wrong) if hits + wrong else -1.0,
        "AP50": average_precision(curve) if positives else -1.0,
        "landmark_error": 100 * float(errors.mean()) if len(errors) else -1.0,
        "landmark_error_median": 100 * float(np.median(errors)) if len(errors) else -1.0,
        "faces": float(positives),
    }


def evaluate(
    annotations: Path,
    images: Path,
    find: Find,
    *,
    threshold: float,
    ids: Iterable[Any] | None = None,
    smallest: float = SMALLEST,
    sure: float = SURE_SCORE,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Judge a detector on annotated pictures.

    Args:
        find: (H, W, 3) uint8 RGB -> faces with scores down to 0.02, and network pixels per picture pixel.
        threshold: score above which a detection counts for recall and precision.
        ids: picture ids to use, None for all.
        smallest: the shorter side of a face that counts, in network pixels.
    Returns:
        recall, precision, AP50 in [0, 1]; landmark_error and its median in percent of the eye distance; -1 where there
        is nothing to measure; faces, images, threshold.
    Errors:
        InputError for unusable files and missing pictures.
    """
    data = read_annotations(annotations)
    by_picture: dict[Any, list[Mapping[str, Any]]] = {id_: [] for id_ in data.pictures}
    for row in data.objects:
        by_picture.get(row["image_id"], []).append(row)
    chosen = sorted(data.pictures) if ids is None else list(dict.fromkeys(ids))
    unknown = [id_ for id_ in chosen if id_ not in data.pictures]
    if unknown:
        raise InputError(
            f"{len(unknown)} ids are not in {annotations.name}, the first: {unknown[0]}.",
            hint="The ids must be those of the annotation file's images.",
        )
    judged = []
    for done, id_ in enumerate(chosen, 1):
        pixels = read_picture(images / data.pictures[id_]["file_name"]).pixels
        faces, scale = find(pixels)
        judged.append(judge(faces, truth_of(by_picture[id_], smallest / scale, sure), smallest / scale))
        if progress is not None:
            progress(done, len(chosen))
    return {**summarise(judged, threshold), "faces": sum(p.positives for p in judged), "images": len(judged),
            "threshold": threshold}  # fmt: skip


def add_parser(subparsers: Any) -> None:
    """Add ``faces-detector`` to the tasks of ``python -m cvdemo evaluate``; the parsed arguments carry ``run``."""
    parser = subparsers.add_parser("faces-detector", help="recall and precision of the face detector")
    parser.add_argument("--annotations", type=Path, required=True, metavar="COCO.json", help="annotation file")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder the file names start from")
    parser.add_argument("--ids", type=Path, metavar="FILE", help="picture ids: JSON list or object, or an id a line")
    parser.add_argument("--split", metavar="NAME", help='which list of an --ids object to use (default: "test")')
    parser.add_argument("--model", metavar="NAME", help="registry name of the detector (default: the compact one)")
    parser.add_argument("--score-threshold", type=float, help="score above which a detection counts (default: as used)")
    parser.add_argument("--smallest", type=float, default=SMALLEST, help="pixels, as the network sees (%(default)s)")
    parser.add_argument("--sure", type=float, default=SURE_SCORE, help="annotations below do not count (%(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write JSON to a file, or to the output with -")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate as the parsed arguments say and print the result; 0, or InputError and its like."""
    from cvdemo.faces.detector import DEFAULT_MODEL, FaceDetectionSettings, decode_faces, infer_faces

    model = args.model or DEFAULT_MODEL
    wanted = FaceDetectionSettings().score_threshold if args.score_threshold is None else args.score_threshold
    if not 0 <= wanted <= 1:
        raise InputError("--score-threshold must lie between 0 and 1.", hint="0.35 is a usual value.")
    everything = FaceDetectionSettings(score_threshold=min(LOWEST_SCORE, wanted))

    def find(pixels: np.ndarray) -> tuple[Faces, float]:
        inference = infer_faces(pixels, model)
        return decode_faces(inference, everything), inference.raw.scale

    ids = None if args.ids is None else read_ids(args.ids, args.split)
    result = evaluate(
        args.annotations, args.images, find, threshold=wanted, ids=ids, smallest=args.smallest, sure=args.sure
    ) | {"model": model}
    hand_over(result, args.json, table(result))
    return 0


def table(result: Mapping[str, Any]) -> str:
    """The result for people."""
    lines = [f"{result['model']} on {result['images']} pictures with {result['faces']} faces"]
    measures = ((name, result[name]) for name in ("recall", "precision", "AP50"))
    lines += [f"  {name:<10} {100 * value:5.1f}" if value >= 0 else f"  {name:<10}     -" for name, value in measures]
    error, median = result["landmark_error"], result["landmark_error_median"]
    if error >= 0:
        lines.append(f"  landmarks  {error:5.1f} % of the eye distance off on average, median {median:.1f} %")
    return "\n".join(lines)
