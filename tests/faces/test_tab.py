"""The Faces tab as a plan: its views, its example pairs, its lesson; and looks that are made once."""

from types import SimpleNamespace

import pytest

from cvdemo.core import registry
from cvdemo.core.errors import WeightsError
from cvdemo.core.media import Picture, save_picture
from cvdemo.faces import examples, tab_shared
from cvdemo.faces.compare_view import CompareSettings
from cvdemo.faces.examples import compose_altered, example_pairs
from cvdemo.faces.gallery_room import enrol, room_of
from cvdemo.faces.gallery_view import GalleryViewSettings
from cvdemo.faces.tab import PLAN
from cvdemo.faces.tab_gallery import create_gallery_view
from cvdemo.ui import lessons, memory
from cvdemo.ui.examples import load_portrait
from cvdemo.ui.sessions import files
from cvdemo.ui.workbench import Workbench
from tests.faces.makers import look_of

SETTINGS = {"compare_": CompareSettings, "gallery_": GalleryViewSettings}


def test_every_pair_has_both_pictures(tmp_path):
    found = example_pairs(tmp_path)
    if not found:
        pytest.skip("matplotlib's sample portrait is not installed")
    assert [example.name for example in found][:2] == ["altered", "crowd"]
    assert all(example.path.is_file() and example.second.is_file() for example in found)
    assert PLAN.first_example in [example.name for example in found]


def test_the_altered_portrait_is_composed_the_same_again():
    portrait = load_portrait()
    if portrait is None:
        pytest.skip("matplotlib's sample portrait is not installed")
    one, two = compose_altered(portrait), compose_altered(portrait)
    assert one.shape == (280, 280, 3)
    assert (one == two).all()
    assert one.mean() < portrait.mean()
    assert examples.ALTERED.is_file()


@pytest.mark.parametrize("attempt", lessons.load("faces").tries, ids=lambda attempt: attempt.label)
def test_lesson_buttons_name_what_there_is(attempt, tmp_path):
    names = [example.name for example in example_pairs(tmp_path)]
    for name, value in attempt.query.items():
        if name == "view":
            assert value in PLAN.names
        elif name == "example":
            assert value in names or not names
        else:
            prefixes = [prefix for prefix in SETTINGS if name.startswith(prefix)]
            if not prefixes and attempt.query.get("view") not in ("compare", "gallery"):
                continue  # another view's setting, which its own test looks at
            fields = {field.name: field for field in SETTINGS[prefixes[0]].fields_of()}
            fields[name.removeprefix(prefixes[0])].parse(value)  # raises for a value that cannot be


def test_only_models_that_embed_are_offered():
    offered = [name for _, name in PLAN.choices]
    assert PLAN.default_model in offered
    assert "compact-face-detector" not in offered
    assert {registry.get(name).family for name in offered} == {"metric learning"}


@pytest.fixture
def picture(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "root", tmp_path)
    path = tmp_path / "a.png"
    save_picture(path, look_of([[1, 0, 0]]).picture.pixels)
    yield str(path)
    memory.forget("visitor")


def test_a_picture_is_looked_at_once_a_session(picture, monkeypatch):
    calls = []

    def look_at(shown: Picture, model: str, session: str, **watch):
        calls.append((shown.name, model, session))
        return look_of([[1, 0, 0]])

    monkeypatch.setattr(tab_shared, "look_at", look_at)
    first = tab_shared.look_of("visitor", picture, "m")
    assert tab_shared.look_of("visitor", picture, "m") is first
    tab_shared.look_of("visitor", picture, "other")
    assert calls == [("a.png", "m", "visitor"), ("a.png", "other", "visitor")]


def test_a_model_that_was_missing_is_tried_again(picture, monkeypatch):
    looks = [look_of([[1, 0, 0]], missing=True), look_of([[1, 0, 0]])]
    monkeypatch.setattr(tab_shared, "look_at", lambda *_, **__: looks.pop(0))
    assert isinstance(tab_shared.look_of("visitor", picture, "m").trouble, WeightsError)
    assert tab_shared.look_of("visitor", picture, "m").trouble is None


def test_a_missing_embedder_keeps_the_faces(monkeypatch):
    good = look_of([[1, 0, 0]])
    monkeypatch.setattr(tab_shared, "find", lambda *_, **__: good.found)

    def missing(*_, **__):
        raise WeightsError("It is not there.", hint="Fetch it.")

    monkeypatch.setattr(tab_shared, "recognise", missing)
    look = tab_shared.look_at(good.picture, "m", "visitor")
    assert look.inference is None
    assert len(look.found.faces) == 1
    assert tab_shared.timing_line(look) == "3 ms (find 2, align 1) · cpu float32"


def test_leaving_the_page_wipes_the_gallery():
    import gradio as gr

    with gr.Blocks():
        shared = SimpleNamespace(
            picture=gr.Image(), model=gr.Textbox(), mode=gr.Textbox(), pill=gr.Textbox(), refresh_pill=lambda: ""
        )
        view = create_gallery_view(shared)
    room = room_of("visitor")
    room.consent = True
    enrol(room, "Ann", look_of([[1, 0, 0]]))
    Workbench(PLAN, [], [], [view]).forget("visitor")  # what the page calls when a visitor leaves
    assert room.gallery is None
    assert room_of("visitor").gallery is None
