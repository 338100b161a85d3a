"""The benchmark of style transfer on untrained networks: what it times and how it reports."""

import json

import pytest

from cvdemo.bench import style
from cvdemo.bench.__main__ import benchmarks

pytestmark = pytest.mark.usefixtures("no_weights")


def test_it_is_listed():
    assert benchmarks()["style"].startswith("Style: a step")


def test_the_report(capsys):
    names = ["compact-vgg", "compact-adain", "fast-waves"]
    assert style.main(["--models", *names, "--rounds", "1", "--device", "cpu", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in report["models"]] == names
    assert {row["weights"] for row in report["models"]} == {"random"}
    encoder, adain, fast = (row["ms"] for row in report["models"])
    assert list(encoder) == ["step of the optimisation, 256 px"]
    assert {"encode, 384 px", "slider: AdaIN and decoder, 384 px", "smoothed frame of a video, 384 px"} == set(adain)
    assert {"whole picture, 256 px", "whole picture, 384 px", "smoothed frame of a video, 384 px"} == set(fast)
    assert all(milliseconds > 0 for row in report["models"] for milliseconds in row["ms"].values())
    assert report["bars"] == {"slider ms": style.DECODER_BAR_MS, "step ms": style.STEP_BAR_MS}


def test_the_table_names_the_bars(capsys, monkeypatch):
    row = {"model": "m", "weights": "trained", "ms": {"a thing": 12.34}}
    monkeypatch.setattr(style, "time_model", lambda *_: row)
    assert style.main(["--models", "compact-adain", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "12.3 ms" in said
    assert "slider 60 ms, step 150 ms" in said
