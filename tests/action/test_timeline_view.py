"""The drawing of probabilities over time: which classes, where, and which windows an event means."""

import re

import numpy as np
import pytest

from cvdemo.action.timeline_view import COLOURS, DASHES, EMPTY, Timeline, label_of, styles_of, timeline_html

NAMES = ("run", "<jump>", "sit", "lie", "walk")


def line(probabilities, times=None, begin=0.0, end=None):
    probabilities = np.asarray(probabilities, float)
    times = np.arange(len(probabilities)) + 1.0 if times is None else np.asarray(times, float)
    spans = np.stack([times - 1, times + 1], axis=1)
    names = NAMES[: probabilities.shape[1]]
    return Timeline(times, spans, probabilities, names, begin, end or float(times.max()) + 1)


def points(text):
    found = re.findall(r'class="line tone\d+" stroke-dasharray="[^"]*" d="M([^"]+)"', text)
    return [[tuple(map(float, pair.split())) for pair in path.split("L")] for path in found]


def test_curves_go_through_the_probabilities():
    rng = np.random.default_rng(1)
    values = rng.dirichlet(np.ones(3), 7)
    made = line(values)
    order = made.lines(3)
    drawn = points(timeline_html(made, most=3))
    assert len(drawn) == 3
    for index, path in zip(reversed(order), drawn):
        xs, ys = np.array(path).T
        assert np.allclose(xs, made.times / made.end * 1000, atol=0.06)
        assert np.allclose(ys, 100 * (1 - values[:, index]), atol=0.06)


def test_the_classes_that_were_ever_best_come_first():
    values = np.full((4, 5), 0.05)
    values[:3, 2] = 0.8
    values[3, 4] = 0.8
    values[:, 1] = 0.1
    assert line(values).lines(3) == [2, 4, 1]
    assert len(line(values).lines(99)) == 5


def test_words_are_escaped_and_bear_the_peaks():
    text = timeline_html(line([[0.2, 0.8], [0.3, 0.7]]))
    assert "<jump>" not in text
    assert text.count("&lt;jump&gt;") >= 2
    assert 'class="word"' in text
    assert "&lt;jump&gt; ahead in 100%" in text


def test_a_single_window_is_a_level_line():
    text = timeline_html(line([[0.25, 0.75]], times=[1.0], end=2.0))
    assert 'd="M485.0 25.0H515.0"' in text


def test_chosen_windows_are_shaded_and_their_ends_marked():
    made = line([[0.5, 0.5]] * 4)
    text = timeline_html(made, chosen=[1, 2], pick=True)
    assert text.count('class="chosen"') == 2
    assert 'class="edge" d="M200.0 0V100M800.0 0V100"' in text
    assert 'tabindex="0"' in text
    assert "tabindex" not in timeline_html(made)


def test_the_axis_of_a_camera_ends_now():
    text = timeline_html(line([[1.0]] * 3, times=[95.0, 98.0, 100.0], begin=70.0, end=100.0), zero=100.0)
    assert "\N{MINUS SIGN}30 s" in text
    assert ">now<" in text


def test_without_windows_there_is_a_hint():
    empty = Timeline(np.zeros(0), np.zeros((0, 2)), np.zeros((0, 2)), NAMES[:2], 0.0, 1.0)
    assert timeline_html(empty) == EMPTY
    assert empty.lines(5) == []


def test_windows_are_found_by_time():
    made = line([[1.0]] * 4)  # at 1, 2, 3, 4 seconds
    assert [made.nearest(time) for time in (0.0, 1.4, 2.6, 9.0)] == [0, 0, 2, 3]
    assert made.between(1.5, 3.1) == [1, 2]
    assert made.between(3.1, 1.5) == [1, 2]
    assert made.between(2.2, 2.3) == [1], "between two windows: the nearest"
    assert made.at_share(0.5) == pytest.approx(2.5)


@pytest.mark.parametrize("indices", [range(8), [0, 8, 16, 24, 32, 40], [3, 403, 35, 67], range(20)])
def test_no_two_lines_look_alike(indices):
    styles = styles_of(list(indices))
    most = min(len(styles), COLOURS + len(DASHES) - 1)
    assert len(set(styles.values())) >= most


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(ValueError, match="belong together"):
        Timeline(np.zeros(2), np.zeros((2, 2)), np.zeros((3, 2)), NAMES[:2], 0.0, 1.0)


def test_the_label_says_it_in_words():
    made = line([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    assert label_of(made, [0, 1]) == "Probabilities over 5.0 seconds, 4 windows: run ahead in 75%, <jump> ahead in 25%"
