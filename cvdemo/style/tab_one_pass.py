"""The One pass view: a picture, a video or the camera in any style by AdaIN, or in one of three by its own network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import Picture, encode_picture
from cvdemo.style import one_pass_view as view
from cvdemo.style.curves import CSS
from cvdemo.style.models import TASK
from cvdemo.style.one_pass_view import ANY, NETWORKS, TITLES, Drawn, Look, OnePassSettings
from cvdemo.style.tab_shared import BLEND, ONE_PASS, Styles, content_on_show, styles_on_show
from cvdemo.style.video import StyledVideo, stylise_video
from cvdemo.ui.background import Done, Stop, follow
from cvdemo.ui.downloads import hidden_link, wire_downloads
from cvdemo.ui.layered_viewer import layer_source, layered_viewer, layers
from cvdemo.ui.memory import memory_of
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import display_copy, status, trouble, working
from cvdemo.ui.views import NOT_KEPT, QUICK, LiveView, Refresh, Shared, VideoView, View, stop_key
from cvdemo.ui.widgets import read_settings, settings_components, video_file

FRONT = ("strength", "preserve_colour", "steady")
MORE = ("size", "style_scale", "smoothing")
NAMES = ("network", *FRONT, *MORE)
PREFIX = "pass_"
QUICK_ONES = ("strength",)
LOOK, LAST, ASKED = (("style", "one pass", name) for name in ("look", "last", "asked"))


@dataclass(frozen=True)
class Parts:
    """The view's components."""

    viewer: Any
    clip: Any
    status: Any
    widgets: dict[str, Any]
    statistics: Any
    numbers: Any
    save: Any
    hidden: Any

    @property
    def settings(self) -> list[Any]:
        """The widgets in the order of ``NAMES``."""
        return [self.widgets[name] for name in NAMES]

    @property
    def answer(self) -> list[Any]:
        """What shows one picture: filled by ``drawn``."""
        return [self.viewer, self.status, self.statistics, self.numbers]


def create_one_pass(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    blend = [shared.more[name] for name in BLEND]
    how = [shared.second, *parts.settings, *blend]
    whole = [shared.picture, shared.mode, *how]
    outputs = [parts.clip, *parts.answer]
    _wire_sliders(parts, shared, whole, outputs)
    wire_downloads({"png": parts.save}, parts.hidden, [], _exported)
    moving = [parts.viewer, parts.clip, parts.status]
    return View(
        ONE_PASS,
        live=LiveView(ONE_PASS, _step, how, moving),
        refresh=Refresh(_run, whole, outputs),
        forget=view.forget,
        settings=OnePassSettings,
        controls=dict(zip(NAMES, parts.settings)),
        prefix=PREFIX,
        video=VideoView(ONE_PASS, _video, how, moving),
    )


def _components() -> Parts:
    default = OnePassSettings()
    network = gr.Radio(
        [(_label(name), name) for name in NETWORKS], value=default.network, show_label=False, container=False,
        elem_id="style-network",
    )  # fmt: skip
    result = layered_viewer(
        "style-pass-result", "The content picture in its new style appears here.", "Content", "Stylised", pick=False
    )  # fmt: skip
    clip = video_file(label="Result", visible=False, interactive=False, elem_id="style-pass-clip")
    line = gr.HTML(status(), elem_id="style-pass-status")
    with gr.Row():
        widgets = settings_components(OnePassSettings, FRONT)
    with gr.Accordion("More: size, scale of the style, smoothing, download", open=False):
        with gr.Row():
            widgets |= settings_components(OnePassSettings, MORE)
        save = gr.Button("Download PNG", size="sm", elem_id="style-pass-save")
        hidden = hidden_link("style-pass-download")
    widgets["network"] = network
    with gr.Tabs():
        with gr.Tab("What AdaIN changes"):
            statistics = gr.HTML(css_template=CSS, elem_id="style-pass-statistics", apply_default_css=False)
        with gr.Tab("Numbers"):
            numbers = gr.HTML(elem_id="style-pass-numbers", apply_default_css=False)
    return Parts(result, clip, line, widgets, statistics, numbers, save, hidden)


def _label(name: str) -> str:
    state = registry.availability(registry.get(NETWORKS[name]))
    return TITLES[name] if state.ok else f"{TITLES[name]} · {state.reason}"


def _asked(user: str, second: str | None, values: tuple[Any, ...]) -> tuple[OnePassSettings, Styles | None]:
    """The settings, and the styles where the network takes any."""
    settings = read_settings(OnePassSettings, NAMES, values[: len(NAMES)])
    return settings, styles_on_show(user, second, *values[len(NAMES) :]) if settings.network == ANY else None


def _run(
    request: gr.Request, path: str | None, mode: str, second: str | None, *values: Any
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """clip and the answer for a picture: the networks run, unless they have seen all of it."""
    user = session_of(request)
    kept = (gr.skip(),) * 5
    if mode != "picture":
        yield kept
        return
    try:
        settings, styles = _asked(user, second, values)
        picture = content_on_show(user, path)
        memory, key = memory_of(user), view.key_of(picture, styles, settings)
        memory.put(ASKED, (settings, styles))

        def work(progress: Any, cancel: Any) -> tuple[Look, Drawn]:
            nonlocal settings, styles
            progress(0.1, "Running the network")
            found: Look = memory.recall(key, lambda: view.look(picture, styles, settings, user, cancel))
            latest, mixed = memory.get(ASKED) or (settings, styles)
            if view.key_of(picture, mixed, latest) == key:  # a slider was moved while the networks ran
                settings, styles = latest, mixed
            return found, view.render(found, settings, None if styles is None else styles.weights, user)

        for event in follow(work):
            if isinstance(event, Done):
                found, made = event.value
                memory.put(LOOK, found)
                memory.put(LAST, made)
                yield gr.Video(visible=False), *drawn(found, made, settings, styles)
            else:
                yield *kept[:2], working(event.text, None), *kept[3:]
    except CvDemoError as error:
        yield *kept[:2], trouble(error), *kept[3:]


def drawn(seen: Look, made: Drawn, settings: OnePassSettings, styles: Styles | None) -> tuple[Any, ...]:
    """viewer, status, statistics, numbers of a picture."""
    words = view.sentence(made, settings)
    weights = None if styles is None else styles.weights
    return (
        gr.HTML(layered(made, words), visible=True),
        status(words, view.timing(seen, made)),
        view.statistics_html(seen, settings, weights),
        view.numbers_html(seen, made),
    )


def layered(made: Drawn, words: str, quality: int = 88) -> dict[str, Any]:
    """The viewer's value: the result over its content."""
    height, width = made.pixels.shape[:2]
    return layers(made.pixels, words, (width, height), layer_source(made.content, min(quality, 85)), quality)


def _wire_sliders(parts: Parts, shared: Shared, whole: list[Any], outputs: list[Any]) -> None:
    """Strength and weights run the decoder alone, the newest place of the handle only; all else runs the networks."""

    def redraw(request: gr.Request, name: str, mode: str, second: str | None, *values: Any) -> tuple[Any, ...]:
        user = session_of(request)
        seen: Look | None = memory_of(user).get(LOOK)
        if name != ONE_PASS or mode != "picture" or seen is None:
            return (gr.skip(),) * len(parts.answer)
        try:
            settings, styles = _asked(user, second, values)
            memory_of(user).put(ASKED, (settings, styles))
            count = 0 if styles is None else len(styles.names)
            if seen.inference.model != settings.model or len(seen.inference.styles) != count:
                return (gr.skip(),) * len(parts.answer)  # the networks are running for another choice
            made = view.render(seen, settings, None if styles is None else styles.weights, user)
        except CvDemoError as error:
            return gr.skip(), trouble(error), *(gr.skip(),) * 2
        memory_of(user).put(LAST, made)
        return drawn(seen, made, settings, styles)

    quick = [parts.widgets[name] for name in QUICK_ONES]
    quick += [shared.more[name] for name in BLEND if name != "further"]
    gr.on(
        [widget.input for widget in quick], redraw, [shared.view, *whole[1:]], parts.answer,
        trigger_mode="always_last", **QUICK,
    )  # fmt: skip

    def again(request: gr.Request, name: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        if name == ONE_PASS:
            yield from _run(request, *values)

    slow: list[Any] = [parts.widgets[name].release for name in ("size", "style_scale")]
    slow += [parts.widgets[name].input for name in ("network", "preserve_colour")]
    gr.on(
        [*slow, shared.more["further"].input], again, [shared.view, *whole], outputs, trigger_mode="always_last",
        show_progress="hidden", api_visibility="private", concurrency_id="style-one-pass-again", concurrency_limit=8,
    )  # fmt: skip


def _exported(user: str, _kind: str) -> tuple[str, bytes]:
    made: Drawn | None = memory_of(user).get(LAST)
    if made is None:
        raise InputError("There is nothing to download yet.", hint="Choose a picture first.")
    return made.file_name(), encode_picture(made.pixels, "png")


def _step(user: str, picture: Picture, model: str, second: str | None, *values: Any) -> tuple[Any, ...]:
    """viewer, clip, status for a capture of the camera."""
    settings, styles = _asked(user, second, values)
    made = view.live(user, picture, styles, settings)
    memory_of(user).put(LAST, made)
    words = view.sentence(made, settings)
    smooth = f"smoothed over time by {settings.smoothing:.0%}" if settings.steady else "not smoothed"
    line = status(words, f"{made.slider:.0f} ms a frame, {smooth}", announce=False)
    return gr.HTML(layered(made, words, 80), visible=True), gr.Video(visible=False), line


def _video(
    request: gr.Request, path: str, model: str, stride: int, second: str | None, *values: Any
) -> Iterator[tuple[Any, ...]]:
    """viewer, clip, status while a video is stylised."""
    user = session_of(request)
    latest: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    try:
        settings, styles = _asked(user, second, values)
        source = files.claim(user, path)
        style = settings.network if styles is None else styles.names[0].replace(" ", "-")
        target = files.make(user, f"{source.stem}-{style}.mp4")

        def work(progress: Any, cancel: Any) -> StyledVideo:
            pictures, weights = ((), None) if styles is None else (styles.pictures, styles.weights)
            return stylise_video(
                source, target, pictures, settings.model, settings.moving(), blend=weights, stride=stride, user=user,
                cancel=cancel, progress=progress, preview=lambda before, after: latest.update(frame=(before, after)),
            )  # fmt: skip

        yield gr.HTML(visible=True), gr.Video(visible=False), working("Opening the video", None)
        for event in follow(work, every=0.3, stop=Stop(user, stop_key(TASK), NOT_KEPT)):
            if isinstance(event, Done):
                made = event.value
                line = status(made.sentence(), video_line(made))
                yield gr.HTML(visible="hidden"), gr.Video(str(made.path), visible=True), line
            else:
                yield _preview(latest.get("frame")), gr.skip(), working(event.text, event.fraction)
    except CvDemoError as error:
        yield gr.skip(), gr.skip(), trouble(error)


def _preview(frame: tuple[np.ndarray, np.ndarray] | None) -> Any:
    if frame is None:
        return gr.skip()
    before, after = (display_copy(pixels, 640)[0] for pixels in frame)
    height, width = after.shape[:2]
    return layers(after, "The frame that was stylised last", (width, height), layer_source(before, 75), 75)


def video_line(made: StyledVideo) -> str:
    """How fast it was, for the second line."""
    each = 1e3 * made.seconds / max(made.frames, 1)
    return f"{made.seconds:.1f} s, {each:.0f} ms a frame with reading and writing the file"
