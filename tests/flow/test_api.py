"""The endpoints called as functions."""

import inspect

import gradio as gr
import numpy as np
import pytest

from cvdemo.core.media import read_picture, save_picture
from cvdemo.flow import api
from cvdemo.flow.files import read_flow, write_flow
from cvdemo.flow.predict import FlowSettings, decode, infer
from cvdemo.ui.sessions import files
from tests.flow.conftest import NAME, moved_pair

FIRST, SECOND = moved_pair()
DEFAULTS = list(FlowSettings().to_dict().values())


@pytest.fixture
def paths(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "root", tmp_path / "session")
    for name, frame in (("a.png", FIRST), ("b.png", SECOND)):
        save_picture(tmp_path / name, frame)
    write_flow(tmp_path / "t.flo", np.full((96, 128, 2), (4, -2), np.float32))
    return [str(tmp_path / name) for name in ("a.png", "b.png", "t.flo")]


def test_flow_answers_like_the_library(paths, stand_in):
    answer, drawn, written = api.flow(*paths, NAME, True, *DEFAULTS, None)
    expected = decode(infer(FIRST, SECOND, NAME, backward=True), FlowSettings())
    assert answer["sentence"] == expected.sentence()
    assert answer["speed"] == expected.statistics.to_dict()
    assert answer["truth"]["epe"] == pytest.approx(0, abs=1e-3)
    assert "backward" in answer["milliseconds"]
    assert np.array_equal(read_flow(written)[0], expected.flow)
    assert read_picture(drawn).pixels.shape == FIRST.shape


def test_without_truth_nothing_is_measured(paths, stand_in):
    answer, *_ = api.flow(*paths[:2], None, NAME, False, *DEFAULTS, None)
    assert answer["truth"] is None
    assert answer["occluded_share"] is None


@pytest.mark.parametrize(
    ("second", "model", "place", "value", "words"),
    [
        (None, NAME, 0, "colour", "Two pictures"),
        ("B", "nonsense", 0, "colour", "no model named"),
        ("B", NAME, 0, "rainbow", "one of"),
        ("B", NAME, 1, -5, "from 0 to 200"),
        ("TRUTH", NAME, 0, "colour", "t.flo"),
    ],
)
def test_what_cannot_be_done_is_explained(second, model, place, value, words, paths, stand_in):
    values = [*DEFAULTS]
    values[place] = value
    other = {"B": paths[1], "TRUTH": paths[2]}.get(second)
    with pytest.raises(gr.Error, match=words):
        api.flow(paths[0], other, None, model, False, *values, None)


def test_parameters_are_the_settings_in_their_order():
    names = list(inspect.signature(api.flow).parameters)
    assert names == ["first", "second", "truth", "model", "backward", *FlowSettings().to_dict(), "request"]
    assert list(api.flow_settings()) == list(FlowSettings().to_dict())
    described = inspect.getdoc(api.flow)
    assert all(f"{name}:" in described for name in names[:-1])


def test_models_are_listed_with_their_state(stand_in):
    rows = {row["name"]: row for row in api.flow_models()}
    assert rows[NAME]["available"]
    assert {"available", "reason", "remedy", "tier", "parameters"} <= set(rows[NAME])


def test_the_endpoints_register_in_a_page():
    with gr.Blocks() as page:
        api.add_flow_api()
    names = {function.api_name for function in page.fns.values()}
    assert {"flow", "flow_settings", "flow_models"} <= names
