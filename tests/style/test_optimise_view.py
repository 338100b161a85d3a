"""The Optimise view in words and drawings: weights on a scale of powers, curves, numbers, files."""

import csv
import io
import json
import re

import numpy as np
import pytest

from cvdemo.core.media import read_picture
from cvdemo.style import optimise_view as view
from cvdemo.style.gatys import GatysRun, Step
from cvdemo.style.optimise_view import OptimiseSettings
from cvdemo.style.result import Losses
from cvdemo.style.settings import PRESETS

SMALL = {"size": 64, "content_layers": ("relu2_1",), "style_layers": ("relu1_1",), "steps": 4}


def step(number, content=0.5, style=0.25, variation=0.01, weights=(1.0, 10.0, 0.1)):
    named = dict(zip(("content_weight", "style_weight", "tv_weight"), weights))
    losses = Losses(content, style, variation)
    return Step(number, losses, losses.total(**named), named, 1.0, 40.0, None)


@pytest.fixture
def run(engine, content, style):
    made = GatysRun(content, [style], OptimiseSettings.from_mapping(SMALL).weighed(), names=["board"], engine=engine)
    list(made.run())
    return made


def test_powers_stand_for_weights_and_the_left_end_for_none():
    made = OptimiseSettings.from_mapping({"content_power": -3.0, "style_power": 2.0, "tv_power": 3.0}).weighed()
    assert (made.content_weight, made.style_weight) == (0.0, 100.0)
    assert made.tv_weight == 100  # as much as the optimisation takes
    usual = OptimiseSettings().weighed()
    assert (usual.content_weight, usual.style_weight, usual.tv_weight) == pytest.approx((1.0, 10.0, 0.1))


@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0, 10.0, 100.0])
def test_a_weight_finds_its_place_again(weight):
    assert view.weight_of(view.power_of(weight)) == pytest.approx(weight)


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_fits_the_sliders(name):
    wanted = PRESETS[name]
    powers = {power: view.power_of(wanted[weight]) for weight, power in view.POWERS.items() if weight in wanted}
    made = OptimiseSettings.from_mapping(powers).weighed()
    assert {weight: getattr(made, weight) for weight in wanted if weight in view.POWERS} == pytest.approx(
        {weight: value for weight, value in wanted.items() if weight in view.POWERS}
    )


def test_the_ratio_is_said():
    weights = {"content_weight": 1.0, "style_weight": 10.0, "tv_weight": 0.1}
    assert view.weights_line(weights) == "Content 1, style 10, total variation 0.1: style : content = 10 : 1"
    assert "feature inversion" in view.weights_line(weights | {"style_weight": 0.0})
    assert "texture synthesis" in view.weights_line(weights | {"content_weight": 0.0})


def test_layers_that_only_vgg19_has_say_so():
    labels = {name: label for label, name in view.layer_choices()}
    assert labels["relu4_2"] == "relu4_2"
    assert labels["relu4_4"] == "relu4_4 (VGG19 only)"


def test_large_and_tiny_pictures_get_a_word():
    large, tiny, usual = (np.zeros((h, w, 3), np.uint8) for h, w in ((6000, 8000), (1, 1), (300, 400)))
    (said,) = view.notes_on(large, [usual], 256)
    assert said == "the content picture has 8000 x 6000 pixels and is worked on at 256"
    (said,) = view.notes_on(usual, [tiny], 256)
    assert "1 x 1 pixels and is enlarged, it has a colour but no texture" in said
    assert view.notes_on(None, [usual], 256) == []


def test_changes_of_weights_are_marked_in_the_curves():
    history = [step(1), step(2), step(3, weights=(1.0, 100.0, 0.1)), step(4, weights=(1.0, 100.0, 0.1))]
    assert view.changes_of(history) == [(3, "style : content = 100 : 1")]
    assert view.curves_html(history, 10).count('class="mark"') == 1


def test_curves_have_one_line_a_term_on_a_logarithmic_scale():
    drawn = view.curves_html([step(1, content=1.0), step(2, content=0.1), step(3, content=0.01)], 3)
    lines = dict(re.findall(r'<polyline class="(\w+)"[^>]* points="([^"]+)"', drawn.split("</div>")[1]))
    assert list(lines) == ["content", "style", "variation"]
    heights = [float(point.split(",")[1]) for point in lines["content"].split()]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.2)  # a decade each
    assert "content from 1 to 0.01" in drawn  # for those who do not see it


def test_a_term_that_does_not_count_has_no_line_and_long_runs_are_thinned():
    drawn = view.curves_html([step(number, style=0.0) for number in range(1, 2001)], 2000)
    plot = drawn.split("</div>")[1]
    assert 'class="style"' not in plot
    assert len(re.search(r'class="content"[^>]* points="([^"]+)"', plot)[1].split()) < 300
    assert "appears here" in view.curves_html([], 10)


def test_the_key_names_each_term_with_its_last_value():
    drawn = view.curves_html([step(1), step(2, content=0.125)], 2)
    keys = re.sub(r"<[^>]+>", "", re.search(r'<div class="keys">(.*?)</div>', drawn)[1])
    assert keys.split() == ["content", "0.12", "style", "(Gram)", "0.25", "total", "variation", "0.01"]


def test_a_run_is_described(run):
    assert view.sentence_of(run, []) == "Not started"
    assert view.sentence_of(run, run.history).startswith("Finished at step 4 of 4: content loss")
    assert "ms a step" in view.timing_of(run, run.history, ["a word"])
    assert view.timing_of(run, run.history, ["a word"]).endswith("a word")
    shown = view.numbers_html(run, run.history)
    assert f"{run.history[-1].losses.style:.4f}" in shown
    assert "relu2_1" in shown


def test_a_paused_run_says_so(engine, content, style):
    made = GatysRun(content, [style], OptimiseSettings.from_mapping(SMALL), engine=engine)
    made.step()
    made.pause()
    assert view.sentence_of(made, made.history).startswith("Paused at step 1 of 4")
    made.stop()
    assert view.sentence_of(made, made.history).startswith("Stopped at step 1 of 4")


def test_downloads_hold_the_picture_and_every_step(run, tmp_path):
    name, data = view.export(run, run.history, "png", "tower.jpg")
    assert name == "tower-stylised.png"
    (tmp_path / name).write_bytes(data)
    assert (read_picture(tmp_path / name).pixels == run.best()).all()
    rows = list(csv.DictReader(io.StringIO(view.export(run, run.history, "csv", "tower.jpg")[1].decode())))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4]
    for row, known in zip(rows, run.history):
        summed = sum(
            float(row[weight]) * float(row[term])
            for weight, term in zip(("content_weight", "style_weight", "tv_weight"), view.TERMS)
        )
        assert summed == pytest.approx(known.total, abs=1e-4)
    told = json.loads(view.export(run, run.history, "json", "")[1])
    assert len(told["losses"]) == 4
    assert told["settings"]["style_weight"] == 10
