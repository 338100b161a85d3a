"""What the lecture views say in words, tables and a curve."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from cvdemo.detection import lecture_panels
from cvdemo.detection.average_precision import GroundTruth
from cvdemo.detection.candidates import Candidates
from cvdemo.detection.lecture_nms import moment, walk
from cvdemo.detection.lecture_truth import assess
from cvdemo.detection.predict import DetectionSettings
from cvdemo.detection.raw import RawDetections

HEIGHT, WIDTH = 240, 320
CANDIDATES = Candidates.from_arrays(
    [[0, 0, 100, 98], [0, 2, 100, 100], [150, 0, 200, 80], [150, 0, 250, 100]],
    [0.9, 0.8, 0.7, 0.2],
    [1, 1, 1, 1],
    level=[1, 1, 0, 0],
    origins=[[40, 40, 56, 56], [40, 40, 56, 56], [170, 30, 178, 38], [170, 30, 178, 38]],
    height=HEIGHT,
    width=WIDTH,
)
RAW = RawDetections(CANDIDATES, None, None, ((30, 40, 8.0), (15, 20, 16.0)), (HEIGHT, WIDTH))
TWO_STAGE = RawDetections(
    CANDIDATES, np.zeros((3, 4), np.float32), np.array([0.9, 0.5, 0.1], np.float32), RAW.levels, RAW.input_size
)
TRUTH = GroundTruth(
    np.array([[0, 0, 100, 100], [150, 0, 250, 100], [0, 150, 60, 210]], np.float32), np.array([1, 1, 18]),
    np.zeros(3, bool),
)  # fmt: skip
OPEN = DetectionSettings(0.3, nms_kind="none")


def cells(text: str) -> list[str]:
    return re.findall(r"<td>([^<]*)</td>", text)


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<div>{text}</div>")


def test_everything_is_well_formed_and_escaped():
    walked = walk(CANDIDATES, DetectionSettings())
    result = assess(CANDIDATES, TRUTH, OPEN)
    rows = np.arange(4)
    for text in (
        lecture_panels.walk_panel(walked, moment(walked, 1)),
        lecture_panels.walk_panel(walk(CANDIDATES, DetectionSettings(1.0)), None),
        lecture_panels.truth_panel(result, "<b>&", ("</p><script>", ""), 0.3),
        lecture_panels.origins_panel(RAW, rows, "cell"),
        lecture_panels.origins_panel(RAW, rows[:0], "cell"),
        lecture_panels.proposals_panel(RAW),
        lecture_panels.proposals_panel(TWO_STAGE),
        lecture_panels.said("<i>"),
    ):
        parsed(text)
        assert "<script>" not in text
        assert "<b>" not in text


def test_the_table_of_a_step():
    walked = walk(CANDIDATES, DetectionSettings())
    text = lecture_panels.walk_panel(walked, moment(walked, 1))
    assert cells(text) == ["person", "0.96", "0.80", "removed"]
    for meaning in ("picked now", "suppressed by this step", "kept before", "still waiting"):
        assert meaning in text
    assert "lower the score threshold" in lecture_panels.walk_panel(walk(CANDIDATES, DetectionSettings(1.0)), None)


def test_the_sentence_and_the_figures_of_a_ground_truth():
    result = assess(CANDIDATES, TRUTH, OPEN)
    assert lecture_panels.truth_sentence(result, 0.3) == (
        "All classes: 1 right, 2 wrong, 2 missed. Precision 0.33, recall 0.33, F1 0.33 at score 0.30 and IoU 0.50."
    )
    text = lecture_panels.truth_panel(result, "file.json", ("Its only picture.",), 0.3)
    values = cells(text)
    assert values[:9] == ["Precision", "1 / 3", "0.333", "Recall", "1 / 3", "0.333", "F1", "2 / 6", "0.333"]
    assert values[15:20] == ["person", "2", "1", "2", "1"]
    assert "mean (mAP)" in values
    assert "file.json" in text
    assert "Its only picture." in text
    dogs = assess(CANDIDATES, TRUTH, OPEN, label=18)
    assert lecture_panels.truth_sentence(dogs, 0.3).startswith("Dog: 0 right, 0 wrong, 1 missed.")
    assert "nothing found at any score" in lecture_panels.curve_svg(dogs, 0.3)


def test_the_curve_goes_through_its_points():
    result = assess(CANDIDATES, TRUTH, OPEN, label=1)
    svg = parsed(lecture_panels.curve_svg(result, 0.3)).find(".//svg")
    assert svg is not None
    assert "precision 0.33 at recall 0.50" in svg.attrib["aria-label"]
    zero, one = lecture_panels._x(0), lecture_panels._x(1)
    top, bottom = lecture_panels._y(1), lecture_panels._y(0)

    def points(path):
        numbers = np.array([float(v) for v in re.findall(r"-?[\d.]+", path)]).reshape(-1, 2)
        return [((x - zero) / (one - zero), (bottom - y) / (bottom - top)) for x, y in numbers]

    paths = {node.attrib["class"]: node.attrib["d"] for node in svg.iter("path")}
    expected = [(0, 1), (0.5, 1), (0.5, 0.5), (0.5, 1 / 3), (1, 0.5)]
    np.testing.assert_allclose(points(paths["raw"]), expected, atol=2e-3)
    rings = [
        ((float(node.attrib["cx"]) - zero) / (one - zero), (bottom - float(node.attrib["cy"])) / (bottom - top))
        for node in svg.iter("circle")
    ]
    assert len(rings) == 11
    np.testing.assert_allclose([y for _, y in rings], [1] * 6 + [0.5] * 5, atol=2e-3)
    np.testing.assert_allclose([x for x, _ in rings], np.arange(11) / 10, atol=2e-3)
    assert result.ap_11 == pytest.approx((6 + 2.5) / 11)


def test_a_ring_stands_on_the_curve_where_recall_is_exactly_a_tenth():
    """3 of 5 objects: 0.6 in decimal, and a hair less than the seventh of eleven equally spaced floats."""
    boxes = [[40 * i, 0, 40 * i + 30, 30] for i in range(5)]
    truth = GroundTruth(np.array(boxes, np.float32), np.ones(5, int), np.zeros(5, bool))
    found = Candidates.from_arrays(boxes[:3], [0.9, 0.8, 0.7], [1, 1, 1], height=HEIGHT, width=WIDTH)
    assert assess(found, truth, OPEN).ap_11 == pytest.approx(7 / 11)


def test_no_curve_without_objects():
    nothing = GroundTruth(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool))
    result = assess(CANDIDATES, nothing, OPEN)
    assert "nothing to find" in lecture_panels.curve_svg(result, 0.3)
    assert "nothing to find" in lecture_panels.truth_panel(result, "x.json", (), 0.3)


def test_origins_in_words_and_tables():
    rows = np.array([0, 2])
    assert lecture_panels.origins_sentence(RAW, rows, "found") == (
        "2 found objects from 2 of 2 levels: 1 at stride 8, 1 at stride 16."
    )
    assert lecture_panels.origins_sentence(RAW, rows[:1], "best") == (
        "1 best candidate from 1 of 2 levels: 1 at stride 16."
    )
    assert lecture_panels.origins_sentence(RAW, rows[:0], "found") == ""
    text = lecture_panels.origins_panel(RAW, rows, "anchor")
    assert cells(text)[:10] == ["30 x 40", "8", "8 x 8", "2", "1", "15 x 20", "16", "16 x 16", "2", "1"]
    assert cells(text)[10:16] == ["1", "person", "0.90", "16", "16 x 16 at 40, 40", "100 x 98 at 0, 0"]
    assert "overlap with an IoU of 0.02" in text
    assert "times the cell&#x27;s area" in lecture_panels.origins_panel(RAW, rows, "cell")
    assert "lower the score threshold" in lecture_panels.origins_panel(RAW, rows[:0], "cell")


def test_candidates_without_levels_are_still_listed():
    plain = Candidates.from_arrays([[0, 0, 9, 9]], [0.5], [1], origins=[[0, 0, 8, 8]], height=HEIGHT, width=WIDTH)
    raw = RawDetections(plain, None, None, (), (HEIGHT, WIDTH))
    assert lecture_panels.origins_sentence(raw, np.array([0]), "best") == "1 best candidate."
    assert "person" in cells(lecture_panels.origins_panel(raw, np.array([0]), "anchor"))


def test_proposals_in_words():
    assert lecture_panels.proposals_sentence(TWO_STAGE, 2).startswith(
        "The best 2 of 3 proposals, with an objectness from 0.50 to 0.90."
    )
    assert lecture_panels.proposals_sentence(RAW, 2) == ""
    assert "works in one stage" in lecture_panels.proposals_panel(RAW)
