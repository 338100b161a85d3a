"""Downloads: a file is made when its button is pressed, then handed to a link that is off the screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from cvdemo.core.errors import CvDemoError
from cvdemo.core.files import written_whole
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.views import QUICK

Make = Callable[..., tuple[str, bytes]]


def hidden_link(elem_id: str) -> Any:
    """The link that hands the files over; the page's script presses it."""
    return gr.DownloadButton("Download", elem_id=elem_id, elem_classes="off-screen")


def wire_downloads(buttons: Mapping[str, Any], hidden: Any, inputs: Sequence[Any], make: Make) -> None:
    """Have each button make its file and hand it over by ``hidden``.

    buttons: by the kind of file.   make(session, kind, *values of the inputs): the file's name and content; raises
    CvDemoError, whose words are shown, where there is nothing to make it of.   hidden: of ``hidden_link``.
    """
    press = f"() => setTimeout(() => window.cvdemo.clickHidden('{hidden.elem_id}'), 150)"

    def maker(kind: str) -> Callable[..., str]:
        def handed_over(request: gr.Request, *values: Any) -> str:
            user = session_of(request)
            try:
                name, content = make(user, kind, *values)
                path = files.make(user, name)
                with written_whole(path) as part:
                    part.write_bytes(content)
            except CvDemoError as error:
                raise gr.Error(str(error), print_exception=False) from error
            return str(path)

        return handed_over

    for kind, button in buttons.items():
        made = button.click(maker(kind), list(inputs), hidden, **QUICK)
        made.success(None, None, None, js=press, **QUICK)
