"""A drawing whose points can be moved: dragged with the pointer, or stepped with the arrow keys.

Its value is {"svg"}: an SVG element in which everything that moves is a ``<g data-point="…" tabindex="0">`` placed by
``transform="translate(x y)"`` in units of the view box; text takes its colour from the property ``--ink``. While a
point is moved its ``pointer`` says {"point", "x", "y"}; ``select`` is triggered with {"point"} when one is chosen
without being moved. Places are shares of the drawing's sides.
"""

from __future__ import annotations

import html
from typing import Any

import gradio as gr

from cvdemo.ui.pointer import said, teller

_TEMPLATE = '<figure class="plane" aria-live="off"><div class="drawing"></div></figure>'

CSS = """
.plane { margin: 0; width: 100%; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary); border-radius: var(--radius-lg); overflow: hidden; }
.plane svg { display: block; width: 100%; height: auto; max-height: min(62vh, 640px); user-select: none; }
.plane text { font-size: 16px; fill: var(--ink, var(--body-text-color)); font-variant-numeric: tabular-nums; }
.plane .plate { paint-order: stroke; stroke: var(--background-fill-secondary); stroke-width: 4px; }
.plane [data-point] { cursor: grab; outline: none; touch-action: none; }
.plane [data-point]:focus-visible .halo { stroke: #e69f00; stroke-width: 4; }
.plane .halo { fill: transparent; stroke: none; }
.plane .axis { stroke: var(--border-color-primary); stroke-width: 1; }
.plane .soft { fill: none; stroke: var(--body-text-color-subdued); stroke-width: 1.5; }
.plane .dashed { stroke-dasharray: 7 6; }
"""

# While a point is dragged it stays under the pointer, whatever older answers still come in.
_SCRIPT = """
let held = null, asked = 0, moved = false;
const board = () => element.querySelector(".drawing");
const drawing = () => element.querySelector("svg");
const handle = (name) => element.querySelector(`[data-point="${name}"]`);
const clamp = (share) => Math.min(Math.max(share, 0.01), 0.99);
const place = (point) => {
  const group = handle(point.name), box = drawing().viewBox.baseVal;
  if (group) group.setAttribute("transform", `translate(${point.x * box.width} ${point.y * box.height})`);
};
const share = (event) => {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing().getScreenCTM().inverse());
  const box = drawing().viewBox.baseVal;
  return { x: clamp(at.x / box.width), y: clamp(at.y / box.height) };
};
const report = (point) => tell({ point: point.name, x: point.x, y: point.y });
const show = () => {
  const focused = document.activeElement?.closest?.("[data-point]");
  const name = focused && element.contains(focused) ? focused.dataset.point : null;
  board().innerHTML = (props.value || {}).svg || "";
  const figure = element.querySelector(".plane");
  figure.dataset.shown = String(Number(figure.dataset.shown || 0) + 1);
  if (name !== null) handle(name)?.focus({ preventScroll: true });
  if (held && moved) place(held);
};
element.addEventListener("pointerdown", (event) => {
  const group = event.target.closest("[data-point]");
  if (!group) return;
  held = { name: group.dataset.point, ...share(event) };
  moved = false;
  element.setPointerCapture(event.pointerId);
  group.focus({ preventScroll: true });
  event.preventDefault();
});
element.addEventListener("pointermove", (event) => {
  if (!held) return;
  const at = share(event), box = drawing().viewBox.baseVal;
  if (!moved && Math.hypot((at.x - held.x) * box.width, (at.y - held.y) * box.height) < 3) return;
  moved = true;
  held = { name: held.name, ...at };
  place(held);
  if (event.timeStamp - asked > 60) { asked = event.timeStamp; report(held); }
});
const drop = () => {
  if (!held) return;
  if (moved) report(held); else trigger("select", { point: held.name });
  held = null;
};
element.addEventListener("pointerup", drop);
element.addEventListener("pointercancel", drop);
element.addEventListener("keydown", (event) => {
  const group = event.target.closest("[data-point]");
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!group) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    trigger("select", { point: group.dataset.point });
    return;
  }
  if (!way) return;
  event.preventDefault();
  const box = drawing().viewBox.baseVal, far = (event.shiftKey ? 0.05 : 0.01) * box.width;
  const now = group.transform.baseVal.consolidate().matrix;
  const point = { name: group.dataset.point, x: clamp((now.e + way[0] * far) / box.width),
    y: clamp((now.f + way[1] * far) / box.height) };
  place(point);
  report(point);
});
watch("value", show);
show();
"""


def plane(elem_id: str) -> gr.HTML:
    """The component, empty until it is given a value made by ``drawn``."""
    return gr.HTML(
        None, html_template=_TEMPLATE, css_template=CSS, js_on_load=teller(elem_id) + _SCRIPT, elem_id=elem_id,
        apply_default_css=False,
    )  # fmt: skip


def drawn(svg: str) -> dict[str, Any]:
    """The plane's value for an SVG element."""
    return {"svg": svg}


def handle(name: str, x: float, y: float, label: str, body: str, reach: float = 22.0) -> str:
    """A point at (x, y) of the view box, drawn by ``body`` around its own origin.

    label: what a screen reader says.   reach: radius in which the pointer takes hold of it.
    """
    return (
        f'<g data-point="{html.escape(name)}" tabindex="0" role="button" aria-label="{html.escape(label)}" '
        f'transform="translate({x:.1f} {y:.1f})"><circle class="halo" r="{reach:g}"/>{body}</g>'
    )


def moved(value: Any) -> tuple[str, float, float] | None:
    """(name, x, y) of a point that was moved, places in shares; None for anything else a request claims."""
    name, x, y = (said(value, key) for key in ("point", "x", "y"))
    if isinstance(name, str) and isinstance(x, (int, float)) and isinstance(y, (int, float)):
        return name, min(max(float(x), 0.0), 1.0), min(max(float(y), 0.0), 1.0)
    return None
