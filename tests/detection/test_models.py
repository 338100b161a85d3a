"""The registry entries of the full tier against torchvision's weight entries and the networks they build."""

import functools
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from torchvision.models import get_model_weights

from cvdemo.core import registry, weights
from cvdemo.core.registry import RunContext
from cvdemo.detection import models
from cvdemo.detection.labels import COCO_CATEGORIES
from cvdemo.detection.raw import RawDetections

SPECS = {spec.name: spec for spec in models.TORCHVISION_SPECS}
LIGHT = ("ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn")


@functools.cache
def built(name):
    return SPECS[name].build()


def test_the_seven_detectors_are_registered():
    assert set(SPECS) == {
        "fasterrcnn_resnet50_fpn_v2",
        "fasterrcnn_mobilenet_v3_large_fpn",
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        "retinanet_resnet50_fpn_v2",
        "fcos_resnet50_fpn",
        "ssd300_vgg16",
        "ssdlite320_mobilenet_v3_large",
    }
    for name, spec in SPECS.items():
        assert registry.get(name) is spec
    assert set(registry.models(task="detection", tier="full")) >= set(SPECS.values())


@pytest.mark.parametrize("name", SPECS)
def test_facts_come_from_torchvisions_weight_entry(name):
    spec, entry = SPECS[name], get_model_weights(name).DEFAULT
    assert spec.weights.url == entry.url
    assert spec.weights.filename == entry.url.rsplit("/", 1)[-1]
    assert re.fullmatch(r"[0-9a-f]{8}", spec.weights.digest)
    assert spec.weights.digest in spec.weights.filename
    assert spec.parameters == entry.meta["num_params"]
    assert spec.gflops == pytest.approx(entry.meta["_ops"])
    assert spec.metrics["COCO val2017 box AP"] == entry.meta["_metrics"]["COCO-val2017"]["box_map"]
    assert spec.categories == tuple(category.name for category in COCO_CATEGORIES)
    assert [entry.meta["categories"][category.id] for category in COCO_CATEGORIES] == list(spec.categories)


@pytest.mark.parametrize("name", SPECS)
def test_cards_are_complete(name):
    spec = SPECS[name]
    assert 2015 <= spec.year <= 2022
    assert re.search(r"arXiv:\d{4}\.\d{5}", spec.paper)
    assert spec.lecture
    assert spec.input
    assert [precision.label for precision in spec.precisions] == ["fp32", "fp32 channels_last", "bf16 channels_last"]
    card = registry.model_card(spec)
    assert spec.title in card
    assert spec.weights.filename in card


@pytest.mark.parametrize("name", SPECS)
def test_built_network_is_the_published_one(name):
    model, spec = built(name), SPECS[name]
    assert not model.training
    assert sum(parameter.numel() for parameter in model.parameters()) == spec.parameters
    settings = getattr(model, "roi_heads", model)
    assert spec.extras["defaults"] == {
        "score_threshold": settings.score_thresh,
        "iou_threshold": settings.nms_thresh,
        "max_detections": settings.detections_per_img,
    }


@pytest.mark.parametrize(
    "name", ["fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn", "fcos_resnet50_fpn"]
)
def test_files_from_before_torchvision_renamed_its_layers_load(name):
    """torchvision's layers translate older names of FPN and RPN convolutions while loading; so must ours."""
    model = built(name)
    current = model.state_dict()
    assert not [key for key in current if key.endswith("num_batches_tracked")]
    old = {}
    for key, value in current.items():
        key = re.sub(r"(fpn\.(?:inner|layer)_blocks\.\d+)\.0\.", r"\1.", key)
        key = re.sub(r"rpn\.head\.conv\.0\.0\.", "rpn.head.conv.", key)
        old[key] = value + 1 if value.is_floating_point() else value
        if key.endswith("running_mean"):  # frozen norms skip this counter of the norms they were made from
            old[key.replace("running_mean", "num_batches_tracked")] = torch.tensor(0)
    assert old.keys() != current.keys()
    fresh = SPECS[name].build()
    weights.apply_state(fresh, old, SPECS[name].weights.filename)
    for key, value in fresh.state_dict().items():
        assert torch.equal(value, current[key] + 1), key


@pytest.mark.parametrize("name", LIGHT)
def test_an_entry_runs_on_its_example(name):
    spec = SPECS[name]
    model = spec.prepare(spec.build())
    example = spec.example()
    np.testing.assert_array_equal(example, spec.example())
    context = RunContext(torch.device("cpu"))
    with torch.inference_mode():
        raw = spec.run(model, example, context)
    assert isinstance(raw, RawDetections)
    assert raw.candidates.model == name
    assert (raw.candidates.height, raw.candidates.width) == example.shape[:2]
    assert (raw.proposals is not None) == name.startswith("fasterrcnn")
    assert spec.agrees(raw, raw)


def test_adding_a_torchvision_model_is_one_entry():
    spec = models.torchvision_spec(
        "retinanet_resnet50_fpn",
        "retinanet_resnet50_fpn_coco-eeacb38b.pth",
        infer="infer_retinanet",
        parameters=34_014_999,
        gflops=151.54,
        box_ap=36.4,
        defaults=(0.05, 0.5, 300),
        frozen=True,
        title="RetinaNet",
        family="one-stage",
        architecture="ResNet-50 FPN",
        year=2017,
        paper="arXiv:1708.02002",
        lecture="none",
    )
    assert spec.weights.digest == "eeacb38b"
    assert sum(parameter.numel() for parameter in spec.build().parameters()) == spec.parameters


def test_listing_the_models_does_not_import_torchvision():
    code = "import sys; from cvdemo import tasks; tasks.load_all(); print('torchvision' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
