"""The endpoints called as functions on a stand-in network."""

import inspect

import gradio as gr
import pytest

from cvdemo.action import api
from cvdemo.action.predict import ActionSettings
from cvdemo.core import registry
from cvdemo.core.media import save_picture
from cvdemo.ui.sessions import files
from tests.action.helpers import STAND_IN, coloured

DEFAULTS = list(ActionSettings().to_dict().values())


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch, stand_in):
    monkeypatch.setattr(files, "root", tmp_path / "session")


def test_action_answers(red_then_blue):
    answer = api.action(str(red_then_blue), STAND_IN, 2.5, *DEFAULTS, None)
    assert answer["predictions"][0]["label"] == "blue"
    assert answer["clip"]["name"] == "red-then-blue.mp4"
    assert answer["sentence"].startswith("blue (")
    assert "wait" in answer["milliseconds"]


def test_a_picture_is_a_video_in_which_nothing_moves(tmp_path):
    path = tmp_path / "green.png"
    save_picture(path, coloured((0, 240, 0), 1)[0])
    assert api.action(str(path), STAND_IN, 0, *DEFAULTS, None)["predictions"][0]["label"] == "green"


def test_timeline_answers(red_then_blue):
    answer = api.action_timeline(str(red_then_blue), STAND_IN, 0, *DEFAULTS, None)
    assert len(answer["windows"]) == 7
    assert answer["segments"][0]["label"] == "red"
    assert answer["sentence"].startswith("red 0.0")
    assert len(api.action_timeline(str(red_then_blue), STAND_IN, 2.0, *DEFAULTS, None)["windows"]) < 7


@pytest.mark.parametrize(
    ("clip", "model", "place", "value", "words"),
    [
        (None, STAND_IN, 0, 5, "No clip was sent"),
        ("CLIP", "nonsense", 0, 5, "no model named"),
        ("CLIP", STAND_IN, 1, 7, "from 0 to 1"),
        ("CLIP", STAND_IN, 0, "many", "whole number"),
    ],
)
def test_what_cannot_be_done_is_explained(clip, model, place, value, words, red_then_blue):
    values = [*DEFAULTS]
    values[place] = value
    for function, extra in ((api.action, 0.0), (api.action_timeline, 0.0)):
        with pytest.raises(gr.Error, match=words):
            function(str(red_then_blue) if clip else None, model, extra, *values, None)


def test_settings_and_models():
    assert list(api.action_settings()) == [field.name for field in ActionSettings.fields_of()]
    rows = {row["name"]: row for row in api.action_models()}
    assert set(rows) == {spec.name for spec in registry.models(task="action")}
    assert rows["r3d_18"]["frames"] == 16
    assert len(rows["r3d_18"]["actions"]) == 400


def test_the_endpoints_are_registered_with_their_documentation():
    with gr.Blocks() as page:
        api.add_action_api()
    names = {function.api_name for function in page.fns.values()}
    assert {"action", "action_timeline", "action_settings", "action_models"} <= names
    for function in (api.action, api.action_timeline):
        for name in list(inspect.signature(function).parameters)[:-1]:
            assert f"{name}:" in function.__doc__
