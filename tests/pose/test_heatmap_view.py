"""The Heatmap view: frames, second summits, comparisons, and its four looks on a stand-in network."""

import re
from dataclasses import replace

import numpy as np
import pytest

from cvdemo.core import registry
from cvdemo.core.media import Picture
from cvdemo.pose import heatmap_looks as looks
from cvdemo.pose import heatmap_view as view
from cvdemo.pose import tab_heatmap
from cvdemo.pose import tab_shared as kept
from cvdemo.pose.heatmap_view import COVER, JOINT, KINDS, STAGES, HeatmapControls
from cvdemo.pose.predict import PoseSettings
from cvdemo.pose.raw import TOP_DOWN
from cvdemo.ui import memory
from cvdemo.ui.canvas import on_canvas

PIXELS = np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)
BOXES = [[60, 40, 160, 260], [240, 60, 320, 240]]
USER = "heatmap-tests"


@pytest.fixture
def look(stand_in, crowd_of):
    crowd_of(BOXES, [0.9, 0.6])
    yield kept.look_at(Picture(PIXELS, "two.png"), stand_in.name, USER)
    memory.forget(USER)


def composed(seen, row=0, store=None, /, **controls):
    return looks.compose(USER, seen, row, HeatmapControls(**controls), store)


@pytest.mark.parametrize("region", [[60, 40, 160, 260], [-30, -20, 90, 140], [350, 250, 500, 400]])
def test_places_in_a_frame_lie_on_the_same_pixels(region):
    dots = np.zeros((300, 400, 3), np.uint8)
    frame = view.frame_of(dots, np.array(region, float))
    low, high = np.maximum(region[:2], 0), np.minimum(region[2:], [400, 300])
    height, width = frame.pixels.shape[:2]
    np.testing.assert_allclose(frame.place(low), [0, 0], atol=1e-9)
    np.testing.assert_allclose(frame.place(high), [width, height], atol=1.0)
    np.testing.assert_allclose(frame.shares(high), [1, 1], atol=0.01)
    assert max(height, width) == view.LONG_SIDE
    whole = view.frame_of(dots, np.array([900.0, 900, 950, 950]))
    assert whole.scale == view.LONG_SIDE / 400


def test_the_rectangle_is_in_per_cent_of_the_frame():
    frame = view.frame_of(PIXELS, np.array([100.0, 50, 200, 250]))
    x1, y1, x2, y2 = frame.rectangle(HeatmapControls(left=10, right=60, top=25, bottom=75))
    np.testing.assert_allclose([x1, y1, x2, y2], [110, 100, 160, 200], atol=0.5)


def test_second_peak_against_a_search_by_hand():
    rng = np.random.default_rng(3)
    for _ in range(20):
        values = rng.random((16, 12)).astype(np.float32)
        row, column = np.unravel_index(values.argmax(), values.shape)
        best = 0.0
        for i in range(16):
            for j in range(12):
                near = values[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
                if values[i, j] == near.max() and max(abs(i - row), abs(j - column)) >= 5:
                    best = max(best, float(values[i, j]))
        assert view.second_peak(values, np.array([column, row])) == pytest.approx(best)
    assert view.second_peak(np.zeros((4, 4), np.float32), np.array([2, 2])) == 0


def test_one_joint_is_drawn_and_explained(look):
    made = composed(look, joint="left wrist")
    assert made.sentence.startswith("Left wrist: peak 0.")
    assert "argmax" in made.table
    assert "sub-pixel" in made.table
    assert "48 x 64 cells" in made.table
    assert len(made.value["joints"]) == 17
    assert not made.value["paint"]
    x, y, index = made.value["joints"][0]
    assert index == 0
    assert 0 < x < 1
    assert 0 < y < 1
    other = composed(look, joint="nose")
    assert other.value["src"] != made.value["src"]
    assert composed(look, joint="nose", whole=True).value["src"] != other.value["src"]
    assert composed(look, 1, joint="nose").value["src"] != other.value["src"]
    assert composed(look, -1).sentence == looks.NOBODY


def test_covering_runs_the_network_on_the_same_person_once(look, stand_in, monkeypatch):
    seen = []
    real = looks.infer
    monkeypatch.setattr(
        looks, "infer", lambda pixels, *a, **k: seen.append((pixels, k["boxes"])) or real(pixels, *a, **k)
    )
    store = memory.memory_of(USER)
    made = composed(look, 0, store, look=COVER, left=20, right=80, top=20, bottom=80, fill="black")
    assert made.value["paint"]
    assert "joints stayed" in made.sentence  # the stand-in looks at boxes only
    composed(look, 0, store, look=COVER, left=20, right=80, top=20, bottom=80, fill="black", heat=0.1)
    assert len(seen) == 1
    covered, boxes = seen[0]
    np.testing.assert_array_equal(boxes, look.inference.raw.boxes[[0]])
    changed = (covered != PIXELS).any(axis=2)
    assert covered[changed].max() == 0
    assert 0.05 < changed.mean() < 0.2
    composed(look, 0, store, look=COVER, left=20, right=81, top=20, bottom=80, fill="black")
    assert len(seen) == 2


def test_moves_are_named_largest_first(look):
    settings = PoseSettings()
    before = looks.one_person(look.inference.raw, 0, settings)
    points = before.keypoints.copy()
    points[0, 9, 0] += 60
    points[0, 10, 0] += 30
    points[0, 10, 2] = 0.1
    visible = before.visible.copy()
    visible[0, 10] = False
    after = replace(before, keypoints=points, visible=visible)
    moved = np.linalg.norm(points[0, :, :2] - before.keypoints[0, :, :2], axis=1)
    sentence, table = view.moves_text(before, after, moved)
    assert sentence.startswith("2 of 17 joints moved: left wrist 60 px, right wrist 30 px")
    assert "1 fell below" in sentence
    assert table.index("left wrist") < table.index("right wrist") < table.index("nose")
    assert "none can move" in view.moves_text(before, after, np.full(17, np.nan))[0]
    frame = view.frame_of(PIXELS, look.inference.raw.regions[0])
    drawn = view.draw_moves(frame, before, after, (80, 60, 120, 100))
    assert drawn.shape == frame.pixels.shape
    assert (drawn != frame.pixels).any()


def test_readings_are_compared_over_joints_one_of_them_is_sure_of(look):
    first = looks.one_person(look.inference.raw, 0, PoseSettings())
    points = first.keypoints.copy()
    points[0, :, 0] += 10
    points[0, 3, 0] += 500
    points[0, 3, 2] = 0
    early = first.keypoints.copy()
    early[0, 3, 2] = 0
    sentence, table = view.comparison(
        replace(first, keypoints=early), replace(first, keypoints=points), ("a", "b"), 0.3
    )  # fmt: skip
    assert "10.0 px apart on average over 16 joints" in sentence
    assert "neither is sure" in table
    assert table.rindex("left ear") > table.rindex("nose")
    assert view.comparison(first.take([]), first, ("a", "b"), 0.3)[0].startswith("There is nobody")


@pytest.fixture
def three_models(stand_in, monkeypatch):
    """The stand-in under the names of the three compact models; the hourglass has a first stage."""
    names = ("compact-pose", "compact-pose-regression", "compact-pose-hourglass")
    known = {name: registry.get(name) for name in names}

    def run_as(name):
        def run(network, people, context):
            raw = replace(stand_in.run(network, people, context), model=name)
            if name == "compact-pose":
                return raw
            if name == "compact-pose-hourglass":
                return replace(raw, stages_extra={"stage 1": np.roll(raw.heatmaps, 3, axis=3)})
            boxes = raw.boxes[:, None]
            middle = ((boxes[..., :2] + boxes[..., 2:]) / 2).repeat(17, 1).astype(np.float32)
            scores = np.full(middle.shape[:2], 0.8, np.float32)
            return replace(raw, heatmaps=None, keypoints=middle, scores=scores, stages_extra={"stage 1": middle + 4})

        return run

    for name in names:
        registry.unregister(name)
        registry.register(replace(stand_in, name=name, run=run_as(name), extras={**stand_in.extras, TOP_DOWN: True}))
    yield names
    for name, spec in known.items():
        registry.unregister(name)
        registry.register(spec)


def test_stages_and_kinds_are_compared_on_the_same_person(look, three_models):
    store = memory.memory_of(USER)
    stages = composed(look, 0, store, look=STAGES)
    assert "Stage 1 and stage 2 lie" in stages.sentence
    assert "stage 1" in stages.caption
    cascade = composed(look, 0, store, look=STAGES, two_stage="compact-pose-regression")
    assert "the skeleton after stage 1" in cascade.caption
    assert "5.7 px apart" in cascade.sentence
    kinds = composed(look, 0, store, look=KINDS)
    assert kinds.sentence.startswith("Regression and heatmap lie")
    assert kinds.caption.startswith("Left: regression (17 of 17")
    runs = {key[2] for key in store._kept if key[0] == "pose of"}
    assert runs == set(three_models)


def test_a_look_whose_model_is_missing_shows_the_person_and_says_why(look, tmp_path, monkeypatch):
    monkeypatch.setenv("CVDEMO_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("cvdemo.core.weights.hub_folder", lambda: tmp_path)
    for wanted, file in ((STAGES, "compact_pose_hourglass"), (KINDS, "compact_pose_regression")):
        made = composed(look, look=wanted)
        assert f"“{view.LOOKS[wanted]}” cannot be shown here" in made.problem
        assert re.search(r"(its file|and compact_pose\.safetensors) is missing", made.problem)
        assert f"{file}.safetensors" in made.problem
        assert "ships with cvdemo" not in made.problem
        assert made.value["src"].startswith("data:image/jpeg")
        _, caption, line, table = tab_heatmap.drawn(made)
        assert 'role="alert"' in line
        assert "nothing to compare" in caption
        assert table == ""
        assert 'role="alert"' not in tab_heatmap.drawn(made, live=True)[2]
    for label, _ in tab_heatmap.two_stage_choices():
        assert label.endswith("is missing")


def test_a_model_without_heatmaps_says_so(crowd_of, three_models):
    crowd_of(BOXES)
    look = kept.look_at(Picture(PIXELS, "two.png"), "compact-pose-regression", USER)
    assert "no heatmaps" in composed(look, look=JOINT).sentence
    assert composed(look, look=COVER).value["paint"]


def test_the_menu_of_people_and_the_mouse():
    choices = [("1 (score 0.9)", 3), ("2 (score 0.5)", 0)]
    assert tab_heatmap.person_row(0, choices, same=True) == 0
    assert tab_heatmap.person_row(0, choices, same=False) == 3
    assert tab_heatmap.person_row("x", choices, same=True) == 3
    assert tab_heatmap.person_row(1, [], same=True) == -1
    assert tab_heatmap.edges_of((0.8, 0.1), (0.2, 0.5)) == (20, 80, 10, 50)
    assert tab_heatmap.edges_of((0.5, -3), (0.5, 9)) == (49, 51, 0, 100)
    assert tab_heatmap.joint_of({"joint": 9}) == "left wrist"
    assert tab_heatmap.joint_of({"joint": 99}) is None


def test_the_canvas_value_is_plain_data():
    value = on_canvas(PIXELS, "words", [(0.12345, 0.5, 3)], paint=True)
    assert value["joints"] == [[0.1235, 0.5, 3]] or value["joints"] == [[0.1234, 0.5, 3]]
    assert value["paint"] is True
    assert value["alt"] == "words"
    assert value["src"].startswith("data:image/jpeg")
