"""What leaves the program can be read back, by us and by the field's own tools."""

import csv
import io
import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as reference

from cvdemo.core.media import read_picture
from cvdemo.segmentation import export
from cvdemo.segmentation.ground_truth import truth_from_coco, truth_from_mask
from cvdemo.segmentation.instances import decode_instances
from cvdemo.segmentation.labels import VOC_CLASSES, VOC_COLOURS
from cvdemo.segmentation.raw import RawInstances, RawSegmentation
from cvdemo.segmentation.result import Segmentation


def semantic(height=60, width=80):
    logits = np.random.default_rng(0).normal(size=(21, 15, 20)).astype(np.float32)
    logits[[k for k in range(21) if k not in (0, 12, 15)]] -= 9
    return Segmentation(RawSegmentation(logits, VOC_CLASSES, (0.0, 0.0, width, height), height, width, "test"))


def objects(count=4):
    rng = np.random.default_rng(1)
    boxes = np.array([[5, 5, 40, 40], [30, 20, 70, 55], [50, 0, 60, 9], [0, 50, 79, 59]], np.float32)[:count]
    masks = rng.random((count, 28, 28)).astype(np.float32) + 0.3
    scores = np.array([0.9, 0.8, 0.7, 0.6], np.float32)[:count]
    raw = RawInstances(boxes, scores, np.arange(count) % 2, np.clip(masks, 0, 1), ("person", "dog"), 60, 80, "test")
    return decode_instances(raw, score_threshold=0.1)


def test_the_index_png_holds_indices_and_shows_colours():
    found = semantic()
    data = export.index_png(found.labels, VOC_CLASSES)
    image = Image.open(BytesIO(data))
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), found.labels)
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), VOC_COLOURS[found.labels])
    np.testing.assert_array_equal(truth_from_mask(data, VOC_CLASSES, 60, 80), found.labels)
    with pytest.raises(ValueError, match="uint8"):
        export.index_png(found.labels.astype(np.int64), VOC_CLASSES)


def test_the_cut_out_is_transparent_around_what_is_shown():
    found, pixels = semantic(), np.random.default_rng(2).integers(0, 256, (60, 80, 3), np.uint8)
    image = np.asarray(Image.open(BytesIO(export.cut_out_png(pixels, found))))
    np.testing.assert_array_equal(image[..., :3], pixels)
    assert np.abs(image[..., 3] / 255 - found.foreground()).max() < 0.003
    hard = np.asarray(Image.open(BytesIO(export.cut_out_png(pixels, objects()))))[..., 3]
    assert set(np.unique(hard).tolist()) == {0, 255}
    assert read_picture(export.cut_out_png(pixels, found)).width == 80


def test_areas_and_objects_as_csv():
    found = semantic()
    rows = list(csv.DictReader(io.StringIO(export.to_csv(found, "a.png"))))
    assert [row["label"] for row in rows] == [area.name for area in found.areas]
    assert sum(int(row["pixels"]) for row in rows) == 4800
    lines = list(csv.DictReader(io.StringIO(export.to_csv(objects(), "b.png"))))
    assert [float(row["score"]) for row in lines] == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert [int(row["pixels"]) for row in lines] == [crop.area for crop in objects().crops]
    assert export.to_csv(objects(0), header=False) == ""


def test_the_coco_document_is_read_by_the_reference_and_by_us():
    found, some = semantic(), objects()
    document = json.loads(json.dumps(export.coco_document([("a.png", found), ("b.png", some)])))
    assert [image["file_name"] for image in document["images"]] == ["a.png", "b.png"]
    assert len({row["id"] for row in document["annotations"]}) == len(document["annotations"])
    first = [row for row in document["annotations"] if row["image_id"] == 1]
    for row in first:
        mask = reference.decode(row["segmentation"]).astype(bool)
        np.testing.assert_array_equal(mask, found.labels == row["category_id"] - 1)
        assert row["area"] == mask.sum()
        assert row["bbox"] == reference.toBbox(row["segmentation"]).tolist()
    second = [row for row in document["annotations"] if row["image_id"] == 2]
    assert [row["score"] for row in second] == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert {row["category_id"] for row in second} == {1, 18}, "COCO's own ids"
    for row, index in zip(second, range(4)):
        np.testing.assert_array_equal(reference.decode(row["segmentation"]).astype(bool), some.mask(index))
    alone = export.coco_document([("a.png", found)])
    np.testing.assert_array_equal(truth_from_coco(alone, VOC_CLASSES, 60, 80), found.labels)


@pytest.mark.parametrize("seed", range(5))
def test_polygons_cover_a_mask_without_holes(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((40, 50), bool)
    for _ in range(4):
        x, y = rng.integers(0, 40), rng.integers(0, 30)
        mask[y : y + rng.integers(1, 12), x : x + rng.integers(1, 12)] = True
    for polygon in export.polygons_of(mask):
        assert len(polygon) >= 6
    covered = reference.decode(reference.merge(reference.frPyObjects(export.polygons_of(mask), 40, 50))).astype(bool)
    holes = covered & ~mask
    assert (covered >= mask).all() or (mask & ~covered).sum() <= 2
    assert holes.sum() <= 0.05 * mask.sum() + 12


def test_polygons_in_a_document_and_masks_without_pixels():
    document = export.coco_document([("b.png", objects())], polygons=True)
    assert all(isinstance(row["segmentation"], list) for row in document["annotations"])
    assert export.polygons_of(np.zeros((4, 4), bool)) == []
    one = np.zeros((4, 4), bool)
    one[1, 2] = True
    assert sorted(np.array(export.polygons_of(one)[0]).reshape(-1, 2).tolist()) == [[2, 1], [2, 2], [3, 1], [3, 2]]
    assert export.coco_document([("c.png", objects(0))])["annotations"] == []
