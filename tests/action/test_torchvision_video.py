"""The full tier: facts against torchvision's own entries, its transforms, and one small network through the engine."""

import numpy as np
import pytest
import torch
from torchvision.models import get_model_weights, video

from cvdemo.action import torchvision_video
from cvdemo.action.clips import ClipSpec, example_clip
from cvdemo.action.torchvision_video import SPECS, kinetics_classes
from cvdemo.core.registry import RunContext

NAMES = [spec.name for spec in SPECS]


def entry(name):
    """torchvision's weight entry whose file the spec names."""
    spec = next(spec for spec in SPECS if spec.name == name)
    return spec, next(w for w in get_model_weights(name) if w.url.endswith(spec.weights.filename))


def test_all_nine_are_there():
    assert sorted(NAMES) == sorted(
        ["r3d_18", "mc3_18", "r2plus1d_18", "s3d", "mvit_v1_b", "mvit_v2_s", "swin3d_t", "swin3d_s", "swin3d_b"]
    )


@pytest.mark.parametrize("name", NAMES)
def test_facts_are_torchvisions(name):
    spec, weights = entry(name)
    meta = weights.meta
    assert spec.weights.url == weights.url
    assert spec.parameters == meta["num_params"]
    assert spec.gflops == meta["_ops"]
    published = meta["_metrics"]["Kinetics-400"]
    assert spec.metrics == {"Kinetics-400 val acc@1": published["acc@1"], "Kinetics-400 val acc@5": published["acc@5"]}
    assert spec.categories == tuple(meta["categories"])
    clip = spec.extras["clip"]
    assert f"`frame_rate={clip.rate:g}`" in meta["_docs"]
    assert f"`clip_len={clip.frames}`" in meta["_docs"]
    assert clip.size == weights.transforms().crop_size[0]


@pytest.mark.parametrize("name", ["r3d_18", "s3d", "mvit_v1_b", "swin3d_t"])
@pytest.mark.parametrize(("height", "width"), [(180, 320), (301, 203), (64, 64)])
def test_the_input_transform_is_torchvisions(name, height, width):
    spec, weights = entry(name)
    frames = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), np.uint8)
    expected = weights.transforms()(torch.from_numpy(frames).permute(0, 3, 1, 2))
    given = spec.extras["preprocess"](frames)
    assert given.shape == (1, *expected.shape)
    # The bytes after resizing may round differently by one step of 255.
    assert (given[0] - expected).abs().max() <= 1 / 255 / 0.22 + 1e-4
    assert (given[0] - expected).abs().mean() < 2e-4


def test_the_network_is_torchvisions():
    torch.manual_seed(0)
    network = torchvision_video.build("r3d_18")
    assert isinstance(network, video.VideoResNet)
    assert sum(p.numel() for p in network.parameters()) == 33_371_472
    clip = example_clip(ClipSpec(2, 15.0, 112))
    spec, weights = entry("r3d_18")
    with torch.inference_mode():
        raw = spec.run(network, clip, RunContext(torch.device("cpu")))
        blob = weights.transforms()(torch.from_numpy(clip.frames).permute(0, 3, 1, 2))[None]
        expected = network(blob)[0].numpy()
    np.testing.assert_allclose(raw.logits, expected, atol=2e-2 * np.abs(expected).max())
    assert raw.model == "r3d_18"
    assert raw.clip.frames == 2
    assert len(raw.categories) == 400


def test_four_hundred_classes():
    assert len(kinetics_classes()) == 400
    assert kinetics_classes()[:2] == ("abseiling", "air drumming")
