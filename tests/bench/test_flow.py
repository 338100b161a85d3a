"""The flow benchmark on untrained networks and classical methods: what it counts and how it reports."""

import functools
import json

import pytest

from cvdemo.bench import flow
from cvdemo.bench.__main__ import benchmarks
from cvdemo.core.engine import Engine


def test_it_is_listed():
    assert benchmarks()["flow"].startswith("Optical flow")


def test_a_run_reports_every_method_beside_the_reference(capsys, monkeypatch):
    monkeypatch.setattr(flow, "Engine", functools.partial(Engine, tune=False))  # trying every precision takes long
    names = ["dis-medium", "dis-fast", "compact-flownet"]
    assert flow.main(["--models", *names, "--rounds", "2", "--device", "cpu", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["models"]
    assert [row["model"] for row in rows] == names
    assert [row["weights"] for row in rows][:2] == ["none", "none"]
    assert rows[0]["ratio"] == pytest.approx(1)
    assert all(0 < row["shortest"] <= row["milliseconds"] for row in rows)


def test_the_table_is_readable(capsys):
    row = {"model": "a", "weights": "none", "precision": "", "milliseconds": 3.0, "shortest": 2.0, "ratio": None}
    flow._print({"device": "cpu", "models": [row]})
    assert "compact-raft 180 ms" in capsys.readouterr().out
