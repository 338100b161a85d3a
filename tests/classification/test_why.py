import dataclasses
import threading

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cvdemo.classification.heat import COLOUR_MAPS, blend, colour_table
from cvdemo.classification.nets.compact_backbone import CompactClassifier
from cvdemo.classification.why import (
    METHOD_TITLES,
    METHODS,
    NOT_AN_EXPLANATION,
    Explanation,
    WhySettings,
    agreement,
    explain,
    methods_for,
    overlay,
    scaled,
)
from cvdemo.core import registry
from cvdemo.core.engine import Engine
from cvdemo.core.errors import Cancelled, CvDemoError, InputError
from cvdemo.core.media import Picture
from cvdemo.core.registry import RANDOM_WEIGHTS_KEY, ModelSpec

SIDE = 32
NAME = "red-spot"


class RedSpot(nn.Module):
    """Class 0 is as strong as the picture is red; hand-made weights, so that the right map is known."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True), nn.AvgPool2d(4))
        self.head = nn.Linear(3, 2)
        with torch.no_grad():
            kernel = torch.tensor([[2.0, -1.0, -1.0], [-1.0, 2.0, -1.0], [0.3, 0.3, 0.3]])
            self.features[0].weight.copy_(kernel[:, :, None, None].expand(3, 3, 3, 3) / 9)
            self.features[0].bias.copy_(torch.tensor([-0.05, -0.05, 0.0]))
            self.head.weight.copy_(torch.tensor([[40.0, -1.0, 0.1], [-1.0, 40.0, 0.1]]))
            self.head.bias.copy_(torch.tensor([0.0, 0.5]))

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


def prepare_input(pixels):
    """The middle square, 32 x 32, RGB in [0, 1]."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    x, y = (width - side) // 2, (height - side) // 2
    square = cv2.resize(pixels[y : y + side, x : x + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(square).permute(2, 0, 1)[None].float() / 255, (x, y, x + side, y + side)


def spec_of(**changes):
    facts = {
        "name": NAME,
        "task": "classification",
        "tier": "compact",
        "title": "Red spot",
        "family": "",
        "architecture": "",
        "year": 2024,
        "paper": "",
        "lecture": "",
        "parameters": 100,
        "categories": ("red", "green"),
        "weights": None,
        "build": RedSpot,
        "run": lambda module, value, context: module(context.tensor(prepare_input(value)[0])),
        "example": lambda: np.zeros((SIDE, SIDE, 3), np.uint8),
        "agrees": lambda reference, other: True,
        "extras": {RANDOM_WEIGHTS_KEY: True, "prepare_input": prepare_input, "gradcam_layer": "features"},
    }
    return ModelSpec(**{**facts, **changes})


@pytest.fixture
def register():
    """Register specs for one test."""
    names = []

    def add(**changes):
        spec = registry.register(spec_of(**changes))
        names.append(spec.name)
        return spec

    yield add
    for name in names:
        registry.unregister(name)


@pytest.fixture
def engine(register):
    register()
    return Engine("cpu", tune=False)


def spotted(height=96, width=160, x=40, y=8, size=20):
    """Grey with a red square."""
    pixels = np.full((height, width, 3), 110, np.uint8)
    pixels[y : y + size, x : x + size] = (230, 20, 20)
    return pixels


def an_explanation(**changes):
    facts = {
        "map": np.zeros((4, 4), np.float32),
        "values": np.zeros((4, 4), np.float32),
        "extent": (0.0, 0.0, 40.0, 40.0),
        "height": 40,
        "width": 40,
        "method": "grad-cam",
        "class_index": 0,
        "class_name": "red",
        "score": 0.75,
        "stages": {},
        "device": "cpu",
        "model": NAME,
    }
    return Explanation(**{**facts, **changes})


def weights_of(engine):
    def operation(module, value, context):
        return torch.cat([parameter.flatten() for parameter in module.parameters()]).clone()

    return engine.run(NAME, None, operation=operation).output


# ---------------------------------------------------------------- explain


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("x", "y", "place"), [(36, 4, "top left"), (104, 70, "bottom right"), (70, 38, "centre"), (108, 4, "top right")]
)
def test_every_method_finds_the_spot(engine, method, x, y, place):
    found = explain(spotted(x=x, y=y), NAME, 0, method, engine=engine)
    assert found.map.dtype == np.float32
    assert (found.map.min() >= 0, found.map.max()) == (True, 1.0)
    assert found.extent == (32.0, 0.0, 128.0, 96.0)
    px, py = found.peak()
    assert x - 14 <= px <= x + 34
    assert y - 14 <= py <= y + 34
    assert (found.class_name, found.method, found.model, found.randomise) == ("red", method, NAME, "")
    if method in ("grad-cam", "occlusion"):  # gradients are largest at edges, whose ninth may be another one
        assert found.place() == place
        assert METHOD_TITLES[method] in found.sentence()
        assert f"strongest at the {place}" in found.sentence()


def test_the_score_is_the_networks_probability_for_the_class(engine):
    pixels = spotted()
    logits = RedSpot().eval()(prepare_input(pixels)[0]).detach().double()
    expected = logits.softmax(1)[0].numpy()
    for index in (0, 1):
        for method in METHODS:
            found = explain(pixels, NAME, index, method, engine=engine)
            assert found.score == pytest.approx(expected[index], abs=1e-6)


def test_without_a_class_the_best_one_is_explained(engine):
    found = explain(Picture(spotted()), NAME, engine=engine)
    assert (found.class_index, found.class_name) == (0, "red")
    green = spotted()[:, :, [1, 0, 2]]
    assert explain(green, NAME, None, "occlusion", engine=engine).class_name == "green"


def test_stages_are_measured(engine):
    found = explain(spotted(), NAME, 0, "occlusion", randomise="all", engine=engine)
    assert list(found.stages) == ["wait", "load", "preprocess", "randomise", "occlusion"]


def test_occlusion_says_what_covering_does(engine):
    note = explain(spotted(), NAME, 0, "occlusion", engine=engine).note
    assert note.startswith("Covering the most important patch lowers the probability of red from ")


def test_occlusion_says_when_it_hardly_matters(engine):
    pixels = np.full((96, 96, 3), 110, np.uint8)
    pixels[38:47, 38:47] = (105, 135, 105)
    found = explain(pixels, NAME, 1, "occlusion", engine=engine)
    assert found.map.max() == 1.0
    assert found.note.startswith("Covering any one patch hardly changes the probability of green")


def test_small_probabilities_are_not_rounded_to_nothing():
    assert "red (0.12 %)" in an_explanation(score=0.00123).sentence()
    assert "red (75 %)" in an_explanation().sentence()


def test_a_picture_without_evidence_gives_an_empty_map_and_says_so(engine):
    found = explain(np.full((40, 40, 3), 90, np.uint8), NAME, 0, "occlusion", engine=engine)
    assert not found.map.any()
    assert found.note == "Nothing in the picture speaks for red."
    assert "the map is empty" in found.sentence()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("randomise", ["top", "all"])
def test_randomising_changes_the_map_and_never_the_shared_network(engine, method, randomise):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
    before = weights_of(engine)
    plain = explain(pixels, NAME, 0, method, engine=engine)
    other = explain(pixels, NAME, 0, method, randomise=randomise, engine=engine)
    assert np.abs(plain.values - other.values).max() > 1e-4 * np.abs(plain.values).max()
    assert torch.equal(weights_of(engine), before)
    np.testing.assert_array_equal(explain(pixels, NAME, 0, method, engine=engine).map, plain.map)
    assert other.score is None
    assert other.note == NOT_AN_EXPLANATION
    assert other.sentence().startswith("Randomised network, not an explanation; ")
    assert other.to_dict()["probability"] is None
    again = explain(pixels, NAME, 0, method, randomise=randomise, engine=engine)
    np.testing.assert_array_equal(again.map, other.map)


def test_the_picture_is_not_written_to(engine):
    pixels = spotted()
    pixels.flags.writeable = False
    for method in METHODS:
        explain(pixels, NAME, 0, method, engine=engine)
    np.testing.assert_array_equal(pixels, spotted())


@pytest.mark.parametrize("method", ["occlusion", "smooth-grad"])
def test_long_methods_report_and_stop(engine, method):
    engine.preload(NAME)
    seen = []
    explain(spotted(), NAME, 0, method, engine=engine, progress=lambda fraction, text: seen.append((fraction, text)))
    fractions = [fraction for fraction, _ in seen]
    assert len(fractions) > 5
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert all(text for _, text in seen)
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        explain(spotted(), NAME, 0, method, engine=engine, cancel=cancel, progress=lambda *_: cancel.set())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((NAME, 0, "tea-leaves"), "no method 'tea-leaves'"),
        ((NAME, 2, "gradient"), "no class 2"),
        ((NAME, -1, "gradient"), "no class -1"),
    ],
)
def test_what_cannot_be_explained_is_refused(engine, arguments, message):
    with pytest.raises(InputError, match=message):
        explain(spotted(), *arguments, engine=engine)


def test_an_unknown_cascade_is_refused(engine):
    with pytest.raises(InputError, match="randomised as 'bottom'"):
        explain(spotted(), NAME, 0, randomise="bottom", engine=engine)


def test_networks_without_a_feature_map_have_every_method_but_grad_cam(engine, register):
    extras = {RANDOM_WEIGHTS_KEY: True, "prepare_input": prepare_input, "gradcam_layer": None}
    register(name="tokens", title="Tokens", extras=extras)
    reasons = methods_for("tokens")
    assert [method for method, reason in reasons.items() if not reason] == ["occlusion", "gradient", "smooth-grad"]
    assert "Tokens" in reasons["grad-cam"]
    with pytest.raises(InputError, match="feature map"):
        explain(spotted(), "tokens", 0, engine=engine)
    assert explain(spotted(), "tokens", 0, "gradient", engine=engine).map.max() == 1.0
    register(name="own-words", extras={**extras, "gradcam_unsupported": "It reads tea leaves."})
    assert methods_for("own-words")["grad-cam"] == "It reads tea leaves."
    assert set(methods_for(NAME).values()) == {""}


def test_a_model_that_takes_no_picture_is_refused(engine, register):
    register(name="numbers", title="Numbers", extras={RANDOM_WEIGHTS_KEY: True})
    with pytest.raises(InputError, match="Numbers takes no picture"):
        explain(spotted(), "numbers", 0, "gradient", engine=engine)


def test_a_traced_network_is_refused_in_words(register):
    class Callable:
        def __call__(self, x):
            return torch.zeros(len(x), 2)

    spec = register(name="graph", title="Graph")
    engine = Engine("cpu", tune=False)
    engine.preload(spec)
    engine._pool.residents()[0].module = Callable()
    with pytest.raises(CvDemoError, match="Graph runs in a form"):
        explain(spotted(), "graph", 0, engine=engine)


def test_the_compact_classifier_can_be_explained(tmp_path, monkeypatch):
    torch.manual_seed(0)
    save_file(CompactClassifier().state_dict(), tmp_path / "compact_classifier.safetensors")
    monkeypatch.setenv("CVDEMO_WEIGHTS", str(tmp_path))
    engine = Engine("cpu", tune=False)
    shapes = {"grad-cam": (5, 5), "occlusion": (16, 16), "gradient": (160, 160)}
    for method, shape in shapes.items():
        found = explain(spotted(200, 320), "compact-classifier", 285, method, engine=engine)
        assert found.map.shape == shape
        assert found.extent == (60.0, 0.0, 260.0, 200.0)
        assert 0 < found.score < 1
    assert engine.statistics().loads == 1


# ---------------------------------------------------------------- scaling, agreement, words


def test_scaling_drops_what_speaks_against_and_ends_at_one():
    values = np.array([[-3.0, 0.0], [1.0, 4.0]], np.float32)
    np.testing.assert_allclose(scaled(values, "occlusion"), [[0, 0], [0.25, 1]])
    np.testing.assert_array_equal(scaled(-np.abs(values), "grad-cam"), np.zeros((2, 2)))


def test_a_single_extreme_pixel_does_not_darken_a_gradient_map():
    values = np.ones((20, 20), np.float32)
    values[3, 4] = 1000
    assert scaled(values, "gradient").min() > 0.9
    lonely = np.zeros((20, 20), np.float32)
    lonely[3, 4] = 5  # the percentile is 0 here
    assert scaled(lonely, "smooth-grad")[3, 4] == 1.0


def test_agreement_of_maps_of_different_resolution():
    rows = np.linspace(0, 1, 16, dtype=np.float32)[:, None].repeat(16, 1)
    fine, coarse = an_explanation(map=rows), an_explanation(map=rows[::4, ::4].copy())
    assert agreement(fine, coarse) == pytest.approx(1.0)
    assert agreement(fine, an_explanation(map=1 - rows)) == pytest.approx(-1.0)


def test_to_dict_is_small_and_complete():
    rng = np.random.default_rng(0)
    found = an_explanation(map=rng.random((160, 160), np.float32), extent=(10.0, 0.0, 30.0, 40.0)).to_dict("a.png")
    assert np.shape(found["map"]) == (32, 32)
    assert found["image"] == {"name": "a.png", "width": 40, "height": 40}
    assert (found["label"], found["index"], found["probability"]) == ("red", 0, 0.75)
    assert 10 <= found["peak"][0] <= 30
    assert np.shape(an_explanation().to_dict()["map"]) == (4, 4)


# ---------------------------------------------------------------- drawing


def test_opacity_goes_from_the_picture_to_the_map():
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (40, 40, 3), np.uint8)
    heat = rng.random((40, 40)).astype(np.float32)
    found = an_explanation(map=heat)
    np.testing.assert_array_equal(overlay(pixels, found, 0.0), pixels)
    table = colour_table("viridis")
    expected = table[np.floor(heat * 255 + 0.5).astype(int)]
    np.testing.assert_array_equal(overlay(pixels, found, 1.0, "viridis"), expected)
    half = overlay(pixels, found, 0.5, "viridis").astype(float)
    assert np.abs(half - (expected / 2 + pixels / 2)).max() <= 1


def test_the_part_the_network_did_not_see_is_covered_and_framed():
    pixels = np.full((40, 100, 3), 200, np.uint8)
    heat = np.ones((4, 4), np.float32)
    found = an_explanation(map=heat, extent=(30.0, 0.0, 70.0, 40.0), width=100)
    drawn = overlay(pixels, found, 1.0)
    table = colour_table("inferno")
    np.testing.assert_array_equal(drawn[20, 10], table[0])
    np.testing.assert_array_equal(drawn[20, 50], table[255])
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 2  # the frame


def test_an_overlay_fits_resized_copies_of_the_picture():
    heat = np.zeros((2, 2), np.float32)
    heat[1, 1] = 1
    drawn = overlay(np.zeros((200, 400, 3), np.uint8), an_explanation(map=heat, extent=(0, 0, 80, 40), width=80), 1.0)
    assert drawn.shape == (200, 400, 3)
    np.testing.assert_array_equal(drawn[-1, -1], colour_table("inferno")[255])
    np.testing.assert_array_equal(drawn[0, 0], colour_table("inferno")[0])


def test_a_randomised_map_says_so_in_the_picture():
    pixels = np.full((240, 320, 3), 128, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    whole = {"map": heat, "extent": (0.0, 0.0, 320.0, 240.0), "height": 240, "width": 320}
    plain = overlay(pixels, an_explanation(**whole), 0.5)
    marked = overlay(pixels, an_explanation(**whole, randomise="all", score=None), 0.5)
    changed = (plain != marked).any(-1)
    assert changed.sum() > 1000
    assert len(np.unique(plain)) == len(np.unique(plain[0, 0]))


def test_blending_needs_a_picture_and_a_known_colour_map():
    with pytest.raises(ValueError, match="uint8"):
        blend(np.zeros((4, 4)), np.zeros((2, 2)), 0.5)
    with pytest.raises(ValueError, match="unknown colour map"):
        blend(np.zeros((4, 4, 3), np.uint8), np.zeros((2, 2)), 0.5, "rainbow")


@pytest.mark.parametrize("box", [(-5, -5, 3, 3), (9, 9, 9, 9), (20, 20, 30, 30), (2.4, 2.6, 7.5, 8.1)])
def test_blending_keeps_inside_of_the_picture_whatever_the_box(box):
    out = blend(np.zeros((10, 10, 3), np.uint8), np.ones((2, 2)), 1.0, box=box)
    hot = (out == colour_table("inferno")[255]).all(-1)
    assert 1 <= hot.sum() < 100


@pytest.mark.parametrize("colours", [name for name in COLOUR_MAPS if name != "turbo"])
def test_colour_maps_brighten_steadily(colours):
    table = colour_table(colours).astype(float)
    lightness = table @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > -1.5).all()
    assert lightness[-1] - lightness[0] > 150


def test_settings_fit_the_drawing():
    settings = WhySettings()
    assert settings.colours in COLOUR_MAPS
    assert WhySettings.from_query(dataclasses.replace(settings, opacity=0.3).to_query()).opacity == 0.3
