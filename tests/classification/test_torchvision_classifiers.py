"""The registry entries of the full tier against torchvision's weight entries and the networks they build."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import get_model_weights, resnet18
from torchvision.transforms import InterpolationMode

from cvdemo.classification import torchvision_classifiers as classifiers
from cvdemo.classification.labels import IMAGENET_CLASSES
from cvdemo.core import registry, weights
from cvdemo.core.context import RunContext

SPECS = {spec.name: spec for spec in classifiers.TORCHVISION_SPECS}
PLACES = registry.get(classifiers.PLACES)
TRANSFORMERS = {"vit_b_16", "swin_t"}
LIGHT = ("resnet18", "mobilenet_v3_small", "efficientnet_b0", "swin_t")


def test_all_are_registered():
    assert set(SPECS) == {
        "alexnet", "vgg16", "resnet18", "resnet50", "mobilenet_v3_large", "mobilenet_v3_small", "efficientnet_b0",
        "convnext_tiny", "vit_b_16", "swin_t",
    }  # fmt: skip
    for name, spec in SPECS.items():
        assert registry.get(name) is spec
    assert set(registry.models(task="classification", tier="full")) == {*SPECS.values(), PLACES}


@pytest.mark.parametrize("name", SPECS)
def test_facts_come_from_torchvisions_weight_entry(name):
    spec, entry = SPECS[name], get_model_weights(name).DEFAULT
    assert spec.weights.url == entry.url
    assert spec.weights.digest in spec.weights.filename
    assert re.fullmatch(r"[0-9a-f]{8}", spec.weights.digest)
    assert spec.parameters == entry.meta["num_params"]
    assert spec.gflops == pytest.approx(entry.meta["_ops"])
    published = entry.meta["_metrics"]["ImageNet-1K"]
    assert spec.metrics == {"ImageNet val top-1": published["acc@1"], "ImageNet val top-5": published["acc@5"]}
    assert spec.categories is IMAGENET_CLASSES
    assert list(spec.categories) == entry.meta["categories"]


@pytest.mark.parametrize("name", SPECS)
def test_transforms_come_from_torchvisions_weight_entry(name):
    preprocess, transform = SPECS[name].extras["prepare_input"], get_model_weights(name).DEFAULT.transforms()
    assert [preprocess.resize] == transform.resize_size
    assert [preprocess.crop] == transform.crop_size
    assert InterpolationMode[preprocess.resampling.upper()] == transform.interpolation
    assert list(preprocess.mean) == transform.mean
    assert list(preprocess.std) == transform.std
    assert SPECS[name].extras["preprocess"] == preprocess.facts()


@pytest.mark.parametrize("name", SPECS)
def test_cards_are_complete(name):
    spec = SPECS[name]
    assert 2012 <= spec.year <= 2022
    assert re.search(r"arXiv:\d{4}\.\d{4}", spec.paper)
    assert spec.lecture
    assert spec.licence
    card = registry.model_card(spec)
    assert spec.title in card
    assert spec.input in card
    assert spec.weights.filename in card


@pytest.mark.parametrize("name", SPECS)
def test_built_network_is_the_published_one(name):
    spec = SPECS[name]
    with torch.device("meta"):  # shapes only: VGG alone would fill half a gigabyte
        network = spec.build()
    assert not network.training
    assert sum(parameter.numel() for parameter in network.parameters()) == spec.parameters
    head = network.get_submodule(spec.extras["head_layer"])
    assert isinstance(head, nn.Linear)
    assert head.out_features == 1000
    assert head is [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


@pytest.mark.parametrize("name", SPECS)
def test_the_layer_for_grad_cam_is_the_last_feature_map(name):
    spec = SPECS[name]
    layer = spec.extras["gradcam_layer"]
    assert (layer is None) == (name in TRANSFORMERS)
    if layer is None:
        assert "Grad-CAM needs" in spec.extras["gradcam_unsupported"]
        return
    assert spec.extras["gradcam_unsupported"] == ""
    with torch.device("meta"):
        network = spec.build()
        events = []
        network.get_submodule(layer).register_forward_hook(lambda *a: events.append(a[2].shape))
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda *_: events.append("convolution"))
        network(torch.zeros(1, 3, 224, 224))
    batch, _, rows, columns = events[-1]  # no convolution comes after it
    assert batch == 1
    assert 7 <= rows == columns <= 14


@pytest.mark.parametrize("name", LIGHT)
def test_an_entry_runs_on_its_example(name):
    torch.manual_seed(0)
    spec = SPECS[name]
    network = spec.build()
    example = spec.example()
    x, box = spec.extras["prepare_input"](example)
    with torch.inference_mode():
        expected = network(x)[0].numpy()
        raw = spec.run(spec.prepare(network), example, RunContext(torch.device("cpu")))
    np.testing.assert_allclose(raw.logits, expected, atol=1e-3 * max(1, np.abs(expected).max()))
    assert raw.model == name
    assert raw.crop == box
    assert (raw.height, raw.width) == example.shape[:2]
    assert raw.embedding.shape == (network.get_submodule(spec.extras["head_layer"]).in_features,)
    assert spec.agrees(raw, raw)


def test_places_has_the_publishers_classes_in_their_order():
    names = PLACES.categories
    assert len(names) == len(set(names)) == 365
    # Their list is sorted by the path "/a/airfield"; these are some of its published indices.
    published = {0: "airfield", 2: "airport terminal", 8: "apartment building (outdoor)", 48: "beach", 203: "kitchen",
                 243: "ocean", 319: "street", 364: "zen garden"}  # fmt: skip
    assert {index: names[index] for index in published} == published
    initials = [name[0] for name in names]
    assert initials == sorted(initials)
    assert not any("_" in name or "/" in name for name in names)


def test_places_is_marked_as_not_verified():
    assert PLACES.metrics == {}
    assert "not verified" in PLACES.title
    assert "Not verified" in registry.model_card(PLACES)
    assert PLACES.weights.filename == "resnet18_places365.pth.tar"


def test_the_published_places_file_would_load(tmp_path):
    """Their form: a checkpoint of a parallel wrapper by a torch that did not yet count batches, in the older format."""
    torch.manual_seed(1)
    trained = resnet18(weights=None, num_classes=365).eval()
    state = {f"module.{key}": v for key, v in trained.state_dict().items() if "num_batches_tracked" not in key}
    path = tmp_path / PLACES.weights.filename
    checkpoint = {"epoch": 90, "arch": "resnet18", "state_dict": state, "best_prec1": torch.tensor([54.0])}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)
    network = PLACES.build()
    weights.apply_state(network, weights.load_state(path), path.name)
    network = PLACES.prepare(network.eval())
    assert sum(parameter.numel() for parameter in trained.parameters()) == PLACES.parameters
    x = PLACES.extras["prepare_input"](PLACES.example())[0]
    with torch.inference_mode():
        raw = PLACES.run(network, PLACES.example(), RunContext(torch.device("cpu")))
        np.testing.assert_allclose(raw.logits, trained(x)[0].numpy(), atol=1e-3)
    assert raw.embedding.shape == (512,)
    assert network.get_submodule(PLACES.extras["gradcam_layer"]) is network.layer4


def test_adding_a_torchvision_model_is_one_entry():
    spec = classifiers.torchvision_spec(
        "squeezenet1_1",
        "squeezenet1_1-b8a52dc0.pth",
        parameters=1_235_496,
        gflops=0.349,
        accuracy=(58.178, 80.624),
        head="classifier.1",
        gradcam_layer="features",
        title="SqueezeNet 1.1",
        architecture="fire modules",
        year=2016,
        paper="arXiv:1602.07360",
        lecture="none",
    )
    assert spec.weights.digest == "b8a52dc0"
    assert sum(parameter.numel() for parameter in spec.build().parameters()) == spec.parameters


def test_listing_the_classifiers_does_not_import_torchvision():
    code = (
        "import sys; from cvdemo import tasks; from cvdemo.core import registry; tasks.load_all(); "
        "print(registry.models(task='classification')[0].name, 'torchvision' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["compact-classifier", "False"], "and what works everywhere comes first"
