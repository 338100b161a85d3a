"""The Action tab: a picture, a video or the camera, and the views of what a network makes of what people do."""

from __future__ import annotations

from typing import Any

from cvdemo.action.predict import DEFAULT_MODEL, TASK
from cvdemo.action.tab_demos import create_convolution_view, create_pathways_view
from cvdemo.action.tab_motion import create_motion_view
from cvdemo.action.tab_recognise import create_recognise_view
from cvdemo.action.tab_recognise_video import STEPS
from cvdemo.action.tab_shared import CONVOLUTION, MOTION, PATHWAYS, RECOGNISE
from cvdemo.ui.workbench import Plan, Workbench, create_workbench

PLAN = Plan(
    TASK,
    DEFAULT_MODEL,
    first_example="portrait",
    creators={
        RECOGNISE: ("Recognise", create_recognise_view),
        MOTION: ("Does it use motion?", create_motion_view),
        PATHWAYS: ("Pathways", create_pathways_view),
        CONVOLUTION: ("3-D convolution", create_convolution_view),
    },
    video="Recognise actions",
    stride=(
        "Window step",
        "In eighths of what the model sees at once; at 8 windows do not overlap. Needs the network.",
        STEPS,
        STEPS // 2,
    ),
)


def create_action_tab(shell: Any, user_limit: int) -> Workbench:
    """Build the tab inside the current ``gr.Tab``; arguments as in ``create_workbench``."""
    return create_workbench(PLAN, shell, user_limit)
