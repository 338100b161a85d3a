"""The Overlay view: classes or objects over the picture, the background behind them, and any pixel's probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import Picture
from cvdemo.segmentation import overlay_tables as tables
from cvdemo.segmentation import overlay_view as view
from cvdemo.segmentation import tab_shared as shared_parts
from cvdemo.segmentation.overlay_view import EXPORTS, Look, OverlaySettings
from cvdemo.segmentation.tab_shared import (
    BEHIND,
    MAIN,
    NAMES,
    NETWORK,
    OBJECTS,
    OVERLAY,
    class_legend,
    key_of,
    legend_value,
    options,
)
from cvdemo.segmentation.tab_video import CLIP, NO_CLIP, create_video
from cvdemo.ui.background import Done, follow
from cvdemo.ui.downloads import hidden_link, wire_downloads
from cvdemo.ui.layered_viewer import layered_viewer, layers, pressed_place
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import status, trouble, working
from cvdemo.ui.views import QUICK, LiveView, Refresh, Shared, View
from cvdemo.ui.widgets import (
    address_script,
    picture_file,
    read_settings,
    settings_components,
    video_file,
    widget_values,
)

LIVE = ("segmentation", "live")


@dataclass(frozen=True)
class Parts:
    """The view's components.

    current, place, colours: ``gr.State``: key of the look on show, the pixel asked about, chosen {class: colour}.
    """

    viewer: Any
    clip: Any
    status: Any
    scale: Any
    legend: Any
    pixel: Any
    settings: list[Any]
    behind: Any
    results: Any
    numbers: Any
    over_time: Any
    downloads: dict[str, Any]
    hidden: Any
    current: Any
    place: Any
    colours: Any

    @property
    def answer(self) -> list[Any]:
        """What shows one look: filled by ``drawn``."""
        return [self.viewer, self.status, self.scale, self.legend, self.pixel, self.results, self.numbers]

    @property
    def how(self) -> list[Any]:
        """What decides how a look is drawn: the arguments of ``drawn`` after the look."""
        return [self.place, self.colours, self.behind, *self.settings]


def create_overlay_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    _wire_controls(parts)
    _wire_legend(parts)
    _wire_pixels(parts)
    wire_downloads(parts.downloads, parts.hidden, [parts.current, *parts.how], _exported)
    outputs = [parts.current, *parts.answer]
    kept = [gr.skip()] * len(outputs)

    def run(request: gr.Request, path: str, model: str, *how: Any) -> Iterator[tuple[Any, ...]]:
        user = session_of(request)
        try:
            picture = picture_of(user, path)
            for event in follow(
                lambda progress, cancel: shared_parts.look_of(user, picture, model, progress=progress, cancel=cancel)
            ):
                if isinstance(event, Done):
                    yield key_of(picture, model), *drawn(user, event.value, how)
                else:
                    yield *kept[:2], working(event.text, event.fraction), *kept[3:]
        except CvDemoError as error:
            yield *kept[:2], trouble(error), *kept[3:]

    def step(user: str, picture: Picture, model: str, *how: Any) -> tuple[Any, ...]:
        look = shared_parts.look_at(picture, model, user)
        memory_of(user).put(LIVE, look)
        return LIVE, *drawn(user, look, how, live=True)

    return View(
        OVERLAY,
        live=LiveView(OVERLAY, step, parts.how, outputs),
        refresh=Refresh(run, [shared.picture, shared.model, *parts.how], outputs),
        settings=OverlaySettings,
        controls=dict(zip(NAMES, parts.settings)),
        video=create_video(shared, parts),
    )


def drawn(user: str, look: Look, how: tuple[Any, ...], live: bool = False) -> tuple[Any, ...]:
    """viewer, status, scale, legend, pixel, results, numbers of a look; ``how``: values of ``Parts.how``."""
    settings, place, colours, behind = options(user, how)
    made = view.render(look, settings, colours=colours, behind=behind)
    size = (look.picture.width, look.picture.height)
    picture = layers(made.pixels, described(settings, made.sentence), size, look.before, 80 if live else 88, place)
    return (
        picture,
        status(made.sentence, made.timing, announce=not live),
        tables.scale_html(settings, made.found),
        legend_value(made.legend),
        tables.pixel_html(look, settings, place),
        gr.skip() if live else tables.results_html(look, made.found, colours),
        gr.skip() if live else tables.numbers_html(look, made.found),
    )


def described(settings: OverlaySettings, sentence: str) -> str:
    """The picture in words, for screen readers."""
    what = {"overlay": "Segmentation", "confidence": "Map of confidence", "entropy": "Map of entropy"}[settings.show]
    return f"{what}: {sentence}"


def _components() -> Parts:
    result = layered_viewer(
        "segmentation-result", "The picture appears here with a colour for every class.", "Picture", "Result"
    )
    clip = video_file(label="Result", visible=False, interactive=False, elem_id="segmentation-result-clip")
    line = gr.HTML(status(), elem_id="segmentation-status")
    scale = gr.HTML(elem_id="segmentation-scale", apply_default_css=False)
    legend = class_legend("segmentation-legend")
    with gr.Row():
        settings = settings_components(OverlaySettings, MAIN)
    with gr.Row():
        settings |= settings_components(OverlaySettings, NETWORK)
    with gr.Accordion("More: background, objects, classes", open=False):
        with gr.Row():
            settings |= settings_components(OverlaySettings, BEHIND)
            behind = picture_file(
                label="Picture for the background", sources=["upload", "clipboard"], height=140,
                elem_id="segmentation-behind",
            )  # fmt: skip
        with gr.Row():
            settings |= settings_components(OverlaySettings, OBJECTS)
        settings |= settings_components(OverlaySettings, ["classes"])
    with gr.Tabs():
        with gr.Tab("A pixel"):
            pixel = gr.HTML(elem_id="segmentation-pixel", apply_default_css=False)
        with gr.Tab("Classes and objects"):
            results = gr.HTML(elem_id="segmentation-results", apply_default_css=False)
        with gr.Tab("Numbers"):
            numbers = gr.HTML(elem_id="segmentation-numbers", apply_default_css=False)
        with gr.Tab("Over time"):
            over_time = gr.HTML(NO_CLIP, elem_id="segmentation-over-time", apply_default_css=False)
        with gr.Tab("Download"):
            gr.Markdown("Pictures in full size: as shown, the class index of every pixel, or what is shown with alpha.")
            with gr.Row(equal_height=True):
                downloads = {kind: gr.Button(label, min_width=110) for kind, label in EXPORTS.items()}
                downloads["video"] = gr.Button("CSV of the video", min_width=110)
            hidden = hidden_link("segmentation-download")
    return Parts(
        result, clip, line, scale, legend, pixel, [settings[name] for name in NAMES], behind, results, numbers,
        over_time, downloads, hidden, gr.State(None), gr.State(None), gr.State({}),
    )  # fmt: skip


def _look(request: gr.Request, key: Any) -> tuple[str, Look | None]:
    user = session_of(request)
    return user, memory_of(user).get(key) if key is not None else None


def _wire_controls(parts: Parts) -> None:
    """Every control acts on logits and masks that are there."""

    def redraw(request: gr.Request, key: Any, *how: Any) -> tuple[Any, ...]:
        user, look = _look(request, key)
        kept = (gr.skip(),) * len(parts.answer)
        if look is None:
            return kept
        try:
            return drawn(user, look, how)
        except CvDemoError as error:
            return kept[0], trouble(error), *kept[2:]

    moved = [widget.input for widget in parts.settings] + [parts.behind.change, parts.colours.change]
    gr.on(moved, redraw, [parts.current, *parts.how], parts.answer, trigger_mode="always_last", **QUICK)


def _wire_legend(parts: Parts) -> None:
    """A line of the legend switches its class on or off, or gives it another colour."""
    classes = parts.settings[NAMES.index("classes")]

    def press(request: gr.Request, key: Any, *how: Any, event: gr.EventData) -> tuple[Any, ...]:
        user, look = _look(request, key)
        data = event._data if isinstance(event._data, dict) else {}
        kept = (gr.skip(),) * (2 + len(parts.answer))
        if look is None:
            return kept
        try:
            settings, _, colours, _ = options(user, how)
            if "colour" in data:
                ink, name = view.parse_colour(data.get("value")), data["colour"]
                if ink is None or name not in look.inference.raw.categories:
                    return kept
                colours = {**colours, str(name): ink}
                chosen = settings.classes
            else:
                chosen = view.toggled(settings, look, look.found(settings), str(data.get("toggle")))
            values = list(how)
            values[1], values[3 + NAMES.index("classes")] = colours, list(chosen)
            return list(chosen), colours, *drawn(user, look, tuple(values))
        except CvDemoError as error:
            return *kept[:3], trouble(error), *kept[4:]

    pressed = parts.legend.click(
        _with_event(press), [parts.current, *parts.how], [classes, parts.colours, *parts.answer], **QUICK
    )  # fmt: skip
    remember = address_script(["classes"], widget_values(OverlaySettings(), ["classes"]))
    pressed.then(None, classes, None, js=remember, **QUICK)


def _with_event(fn: Any) -> Any:
    """Gradio finds the parameters it fills in by their annotations, which have to come before the values."""

    def run(request: gr.Request, event: gr.EventData, *values: Any) -> Any:
        return fn(request, *values, event=event)

    return run


def _wire_pixels(parts: Parts) -> None:
    """A pressed pixel is asked about; nothing is drawn anew."""

    def press(request: gr.Request, key: Any, *how: Any, event: gr.EventData) -> tuple[Any, Any]:
        _, look = _look(request, key)
        place = pressed_place(event._data)
        if look is None or place is None:
            return gr.skip(), gr.skip()
        try:
            settings = read_settings(OverlaySettings, NAMES, how[3:])
            return place, tables.pixel_html(look, settings, place)
        except CvDemoError as error:
            return gr.skip(), trouble(error)

    parts.viewer.click(
        _with_event(press), [parts.current, *parts.how], [parts.place, parts.pixel], trigger_mode="multiple", **QUICK
    )  # fmt: skip


def _exported(user: str, kind: str, key: Any, *how: Any) -> tuple[str, bytes]:
    if kind == "video":
        clip = memory_of(user).get(CLIP)
        if clip is None:
            raise InputError("There is no video yet.", hint="Segment one first.")
        return f"{clip.path.stem}-areas.csv", clip.areas.to_csv().encode()
    look: Look | None = memory_of(user).get(key) if key is not None else None
    if look is None:
        raise InputError("There is nothing to download yet.", hint="Choose a picture first.")
    settings, _, colours, behind = options(user, how)
    return view.make_download(look, settings, kind, colours=colours, behind=behind)
