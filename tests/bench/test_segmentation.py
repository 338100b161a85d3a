"""The segmentation benchmark on untrained networks: what it counts and how it reports."""

import functools
import json

import pytest

from cvdemo.bench import segmentation
from cvdemo.bench.__main__ import benchmarks
from cvdemo.core.engine import Engine


@pytest.fixture(autouse=True)
def _untuned(no_weights, monkeypatch):
    monkeypatch.setattr(segmentation, "Engine", functools.partial(Engine, tune=False))  # trying all takes long


def test_it_is_listed():
    assert benchmarks()["segmentation"].startswith("Segmentation of one 640x480 picture")


def test_the_report(capsys):
    models = ["compact-segmentation", "compact-streets"]
    assert segmentation.main(["--models", *models, "--rounds", "1", "--device", "cpu", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [(row["model"], row["weights"]) for row in report["models"]] == [(name, "random") for name in models]
    assert all(0 < row["shortest"] <= row["milliseconds"] for row in report["models"])
    assert [row["size"] for row in report["sliders"]] == ["640x480", "1280x960"]
    for row in report["sliders"]:
        assert row["network calls"] == 0
        assert set(row["milliseconds"]) == set(segmentation.MOVES)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_every_move_is_a_valid_setting(share):
    for name, values in segmentation.MOVES.items():
        settings = segmentation.OverlaySettings(**values(share))
        assert {key: getattr(settings, key) for key in values(share)} == values(share), name


def test_a_slider_that_runs_the_network_fails(monkeypatch, capsys):
    row = {"model": "m", "weights": "random", "precision": "fp32", "milliseconds": 20.5, "shortest": 19.5}
    monkeypatch.setattr(segmentation, "answers", lambda *_: [row])
    slow = {"size": "8x6", "milliseconds": {"opacity": 7.0}, "network calls": 2}
    monkeypatch.setattr(segmentation, "slider_path", lambda *_: slow)
    assert segmentation.main(["--models", "compact-streets", "--device", "cpu"]) == 1
    shown = capsys.readouterr().out
    assert "Network calls while the handle moved: 2" in shown
    assert "20.5 (19.5)" in shown
    assert "bar of 2 cores: 60 ms" in shown
