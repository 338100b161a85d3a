"""What a pointer said last, for components whose events come faster than they are answered.

Where Gradio holds events back (``trigger_mode="always_last"``) it makes up for them with the inputs' newest values but
with the data of the event that was running: a drag over a slow connection would end where it was a moment before. What
a pointer says therefore travels as the value of a hidden component, and handlers take that as an input.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

_TEMPLATE = '<i class="said"></i>'
_SCRIPT = """
element.addEventListener("said", (event) => { props.value = event.detail; trigger("input"); });
"""


def pointer(elem_id: str) -> gr.HTML:
    """The hidden component beside the one of that name. Its value is what was said; ``input`` fires with that.

    Listen with ``trigger_mode="always_last"``: what was said last is then answered, however slow the way to the server.
    """
    return gr.HTML(
        None, html_template=_TEMPLATE, js_on_load=_SCRIPT, elem_id=_id(elem_id), visible="hidden",
        apply_default_css=False,
    )  # fmt: skip


def teller(elem_id: str) -> str:
    """A line of JavaScript that defines ``tell(data)`` for the component of that name, whose pointer is ``pointer``."""
    return (
        f'const tell = (data) => document.querySelector("#{_id(elem_id)} .said")'
        '?.dispatchEvent(new CustomEvent("said", { bubbles: true, detail: data }));\n'
    )


def _id(elem_id: str) -> str:
    return f"{elem_id}-pointer"


def said(value: Any, key: str) -> Any:
    """One thing of what was said, None where a request claims something else."""
    return value.get(key) if isinstance(value, dict) else None
