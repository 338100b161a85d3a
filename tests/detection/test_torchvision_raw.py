"""Raw candidates of torchvision's detectors: decoding them must give what torchvision's own forward gives."""

import copy
import functools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import detection
from torchvision.ops import FrozenBatchNorm2d

from cvdemo.core.errors import Cancelled
from cvdemo.core.fusing import fuse_batch_norm
from cvdemo.core.inputs import pixels_of
from cvdemo.core.media import Picture
from cvdemo.core.registry import Precision, RunContext
from cvdemo.detection.labels import NAME_OF_ID
from cvdemo.detection.nms import filter_and_suppress
from cvdemo.detection.raw import agree
from cvdemo.detection.torchvision_one_stage import _best_per_class, infer_fcos, infer_retinanet, infer_ssd
from cvdemo.detection.torchvision_raw import (
    freeze_batch_norm,
    network_input,
    resized_size,
)
from cvdemo.detection.torchvision_two_stage import MAX_CANDIDATES, _roi_levels, infer_two_stage

SMALL = {"min_size": 128, "max_size": 224}
FEW = {**SMALL, "rpn_post_nms_top_n_test": 60}
NETWORKS = {  # name: (builder, keyword arguments that make it small, infer)
    "faster r50": (detection.fasterrcnn_resnet50_fpn_v2, FEW, infer_two_stage),
    "faster mobile": (detection.fasterrcnn_mobilenet_v3_large_fpn, FEW, infer_two_stage),
    "faster mobile 320": (detection.fasterrcnn_mobilenet_v3_large_320_fpn, {}, infer_two_stage),
    "retinanet": (detection.retinanet_resnet50_fpn_v2, SMALL, infer_retinanet),
    "fcos": (detection.fcos_resnet50_fpn, SMALL, infer_fcos),
    "ssd": (detection.ssd300_vgg16, {}, infer_ssd),
    "ssdlite": (detection.ssdlite320_mobilenet_v3_large, {}, infer_ssd),
}
LIGHT = ("faster mobile 320", "ssdlite")
UNNAMED = [label for label in range(91) if label not in NAME_OF_ID]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small networks: more threads mostly wait for each other
    yield
    torch.set_num_threads(threads)


def picture(height, width, seed=0):
    """Waves, boxes and noise: edges at every scale, so that random networks answer differently everywhere."""
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


def last_layers(model):
    """(layer, standard deviation its outputs are brought to, whether it classifies) of a detector's heads."""
    if hasattr(model, "roi_heads"):
        first = [(model.rpn.head.cls_logits, 2.0, False), (model.rpn.head.bbox_pred, 0.3, False)]
        box = model.roi_heads.box_predictor
        return [*first, (box.cls_score, 1.5, True), (box.bbox_pred, 1.0, False)]
    scoring, moving = model.head.classification_head, model.head.regression_head
    if hasattr(scoring, "cls_logits"):
        if hasattr(moving, "bbox_ctrness"):
            return [(scoring.cls_logits, 1.5, True), (moving.bbox_reg, 3.0, False), (moving.bbox_ctrness, 1.0, False)]
        return [(scoring.cls_logits, 1.5, True), (moving.bbox_reg, 0.3, False)]
    last = [m if isinstance(m, nn.Conv2d) else m[-1] for m in [*scoring.module_list, *moving.module_list]]
    return [(layer, 1.5 if i < 6 else 1.0, i < 6) for i, layer in enumerate(last)]


def spread_out(model, seed=0):
    """Give a randomly initialised detector scores on both sides of its thresholds in many classes, and moving boxes.

    As trained weights would, it never fires background or the ids COCO left out.
    """
    generator = torch.Generator().manual_seed(seed)
    pixels = picture(240, 320, seed=99)

    def normalise(norm, inputs):
        norm.running_mean.copy_(inputs[0].mean((0, 2, 3)))
        norm.running_var.copy_(inputs[0].var((0, 2, 3), unbiased=False).clamp(min=1e-3))

    norms = [m for m in model.modules() if isinstance(m, (nn.BatchNorm2d, FrozenBatchNorm2d))]
    hooks = [norm.register_forward_pre_hook(normalise) for norm in norms]
    with torch.no_grad():
        forward(model, pixels)
    for hook in hooks:
        hook.remove()
    layers = last_layers(model)
    for layer, _, _ in layers:
        nn.init.normal_(layer.weight, std=0.01, generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    outputs = {}
    hooks = [
        layer.register_forward_hook(lambda layer, _, output: outputs.setdefault(layer, []).append(output.flatten()))
        for layer, _, _ in layers
    ]
    for _ in range(2):  # once more, because the first layers change what the box head of a two-stage detector sees
        outputs.clear()
        forward(model, pixels)
        for layer, deviation, _ in layers:
            layer.weight.data.mul_(deviation / torch.cat(outputs[layer]).std().item())
    for hook in hooks:
        hook.remove()
    softmax = hasattr(model, "roi_heads") or not hasattr(model.head.classification_head, "cls_logits")
    for layer, _, classifies in layers:
        if classifies:
            weight = layer.weight.data.view(-1, 91, *layer.weight.shape[1:])
            bias = layer.bias.data.view(-1, 91)
            bias.normal_(std=1.0, generator=generator)
            if not softmax:
                bias -= 5.5
            weight[:, UNNAMED], bias[:, UNNAMED] = 0, -30
            if softmax:
                bias[:, 0] = 2.5
    return model


@functools.cache
def detector(name):
    builder, options, _ = NETWORKS[name]
    torch.manual_seed(0)
    model = builder(weights=None, weights_backbone=None, **options).eval()
    return spread_out(model).requires_grad_(False)


def infer(name, pixels, model=None, **options):
    context = RunContext(torch.device("cpu"), **options)
    return NETWORKS[name][2](model or detector(name), pixels, context, name=name)


def own(model):
    return getattr(model, "roi_heads", model)


def assert_same(model, raw, pixels):
    """Decoding ``raw`` with the thresholds the model has now gives what its forward gives."""
    expected = {key: value.numpy() for key, value in forward(model, pixels).items()}
    settings = own(model)
    found, report = filter_and_suppress(
        raw.candidates,
        score_threshold=settings.score_thresh,
        iou_threshold=settings.nms_thresh,
        max_detections=settings.detections_per_img,
    )
    assert len(found) == len(expected["scores"])
    np.testing.assert_allclose(found.scores, expected["scores"], atol=1e-5, rtol=0)
    # Equal scores (1.0, where a random network is very sure) come in either order: compare class by class.
    ours = np.lexsort((found.boxes[:, 0], -found.scores, found.labels))
    theirs = np.lexsort((expected["boxes"][:, 0], -expected["scores"], expected["labels"]))
    np.testing.assert_array_equal(found.labels[ours], expected["labels"][theirs])
    np.testing.assert_allclose(found.boxes[ours], expected["boxes"][theirs], atol=1e-3, rtol=0)
    np.testing.assert_allclose(found.scores[ours], expected["scores"][theirs], atol=1e-5, rtol=0)
    return found, report


@pytest.mark.parametrize("size", [(150, 210), (233, 131), (300, 60)], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_decoding_equals_torchvision_at_the_models_own_thresholds(name, size):
    pixels = picture(*size, seed=size[0])
    found, report = assert_same(detector(name), infer(name, pixels), pixels)
    assert len(set(found.labels.tolist())) >= 3, "the comparison must see several classes"
    assert report.after_nms < report.after_score, "suppression must have had something to do"
    if name not in ("ssd", "ssdlite"):  # whose own thresholds are the floor
        assert report.after_score < report.total, "the score filter must have had something to do"


@pytest.mark.parametrize("threshold", [0.02, 0.15, 0.4])
@pytest.mark.parametrize("name", ["faster mobile 320", "retinanet", "fcos", "ssdlite"])
def test_decoding_equals_torchvision_at_other_thresholds(name, threshold):
    model = copy.copy(detector(name))  # shallow: the thresholds below belong to the copy alone
    model._modules = dict(model._modules)
    if name.startswith("faster"):
        model.roi_heads = copy.copy(model.roi_heads)
    own(model).score_thresh, own(model).nms_thresh, own(model).detections_per_img = threshold, 0.35, 50
    pixels = picture(170, 170, seed=4)
    assert_same(model, infer(name, pixels), pixels)
    assert own(detector(name)).score_thresh != threshold


@pytest.mark.parametrize(("name", "limit", "cap"), [("retinanet", 30, 5 * 30), ("fcos", 30, 150), ("ssdlite", 7, 630)])
def test_the_models_own_cap_is_applied_where_torchvision_applies_it(name, limit, cap):
    model = copy.copy(detector(name))
    model.topk_candidates = limit
    pixels = picture(140, 200, seed=8)
    raw = infer(name, pixels, model)
    assert_same(model, raw, pixels)
    assert cap / 3 < len(raw.candidates) <= cap


def test_best_per_class_equals_a_loop_over_classes():
    generator = torch.Generator().manual_seed(3)
    for limit in (1, 5, 40, 400):
        scores = torch.rand(60, 13, generator=generator) ** 3
        row, label = _best_per_class(scores, 0.2, limit)
        expected = set()
        for column in range(1, 13):
            order = sorted(range(60), key=lambda index: -scores[index, column].item())
            expected |= {(index, column) for index in order[:limit] if scores[index, column] > 0.2}
        assert set(zip(row.tolist(), label.tolist())) == expected
        assert len(row) == len(expected)


def test_sizes_equal_torchvisions_transform():
    transform = detector("retinanet").transform
    rng = np.random.default_rng(1)
    for height, width in [(1, 1), (128, 128), (127, 129), (7, 12), *rng.integers(2, 300, (40, 2)).tolist()]:
        images, _ = transform([torch.zeros(3, height, width)])
        assert resized_size(transform, height, width) == tuple(images.image_sizes[0]), (height, width)


@pytest.mark.parametrize("name", ["retinanet", "ssd", "ssdlite"])
def test_network_input_equals_torchvisions_transform_to_the_last_bit(name):
    model, pixels = detector(name), picture(97, 143)
    given = network_input(model, pixels, RunContext(torch.device("cpu")))
    images, _ = model.transform([torch.from_numpy(pixels).permute(2, 0, 1) / 255])
    torch.testing.assert_close(given.tensor, images.tensors, rtol=0, atol=0)
    assert given.size == tuple(images.image_sizes[0])
    assert given.picture == (97, 143)


def test_a_strip_keeps_at_least_one_row():
    raw = infer("fcos", picture(2, 900))
    assert raw.input_size == (1, 224)
    assert raw.candidates.height == 2


@pytest.mark.parametrize("name", ["retinanet", "fcos", "ssd", "ssdlite"])
def test_origins_are_the_anchors_of_their_level(name):
    raw = infer(name, picture(180, 240, seed=6))
    candidates = raw.candidates
    assert raw.proposals is None
    assert raw.objectness is None
    assert candidates.origins.shape == candidates.boxes.shape
    assert (np.diff(candidates.scores) <= 0).all()
    assert len(np.unique(candidates.level)) >= 3
    rows, _, strides = np.array(raw.levels).T
    assert (np.diff(rows) < 0).all()
    scale = raw.input_size[0] / 180
    top, bottom = candidates.origins[:, 1] * scale, candidates.origins[:, 3] * scale
    cell = (top + bottom) / 2 / strides[candidates.level]
    if name in ("ssd", "ssdlite"):
        cell -= 0.5  # default boxes sit in the middle of a cell, the others on its corner
    np.testing.assert_allclose(cell, np.round(cell), atol=1e-3)
    assert cell.min() > -0.5
    assert (cell < rows[candidates.level] - 0.5).all()
    if name == "fcos":
        np.testing.assert_allclose(bottom - top, strides[candidates.level], atol=1e-3)


def test_origins_of_two_stages_are_the_proposals():
    raw = infer("faster r50", picture(180, 240, seed=6))
    assert raw.proposals.shape == (60, 4)
    assert {tuple(box) for box in raw.candidates.origins} <= {tuple(box) for box in raw.proposals}
    assert (np.diff(raw.objectness) <= 0).all()
    assert 0 < raw.objectness.min() < raw.objectness.max() <= 1
    assert [stride for *_, stride in raw.levels] == [4, 8, 16, 32, 64]


def test_roi_levels_follow_the_fpn_paper():
    rng = np.random.default_rng(0)
    corner, side = rng.uniform(0, 600, (300, 2)), np.exp(rng.uniform(1, 7, (300, 2)))
    boxes = np.concatenate([corner, corner + side], 1).astype(np.float32)
    pooler = detector("faster r50").roi_heads.box_roi_pool
    found = _roi_levels(pooler, torch.from_numpy(boxes), (4.0, 8.0, 16.0, 32.0)).numpy()
    expected = np.clip(np.floor(4 + np.log2(np.sqrt(side.prod(1)) / 224)), 2, 5) - 2
    np.testing.assert_array_equal(found, expected)
    assert set(found.tolist()) == {0, 1, 2, 3}


def state_of(model):
    """Everything a run could have changed: parameters, buffers and plain attributes, as text or numbers."""
    attributes = {}
    for path, module in model.named_modules():
        for key, value in vars(module).items():
            if not key.startswith("_"):
                attributes[f"{path}.{key}"] = repr(value)
    return attributes, {key: value.clone() for key, value in model.state_dict().items()}


@pytest.mark.parametrize("name", ["faster mobile 320", "fcos", "ssdlite"])
def test_a_run_changes_nothing_about_the_model(name):
    model = copy.deepcopy(detector(name))
    if name.startswith("faster"):  # forget the scales that torchvision's forward has stored
        model.roi_heads.box_roi_pool.scales = model.roi_heads.box_roi_pool.map_levels = None
    attributes, tensors = state_of(model)
    pixels = picture(120, 160)
    before = infer(name, pixels, model)
    infer(name, picture(24, 500), model, precision=Precision("bfloat16"))
    after = infer(name, pixels, model)
    attributes_after, tensors_after = state_of(model)
    assert attributes_after == attributes
    for key, value in tensors.items():
        assert torch.equal(value, tensors_after[key]), key
    np.testing.assert_array_equal(before.candidates.boxes, after.candidates.boxes)
    np.testing.assert_array_equal(before.candidates.scores, after.candidates.scores)


@pytest.mark.parametrize("name", LIGHT)
def test_threads_sharing_one_model_get_what_a_single_caller_gets(name):
    pictures = [picture(100 + 10 * seed, 160 - 10 * seed, seed) for seed in range(4)]
    alone = [infer(name, pixels) for pixels in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda pixels: infer(name, pixels), pictures))
    for one, other in zip(alone, together):
        np.testing.assert_array_equal(one.candidates.boxes, other.candidates.boxes)
        np.testing.assert_array_equal(one.candidates.labels, other.candidates.labels)


@pytest.mark.parametrize("name", ["faster mobile 320", "retinanet", "ssdlite"])
def test_channels_last_finds_the_same(name):
    pixels = picture(140, 190, seed=2)
    model = copy.deepcopy(detector(name)).to(memory_format=torch.channels_last)
    reference = infer(name, pixels)
    other = infer(name, pixels, model, precision=Precision(channels_last=True))
    assert agree(reference, other)
    np.testing.assert_allclose(other.candidates.scores[:20], reference.candidates.scores[:20], atol=1e-3)


@pytest.mark.parametrize("name", ["faster mobile 320", "retinanet", "fcos", "ssdlite"])
def test_bfloat16_leaves_anchors_and_decoding_in_float32(name):
    pixels = picture(140, 190, seed=2)
    reference = infer(name, pixels)
    raw = infer(name, pixels, precision=Precision("bfloat16", channels_last=True))
    candidates = raw.candidates
    assert len(candidates) > 50
    assert candidates.boxes.dtype == candidates.scores.dtype == np.float32
    if name.startswith("faster"):
        return  # its origins are proposals, which the network computes
    exact = {tuple(box) for box in reference.candidates.origins.round(3)}
    found = {tuple(box) for box in candidates.origins.round(3)}
    assert len(found & exact) > 0.5 * len(found), "anchors rounded to bfloat16 would hardly ever be equal"


@pytest.mark.parametrize("frozen", [False, True], ids=["batch norm", "frozen batch norm"])
@pytest.mark.parametrize("name", LIGHT)
def test_fusing_batch_norm_changes_only_the_speed(name, frozen):
    pixels = picture(150, 150, seed=5)
    model = copy.deepcopy(detector(name))
    fused = fuse_batch_norm(freeze_batch_norm(model) if frozen else model)
    assert not [m for m in fused.modules() if isinstance(m, (nn.BatchNorm2d, FrozenBatchNorm2d))]
    reference, other = infer(name, pixels), infer(name, pixels, fused)
    assert agree(reference, other)
    np.testing.assert_allclose(other.candidates.scores[:20], reference.candidates.scores[:20], atol=1e-3)


@pytest.mark.parametrize("name", LIGHT)
def test_classes_without_a_name_are_dropped(name):
    pixels = picture(130, 130)
    model = copy.deepcopy(detector(name))
    usual = int(forward(model, pixels)["labels"].mode().values)
    for layer, _, classifies in last_layers(model):
        if classifies:  # 12, one of the ids COCO left out, now fires a little more wherever that class does
            weight, bias = layer.weight.view(-1, 91, *layer.weight.shape[1:]), layer.bias.view(-1, 91)
            weight[:, 12], bias[:, 12] = weight[:, usual], bias[:, usual] + 1
    assert 12 in forward(model, pixels)["labels"]
    raw = infer(name, pixels, model)
    assert len(raw.candidates)
    assert set(raw.candidates.labels.tolist()) <= set(NAME_OF_ID)


@pytest.mark.parametrize("name", ["faster mobile 320", "fcos", "ssdlite"])
def test_nothing_found_gives_empty_candidates(name):
    model = copy.deepcopy(detector(name))
    for layer, _, classifies in last_layers(model):
        if classifies:
            layer.bias.view(-1, 91)[:, 1:] = -60.0
            layer.weight.zero_()
    raw = infer(name, picture(90, 110), model)
    assert len(raw.candidates) == 0
    assert raw.candidates.origins.shape == (0, 4)
    assert (raw.candidates.height, raw.candidates.width) == (90, 110)


def test_no_proposals_at_all():
    model = copy.deepcopy(detector("faster mobile 320"))
    model.rpn.score_thresh = 1.5
    raw = infer("faster mobile 320", picture(90, 110), model)
    assert len(raw.candidates) == 0
    assert raw.proposals.shape == (0, 4)
    assert raw.objectness.shape == (0,)


def test_an_untrained_classifier_stays_below_the_cap():
    model = copy.deepcopy(detector("faster mobile 320"))
    predictor = model.roi_heads.box_predictor
    predictor.cls_score.weight.zero_()
    predictor.cls_score.bias.zero_()  # every class scores 1/91, just above the floor
    predictor.bbox_pred.weight.zero_()  # boxes stay where their proposals are, so none becomes a sliver
    predictor.bbox_pred.bias.zero_()
    model.rpn._post_nms_top_n = {"training": 0, "testing": 400}
    model.rpn._pre_nms_top_n = {"training": 0, "testing": 400}
    model.rpn.nms_thresh, model.rpn.score_thresh = 1.0, 0.0
    raw = infer("faster mobile 320", picture(300, 400), model)
    assert len(raw.proposals) > MAX_CANDIDATES / 80
    assert 0.8 * MAX_CANDIDATES < len(raw.candidates) <= MAX_CANDIDATES


def test_stages_and_picture_objects():
    context = RunContext(torch.device("cpu"))
    pixels = picture(100, 100)
    raw = infer_ssd(detector("ssdlite"), Picture(pixels), context, name="lite")
    assert list(context.stages) == ["preprocess", "network", "decode"]
    assert raw.candidates.model == "lite"
    assert raw.input_size == (320, 320)
    assert [level[:2] for level in raw.levels] == [(20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]


@pytest.mark.parametrize("name", ["faster mobile 320", "fcos", "ssdlite"])
def test_a_cancelled_run_stops(name):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        infer(name, picture(60, 60), cancel=cancel)


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=["grey", "four channels", "float", "empty"],
)
def test_only_rgb_bytes_are_pictures(value):
    with pytest.raises(ValueError, match="picture must be"):
        pixels_of(value)
