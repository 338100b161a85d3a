"""Words, menu and bill of the sliding-window view."""

import re

import numpy as np
import pytest

from cvdemo.classification.sliding import SlidingResult, windows
from cvdemo.classification.sliding_view import (
    Slid,
    class_choices,
    detector_milliseconds,
    index_of,
    plan,
    scales_html,
    sentence,
)
from cvdemo.detection.predict import Inference as DetectorRun

NAMES = ("zebra", "apple", "mango")


def result(milliseconds=2000.0) -> SlidingResult:
    placed = windows(40, 60, (40, 20), 0.5)
    probabilities = np.zeros((len(placed), 3), np.float16)
    probabilities[:, 1] = 0.25
    probabilities[3, 2] = 0.75
    return SlidingResult(placed, probabilities, NAMES, 40, 60, 1.0, {}, milliseconds, "cpu", "fp32", "m")


def test_the_plan_counts_what_is_then_computed():
    words = plan(100, 150, 3, 0.5)
    sides = [int(side) for side in re.search(r"Windows of ([\d, ]+) px", words).group(1).split(",")]
    placed = windows(100, 150, sides, 0.5)
    assert f"= {len(placed)} evaluations" in words
    assert " + ".join(str(count) for count in placed.counts) in words


def test_the_plan_warns_of_too_many_windows():
    assert "at most 4,000 are allowed" in plan(400, 4000, 6, 0.05)
    assert "allowed" not in plan(400, 400, 1, 1.0)


def test_the_menu_begins_with_what_some_window_is_most_sure_of():
    assert class_choices(result(), offered=2) == [("mango · 75.0 %", "2"), ("apple · 25.0 %", "1"), ("zebra", "0")]


@pytest.mark.parametrize(("value", "index"), [("0", 0), ("1", 1), ("3", 2), (None, 2), ("x", 2)])
def test_menu_values_stand_for_classes(value, index):
    assert index_of(value, result()) == index


def test_sentence_names_the_best_window():
    assert sentence(result(), 1) == f"apple: 25.0 % in the best of {result().evaluations} windows"


def test_the_bill_compares_with_a_detector():
    bill = Slid(result(2000.0), "compact detector", 20.0).bill()
    assert "2.0 s" in bill
    assert "in 20 ms" in bill
    assert "100 times" in bill
    assert "1.5 times" in Slid(result(30.0), "compact detector", 20.0).bill()
    assert "detector" not in Slid(result()).bill()


def test_waiting_and_loading_are_not_the_detectors_time():
    stages = {"wait": 90.0, "load": 800.0, "preprocess": 1.0, "network": 20.0, "decode": 2.0}
    assert detector_milliseconds(DetectorRun(None, stages, "cpu", "fp32", "m")) == 23.0  # type: ignore[arg-type]


def test_the_table_has_a_row_per_scale():
    text = scales_html(Slid(result()))
    counts = re.findall(r"<td>(\d+) x \d+ px</td><td>(\d+)</td>", text)
    placed = windows(40, 60, (40, 20), 0.5)
    assert [(int(side), int(count)) for side, count in counts] == list(zip(placed.sides, placed.counts))
