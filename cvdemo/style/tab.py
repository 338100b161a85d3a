"""The Style tab: a content picture and a style picture, and the ways to bring them together."""

from __future__ import annotations

from typing import Any

from cvdemo.style.models import COMPACT_ENCODER, TASK
from cvdemo.style.tab_gan import create_gan
from cvdemo.style.tab_one_pass import create_one_pass
from cvdemo.style.tab_optimise import create_optimise
from cvdemo.style.tab_race import create_race
from cvdemo.style.tab_shared import GAN, ONE_PASS, OPTIMISE, PARTNER, RACE, create_blend
from cvdemo.ui.workbench import Plan, Workbench, create_workbench

PLAN = Plan(
    TASK,
    COMPACT_ENCODER,
    first_example="tower",
    creators={
        OPTIMISE: ("Optimise", create_optimise),
        ONE_PASS: ("One pass", create_one_pass),
        RACE: ("Race", create_race),
        GAN: ("GAN corner", create_gan),
    },
    video="Stylise the video",
    partner=PARTNER,
    more=create_blend,
    kind="encoder",
    model_label="Feature network, which the losses look through",
)


def create_style_tab(shell: Any, user_limit: int) -> Workbench:
    """Build the tab inside the current ``gr.Tab``; arguments as in ``create_workbench``."""
    return create_workbench(PLAN, shell, user_limit)
