"""The result picture: one ``<img>`` that is replaced only when the next picture is decoded, so it never flickers.

Pictures travel inside the answer as data URLs. Nothing is written to disk for them, so nothing has to be deleted
when the visitor leaves.
"""

from __future__ import annotations

import base64
import html
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.core.errors import Cancelled, CvDemoError
from cvdemo.core.lazy import cv2
from cvdemo.core.media import encode_picture

DISPLAY_SIDE = 1280  # longest side sent to the browser; downloads are always full size

_TEMPLATE = """
<figure class="viewer" aria-live="off"><img alt=""><div class="empty">EMPTY</div></figure>
"""

# ``value`` is {"src", "alt"}. A newer picture overtakes an older one that is still being decoded.
_SCRIPT = """
let newest = 0;
const show = async () => {
  const value = props.value, turn = ++newest;
  const figure = element.querySelector(".viewer");
  if (!figure) return;
  const img = figure.querySelector("img");
  if (!value || !value.src) {
    img.removeAttribute("src");
    img.alt = "";
    figure.classList.remove("full", "busy");
    return;
  }
  const next = new Image();
  next.src = value.src;
  try { await next.decode(); } catch (_) { return; }
  if (turn !== newest) return;
  img.src = value.src;
  img.alt = value.alt || "";
  figure.classList.add("full");
  figure.classList.remove("busy");
  figure.dataset.shown = String(Number(figure.dataset.shown || 0) + 1);
};
watch("value", show);
show();
"""


def viewer(elem_id: str, empty: str) -> gr.HTML:
    """A result picture of stable size; ``empty`` says what to do while there is none."""
    return gr.HTML(
        None,
        html_template=_TEMPLATE.replace("EMPTY", html.escape(empty)),
        js_on_load=_SCRIPT,
        elem_id=elem_id,
        apply_default_css=False,
    )


def display_copy(pixels: np.ndarray, side: int = DISPLAY_SIDE) -> tuple[np.ndarray, float]:
    """The picture at most ``side`` pixels long, and the scale it was shrunk by (1.0 when it fits)."""
    scale = min(1.0, side / max(pixels.shape[:2]))
    if scale == 1.0:
        return pixels, 1.0
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), scale


def shown(pixels: np.ndarray, alt: str, quality: int = 88) -> dict[str, Any]:
    """The viewer's value for (H, W, 3) uint8 RGB and its description for screen readers."""
    data = base64.b64encode(encode_picture(pixels, "jpeg", quality=quality)).decode()
    return {"src": f"data:image/jpeg;base64,{data}", "alt": alt}


def status(sentence: str = "", timing: str = "", *, announce: bool = True) -> str:
    """The line under the result: one sentence and the timings. Live pictures do not announce every frame."""
    role = ' role="status" aria-live="polite"' if announce else ""
    return (
        f'<div class="status"><div class="sentence"{role}>{html.escape(sentence)}</div>'
        f'<div class="timing">{html.escape(timing)}</div></div>'
    )


def problem(message: str) -> str:
    """The line under the result when something went wrong: what happened and what to do."""
    return f'<div class="status"><div class="problem" role="alert">{html.escape(message)}</div></div>'


def trouble(error: CvDemoError) -> str:
    """The line for an error; that the visitor stopped the work is none."""
    return status("Stopped", error.hint) if isinstance(error, Cancelled) else problem(str(error))


def working(text: str, fraction: float | None) -> str:
    """The line under the result while something takes longer than a moment."""
    bar = "<progress></progress>" if fraction is None else f'<progress max="1" value="{fraction:.3f}"></progress>'
    share = "" if fraction is None else f" {fraction:.0%}"
    return f'<div class="status"><div class="sentence" role="status">{bar} {html.escape(text)}{share}</div></div>'
