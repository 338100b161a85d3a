"""Downloads: a file is made when its button is pressed, then handed to a link that is off the screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from cvdemo.core.errors import CvDemoError
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.views import QUICK

Make = Callable[..., tuple[str, bytes]]


def hidden_link(elem_id: str) -> Any:
    """The link that hands the files over; the page's script presses it."""
    return gr.DownloadButton("Download", elem_id=elem_id, elem_classes="off-screen")


def wire_downloads(buttons: Mapping[str, Any], hidden: Any, inputs: Sequence[Any], make: Make) -> None:
    """Have each button make its file and hand it over by ``hidden``.

    buttons: by the kind of file.   make(session, kind, *values of the inputs) -> file name and content; raises
    CvDemoError (or gr.Error), whose words are shown, where there is nothing to make it of.
    """
    press = f"() => setTimeout(() => window.cvdemo.clickHidden('{hidden.elem_id}'), 150)"

    def maker(kind: str) -> Callable[..., Any]:
        def handed_over(request: gr.Request, *values: Any) -> Any:
            user = session_of(request)
            try:
                name, content = make(user, kind, *values)
            except CvDemoError as error:
                raise gr.Error(str(error), print_exception=False) from error
            path = files.make(user, name)
            path.write_bytes(content)
            return gr.DownloadButton(value=str(path))

        return handed_over

    for kind, button in buttons.items():
        made = button.click(maker(kind), list(inputs), hidden, **QUICK)
        made.success(None, None, None, js=press, **QUICK)
