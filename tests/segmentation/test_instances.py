"""Pasting masks against torchvision's own function, and what decoding keeps."""

import numpy as np
import pytest
import torch
from pycocotools import mask as reference
from torchvision.models.detection.roi_heads import paste_masks_in_image

from cvdemo.segmentation import rle
from cvdemo.segmentation.instances import decode_instances, paste
from cvdemo.segmentation.labels import VOC_CLASSES
from cvdemo.segmentation.raw import RawInstances


def random_instances(seed=0, count=9, height=120, width=160):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-5, [width - 20, height - 20], (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.5, 80, (count, 2))], 1)
    boxes = np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)
    scores = np.sort(rng.random(count))[::-1].astype(np.float32)
    masks = np.clip(rng.normal(0.6, 0.3, (count, 28, 28)), 0, 1).astype(np.float32)
    labels = rng.integers(0, 3, count)
    return RawInstances(boxes, scores, labels, masks, ("person", "dog", "couch"), height, width, "test")


@pytest.mark.parametrize("seed", range(5))
def test_pasting_equals_torchvisions(seed):
    raw = random_instances(seed, 20)
    expected = paste_masks_in_image(torch.from_numpy(raw.masks)[:, None], torch.from_numpy(raw.boxes), (120, 160))
    for row in range(20):
        full = np.zeros((120, 160), np.float32)
        x, y, crop = paste(raw.masks[row], raw.boxes[row], 120, 160)
        full[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
        np.testing.assert_allclose(full, expected[row, 0].numpy(), atol=1e-4)


@pytest.mark.parametrize("box", [(-300, -300, -200, -200), (500, 10, 600, 50), (10, 400, 20, 500)])
def test_a_box_outside_leaves_an_empty_crop(box):
    _, _, crop = paste(np.ones((28, 28), np.float32), np.array(box, np.float32), 120, 160)
    assert crop.size == 0


def test_decoding_filters_by_score_class_and_number():
    raw = random_instances(1, 30)
    found = decode_instances(raw, score_threshold=0.4)
    assert (found.scores > 0.4).all()
    assert len(found) == int((raw.scores > 0.4).sum())
    assert set(decode_instances(raw, score_threshold=0.0, chosen=frozenset({"dog"})).names) == {"dog"}
    assert len(decode_instances(raw, score_threshold=0.0, most=4)) == 4
    np.testing.assert_array_equal(decode_instances(raw, score_threshold=0.0, most=4).rows, np.arange(4))
    none = decode_instances(raw, score_threshold=1.0)
    assert none.sentence() == "No objects above the score threshold"
    assert none.to_dict("a.png")["instances"] == []
    assert none.foreground().max() == 0


def test_a_higher_mask_threshold_never_covers_more():
    raw = random_instances(2)
    areas = [
        [crop.area for crop in decode_instances(raw, score_threshold=0.0, mask_threshold=t).crops]
        for t in (0.1, 0.5, 0.9)
    ]
    assert (np.diff(areas, axis=0) <= 0).all()
    assert sum(areas[0]) > sum(areas[2])


def test_run_lengths_from_the_crop_are_those_of_the_whole_mask():
    found = decode_instances(random_instances(3, 25), score_threshold=0.0)
    for row in range(len(found)):
        mask = found.mask(row)
        np.testing.assert_array_equal(rle.decode(found.run_lengths(row), 120, 160), mask)
        text = rle.to_text(found.run_lengths(row))
        assert text == reference.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()


def test_objects_under_a_pixel_and_painted_maps():
    found = decode_instances(random_instances(4), score_threshold=0.0)
    for x, y in ((30, 40), (80, 60), (159, 119)):
        assert found.at(x, y) == tuple(row for row in range(len(found)) if found.mask(row)[y, x])
    labels = found.label_map(VOC_CLASSES, {"couch": "sofa"})
    assert set(np.unique(labels).tolist()) <= {0, *(VOC_CLASSES.index(n) for n in ("person", "dog", "sofa"))}
    best = found.mask(0)
    assert (labels[best] == VOC_CLASSES.index({"couch": "sofa"}.get(found.names[0], found.names[0]))).all()
    np.testing.assert_array_equal(found.foreground() > 0, np.any([found.mask(r) for r in range(len(found))], axis=0))
    assert found.at(-1, 0) == ()
