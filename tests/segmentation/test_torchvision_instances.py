"""Mask R-CNN's objects and raw masks, pasted by our own code, against torchvision's forward pass."""

import functools

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import detection
from torchvision.ops import FrozenBatchNorm2d

from cvdemo.core.context import RunContext
from cvdemo.detection.labels import COCO_CATEGORIES, NAME_OF_ID
from cvdemo.segmentation.instances import paste
from cvdemo.segmentation.torchvision_instances import infer_instances

UNNAMED = [label for label in range(91) if label not in NAME_OF_ID]
OPTIONS = {"min_size": 128, "max_size": 224, "rpn_post_nms_top_n_test": 60, "box_detections_per_img": 25}


def picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.stack([127 + 100 * np.sin(x / (9 + 7 * c) + y / (13 + 5 * c)) for c in range(3)], -1)
    for _ in range(12):
        left, top = rng.integers(0, width), rng.integers(0, height)
        image[top : top + height // 3 + 4, left : left + width // 3 + 4] = rng.integers(0, 255, 3)
    return np.clip(image + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)


def forward(model, pixels):
    with torch.inference_mode():
        return model([torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255])[0]


@functools.cache
def network(name):
    """Random weights, brought to scores on both sides of the threshold in named classes only."""
    torch.manual_seed(0)
    model = getattr(detection, name)(weights=None, weights_backbone=None, **OPTIONS).eval()

    def normalise(norm, inputs):
        if not inputs[0].numel():  # no object yet for the mask head
            return
        norm.running_mean.copy_(inputs[0].mean((0, 2, 3)))
        norm.running_var.copy_(inputs[0].var((0, 2, 3), unbiased=False).clamp(min=1e-3))

    def calibrate():
        norms = [m for m in model.modules() if isinstance(m, (nn.BatchNorm2d, FrozenBatchNorm2d))]
        hooks = [norm.register_forward_pre_hook(normalise) for norm in norms]
        forward(model, picture(200, 260, 9))
        for hook in hooks:
            hook.remove()

    calibrate()
    heads = model.roi_heads
    for layer, deviation in (
        (model.rpn.head.cls_logits, 2.0),
        (model.rpn.head.bbox_pred, 0.3),
        (heads.box_predictor.cls_score, 2.0),
        (heads.box_predictor.bbox_pred, 1.0),
        (heads.mask_predictor.mask_fcn_logits, 3.0),
    ):
        seen = []
        handle = layer.register_forward_hook(lambda _, __, output, seen=seen: seen.append(output.flatten()))
        forward(model, picture(200, 260, 9))
        handle.remove()
        if seen and len(seen[0]) > 1:
            layer.weight.data.mul_(deviation / max(torch.cat(seen).std().item(), 1e-6))
        if layer is heads.box_predictor.cls_score:
            layer.weight.data[UNNAMED] = 0
            layer.bias.data[UNNAMED] = -30.0
            layer.bias.data[0] = 1.0
            calibrate()
    return model.requires_grad_(False)


@pytest.mark.parametrize("name", ["maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"])
@pytest.mark.parametrize("size", [(150, 210), (233, 131)], ids=str)
def test_objects_and_pasted_masks_equal_torchvisions(name, size):
    pixels = picture(*size, seed=size[0])
    model = network(name)
    expected = {key: value.numpy() for key, value in forward(model, pixels).items()}
    raw = infer_instances(model, pixels, RunContext(torch.device("cpu")), name=name)
    assert len(raw) == len(expected["scores"]) >= 3
    assert raw.masks.shape == (len(raw), 28, 28)
    assert raw.model == name
    ids = np.array([COCO_CATEGORIES[label].id for label in raw.labels])
    ours = np.lexsort((raw.boxes[:, 0], -raw.scores, ids))
    theirs = np.lexsort((expected["boxes"][:, 0], -expected["scores"], expected["labels"]))
    np.testing.assert_array_equal(ids[ours], expected["labels"][theirs])
    np.testing.assert_allclose(raw.scores[ours], expected["scores"][theirs], atol=1e-4)
    np.testing.assert_allclose(raw.boxes[ours], expected["boxes"][theirs], atol=5e-3)
    assert expected["masks"].std() > 0.1, "the masks must differ from cell to cell"
    differing = 0
    for row, other in zip(ours.tolist(), theirs.tolist()):
        full = np.zeros(size, np.float32)
        x, y, crop = paste(raw.masks[row], expected["boxes"][other], *size)
        full[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
        differing += int(np.abs(full - expected["masks"][other, 0]).max() > 1e-3)
    assert differing == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (300, 8)], ids=str)
def test_adversarial_shapes(size):
    model = network("maskrcnn_resnet50_fpn")
    raw = infer_instances(model, picture(*size), RunContext(torch.device("cpu")), name="x")
    assert raw.masks.shape[1:] == (28, 28)
    assert (raw.boxes[:, 2] <= size[1] + 1e-3).all()


def test_a_picture_without_objects_has_none():
    model = network("maskrcnn_resnet50_fpn")
    bias = model.roi_heads.box_predictor.cls_score.bias
    before = bias[0].item()
    bias.data[0] = 60.0
    raw = infer_instances(model, picture(60, 80), RunContext(torch.device("cpu")), name="x")
    bias.data[0] = before
    assert len(raw) == 0
    assert raw.masks.shape == (0, 28, 28)
    assert not model.backbone._forward_hooks, "nothing stays behind in the shared network"
