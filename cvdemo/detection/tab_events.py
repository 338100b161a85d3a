"""What happens in the Detection tab when somebody picks a picture, moves a slider or asks for a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError
from cvdemo.core.media import Picture, read_picture
from cvdemo.detection import view
from cvdemo.detection.predict import DEFAULT_MODEL, DetectionSettings, infer, settings_for
from cvdemo.ui.background import Done, follow
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import display_copy, problem, shown, status, working
from cvdemo.ui.widgets import address_script, read_settings, widget_values

MAIN = ("score_threshold", "iou_threshold", "nms_kind", "classes")
MORE = ("max_detections", "min_size", "sigma", "line_width", "show_labels", "show_scores")
NAMES = (*MAIN, *MORE)


@dataclass(frozen=True)
class Parts:
    """Every component of the tab that an event reads or changes."""

    # left: what goes in
    modes: dict[str, Any]
    picture: Any
    find: Any
    halt: Any
    clip: Any
    stride: Any
    start: Any
    stop: Any
    camera: Any
    model: Any
    card: Any
    settings: list[Any]
    own: Any
    # right: what comes out
    viewer: Any
    result_clip: Any
    status: Any
    table: Any
    numbers: Any
    over_time: Any
    tries: list[tuple[Any, dict[str, str]]]
    downloads: dict[str, Any]
    counts_button: Any
    hidden_download: Any
    # the page around, and what a session remembers
    projector: Any
    pill: Any
    picture_state: Any
    view_cache: Any
    clip_state: Any
    mode: Any


def drawn(state: view.PictureView | None, projector: bool, values: tuple[Any, ...]) -> tuple[Any, str, Any, str]:
    """viewer, status, table, numbers for the current settings; nothing changes when there is no picture yet."""
    if state is None:
        return gr.skip(), gr.skip(), gr.skip(), gr.skip()  # type: ignore[return-value]
    try:
        settings = read_settings(DetectionSettings, NAMES, values)
    except CvDemoError as error:
        return gr.skip(), problem(str(error)), gr.skip(), gr.skip()  # type: ignore[return-value]
    rendered = view.render(state, settings, projector=projector)
    found = rendered.decoded
    return (
        shown(rendered.pixels, rendered.sentence),
        status(rendered.sentence, rendered.timing),
        view.table_rows(found.detections),
        view.numbers_html(found.report, state.inference.candidates, state.inference.raw.levels),
    )


def look_at(picture: Picture, model: str, user: str, **watch: Any) -> view.PictureView:
    """Run the network on a picture and remember what a session needs to redraw it."""
    display, scale = display_copy(picture.pixels)
    return view.PictureView(picture, display, scale, infer(picture, model, user=user, **watch))


def wire_picture(parts: Parts, refresh_pill: Callable[[], str]) -> Any:
    """Pictures and models run the network; returns the function that runs it again."""

    def run(
        request: gr.Request,
        path: str | None,
        model: str,
        state: Any,
        cache: view.ViewCache,
        _mode: str,
        projector: bool,
        *values: Any,
    ) -> Iterator[tuple[Any, ...]]:
        if not path:
            yield _only_line(state, problem("Choose a picture first: drop a file, paste one, or use the camera."))
            return
        user = session_of(request)
        try:
            picture = read_picture(files.claim(user, path), name=Path(path).name)
            known = cache.get(picture, model)
            if known is not None:
                yield known, *drawn(known, projector, values)
                return
            for event in follow(
                lambda progress, cancel: look_at(picture, model, user, progress=progress, cancel=cancel)
            ):
                if isinstance(event, Done):
                    cache.put(event.value)
                    yield event.value, *drawn(event.value, projector, values)
                else:
                    yield _only_line(state, working(event.text, event.fraction))
        except CvDemoError as error:
            yield _only_line(state, problem(str(error)))

    # A cleared input is no reason to complain: only a press on the button reports a missing picture.
    ran = [
        run_on(parts.find.click, parts, run),
        run_on(parts.picture.change, parts, _if_picture(run)),
        run_on(parts.model.change, parts, _if_picture(run)),
    ]
    for event in ran:
        event.then(refresh_pill, None, parts.pill, show_progress="hidden", api_visibility="private")
    parts.halt.click(
        lambda: status("Stopped", "What was downloaded so far is kept for the next try."), None, parts.status,
        cancels=ran, queue=False, api_visibility="private",
    )  # fmt: skip
    parts.model.change(
        lambda name: registry.model_card(registry.get(name)), parts.model, parts.card, queue=False,
        show_progress="hidden", api_visibility="private",
    )  # fmt: skip
    parts.model.input(
        None, parts.model, None, js=address_script(["model"], [DEFAULT_MODEL]), queue=False, api_visibility="private"
    )
    return _if_picture(run)


def _only_line(state: Any, line: str) -> tuple[Any, ...]:
    """Outputs of ``run_on`` that change nothing but the line under the result."""
    return state, gr.skip(), line, gr.skip(), gr.skip()


def run_on(trigger: Any, parts: Parts, run: Any) -> Any:
    """Run the network on the chosen picture when ``trigger`` fires."""
    remembered = [parts.picture_state, parts.view_cache, parts.mode]
    return trigger(
        run,
        [parts.picture, parts.model, *remembered, parts.projector, *parts.settings],
        [parts.picture_state, parts.viewer, parts.status, parts.table, parts.numbers],
        show_progress="hidden",
        trigger_mode="always_last",
        api_visibility="private",
        concurrency_id="detection-picture",
        concurrency_limit=8,
    )


def _if_picture(run: Any) -> Any:
    """``run`` where there is a picture and its mode is open; changes of the model concern the other modes too."""

    def guarded(request: gr.Request, path: str | None, *rest: Any) -> Iterator[tuple[Any, ...]]:
        mode = rest[3]
        if path and mode == "picture":
            yield from run(request, path, *rest)
        else:
            yield (gr.skip(),) * 5

    return guarded


def wire_sliders(parts: Parts) -> None:
    """Settings redraw what is there, remember themselves in the address, and can be set by a lesson."""

    def redraw(state: Any, projector: bool, *values: Any) -> tuple[Any, ...]:
        return drawn(state, projector, values)

    outputs = [parts.viewer, parts.status, parts.table, parts.numbers]
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    inputs = [parts.picture_state, parts.projector, *parts.settings]
    defaults = widget_values(DetectionSettings(), NAMES)
    remember = address_script(NAMES, defaults)
    for widget in parts.settings:
        widget.input(redraw, inputs, outputs, trigger_mode="always_last", **quick)
        widget.input(None, parts.settings, None, js=remember, **quick)
    parts.projector.input(redraw, inputs, outputs, **quick)

    def set_to(settings: DetectionSettings) -> list[Any]:
        return widget_values(settings, NAMES)

    chained = [parts.own.click(lambda name: set_to(settings_for(name)), parts.model, parts.settings, **quick)]
    for button, query in parts.tries:
        chained.append(
            button.click(
                lambda query=query: set_to(DetectionSettings.from_query(query)), None, parts.settings, **quick
            )
        )  # fmt: skip
    for event in chained:
        event.then(redraw, inputs, outputs, **quick).then(None, parts.settings, None, js=remember, **quick)


def wire_downloads(parts: Parts) -> None:
    """Files are made when asked for, then handed to a download link that is off the screen."""
    hidden = parts.hidden_download
    press = "() => setTimeout(() => window.cvdemo.clickHidden('detection-download'), 150)"
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

    def export(kind: str) -> Any:
        def make(request: gr.Request, state: Any, *values: Any) -> Any:
            if state is None:
                raise gr.Error("There is nothing to download yet. Choose a picture first.", print_exception=False)
            name, content = view.export(state, read_settings(DetectionSettings, NAMES, values), kind)
            path = files.make(session_of(request), name)
            path.write_bytes(content)
            return gr.DownloadButton(value=str(path))

        return make

    def export_counts(state: Any, request: gr.Request) -> Any:
        if state is None:
            raise gr.Error("There are no counts yet. Find objects in a video first.", print_exception=False)
        path = files.make(session_of(request), "counts.csv")
        path.write_text(state.counts.to_csv())
        return gr.DownloadButton(value=str(path))

    for kind, button in parts.downloads.items():
        made = button.click(export(kind), [parts.picture_state, *parts.settings], hidden, **quick)
        made.success(None, None, None, js=press, **quick)
    made = parts.counts_button.click(export_counts, parts.clip_state, hidden, **quick)
    made.success(None, None, None, js=press, **quick)
