"""The command line, the endpoints, videos and the benchmark, on networks with arbitrary weights."""

import json

import gradio as gr
import numpy as np
import pytest

from cvdemo.__main__ import main
from cvdemo.core import engine as engine_module
from cvdemo.core.media import read_picture, save_picture
from cvdemo.core.video import VideoWriter, probe_video
from cvdemo.style import api, video
from cvdemo.style.settings import StyleSettings
from cvdemo.ui.sessions import files

LAYERS = ["--content-layers", "relu2_1", "--style-layers", "relu1_1"]


@pytest.fixture(autouse=True)
def _engine(engine):
    engine_module.set_default_engine(engine)
    yield
    engine_module.set_default_engine(None)


@pytest.fixture
def picture(tmp_path, content):
    path = tmp_path / "content.png"
    save_picture(path, content)
    return path


def test_optimisation(picture, tmp_path):
    out, facts = tmp_path / "out.png", tmp_path / "out.json"
    code = main(["style", str(picture), "waves", "mosaic", "--blend", "3,1", "--steps", "2", "--size", "64",
                 "--save", str(out), "--json", str(facts), *LAYERS])  # fmt: skip
    assert code == 0
    assert read_picture(out).pixels.shape == (53, 64, 3)
    report = json.loads(facts.read_text())
    assert report["method"] == "gatys"
    assert report["steps"] == 2
    assert report["styles"] == [{"name": "waves", "weight": 0.75}, {"name": "mosaic", "weight": 0.25}]


def test_texture_synthesis_without_a_content(tmp_path):
    out = tmp_path / "out.png"
    assert main(["style", "none", "waves", "--preset", "texture synthesis", "--steps", "1", "--size", "64",
                 "--save", str(out), *LAYERS]) == 0  # fmt: skip
    assert read_picture(out).pixels.shape == (64, 64, 3)


@pytest.mark.parametrize("method", ["adain", "fast", "race"])
def test_other_methods(picture, tmp_path, method, capsys):
    out = tmp_path / "out.png"
    assert main(["style", str(picture), "waves", "--method", method, "--size", "64", "--steps", "1",
                 "--save", str(out), "--json", "-", *LAYERS]) == 0  # fmt: skip
    assert out.is_file()
    report = json.loads(capsys.readouterr().out)
    assert report.get("method", "race") == method if method != "race" else len(report["methods"]) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["CONTENT"], "no style"),
        (["CONTENT", "waves", "--blend", "1,2"], "2 weights for 1"),
        (["CONTENT", "waves", "--blend", "a"], "no weights"),
        (["CONTENT", "hatching", "--method", "fast"], "feed-forward"),
        (["none", "waves", "--method", "adain"], "no content"),
        (["CONTENT", "nowhere.jpg"], "nowhere.jpg"),
        (["none", "waves", "--method", "race"], "one content"),
    ],
)
def test_what_cannot_be_done_is_explained(picture, arguments, words, capsys):
    given = [str(picture) if part == "CONTENT" else part for part in arguments]
    assert main(["style", *given]) == 2
    assert words in capsys.readouterr().err


@pytest.fixture
def clip(tmp_path, content):
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 10, (48, 40)) as writer:
        for shift in range(4):
            writer.write(np.roll(content, shift, 1))
    return path


def test_a_video(clip, tmp_path):
    out = tmp_path / "out.mp4"
    assert main(["style", str(clip), "waves", "--method", "adain", "--size", "64", "--save", str(out)]) == 0
    info = probe_video(out)
    assert (info.width, info.height) == (64, 56)
    assert main(["style", str(clip), "waves", "--size", "64", "--save", str(out)]) == 2  # optimisation is for pictures


def test_frames_encode_their_styles_once(engine, content, style):
    styler = video.FrameStyler([style], settings=StyleSettings(size=64, smoothing=0.5), engine=engine)
    first = styler(content)
    kept = styler._kept.styles
    second = styler(content)
    assert styler._kept.styles is kept
    assert first.shape == second.shape == (56, 64, 3)
    assert np.abs(first.astype(int) - second).max() <= 1  # nothing moved and nothing changed


def test_the_endpoint(picture, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "root", tmp_path / "session")
    settings = {"size": 64}
    answer, drawn = api.style(str(picture), None, {"waves": 1, "mosaic": 1}, "adain", "", settings, None)
    assert answer["styles"] == [{"name": "waves", "weight": 0.5}, {"name": "mosaic", "weight": 0.5}]
    assert answer["sentence"]
    assert read_picture(drawn).pixels.shape == (56, 64, 3)
    answer, _ = api.style(str(picture), str(picture), None, "gatys", "", {**settings, "steps": 1}, None)
    assert answer["steps"] == 1
    answer, _ = api.style(str(picture), None, {"waves": 1}, "fast", "", settings, None)
    assert answer["model"] == "fast-waves"


@pytest.mark.parametrize(
    ("styles", "method", "settings", "words"),
    [
        ({}, "adain", {}, "one to 4"),
        ({"waves": 1}, "magic", {}, "no method"),
        ({"waves": "much"}, "adain", {}, "weight"),
        ({"waves": 1}, "gatys", {"steps": 2000}, "too many"),
        ({"waves": 1}, "adain", {"size": 9}, "from 64"),
        ({"cubism": 1}, "adain", {}, "no style"),
        ({"waves": 1, "mosaic": 1}, "fast", {}, "one style"),
    ],
)
def test_the_endpoint_explains(picture, tmp_path, monkeypatch, styles, method, settings, words):
    monkeypatch.setattr(files, "root", tmp_path / "session")
    with pytest.raises(gr.Error, match=words):
        api.style(str(picture), None, styles, method, "", settings, None)


def test_settings_and_models_are_listed():
    assert api.style_settings()["strength"]["maximum"] == 1
    found = api.style_models()
    assert "mosaic" in found["styles"]
    assert {"encoder", "adain", "fast"} == {row["kind"] for row in found["models"]}


def test_endpoints_are_registered():
    with gr.Blocks() as demo:
        api.add_style_api()
    names = {function.api_name for function in demo.fns.values()}
    assert {"style", "style_settings", "style_models"} <= names
