"""Joints: the map from COCO, gaps, resampling, and features that do not depend on place, size and frame rate."""

import numpy as np
import pytest
import torch

from cvdemo.action import compact, joints
from cvdemo.action.clips import Clip
from cvdemo.action.joints import JointClip, joints_of
from cvdemo.action.nets.skeleton_tcn import SkeletonTcn
from cvdemo.action.predict import decode
from cvdemo.action.skeleton_data import JointClips, SkeletonBatches, load, plain_features, varied
from cvdemo.action.skeletons import (
    CHANNELS,
    FLIP,
    JOINTS,
    STEPS,
    calmed,
    features,
    fill_gaps,
    from_coco,
    resample,
)  # fmt: skip
from cvdemo.core.errors import InputError
from cvdemo.core.registry import RunContext
from cvdemo.pose.skeleton import COCO_JOINTS, JOINT_INDEX


def person(count=6, seed=0):
    """(count, 17, 3): somebody standing at (100, 40) to (100, 200), trembling."""
    rng = np.random.default_rng(seed)
    out = np.ones((count, 17, 3))
    out[..., :2] = compact.example_joints().joints[0, :, :2] + rng.normal(0, 1, (count, 17, 2))
    return out


def test_limbs_keep_their_names():
    given = person()
    out = from_coco(given)
    assert out.shape == (6, 15, 3)
    for row, name in enumerate(JOINTS):
        if name in COCO_JOINTS:
            np.testing.assert_array_equal(out[:, row], given[:, JOINT_INDEX[name]])
    assert sum(name in COCO_JOINTS for name in JOINTS) == 12


def test_neck_belly_and_face_lie_where_annotators_put_them():
    given = np.ones((1, 17, 3))
    given[0, :, :2] = 0
    for name, place in {
        "left shoulder": (120, 100), "right shoulder": (80, 100), "left hip": (115, 200), "right hip": (85, 200),
        "nose": (100, 70), "left eye": (104, 66), "right eye": (96, 66), "left ear": (110, 68), "right ear": (90, 70),
    }.items():  # fmt: skip
        given[0, JOINT_INDEX[name], :2] = place
    neck, belly, face = from_coco(given)[0, :3, :2]
    np.testing.assert_allclose(neck, (100, 100 - 0.12 * 100))
    np.testing.assert_allclose(belly, (100, 88 + 0.8 * 112))
    np.testing.assert_allclose(face, (100, 68))
    given[0, :5, 2] = 0  # no face to be seen
    np.testing.assert_allclose(from_coco(given)[0, 2, :2], (100, 88 - 20))


def test_scores_of_made_joints_are_the_lowest():
    given = person(1)
    given[0, JOINT_INDEX["left hip"], 2] = 0.1
    out = from_coco(given)
    assert out[0, JOINTS.index("belly"), 2] == 0.1
    assert out[0, JOINTS.index("neck"), 2] == 1


def test_gaps_are_filled_from_both_sides():
    given = np.ones((5, 15, 3))
    given[:, :, 0] = np.arange(5)[:, None] * 10
    given[2, 3] = (999, 999, 0.0)
    given[3, 3] = (np.nan, 5, 1.0)
    points, seen = fill_gaps(given)
    np.testing.assert_allclose(points[:, 3, 0], [0, 10, 20, 30, 40])
    assert seen[:, 3].tolist() == [1, 1, 0, 0, 1]
    given[:, 4, 2] = 0  # never seen
    points, seen = fill_gaps(given)
    assert np.isfinite(points).all()
    assert not seen[:, 4].any()
    nobody, unseen = fill_gaps(np.zeros((5, 15, 3)))
    assert not nobody.any()
    assert not unseen.any()


@pytest.mark.parametrize("count", [1, 2, 7, 32, 50])
def test_resampling_against_numpy(count):
    values = np.random.default_rng(count).normal(size=(count, 3))
    got = resample(values, 32)
    expected = np.stack([np.interp(np.linspace(0, count - 1, 32), np.arange(count), column) for column in values.T], 1)
    np.testing.assert_allclose(got, expected, atol=1e-12)


def walking(count=20, seed=0):
    rng = np.random.default_rng(seed)
    start = from_coco(person(1, seed))[0, :, :2]
    return start + np.cumsum(rng.normal(0, 1, (count, 15, 2)), axis=0)


def test_features_do_not_depend_on_place_size_and_length():
    points = walking()
    one = features(points)
    assert one.shape == (CHANNELS, STEPS)
    assert one.dtype == np.float32
    np.testing.assert_allclose(features(points * 3.7 + [500, -200]), one, atol=1e-4)
    np.testing.assert_allclose(features(resample(points, 39)), one, atol=0.35)
    assert np.isfinite(features(np.zeros((4, 15, 2)))).all()
    assert np.isfinite(features(points[:1])).all()


def test_features_do_depend_on_motion_and_order():
    points = walking()
    assert np.abs(features(points[::-1]) - features(points)).max() > 0.1
    still = features(np.repeat(points[:1], 20, axis=0))
    np.testing.assert_allclose(still[30:60], 0, atol=1e-6)  # no speed
    np.testing.assert_allclose(still[75:], 0, atol=1e-6)
    hidden = np.ones((20, 15))
    hidden[:, 3] = 0
    assert np.abs(features(points, hidden) - features(points)).max() == 1


def test_mirroring_swaps_sides():
    assert [JOINTS[row].replace("left", "?").replace("right", "?") for row in FLIP] == [
        name.replace("left", "?").replace("right", "?") for name in JOINTS
    ]
    assert (FLIP[FLIP] == np.arange(15)).all()
    assert JOINTS[FLIP[JOINTS.index("left knee")]] == "right knee"


def test_the_network_learns_and_forgets_no_order():
    torch.manual_seed(0)
    network = SkeletonTcn(4).eval()
    x = torch.randn(2, CHANNELS, STEPS)
    assert network(x).shape == (2, 4)
    assert (network(x) - network(x.flip(2))).abs().max() > 1e-4


def clips(count=8):
    joints = [walking(10 + seed, seed).astype(np.float32) for seed in range(count)]
    return JointClips(joints, np.arange(count) % 2, ("a", "b"))


def test_varied_clips_stay_near_and_differ():
    rng = np.random.default_rng(0)
    points = walking()
    drawn = [varied(points, rng) for _ in range(20)]
    assert all(moving.shape[1:] == (15, 2) and seen.shape == moving.shape[:2] for moving, seen in drawn)
    assert any((seen == 0).any() for _, seen in drawn)
    assert len({round(float(moving.sum()), 3) for moving, _ in drawn}) == 20
    x, y = SkeletonBatches(clips(), 0).batch(16)
    assert x.shape == (16, CHANNELS, STEPS)
    assert set(y) == {0, 1}
    assert np.isfinite(x).all()


def test_reading_npz_files(tmp_path):
    path = tmp_path / "clips.npz"
    rows = np.concatenate([joints.reshape(-1, 30) for joints in clips().joints])
    lengths = np.array([len(joints) for joints in clips().joints])
    np.savez(path, label=np.array(list("abababab")), length=lengths, joints=rows)
    loaded = load(path)
    assert loaded.classes == ("a", "b")
    assert [len(joints) for joints in loaded.joints] == lengths.tolist()
    np.testing.assert_allclose(loaded.joints[3], clips().joints[3])
    assert plain_features(loaded).shape == (8, CHANNELS, STEPS)
    with pytest.raises(InputError, match="other actions"):
        load(path, ("a", "c"))
    np.savez(path, label=np.array(list("ab")), length=lengths[:2], joints=rows)
    with pytest.raises(InputError, match="rows of joints"):
        load(path)
    (tmp_path / "text.npz").write_text("nothing")
    with pytest.raises(InputError, match="no labelled joints"):
        load(tmp_path / "text.npz")


class People:
    def __init__(self, boxes, scores):
        self.boxes, self.scores = np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32)


def test_one_person_is_followed_through_a_clip(monkeypatch):
    """The larger one is chosen at first, and kept although the other one grows."""
    clip = Clip(np.zeros((9, 100, 200, 3), np.uint8), np.arange(9) / 10)
    asked = []

    def find(pixels, engine, **_):
        step = len(asked)
        asked.append(step)
        return People([[10 + step, 10, 60 + step, 90], [120, 10 - step * 3, 150 + step * 20, 90]], [0.9, 0.9]), 2

    boxes = []

    def infer(pixels, *, engine, boxes: np.ndarray, **_):
        boxes_seen.append(boxes[0])
        return boxes[0]

    boxes_seen = boxes

    class Poses:
        def __init__(self, box):
            self.keypoints = np.concatenate([np.tile(box[:2], (17, 1)), np.ones((17, 1))], 1)[None]

    monkeypatch.setattr(joints.pose, "find_people", find)
    monkeypatch.setattr(joints.pose, "infer", infer)
    monkeypatch.setattr(joints.pose, "decode", lambda box, settings: Poses(box))
    found = joints_of(clip, None)
    assert found.found
    assert len(asked) == 3  # frames 0, 4 and 8
    lefts = [box[0] for box in boxes]
    assert all(left < 30 for left in lefts)
    np.testing.assert_allclose(np.diff(lefts), 0.25, atol=1e-4)


def test_nobody_is_an_answer(monkeypatch):
    clip = Clip(np.zeros((4, 50, 60, 3), np.uint8), np.arange(4) / 4)
    monkeypatch.setattr(joints.pose, "find_people", lambda *_, **__: (People([], []), 0))
    found = joints_of(clip, None)
    assert not found.found
    raw = compact.run_skeleton(None, found, RunContext(torch.device("cpu")))
    assert not raw.logits.any()
    assert "nobody was found" in raw.clip.note


def test_guessed_joints_are_no_ground_for_a_claim():
    value = compact.example_joints()
    unsure = JointClip(value.joints * [1, 1, 0.2], value.clip)
    raw = compact.run_skeleton(None, unsure, RunContext(torch.device("cpu")))
    assert not raw.logits.any()
    assert "only 0 % of the joints" in raw.clip.note
    assert not decode(raw).sure


def test_a_joint_that_jumps_once_stays():
    points = np.zeros((6, 2, 2))
    points[3, 1] = 50
    points[0, 0] = 7
    still = calmed(points)
    assert not still[1:].any()
    assert still[0, 0].tolist() == [7, 7]
    assert calmed(points[:2]).shape == (2, 2, 2)


def test_joints_reach_the_network():
    torch.manual_seed(0)
    network = SkeletonTcn(len(compact.MOTIONS)).eval()
    context = RunContext(torch.device("cpu"))
    with torch.inference_mode():
        raw = compact.run_skeleton(network, compact.example_joints(), context)
        moved = JointClip(raw.extras["joints"] * [2, 2, 1] + [30, 50, 0], compact.example_joints().clip)
        other = compact.run_skeleton(network, moved, context)
    assert raw.logits.shape == (14,)
    np.testing.assert_allclose(other.logits, raw.logits, atol=1e-4)
    assert {"preprocess", "network", "decode"} == set(context.stages)
