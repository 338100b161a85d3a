"""What the views of the Segmentation tab share: their names, the legend, and networks that run once a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.media import Picture
from cvdemo.segmentation.draw import Colour
from cvdemo.segmentation.overlay_view import LegendRow, Look, OverlaySettings
from cvdemo.segmentation.predict import infer
from cvdemo.ui.layered_viewer import layer_source
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.viewer import display_copy
from cvdemo.ui.widgets import read_settings

OVERLAY, COMPARE, TRUTH, UPSAMPLING = "overlay", "compare", "truth", "upsampling"
LIVE_SIDE = 960  # longest side of a webcam frame on the page
MAIN = ("show", "opacity", "outline", "background")
NETWORK = ("temperature", "min_confidence", "min_region")
BEHIND = ("background_colour", "blur")
OBJECTS = ("score_threshold", "mask_threshold", "max_instances", "show_labels")
NAMES = (*MAIN, *NETWORK, *BEHIND, *OBJECTS, "classes")
NO_PICTURE = "Choose the picture that goes behind: More, Picture for the background."

_LEGEND_CSS = """
.class-legend { display: flex; flex-wrap: wrap; gap: 6px 10px; list-style: none; margin: 4px 0; padding: 0;
  min-height: 40px; }
.class-legend li { display: flex; align-items: center; margin: 0; border: 1px solid var(--border-color-primary);
  border-radius: 999px; overflow: hidden; background: var(--block-background-fill); }
.class-legend input { width: 34px; height: 34px; border: none; padding: 5px 0 5px 8px; background: none;
  cursor: pointer; }
.class-legend button { display: flex; gap: 8px; padding: 6px 14px 6px 8px; font-size: 15px; align-items: baseline;
  background: none; color: inherit; cursor: pointer; font-variant-numeric: tabular-nums; }
.class-legend b { font-weight: 600; }
.class-legend [aria-pressed="false"] { opacity: 0.62; }
.class-legend [aria-pressed="false"] b { text-decoration: line-through; font-weight: 400; }
.class-legend span { color: var(--body-text-color-subdued); }
.projector .class-legend button { font-size: 20px; }
"""

# Lines are changed in place, so that the keyboard's focus and an open colour chooser survive an update.
_LEGEND_SCRIPT = """
const show = () => {
  const list = element.querySelector(".class-legend"), rows = (props.value && props.value.rows) || [];
  if (!list) return;
  while (list.children.length > rows.length) list.lastChild.remove();
  rows.forEach((row, i) => {
    let item = list.children[i];
    if (!item) {
      item = document.createElement("li");
      item.innerHTML = '<input type="color"><button type="button"><b></b><span></span></button>';
      list.append(item);
    }
    const [ink, button] = item.children;
    item.dataset.name = row.name;
    ink.style.display = row.hex ? "" : "none";
    if (document.activeElement !== ink || ink.value !== row.hex) ink.value = row.hex || "#000000";
    ink.setAttribute("aria-label", "Colour of " + row.name);
    ink.title = "Choose another colour";
    button.title = row.shown ? "Hide this class" : "Show this class";
    button.setAttribute("aria-pressed", String(row.shown));
    button.querySelector("b").textContent = row.name;
    button.querySelector("span").textContent = row.words;
  });
};
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) trigger("click", {toggle: button.parentElement.dataset.name});
});
element.addEventListener("change", (event) => {
  if (event.target.type !== "color") return;
  event.stopPropagation();
  trigger("click", {colour: event.target.parentElement.dataset.name, value: event.target.value});
});
watch("value", show);
show();
"""


def class_legend(elem_id: str) -> gr.HTML:
    """The classes as lines to press; a click event's data holds {"toggle": name} or {"colour": name, "value": hex}."""
    return gr.HTML(
        None, html_template='<ul class="class-legend"></ul>', css_template=_LEGEND_CSS, js_on_load=_LEGEND_SCRIPT,
        elem_id=elem_id, apply_default_css=False,
    )  # fmt: skip


def legend_value(rows: Sequence[LegendRow]) -> dict[str, Any]:
    """The legend's value."""
    return {"rows": [{"name": r.name, "hex": r.hex, "words": r.words, "shown": r.shown} for r in rows]}


def options(user: str, how: tuple[Any, ...]) -> tuple[OverlaySettings, Any, dict[str, Colour], np.ndarray | None]:
    """Settings, pixel, colours and background picture from the values of the view; CvDemoError where unusable."""
    place, colours, path, *values = how
    settings: OverlaySettings = read_settings(OverlaySettings, NAMES, values)
    behind = None
    if settings.background == "picture":
        if not path:
            raise InputError("There is no picture for the background yet.", hint=NO_PICTURE)
        behind = picture_of(user, path).pixels
    return settings, place, colours, behind


def key_of(picture: Picture, model: str) -> tuple[str, str, str]:
    """Where a session keeps the look of a model at a picture."""
    return "segmentation", picture.fingerprint, model


def look_of(session: str, picture: Picture, model: str, **watch: Any) -> Look:
    """What a model makes of a picture; a network that has seen it is not run again.

    watch: ``progress`` and ``cancel``.   Errors as in ``predict.infer``.
    """

    def make() -> Look:
        display = display_copy(picture.pixels)[0]
        return Look.of(picture, display, infer(picture, model, user=session, **watch), layer_source(display))

    return memory_of(session).recall(key_of(picture, model), make)


def look_at(picture: Picture, model: str, session: str) -> Look:
    """As ``look_of`` for pictures that come only once, such as webcam frames."""
    return Look.of(picture, display_copy(picture.pixels, LIVE_SIDE)[0], infer(picture, model, user=session))
