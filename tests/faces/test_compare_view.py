"""The Compare view: which face is shown, the verdict, its worth, missing models, escapes, exports."""

import json
import re

import numpy as np
import pytest

from cvdemo.core.errors import InputError, WeightsError
from cvdemo.core.media import read_picture
from cvdemo.faces import compare_view as view
from cvdemo.faces import tab_compare
from cvdemo.faces.charts import rates_chart, similarity_table
from cvdemo.faces.compare_view import CompareSettings
from cvdemo.faces.curves import Curves
from cvdemo.faces.embedder import DEFAULT_THRESHOLD
from cvdemo.faces.tab_compare import Shown
from tests.faces.makers import MODEL, look_of

ONE = look_of([[1, 0, 0]], name="<i>one</i>.png")
MANY = look_of([[1, 0.2, 0], [0, 1, 0], [0, 0, 1]], sides=(40, 90, 60), name="many.png")
PLAIN = CompareSettings()
KEYS = (("faces", "a", "a", MODEL), ("faces", "b", "b", MODEL))


@pytest.fixture
def curves(monkeypatch):
    """Error rates for every model: FAR falls and FRR rises linearly from 0 to 1."""
    thresholds = np.linspace(0, 1, 11)
    made = Curves(MODEL, thresholds, 1 - thresholds, thresholds, 1000, 1000, DEFAULT_THRESHOLD, 0.9, 0.1, 0.5)
    monkeypatch.setattr(view, "curves_of", lambda model: made)
    return made


def test_the_largest_face_stands_for_a_picture_until_another_is_pressed():
    assert view.chosen_face(MANY, PLAIN, None) == 1
    assert view.chosen_face(MANY, PLAIN, 2) == 2
    assert view.chosen_face(MANY, PLAIN, 99) == 1
    assert view.shown_rows(MANY, PLAIN).tolist() == [1, 2, 0]


def test_a_side_offers_its_faces_as_buttons_largest_first():
    html = view.side_html(MANY, PLAIN, 1, "second")
    keys = re.findall(r'data-key="(\d+)" aria-pressed="(\w+)"', html)
    assert keys == [("1", "true"), ("2", "false"), ("0", "false")]
    assert "Face 1 of 3" in html
    assert "data-key" not in view.side_html(ONE, PLAIN, 0, "first")


@pytest.mark.parametrize("sides", [(), (20,)])
def test_a_picture_without_a_usable_face_says_so(sides):
    look = look_of([[1, 0, 0]] * len(sides), sides=sides)
    settings = CompareSettings(min_size=30)
    row = view.chosen_face(look, settings, None)
    assert row is None
    html = view.side_html(look, settings, row, "first")
    assert "No face was found" in html or "lower" in html


def test_a_small_face_is_remarked_on():
    assert "24 px" in view.side_html(look_of([[1, 0, 0]], sides=(24,)), PLAIN, 0, "first")


def test_the_verdict_follows_the_threshold_and_runs_nothing(curves):
    now = Shown(KEYS)
    told = tab_compare.verdict([ONE, MANY], now, CompareSettings(threshold=0.5), MODEL)
    assert "Different people: similarity 0.00" in told[0]
    now = Shown(KEYS, (None, 0))
    similarity = 1 / np.hypot(1, 0.2)
    told = tab_compare.verdict([ONE, MANY], now, CompareSettings(threshold=0.5), MODEL)
    assert f"Same person: similarity {similarity:.2f}" in told[0]
    assert "12 ms" in told[0]  # loading the model is not counted
    assert "FAR 50.00 %, FRR 50.00 %" in told[1]
    assert "50 % (500 of 1,000 pairs of two people)" in told[1]
    told = tab_compare.verdict([ONE, MANY], now, CompareSettings(threshold=0.99), MODEL)
    assert "Different people" in told[0]
    assert "close call" in told[0]


def test_without_curves_the_page_says_that_nothing_was_measured(monkeypatch):
    monkeypatch.setattr(view, "curves_of", lambda model: None)
    html = view.worth_html(MODEL, PLAIN, None)
    assert "has not been measured" in html
    assert "compact_faces.curves.json" in html
    assert "FAR" not in html


def test_where_the_default_comes_from(curves):
    html = view.worth_html(MODEL, CompareSettings(crowd=1000, threshold=0.9), None)
    assert "where most verdicts on these pairs are right" in html
    assert "Of 1,000 strangers about 100" in html


def test_without_the_embedder_faces_are_shown_and_the_remedy_is_named(curves):
    missing = look_of([[1, 0, 0]], missing=True)
    shown = tab_compare.shown([missing, MANY], Shown(KEYS), PLAIN, MODEL)
    assert "The face" in shown[0]
    assert "Put it there" in shown[2]
    with pytest.raises(WeightsError):
        tab_compare.compared([missing, MANY], Shown(KEYS), PLAIN)


def test_no_face_in_one_picture_is_an_error_that_says_which():
    with pytest.raises(InputError, match="second picture"):
        tab_compare.compared([ONE, look_of([])], Shown(KEYS), PLAIN)
    with pytest.raises(InputError, match="no face number 8"):
        tab_compare.compared([ONE, MANY], Shown(KEYS, (None, 7)), PLAIN)


def test_all_faces_against_all():
    html = view.table_html(ONE, MANY, PLAIN)
    assert re.findall(r">(-?\d\.\d\d)</td>", html) == ["0.00", "0.00", "0.98"]
    assert html.count('class="yes"') == 1
    assert "needed" in view.table_html(ONE, look_of([]), PLAIN)


def test_exports_hold_no_embedding():
    result = tab_compare.compared([ONE, MANY], Shown(KEYS), PLAIN)
    name, content = view.export([ONE, MANY], result, PLAIN, "json")
    told = json.loads(content)
    assert name == "comparison.json"
    assert told["same"] is False
    assert told["settings"]["threshold"] == PLAIN.threshold
    assert "embedding" not in content.decode()
    name, content = view.export([ONE, MANY], result, PLAIN, "png")
    width = ONE.picture.width + max(MANY.picture.width, 120) + 16
    assert read_picture(content).pixels.shape[1] == pytest.approx(width, abs=30)


def test_the_chart_marks_threshold_and_pair(curves):
    html = rates_chart(curves, 0.35, 0.8)
    assert 'aria-label="Threshold 0.35: FAR 65.00 %, FRR 35.00 %; this pair 0.80"' in html
    assert html.count("<polyline") == 2
    assert "<polyline" not in rates_chart(None, 0.35, 0.8)


def test_tables_escape_names_and_end_somewhere():
    names = [f"<b>{i}</b>${{x}}" for i in range(40)]
    html = similarity_table(np.eye(40), names, names, 0.5)
    assert "<b>" not in html
    assert "$" not in html
    assert html.count("<tr>") == 25
    assert "first 24" in html
