"""Which view is told about what, and how the address sets the controls."""

from pathlib import Path

import pytest

from cvdemo import tasks
from cvdemo.classification.predict import DEFAULT_MODEL, ClassificationSettings
from cvdemo.classification.sliding import SlidingSettings
from cvdemo.classification.tab import PLAN
from cvdemo.ui.examples import Example
from cvdemo.ui.views import LiveView, Refresh, VideoView, View, as_generator, is_wanted, settings_from
from cvdemo.ui.workbench import Workbench

tasks.load_all()

QUIET = Refresh(lambda request: None, [], [])
LIVE = LiveView("a", lambda *values: (), [], [])
IMAGENET = View(
    "imagenet", LIVE, QUIET, settings=ClassificationSettings, controls=dict.fromkeys(("top_k", "temperature"))
)
SLIDING = View(
    "sliding", None, QUIET, settings=SlidingSettings, controls=dict.fromkeys(("scales", "opacity")), prefix="sliding_"
)


FILM = View("film", None, QUIET, video=VideoView("film", print, [], []))


@pytest.mark.parametrize(
    ("view", "name", "mode", "path", "wanted"),
    [
        (IMAGENET, "imagenet", "picture", "a.png", True),
        (IMAGENET, "why", "picture", "a.png", False),
        (IMAGENET, "imagenet", "picture", None, False),
        (IMAGENET, "imagenet", "live", "a.png", False),
        (SLIDING, "sliding", "live", "a.png", True),  # it does not follow the camera
        (SLIDING, "sliding", "live", None, False),
        (View("teach", LIVE, Refresh(print, [], [], always=True)), "teach", "live", None, True),
        (View("lesson"), "lesson", "picture", "a.png", False),
        (FILM, "film", "picture", "a.png", True),
        (FILM, "film", "live", "a.png", True),
        (FILM, "film", "video", "a.png", False),
        (IMAGENET, "imagenet", "video", "a.png", True),  # it does not follow a video
    ],
)
def test_only_the_open_view_is_told(view, name, mode, path, wanted):
    assert is_wanted(view, name, mode, path) is wanted


def test_functions_and_generators_are_called_alike():
    def plain(request, a, b):
        return request, a + b

    def steps(request, a, b):
        yield request, a
        yield request, b

    assert list(as_generator(plain)("r", 1, 2)) == [("r", 3)]
    assert list(as_generator(steps)("r", 1, 2)) == [("r", 1), ("r", 2)]


def test_settings_of_all_views_come_from_one_address():
    query = {"top_k": "7", "temperature": "nonsense", "sliding_scales": "2", "scales": "5", "opacity": "0.9"}
    assert settings_from(query, [IMAGENET, SLIDING]) == [7, 1.0, 2, SlidingSettings().opacity]
    assert settings_from({}, [IMAGENET, SLIDING, View("lesson")]) == [5, 1.0, 4, SlidingSettings().opacity]


def opened(query):
    examples = [Example("cheetah", "", Path("cheetah.jpg")), Example("lion", "", Path("lion.jpg"))]
    tab = Workbench(PLAN, [], examples, [IMAGENET, SLIDING])
    model, picture, tabs, view, *settings = tab.open(query)
    return model.value, picture, tabs.selected, view, settings


def test_an_address_opens_model_example_and_view():
    assert opened({}) == (DEFAULT_MODEL, "lion.jpg", "imagenet", "imagenet", settings_from({}, [IMAGENET, SLIDING]))
    query = {"model": "resnet18", "example": "cheetah", "view": "why", "top_k": "3"}
    assert opened(query)[:4] == ("resnet18", "cheetah.jpg", "why", "why")
    assert opened(query)[4][0] == 3


@pytest.mark.parametrize("query", [{"model": "x"}, {"view": "<b>"}, {"example": "../secret"}, {"top_k": "-1"}])
def test_a_made_up_address_opens_the_defaults(query):
    assert opened(query) == opened({})
