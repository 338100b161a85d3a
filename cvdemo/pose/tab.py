"""The Pose tab: a picture, a video or the camera, and four views of what a pose network makes of it."""

from __future__ import annotations

from typing import Any

from cvdemo.pose.predict import DEFAULT_MODEL, TASK
from cvdemo.pose.tab_angles import create_angles_view
from cvdemo.pose.tab_heatmap import create_heatmap_view
from cvdemo.pose.tab_shared import ANGLES, HEATMAP, SKELETON, TRUTH
from cvdemo.pose.tab_skeleton import create_skeleton_view
from cvdemo.pose.tab_truth import create_truth_view
from cvdemo.ui.workbench import Plan, Workbench, create_workbench

PLAN = Plan(
    TASK,
    DEFAULT_MODEL,
    first_example="crowd",
    creators={
        SKELETON: ("Skeleton", create_skeleton_view),
        ANGLES: ("Angles", create_angles_view),
        HEATMAP: ("Heatmap", create_heatmap_view),
        TRUTH: ("Ground truth", create_truth_view),
    },
    video="Find poses in the video",
)


def create_pose_tab(shell: Any, user_limit: int) -> Workbench:
    """Build the tab inside the current ``gr.Tab``; arguments as in ``create_workbench``."""
    return create_workbench(PLAN, shell, user_limit)
