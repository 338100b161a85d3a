"""A result picture that answers the mouse: the nearest joint under it, or a rectangle drawn on it.

Its value is {"src", "alt", "joints": [[x, y, index], …], "paint": bool}, places as shares of the picture's sides. Its
pointer (see ``pointer``) says {"joint"} when another joint is nearest to it; it triggers ``select`` with {"x1", "y1",
"x2", "y2"} when a rectangle was dragged, and ``click`` with {"x", "y"} for a click while painting.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.ui.pointer import teller
from cvdemo.ui.viewer import shown

_TEMPLATE = """
<figure class="viewer canvas" aria-live="off"><img alt="" draggable="false"><div class="rubber" hidden></div>
<div class="empty">EMPTY</div></figure>
"""

CSS = """
.canvas.paint { cursor: crosshair; touch-action: none; }
.canvas.pick { cursor: pointer; }
.canvas img { user-select: none; }
.canvas .rubber { position: absolute; border: 3px dashed #f0e442; outline: 1px solid #141414; pointer-events: none; }
.canvas .rubber[hidden] { display: none; }
"""

_SCRIPT = """
let newest = 0, near = -1, start = null, asked = 0;
const value = () => props.value || {};
const inside = (event) => {
  const img = element.querySelector("img"), box = img.getBoundingClientRect();
  const scale = Math.min(box.width / img.naturalWidth, box.height / img.naturalHeight) || 1;
  const wide = img.naturalWidth * scale, high = img.naturalHeight * scale;
  const left = box.left + (box.width - wide) / 2, top = box.top + (box.height - high) / 2;
  return { x: (event.clientX - left) / wide, y: (event.clientY - top) / high, left, top, wide, high };
};
const within = (share) => Math.min(Math.max(share, 0), 1);
const show = async () => {
  const now = value(), turn = ++newest;
  const figure = element.querySelector(".viewer"), img = figure && figure.querySelector("img");
  if (!figure) return;
  figure.classList.toggle("paint", Boolean(now.paint));
  figure.classList.toggle("pick", Boolean(now.joints && now.joints.length && !now.paint));
  if (!now.src) {
    img.removeAttribute("src"); img.alt = ""; figure.classList.remove("full", "busy");
    return;
  }
  const next = new Image();
  next.src = now.src;
  try { await next.decode(); } catch (_) { return; }
  if (turn !== newest) return;
  img.src = now.src; img.alt = now.alt || "";
  figure.classList.add("full"); figure.classList.remove("busy");
  figure.dataset.shown = String(Number(figure.dataset.shown || 0) + 1);
};
const pick = (event) => {
  const joints = value().joints || [];
  if (value().paint || !joints.length) return;
  const at = inside(event);
  let best = -1, reach = 26;
  for (const [x, y, index] of joints) {
    const away = Math.hypot((x - at.x) * at.wide, (y - at.y) * at.high);
    if (away < reach) { best = index; reach = away; }
  }
  if (best < 0 || best === near) return;
  near = best;
  tell({ joint: best });
};
const rubber = (a, b) => {
  const box = element.querySelector(".rubber"), figure = element.querySelector(".viewer").getBoundingClientRect();
  box.hidden = false;
  box.style.left = (b.left - figure.left + Math.min(a.x, b.x) * b.wide) + "px";
  box.style.top = (b.top - figure.top + Math.min(a.y, b.y) * b.high) + "px";
  box.style.width = Math.abs(a.x - b.x) * b.wide + "px";
  box.style.height = Math.abs(a.y - b.y) * b.high + "px";
};
element.addEventListener("pointermove", (event) => {
  if (start) rubber(start, inside(event));
  else if (event.timeStamp - asked > 60) { asked = event.timeStamp; pick(event); }
});
element.addEventListener("pointerdown", (event) => {
  if (!value().src) return;
  if (!value().paint) { near = -1; pick(event); return; }
  start = inside(event);
  element.setPointerCapture(event.pointerId);
  event.preventDefault();
});
element.addEventListener("pointerup", (event) => {
  if (!start) return;
  const a = start, b = inside(event);
  start = null;
  element.querySelector(".rubber").hidden = true;
  const dragged = Math.abs(a.x - b.x) > 0.02 && Math.abs(a.y - b.y) > 0.02;
  if (dragged) trigger("select", { x1: within(a.x), y1: within(a.y), x2: within(b.x), y2: within(b.y) });
  else trigger("click", { x: within(b.x), y: within(b.y) });
});
element.addEventListener("pointercancel", () => { start = null; element.querySelector(".rubber").hidden = true; });
watch("value", show);
show();
"""


def canvas(elem_id: str, empty: str) -> gr.HTML:
    """The component; ``empty`` says what to do while there is no picture."""
    return gr.HTML(
        None,
        html_template=_TEMPLATE.replace("EMPTY", html.escape(empty)),
        css_template=CSS,
        js_on_load=teller(elem_id) + _SCRIPT,
        elem_id=elem_id,
        apply_default_css=False,
    )


def on_canvas(
    pixels: np.ndarray, alt: str, joints: Sequence[tuple[float, float, int]] = (), *, paint: bool = False,
    quality: int = 88,
) -> dict[str, Any]:  # fmt: skip
    """The canvas's value for (H, W, 3) uint8 RGB; joints: (x, y, index), places as shares of the picture's sides."""
    places = [[round(x, 4), round(y, 4), index] for x, y, index in joints]
    return {**shown(pixels, alt, quality), "joints": places, "paint": paint}
