"""The raw outputs check themselves, and ``agree`` says what a faster number format may change."""

import dataclasses

import numpy as np
import pytest

from cvdemo.segmentation.raw import RawInstances, RawSegmentation, agree, agree_instances, softmax


def semantic(seed=0, extent=(0.0, 0.0, 64.0, 48.0)):
    logits = np.random.default_rng(seed).normal(size=(4, 6, 8)).astype(np.float32) * 4
    return RawSegmentation(logits, ("a", "b", "c", "d"), extent, 48, 64, "test")


def instances(seed=0, count=12):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 40, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(10, 30, (count, 2))], 1).astype(np.float32)
    scores = np.sort(rng.random(count))[::-1].astype(np.float32)
    masks = rng.random((count, 28, 28)).astype(np.float32)
    return RawInstances(boxes, scores, rng.integers(0, 3, count), masks, ("a", "b", "c"), 80, 80, "test")


def test_unusable_shapes_are_refused():
    raw = semantic()
    for change in (
        {"logits": raw.logits[:3]},
        {"logits": raw.logits.astype(np.float64)},
        {"logits": raw.logits[:, :0]},
        {"extent": (0.0, 0.0, 60.0, 48.0)},
        {"extent": (1.0, 0.0, 64.0, 48.0)},
    ):
        with pytest.raises(ValueError, match=r"logits|covers"):
            dataclasses.replace(raw, **change)
    some = instances()
    for change in ({"boxes": some.boxes[:5]}, {"masks": some.masks[:, :20]}, {"labels": some.labels + 2}):
        with pytest.raises(ValueError, match=r"boxes|masks|labels"):
            dataclasses.replace(some, **change)
    assert len(some) == 12
    assert some.stage == "instances"


def test_softmax_adds_up_and_temperature_flattens():
    logits = semantic().logits
    assert softmax(logits).sum(axis=0) == pytest.approx(np.ones((6, 8)), abs=1e-6)
    assert softmax(logits, 5.0).max() < softmax(logits).max() < softmax(logits, 0.5).max() + 1e-6
    assert softmax(np.array([1000.0, 0.0]))[0] == 1.0


def test_small_changes_agree_and_large_ones_do_not():
    raw = semantic()
    noisy = dataclasses.replace(raw, logits=raw.logits + np.float32(0.01) * semantic(1).logits)
    assert agree(raw, raw)
    assert agree(raw, noisy)
    assert not agree(raw, semantic(2))
    assert not agree(raw, dataclasses.replace(raw, logits=raw.logits * np.float32(np.nan)))
    assert not agree(raw, dataclasses.replace(raw, logits=raw.logits[:, :3]))


def test_instances_need_the_same_objects_with_the_same_masks():
    some = instances()
    assert agree_instances(some, some)
    assert agree_instances(some, dataclasses.replace(some, boxes=some.boxes + np.float32(0.1)))
    assert not agree_instances(some, dataclasses.replace(some, masks=1 - some.masks))
    assert not agree_instances(some, dataclasses.replace(some, labels=(some.labels + 1) % 3))
    assert not agree_instances(some, dataclasses.replace(some, boxes=some.boxes + np.float32(20)))
    assert not agree_instances(some, instances(count=0))
    assert agree_instances(instances(count=0), instances(count=0))
