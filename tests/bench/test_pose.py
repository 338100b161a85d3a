"""The pose benchmark on untrained networks: what it counts and how it reports."""

import functools
import json

import numpy as np
import pytest

from cvdemo.bench import pose
from cvdemo.bench.__main__ import benchmarks
from cvdemo.core.engine import Engine

pytestmark = pytest.mark.usefixtures("no_weights")


def test_it_is_listed():
    assert benchmarks()["pose"].startswith("Pose for one person and for five")


@pytest.mark.parametrize("count", [1, 5])
def test_people_lie_in_the_picture(count):
    people = pose.people_on(pose.noise(), count)
    assert people.boxes.shape == (count, 4)
    assert people.boxes.min() >= 0
    assert (people.boxes[:, 2:] <= [pose.WIDTH, pose.HEIGHT]).all()
    np.testing.assert_array_equal(people.boxes[:, 2:] - people.boxes[:, :2], np.tile([100, 300], (count, 1)))
    assert len(np.unique(people.boxes[:, 0])) == count


def test_the_report(monkeypatch, capsys):
    monkeypatch.setattr(pose, "Engine", functools.partial(Engine, tune=False))  # trying every precision takes long
    assert pose.main(["--models", "compact-pose", "--rounds", "1", "--device", "cpu", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"device", "models", "slider"}
    (row,) = report["models"]
    assert (row["model"], row["weights"]) == ("compact-pose", "random")
    assert set(row["milliseconds"]) == {"1", "5"}
    assert all(row["shortest"][count] <= row["milliseconds"][count] for count in ("1", "5"))
    assert report["slider"]["network calls"] == 0
    assert set(report["slider"]["milliseconds"]) == {"argmax", "quarter", "sub-pixel"}


def test_a_slider_that_runs_the_network_fails(monkeypatch, capsys):
    row = {"model": "m", "weights": "random", "precision": "fp32"}
    numbers = {"1": 20.5, "5": 80.25}
    monkeypatch.setattr(pose, "time_model", lambda *_: {**row, "milliseconds": numbers, "shortest": numbers})
    monkeypatch.setattr(pose, "slider_path", lambda *_: {"milliseconds": {"argmax": 7.0}, "network calls": 2})
    assert pose.main(["--models", "compact-pose", "--device", "cpu"]) == 1
    shown = capsys.readouterr().out
    assert "Network calls while sliders moved: 2" in shown
    assert "20.5 (20.5)" in shown
    assert "35 ms for 1, 90 ms for 5" in shown
