"""Line charts: every value inside the picture, long runs thinned, levels marked."""

import re

import numpy as np
import pytest

from cvdemo.style.curves import Line, chart, thinned


def places(text):
    return [
        [tuple(map(float, point.split(","))) for point in found.split()]
        for found in re.findall(r'points="([^"]+)"', text)
    ]


def test_long_runs_become_means_of_equal_stretches():
    values = np.random.default_rng(0).random(1000)
    assert np.allclose(thinned(values, 100), values.reshape(100, 10).mean(1))
    assert thinned([1.0, 2.0]) == [1.0, 2.0]


@pytest.mark.parametrize("scale", [1e-4, 1.0, -3.0, 5e5])
def test_lines_stay_inside(scale):
    text = chart("Loss", [Line("a", [scale, 2 * scale, 0.5 * scale]), Line("b", [scale], 3 * scale)], ("1", "3"))
    for line in places(text):
        assert all(0 <= x <= 460 and 12 <= y <= 148 for x, y in line)
    assert 'class="level"' in text


def test_values_that_are_none_are_left_out():
    text = chart("Loss", [Line("a", [1.0, float("nan"), float("inf"), 2.0])], ("1", "4"))
    assert len(places(text)[0]) == 2
    assert "nan" not in text
    assert len(places(chart("", [Line("a", [])], ("", "")))) == 0


def test_words_are_escaped():
    assert "<b>" not in chart("<b>", [Line("<b>", [1.0])], ("<b>", "<b>"), "<b>")
