"""Labelling with a teacher: geometry, files and what the recipe reads back, with a stand-in for the network."""

import json

import cv2
import numpy as np
import pytest

from cvdemo.faces import pseudo_label
from cvdemo.faces.pseudo_label import YuNetTeacher, pictures_in, to_annotation
from cvdemo.faces.training_data import load_labels

POINTS = np.array([[12, 14], [22, 14], [17, 20], [13, 26], [21, 26]], np.float32)


class StandIn:
    """Takes the place of OpenCV's wrapper: remembers what it saw and answers with fixed rows."""

    def __init__(self, rows) -> None:
        self.rows, self.size, self.seen = rows, None, None

    def setInputSize(self, size) -> None:
        self.size = size

    def detect(self, picture):
        self.seen = picture
        return 1, self.rows


def teacher(rows, side=640) -> YuNetTeacher:
    made = YuNetTeacher.__new__(YuNetTeacher)
    made.side, made.network = side, StandIn(rows)
    return made


def test_coordinates_come_back_in_pixels_of_the_picture():
    rows = np.array([[10, 20, 30, 40, *POINTS.ravel(), 0.8]], np.float32)
    labeller = teacher(rows, side=100)
    boxes, scores, landmarks = labeller(np.zeros((100, 200, 3), np.uint8))
    assert labeller.network.seen.shape == (64, 128, 3), "halved, then padded to multiples of 32"
    assert labeller.network.size == (128, 64)
    np.testing.assert_allclose(boxes, [[20, 40, 80, 120]])
    np.testing.assert_allclose(landmarks[0], POINTS * 2)
    assert scores.tolist() == [pytest.approx(0.8)]


def test_small_pictures_are_not_enlarged_and_nothing_is_nothing():
    labeller = teacher(None)
    boxes, scores, landmarks = labeller(np.zeros((40, 50, 3), np.uint8))
    assert labeller.network.seen.shape == (64, 64, 3)
    assert (boxes.shape, scores.shape, landmarks.shape) == ((0, 4), (0,), (0, 5, 2))


def test_an_annotation():
    row = to_annotation(np.array([-5, 2, 30, 60]), 0.91234, POINTS - 15, 100, 50)
    assert row["bbox"] == [0, 2, 30, 48], "cut at the picture's edge"
    assert row["area"] == 30 * 48
    assert row["score"] == 0.912
    assert row["keypoints"][:3] == [-3, -1, 2]
    assert len(row["keypoints"]) == 15


def test_which_pictures(tmp_path):
    for name in ("b.JPG", "a.png", "c.txt", "sub/d.jpeg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    names = [path.name for path in pictures_in([tmp_path])]
    assert names == ["a.png", "b.JPG", "d.jpeg"]
    assert [path.name for path in pictures_in([tmp_path], every=2)] == ["a.png", "d.jpeg"]


def test_the_command_writes_what_the_recipe_reads(tmp_path, monkeypatch):
    for name in ("a.png", "b.png"):
        assert cv2.imwrite(str(tmp_path / name), np.zeros((50, 80, 3), np.uint8))
    (tmp_path / "broken.png").write_bytes(b"nothing")

    def label(picture):
        boxes = np.array([[10, 10, 30, 40], [79.5, 0, 80, 50]], np.float32)
        return boxes, np.array([0.9, 0.8], np.float32), np.stack([POINTS, POINTS])

    monkeypatch.setattr(pseudo_label, "YuNetTeacher", lambda *_: label)
    out = tmp_path / "faces.json"
    common = ["--teacher", "t.onnx", "--out", str(out), str(tmp_path)]
    pseudo_label.main([*common, "--root", str(tmp_path)])
    data = json.loads(out.read_text())
    assert [image["file_name"] for image in data["images"]] == ["a.png", "b.png"]
    assert len(data["annotations"]) == 2, "the sliver is left out"
    assert len({row["id"] for row in data["annotations"]}) == 2
    (name, rows), _ = load_labels(out)
    assert name == "a.png"
    np.testing.assert_allclose(rows[0, :4] * [80, 50, 80, 50], [10, 10, 30, 40], rtol=1e-5)
    with pytest.raises(SystemExit):
        pseudo_label.main([*common, "--root", str(tmp_path / "elsewhere")])
