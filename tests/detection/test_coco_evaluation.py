"""The COCO evaluation against pycocotools on random data sets with every awkward case."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cvdemo.detection.coco_evaluation import CocoMetrics, coco_metrics

STATS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def random_data_set(seed: int, *, images: int = 12, classes: int = 5, crowded: bool = False):
    """Objects of all sizes, some crowds; detections near them, far from them, tied in score, in empty pictures."""
    rng = np.random.default_rng(seed)
    image_ids = rng.permutation(1000)[:images].tolist()
    category_ids = rng.permutation(90)[:classes].tolist()
    annotations, results = [], []
    for image_id in image_ids:
        for _ in range(rng.integers(0, 12)):
            side = np.exp(rng.uniform(np.log(6), np.log(300), 2))
            box = np.concatenate([rng.uniform(0, 300, 2), side])
            if seed % 2:
                box = np.round(box)  # whole numbers make exact IoUs and areas on the border of a size range
                box[2:] = rng.choice([32, 96, box[2], 16], 2) if rng.random() < 0.3 else np.maximum(box[2:], 1)
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": int(rng.choice(category_ids[:-1])),  # the last class has no ground truth
                "bbox": box.tolist(),
                "area": float(box[2] * box[3] * rng.choice([1.0, rng.uniform(0.4, 1.0)])),
                "iscrowd": int(rng.random() < 0.15),
            }
            annotations.append(annotation)
            for _ in range(rng.integers(0, 4)):
                shift = rng.normal(0, 0.12, 4) * np.concatenate([side, side]) * rng.choice([0, 1])
                near = np.maximum(box + (np.round(shift) if seed % 2 else shift), [-50, -50, 1, 1])
                category = annotation["category_id"] if rng.random() < 0.85 else int(rng.choice(category_ids))
                results.append({"image_id": image_id, "category_id": category, "bbox": near.tolist()})
        for _ in range(rng.integers(0, 130 if crowded else 8)):
            box = np.concatenate([rng.uniform(0, 300, 2), rng.uniform(1, 200, 2)])
            category = category_ids[0] if crowded else int(rng.choice(category_ids))
            results.append({"image_id": image_id, "category_id": category, "bbox": box.tolist()})
    for result in results:
        result["score"] = float(np.round(rng.random(), 1 if seed % 3 == 0 else 6))
    order = rng.permutation(len(results))
    return image_ids, category_ids, annotations, [results[i] for i in order]


def reference(image_ids, category_ids, annotations, results, *, only_images=None) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": id_, "width": 640, "height": 640} for id_ in image_ids],
            "categories": [{"id": id_, "name": str(id_)} for id_ in category_ids],
            "annotations": [dict(row) for row in annotations],
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes([dict(row) for row in results]), "bbox")
        if only_images is not None:
            evaluation.params.imgIds = list(only_images)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def assert_equal(ours: CocoMetrics, theirs: COCOeval) -> None:
    assert tuple(ours.summary()) == STATS
    assert list(ours.summary().values()) == pytest.approx(theirs.stats.tolist(), abs=1e-6)
    assert ours.precision == pytest.approx(theirs.eval["precision"], abs=1e-9)
    assert ours.recall == pytest.approx(theirs.eval["recall"], abs=1e-9)
    for k, id_ in enumerate(theirs.params.catIds):
        for key, part in (("AP", slice(None)), ("AP50", slice(0, 1))):
            values = theirs.eval["precision"][part, :, k, 0, -1]
            expected = values[values > -1].mean() if (values > -1).any() else -1
            assert ours.per_class()[id_][key] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(30))
def test_equals_pycocotools(seed):
    data = random_data_set(seed)
    assert_equal(coco_metrics(data[2], data[3], data[0], data[1]), reference(*data))


@pytest.mark.parametrize("seed", [100, 101, 102])
def test_equals_pycocotools_beyond_a_hundred_detections_a_picture(seed):
    data = random_data_set(seed, images=6, classes=3, crowded=True)
    assert_equal(coco_metrics(data[2], data[3], data[0], data[1]), reference(*data))


@pytest.mark.parametrize("seed", [200, 201])
def test_a_subset_of_pictures(seed):
    image_ids, category_ids, annotations, results = random_data_set(seed)
    some = image_ids[3:9]
    theirs = reference(image_ids, category_ids, annotations, results, only_images=some)
    assert_equal(coco_metrics(annotations, results, some, category_ids), theirs)


def test_perfect_detections_score_one():
    image_ids, category_ids, annotations, _ = random_data_set(7)
    results = [{**row, "score": 0.9} for row in annotations if not row["iscrowd"]]
    summary = coco_metrics(annotations, results, image_ids, category_ids).summary()
    assert summary["AP"] == summary["AP75"] == summary["AR100"] == pytest.approx(1.0)


def test_no_detections_score_zero_and_no_objects_minus_one():
    image_ids, category_ids, annotations, results = random_data_set(7)
    assert coco_metrics(annotations, [], image_ids, category_ids).summary()["AP"] == 0
    assert set(coco_metrics([], results, image_ids, category_ids).summary().values()) == {-1.0}
    assert coco_metrics([], [], [], []).summary()["AP"] == -1


def test_missing_area_and_crowd_flag_fall_back_to_the_box_and_to_no_crowd():
    box = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]}
    summary = coco_metrics([box], [{**box, "score": 0.5}], [1], [1]).summary()
    assert (summary["AP"], summary["APs"], summary["APm"]) == (pytest.approx(1.0), pytest.approx(1.0), -1.0)


def test_an_annotation_with_id_zero_can_be_found():
    box = {"id": 0, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0}
    assert coco_metrics([box], [{**box, "score": 0.5}], [1], [1]).summary()["AP"] == pytest.approx(1.0)
