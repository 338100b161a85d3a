"""The endpoints called as functions on a stand-in network, and the tab's declarations."""

import inspect

import gradio as gr
import numpy as np
import pytest

from cvdemo.core import registry
from cvdemo.core.media import read_picture, save_picture
from cvdemo.pose import api
from cvdemo.pose.angles_view import AngleControls
from cvdemo.pose.heatmap_view import HeatmapControls
from cvdemo.pose.predict import PoseSettings, decode, infer
from cvdemo.pose.tab import PLAN
from cvdemo.pose.tab_skeleton import NAMES
from cvdemo.pose.truth_view import TruthControls
from cvdemo.ui import lessons
from cvdemo.ui.sessions import files

PIXELS = np.random.default_rng(0).integers(0, 256, (200, 260, 3), dtype=np.uint8)
DEFAULTS = list(PoseSettings().to_dict().values())


@pytest.fixture
def picture(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "root", tmp_path / "session")
    path = tmp_path / "noise.png"
    save_picture(path, PIXELS)
    return str(path)


def test_pose_answers_like_the_library(picture, stand_in, crowd_of):
    crowd_of([[20, 10, 120, 190], [130, 20, 240, 195]], [0.9, 0.4])
    answer, drawn = api.pose(picture, stand_in.name, *DEFAULTS, None)
    expected = decode(infer(PIXELS, stand_in.name), PoseSettings())
    assert answer["people"] == expected.to_dict()["people"]
    assert answer["image"] == {"name": "noise.png", "width": 260, "height": 200}
    assert answer["sentence"] == expected.sentence()
    assert "people" in answer["milliseconds"]
    pixels = read_picture(drawn).pixels
    assert pixels.shape == PIXELS.shape
    assert (pixels != PIXELS).any()


@pytest.mark.parametrize(
    ("image", "model", "place", "value", "words"),
    [
        (None, "stand-in-pose", 0, 0.3, "No picture was sent"),
        ("PICTURE", "nonsense", 0, 0.3, "no model named"),
        ("PICTURE", "stand-in-pose", 0, 7, "from 0 to 1"),
        ("PICTURE", "stand-in-pose", 2, "guess", "one of"),
    ],
)
def test_what_cannot_be_done_is_explained(image, model, place, value, words, picture, stand_in, crowd_of):
    crowd_of([])
    values = [*DEFAULTS]
    values[place] = value
    with pytest.raises(gr.Error, match=words):
        api.pose(picture if image else None, model, *values, None)


def test_parameters_are_the_settings_in_their_order():
    names = list(inspect.signature(api.pose).parameters)
    assert names == ["image", "model", *PoseSettings().to_dict(), "request"]
    assert list(api.pose_settings()) == list(PoseSettings().to_dict())
    described = inspect.getdoc(api.pose)
    assert all(f"{name}:" in described for name in names[:-1])


def test_every_model_is_listed_with_what_is_missing():
    listed = {row["name"]: row for row in api.pose_models()}
    assert {"compact-pose", "compact-pose-regression", "compact-pose-hourglass"} <= set(listed)
    assert set(listed) == {spec.name for spec in registry.models(task="pose")}
    assert all(row["available"] or row["reason"] for row in listed.values())


def test_every_setting_has_a_widget_and_the_lesson_knows_views_and_settings():
    assert sorted(NAMES) == sorted(PoseSettings().to_dict())
    known = {"view", "example", "model"}
    for controls in (PoseSettings, AngleControls, HeatmapControls, TruthControls):
        fresh = set(controls().to_dict())
        assert not fresh & known, "two views would write the same name into the address"
        known |= fresh
    for attempt in lessons.load("pose").tries:
        assert set(attempt.query) <= known
        assert attempt.query.get("view", PLAN.first_view) in PLAN.names
        for controls in (PoseSettings, AngleControls, HeatmapControls, TruthControls):
            own = {name: value for name, value in attempt.query.items() if name in controls().to_dict()}
            assert controls.from_query(own).to_query().keys() <= own.keys()
