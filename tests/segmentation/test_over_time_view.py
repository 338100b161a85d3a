"""Areas over time as a drawing."""

from cvdemo.segmentation.over_time_view import MOST_CLASSES, areas_html


def test_a_line_for_each_class_that_matters():
    rows = [(0.1 * index, {"person": 10.0 + index, "<dog>": 5.0, "car": 0.01}) for index in range(10)]
    words = areas_html(rows)
    assert words.count("<polyline") == 2
    assert "&lt;dog&gt;" in words
    assert ">0.9 s<" in words
    assert ">car<" not in words


def test_nothing_found_and_one_frame_are_said():
    assert "No class" in areas_html([])
    assert "No class" in areas_html([(0.0, {"person": 4.0})])
    assert "No class" in areas_html([(0.0, {}), (1.0, {})])


def test_not_more_lines_than_can_be_told_apart():
    rows = [(float(index), {f"class {n}": 10.0 - n / 2 for n in range(20)}) for index in range(3)]
    assert areas_html(rows).count("<polyline") == MOST_CLASSES
