"""A result picture over the untouched one, with a slider that moves the edge between them, and pixels to point at.

Two layers in one HTML component and a plain range input: moving it is the browser's own work. Pressing a place of the
picture, or moving there with the arrow keys, fires the component's click event with the pixel's column and row.
"""

from __future__ import annotations

import html
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.ui.viewer import shown

_TEMPLATE = """
<figure class="viewer layered KIND" aria-live="off" TAB>
<img class="after" alt=""><img class="before" alt=""><i class="edge"></i><i class="point"></i>
<label class="wipe"><span>BEFORE</span><input type="range" min="0" max="100" step="0.5" value="0"
 aria-label="BEFORE on the left, AFTER on the right: place of the edge in per cent"><span>AFTER</span></label>
<div class="empty">EMPTY</div></figure>
"""

_CSS = """
.layered.pick { cursor: crosshair; }
.layered img { position: absolute; inset: 0; }
.layered img.before { clip-path: inset(0 100% 0 0); }
.layered .edge, .layered .point { position: absolute; display: none; pointer-events: none; }
.layered .edge { top: 0; bottom: 0; width: 2px; margin-left: -1px; background: #fff; box-shadow: 0 0 0 1px #0008; }
.layered .point { width: 18px; height: 18px; margin: -9px 0 0 -9px; border: 2px solid #fff; border-radius: 50%;
  box-shadow: 0 0 0 2px #000, inset 0 0 0 1px #000; }
.layered .wipe { position: absolute; left: 12px; right: 12px; bottom: 8px; display: none; align-items: center; gap: 8px;
  padding: 2px 10px; border-radius: 999px; background: #000a; color: #fff; font-size: 14px; cursor: default; }
.layered.full.double .wipe { display: flex; }
.layered .wipe input { flex: 1; accent-color: #e69f00; cursor: ew-resize; min-width: 0; }
"""

# ``value`` is {"src", "alt", "width", "height", "before"}; width and height are those of the picture that was analysed.
_SCRIPT = """
let newest = 0, size = null, place = null, waiting = 0, told = 0;
const figure = () => element.querySelector(".viewer");
const picture = (name) => element.querySelector("img." + name);
const frame = () => {
  const box = figure().getBoundingClientRect();
  const scale = Math.min(figure().clientWidth / size[0], figure().clientHeight / size[1]);
  return {scale, left: (figure().clientWidth - size[0] * scale) / 2, top: (figure().clientHeight - size[1] * scale) / 2,
    x: box.left + figure().clientLeft, y: box.top + figure().clientTop};
};
const wipe = () => {
  if (!size) return;
  const share = Number(element.querySelector("input").value) / 100, to = frame();
  const at = to.left + share * size[0] * to.scale, edge = element.querySelector(".edge");
  const double = figure().classList.contains("double");
  picture("before").style.clipPath = `inset(0 ${Math.max(0, figure().clientWidth - at)}px 0 0)`;
  picture("before").style.visibility = double && share > 0 ? "visible" : "hidden";
  edge.style.display = double && share > 0 && share < 1 ? "block" : "none";
  edge.style.left = at + "px";
  // The slider lies under the picture, so that its handle is where the edge is; on narrow ones it needs more room.
  const slack = Math.max(0, Math.min(to.left - 60, (figure().clientWidth - 320) / 2));
  element.querySelector(".wipe").style.left = element.querySelector(".wipe").style.right = 12 + slack + "px";
};
const mark = () => {
  const point = element.querySelector(".point");
  point.style.display = place && size ? "block" : "none";
  if (!place || !size) return;
  const to = frame();
  point.style.left = to.left + (place[0] + 0.5) * to.scale + "px";
  point.style.top = to.top + (place[1] + 0.5) * to.scale + "px";
};
const tell = () => {
  mark();
  clearTimeout(waiting);
  told = Date.now();
  const [x, y] = place;
  waiting = setTimeout(() => trigger("click", {x, y}), 40);
};
const show = async () => {
  const value = props.value, turn = ++newest;
  if (!figure()) return;
  if (!value || !value.src) {
    for (const name of ["after", "before"]) { picture(name).removeAttribute("src"); picture(name).alt = ""; }
    figure().classList.remove("full", "busy", "double");
    size = place = null;
    mark();
    return;
  }
  const next = new Image();
  next.src = value.src;
  try { await next.decode(); } catch (_) { return; }
  if (turn !== newest) return;
  const same = size && size[0] === value.width && size[1] === value.height;
  size = [value.width, value.height];
  // Pictures that were on their way when a place was pressed, as the camera's are, do not know of it yet.
  const late = same && Date.now() - told < 1500;
  if (!late) place = value.place || null;
  picture("after").src = value.src;
  picture("after").alt = value.alt || "";
  if (value.before) { if (picture("before").src !== value.before) picture("before").src = value.before; }
  figure().classList.toggle("double", Boolean(value.before));
  figure().classList.add("full");
  figure().classList.remove("busy");
  figure().dataset.shown = String(Number(figure().dataset.shown || 0) + 1);
  wipe();
  mark();
};
element.addEventListener("input", (event) => {
  if (event.target.type === "range") { event.stopPropagation(); wipe(); }
});
element.addEventListener("click", (event) => {
  if (!size || !figure().classList.contains("pick") || event.target.closest(".wipe")) return;
  const to = frame();
  const x = Math.floor((event.clientX - to.x - to.left) / to.scale);
  const y = Math.floor((event.clientY - to.y - to.top) / to.scale);
  if (x < 0 || y < 0 || x >= size[0] || y >= size[1]) return;
  place = [x, y];
  tell();
});
element.addEventListener("keydown", (event) => {
  const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  if (!way || !size || !figure().classList.contains("pick") || event.target.closest(".wipe")) return;
  event.preventDefault();
  const step = Math.max(1, Math.round(Math.max(...size) * (event.shiftKey ? 0.05 : 0.01)));
  place = place || [size[0] >> 1, size[1] >> 1];
  place = place.map((value, axis) => Math.min(size[axis] - 1, Math.max(0, value + way[axis] * step)));
  tell();
});
new ResizeObserver(() => { wipe(); mark(); }).observe(element);
watch("value", show);
show();
"""


def layered_viewer(
    elem_id: str, empty: str, before: str = "Before", after: str = "After", *, pick: bool = True
) -> gr.HTML:
    """A result picture of stable size over another one; ``empty`` says what to do while there is none.

    before, after: the words at the ends of the slider.   pick: whether places can be pointed at. A click listener's
    ``gr.EventData`` holds {"x", "y"}.
    """
    words = {"EMPTY": empty, "BEFORE": before, "AFTER": after, "KIND": "pick" if pick else ""}
    template = _TEMPLATE.replace("TAB", 'tabindex="0"' if pick else "")
    for name, text in words.items():
        template = template.replace(name, html.escape(text))
    return gr.HTML(
        None, html_template=template, css_template=_CSS, js_on_load=_SCRIPT, elem_id=elem_id, apply_default_css=False
    )


def layers(
    after: np.ndarray,
    alt: str,
    size: tuple[int, int],
    before: str = "",
    quality: int = 88,
    place: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """The layered viewer's value.

    Args:
        after: (H, W, 3) uint8 RGB, the result. alt: its description for screen readers.
        size: (width, height) of the picture whose pixels are pointed at; it may be larger than what is shown.
        before: the other layer as ``layer_source`` returns it; "" for none, which hides the slider.
        place: the pixel that is marked, None for none.
    """
    marked = list(place) if place is not None else None
    return {
        **shown(after, alt, quality), "width": size[0], "height": size[1], "before": before, "place": marked
    }  # fmt: skip


def layer_source(pixels: np.ndarray, quality: int = 85) -> str:
    """(H, W, 3) uint8 RGB as the lower layer; worth keeping where it is shown again."""
    return str(shown(pixels, "", quality)["src"])


def pressed_place(data: Any) -> tuple[int, int] | None:
    """Column and row from a click event's data, which anybody may have made up; None when there is none."""
    values = data if isinstance(data, dict) else {}
    x, y = values.get("x"), values.get("y")
    ok = all(isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e6 for value in (x, y))
    return (int(x), int(y)) if ok else None  # type: ignore[arg-type]
