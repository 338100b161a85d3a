"""The race of several models on one picture."""

import csv
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from cvdemo import tasks
from cvdemo.classification.labels import IMAGENET_CLASSES
from cvdemo.classification.predict import Comparison, Inference
from cvdemo.classification.race_view import (
    Contestant,
    comparison_csv,
    comparison_html,
    contestants,
    own_milliseconds,
    percent,
    race_svg,
)
from cvdemo.classification.raw import RawClassification
from cvdemo.core import registry

tasks.load_all()


def inference_of(model: str, best: int, network_ms: float) -> Inference:
    logits = np.zeros(1000, np.float32)
    logits[best] = 20
    raw = RawClassification(logits, None, IMAGENET_CLASSES, (0, 0, 9, 9), 9, 9, model)
    stages = {"wait": 500.0, "load": 900.0, "preprocess": 1.0, "network": network_ms, "decode": 0.5}
    return Inference(raw, stages, "cpu", "fp32", model)


FAST = Contestant("a", "A", 2012, 60_000_000, 0.7, 56.5, "cat", 0.5, 5.0)
SLOW = Contestant("b", "B <x>", 2020, 240_000_000, 17.0, 81.0, "dog", 0.25, 50.0)
ABSENT = Contestant("c", "C", 2015, 1_000_000, None, None, problem="needs 47 MB, offline")


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.873, "87.3 %"), (1.0, "100.0 %"), (0.0, "0.0 %"), (0.0004, "< 0.1 %"), (0.001, "0.1 %")],
)
def test_percent(probability, text):
    assert percent(probability) == text


def test_waiting_and_loading_are_not_the_models_own_time():
    assert own_milliseconds(inference_of("resnet18", 3, 12.0)) == pytest.approx(13.5)


def test_contestants_come_in_the_order_asked_for_with_facts_of_the_registry():
    comparison = Comparison((inference_of("compact-classifier", 3, 12.0),), {"resnet18": "It did not load."})
    absent, ran = contestants(comparison, ["resnet18", "compact-classifier"])
    spec = registry.get("resnet18")
    assert (absent.name, absent.year, absent.parameters, absent.gflops) == (
        "resnet18", spec.year, spec.parameters, spec.gflops,
    )  # fmt: skip
    assert absent.accuracy == spec.metrics["ImageNet val top-1"]
    assert absent.problem
    assert absent.answer == ""
    assert ran.answer == IMAGENET_CLASSES[3]
    assert ran.probability == pytest.approx(1.0, abs=1e-3)
    assert ran.milliseconds == pytest.approx(13.5)
    warm = contestants(comparison, ["compact-classifier"], temperature=10.0)[0]
    assert warm.probability == pytest.approx(np.exp(2) / (np.exp(2) + 999), abs=1e-6)


def test_the_table_has_a_row_per_model_and_bars_of_time():
    text = comparison_html([FAST, SLOW, ABSENT])
    body = text.split("<tbody>")[1].split("</tbody>")[0]
    assert body.count("<tr") == 3
    assert [float(w) for w in re.findall(r'class="timed"><div style="width:([\d.]+)%', body)] == [10.0, 100.0]
    assert "needs 47 MB, offline" in body
    assert "B &lt;x&gt;" in body
    assert "<x>" not in body


def test_the_plot_puts_faster_models_left_and_better_ones_up():
    figure = ElementTree.fromstring(race_svg([FAST, SLOW, ABSENT]))
    circles = [{k: float(v) for k, v in node.attrib.items()} for node in figure.iter("circle")]
    slow, fast = circles  # the one with more parameters is drawn first, below the other
    assert fast["cx"] < slow["cx"]
    assert fast["cy"] > slow["cy"]
    assert (slow["r"] - 4) / (fast["r"] - 4) == pytest.approx(2, rel=0.02), "a dot's area is its parameters"
    box = [float(v) for v in figure.attrib["viewBox"].split()]
    assert all(0 < c["cx"] < box[2] and 0 < c["cy"] < box[3] for c in circles)


@pytest.mark.parametrize("lines", [[], [FAST], [FAST, ABSENT]])
def test_one_model_is_no_race(lines):
    assert race_svg(lines) == ""
    assert "<table>" in comparison_html(lines)


def test_equal_figures_can_be_plotted():
    assert ElementTree.fromstring(race_svg([FAST, FAST])).attrib["role"] == "img"


def test_csv_and_json_keep_what_did_not_run():
    rows = list(csv.DictReader(io.StringIO(comparison_csv([FAST, ABSENT]))))
    assert [row["model"] for row in rows] == ["a", "c"]
    assert float(rows[0]["milliseconds"]) == 5.0
    assert rows[1]["milliseconds"] == rows[1]["gflops"] == ""
    assert FAST.to_dict()["label"] == "cat"
    assert ABSENT.to_dict()["problem"] == "needs 47 MB, offline"
    assert "milliseconds" not in ABSENT.to_dict()
