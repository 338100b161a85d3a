"""Faces as a container, and everything it can be written as."""

import csv
import io
import json

import numpy as np
import pytest

from cvdemo.faces.labels import LANDMARKS, MIRRORED
from cvdemo.faces.result import Faces, RawFaces

POINTS = np.arange(20, dtype=np.float32).reshape(2, 5, 2)
FACES = Faces(
    np.array([[10, 20, 40, 60], [0, 0, 12, 14]], np.float32), np.array([0.9, 0.5], np.float32), POINTS, 100, 200, "m"
)


def test_as_a_dictionary():
    result = json.loads(json.dumps(FACES.to_dict("a.png")))
    assert result["image"] == {"name": "a.png", "width": 200, "height": 100}
    assert result["model"] == "m"
    first, second = result["faces"]
    assert first["box"] == [10, 20, 40, 60]
    assert first["score"] == pytest.approx(0.9)
    assert list(first["landmarks"]) == list(LANDMARKS)
    assert second["landmarks"]["nose tip"] == [14, 15]


def test_as_coco_results():
    first = FACES.to_coco(7)[0]
    assert (first["image_id"], first["category_id"]) == (7, 1)
    assert first["bbox"] == [10, 20, 30, 40]
    assert first["keypoints"] == [0, 1, 2, 2, 3, 2, 4, 5, 2, 6, 7, 2, 8, 9, 2]


def test_as_csv():
    rows = list(csv.DictReader(io.StringIO(FACES.to_csv("a.png") + FACES.to_csv("b.png", header=False))))
    assert [row["image"] for row in rows] == ["a.png", "a.png", "b.png", "b.png"]
    assert [float(rows[0][key]) for key in ("x1", "y1", "x2", "y2")] == [10, 20, 40, 60]
    assert float(rows[1]["left mouth corner y"]) == 19


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "No faces."),
        ([0], "1 face, 30 px wide."),
        ([0, 1], "2 faces, 12 to 30 px wide."),
        ([1, 1], "2 faces, each 12 px wide."),
    ],
)
def test_as_a_sentence(rows, sentence):
    assert FACES.take(np.array(rows, int)).sentence() == sentence


def test_rows_can_be_taken_by_index_or_mask():
    swapped = FACES.take(np.array([1, 0]))
    np.testing.assert_array_equal(swapped.landmarks, POINTS[::-1])
    assert (swapped.height, swapped.width, swapped.model) == (100, 200, "m")
    assert FACES.take(FACES.scores > 0.6).scores.tolist() == [pytest.approx(0.9)]
    np.testing.assert_array_equal(FACES.sides(), [30, 12])
    assert len(Faces.none(3, 4)) == 0


@pytest.mark.parametrize(
    ("boxes", "landmarks"), [((1, 4), (2, 5, 2)), ((2, 4), (2, 4, 2)), ((2, 5), (2, 5, 2))], ids=str
)
def test_arrays_must_fit_together(boxes, landmarks):
    with pytest.raises(ValueError, match="2 scores"):
        Faces(np.zeros(boxes), np.zeros(2), np.zeros(landmarks))


def test_the_scale_of_the_raw_output():
    assert RawFaces(FACES, np.array([8, 8]), (50, 100)).scale == pytest.approx(0.5)


def test_mirroring_twice_is_nothing():
    order = np.array(MIRRORED)
    np.testing.assert_array_equal(order[order], np.arange(5))
    assert all(name.replace("right", "left") == LANDMARKS[m] for name, m in zip(LANDMARKS, MIRRORED) if "right" in name)
