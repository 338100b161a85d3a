"""The input transforms against torchvision's published ones and against plain arithmetic."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import get_model_weights

from cvdemo.classification.prepare import Preprocess
from cvdemo.classification.torchvision_classifiers import TORCHVISION_SPECS

SPECS = {spec.name: spec for spec in TORCHVISION_SPECS}
# All kinds of sizes: landscape, portrait, smaller than the network's input, odd, one pixel wide.
SIZES = [(480, 640), (640, 361), (97, 131), (300, 300), (1, 40), (231, 1019)]


def noise(height, width, seed=0):
    """Blobs and grain: something a wrong resampling filter would get visibly wrong."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)).resize((width, height))
    grain = rng.integers(-40, 40, (height, width, 3))
    return np.clip(np.asarray(coarse).astype(int) + grain, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "efficientnet_b0", "swin_t", "convnext_tiny"])
def test_same_as_the_published_transform(name, size):
    picture = noise(*size)
    expected = get_model_weights(name).DEFAULT.transforms()(Image.fromarray(picture))[None]
    found, _ = SPECS[name].extras["prepare_input"](picture)
    assert found.shape == expected.shape == (1, 3, 224, 224)
    assert found.dtype == torch.float32
    one_level = 1 / 255 / min(SPECS[name].extras["preprocess"]["std"])
    assert (found - expected).abs().max() <= one_level * 1.001
    assert (found - expected).abs().mean() <= one_level / 50


def test_the_places_transform_squashes_and_crops():
    from torchvision import transforms

    picture = noise(200, 333)
    expected = transforms.CenterCrop(224)(transforms.Resize((256, 256))(Image.fromarray(picture)))
    found, box = Preprocess(256, 224, squash=True).pixels(picture)
    assert np.abs(found.astype(int) - np.asarray(expected)).max() <= 1
    assert box == pytest.approx((16 * 333 / 256, 16 * 200 / 256, 240 * 333 / 256, 240 * 200 / 256))


@pytest.mark.parametrize("size", [(3, 2000), (2000, 3), (640, 480), (500, 500), (1, 1), (255, 257)])
@pytest.mark.parametrize("resampling", ["area", "bilinear"])
def test_the_box_is_the_middle_square_inside_the_picture(size, resampling):
    height, width = size
    for resize in (160, 183, 224):
        x1, y1, x2, y2 = Preprocess(resize, 160, resampling=resampling).box(height, width)
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        side = min(size) * 160 / resize
        assert (x2 - x1) == pytest.approx(side, rel=0.02, abs=0.02)
        assert (y2 - y1) == pytest.approx(side, rel=0.02, abs=0.02)
        pixel = min(size) / resize  # one of the resized picture: how far rounding may move the middle
        assert (x1 + x2) / 2 == pytest.approx(width / 2, abs=pixel)
        assert (y1 + y2) / 2 == pytest.approx(height / 2, abs=pixel)


def test_area_averages_blocks():
    picture = noise(48, 96)
    found, box = Preprocess(12, 12, resampling="area").pixels(picture)
    assert box == (24, 0, 72, 48)
    expected = picture[:, 24:72].reshape(12, 4, 12, 4, 3).mean((1, 3))
    assert np.abs(found - expected).max() <= 0.51


def test_the_tensor_is_normalised_channel_by_channel():
    preprocess = Preprocess(4, 4, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.125))
    squares = np.random.default_rng(1).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)
    batch = preprocess.tensor(squares)
    assert batch.shape == (3, 3, 4, 4)
    for number, (mean, std) in enumerate(zip(preprocess.mean, preprocess.std)):
        expected = (squares[..., number] / 255 - mean) / std
        np.testing.assert_allclose(batch[:, number].numpy(), expected, atol=1e-5)
    np.testing.assert_array_equal(preprocess.tensor(squares[1])[0].numpy(), batch[1].numpy())


def test_words_for_the_card():
    assert Preprocess(256, 224).words().startswith("shorter side to 256 px, middle 224x224 px, RGB normalised")
    assert "squashed to 256x256" in Preprocess(256, 224, squash=True).words()
    plain = Preprocess(160, 160, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert plain.words().endswith("RGB in [0, 1]")
    assert plain.facts() == {"resize": 160, "crop": 160, "mean": (0.0,) * 3, "std": (1.0,) * 3}
