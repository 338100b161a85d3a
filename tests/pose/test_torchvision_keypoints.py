"""Keypoint R-CNN: raw output and decoding against torchvision's own forward, and the entry against its facts."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import detection, get_model_weights
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints

from cvdemo.core import registry
from cvdemo.core.fusing import fuse_batch_norm
from cvdemo.core.registry import RunContext
from cvdemo.pose import models
from cvdemo.pose.heatmaps import decode_heatmaps
from cvdemo.pose.predict import PoseSettings, decode
from cvdemo.pose.raw import People, agree
from cvdemo.pose.skeleton import COCO_KEYPOINT_NAMES
from cvdemo.pose.torchvision_keypoints import infer_keypoints

EVERYTHING = PoseSettings(box_threshold=0.15, joint_threshold=0.0, decode="own", max_people=100)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def picture(height=150, width=200, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.stack([127 + 100 * np.sin(x / (9 + 7 * c) + y / (13 + 5 * c)) for c in range(3)], -1)
    return np.clip(image + rng.normal(0, 25, image.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def network():
    """Random weights, batch norms fitted to one picture, box scores on both sides of the threshold."""
    torch.manual_seed(0)
    model = detection.keypointrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, min_size=96, max_size=160, rpn_post_nms_top_n_test=40,
        box_detections_per_img=6,
    )  # fmt: skip
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    model.eval()
    for norm in norms:
        norm.train()
    with torch.no_grad():
        forward(model, picture(seed=9))
    model.eval()
    nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=0.3)
    nn.init.normal_(model.roi_heads.box_predictor.bbox_pred.weight, std=0.02)
    nn.init.normal_(model.roi_heads.keypoint_predictor.kps_score_lowres.weight, std=0.1)
    return model


def forward(model, pixels):
    with torch.inference_mode():
        return model([torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255])[0]


def ours(model, value):
    return infer_keypoints(model, value, RunContext(torch.device("cpu")), name="test")


@pytest.mark.parametrize("shape", [(150, 200), (200, 90)])
def test_raw_and_decoded_equal_torchvisions_forward(network, shape):
    pixels = picture(*shape)
    theirs, raw = forward(network, pixels), ours(network, pixels)
    assert len(raw) == len(theirs["boxes"]) > 0
    np.testing.assert_allclose(raw.boxes, theirs["boxes"].numpy(), atol=1e-3)
    np.testing.assert_allclose(raw.box_scores, theirs["scores"].numpy(), atol=1e-4)
    np.testing.assert_allclose(raw.keypoints, theirs["keypoints"][..., :2].numpy(), atol=1e-3)
    np.testing.assert_allclose(raw.scores, theirs["keypoints_scores"].numpy(), atol=1e-3)
    poses = decode(raw, EVERYTHING)
    above = theirs["scores"].numpy() > 0.15
    np.testing.assert_allclose(poses.keypoints[..., :2], theirs["keypoints"][..., :2].numpy()[above], atol=1e-3)
    assert ((poses.keypoints[..., 2] >= 0) & (poses.keypoints[..., 2] <= 1)).all()


def test_heatmaps_are_kept(network):
    raw = ours(network, picture())
    assert raw.heatmaps.shape == (len(raw), 17, 56, 56)
    assert raw.logits
    assert agree(raw, raw)
    coarse = decode(raw, PoseSettings(box_threshold=0.15, decode="argmax", max_people=100))
    row, joint = 0, 5
    i, j = np.unravel_index(raw.heatmaps[row, joint].argmax(), (56, 56))
    x1, y1, x2, y2 = raw.boxes[row]
    place = [x1 + (j + 0.5) / 56 * (x2 - x1), y1 + (i + 0.5) / 56 * (y2 - y1)]
    np.testing.assert_allclose(coarse.keypoints[row, joint, :2], place, atol=1e-3)


@pytest.mark.parametrize("kind", ["argmax", "quarter", "sub-pixel"])
def test_on_clear_maps_all_kinds_agree_with_torchvisions_decoding(kind):
    rng = np.random.default_rng(0)
    boxes = np.array([[10.0, 20.0, 210.0, 420.0], [0.0, 0.0, 60.0, 90.0]], np.float32)
    centres = rng.uniform(8, 47, (2, 17, 2))
    y, x = np.mgrid[:56, :56]
    squared = (x - centres[..., 0, None, None]) ** 2 + (y - centres[..., 1, None, None]) ** 2
    logits = (10 - squared / 8).astype(np.float32)
    theirs = heatmaps_to_keypoints(torch.from_numpy(logits), torch.from_numpy(boxes))[0][..., :2].numpy()
    points, _ = decode_heatmaps(logits, boxes, kind, logits=True)
    cells = (boxes[:, 2:] - boxes[:, :2])[:, None] / 56
    assert (np.abs(points - theirs) <= 0.6 * cells + 0.6).all()


def test_known_boxes_replace_the_first_stage(network):
    pixels = picture()
    found = ours(network, pixels)
    people = People(pixels, found.boxes[:2], np.array([0.9, 0.8], np.float32))
    raw = ours(network, people)
    np.testing.assert_allclose(raw.boxes, found.boxes[:2], atol=1e-3)
    np.testing.assert_allclose(raw.box_scores, [0.9, 0.8])
    np.testing.assert_allclose(raw.heatmaps, found.heatmaps[:2], atol=0.05, rtol=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (20, 3000)])
def test_tiny_and_narrow_pictures(network, shape):
    raw = ours(network, np.full((*shape, 3), 120, np.uint8))
    assert (raw.height, raw.width) == shape
    assert np.isfinite(decode(raw, EVERYTHING).keypoints).all()


def test_nobody(network, monkeypatch):
    monkeypatch.setattr(network.roi_heads, "score_thresh", 2.0)
    raw = ours(network, picture())
    assert len(raw) == 0
    assert decode(raw).sentence() == "No person was found"


def test_the_entry_says_what_torchvision_says():
    spec, entry = models.SPEC, get_model_weights("keypointrcnn_resnet50_fpn").DEFAULT
    assert registry.get("keypointrcnn_resnet50_fpn") is spec
    assert spec.weights.url == entry.url
    assert spec.weights.digest in spec.weights.filename
    assert spec.parameters == entry.meta["num_params"]
    assert spec.gflops == pytest.approx(entry.meta["_ops"])
    published = entry.meta["_metrics"]["COCO-val2017"]
    assert spec.metrics == {
        "COCO val2017 keypoint AP": published["kp_map"],
        "COCO val2017 box AP": published["box_map"],
    }
    assert list(COCO_KEYPOINT_NAMES) == entry.meta["keypoint_names"]
    assert re.search(r"arXiv:\d{4}\.\d{5}", spec.paper)
    assert spec.title in registry.model_card(spec)


def test_the_network_is_the_published_one():
    model = models.SPEC.build()
    assert not model.training
    assert sum(parameter.numel() for parameter in model.parameters()) == models.SPEC.parameters
    assert not [key for key in model.state_dict() if key.endswith("num_batches_tracked")]
    norms = [m for m in model.modules() if type(m).__name__ == "FrozenBatchNorm2d"]
    assert norms
    assert {norm.eps for norm in norms} == {0.0}
    for norm in norms:
        norm.running_var.fill_(2.0)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = model.backbone(x)["0"]
        after = fuse_batch_norm(model).backbone(x)["0"]
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)


def test_importing_the_models_does_not_import_torchvisions_detectors():
    code = "import sys; import cvdemo.pose.models; print('torchvision.models.detection' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"
