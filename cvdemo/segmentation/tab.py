"""The Segmentation tab: a picture, a video or the camera, and views of what a segmentation network makes of it."""

from __future__ import annotations

from typing import Any

from cvdemo.segmentation.predict import DEFAULT_MODEL, TASK
from cvdemo.segmentation.tab_compare import create_compare_view
from cvdemo.segmentation.tab_overlay import create_overlay_view
from cvdemo.segmentation.tab_shared import COMPARE, OVERLAY, TRUTH, UPSAMPLING
from cvdemo.segmentation.tab_truth import create_truth_view
from cvdemo.segmentation.tab_upsampling import create_upsampling_view
from cvdemo.ui.workbench import Plan, Workbench, create_workbench

PLAN = Plan(
    TASK,
    DEFAULT_MODEL,
    first_example="crowd",
    creators={
        OVERLAY: ("Overlay", create_overlay_view),
        COMPARE: ("Compare", create_compare_view),
        TRUTH: ("Ground truth", create_truth_view),
        UPSAMPLING: ("Up-sampling", create_upsampling_view),
    },
    video="Segment the video",
)


def create_segmentation_tab(shell: Any, user_limit: int) -> Workbench:
    """Build the tab inside the current ``gr.Tab``; arguments as in ``create_workbench``."""
    return create_workbench(PLAN, shell, user_limit)
