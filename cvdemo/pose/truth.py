"""True joints for the picture on the page: reading a COCO keypoints file, and how good the shown poses are by it.

PCK and PCKh compare each true person with the pose found in the same place; OKS-AP is COCO's own procedure, which
ranks all poses by score. All of it is arithmetic on one network run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.detection.nms import iou_matrix
from cvdemo.pose.evaluate import MATCH_IOU, read_people
from cvdemo.pose.metrics import AREA_OF_BOX, Pck, coco_keypoint_metrics, head_sizes, oks, pck, torso_diagonals
from cvdemo.pose.poses import Poses, coco_document
from cvdemo.pose.skeleton import COCO_JOINTS

_NOWHERE = -1e6  # pixels: far from everything
_JOINTS = len(COCO_JOINTS)


@dataclass(frozen=True, eq=False)
class PoseTruth:
    """The true people of every picture of a COCO keypoints file.

    source: the file's name.   pictures: its rows of ``images``.   people: its annotations of people with keypoints.
    made_up: whether poses stand in for it, which fit no other picture.
    """

    source: str
    pictures: tuple[Mapping[str, Any], ...]
    people: tuple[Mapping[str, Any], ...]
    made_up: bool = False

    def of(self, name: str, height: int, width: int) -> tuple[list[Mapping[str, Any]], str]:
        """The true people of a picture and a remark on how it was found ("" when by its name).

        Folders, capitals and characters a browser replaces do not matter in the name. InputError when no picture, or
        more than one, has that name and there is not just one picture; when it is stated to have another size.
        """
        wanted = _plain(name)
        same = [row for row in self.pictures if _plain(str(row.get("file_name", ""))) == wanted]
        remark = ""
        if self.made_up and not same:
            raise InputError(
                f"The joints that stand in for the truth belong to {self.pictures[0]['file_name']}, not to this "
                "picture.", hint="Press the button again for this one.",
            )  # fmt: skip
        if not same and len(self.pictures) == 1:
            same, remark = list(self.pictures), f"Its only picture, {self.pictures[0]['file_name']}, was taken for this"
        if not same:
            raise InputError(
                f"{self.source} has {len(self.pictures)} pictures, and none is called {name or 'like this one'}.",
                hint=f"They are matched by file name, for example {self.pictures[0].get('file_name')}.",
            )
        if len(same) > 1:
            raise InputError(
                f"{self.source} has {len(same)} pictures called {name}.", hint="Load a file with this picture alone."
            )
        picture = same[0]
        stated = (picture.get("width") or width, picture.get("height") or height)
        if stated != (width, height):
            raise InputError(
                f"{self.source} is about a picture of {stated[0]} x {stated[1]} pixels; this one has "
                f"{width} x {height}.", hint="Joints only fit the picture they were labelled on: use the original.",
            )  # fmt: skip
        return [row for row in self.people if row["image_id"] == picture["id"]], remark


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", Path(name.replace("\\", "/")).name.lower())


def read_truth(path: Path) -> PoseTruth:
    """Read a COCO keypoints file; InputError for anything that is not one, in a sentence that says what is wrong."""
    try:
        data = read_people(path)
        return PoseTruth(path.name, tuple(data.pictures.values()), tuple(_usable(row) for row in data.objects))
    except (OverflowError, RecursionError, MemoryError, AttributeError, KeyError, TypeError, ValueError) as error:
        hint = "Check that it is the right file."
        raise InputError(f"{path.name} is not a usable COCO keypoints file.", hint=hint) from error


def _usable(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with a box and an area that are numbers; ValueError and its like when they are not."""
    box = [float(value) for value in row["bbox"]]
    if len(box) != 4 or not np.isfinite(box).all():
        raise ValueError("a box needs four numbers")
    return {**row, "bbox": box, "area": float(row.get("area") or box[2] * box[3])}


def stand_in(name: str, poses: Poses) -> PoseTruth:
    """The joints that are shown now, taken as if they were true: other models and settings are measured by them."""
    document = coco_document([(name, poses)])
    return PoseTruth("joints shown before", tuple(document["images"]), tuple(document["annotations"]), made_up=True)


def boxes_of(people: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """(P, 4) float32 x1 y1 x2 y2 of true people, crowds and boxes without area left out; see ``measurable``."""
    boxes = np.array([row["bbox"] for row in measurable(people)], np.float32).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def measurable(people: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those people a single pose can be compared with: no crowds, with a box of some area."""
    return [row for row in people if not row.get("iscrowd") and min(row["bbox"][2:]) > 0]


@dataclass(frozen=True, eq=False)
class Score:
    """How good poses are on one picture.

    Attributes:
        truth: (P, 17, 3) x, y, v of the true people.   found: (P, 17, 3) of the pose of each, far away where missed.
        partner: (P,) int64, row of the poses each true person was compared with, -1 where missed.
        torso, head: PCK at ``alpha`` times the torso's diagonal, and PCKh at half the head's size.
        oks_of: (P,) object keypoint similarity of each true person, 0 where missed.
        oks_joint: (17,) mean similarity of each joint alone, NaN where none is labelled.
        average: COCO's numbers, see ``coco_keypoint_metrics``.
        ap_joint: (17,) AP when only that joint is asked for, NaN where none is labelled.
        right: (P, 17) bool, labelled joints within PCK's limit.
        judged: (P,) bool, whether that limit is known: the person's torso is labelled.
    """

    truth: np.ndarray
    found: np.ndarray
    partner: np.ndarray
    torso: Pck
    head: Pck
    alpha: float
    oks_of: np.ndarray
    oks_joint: np.ndarray
    average: Mapping[str, float]
    ap_joint: np.ndarray
    right: np.ndarray
    judged: np.ndarray


def assess(people: Sequence[Mapping[str, Any]], poses: Poses, *, given: bool, alpha: float = 0.2) -> Score:
    """Measure the poses of a picture against its true people.

    given: whether the poses' ``rows`` are rows of ``boxes_of(people)``; otherwise people and poses are paired by the
    IoU of their boxes, at least 0.5, best first.   alpha: of PCK, in torso diagonals.
    """
    rows = measurable(people)
    truth = np.array([row["keypoints"] for row in rows], np.float64).reshape(-1, _JOINTS, 3)
    partner = _partners(boxes_of(people), poses, given)
    found = np.full((len(rows), _JOINTS, 3), _NOWHERE)
    found[partner >= 0] = poses.keypoints[partner[partner >= 0]]
    areas = np.array([row["area"] or AREA_OF_BOX * row["bbox"][2] * row["bbox"][3] for row in rows], np.float64)
    similar = np.array([oks(found[p][None], truth[p], areas[p])[0] for p in range(len(rows))])
    results = poses.to_coco(0)
    by_joint = [_joint_scores(people, rows, truth, found, areas, results, joint) for joint in range(_JOINTS)]
    torso, right, judged = _within(truth, found, alpha)
    return Score(
        truth,
        found,
        partner,
        torso,
        pck(found, truth, head_sizes(truth), 0.5),
        alpha,
        similar,
        np.array([one[0] for one in by_joint]),
        coco_keypoint_metrics([{**row, "image_id": 0} for row in people], results, [0]),
        np.array([one[1] for one in by_joint]),
        right,
        judged,
    )


def with_alpha(score: Score, alpha: float) -> Score:
    """The same poses measured with another limit of PCK; similarities and precision, which take longer, are kept."""
    torso, right, judged = _within(score.truth, score.found, alpha)
    return replace(score, torso=torso, right=right, judged=judged, alpha=alpha)


def _within(truth: np.ndarray, found: np.ndarray, alpha: float) -> tuple[Pck, np.ndarray, np.ndarray]:
    """PCK at ``alpha`` times the torso, (P, 17) joints within it, and (P,) people whose torso is known."""
    torsos = torso_diagonals(truth)
    away = np.linalg.norm(found[..., :2] - truth[..., :2], axis=2)
    right = (truth[..., 2] > 0) & (away <= alpha * np.nan_to_num(torsos)[:, None])
    return pck(found, truth, torsos, alpha), right, np.isfinite(torsos)


def _partners(boxes: np.ndarray, poses: Poses, given: bool) -> np.ndarray:
    partner = np.full(len(boxes), -1, np.int64)
    if given:
        partner[poses.rows] = np.arange(len(poses))
    elif len(boxes) and len(poses):
        overlap = iou_matrix(boxes, poses.boxes)
        while overlap.max() >= MATCH_IOU:
            row, pose = divmod(int(overlap.argmax()), overlap.shape[1])
            partner[row] = pose
            overlap[row, :], overlap[:, pose] = -1, -1
    return partner


def _joint_scores(
    people: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    truth: np.ndarray,
    found: np.ndarray,
    areas: np.ndarray,
    results: list[dict[str, Any]],
    joint: int,
) -> tuple[float, float]:
    """Mean OKS and AP over all thresholds when nothing but one joint is labelled; NaN where it is not labelled."""

    def only(keypoints: np.ndarray) -> np.ndarray:
        alone = np.array(keypoints, np.float64).reshape(_JOINTS, 3)
        alone[np.arange(_JOINTS) != joint, 2] = 0
        return alone

    asked = np.flatnonzero(truth[:, joint, 2] > 0)
    if not len(asked):
        return float("nan"), float("nan")
    similar = [oks(found[p][None], only(truth[p]), areas[p])[0] for p in asked]
    annotations = []
    for row in people:
        alone = only(row["keypoints"])
        labelled = int((alone[:, 2] > 0).sum())
        annotations.append({**row, "image_id": 0, "keypoints": alone.reshape(-1).tolist(), "num_keypoints": labelled})
    average = coco_keypoint_metrics(annotations, results, [0])["AP"]
    return float(np.mean(similar)), average if average >= 0 else float("nan")


def true_poses(people: Sequence[Mapping[str, Any]], height: int, width: int) -> Poses:
    """The true people as poses, to be drawn: labelled joints are visible, with score 1."""
    rows = measurable(people)
    keypoints = np.array([row["keypoints"] for row in rows], np.float64).reshape(-1, _JOINTS, 3)
    visible = keypoints[..., 2] > 0
    keypoints[..., 2] = visible
    count = len(rows)
    return Poses(
        keypoints, visible, boxes_of(people), np.ones(count, np.float32), np.arange(count), height, width, "truth"
    )  # fmt: skip
