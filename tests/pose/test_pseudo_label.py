"""Labelling with a teacher: geometry, mirroring and files, with a stand-in for the network."""

import argparse
import json

import cv2
import numpy as np
import pytest

from cvdemo.pose import pseudo_label
from cvdemo.pose.crops import regions_of, to_picture
from cvdemo.pose.pseudo_label import label_people, label_source, people_in, to_annotation
from cvdemo.pose.skeleton import COCO_JOINTS, FLIP_ORDER, JOINT_INDEX
from cvdemo.pose.training_data import joints_of, people_of


def brightest(crop: np.ndarray) -> np.ndarray:
    """A teacher that puts every joint on the brightest spot, with full score."""
    blurred = cv2.GaussianBlur(crop[..., 0].astype(np.float32), (9, 9), 0)
    y, x = np.unravel_index(blurred.argmax(), blurred.shape)
    place = ((x + 0.5) / crop.shape[1], (y + 0.5) / crop.shape[0], 1.0)
    return np.tile(np.array(place, np.float32), (17, 1))


def picture_with_spots(points, height=200, width=260) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    for x, y in points:
        cv2.circle(picture, (x, y), 4, (255, 255, 255), -1)
    return picture


def test_joints_come_back_in_pixels_of_the_picture():
    boxes = np.array([[20, 30, 90, 150], [140, 60, 240, 180]], np.float32)
    found = label_people(picture_with_spots([(60, 80), (200, 130)]), boxes, brightest, 96)
    np.testing.assert_allclose(found[0, :, :2], np.tile([60.5, 80.5], (17, 1)), atol=2.5)
    np.testing.assert_allclose(found[1, :, :2], np.tile([200.5, 130.5], (17, 1)), atol=2.5)
    assert found[..., 2].min() > 0.95, "both views agree"


def test_the_mirrored_view_swaps_left_and_right():
    """The stand-in knows where each joint is, and in the mirrored crop it sees the mirrored person."""
    joints = np.random.default_rng(0).uniform(0.2, 0.8, (17, 3)).astype(np.float32)
    joints[:, 2] = 0.8
    calls = []

    def teacher(crop):
        calls.append(crop)
        if len(calls) % 2:
            return joints.copy()
        seen = joints[list(FLIP_ORDER)].copy()
        seen[:, 0] = 1 - seen[:, 0]
        return seen

    box = np.array([[50, 40, 150, 160]], np.float32)
    found = label_people(np.random.default_rng(1).integers(0, 255, (200, 260, 3), np.uint8), box, teacher, 64)
    np.testing.assert_array_equal(calls[0], calls[1][:, ::-1])
    np.testing.assert_allclose(found[..., :2], to_picture(joints[None, :, :2], regions_of(box, 1.0)), atol=1e-3)
    np.testing.assert_allclose(found[0, :, 2], 0.8, atol=1e-5)


def test_views_that_disagree_lower_the_score():
    def undecided(crop, state=[0]):  # noqa: B006 - counts its calls
        state[0] += 1
        return np.tile(np.array([0.5 if state[0] % 2 else 0.7, 0.5, 0.9], np.float32), (17, 1))

    found = label_people(np.zeros((100, 100, 3), np.uint8), np.array([[10, 10, 90, 90]], np.float32), undecided, 64)
    assert found[..., 2].max() < 0.01


def test_an_annotation_says_what_is_seen_guessed_and_unknown():
    joints = np.tile(np.array([12.34, 56.78, 0.9], np.float32), (17, 1))
    joints[3, 2], joints[4, 2] = 0.2, 0.05
    entry = to_annotation([1, 2, 30, 40], 0.75, joints)
    keypoints = np.array(entry["keypoints"]).reshape(17, 3)
    assert keypoints[0].tolist() == [12.3, 56.8, 2]
    assert keypoints[3, 2] == 1
    assert keypoints[4].tolist() == [0, 0, 0]
    assert (entry["num_keypoints"], entry["score"], entry["area"]) == (16, 0.75, 1200)
    assert len(entry["keypoint_scores"]) == 17


def test_joints_that_people_labelled_stay():
    joints = np.tile(np.array([10, 20, 0.5], np.float32), (17, 1))
    known = np.zeros((17, 3))
    known[JOINT_INDEX["left knee"]] = 70, 80, 1
    entry = to_annotation([0, 0, 100, 100], None, joints, known)
    keypoints = np.array(entry["keypoints"]).reshape(17, 3)
    assert keypoints[JOINT_INDEX["left knee"]].tolist() == [70, 80, 1]
    assert entry["keypoint_scores"][JOINT_INDEX["left knee"]] == 1
    assert keypoints[0].tolist() == [10, 20, 2]


def test_only_sure_and_large_people_are_labelled():
    person = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 50, 100], "score": 0.9}
    others = [
        person | {"score": 0.2},
        person | {"category_id": 18},
        person | {"bbox": [0, 0, 20, 30]},
        person | {"iscrowd": 1},
        person | {"bbox": [0, 0, 2, 100]},
    ]
    assert people_in([person, *others], 0.5, 64) == {1: [person]}


def test_the_recipe_reads_what_was_written(tmp_path):
    assert cv2.imwrite(str(tmp_path / "a.png"), picture_with_spots([(60, 80)]))
    image = {"id": 5, "file_name": "a.png", "width": 260, "height": 200}
    gone = image | {"id": 6, "file_name": "gone.png"}
    box = {"id": 0, "image_id": 5, "category_id": 1, "bbox": [20, 30, 70, 120], "score": 0.8}
    labels = tmp_path / "boxes.json"
    labels.write_text(json.dumps({"images": [image, gone], "annotations": [box, box | {"image_id": 6}]}))
    options = argparse.Namespace(min_score=0.5, min_side=64, min_joints=4, fill=False)
    document = label_source((labels, tmp_path, None), brightest, 96, options)
    (tmp_path / "out.json").write_text(json.dumps(document))
    assert [entry["file_name"] for entry in document["images"]] == ["a.png"]
    ((name, entry),) = people_of((tmp_path / "out.json", tmp_path, None))
    assert name == "a.png"
    joints = joints_of(entry)
    np.testing.assert_allclose(joints[:, :2], np.tile([60.5, 80.5], (17, 1)), atol=2.5)
    assert joints[:, 2].min() == 1
    category = document["categories"][0]
    assert category["keypoints"] == [joint.replace(" ", "_") for joint in COCO_JOINTS]


def test_the_interpreter_gives_x_before_y(monkeypatch):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="the TFLite runtime is not installed")

    class StandIn:
        def __init__(self, path, num_threads):
            self.seen = None

        def allocate_tensors(self):
            pass

        def get_input_details(self):
            return [{"index": 3, "dtype": np.uint8, "shape": np.array([1, 32, 32, 3])}]

        def get_output_details(self):
            return [{"index": 7}]

        def set_tensor(self, index, value):
            assert (index, value.shape, value.dtype) == (3, (1, 32, 32, 3), np.uint8)

        def invoke(self):
            pass

        def get_tensor(self, index):
            assert index == 7
            return np.tile(np.array([0.1, 0.7, 0.5], np.float32), (1, 1, 17, 1))

    monkeypatch.setattr(interpreter, "Interpreter", StandIn)
    teacher = pseudo_label.MoveNetTeacher("movenet.tflite")
    assert teacher.side == 32
    np.testing.assert_allclose(teacher(np.zeros((32, 32, 3), np.uint8))[0], [0.7, 0.1, 0.5])
