"""The race as pictures, a sentence, a table and files."""

import csv
import io
import json

import numpy as np
import pytest

from cvdemo.style import race_view as view
from cvdemo.style.race import Race, Runner
from cvdemo.style.result import Losses

GREY = np.full((20, 30, 3), 128, np.uint8)


@pytest.fixture
def race():
    runners = (
        Runner("adain", "compact-adain", GREY, 0.038, Losses(0.5, 0.25, 0.01)),
        Runner("gatys", "compact-vgg", GREY, 4.2, Losses(0.6, 0.125, 0.01)),
        Runner("fast", "fast-<waves>", reason="Its file is <missing>. Train it."),
    )
    return Race(runners, Losses(0.0, 0.5, 0.02), "compact-vgg")


@pytest.fixture(autouse=True)
def titles(monkeypatch):
    monkeypatch.setattr(view, "title_of", lambda name: name)


def test_the_sentence_names_the_fastest_and_the_closest(race):
    assert view.sentence_of(race) == (
        "Fastest: arbitrary style in one pass (AdaIN), 38 ms; closest to the style: optimisation (Gatys), "
        "75 % of the style loss taken away"
    )
    nobody = Race((race.runners[2],), race.start, "compact-vgg")
    assert "No method could start" in view.sentence_of(nobody)


def test_pictures_stand_beside_the_content(race):
    shown = view.panels_html(race, GREY)
    assert shown.count("<img") == 3
    assert shown.index("The content itself") < shown.index("AdaIN") < shown.index("Gatys")


def test_the_table_says_why_a_method_did_not_start(race):
    table = view.table_html(race)
    assert "unavailable: Its file is &lt;missing&gt;. Train it." in table
    assert "<waves>" not in table
    assert "4.2 s" in table
    assert "50 %" in table


def test_files_hold_what_the_table_says(race):
    name, data = view.export(race, "csv")
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert name == "style-race.csv"
    assert [row["method"] for row in rows] == ["adain", "gatys", "fast"]
    assert float(rows[1]["style_loss_reduction"]) == 0.75
    assert rows[2]["style_loss"] == ""
    assert rows[2]["reason"].startswith("Its file")
    assert json.loads(view.export(race, "json")[1]) == race.to_dict()
