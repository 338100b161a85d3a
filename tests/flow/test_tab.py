"""The Flow tab as a plan: its views, its example pairs, its lesson."""

from pathlib import Path

import pytest

from cvdemo.core import registry
from cvdemo.flow.clip_view import ClipSettings
from cvdemo.flow.compare_view import CompareSettings
from cvdemo.flow.examples import example_pairs
from cvdemo.flow.flow_view import FlowViewSettings
from cvdemo.flow.lecture_view import LectureSettings
from cvdemo.flow.synthetic_view import SyntheticSettings
from cvdemo.flow.tab import PLAN
from cvdemo.ui import lessons
from cvdemo.ui.examples import Example
from cvdemo.ui.views import View
from cvdemo.ui.workbench import Workbench

SETTINGS = {
    "flow_": FlowViewSettings, "compare_": CompareSettings, "scene_": SyntheticSettings, "clip_": ClipSettings,
    "lecture_": LectureSettings,
}  # fmt: skip


def test_every_pair_has_both_frames(tmp_path):
    found = example_pairs(tmp_path)
    assert [example.name for example in found] == ["people", "disc", "approach"]
    assert all(example.path.is_file() and example.second.is_file() for example in found)
    assert PLAN.first_example in [example.name for example in found]


@pytest.mark.parametrize("attempt", lessons.load("flow").tries, ids=lambda attempt: attempt.label)
def test_lesson_buttons_name_what_there_is(attempt, tmp_path):
    names = [example.name for example in example_pairs(tmp_path)]
    for name, value in attempt.query.items():
        if name == "view":
            assert value in PLAN.names
        elif name == "example":
            assert value in names
        elif name == "model":
            assert registry.get(value).task == "flow"
        else:
            prefix = next(prefix for prefix in SETTINGS if name.startswith(prefix))
            fields = {field.name: field for field in SETTINGS[prefix].fields_of()}
            fields[name.removeprefix(prefix)].parse(value)  # raises for a value that cannot be


def test_an_address_opens_both_frames():
    pairs = [Example("people", "", Path("a1"), Path("a2")), Example("disc", "", Path("b1"), Path("b2"))]
    bench = Workbench(PLAN, [], pairs, [View("flow", settings=None)])
    _, first, _, view, second = bench.open({"example": "disc", "view": "compare"})
    assert (first, second, view) == ("b1", "b2", "compare")
    _, first, _, view, second = bench.open({"example": "<script>"})
    assert (first, second, view) == ("a1", "a2", "flow")
