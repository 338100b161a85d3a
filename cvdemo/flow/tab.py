"""The Flow tab: two frames, a video or the camera, and views of how everything moved."""

from __future__ import annotations

from typing import Any

from cvdemo.flow.examples import example_pairs
from cvdemo.flow.predict import DEFAULT_MODEL, TASK
from cvdemo.flow.tab_clip import create_clip_view
from cvdemo.flow.tab_compare import create_compare_view
from cvdemo.flow.tab_flow import create_flow_view
from cvdemo.flow.tab_lecture import create_lecture_view
from cvdemo.flow.tab_shared import CLIP, COMPARE, FLOW, LECTURE, SYNTHETIC
from cvdemo.flow.tab_synthetic import create_synthetic_view
from cvdemo.ui.workbench import Plan, Workbench, create_workbench

PLAN = Plan(
    TASK,
    DEFAULT_MODEL,
    first_example="people",
    creators={
        FLOW: ("Flow", create_flow_view),
        COMPARE: ("Compare", create_compare_view),
        SYNTHETIC: ("Synthetic pairs", create_synthetic_view),
        CLIP: ("Clip", create_clip_view),
        LECTURE: ("Lecture corner", create_lecture_view),
    },
    video="Compute the flow",
    pairs=example_pairs,
)


def create_flow_tab(shell: Any, user_limit: int) -> Workbench:
    """Build the tab inside the current ``gr.Tab``; arguments as in ``create_workbench``."""
    return create_workbench(PLAN, shell, user_limit)
