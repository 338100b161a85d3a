"""The classification benchmark on untrained networks: what it counts and how it reports."""

import json

import pytest

from cvdemo.bench import classification
from cvdemo.bench.__main__ import benchmarks

pytestmark = pytest.mark.usefixtures("no_weights")


def test_it_is_listed():
    assert benchmarks()["classification"].startswith("Classifiers beside a bare call")


def test_the_report(capsys):
    assert classification.main(["--models", "compact-classifier", "--rounds", "2", "--device", "cpu", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"device", "models", "engine overhead", "slider"}
    (row,) = report["models"]
    assert (row["model"], row["weights"]) == ("compact-classifier", "random")
    assert row["ratio"] == pytest.approx(row["ours ms"] / row["bare ms"])
    assert report["slider"]["network calls"] == 0
    assert report["slider"]["moves"] == classification.SLIDER_MOVES


def test_a_slider_that_runs_the_network_fails(monkeypatch, capsys):
    calls = {"moves": 60, "decode ms": 0.1, "network calls": 3}
    row = {"model": "m", "weights": "random", "precision": "fp32", "GFLOPs": None, "bare ms": 2.0, "ours ms": 1.0}
    overhead = {"model": "m", "ratio of medians": 1.01, "ratio of shortest": 1.0}
    monkeypatch.setattr(classification, "slider_path", lambda *_: calls)
    monkeypatch.setattr(classification, "time_model", lambda *_: {**row, "ratio": 0.5})
    monkeypatch.setattr(classification, "engine_overhead", lambda *_: overhead)
    assert classification.main(["--models", "compact-classifier", "--device", "cpu"]) == 1
    shown = capsys.readouterr().out
    assert "network calls during 60 moves: 3" in shown
    assert "bar 1.03" in shown
