"""Containers: validation, selection, and the exported forms of the issue (JSON, COCO, CSV, a sentence)."""

import csv
import io
import json

import numpy as np
import pytest

from cvdemo.detection.candidates import Candidates, Detections, count_in_words, name_of
from cvdemo.detection.labels import COCO_CATEGORIES


def make(n: int = 3, **changes) -> dict:
    columns = {
        "boxes": np.arange(4 * n, dtype=np.float64).reshape(n, 4),
        "scores": np.linspace(0.9, 0.1, n),
        "labels": np.arange(1, n + 1),
        "height": 48,
        "width": 64,
    }
    return {**columns, **changes}


def test_columns_get_the_promised_dtypes_and_layout():
    c = Candidates.from_arrays(**make(origins=np.ones((3, 4)), level=[0, 1, 2]))
    assert len(c) == 3
    assert (c.boxes.dtype, c.scores.dtype, c.labels.dtype, c.level.dtype) == (
        np.float32,
        np.float32,
        np.int64,
        np.int16,
    )
    assert c.origins is not None
    assert c.origins.dtype == np.float32
    assert c.boxes.flags.c_contiguous


def test_missing_level_and_origins():
    c = Candidates.from_arrays(**make())
    assert c.level.tolist() == [-1, -1, -1]
    assert c.origins is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"boxes": np.zeros((3, 5))}, "boxes must have shape"),
        ({"boxes": np.zeros(12)}, "boxes must have shape"),
        ({"scores": [0.1, 0.2]}, "scores has 2 rows where boxes have 3"),
        ({"scores": [0.1, np.nan, 0.2]}, "scores holds NaN"),
        ({"scores": [0.1, 1.5, 0.2]}, "between 0 and 1"),
        ({"scores": [0.1, -0.5, 0.2]}, "between 0 and 1"),
        ({"boxes": np.full((3, 4), np.inf)}, "boxes holds NaN or infinite"),
        ({"labels": [1.5, 2.0, 3.0]}, "labels must be whole numbers"),
        ({"labels": [[1], [2], [3]]}, "labels must have shape"),
        ({"level": [0, 1]}, "level has 2 rows"),
        ({"origins": np.zeros((2, 4))}, "origins has 2 rows"),
        ({"origins": np.full((3, 4), np.nan)}, "origins holds NaN"),
        ({"height": 0}, "size must be positive"),
    ],
)
def test_disagreeing_columns_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        Candidates.from_arrays(**make(**changes))


@pytest.mark.parametrize("kind", [Candidates, Detections])
def test_empty(kind):
    none = kind.empty(48, 64, model="m")
    assert len(none) == 0
    assert none.boxes.shape == (0, 4)
    assert (none.height, none.width, none.model) == (48, 64, "m")
    assert len(none.take([])) == 0


def test_take_by_mask_and_by_index_keep_every_column_aligned():
    c = Candidates.from_arrays(**make(4, level=[0, 1, 2, 3], origins=np.eye(4), model="m", class_aware=False))
    by_mask = c.take(np.array([False, True, False, True]))
    by_index = c.take([3, 1])
    assert by_mask.labels.tolist() == [2, 4]
    assert by_index.labels.tolist() == [4, 2]
    assert by_index.level.tolist() == [3, 1]
    assert by_index.origins is not None
    assert by_index.origins[0].tolist() == [0, 0, 0, 1]
    assert (by_index.model, by_index.class_aware, by_index.width) == ("m", False, 64)


def test_detections_remember_their_candidate():
    c = Candidates.from_arrays(**make(4))
    d = Detections.from_candidates(c, [2, 0], scores=[0.3, 0.2])
    assert d.index.tolist() == [2, 0]
    assert d.scores.tolist() == pytest.approx([0.3, 0.2])
    assert d.take([1]).index.tolist() == [0]
    assert np.array_equal(d.boxes, c.boxes[[2, 0]])


def test_to_dict_is_the_json_of_the_issue():
    d = Detections.from_arrays([[1.23456, 2, 30, 40]], [0.5], [18], height=48, width=64, model="m")
    assert json.loads(json.dumps(d.to_dict("a.png"))) == {
        "image": {"name": "a.png", "width": 64, "height": 48},
        "model": "m",
        "detections": [{"label": "dog", "category_id": 18, "score": 0.5, "box": [1.235, 2.0, 30.0, 40.0]}],
    }


def test_to_coco_gives_corner_width_and_height_unrounded():
    d = Detections.from_arrays([[1.2345678, 2, 30, 40]], [1 / 3], [18], height=48, width=64)
    (row,) = d.to_coco(7)
    x1 = float(np.float32(1.2345678))
    assert row == {
        "image_id": 7,
        "category_id": 18,
        "bbox": [x1, 2.0, 30.0 - x1, 38.0],
        "score": float(np.float32(1 / 3)),
    }


def test_to_csv_reads_back():
    d = Detections.from_arrays([[1, 2, 3, 4], [5, 6, 7, 8]], [0.75, 0.5], [1, 44], height=48, width=64)
    rows = list(csv.DictReader(io.StringIO(d.to_csv('odd, "name".png'))))
    assert [row["label"] for row in rows] == ["person", "bottle"]
    assert rows[0]["image"] == 'odd, "name".png'
    assert [float(rows[1][key]) for key in ("score", "x1", "y1", "x2", "y2")] == [0.5, 5, 6, 7, 8]
    assert d.to_csv().splitlines()[0] == "label,category_id,score,x1,y1,x2,y2"
    assert len(d.to_csv(header=False).splitlines()) == 2


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([], "No objects above the score threshold"),
        ([18], "1 dog"),
        ([18, 1, 1, 1], "3 people, 1 dog"),
        ([6, 6], "2 buses"),
        ([15, 15, 49, 49, 49], "3 knives, 2 benches"),
        ([35], "1 pair of skis"),
        ([87, 87], "2 pairs of scissors"),
        ([74, 74, 20, 20], "2 sheep, 2 mice"),
        ([72, 72], "2 TVs"),
        ([46, 46, 90, 90], "2 wine glasses, 2 toothbrushes"),
    ],
)
def test_sentence(labels, sentence):
    n = len(labels)
    d = Detections.from_arrays(np.zeros((n, 4)), np.full(n, 0.5), np.array(labels, dtype=int), height=4, width=4)
    assert d.sentence() == sentence


def test_every_category_has_a_plural_that_differs_in_more_than_the_number():
    for category in COCO_CATEGORIES:
        assert count_in_words(category.id, 1).startswith("1 ")
        plural = count_in_words(category.id, 2)[2:]
        assert plural != category.name or plural in ("sheep", "broccoli")


def test_unknown_category_ids_still_read():
    assert name_of(123) == "category 123"
    assert count_in_words(123, 2) == "2 of category 123"


def test_containers_compare_by_identity():
    c = Candidates.from_arrays(**make())
    assert c == c
    assert c != Candidates.from_arrays(**make())
