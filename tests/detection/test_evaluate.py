"""Evaluating on a small data set made here, from files to JSON; the numbers against pycocotools."""

import argparse
import contextlib
import io
import json
import sys
import types

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cvdemo.core.errors import InputError
from cvdemo.detection.candidates import Candidates, Detections
from cvdemo.detection.evaluate import add_parser, evaluate, read_annotations, read_ids

CATEGORIES = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}, {"id": 90, "name": "toothbrush"}]
COLOURS = {1: (255, 0, 0), 18: (0, 0, 255)}


@pytest.fixture
def data_set(tmp_path):
    """Six pictures of red people and blue dogs; nobody brushes their teeth. Picture 25 is empty."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    (tmp_path / "pictures" / "deep").mkdir(parents=True)
    for id_ in (4, 9, 12, 25, 31, 40):
        pixels = np.full((120, 160, 3), 128, np.uint8)
        for column in range(0 if id_ == 25 else 3):
            label = 18 if rng.random() < 0.4 else 1
            x, y, w, h = (
                int(v) for v in (column * 52 + rng.integers(0, 5), rng.integers(0, 60), *rng.integers(8, 44, 2))
            )
            pixels[y : y + h, x : x + w] = COLOURS[label]
            row = {"image_id": id_, "category_id": label, "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0}
            annotations.append({"id": len(annotations) + 1, **row})
        name = f"deep/{id_:06d}.png"
        cv2.imwrite(str(tmp_path / "pictures" / name), pixels[..., ::-1])
        images.append({"id": id_, "file_name": name, "width": 160, "height": 120})
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}))
    return path, tmp_path / "pictures"


def find_rectangles(pixels: np.ndarray) -> Detections:
    """A perfect detector for this data set."""
    boxes, labels = [], []
    for label, colour in COLOURS.items():
        mask = (pixels == colour).all(axis=2).astype(np.uint8)
        count, _, parts, _ = cv2.connectedComponentsWithStats(mask)
        for x, y, w, h, _ in parts[1:count]:
            boxes.append([x, y, x + w, y + h])
            labels.append(label)
    scores = np.linspace(0.9, 0.5, len(boxes))
    return Detections.from_arrays(boxes, scores, np.array(labels, dtype=int), height=120, width=160)


def find_roughly(pixels: np.ndarray) -> Detections:
    """The perfect one with noise that depends on the picture only."""
    exact = find_rectangles(pixels)
    rng = np.random.default_rng(int(pixels.sum()))
    boxes = np.repeat(exact.boxes, 2, axis=0) + rng.normal(0, 3, (2 * len(exact), 4))
    boxes = np.concatenate([boxes[:, :2], np.maximum(boxes[:, 2:], boxes[:, :2] + 1)], axis=1)
    labels = np.where(rng.random(len(boxes)) < 0.2, 90, np.repeat(exact.labels, 2))
    return Detections.from_arrays(boxes, np.round(rng.random(len(boxes)), 1), labels, height=120, width=160)


def pycocotools_stats(path, results, ids) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.params.imgIds = ids
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats.tolist()


# ---------------------------------------------------------------- evaluate


def test_a_perfect_detector_scores_one(data_set):
    result = evaluate(*data_set, find_rectangles, model="perfect")
    assert list(result) == [
        "AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl",
        "per_class", "images", "skipped", "model",
    ]  # fmt: skip
    assert result["AP"] == result["AP75"] == pytest.approx(1)
    assert result["APl"] == -1
    assert result["per_class"]["person"] == {"AP": pytest.approx(1), "AP50": pytest.approx(1)}
    assert result["per_class"]["toothbrush"] == {"AP": -1, "AP50": -1}
    assert (result["images"], result["skipped"], result["model"]) == (6, 0, "perfect")
    json.dumps(result)


@pytest.mark.parametrize("ids", [None, [40, 4, 9], [25], [31, 25, 31]])
def test_equals_pycocotools_on_the_same_detections(data_set, ids):
    results = []

    def predict(pixels):
        results.append(find_roughly(pixels))
        return results[-1]

    result = evaluate(*data_set, predict, ids)
    used = sorted(set(ids)) if ids else [4, 9, 12, 25, 31, 40]
    rows = [row for id_, found in zip(used, results) for row in found.to_coco(id_)]
    assert result["images"] == len(used)
    if rows:
        assert list(result.values())[:12] == pytest.approx(pycocotools_stats(data_set[0], rows, used), abs=1e-6)
    else:
        assert set(list(result.values())[:12]) == {-1.0}


def test_progress_counts_up_to_all(data_set):
    calls = []
    evaluate(*data_set, find_rectangles, [4, 9], progress=lambda done, total: calls.append((done, total)))
    assert calls == [(0, 2), (1, 2), (2, 2)]


def test_missing_pictures_are_named_or_skipped(data_set):
    path, folder = data_set
    for id_ in (9, 12):
        (folder / f"deep/{id_:06d}.png").unlink()
    with pytest.raises(InputError, match=r"2 of 6 pictures.*deep/000009\.png, deep/000012\.png.*--skip-missing"):
        evaluate(path, folder, find_rectangles)
    result = evaluate(path, folder, find_rectangles, skip_missing=True)
    assert (result["images"], result["skipped"]) == (4, 2)
    assert result["AP"] == pytest.approx(1)
    with pytest.raises(InputError, match="6 of 6"):
        evaluate(path, folder / "elsewhere", find_rectangles, skip_missing=True)


def test_file_names_may_carry_folders_that_are_not_there(data_set):
    path, folder = data_set
    assert evaluate(path, folder / "deep", find_rectangles)["AP"] == pytest.approx(1)


def test_unknown_ids_are_named(data_set):
    with pytest.raises(InputError, match=r"2 ids are not in annotations\.json, the first: 5, 6"):
        evaluate(*data_set, find_rectangles, [4, 5, 6])


def test_a_picture_of_another_size_is_refused(data_set):
    path, folder = data_set
    cv2.imwrite(str(folder / "deep/000009.png"), np.zeros((60, 80, 3), np.uint8))
    with pytest.raises(InputError, match=r"000009\.png is 80 x 60 pixels where the annotations say 160 x 120"):
        evaluate(path, folder, find_rectangles)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a COCO annotation file"),
        ('{"images": [], "annotations": {}, "categories": []}', "not a COCO annotation file"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "file_name"),
        ('{"images": [7], "annotations": [], "categories": []}', "without what it needs"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "name"),
        ('{"images": [], "annotations": [{"image_id": 1, "category_id": 1}], "categories": []}', "unusable annotation"),
        (
            '{"images": [], "categories": [], "annotations": [{"image_id":1,"category_id": 1,"bbox": [1, 2, 3, NaN]}]}',
            "unusable annotation",
        ),
        (
            '{"images": [{"id":1,"file_name": "a"}, {"id":"b","file_name": ""}], "annotations": [], "categories": []}',
            "mixes numbers and text",
        ),
    ],
)
def test_unusable_annotation_files_are_explained(tmp_path, content, words):
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(InputError, match=words) as caught:
        read_annotations(path)
    assert "broken.json" in str(caught.value)


def test_a_missing_annotation_file_is_explained(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_annotations(tmp_path / "none.json")


# ---------------------------------------------------------------- ids


@pytest.mark.parametrize(
    ("content", "split", "expected"),
    [
        ("[3, 1, 2]", None, [3, 1, 2]),
        ('{"train": [1], "test": [2, 3]}', None, [2, 3]),
        ('{"train": [1], "test": [2, 3]}', "train", [1]),
        ('{"val": [5]}', None, [5]),
        ("3\n1\n\n  2 \n", None, [3, 1, 2]),
        ("000000000139\nphoto-7\n", None, [139, "photo-7"]),
        ("", None, []),
    ],
)
def test_ids_in_each_form(tmp_path, content, split, expected):
    path = tmp_path / "ids"
    path.write_text(content)
    assert read_ids(path, split) == expected


@pytest.mark.parametrize(
    ("content", "split", "words"),
    [
        ('{"train": [1], "val": [2]}', None, "Choose one with --split: train, val"),
        ('{"train": [1], "test": 5}', None, "no list of ids called test"),
        ('{"train": [1]}', "val", "called val"),
        ("[1]", "test", "Leave out --split"),
        ("1\n2", "test", "Leave out --split"),
        ("[1, 2", None, "not valid JSON"),
    ],
)
def test_unusable_ids_are_explained(tmp_path, content, split, words):
    path = tmp_path / "ids.json"
    path.write_text(content)
    with pytest.raises(InputError, match=words):
        read_ids(path, split)


# ---------------------------------------------------------------- command line


@pytest.fixture
def fake_model(monkeypatch):
    """Stands in for the detector: every rectangle twice, the second a little smaller and weaker."""
    calls = []

    def infer(pixels, model, engine=None):
        calls.append(model)
        found = find_rectangles(pixels)
        boxes = np.concatenate([found.boxes, found.boxes * [1, 1, 0.999, 0.999]])
        scores = np.concatenate([found.scores, found.scores * 0.5])
        labels = np.concatenate([found.labels, found.labels])
        return types.SimpleNamespace(candidates=Candidates.from_arrays(boxes, scores, labels, height=120, width=160))

    module = types.ModuleType("cvdemo.detection.predict")
    module.infer, module.DEFAULT_MODEL = infer, "usual-model"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cvdemo.detection.predict", module)
    monkeypatch.setattr("cvdemo.detection.predict", module, raising=False)
    return calls


def run_command(*args: str) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["detection", *args])
    return parsed.run(parsed)


def files(data_set) -> list[str]:
    return ["--annotations", str(data_set[0]), "--images", str(data_set[1])]


def test_json_to_the_output_is_all_of_the_output(data_set, fake_model, capsys, tmp_path):
    ids = tmp_path / "split.json"
    ids.write_text('{"train": [4], "test": [9, 12]}')
    assert run_command(*files(data_set), "--ids", str(ids), "--json", "-") == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["AP"] == pytest.approx(1)
    assert (result["images"], result["model"]) == (2, "usual-model")
    assert fake_model == ["usual-model"] * 2
    assert "2 of 2 pictures" in captured.err


def test_table_and_json_file(data_set, fake_model, capsys, tmp_path):
    target = tmp_path / "result.json"
    assert run_command(*files(data_set), "--model", "other", "--json", str(target)) == 0
    text = capsys.readouterr().out
    assert "other on 6 pictures" in text
    assert "AP50   100.0" in text
    assert "APl        -" in text
    assert "toothbrush" not in text
    assert json.loads(target.read_text())["model"] == "other"


def test_suppression_and_limits_reach_the_detector(data_set, fake_model, capsys):
    def ap(*args: str) -> dict:
        assert run_command(*files(data_set), "--json", "-", *args) == 0
        return json.loads(capsys.readouterr().out)

    assert ap()["AR10"] == pytest.approx(1)
    assert ap("--max-detections", "1")["AR10"] < 1
    assert ap("--score-floor", "0.95")["AR10"] == 0
    assert ap("--nms-kind", "none")["AP"] <= ap()["AP"]


@pytest.mark.parametrize("args", [["--nms", "2"], ["--score-floor", "nan"], ["--max-detections", "0"]])
def test_numbers_out_of_range_are_refused(data_set, fake_model, args):
    with pytest.raises(InputError, match="between 0 and 1"):
        run_command(*files(data_set), *args)


def test_other_numbering_is_pointed_out(data_set, fake_model, capsys):
    content = json.loads(data_set[0].read_text())
    content["categories"][1]["name"] = "cat"
    data_set[0].write_text(json.dumps(content))
    assert run_command(*files(data_set)) == 0
    assert "category 18 is cat" in capsys.readouterr().err
