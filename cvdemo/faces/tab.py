"""The Faces tab: two pictures or the camera, and views of what an embedding network makes of them."""

from __future__ import annotations

from typing import Any

from cvdemo.faces.embedder import SPEC
from cvdemo.faces.examples import example_pairs
from cvdemo.faces.predict import DEFAULT_MODEL, TASK
from cvdemo.faces.tab_compare import create_compare_view
from cvdemo.faces.tab_gallery import create_gallery_view
from cvdemo.faces.tab_losses import create_losses_view
from cvdemo.faces.tab_retrieval import create_retrieval_view
from cvdemo.faces.tab_shared import COMPARE, GALLERY, LOSSES, RETRIEVAL, SIMCLR
from cvdemo.faces.tab_simclr import create_simclr_view
from cvdemo.ui.workbench import Plan, Workbench, create_workbench

PLAN = Plan(
    TASK,
    DEFAULT_MODEL,
    first_example="altered",
    creators={
        COMPARE: ("Compare", create_compare_view),
        GALLERY: ("Gallery", create_gallery_view),
        LOSSES: ("Losses", create_losses_view),
        SIMCLR: ("SimCLR", create_simclr_view),
        RETRIEVAL: ("Retrieval", create_retrieval_view),
    },
    pairs=example_pairs,
    pair_labels=("First picture", "Second picture"),
    family=SPEC.family,
)


def create_faces_tab(shell: Any, user_limit: int) -> Workbench:
    """Build the tab inside the current ``gr.Tab``; arguments as in ``create_workbench``."""
    return create_workbench(PLAN, shell, user_limit)
