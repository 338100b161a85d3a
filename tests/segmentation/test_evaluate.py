"""``evaluate segmentation`` over folders of masks and COCO files, with functions whose answer is known."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as reference

from cvdemo.core.errors import InputError
from cvdemo.core.media import save_picture
from cvdemo.segmentation import evaluate as module
from cvdemo.segmentation.ground_truth import read_coco
from cvdemo.segmentation.instances import decode_instances
from cvdemo.segmentation.labels import VOC_CLASSES
from cvdemo.segmentation.metrics import compare
from cvdemo.segmentation.raw import RawInstances, RawSegmentation
from cvdemo.segmentation.result import Segmentation

SIZE = (24, 32)


def result_of(labels):
    logits = np.zeros((21, *labels.shape), np.float32)
    np.put_along_axis(logits, labels[None].astype(np.int64), 9.0, axis=0)
    height, width = labels.shape
    return Segmentation(RawSegmentation(logits, VOC_CLASSES, (0.0, 0.0, width, height), height, width, "test"))


@pytest.fixture
def folders(tmp_path):
    """Three pictures whose red channel is the class an oracle answers; two have masks."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    rng = np.random.default_rng(0)
    truth = []
    for index in range(3):
        answer = rng.choice([0, 12, 15], SIZE).astype(np.uint8)
        save_picture(images / f"p{index}.png", np.dstack([answer, answer * 0, answer * 0]))
        if index < 2:
            true = np.where(rng.random(SIZE) < 0.3, rng.choice([0, 15], SIZE), answer).astype(np.uint8)
            true[0] = 255
            Image.fromarray(true).save(masks / f"p{index}.png")
            truth.append((true, answer))
    return images, masks, truth


def oracle(pixels):
    return result_of(pixels[..., 0])


def test_a_folder_of_masks(folders):
    images, masks, truth = folders
    pairs = module.pairs_of_masks(images, masks)
    assert [pair.picture.name for pair in pairs] == ["p0.png", "p1.png"]
    seen = []
    report = module.evaluate(pairs, oracle, VOC_CLASSES, model="oracle", progress=lambda *step: seen.append(step))
    expected = compare(*(np.concatenate(part) for part in zip(*truth)), VOC_CLASSES)
    assert report["pixel_accuracy"] == pytest.approx(expected.pixel_accuracy)
    assert report["mean_pixel_accuracy"] == pytest.approx(expected.mean_pixel_accuracy)
    assert report["mIoU"] == pytest.approx(expected.mIoU)
    assert set(report["per_class"]) == {"background", "dog", "person"}
    assert (report["images"], report["model"]) == (2, "oracle")
    assert seen[-1] == (2, 2)
    assert "person" in module.table(report)
    json.dumps(report)


def test_folders_that_do_not_fit(folders, tmp_path):
    images, masks, _ = folders
    with pytest.raises(InputError, match="is not a folder"):
        module.pairs_of_masks(images, tmp_path / "nowhere")
    with pytest.raises(InputError, match="No picture in"):
        module.pairs_of_masks(images, tmp_path)
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(masks / "p0.png")
    with pytest.raises(InputError, match="5 x 5 pixels, the picture 32 x 24"):
        module.evaluate(module.pairs_of_masks(images, masks), oracle, VOC_CLASSES)


def coco(tmp_path, images):
    mask = np.zeros(SIZE, bool)
    mask[4:20, 4:20] = True
    coded = reference.encode(np.asfortranarray(mask.astype(np.uint8)))
    text = {"size": list(SIZE), "counts": coded["counts"].decode()}
    records = [{"id": k, "file_name": f"x/p{k}.png", "width": 32, "height": 24} for k in range(3)]
    rows = [
        {"id": 1, "image_id": 0, "category_id": 1, "bbox": [4, 4, 16, 16], "segmentation": text, "area": 256.0},
        {"id": 2, "image_id": 0, "category_id": 18, "bbox": [24, 2, 5, 5]},
        {"id": 3, "image_id": 1, "category_id": 1, "bbox": [1, 2, 5, 5]},
    ]
    path = tmp_path / "coco.json"
    categories = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
    path.write_text(json.dumps({"images": records, "annotations": rows, "categories": categories}))
    return path, mask


def test_a_coco_file_with_a_semantic_model(folders, tmp_path):
    images, _, _ = folders
    path, mask = coco(tmp_path, images)
    pairs = module.pairs_of_coco(read_coco(path), images)
    assert [pair.picture.name for pair in pairs] == ["p0.png"], "pictures without outlines say nothing"
    names = {1: "person", 18: "dog"}

    def perfect(pixels):
        return result_of(np.where(mask, 15, 0).astype(np.uint8))

    report = module.evaluate(pairs, perfect, VOC_CLASSES, names=names)
    assert report["mIoU"] == report["pixel_accuracy"] == 1.0
    assert report["pixels"] == 24 * 32 - 25, "the dog has no outline, its box is not judged"
    with pytest.raises(InputError, match="1 ids are not in"):
        module.pairs_of_coco(read_coco(path), images, [0, 99])
    with pytest.raises(InputError, match="has outlines"):
        module.pairs_of_coco(read_coco(path), images, [1])


def test_a_coco_file_with_an_instance_model(folders, tmp_path):
    images, _, _ = folders
    path, _ = coco(tmp_path, images)
    pairs = module.pairs_of_coco(read_coco(path), images)

    def find(pixels):
        boxes = np.array([[4, 4, 20, 20], [24, 2, 29, 7], [0, 20, 10, 24]], np.float32)
        scores, labels = np.array([0.9, 0.8, 0.2], np.float32), np.array([0, 1, 0])
        masks = np.ones((3, 28, 28), np.float32)
        raw = RawInstances(boxes, scores, labels, masks, ("person", "dog"), *SIZE, "test")
        return decode_instances(raw, score_threshold=0.05)

    report = module.evaluate(pairs, find, VOC_CLASSES, names={1: "person", 18: "dog"})
    assert report["mask_AP50"] == pytest.approx(1.0)
    assert report["mask_per_class"]["person"]["AP50"] == pytest.approx(1.0)
    assert "dog" not in report["mask_per_class"], "a box without outline is neither hit nor miss"
    assert 0.5 < report["mIoU"] < 1
    assert "mask_AP" in module.table(report)
    assert module.table(report).splitlines()[-1].split() == ["person", "100.0", "100.0"]


def test_people_without_an_outline_are_neither_hits_nor_misses(folders, tmp_path):
    """The better of two found people stands in a box without outline: ignored, or a false alarm in the plain number."""
    images, _, _ = folders
    path, _ = coco(tmp_path, images)
    content = read_coco(path)
    content["annotations"].append({"id": 9, "image_id": 0, "category_id": 1, "bbox": [22, 1, 9, 9]})
    pairs = module.pairs_of_coco(content, images)

    def find(pixels):
        boxes = np.array([[23, 2, 30, 9], [4, 4, 20, 20]], np.float32)
        masks = np.ones((2, 28, 28), np.float32)
        raw = RawInstances(boxes, np.array([0.9, 0.8], np.float32), np.array([0, 0]), masks, ("person",), *SIZE, "t")
        return decode_instances(raw, score_threshold=0.05)

    report = module.evaluate(pairs, find, VOC_CLASSES, names={1: "person", 18: "dog"})
    assert report["mask_AP50"] == pytest.approx(1.0)
    assert report["mask_plain_AP50"] == pytest.approx(0.5), "one false alarm before the hit: precision one half"
    assert [item.crowd for item in module.true_objects(pairs[0].rows, *SIZE)] == [False, True, True]
    assert [item.crowd for item in module.true_objects(pairs[0].rows, *SIZE, outlined=True)] == [False]
