"""People found twice are shown once; people side by side stay."""

import numpy as np
import pytest

from cvdemo.pose.duplicates import similarity_of_people, without_duplicates
from cvdemo.pose.metrics import AREA_OF_BOX
from cvdemo.pose.predict import infer
from cvdemo.pose.raw import RawPoses, of_stage
from cvdemo.pose.skeleton import OKS_SIGMAS


def raw_of(standing, boxes, box_scores, joint_scores=0.9):
    boxes = np.array(boxes, np.float32)
    points = boxes[:, None, :2] + standing * (boxes[:, None, 2:] - boxes[:, None, :2])
    scores = np.full(points.shape[:2], joint_scores, np.float32)
    stages = {"stage 1": points.astype(np.float32) + 1}
    return RawPoses(
        boxes, np.array(box_scores, np.float32), None, boxes, points.astype(np.float32), scores, 400, 600, "m", stages,
        found=len(boxes) + 2,
    )  # fmt: skip


def test_similarity_against_a_loop():
    rng = np.random.default_rng(5)
    points = rng.uniform(0, 60, (6, 17, 2))
    scores = rng.uniform(0, 0.6, (6, 17))
    corner = rng.uniform(0, 20, (6, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(50, 300, (6, 2))], axis=1)
    found = similarity_of_people(points, scores, boxes)
    for i in range(6):
        for j in range(6):
            area = AREA_OF_BOX * min(np.prod(boxes[k, 2:] - boxes[k, :2]) for k in (i, j))
            values, both = [], 0
            for joint in range(17):
                if max(scores[i, joint], scores[j, joint]) > 0.3:
                    d2 = float(np.sum((points[i, joint] - points[j, joint]) ** 2))
                    values.append(np.exp(-d2 / (2 * area * (2 * OKS_SIGMAS[joint]) ** 2)))
                    both += min(scores[i, joint], scores[j, joint]) > 0.3
            assert found[i, j] == pytest.approx(np.mean(values) if both >= 3 else 0.0)


def test_the_surer_of_two_boxes_of_one_person_stays(standing):
    boxes = [[100, 50, 200, 350], [101, 52, 199, 352], [300, 50, 400, 350]]
    left = without_duplicates(raw_of(standing, boxes, [0.4, 0.8, 0.6]))
    assert left.box_scores.tolist() == pytest.approx([0.8, 0.6])
    assert left.found == 4
    np.testing.assert_allclose(left.keypoints, raw_of(standing, boxes[1:], [0.8, 0.6]).keypoints)
    assert len(of_stage(left, "stage 1")) == 2


def test_people_beside_each_other_and_unseen_ones_stay(standing):
    beside = raw_of(standing, [[100, 50, 200, 350], [140, 50, 240, 350]], [0.9, 0.8])
    assert without_duplicates(beside) is beside
    unseen = raw_of(standing, [[100, 50, 200, 350]] * 2, [0.9, 0.8], joint_scores=0.1)
    assert without_duplicates(unseen) is unseen
    alone = raw_of(standing, [[0, 0, 9, 9]], [0.5])
    assert without_duplicates(alone) is alone


def test_boxes_from_the_detector_are_thinned_and_given_ones_are_not(stand_in, crowd_of):
    pixels = np.zeros((300, 400, 3), np.uint8)
    boxes = crowd_of([[60, 40, 160, 260], [62, 41, 161, 262], [240, 60, 320, 240]], [0.6, 0.9, 0.5])
    seen = infer(pixels, stand_in.name).raw
    assert seen.box_scores.tolist() == pytest.approx([0.9, 0.5])
    assert seen.found == 2
    assert len(infer(pixels, stand_in.name, boxes=boxes).raw) == 3
