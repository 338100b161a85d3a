"""The registry entries: facts against the networks and torchvision, and what happens without weights."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import VGG19_Weights

from cvdemo import tasks
from cvdemo.core import registry, weights
from cvdemo.core.errors import WeightsError
from cvdemo.style import models, predict, styles
from cvdemo.style.features import Vgg19Features
from cvdemo.style.nets.adain_decoder import encoded

tasks.load_all()
SPECS = {spec.name: spec for spec in registry.models(task="style")}
COMPACT = [name for name, spec in SPECS.items() if spec.tier == "compact"]


def giga(network, *inputs):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(*inputs)
    return counter.get_total_flops() / 2e9


def test_all_are_registered():
    fast = {models.fast_name(style) for style in models.FAST_STYLES}
    assert set(SPECS) == {models.COMPACT_ENCODER, models.VGG19, models.ADAIN, *fast}
    assert len(models.FAST_STYLES) >= 3
    assert set(models.FAST_STYLES) <= set(styles.STYLES)


@pytest.mark.parametrize("name", COMPACT)
def test_counts(name):
    network = SPECS[name].build()
    assert sum(p.numel() for p in network.parameters()) == SPECS[name].parameters
    if name != models.ADAIN:
        assert giga(network, torch.rand(1, 3, 256, 256)) == pytest.approx(SPECS[name].gflops, abs=0.006)


def test_counts_of_adain():
    network = SPECS[models.ADAIN].build()
    encoding = giga(lambda x: network.encoder.activations(x, ["relu4_1"]), torch.rand(1, 3, 256, 256))
    decoding = giga(lambda x: network.decoder(encoded(network.encoder, x)), torch.rand(1, 3, 256, 256)) - encoding
    assert 2 * encoding + decoding == pytest.approx(SPECS[models.ADAIN].gflops, abs=0.02)


def test_vgg19_is_torchvisions():
    spec, entry = SPECS[models.VGG19], VGG19_Weights.DEFAULT
    assert spec.weights.url == entry.url
    assert spec.parameters == entry.meta["num_params"]
    assert spec.gflops == pytest.approx(entry.meta["_ops"])
    published = entry.meta["_metrics"]["ImageNet-1K"]
    assert spec.metrics == {"ImageNet val top-1": published["acc@1"], "ImageNet val top-5": published["acc@5"]}
    with torch.device("meta"):
        network = spec.build()
        assert sum(p.numel() for p in network.parameters()) == spec.parameters
        cut = spec.prepare(network)
    assert isinstance(cut, Vgg19Features)
    assert sum(p.numel() for p in cut.parameters()) < 21e6


@pytest.mark.parametrize("name", SPECS)
def test_cards_are_complete(name):
    card = registry.model_card(SPECS[name])
    assert SPECS[name].lecture.startswith("deck 003")
    assert SPECS[name].weights.filename in card


def test_without_its_file_a_model_is_unavailable_and_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("CVDEMO_WEIGHTS", str(tmp_path))
    for name in COMPACT:
        state = registry.availability(SPECS[name])
        assert not state.ok
        assert "missing" in state.reason
        assert "recipe" in state.remedy
    assert "compact_vgg.safetensors" in registry.availability(SPECS[models.ADAIN]).remedy
    with pytest.raises(WeightsError, match="safetensors"):
        predict.infer(styles.load_style("waves"), [styles.load_style("mosaic")])


@pytest.mark.parametrize("name", COMPACT)
def test_the_weights_that_ship_load(name):
    spec = SPECS[name]
    if any(weights.find(file) is None for file in spec.files.values()):
        pytest.skip(f"the weights of {name} are not there")
    paths = {prefix: weights.find(file) for prefix, file in spec.files.items()}
    network = spec.build()
    weights.apply_state(network, weights.joined_state(paths), name)
    assert sum(path.stat().st_size for path in paths.values()) < 5e6
