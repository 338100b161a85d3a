"""Recall, precision and landmark error: against a plain reference, on hand-made cases, and as a command."""

import json

import cv2
import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.faces import evaluate
from cvdemo.faces.evaluate import judge, landmark_errors, summarise, truth_of
from cvdemo.faces.result import Faces

FACE = np.array([[30, 30], [60, 30], [45, 50], [34, 65], [56, 65]], np.float64)


def annotation(box, score=None, points=None, **more):
    x1, y1, x2, y2 = box
    row = {"image_id": 0, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]} | more
    if score is not None:
        row["score"] = score
    if points is not None:
        row["keypoints"] = [v for x, y in np.asarray(points).tolist() for v in (x, y, 2)]
    return row


def found(*rows, points=None) -> Faces:
    table = np.array(rows, np.float32).reshape(-1, 5)
    landmarks = np.tile(FACE, (len(table), 1, 1)) if points is None else np.asarray(points)
    return Faces(table[:, :4], table[:, 4], landmarks.astype(np.float32), 200, 200)


def test_which_annotations_count():
    rows = [annotation((0, 0, 30, 30)), annotation((0, 0, 30, 30), 0.6), annotation((0, 0, 30, 30), 0.8),
            annotation((0, 0, 20, 90), 0.9), annotation((0, 0, 30, 30), iscrowd=1)]  # fmt: skip
    assert truth_of(rows, 24).counts.tolist() == [True, False, True, False, False]
    assert truth_of(rows, 10, sure=0.5).counts.tolist() == [True, True, True, True, False]
    assert truth_of([], 24).boxes.shape == (0, 4)


def test_a_detection_is_right_wrong_or_ignored():
    truth = truth_of([annotation((10, 10, 60, 60)), annotation((100, 100, 150, 150), 0.4)], 24)
    faces = found(
        (10, 10, 60, 58, 0.9),  # right
        (12, 12, 60, 60, 0.8),  # the same face again: wrong
        (100, 100, 150, 148, 0.7),  # a doubtful one
        (0, 150, 40, 190, 0.6),  # nothing there: wrong
        (180, 0, 190, 9, 0.5),  # nothing there, but too small to count
    )
    score = judge(faces, truth, 24)
    assert score.correct.tolist() == [True, False, False, False, False]
    assert score.ignored.tolist() == [False, False, True, False, True]
    assert score.positives == 1
    result = summarise([score], 0.3)
    assert result["recall"] == 1
    assert result["precision"] == pytest.approx(1 / 3)
    assert summarise([score], 0.85)["precision"] == 1


def iou(a, b) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    overlap = max(w, 0) * max(h, 0)
    return overlap / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap)


@pytest.mark.parametrize("seed", range(8))
def test_recall_and_precision_against_a_loop(seed):
    rng = np.random.default_rng(seed)
    pictures, hits, wrong, positives = [], 0, 0, 0
    for _ in range(6):
        corner = rng.uniform(0, 120, (int(rng.integers(0, 6)), 2))
        boxes = np.concatenate([corner, corner + rng.uniform(25, 60, corner.shape)], 1)
        truth = truth_of([annotation(box) for box in boxes], 0)
        guesses = np.concatenate(
            [boxes + rng.normal(0, 5, boxes.shape), rng.uniform(0, 60, (3, 4)) + np.array([0, 0, 60, 60])]
        )
        scores = rng.permutation(len(guesses)) / 10 + 0.01
        faces = found(*np.column_stack([guesses, scores]))
        pictures.append(judge(faces, truth, 0))
        free = set(range(len(boxes)))
        positives += len(boxes)
        for row in np.argsort(-faces.scores):
            if faces.scores[row] <= 0.2:
                continue
            best = max(free, key=lambda k: iou(faces.boxes[row], boxes[k]), default=None)
            if best is not None and iou(faces.boxes[row], boxes[best]) >= 0.5:
                free.remove(best)
                hits += 1
            else:
                wrong += 1
    result = summarise(pictures, 0.2)
    assert result["recall"] == pytest.approx(hits / positives)
    assert result["precision"] == pytest.approx(hits / (hits + wrong))
    assert 0 <= result["AP50"] <= 1


def test_landmark_errors_by_hand():
    true = np.stack([FACE, FACE, FACE, FACE])
    true[2, 1] = true[2, 0] + np.array([1, 0])  # a profile
    true[3, 2] = np.nan
    moved = np.stack([FACE + np.array([3, 0]), FACE + np.array([0, 6]), FACE, FACE])
    boxes = np.tile([20.0, 15, 70, 80], (4, 1))
    np.testing.assert_allclose(landmark_errors(moved, true, boxes), [0.1, 0.2, np.nan, np.nan])


def test_landmark_errors_of_correct_detections_only():
    truth = truth_of([annotation((20, 15, 70, 80), points=FACE)], 24)
    points = np.stack([FACE + 300, FACE + np.array([1.5, 0])])
    score = judge(found((100, 100, 150, 150, 0.9), (20, 15, 70, 80, 0.8), points=points), truth, 24)
    result = summarise([score], 0.5)
    assert result["landmark_error"] == pytest.approx(5.0)
    assert result["landmark_error_median"] == pytest.approx(5.0)
    assert summarise([score], 0.85)["landmark_error"] == -1, "no correct detection is left"


def test_nothing_to_find():
    result = summarise([judge(found(), truth_of([], 24), 24)], 0.5)
    assert result == {"recall": -1, "precision": -1, "AP50": -1, "landmark_error": -1, "landmark_error_median": -1,
                      "faces": 0}  # fmt: skip


@pytest.fixture
def data(tmp_path):
    """Two pictures, of 100 and of 400 px, a face of 40 px in each."""
    for name, side in (("a.png", 100), ("b.png", 400)):
        assert cv2.imwrite(str(tmp_path / name), np.full((side, side, 3), 90, np.uint8))
    images = [
        {"id": i, "file_name": n, "width": s, "height": s} for i, (n, s) in enumerate((("a.png", 100), ("b.png", 400)))
    ]
    annotations = [annotation((10, 10, 50, 50), 0.9, id=i, image_id=i) for i in range(2)]
    path = tmp_path / "coco.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "face"}]})
    )
    return path


def test_sizes_are_those_the_network_sees(data):
    calls = []

    def find(pixels):
        return found((10, 10, 50, 50, 0.9)), 100 / len(pixels)

    result = evaluate.evaluate(data, data.parent, find, threshold=0.5, progress=lambda *at: calls.append(at))
    assert (result["images"], result["faces"]) == (2, 1), "40 px shrunk to 10 px do not count"
    assert (result["recall"], result["precision"]) == (1, 1)
    assert calls == [(1, 2), (2, 2)]
    assert evaluate.evaluate(data, data.parent, find, threshold=0.5, ids=[1])["faces"] == 0
    with pytest.raises(InputError, match="not in"):
        evaluate.evaluate(data, data.parent, find, threshold=0.5, ids=[9])


def test_the_command(data, capsys, monkeypatch, tmp_path):
    import argparse

    from cvdemo.faces import detector
    from cvdemo.faces.result import RawFaces

    def infer(pixels, model):
        faces = found((10, 10, 50, 50, 0.9))
        raw = RawFaces(
            Faces(faces.boxes, faces.scores, faces.landmarks, *pixels.shape[:2]), np.array([8.0]), (100, 100)
        )
        return detector.FaceInference(raw, {}, "cpu", "float32", model)

    monkeypatch.setattr(detector, "infer_faces", infer)
    parser = argparse.ArgumentParser()
    evaluate.add_parser(parser.add_subparsers())
    common = ["faces-detector", "--annotations", str(data), "--images", str(data.parent)]
    args = parser.parse_args([*common, "--json", "-"])
    assert args.run(args) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {"recall", "precision", "AP50", "landmark_error", "landmark_error_median", "faces", "images",
                           "threshold", "model"}  # fmt: skip
    assert (result["recall"], result["faces"], result["model"]) == (1, 1, "compact-face-detector")
    args = parser.parse_args([*common, "--smallest", "5", "--json", str(tmp_path / "out.json")])
    assert args.run(args) == 0
    assert "recall     100.0" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["faces"] == 2
    args = parser.parse_args([*common, "--score-threshold", "2"])
    with pytest.raises(InputError, match="between 0 and 1"):
        args.run(args)
