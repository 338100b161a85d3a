"""Ground truth for one picture: reading files, and every number said about it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.detection.average_precision import GroundTruth
from cvdemo.detection.candidates import Candidates, Detections
from cvdemo.detection.lecture_truth import TruthFile, assess, read_truth, scaled, stand_in
from cvdemo.detection.predict import DetectionSettings, decode
from cvdemo.detection.view import coco_document

HEIGHT, WIDTH = 240, 320
CATEGORIES = [{"id": 7, "name": "Person"}, {"id": 0, "name": "sofa"}, {"id": 3, "name": "unicorn"}]


def document(**changes):
    content = {
        "images": [
            {"id": 5, "file_name": "train/Street one.JPG", "width": 320, "height": 240},
            {"id": "b", "file_name": "b.png"},
        ],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 7, "bbox": [10, 20, 30, 40]},
            {"id": 2, "image_id": "b", "category_id": 0, "bbox": [1, 2, 3, 4], "iscrowd": 1},
            {"id": 3, "image_id": 5, "category_id": 0, "bbox": [0, 0, 5.5, 5]},
            {"id": 4, "image_id": 5, "category_id": 3, "bbox": [0, 0, 5, 5]},
        ],
        "categories": CATEGORIES,
    }
    return {**content, **changes}


def saved(tmp_path, content):
    path = tmp_path / "truth.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def one_kind_of_id(content):
    for row in [*content["images"], *content["annotations"]]:
        for key in ("id", "image_id"):
            if row.get(key) == "b":
                row[key] = 6
    return content


def one_object(row):
    return one_kind_of_id(document(annotations=[row]))


def read(tmp_path, content) -> TruthFile:
    return read_truth(saved(tmp_path, content))


def test_classes_are_matched_by_name_and_what_is_unknown_is_left_out_and_said(tmp_path):
    truth = read(tmp_path, one_kind_of_id(document()))
    street, remark = truth.of("Street one.JPG", 240, 320)
    assert remark == ""
    assert street.labels.tolist() == [1, 63]  # person, and couch, which VOC calls sofa
    np.testing.assert_array_equal(street.boxes, np.array([[10, 20, 40, 60], [0, 0, 5.5, 5]], np.float32))
    other, _ = truth.of("b.png", 77, 99)  # no size is stated, so any will do
    assert other.labels.tolist() == [63]
    assert other.crowd.tolist() == [True]
    assert "do not know their class: 1." in truth.note


@pytest.mark.parametrize("name", ["train/Street one.JPG", "street one.jpg", "Street_one.JPG", "C:\\x\\Street one.JPG"])
def test_names_are_compared_as_browsers_leave_them(tmp_path, name):
    truth = read(tmp_path, one_kind_of_id(document()))
    assert len(truth.of(name, 240, 320)[0]) == 2


def test_a_picture_that_is_not_in_the_file_is_named(tmp_path):
    truth = read(tmp_path, one_kind_of_id(document()))
    with pytest.raises(InputError, match=r"truth\.json has 2 pictures, and none is called c\.png.*Street one"):
        truth.of("c.png", 240, 320)


def test_the_only_picture_is_taken_whatever_its_name_but_not_whatever_its_size(tmp_path):
    content = document(images=document()["images"][:1])
    truth = read(tmp_path, content)
    found, remark = truth.of("renamed.png", 240, 320)
    assert len(found) == 2
    assert "train/Street one.JPG" in remark
    assert "no area or no picture: 1." in truth.note, "the annotation of the other picture"
    with pytest.raises(InputError, match="320 x 240 pixels; this one has 640 x 480"):
        truth.of("renamed.png", 480, 640)


def test_two_pictures_of_one_name_are_not_guessed_between(tmp_path):
    content = document(images=[{"id": 5, "file_name": "a/x.png"}, {"id": 6, "file_name": "b/x.png"}], annotations=[])
    with pytest.raises(InputError, match=r"2 pictures called x\.png"):
        read(tmp_path, content).of("x.png", 240, 320)


def test_without_categories_coco_numbers_are_taken(tmp_path):
    rows = [{"image_id": 5, "category_id": id_, "bbox": [1, 2, 3, 4]} for id_ in (18, 12, 1)]  # 12 is a gap
    content = document(images=document()["images"][:1], annotations=rows, categories=[])
    assert read(tmp_path, content).of("", 240, 320)[0].labels.tolist() == [18, 1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not valid JSON"),
        ("\x00\x01", "not valid JSON"),
        ("[1, 2]", "not a COCO annotation file.*images"),
        ('{"detections": []}', "not a COCO annotation file"),
        ("[" * 100_000, "not a usable COCO"),
        (document(images=[]), "lists no pictures"),
        (document(images=[{"id": 1}]), "without what it needs"),
        (document(images=[{"id": [], "file_name": "a"}]), "without what it needs"),
        (document(images=[7]), "without what it needs|not a usable"),
        (one_kind_of_id(document(categories=[{"id": 1, "name": "unicorn"}])), "none of the 80 classes.*unicorn"),
        (one_object({"image_id": 5, "bbox": [0, 0, 1, 1]}), "unusable annotation"),
        (one_object({"image_id": 5, "category_id": 7, "bbox": [0, 0, 1]}), "unusable annotation"),
        (one_object({"image_id": 5, "category_id": 7, "bbox": [0, 0, 1, 10**400]}), "not a usable"),
        (document(), "mixes numbers and text"),
    ],
)  # fmt: skip
def test_unusable_files_are_explained(tmp_path, content, words):
    with pytest.raises(InputError, match=words) as refused:
        read(tmp_path, content)
    assert "truth.json" in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "row",
    [
        {"image_id": [], "category_id": 7, "bbox": [0, 0, 1, 1]},
        {"image_id": 5, "category_id": {}, "bbox": [0, 0, 1, 1]},
        {"image_id": 5, "category_id": 7, "bbox": [0, 0, -1, 1]},
        {"image_id": 5, "category_id": 7, "bbox": [0, 0, 0, 1]},
        {"image_id": 99, "category_id": 7, "bbox": [0, 0, 1, 1]},
    ],
)
def test_single_annotations_that_mean_nothing_are_left_out_and_counted(tmp_path, row):
    content = one_kind_of_id(document(annotations=[row]))
    truth = read(tmp_path, content)
    assert len(truth.boxes) == 0
    assert "no area or no picture: 1." in truth.note


def test_files_that_are_missing_or_folders(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_truth(tmp_path / "gone.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_truth(tmp_path)


def test_the_tabs_own_download_reads_back(tmp_path):
    found = Detections.from_arrays([[0, 0, 5, 5], [1, 1, 4, 4]], [0.9, 0.8], [1, 18], height=9, width=8)
    truth, _ = read(tmp_path, coco_document([("a.png", found)])).of("a.png", 9, 8)
    np.testing.assert_allclose(truth.boxes, found.boxes)
    assert truth.labels.tolist() == [1, 18]


# ---------------------------------------------------------------- what it says


def random_scene(seed: int) -> tuple[Candidates, GroundTruth]:
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 200, (9, 2))
    objects = np.concatenate([start, start + rng.uniform(15, 60, (9, 2))], 1)
    labels = rng.choice([1, 18], 9)
    which = rng.integers(0, 9, 60)
    boxes = objects[which] + rng.normal(0, 5, (60, 4))
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    guesses = np.where(rng.uniform(size=60) < 0.8, labels[which], 32)
    candidates = Candidates.from_arrays(boxes, rng.uniform(0.02, 1, 60), guesses, height=HEIGHT, width=WIDTH)
    return candidates, GroundTruth(objects.astype(np.float32), labels, np.zeros(9, bool))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("label", [None, 1, 18])
def test_every_threshold_is_a_point_of_the_curve_that_does_not_depend_on_it(seed, label):
    candidates, truth = random_scene(seed)
    settings = DetectionSettings(iou_threshold=0.5)
    first = assess(candidates, truth, settings, 0.6, label)
    for threshold in first.curve.scores[::3]:
        now = assess(candidates, truth, replace(settings, score_threshold=float(threshold) - 1e-6), 0.6, label)
        np.testing.assert_array_equal(now.curve.precision, first.curve.precision)
        row = int(np.flatnonzero(first.curve.scores == threshold)[-1])
        assert now.precision == pytest.approx(first.curve.precision[row])
        assert now.recall == pytest.approx(first.curve.recall[row])
        if now.precision + now.recall:
            assert now.f1 == pytest.approx(2 * now.precision * now.recall / (now.precision + now.recall))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("iou", [0.5, 0.75])
def test_ap_of_each_class_equals_pycocotools(seed, iou, capsys):
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    candidates, truth = random_scene(seed)
    result = assess(candidates, truth, DetectionSettings(iou_threshold=0.5), iou)
    corners = truth.boxes.astype(float)
    corners[:, 2:] -= corners[:, :2]
    data = coco.COCO()
    data.dataset = {
        "images": [{"id": 1}], "categories": [{"id": id_} for id_ in (1, 18, 32)],
        "annotations": [{"id": i + 1, "image_id": 1, "category_id": int(label), "bbox": box, "area": box[2] * box[3],
                         "iscrowd": 0} for i, (label, box) in enumerate(zip(truth.labels, corners.tolist()))],
    }  # fmt: skip
    data.createIndex()
    for label in (1, 18):
        scorer = evaluation.COCOeval(data, data.loadRes(result.everything.to_coco(1)), "bbox")
        scorer.params.iouThrs, scorer.params.catIds = np.array([iou]), [label]
        scorer.evaluate()
        scorer.accumulate()
        theirs = scorer.eval["precision"][0, :, 0, 0, -1]
        ours = next(score for score in result.classes if score.label == label)
        assert ours.ap_101 == pytest.approx(theirs.mean(), abs=1e-9)
        assert ours.ap_11 == pytest.approx(theirs[::10].mean(), abs=1e-9)
    capsys.readouterr()
    rated = [score for score in result.classes if score.objects]
    assert result.mean_ap == pytest.approx((np.mean([s.ap_11 for s in rated]), np.mean([s.ap_101 for s in rated])))


SCENE = GroundTruth(
    np.array([[0, 0, 100, 100], [150, 0, 250, 100], [0, 150, 60, 210]], np.float32), np.array([1, 1, 18]),
    np.zeros(3, bool),
)  # fmt: skip
FOUND = Candidates.from_arrays(
    [[0, 0, 100, 98], [0, 2, 100, 100], [150, 0, 200, 80], [0, 150, 60, 210], [260, 180, 300, 230], [0, 152, 60, 210]],
    [0.9, 0.8, 0.7, 0.6, 0.5, 0.1],
    [1, 1, 1, 1, 1, 18],
    height=HEIGHT,
    width=WIDTH,
)
OPEN = DetectionSettings(0.3, nms_kind="none")


def test_hard_negatives_are_ranked_and_explained():
    result = assess(FOUND, SCENE, OPEN)
    assert [(false.score, false.reason) for false in result.hardest] == [
        (pytest.approx(0.8), "second box on an object that is already found"),
        (pytest.approx(0.7), "badly placed"),
        (pytest.approx(0.6), "wrong class: there is a dog"),
        (pytest.approx(0.5), "background"),
    ]
    assert result.hardest[1].iou == pytest.approx(0.4)
    assert all(false.shown for false in result.hardest)
    stricter = assess(FOUND, SCENE, replace(OPEN, score_threshold=0.65))
    assert [false.shown for false in stricter.hardest] == [True, True, False, False]
    assert [false.label for false in assess(FOUND, SCENE, OPEN, label=18).hardest] == []


def test_counts_of_all_classes_and_of_one():
    result = assess(FOUND, SCENE, OPEN)
    assert result.counts == {"TP": 1, "FP": 4, "FN": 2}
    assert (result.precision, result.recall, result.f1) == pytest.approx((1 / 5, 1 / 3, 2 / 8))
    dogs = assess(FOUND, SCENE, OPEN, label=18)
    assert dogs.counts == {"TP": 0, "FP": 0, "FN": 1}
    assert (dogs.precision, dogs.recall, dogs.f1) == (0, 0, 0)
    assert dogs.ap_101 == 1.0, "the dog is found, only below the threshold"
    assert [(s.label, s.objects, s.counts["TP"]) for s in result.classes] == [(1, 2, 1), (18, 1, 0)]


def test_a_stricter_iou_takes_hits_away():
    result = assess(FOUND, SCENE, OPEN, 0.99)
    assert result.counts == {"TP": 0, "FP": 5, "FN": 3}


def test_hidden_classes_are_neither_found_nor_missed():
    result = assess(FOUND, SCENE, replace(OPEN, classes=("dog",)))
    assert result.counts == {"TP": 0, "FP": 0, "FN": 1}
    assert len(result.truth) == 1
    assert [score.label for score in result.classes] == [18]


def test_crowds_count_neither_way():
    crowd = replace(SCENE, crowd=np.array([False, True, False]))
    result = assess(FOUND, crowd, OPEN)
    assert result.counts == {"TP": 1, "FP": 3, "FN": 1}
    assert "badly placed" not in [false.reason for false in result.hardest]


def test_nothing_to_find_and_nothing_found():
    nothing = GroundTruth(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool))
    result = assess(FOUND, nothing, OPEN)
    assert result.counts == {"TP": 0, "FP": 5, "FN": 0}
    assert {false.reason for false in result.hardest} == {"background"}
    assert result.mean_ap == (0.0, 0.0)
    empty = assess(Candidates.empty(HEIGHT, WIDTH), SCENE, OPEN)
    assert empty.counts == {"TP": 0, "FP": 0, "FN": 3}
    assert empty.hardest == ()
    assert (empty.precision, empty.recall, empty.f1, empty.ap_11) == (0, 0, 0, 0)


def test_boxes_shown_now_may_stand_in_for_the_truth_of_their_own_picture():
    found = decode(FOUND, OPEN).detections
    truth = stand_in("a.jpg", found)
    objects, _ = truth.of("a.jpg", HEIGHT, WIDTH)
    assert assess(FOUND, objects, OPEN).counts == {"TP": 5, "FP": 0, "FN": 0}
    assert "no measure of quality" in truth.note
    with pytest.raises(InputError, match=r"belong to a\.jpg"):
        truth.of("b.jpg", HEIGHT, WIDTH)


def test_objects_follow_a_smaller_copy():
    assert scaled(SCENE, 0.5).boxes[1].tolist() == [75, 0, 125, 50]
    assert scaled(SCENE, 1.0) is SCENE
