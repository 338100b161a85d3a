"""The plane of the GAN corner: a picture on which real points are drawn with a pen, a finger or the arrow keys.

Its value is {"src", "alt"}. When the pen is lifted, or Enter is pressed on the cross that the arrow keys move, it
triggers ``select`` with {"points": [[x, y], …]}, shares of the picture's sides from the top left.
"""

from __future__ import annotations

import html

import gradio as gr

_TEMPLATE = """
<figure class="viewer plane" aria-live="off" tabindex="0" role="application" aria-label="LABEL"><img alt=""
draggable="false"><svg viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true"></svg><i class="cross"></i>
<div class="empty">EMPTY</div></figure>
"""
LABEL = "Plane of points. Draw real points with the mouse, or move the cross with the arrow keys and press Enter."

CSS = """
.plane { cursor: crosshair; touch-action: none; aspect-ratio: 1; height: auto !important; width: 100%; }
.plane img { user-select: none; }
.plane svg { position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none; }
.plane svg circle { fill: #0b62b8; stroke: #fff; stroke-width: 0.002; }
.plane .cross { position: absolute; display: none; width: 26px; height: 26px; margin: -13px 0 0 -13px;
  pointer-events: none; background: linear-gradient(#000, #000) center / 2px 100% no-repeat,
  linear-gradient(#000, #000) center / 100% 2px no-repeat; outline: 1px solid #fff; }
.plane:focus-visible .cross { display: block; }
"""

_SCRIPT = """
let newest = 0, stroke = null, cross = [0.5, 0.5], sent = false;
const figure = () => element.querySelector(".viewer");
const marks = () => element.querySelector("svg");
const place = (event) => {
  const box = figure().getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
};
const add = (at) => {
  if (at.some((share) => share < 0 || share > 1) || stroke.length >= 300) return;
  const last = stroke[stroke.length - 1];
  if (last && Math.hypot(last[0] - at[0], last[1] - at[1]) < 0.018) return;
  stroke.push(at.map((share) => Number(share.toFixed(4))));
  const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  dot.setAttribute("cx", at[0]); dot.setAttribute("cy", at[1]); dot.setAttribute("r", 0.008);
  marks().append(dot);
};
const finish = () => {
  if (!stroke) return;
  const points = stroke;
  stroke = null; sent = true;
  if (points.length) trigger("select", { points });
};
const show = async () => {
  const value = props.value || {}, turn = ++newest, img = element.querySelector("img");
  if (!figure()) return;
  if (!value.src) { img.removeAttribute("src"); img.alt = ""; figure().classList.remove("full"); return; }
  const next = new Image();
  next.src = value.src;
  try { await next.decode(); } catch (_) { return; }
  if (turn !== newest) return;
  img.src = value.src; img.alt = value.alt || "";
  figure().classList.add("full");
  figure().dataset.shown = String(Number(figure().dataset.shown || 0) + 1);
  if (sent && !stroke) { marks().replaceChildren(); sent = false; }
};
const move = () => {
  const mark = element.querySelector(".cross");
  mark.style.left = 100 * cross[0] + "%"; mark.style.top = 100 * cross[1] + "%";
};
element.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  stroke = [];
  add(place(event));
  element.setPointerCapture(event.pointerId);
  event.preventDefault();
  figure().focus({ preventScroll: true, focusVisible: false });
});
element.addEventListener("pointermove", (event) => { if (stroke) add(place(event)); });
element.addEventListener("pointerup", finish);
element.addEventListener("pointercancel", finish);
element.addEventListener("keydown", (event) => {
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (way) {
    const step = event.shiftKey ? 0.1 : 0.02;
    cross = cross.map((share, axis) => Math.min(1, Math.max(0, share + way[axis] * step)));
    move();
  } else if (event.key === "Enter" || event.key === " ") {
    stroke = [];
    add(cross);
    finish();
  } else return;
  event.preventDefault();
});
watch("value", show);
move();
show();
"""


def plane(elem_id: str, empty: str) -> gr.HTML:
    """The component; ``empty`` says what to do while there is no picture."""
    template = _TEMPLATE.replace("EMPTY", html.escape(empty)).replace("LABEL", html.escape(LABEL))
    return gr.HTML(
        None, html_template=template, css_template=CSS, js_on_load=_SCRIPT, elem_id=elem_id, apply_default_css=False
    )
