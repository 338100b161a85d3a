"""The race, the measuring and the evaluation, on networks with arbitrary weights."""

import numpy as np
import pytest

from cvdemo.core import registry
from cvdemo.core.errors import InputError
from cvdemo.style import evaluate, losses, race
from cvdemo.style.features import activations, fitted, to_tensor
from cvdemo.style.measure import measure, resized
from cvdemo.style.models import COMPACT_ENCODER, fast_name
from cvdemo.style.settings import StyleSettings
from cvdemo.style.styles import load_style

SMALL = StyleSettings(size=64, steps=4, content_layers=("relu2_1",), style_layers=("relu1_1", "relu2_1"))


def test_measures_are_the_losses_of_the_network_run_by_hand(engine, content, style):
    (found,) = measure([style], content, style, SMALL, engine=engine)
    network = registry.get("compact-vgg").build()
    aim = activations(network, to_tensor(fitted(content, 64)), ["relu2_1"])
    x = to_tensor(resized(style, 53, 64))
    seen = activations(network, x, ["relu1_1", "relu2_1"])
    grams = {
        name: losses.gram(value)
        for name, value in activations(network, to_tensor(fitted(style, 64)), ["relu1_1", "relu2_1"]).items()
    }
    assert found.content == pytest.approx(float(losses.content_loss(seen, aim)), rel=1e-3)
    assert found.style == pytest.approx(float(losses.style_loss(seen, grams)), rel=1e-3)
    assert found.variation == pytest.approx(float(losses.total_variation(x)), rel=1e-4)


def test_the_content_itself_has_no_content_loss(engine, content, style):
    (found,) = measure([fitted(content, 64)], content, style, SMALL, engine=engine)
    assert found.content == pytest.approx(0, abs=1e-5)
    assert found.style > 0.01


def test_all_three_run_and_are_measured(engine, content, style):
    seen = []
    found = race.race(content, style, SMALL, style_name="waves", engine=engine, progress=lambda *a: seen.append(a))
    assert {runner.method for runner in found.runners} == {"gatys", "adain", "fast"}
    assert [r.seconds for r in found.runners] == sorted(r.seconds for r in found.runners)
    for runner in found.runners:
        assert runner.pixels is not None
        assert runner.losses is not None
    by_method = {runner.method: runner for runner in found.runners}
    assert found.reduction(by_method["gatys"]) > 0
    assert "style loss" in found.sentence()
    assert len(found.to_dict()["methods"]) == 3
    assert len(seen) == 3


@pytest.mark.parametrize("style_name", ["", "hatching"])
def test_who_cannot_run_says_why(engine, content, style, style_name):
    found = race.race(content, style, SMALL, style_name=style_name, engine=engine)
    (absent,) = [runner for runner in found.runners if runner.method == "fast"]
    assert absent.pixels is None
    assert absent.model == "", "there is no such network, so it has no name to look up"
    assert "knows one style" in absent.reason
    assert found.to_dict()["methods"][-1]["reason"]
    assert found.reduction(absent) == 0
    with pytest.raises(InputError, match="mosaic"):
        race.fast_style_of("hatching")


def test_the_evaluation_compares_the_means(engine, content, style):
    done = []
    report = evaluate.evaluate(
        [("a", content), ("b", content[::-1].copy())], [("s", style)], SMALL, engine=engine,
        progress=lambda *counts: done.append(counts),
    )  # fmt: skip
    assert done == [(1, 2), (2, 2)]
    assert [row["content"] for row in report["pairs"]] == ["a", "b"]
    for row in report["pairs"]:
        assert row["reduction_gatys"] == pytest.approx(1 - row["style_gatys"] / row["style_start"])
    mean = np.mean([row["reduction_adain"] for row in report["pairs"]])
    assert report["reduction_adain"] == pytest.approx(mean, abs=1e-3)
    assert report["reduction_ratio"] == pytest.approx(
        report["reduction_adain"] / report["reduction_gatys"], abs=2e-2 * abs(report["reduction_ratio"]) + 1e-2
    )
    assert report["passed"] == (report["reduction_ratio"] >= 0.6 and report["content_ratio"] <= 1.5)
    shown = evaluate.table(report)
    assert "2 pairs at 64 pixels" in shown
    assert "optimisation" in shown


def test_a_feed_forward_network_is_measured_under_its_own_name(engine, content):
    report = evaluate.evaluate(
        [("a", content)], [("mosaic", load_style("mosaic"))], SMALL, one_pass=fast_name("mosaic"), engine=engine
    )
    (row,) = report["pairs"]
    assert report["reduction_fast"] == pytest.approx(1 - row["style_fast"] / row["style_start"], abs=1e-3)
    assert "fast-mosaic" in evaluate.table(report)


def test_only_what_stylises_in_one_pass_is_compared(engine, content, style):
    with pytest.raises(InputError, match="does not stylise"):
        evaluate.evaluate([("a", content)], [("s", style)], SMALL, one_pass=COMPACT_ENCODER, engine=engine)


def test_unusable_folders(tmp_path):
    with pytest.raises(InputError, match="not a folder"):
        evaluate.read_some(tmp_path / "none", 3)
    with pytest.raises(InputError, match="holds no pictures"):
        evaluate.read_some(tmp_path, 3)
