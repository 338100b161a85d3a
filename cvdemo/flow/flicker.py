"""A result picture that can be swapped with another one, by hand or by itself: what moved jumps, what fits stays.

Swapping is the browser's own work. The bar under the picture is there only while there are two pictures.
"""

from __future__ import annotations

import html
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.ui.viewer import shown

_TEMPLATE = """
<figure class="viewer flicker" aria-live="off"><img class="one" alt=""><img class="two" alt="">
<div class="swap"><span class="name" role="status"></span><button type="button" class="step">Swap</button>
<label><input type="checkbox" class="run"> Flicker</label></div>
<div class="empty">EMPTY</div></figure>
"""

_CSS = """
.flicker img { position: absolute; inset: 0; transition: none; }
.flicker img.two { visibility: hidden; }
.flicker.second img.two { visibility: visible; }
.flicker.second img.one { visibility: hidden; }
.flicker .swap { position: absolute; left: 12px; bottom: 8px; display: none; align-items: center; gap: 12px;
  padding: 4px 14px; border-radius: 999px; background: #000b; color: #fff; font-size: 15px; }
.flicker.full.double .swap { display: flex; }
.flicker .swap .name { min-width: 13em; font-weight: 600; }
.flicker .swap button { padding: 2px 12px; border: 1px solid #fff; border-radius: 999px; background: transparent;
  color: #fff; font: inherit; cursor: pointer; }
.flicker .swap label { display: flex; align-items: center; gap: 6px; cursor: pointer; }
.flicker .swap input { accent-color: #e69f00; width: 18px; height: 18px; }
.projector .flicker .swap { font-size: 20px; }
@media (max-width: 760px) { .flicker .swap { left: 4px; right: 4px; gap: 6px; padding: 2px 8px; font-size: 13px; }
  .flicker .swap .name { min-width: 0; flex: 1; } }
"""

# ``value`` is {"src", "alt", "other", "names": [first, second]}.
_SCRIPT = """
let newest = 0, timer = 0;
const figure = () => element.querySelector(".viewer");
const part = (name) => element.querySelector(name);
const show_second = (on) => {
  const names = (props.value && props.value.names) || ["", ""];
  figure().classList.toggle("second", on);
  part(".name").textContent = names[on ? 1 : 0];
};
const swap = () => show_second(!figure().classList.contains("second"));
const pace = () => {
  clearInterval(timer);
  const on = part(".run").checked && figure().classList.contains("double");
  part(".name").setAttribute("role", on ? "presentation" : "status");
  if (on) timer = setInterval(swap, 500);
};
const loaded = async (src) => { const img = new Image(); img.src = src; await img.decode(); };
const show = async () => {
  const value = props.value, turn = ++newest;
  if (!figure()) return;
  if (!value || !value.src) {
    for (const name of ["img.one", "img.two"]) { part(name).removeAttribute("src"); part(name).alt = ""; }
    figure().classList.remove("full", "busy", "double", "second");
    pace();
    return;
  }
  try { await Promise.all([loaded(value.src), value.other ? loaded(value.other) : null]); } catch (_) { return; }
  if (turn !== newest) return;
  part("img.one").src = value.src;
  part("img.one").alt = value.alt || "";
  if (value.other) part("img.two").src = value.other; else part("img.two").removeAttribute("src");
  const double = Boolean(value.other), was = figure().classList.contains("double");
  figure().classList.toggle("double", double);
  if (!double || !was) show_second(false); else show_second(figure().classList.contains("second"));
  figure().classList.add("full");
  figure().classList.remove("busy");
  figure().dataset.shown = String(Number(figure().dataset.shown || 0) + 1);
  pace();
};
part(".step").addEventListener("click", () => { part(".run").checked = false; pace(); swap(); });
part(".run").addEventListener("change", pace);
watch("value", show);
show();
"""


def flicker_viewer(elem_id: str, empty: str) -> gr.HTML:
    """The component; ``empty`` says what to do while there is no picture."""
    return gr.HTML(
        None,
        html_template=_TEMPLATE.replace("EMPTY", html.escape(empty)),
        css_template=_CSS,
        js_on_load=_SCRIPT,
        elem_id=elem_id,
        apply_default_css=False,
    )


def flickering(
    pixels: np.ndarray, alt: str, other: np.ndarray | None = None, names: tuple[str, str] = ("", ""), quality: int = 88
) -> dict[str, Any]:
    """The viewer's value for (H, W, 3) uint8 RGB and the picture it can be swapped with; names: what each one is."""
    second = "" if other is None else shown(other, "", quality)["src"]
    return {**shown(pixels, alt, quality), "other": second, "names": list(names)}
