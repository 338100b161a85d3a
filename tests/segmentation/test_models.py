"""The registry entries of the full tier against torchvision's weight entries and the networks they build."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from torchvision.models import get_model_weights

from cvdemo.core import registry
from cvdemo.core.context import RunContext
from cvdemo.detection.labels import COCO_CATEGORIES
from cvdemo.segmentation import models
from cvdemo.segmentation.labels import VOC_CLASSES
from cvdemo.segmentation.raw import RawSegmentation

SPECS = {spec.name: spec for spec in models.TORCHVISION_SPECS}


def test_the_eight_models_are_registered():
    assert set(SPECS) == {
        "fcn_resnet50",
        "fcn_resnet101",
        "deeplabv3_mobilenet_v3_large",
        "deeplabv3_resnet50",
        "deeplabv3_resnet101",
        "lraspp_mobilenet_v3_large",
        "maskrcnn_resnet50_fpn",
        "maskrcnn_resnet50_fpn_v2",
    }
    assert set(registry.models(task="segmentation", tier="full")) >= set(SPECS.values())
    assert registry.models(task="segmentation")[0].tier == "compact"


@pytest.mark.parametrize("name", SPECS)
def test_facts_come_from_torchvisions_weight_entry(name):
    spec, entry = SPECS[name], get_model_weights(name).DEFAULT
    assert spec.weights.url == entry.url
    assert spec.weights.digest in spec.weights.filename
    assert spec.parameters == entry.meta["num_params"]
    assert spec.gflops == pytest.approx(entry.meta["_ops"])
    published = entry.meta["_metrics"]
    if spec.extras["kind"] == "semantic":
        figures = published["COCO-val2017-VOC-labels"]
        assert list(spec.metrics.values()) == [figures["miou"], figures["pixel_acc"]]
        assert spec.categories == VOC_CLASSES
        theirs = [category.strip("_") for category in entry.meta["categories"]]
        assert theirs == [category.replace(" ", "") for category in spec.categories]
        assert entry.transforms().resize_size == [520]
    else:
        figures = published["COCO-val2017"]
        assert list(spec.metrics.values()) == [figures["box_map"], figures["mask_map"]]
        assert [entry.meta["categories"][category.id] for category in COCO_CATEGORIES] == list(spec.categories)


@pytest.mark.parametrize("name", SPECS)
def test_cards_are_complete(name):
    spec = SPECS[name]
    assert re.search(r"arXiv:\d{4}\.\d{4,5}", spec.paper)
    assert spec.lecture
    assert 2015 <= spec.year <= 2022
    assert spec.title in registry.model_card(spec)


@pytest.mark.parametrize("name", SPECS)
def test_built_networks_have_the_published_files_shape(name):
    """The counted parameters are those of the published file, whose auxiliary classifier is part of the count."""
    spec = SPECS[name]
    with torch.device("meta"):
        model = spec.build()
    assert not model.training
    assert sum(parameter.numel() for parameter in model.parameters()) == spec.parameters
    frozen = not any(key.endswith("num_batches_tracked") for key in model.state_dict())
    assert frozen == (name == "maskrcnn_resnet50_fpn")


def test_a_light_entry_runs_on_its_example():
    spec = SPECS["lraspp_mobilenet_v3_large"]
    torch.manual_seed(0)
    model = spec.prepare(spec.build())
    raw = spec.run(model, spec.example(), RunContext(torch.device("cpu")))
    assert isinstance(raw, RawSegmentation)
    assert raw.logits.shape == (21, 65, 87)
    assert np.isfinite(raw.logits).all()
    assert spec.agrees(raw, raw)


def test_importing_the_models_does_not_import_torchvisions_networks():
    code = (
        "import sys; import cvdemo.segmentation.models; "
        "print([m for m in sys.modules if m.startswith('torchvision.models')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
