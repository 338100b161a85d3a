"""The Compare view: two pictures, the faces in them, and a verdict that a threshold decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from cvdemo.core.errors import CvDemoError
from cvdemo.faces import predict
from cvdemo.faces.tab_shared import COMPARE, look_of, timing_line
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import status, trouble
from cvdemo.ui.views import Refresh, Shared, View


def create_compare_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    line = gr.HTML(status(), elem_id="compare-status")
    return View(COMPARE, refresh=Refresh(_run, [shared.picture, shared.second, shared.model], [line]))


def _run(request: gr.Request, first: str | None, second: str | None, model: str) -> Iterator[Any]:
    user = session_of(request)
    try:
        looks = [look_of(user, path, model) for path in (first, second)]
        for look in looks:
            if look.trouble is not None:
                raise look.trouble
        one, two = (look.inference for look in looks)
        assert one is not None
        assert two is not None
        yield status(predict.compare(one, two).sentence(), timing_line(*looks))
    except CvDemoError as error:
        yield trouble(error)
