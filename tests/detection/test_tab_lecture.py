"""What the lecture views hand to the page, and that nothing is computed for a view that is closed."""

import json

import gradio as gr
import numpy as np
import pytest

from cvdemo.core.media import Picture
from cvdemo.detection import lecture_nms, lecture_origins, lecture_truth, tab_lecture, view
from cvdemo.detection.average_precision import GroundTruth
from cvdemo.detection.candidates import Candidates
from cvdemo.detection.lecture_truth import TruthFile
from cvdemo.detection.predict import DetectionSettings, Inference, decode
from cvdemo.detection.raw import RawDetections
from cvdemo.detection.tab_events import NAMES, drawn
from cvdemo.detection.tab_lecture import ALL, NO_GRID, Given, look
from cvdemo.ui.widgets import widget_values

LEVELS = ((30, 40, 8.0), (15, 20, 16.0))
SKIP = gr.skip()


def picture_view(scale: float = 0.5) -> view.PictureView:
    candidates = Candidates.from_arrays(
        [[10, 10, 110, 210], [12, 12, 110, 210], [200, 10, 300, 210]], [0.9, 0.8, 0.7], [1, 1, 18], level=[1, 1, 0],
        origins=[[40, 40, 56, 56], [40, 40, 56, 56], [240, 96, 248, 104]], height=240, width=320,
    )  # fmt: skip
    pixels = np.full((240, 320, 3), 90, np.uint8)
    display = np.full((round(240 * scale), round(320 * scale), 3), 90, np.uint8)
    inference = Inference(
        RawDetections(candidates, None, None, LEVELS, (240, 320)), {"network": 1.0}, "cpu", "fp32", "m"
    )
    return view.PictureView(Picture(pixels, "street.jpg"), display, scale, inference)


def given(opened: str, **changes) -> Given:
    usual = {"step": 1, "truth": None, "iou": 0.5, "label": ALL, "show": "found", "most": 20, "level": NO_GRID}
    return Given(opened, **{**usual, **changes})


def values(opened: str, **changes) -> tuple:
    asked = given(opened, **changes)
    return (*widget_values(DetectionSettings(), NAMES), *vars(asked).values())


def seen(asked: Given, settings: DetectionSettings | None = None, *, fresh: bool = False, projector: bool = False):
    shown = picture_view()
    settings = settings or DetectionSettings()
    return look(shown, settings, decode(shown.inference, settings), projector, asked, fresh)


def truth_of(name: str = "street.jpg") -> TruthFile:
    return TruthFile(
        "truth.json", (name, "other.jpg"), ((240, 320), (0, 0)), np.array([0, 2, 2]),
        np.array([[10, 10, 110, 210], [200, 10, 220, 30]], np.float32), np.array([1, 18]), np.zeros(2, bool),
    )  # fmt: skip


def test_a_closed_view_computes_nothing(monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError("computed for a view that is closed")

    for module, name in ((lecture_nms, "walk"), (lecture_truth, "assess"), (lecture_origins, "draw_origins")):
        monkeypatch.setattr(module, name, forbidden)
    made = drawn(picture_view(), False, "picture", values("", truth=truth_of()))
    assert made[4:] == (SKIP,) * 6
    assert "1 person, 1 dog" in made[1]


@pytest.mark.parametrize("opened", ["", "nms", "truth", "origins"])
def test_as_many_outputs_as_components(opened):
    with gr.Blocks(), gr.Tabs():
        parts = tab_lecture.lecture_tabs()
    assert len(parts.inputs) == len(vars(given("")))
    made = drawn(picture_view(), False, "picture", values(opened, truth=truth_of()))
    assert len(made) == 4 + len(parts.outputs)
    assert len(drawn(None, False, "picture", values(opened))) == len(made)


def test_a_step_moves_the_slider_and_says_itself():
    first = seen(given("nms"))
    slider, panel, *rest = first.outputs
    assert (slider.value, slider.maximum, slider.interactive) == (1, 2, True)
    assert "0.97" in panel
    assert rest == [SKIP] * 4
    assert first.sentence.startswith("Step 1 of 2: person 0.90 picked, suppresses 1 box (IoU 0.97).")
    assert first.pixels.shape == (120, 160, 3)
    assert seen(given("nms", step=99)).outputs[0].value == 2
    assert seen(given("nms", step=2), fresh=True).outputs[0].value == 1, "another picture starts at the first step"
    nothing = seen(given("nms"), DetectionSettings(0.99))
    assert nothing.sentence == ""
    assert nothing.outputs[0].interactive is False
    assert (nothing.pixels == 90).all()


def test_ground_truth_is_drawn_counted_and_offers_its_classes():
    found = seen(given("truth", truth=truth_of()))
    assert found.sentence.startswith("All classes: 1 right, 1 wrong, 1 missed.")
    menu, panel = found.outputs[2:4]
    assert [value for _, value in menu.choices] == [ALL, "person", "dog"]
    assert menu.value == ALL
    assert "truth.json" in panel
    dogs = seen(given("truth", truth=truth_of(), label="dog"))
    assert dogs.sentence.startswith("Dog: 0 right, 1 wrong, 1 missed.")
    assert dogs.outputs[2].value == "dog"
    gone = seen(given("truth", truth=truth_of(), label="cat"))
    assert gone.outputs[2].value == ALL
    assert gone.sentence == found.sentence


def test_ground_truth_of_another_picture_is_a_problem_in_words_and_the_picture_stays():
    wrong = seen(given("truth", truth=truth_of("else.jpg")))
    assert wrong.pixels is None
    assert "none is called street.jpg" in wrong.outputs[3]
    empty = seen(given("truth"))
    assert empty.pixels is None
    assert "COCO json" in empty.outputs[3]


def test_origins_of_found_objects_best_candidates_and_proposals():
    found = seen(given("origins"))
    assert found.sentence == "2 found objects from 2 of 2 levels: 1 at stride 8, 1 at stride 16."
    menu = found.outputs[4]
    assert menu.choices == [("none", NO_GRID), ("stride 8: 30 x 40 cells", 0), ("stride 16: 15 x 20 cells", 1)]
    best = seen(given("origins", show="best", most=3), DetectionSettings(0.99))
    assert best.sentence.startswith("3 best candidates")
    proposals = seen(given("origins", show="proposals"))
    assert proposals.sentence == ""
    assert "works in one stage" in proposals.outputs[5]
    assert (proposals.pixels == 90).all()


def test_a_grid_is_drawn_on_request_and_a_level_of_another_model_is_dropped():
    plain, grid = seen(given("origins")), seen(given("origins", level=1))
    assert (plain.pixels != grid.pixels).mean() > 0.5
    assert grid.outputs[4].value == 1
    assert seen(given("origins", level=7)).outputs[4].value == NO_GRID


def test_the_projector_draws_larger():
    for opened in ("nms", "truth", "origins"):
        asked = given(opened, truth=truth_of())
        small, large = (seen(asked, projector=projector).pixels for projector in (False, True))
        assert (large != 90).sum() > 1.2 * (small != 90).sum()


def test_the_page_shows_the_views_picture_and_sentence():
    plain, stepped = (drawn(picture_view(), False, "picture", values(opened)) for opened in ("", "nms"))
    assert stepped[0]["src"] != plain[0]["src"]
    assert stepped[0]["alt"].startswith("Step 1 of 2")
    assert "Step 1 of 2" in stepped[1]
    assert stepped[2] == plain[2], "the table is that of the settings"
    assert "3 candidates" in stepped[1]
    assert json.dumps(stepped[0])


def test_views_are_about_pictures_only():
    live = drawn(picture_view(), False, "live", values("nms"))
    assert "1 person, 1 dog" in live[1]
    assert live[4:] == (SKIP,) * 6
    clip = drawn(picture_view(), False, "video", values("nms"))
    assert clip[:4] == (SKIP,) * 4, "a finished clip is not replaced by an older picture"
    assert "Picture mode" in clip[5]
    assert "Choose a picture" in drawn(None, False, "picture", values("truth"))[7]


def test_unusable_settings_are_said_and_nothing_else_changes():
    broken = list(values("nms"))
    broken[0] = 7.0
    made = drawn(picture_view(), False, "picture", tuple(broken))
    assert "Score threshold" in made[1]
    assert made[4:] == (SKIP,) * 6


def test_a_truth_without_objects_is_no_problem():
    truth = lecture_truth.TruthFile("t", ("street.jpg",), ((0, 0),), np.array([0, 0]), np.zeros((0, 4), np.float32),
                                    np.zeros(0, np.int64), np.zeros(0, bool))  # fmt: skip
    assert isinstance(truth.of("street.jpg", 240, 320)[0], GroundTruth)
    assert seen(given("truth", truth=truth)).sentence.startswith("All classes: 0 right, 2 wrong, 0 missed.")
