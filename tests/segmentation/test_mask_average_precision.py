"""Mask AP over a data set equals the reference implementation in all twelve numbers."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools import mask as reference
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cvdemo.segmentation.mask_average_precision import MaskObject, mask_metrics

SIZE = (220, 260)


def blob(rng, near=None):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    if near is None:
        centre, radii = rng.uniform(20, 200, 2), rng.uniform(4, 80, 2)
    else:
        centre, radii = near[0] + rng.normal(0, 4, 2), near[1] * rng.uniform(0.8, 1.2, 2)
    mask = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 <= 1
    return mask, (centre, radii)


def data_set(seed):
    rng = np.random.default_rng(seed)
    truth, found, annotations, results = {}, {}, [], []
    for picture in range(7):
        truth[picture], found[picture] = [], []
        shapes = []
        for _ in range(int(rng.integers(0, 6))):
            mask, shape = blob(rng)
            shapes.append(shape)
            category, crowd = int(rng.integers(1, 4)), bool(rng.random() < 0.15)
            area = float(mask.sum() * rng.uniform(0.9, 1.0))
            truth[picture].append(MaskObject.from_mask(mask, category, crowd=crowd, area=area))
            coded = reference.encode(np.asfortranarray(mask.astype(np.uint8)))
            annotations.append({
                "id": len(annotations) + 1, "image_id": picture, "category_id": category, "iscrowd": int(crowd),
                "area": area, "segmentation": coded, "bbox": reference.toBbox(coded).tolist(),
            })  # fmt: skip
        for _ in range(int(rng.integers(0, 14))):
            near = shapes[int(rng.integers(len(shapes)))] if shapes and rng.random() < 0.8 else None
            mask, _ = blob(rng, near)
            category, score = int(rng.integers(1, 4)), float(rng.choice(np.linspace(0, 1, 30)))
            found[picture].append(MaskObject.from_mask(mask, category, score=score))
            coded = reference.encode(np.asfortranarray(mask.astype(np.uint8)))
            results.append({"image_id": picture, "category_id": category, "score": score, "segmentation": coded})
    return truth, found, annotations, results


@pytest.mark.parametrize("seed", range(6))
def test_all_twelve_numbers_equal_the_references(seed):
    truth, found, annotations, results = data_set(seed)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": k, "height": SIZE[0], "width": SIZE[1]} for k in truth],
            "annotations": annotations,
            "categories": [{"id": k, "name": str(k)} for k in (1, 2, 3, 4)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ours = mask_metrics(truth, found, (1, 2, 3, 4))
    np.testing.assert_allclose(list(ours.summary().values()), evaluation.stats, atol=1e-9)
    assert 0 < ours.summary()["AP50"] < 1, "the comparison must see something"
    assert ours.per_class()[4]["AP"] == -1


def test_perfect_masks_and_none():
    truth = data_set(1)[0]
    objects = {k: [MaskObject(o.runs, o.size, o.category_id, 0.9) for o in v if not o.crowd] for k, v in truth.items()}
    assert mask_metrics(truth, objects, (1, 2, 3)).summary()["AP"] == pytest.approx(1.0)
    assert mask_metrics(truth, {}, (1, 2, 3)).summary()["AP"] == 0.0
    assert mask_metrics({0: []}, {}, (1,)).summary()["AP"] == -1
