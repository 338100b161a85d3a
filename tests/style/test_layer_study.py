"""Inversions and textures by layer: what is asked of each run, and that the runs answer."""

import threading

import pytest

from cvdemo.core.errors import Cancelled
from cvdemo.style import layer_study
from cvdemo.style.layer_study import INVERSION, TEXTURE, LayerResult
from cvdemo.style.settings import STYLE_LAYERS, StyleSettings
from cvdemo.style.tab_layers import panels_html, said


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(layer_study, "STEPS", 3)


def test_an_inversion_matches_one_layer_and_a_texture_all_up_to_it():
    base = StyleSettings(size=512, optimiser="Adam", preserve_colour="luminance")
    alone = layer_study.plans(INVERSION, base)
    assert [settings.content_layers for settings in alone] == [(name,) for name in STYLE_LAYERS]
    assert all((s.style_weight, s.init, s.size, s.optimiser) == (0.0, "noise", 192, "Adam") for s in alone)
    deeper = layer_study.plans(TEXTURE, base)
    assert [len(settings.style_layers) for settings in deeper] == [1, 2, 3, 4, 5]
    assert all((s.content_weight, s.preserve_colour) == (0.0, "off") for s in deeper)


@pytest.mark.parametrize("kind", layer_study.STUDIES)
def test_every_layer_gets_a_picture_and_a_loss(engine, content, kind):
    told = []
    results = list(
        layer_study.study(
            kind,
            content,
            StyleSettings(size=64),
            model="compact-vgg",
            engine=engine,
            progress=lambda fraction, text: told.append(fraction),
        )
    )
    assert [result.layers[-1] for result in results] == list(STYLE_LAYERS)
    assert all(result.loss > 0 and result.pixels.shape == (53, 64, 3) for result in results)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    shown = panels_html(kind, results)
    assert shown.count("<img") == 5
    assert results[-1].name in shown
    assert f"{results[0].loss:.2g}" in said(kind, results)


def test_a_study_is_cancelled_within_a_step(engine, content):
    cancel = threading.Event()
    study = layer_study.study(
        INVERSION, content, StyleSettings(size=64), model="compact-vgg", engine=engine, cancel=cancel,
        progress=lambda fraction, text: cancel.set() if fraction > 0.2 else None,
    )  # fmt: skip
    assert next(study).layers == ("relu1_1",)
    with pytest.raises(Cancelled):
        next(study)


def test_results_are_named_by_their_layers(content):
    assert LayerResult(("relu1_1",), content, 0.5).name == "relu1_1"
    several = LayerResult(("relu1_1", "relu2_1", "relu3_1"), content, 0.123456789)
    assert several.name == "relu1_1 to relu3_1"
    assert several.to_dict() == {"layers": ["relu1_1", "relu2_1", "relu3_1"], "loss": 0.123457}
