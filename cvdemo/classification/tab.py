"""The Classification tab: a picture or the camera, and five views of what a classifier makes of it."""

from __future__ import annotations

from typing import Any

from cvdemo.classification.predict import DEFAULT_MODEL, TASK
from cvdemo.classification.tab_emotion import create_emotion_view
from cvdemo.classification.tab_imagenet import create_imagenet_view
from cvdemo.classification.tab_shared import EMOTION, IMAGENET, SLIDING, TEACH, WHY
from cvdemo.classification.tab_sliding import create_sliding_view
from cvdemo.classification.tab_teach import create_teach_view
from cvdemo.classification.tab_why import create_why_view
from cvdemo.ui.workbench import Plan, Workbench, create_workbench

PLAN = Plan(
    TASK,
    DEFAULT_MODEL,
    first_example="lion",
    creators={
        IMAGENET: ("ImageNet", create_imagenet_view),
        WHY: ("Why", create_why_view),
        SLIDING: ("Sliding window", create_sliding_view),
        TEACH: ("Teach it", create_teach_view),
        EMOTION: ("Emotion", create_emotion_view),
    },
)


def create_classification_tab(shell: Any, user_limit: int) -> Workbench:
    """Build the tab inside the current ``gr.Tab``; arguments as in ``create_workbench``."""
    return create_workbench(PLAN, shell, user_limit)
