"""Words and menus of the Why view."""

import numpy as np
import pytest

from cvdemo.classification.raw import RawClassification
from cvdemo.classification.why import METHODS, Explanation
from cvdemo.classification.why_view import (
    BEST,
    WhyControls,
    class_choices,
    index_of,
    method_choices,
    timing_line,
    verdict,
)
from cvdemo.core.errors import SettingsError

NAMES = ("zebra", "Apple", "mango", "bear", "cat")


def raw(logits=(0.0, 1.0, 5.0, 2.0, 3.0)) -> RawClassification:
    return RawClassification(np.array(logits, np.float32), None, NAMES, (0, 0, 4, 4), 4, 4, "m")


def test_the_menu_offers_the_best_then_all_others_by_name():
    choices = class_choices(raw(), offered=2)
    assert choices[0] == ("the most probable: mango", BEST)
    assert [value for _, value in choices[1:]] == ["2", "4", "1", "3", "0"]
    assert choices[1][0].startswith("mango · 8")
    assert [label for label, _ in choices[3:]] == ["Apple", "bear", "zebra"]
    assert len({value for _, value in choices}) == len(NAMES) + 1


@pytest.mark.parametrize(
    ("value", "index"), [("0", 0), ("4", 4), (BEST, 2), ("5", 2), ("", 2), (None, 2), ("-1", 2), ("zebra", 2)]
)
def test_menu_values_stand_for_classes(value, index):
    assert index_of(value, raw()) == index


def test_methods_a_model_does_not_allow_are_marked():
    choices = {method: label for label, method in method_choices({"grad-cam": "no feature map"})}
    assert set(choices) == set(METHODS)
    assert "not for this model" in choices["grad-cam"]
    assert "not for" not in choices["occlusion"]


def test_controls_have_the_maps_settings_and_a_method():
    assert {field.name for field in WhyControls.fields_of()} == {"opacity", "colours", "method"}
    assert WhyControls().method == METHODS[0]
    with pytest.raises(SettingsError):
        WhyControls(method="magic")


def test_the_timing_line_holds_stages_and_the_note():
    found = Explanation(
        np.ones((2, 2), np.float32), np.ones((2, 2), np.float32), (0, 0, 4, 4), 4, 4, "grad-cam", 1, "Apple", 0.5,
        {"wait": 0.0, "preprocess": 1.26, "grad-cam": 22.4}, "cpu", "m", note="Something to know.",
    )  # fmt: skip
    assert timing_line(found) == "24 ms (prepare 1.3, grad-cam 22) · cpu · Something to know."


@pytest.mark.parametrize(
    ("similarities", "words"),
    [
        ((0.1, -0.2), "falls apart"),
        ((0.95, 0.9), "hardly changes"),
        ((0.1, 0.8), "hardly changes"),
        ((0.5, 0.1), "in part"),
        ((), "nothing to compare"),
    ],
)
def test_the_verdict_follows_the_correlations(similarities, words):
    text = verdict(similarities)
    assert words in text
    for value in similarities:
        assert f"{value:.2f}" in text
