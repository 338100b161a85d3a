"""PCK and OKS against brute force, OKS average precision against pycocotools."""

import contextlib
import io

import numpy as np
import pytest

from cvdemo.pose.metrics import coco_keypoint_metrics, head_sizes, oks, oks_radius, pck, torso_diagonals
from cvdemo.pose.skeleton import COCO_EDGES, COCO_JOINTS, FLIP_ORDER, FLIP_PAIRS, JOINT_INDEX, OKS_SIGMAS, side_of

coco = pytest.importorskip("pycocotools.coco")
cocoeval = pytest.importorskip("pycocotools.cocoeval")
KEYS = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")


def data_set(seed, pictures=6, people=5, extra=4, noise=0.15):
    """True people and results around them: some missed, some invented, some unlabelled, some crowds."""
    rng = np.random.default_rng(seed)
    annotations, results = [], []
    for image in range(pictures):
        for _ in range(rng.integers(0, people + 1)):
            x, y, width, height = rng.uniform((0, 0, 15, 20), (400, 300, 160, 220))
            points = rng.uniform((x, y), (x + width, y + height), (17, 2)).round(1)
            flags = rng.choice(3, 17, p=[0.3, 0.2, 0.5]) * (rng.random() > 0.15)
            keypoints = np.concatenate([points * (flags > 0)[:, None], flags[:, None]], axis=1)
            annotations.append({
                "id": len(annotations) + 1, "image_id": image, "category_id": 1, "iscrowd": int(rng.random() < 0.1),
                "bbox": [x, y, width, height], "area": float(width * height * rng.uniform(0.3, 1.0)),
                "keypoints": keypoints.reshape(-1).tolist(), "num_keypoints": int((flags > 0).sum()),
            })  # fmt: skip
            if rng.random() < 0.85:
                found = points + rng.normal(0, 1, (17, 2)) * noise * np.sqrt(width * height) * rng.random()
                results.append(result(image, found, rng))
        results += [result(image, rng.uniform(0, 400, (17, 2)), rng) for _ in range(rng.integers(0, extra + 1))]
    return annotations, results, list(range(pictures))


def result(image, points, rng):
    flat = np.concatenate([points, np.ones((17, 1))], axis=1).reshape(-1).tolist()
    return {"image_id": image, "category_id": 1, "keypoints": flat, "score": float(np.round(rng.random(), 2))}


def reference(annotations, results, images):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "images": [{"id": i} for i in images], "categories": [{"id": 1, "name": "person"}],
            "annotations": [dict(row) for row in annotations], "info": {}, "licenses": [],
        }  # fmt: skip
        truth.createIndex()
        found = truth.loadRes([dict(row) for row in results])
        evaluation = cocoeval.COCOeval(truth, found, "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(KEYS, evaluation.stats.tolist()))


@pytest.mark.parametrize("seed", range(12))
def test_oks_average_precision_equals_pycocotools(seed):
    annotations, results, images = data_set(seed, noise=(0.02, 0.1, 0.3)[seed % 3])
    assert results
    ours, theirs = coco_keypoint_metrics(annotations, results, images), reference(annotations, results, images)
    assert list(ours) == list(KEYS)
    for key in KEYS:
        assert ours[key] == pytest.approx(theirs[key], abs=1e-6), key


def test_more_than_twenty_results_in_a_picture():
    annotations, results, images = data_set(30, pictures=2, people=30, extra=30, noise=0.05)
    assert len(results) > 40
    ours, theirs = coco_keypoint_metrics(annotations, results, images), reference(annotations, results, images)
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_perfect_nothing_and_nobody():
    annotations, _, images = data_set(3)
    perfect = [
        {"image_id": row["image_id"], "keypoints": row["keypoints"], "score": 1.0}
        for row in annotations if row["num_keypoints"] and not row["iscrowd"]
    ]  # fmt: skip
    assert coco_keypoint_metrics(annotations, perfect, images)["AP"] == pytest.approx(1)
    assert coco_keypoint_metrics(annotations, [], images)["AP"] == 0
    assert set(coco_keypoint_metrics([], [], images).values()) == {-1}
    assert set(coco_keypoint_metrics([], [], []).values()) == {-1}


def test_similarity_is_the_mean_over_labelled_joints():
    rng = np.random.default_rng(0)
    truth = np.concatenate([rng.uniform(0, 100, (17, 2)), rng.integers(0, 3, (17, 1))], axis=1)
    points = truth[None, :, :2] + rng.normal(0, 5, (4, 17, 2))
    expected = []
    for pose in points:
        terms = []
        for joint in range(17):
            if truth[joint, 2] > 0:
                squared = ((pose[joint] - truth[joint, :2]) ** 2).sum()
                terms.append(np.exp(-squared / (2 * 5000.0 * (2 * OKS_SIGMAS[joint]) ** 2)))
        expected.append(np.mean(terms))
    np.testing.assert_allclose(oks(points, truth, 5000.0), expected)
    assert oks(points, np.zeros((17, 3)), 5000.0).tolist() == [0] * 4


@pytest.mark.parametrize("level", [0.5, 0.85])
def test_the_circle_lies_where_the_similarity_falls_to_its_level(level):
    for joint in range(17):
        truth = np.zeros((17, 3))
        truth[joint] = (50, 60, 2)
        pose = np.zeros((1, 17, 2))
        pose[0, joint] = (50 + oks_radius(joint, 4000.0, level), 60)
        assert oks(pose, truth, 4000.0)[0] == pytest.approx(level)


def test_pck_equals_brute_force():
    rng = np.random.default_rng(1)
    truth = np.concatenate([rng.uniform(0, 200, (30, 17, 2)), rng.integers(0, 3, (30, 17, 1))], axis=2)
    points = truth[..., :2] + rng.normal(0, 20, (30, 17, 2))
    points[3, 4] = np.nan
    sizes = torso_diagonals(truth)
    right, asked = 0, 0
    for person in range(30):
        for joint in range(17):
            if truth[person, joint, 2] > 0 and np.isfinite(sizes[person]):
                asked += 1
                gap = np.hypot(*(points[person, joint] - truth[person, joint, :2]))
                right += gap <= 0.2 * sizes[person]
    found = pck(points, truth, sizes, 0.2)
    assert found.mean == pytest.approx(right / asked)
    assert found.counted.sum() == asked
    assert found.per_joint.shape == (17,)
    assert np.isnan(pck(np.zeros((0, 17, 2)), np.zeros((0, 17, 3)), np.zeros(0)).mean)
    assert np.isnan(pck(points, truth, np.full(30, np.nan)).mean)


def test_torso_and_head_sizes():
    truth = np.zeros((4, 17, 3))
    truth[:3, JOINT_INDEX["left shoulder"]] = (30, 0, 2)
    truth[:3, JOINT_INDEX["right hip"]] = (0, 40, 2)
    truth[1, JOINT_INDEX["left shoulder"], 2] = 0
    truth[1, JOINT_INDEX["right shoulder"]] = (0, 0, 1)
    truth[1, JOINT_INDEX["left hip"]] = (60, 80, 1)
    truth[2, JOINT_INDEX["right hip"], 2] = 0
    np.testing.assert_array_equal(torso_diagonals(truth), [50, 100, np.nan, np.nan])
    truth[0, JOINT_INDEX["left ear"]] = (20, 0, 2)
    truth[0, JOINT_INDEX["right ear"]] = (8, 5, 2)
    truth[0, JOINT_INDEX["nose"]] = (100, 100, 0)
    truth[1, JOINT_INDEX["nose"]] = (1, 1, 2)
    np.testing.assert_array_equal(head_sizes(truth), [13, np.nan, np.nan, np.nan])


def test_the_skeleton_is_cocos():
    np.testing.assert_allclose(cocoeval.Params(iouType="keypoints").kpt_oks_sigmas, OKS_SIGMAS)
    assert len(COCO_JOINTS) == 17
    assert len(COCO_EDGES) == 19
    assert sorted(FLIP_ORDER) == list(range(17))
    for left, right in FLIP_PAIRS:
        assert COCO_JOINTS[left].replace("left", "right") == COCO_JOINTS[right]
        assert (FLIP_ORDER[left], FLIP_ORDER[right]) == (right, left)
        assert (side_of(left), side_of(right)) == ("left", "right")
    assert side_of(0) == "middle"
