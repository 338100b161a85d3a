"""The endpoints called as functions, on random weights."""

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from cvdemo.core import weights
from cvdemo.core.engine import Engine, set_default_engine
from cvdemo.core.media import read_picture, save_picture
from cvdemo.segmentation.api import segment, segment_settings, segmentation_models
from cvdemo.segmentation.labels import VOC_CLASSES
from cvdemo.segmentation.nets.compact_unet import CompactUNet
from cvdemo.segmentation.predict import SegmentationSettings, decode, infer
from cvdemo.ui.sessions import files

PIXELS = np.random.default_rng(0).integers(0, 256, (120, 180, 3), dtype=np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _engine(tmp_path_factory):
    """A default engine that finds random weights under the compact model's name, and no others."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_file(CompactUNet().state_dict(), folder / "compact_segmentation.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CVDEMO_WEIGHTS", str(folder))
        patch.setattr(weights, "hub_folder", lambda: folder)
        patch.setattr(files, "root", folder)
        patch.setenv("CVDEMO_OFFLINE", "1")
        set_default_engine(Engine("cpu", tune=False))
        yield
        set_default_engine(None)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "noise.png"
    save_picture(path, PIXELS)
    return str(path)


def call(image, behind=None, model="compact-segmentation", **changes):
    values = SegmentationSettings().to_dict() | changes
    return segment(image, behind, model, *values.values(), request=None)


def test_the_answer_is_that_of_the_library(picture):
    answer, drawn, mask = call(picture)
    expected = decode(infer(PIXELS), SegmentationSettings())
    assert answer["classes"] == expected.to_dict()["classes"]
    assert answer["image"] == {"name": "noise.png", "width": 180, "height": 120}
    assert answer["sentence"] == expected.sentence()
    assert answer["names"] == list(VOC_CLASSES)
    assert "network" in answer["milliseconds"]
    assert np.array_equal(np.array(Image.open(mask)), expected.labels)
    assert read_picture(drawn).pixels.shape == PIXELS.shape


def test_a_cut_out_has_alpha_and_a_background_needs_a_picture(picture):
    _, drawn, _ = call(picture, background="cut-out", classes=["background"])
    assert Image.open(drawn).mode == "RGBA"
    with pytest.raises(gr.Error, match="background"):
        call(picture, background="picture")
    _, drawn, _ = call(picture, picture, background="picture")
    assert read_picture(drawn).pixels.shape == PIXELS.shape


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": None}, "No picture was sent"),
        ({"model": "nonsense"}, "no model named"),
        ({"model": "fcn_resnet50"}, "weights"),
        ({"temperature": 0}, "from 0.1 to 10"),
        ({"classes": ["unicorn"]}, "unicorn"),
        ({"background": "beach"}, "beach"),
    ],
)
def test_what_cannot_be_done_is_explained(changes, words, picture):
    with pytest.raises(gr.Error, match=words):
        call(**{"image": picture, **changes})


def test_settings_and_models_are_described():
    assert set(segment_settings()) == set(SegmentationSettings().to_dict())
    rows = {row["name"]: row for row in segmentation_models()}
    assert rows["compact-segmentation"]["available"] is True
    assert rows["compact-segmentation"]["kind"] == "semantic"
    assert rows["maskrcnn_resnet50_fpn"]["kind"] == "instances"
    assert rows["fcn_resnet50"]["available"] is False
    assert rows["fcn_resnet50"]["remedy"]
