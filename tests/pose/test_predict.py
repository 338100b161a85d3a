"""From a picture to poses and what they are written as; the network is a stand-in that draws exact Gaussians."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from cvdemo.core.errors import CvDemoError, SettingsError
from cvdemo.core.media import Picture
from cvdemo.pose.poses import coco_document, no_poses
from cvdemo.pose.predict import PoseSettings, decode, draw, find_people, infer, settings_for
from cvdemo.pose.raw import RawPoses, agree, no_people, of_stage, peaks
from cvdemo.pose.skeleton import COCO_JOINTS

MODEL = "stand-in-pose"
GREY = np.full((480, 640, 3), 90, np.uint8)
TWO = [[60, 60, 180, 420], [330, 100, 470, 400]]


def expected(boxes, standing):
    boxes = np.asarray(boxes, np.float64)
    return boxes[:, None, :2] + standing * (boxes[:, None, 2:] - boxes[:, None, :2])


def test_everybody_is_found_in_one_run(stand_in, crowd_of, standing):
    boxes = crowd_of(TWO, [0.6, 0.8])
    inference = infer(GREY, MODEL)
    assert next(iter(inference.stages)) == "people"
    poses = decode(inference)
    assert poses.rows.tolist() == [0, 1]
    np.testing.assert_allclose(poses.box_scores, [0.8, 0.6])
    np.testing.assert_allclose(poses.keypoints[..., :2], expected(boxes[::-1], standing), atol=0.1)
    assert poses.visible.all()
    assert poses.keypoints[..., 2].min() > 0.8
    assert poses.sentence() == "2 people: 17 and 17 of 17 joints visible"
    assert inference.device == "cpu"


def test_known_boxes_leave_out_the_detector(stand_in, standing, monkeypatch):
    monkeypatch.setattr("cvdemo.pose.predict.detection.infer", None)
    boxes = np.array([*TWO, [5, 5, 5, 9], [np.nan, 0, 1, 1]])
    poses = decode(infer(Picture(GREY), MODEL, boxes=boxes))
    assert len(poses) == 2
    np.testing.assert_allclose(poses.keypoints[..., :2], expected(TWO, standing), atol=0.1)
    assert len(decode(infer(GREY, MODEL, boxes=np.zeros((0, 4))))) == 0


def test_nobody(stand_in, crowd_of):
    crowd_of([])
    inference = infer(GREY, MODEL)
    assert list(inference.stages) == ["people"]
    poses = decode(inference)
    assert poses.sentence() == "No person was found"
    assert poses.to_dict("a.png") == {
        "image": {"name": "a.png", "width": 640, "height": 480}, "model": MODEL, "found": 0, "people": [],
    }  # fmt: skip
    assert poses.to_csv() == "person,joint,x,y,score,visible\n"
    np.testing.assert_array_equal(draw(GREY, poses, PoseSettings()), GREY)


def test_two_hundred_people(stand_in, crowd_of):
    rng = np.random.default_rng(0)
    corners = np.stack([np.arange(200) % 20 * 32, np.arange(200) // 20 * 48], axis=1)
    crowd_of(np.concatenate([corners, corners + np.array([28, 44])], axis=1), rng.uniform(0.4, 0.9, 200))
    inference = infer(GREY, MODEL)
    assert len(inference.raw) == 100
    poses = decode(inference, PoseSettings(max_people=20))
    assert len(poses) == 20
    assert poses.found == 200
    assert poses.sentence() == "20 people (of 200 found): 17 of 17 joints visible on average"
    assert len(infer(GREY, MODEL, most=7).raw) == 7
    assert draw(GREY, poses, PoseSettings()).shape == GREY.shape


@pytest.mark.parametrize(("height", "width"), [(1, 1), (20, 3000), (3000, 20)])
def test_tiny_and_narrow_pictures(stand_in, crowd_of, height, width):
    crowd_of([[0, 0, width, height]])
    pixels = np.zeros((height, width, 3), np.uint8)
    poses = decode(infer(pixels, MODEL))
    assert len(poses) == 1
    assert np.isfinite(poses.keypoints).all()
    settings = PoseSettings(show_boxes=True, show_oks=True, style="limbs")
    assert draw(pixels, poses, settings).shape == pixels.shape


def test_half_a_person_reaches_outside_and_is_kept(stand_in, crowd_of, standing):
    boxes = crowd_of([[-60, 300, 60, 700]])
    poses = decode(infer(GREY, MODEL))
    np.testing.assert_allclose(poses.keypoints[..., :2], expected(boxes, standing), atol=0.1)
    assert draw(GREY, poses, PoseSettings()).shape == GREY.shape


def test_undefined_heatmaps_show_no_joint(stand_in, crowd_of):
    crowd_of(TWO)
    raw = infer(GREY, MODEL).raw
    broken = raw.heatmaps.copy()
    broken[0] = np.nan
    broken[1, :5] = -np.inf
    poses = decode(replace(raw, heatmaps=broken))
    assert poses.visible.sum(axis=1).tolist() == [0, 12]
    assert np.isfinite(poses.keypoints).all()
    assert poses.scores[0] == 0
    json.dumps(poses.to_dict(), allow_nan=False)


def test_sliders_act_without_the_network(stand_in, crowd_of):
    crowd_of(TWO, [0.9, 0.5])
    inference = infer(GREY, MODEL)
    assert len(decode(inference, PoseSettings(box_threshold=0.6))) == 1
    assert not decode(inference, PoseSettings(joint_threshold=0.95)).visible.any()
    hidden = decode(inference, PoseSettings(hidden_joints=("nose", "left knee")))
    assert np.flatnonzero(~hidden.visible[0]).tolist() == [0, 13]
    assert (decode(inference, PoseSettings(max_people=1)).rows == [0]).all()
    exact = decode(inference).keypoints[..., :2]
    coarse = decode(inference, PoseSettings(decode="argmax")).keypoints[..., :2]
    assert 0.5 < np.abs(exact - coarse).max() < 5
    with pytest.raises(SettingsError):
        PoseSettings(box_threshold=0.01)


def test_models_without_heatmaps_and_their_first_stage(standing):
    boxes = np.array(TWO, np.float32)
    points = expected(boxes, standing).astype(np.float32)
    scores = np.full((2, 17), 0.7, np.float32)
    points[1, 3] = np.nan
    first = {"stage 1": points + 10, "maps": np.zeros((2, 17, 8, 6), np.float32)}
    raw = RawPoses(boxes, np.ones(2, np.float32), None, boxes, points, scores, 480, 640, "regression", first)
    poses = decode(raw)
    np.testing.assert_allclose(poses.keypoints[0, :, :2], points[0])
    assert not poses.visible[1, 3]
    assert poses.visible.sum() == 33
    np.testing.assert_allclose(decode(of_stage(raw, "stage 1")).keypoints[0, :, :2], points[0] + 10)
    assert not decode(of_stage(raw, "maps")).visible.any()
    with pytest.raises(KeyError):
        of_stage(raw, "stage 2")


def test_agreement_is_about_places_and_scores(stand_in, crowd_of):
    crowd_of(TWO)
    raw = infer(GREY, MODEL).raw
    assert agree(raw, raw)
    assert agree(no_people(4, 4, ""), no_people(4, 4, ""))
    assert not agree(raw, no_people(480, 640, ""))
    assert agree(raw, replace(raw, heatmaps=raw.heatmaps + np.float32(0.01)))
    assert not agree(raw, replace(raw, heatmaps=np.roll(raw.heatmaps, 9, axis=3)))
    assert not agree(raw, replace(raw, heatmaps=raw.heatmaps * np.float32(0.5)))
    assert not agree(raw, replace(raw, heatmaps=np.full_like(raw.heatmaps, np.nan)))
    points, scores = peaks(raw)
    assert points.shape == (2, 17, 2)
    assert scores.shape == (2, 17)


def test_wrong_results_are_refused():
    none = np.zeros((1, 4), np.float32)
    one = np.ones(1, np.float32)
    with pytest.raises(ValueError, match="heatmaps or keypoints"):
        RawPoses(none, one, None, none, None, None, 4, 4, "")
    with pytest.raises(ValueError, match="come together"):
        RawPoses(none, one, None, none, np.zeros((1, 17, 2)), None, 4, 4, "")
    with pytest.raises(ValueError, match="heatmaps of shape"):
        RawPoses(none, one, np.zeros((1, 16, 4, 4)), none, None, None, 4, 4, "")
    with pytest.raises(ValueError, match="every person"):
        RawPoses(none, np.ones(2), np.zeros((1, 17, 4, 4)), none, None, None, 4, 4, "")


def test_json_is_cocos_and_csv_has_a_line_per_joint(stand_in, crowd_of):
    crowd_of(TWO)
    poses = decode(infer(GREY, MODEL), PoseSettings(hidden_joints=("nose",)))
    document = json.loads(json.dumps(coco_document([("a.png", poses), ("b.png", no_poses(3, 4))])))
    assert [image["file_name"] for image in document["images"]] == ["a.png", "b.png"]
    assert document["categories"][0]["keypoints"][5] == "left_shoulder"
    assert min(min(pair) for pair in document["categories"][0]["skeleton"]) == 1
    first = document["annotations"][0]
    assert first["image_id"] == 1
    assert first["category_id"] == 1
    assert first["num_keypoints"] == 16
    assert len(first["keypoints"]) == 51
    assert first["keypoints"][:3] == [0, 0, 0]
    assert first["keypoints"][5] == 2
    assert first["bbox"] == [60, 60, 120, 360]
    assert first["area"] == 120 * 360
    rows = list(csv.DictReader(io.StringIO(poses.to_csv("a.png"))))
    assert len(rows) == 34
    assert rows[0] == {**rows[0], "image": "a.png", "person": "1", "joint": "nose", "visible": "0"}
    assert [row["joint"] for row in rows[:17]] == list(COCO_JOINTS)
    assert float(rows[5]["x"]) == pytest.approx(first["keypoints"][15], abs=0.01)
    results = poses.to_coco(7)
    assert len(results) == 2
    assert results[0]["keypoints"] == poses.keypoints[0].reshape(-1).tolist()
    assert results[0]["score"] == pytest.approx(0.9 * poses.keypoints[0, 1:, 2].mean(), rel=1e-6)


def test_people_come_from_the_compact_detector(compact_engine, crowd):
    people, found = find_people(crowd, compact_engine)
    assert found == len(people.boxes) > 0
    assert (np.diff(people.scores) <= 0).all()
    assert people.scores.min() > 0.15
    assert len(find_people(crowd, compact_engine, most=1)[0].boxes) == 1


def test_an_unknown_model_is_named(stand_in):
    with pytest.raises(CvDemoError, match="keypointrcn"):
        infer(GREY, "keypointrcn")
    assert settings_for("keypointrcnn_resnet50_fpn").decode == "own"
