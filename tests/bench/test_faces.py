"""The benchmark of faces on untrained networks: what it counts and how it reports."""

import json

import pytest

from cvdemo.bench import faces
from cvdemo.bench.__main__ import benchmarks

pytestmark = pytest.mark.usefixtures("no_weights")


def test_it_is_listed():
    assert benchmarks()["faces"].startswith("The face detector and the emotion network")


def test_the_report(capsys):
    assert faces.main(["--rounds", "2", "--device", "cpu", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    detector, emotion = report["models"]
    assert (detector["model"], detector["weights"], detector["input"]) == (
        "compact-face-detector", "random", "480x640x3",
    )  # fmt: skip
    assert emotion["model"] == "compact-emotion"
    for row in report["models"]:
        assert row["ratio"] == pytest.approx(row["ours ms"] / row["bare ms"])
    assert report["slider"]["moves"] == faces.SLIDER_MOVES
    assert report["slider"]["network calls"] == 0
    one = report["one face"]
    assert one["bar ms"] == faces.BAR_MS
    assert 0 < one["align ms"] < one["together ms"]


def test_a_slider_that_runs_the_network_fails(monkeypatch, capsys):
    row = {"model": "m", "weights": "random", "input": "1x1", "precision": "fp32", "bare ms": 2.0, "ours ms": 1.0}
    monkeypatch.setattr(faces, "time_model", lambda *_: {**row, "ratio": 0.5})
    monkeypatch.setattr(
        faces, "slider_path", lambda *_: {"moves": 60, "decode ms": 0.1, "verdict ms": 1, "network calls": 2}
    )
    monkeypatch.setattr(
        faces, "one_face", lambda *_: dict.fromkeys(("find ms", "align ms", "embed ms", "together ms", "bar ms"), 1.0)
    )
    assert faces.main(["--device", "cpu"]) == 1
    assert "network calls during 60 moves: 2" in capsys.readouterr().out
