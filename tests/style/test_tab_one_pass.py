"""The One pass view's handlers: a picture, a capture and a video, and what is said when something is missing."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from cvdemo.core.engine import set_default_engine
from cvdemo.core.media import Picture, save_picture
from cvdemo.core.video import VideoWriter, probe_video
from cvdemo.style import one_pass_view, tab_one_pass
from cvdemo.style.one_pass_view import OnePassSettings
from cvdemo.style.tab_one_pass import LAST, LOOK, NAMES
from cvdemo.style.tab_shared import BLEND, Blend
from cvdemo.ui import memory
from cvdemo.ui.sessions import files
from cvdemo.ui.widgets import widget_values

SESSION = "one-pass-test"
REQUEST = SimpleNamespace(session_hash=SESSION)


@pytest.fixture(autouse=True)
def ready(engine, tmp_path, monkeypatch):
    set_default_engine(engine)
    monkeypatch.setattr(files, "root", tmp_path / "root")
    yield
    set_default_engine(None)
    memory.forget(SESSION)
    one_pass_view.forget(SESSION)


@pytest.fixture
def pair(tmp_path, content, style):
    paths = []
    for name, pixels in (("content.png", content), ("style.png", style)):
        save_picture(tmp_path / name, pixels)
        paths.append(str(tmp_path / name))
    return paths


def given(**values):
    settings = OnePassSettings.from_mapping({"size": 64, **values})
    return *widget_values(settings, NAMES), *widget_values(Blend(), BLEND)


def test_a_picture_is_stylised_and_remembered(pair):
    path, second = pair
    *progress, last = tab_one_pass._run(REQUEST, path, "picture", second, *given())
    assert all(len(each) == 5 for each in (*progress, last))
    assert "arbitrary style in one pass (AdaIN), style: own style" in last[2]
    look = memory.memory_of(SESSION).get(LOOK)
    assert memory.memory_of(SESSION).get(LAST).file_name() == "content-own-style.png"
    *_, last = tab_one_pass._run(REQUEST, path, "picture", second, *given(strength=0.5))
    assert memory.memory_of(SESSION).get(LOOK) is look  # no network was asked
    assert "strength 50%" in last[2]


def test_a_slider_moved_while_the_networks_run_counts(pair, monkeypatch):
    look = one_pass_view.look

    def meanwhile(picture, styles, settings, *rest):
        memory.memory_of(SESSION).put(tab_one_pass.ASKED, (replace(settings, strength=0.25), styles))
        return look(picture, styles, settings, *rest)

    monkeypatch.setattr(one_pass_view, "look", meanwhile)
    *_, last = tab_one_pass._run(REQUEST, pair[0], "picture", pair[1], *given())
    assert "strength 25%" in last[2]


def test_a_choice_made_while_the_networks_run_is_left_to_its_own_run(pair, monkeypatch):
    look = one_pass_view.look

    def meanwhile(picture, styles, settings, *rest):
        memory.memory_of(SESSION).put(tab_one_pass.ASKED, (replace(settings, size=96, strength=0.25), styles))
        return look(picture, styles, settings, *rest)

    monkeypatch.setattr(one_pass_view, "look", meanwhile)
    *_, last = tab_one_pass._run(REQUEST, pair[0], "picture", pair[1], *given(strength=0.5))
    assert "strength 50%" in last[2]


def test_a_feed_forward_network_needs_no_style_picture(pair):
    *_, last = tab_one_pass._run(REQUEST, pair[0], "picture", None, *given(network="brush-strokes"))
    assert "feed-forward, style: brush-strokes" in last[2]
    *_, last = tab_one_pass._run(REQUEST, pair[0], "picture", None, *given())
    assert "no style picture" in last[2]
    *_, last = tab_one_pass._run(
        REQUEST, pair[0], "picture", None, *given(network="waves", preserve_colour="covariance")
    )  # fmt: skip
    assert "luminance instead" in last[2]


def test_what_moves_is_left_alone_by_the_picture(pair):
    (only,) = tab_one_pass._run(REQUEST, pair[0], "live", pair[1], *given())
    assert all("update" in str(value) for value in only)


def test_a_capture(pair, content):
    viewer, _, line = tab_one_pass._step(SESSION, Picture(content, "webcam"), "", pair[1], *given(steady=False))
    assert viewer.value["width"] == 64
    assert viewer.value["before"].startswith("data:image/jpeg")
    assert "not smoothed" in line


def test_a_video(pair, content, tmp_path):
    source = tmp_path / "clip.mp4"
    with VideoWriter(source, 5, (48, 40)) as writer:
        for shift in range(3):
            writer.write(np.roll(content, shift, 1))
    *_, (_, _, line) = tab_one_pass._video(REQUEST, str(source), "", 1, pair[1], *given())
    assert "3 frames of 64 x 56 pixels; flicker" in line
    assert "smoothed" in line
    made = next(path for path in files.root.rglob("clip-own-style.mp4"))
    assert (probe_video(made).width, probe_video(made).height) == (64, 56)
    *_, (_, _, line) = tab_one_pass._video(REQUEST, str(tmp_path / "missing.mp4"), "", 1, pair[1], *given())
    assert "missing.mp4" in line
