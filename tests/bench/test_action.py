"""The action benchmark: what it measures and how it reports."""

import functools
import json

from cvdemo.bench import action
from cvdemo.bench.__main__ import benchmarks
from cvdemo.core.engine import Engine


def test_it_is_listed():
    assert benchmarks()["action"].startswith("Action: milliseconds per clip")


def test_the_report(monkeypatch, capsys, repository):
    monkeypatch.setattr(action, "Engine", functools.partial(Engine, tune=False))
    monkeypatch.setattr(action, "with_joints", lambda *_: None)
    monkeypatch.setattr(action, "WINDOWS", 10)
    names = [
        name
        for name in ("compact-skeleton", "compact-action")
        if (repository / "weights" / f"{name.replace('-', '_')}.safetensors").is_file()
    ]
    assert action.main(["--models", *names, "--rounds", "2", "--device", "cpu", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    if names:
        assert [row["model"] for row in report["models"]] == names
        assert report["models"][0]["relative"] == 1
        assert all(row["shortest"] <= row["milliseconds"] for row in report["models"])
    assert report["slider"] > 0


def test_the_table(monkeypatch, capsys):
    row = {"model": "m", "milliseconds": 31.25, "shortest": 30.0, "relative": 1.0, "precision": "fp32"}
    monkeypatch.setattr(action, "time_models", lambda *_: [row])
    monkeypatch.setattr(action, "with_joints", lambda *_: 812.0)
    monkeypatch.setattr(action, "slider_path", lambda *_: 4.0)
    assert action.main(["--models", "compact-skeleton", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "31.2 (30.0)" in shown
    assert "bar of the compact models on two cores: 120 ms" in shown
    assert "812 ms" in shown
