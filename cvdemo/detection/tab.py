"""The Detection tab: wiring only. What is computed lives in ``predict``, what is shown in ``view``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError
from cvdemo.core.media import Picture, read_picture
from cvdemo.detection import live, video, view
from cvdemo.detection.predict import DEFAULT_MODEL, TASK, DetectionSettings, infer, settings_for
from cvdemo.ui import lessons
from cvdemo.ui.background import Done, follow
from cvdemo.ui.examples import Example, clips, pictures
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import display_copy, problem, shown, status, viewer, working
from cvdemo.ui.widgets import (
    address_script,
    model_choices,
    picture_file,
    read_settings,
    settings_components,
    video_file,
    widget_values,
)

MAIN = ("score_threshold", "iou_threshold", "nms_kind", "classes")
MORE = ("max_detections", "min_size", "sigma", "line_width", "show_labels", "show_scores")
NAMES = (*MAIN, *MORE)
PRIVACY = "Pictures are processed on the machine that runs cvdemo and kept only while this page is open."
CLEAR_TABLE: list[list[Any]] = []


@dataclass(frozen=True)
class Parts:
    """The components other functions of this module wire together."""

    model: Any
    card: Any
    picture: Any
    clip: Any
    camera: Any
    settings: list[Any]
    projector: Any
    viewer: Any
    result_clip: Any
    status: Any
    table: Any
    numbers: Any
    over_time: Any
    picture_state: Any
    clip_state: Any
    mode: Any
    pill: Any


@dataclass(frozen=True)
class DetectionTab:
    """What the page needs of the finished tab."""

    parts: Parts
    load_from_address: Any


def create_detection_tab(shell: Any, user_limit: int) -> DetectionTab:
    """Build the tab inside the current ``gr.Tab``; ``shell`` offers ``projector``, ``pill`` and ``refresh_pill``."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=320):
            with gr.Tabs():
                with gr.Tab("Picture", id="picture") as picture_mode:
                    picture = picture_file(
                        label="Drop, paste or photograph a picture",
                        sources=["upload", "clipboard", "webcam"],
                        height=200,
                        elem_id="detection-picture",
                    )
                    examples = pictures(files.examples)
                    gr.Examples(
                        [[str(example.path)] for example in examples],
                        inputs=[picture],
                        label="Examples",
                        elem_id="detection-examples",
                        example_labels=None,
                        api_visibility="private",
                    )
                    find = gr.Button("Find objects", variant="primary", elem_id="detection-find")
                with gr.Tab("Video", id="video") as video_mode:
                    clip = video_file(label="Drop or choose a video file", sources=["upload"], height=200,
                                     elem_id="detection-clip")  # fmt: skip
                    gr.Examples(
                        [[str(example.path)] for example in clips(files.examples)],
                        inputs=[clip],
                        label="Example",
                        api_visibility="private",
                    )
                    stride = gr.Slider(1, 10, 1, step=1, label="Every n-th frame", buttons=[],
                                       info="Larger is faster and less smooth. Needs the network.")  # fmt: skip
                    with gr.Row():
                        start = gr.Button("Find objects in the video", variant="primary", elem_id="detection-run-video")
                        stop = gr.Button("Stop", elem_id="detection-stop")
                with gr.Tab("Live", id="live") as live_mode:
                    camera = gr.Image(
                        label="Webcam: allow access, then press Record",
                        sources=["webcam"],
                        streaming=True,
                        type="numpy",
                        height=200,
                        webcam_options=gr.WebcamOptions(mirror=False),
                        elem_id="detection-camera",
                    )
            model = gr.Dropdown(model_choices(TASK), value=DEFAULT_MODEL, label="Model (runs the network again)",
                                filterable=False, elem_id="detection-model")  # fmt: skip
            with gr.Accordion("Model card", open=False):
                card = gr.Markdown(registry.model_card(registry.get(DEFAULT_MODEL)))
            widgets = settings_components(DetectionSettings, MAIN)
            with gr.Accordion("More", open=False):
                widgets |= settings_components(DetectionSettings, MORE)
                own = gr.Button("Use the model's own thresholds", size="sm")
            gr.Markdown(PRIVACY, elem_classes="privacy")
        with gr.Column(scale=7, min_width=380):
            result = viewer("detection-result", "Choose a picture on the left, or one of the examples below it.")
            result_clip = video_file(label="Result", visible=False, interactive=False, elem_id="detection-result-clip")
            line = gr.HTML(status(), elem_id="detection-status")
            with gr.Tabs():
                with gr.Tab("Table"):
                    table = gr.Dataframe(CLEAR_TABLE, headers=list(view.TABLE_HEADER), interactive=False, wrap=True,
                                         show_label=False, max_height=320, elem_id="detection-table")  # fmt: skip
                with gr.Tab("Numbers"):
                    numbers = gr.HTML(elem_id="detection-numbers")
                with gr.Tab("Over time"):
                    over_time = gr.LinePlot(None, x="time", y="objects", color="class", x_title="seconds",
                                            y_title="objects", label="Objects in each frame of the video",
                                            height=300)  # fmt: skip
                with gr.Tab("Lesson"):
                    tries = _lesson()
                with gr.Tab("Download"):
                    gr.Markdown("The picture in full size, the boxes in COCO layout, or a table.")
                    with gr.Row():
                        downloads = {kind: gr.Button(kind.upper()) for kind in ("png", "json", "csv")}
                    counts_button = gr.Button("CSV of the video's counts")
                    hidden = gr.DownloadButton("Download", elem_id="detection-download", elem_classes="off-screen")
    parts = Parts(
        model, card, picture, clip, camera, [widgets[name] for name in NAMES], shell.projector, result, result_clip,
        line, table, numbers, over_time, gr.State(None, time_to_live=3600), gr.State(None, time_to_live=3600),
        gr.State("picture"), shell.pill,
    )  # fmt: skip
    run = _wire_picture(parts, find, shell)
    _wire_sliders(parts, own, tries)
    _wire_video(parts, stride, start, stop)
    _wire_live(parts, user_limit)
    _wire_modes(parts, picture_mode, video_mode, live_mode)
    _wire_downloads(parts, downloads, counts_button, hidden)
    return DetectionTab(parts, lambda demo: _load_from_address(demo, parts, examples, run, shell))


def _lesson() -> list[tuple[Any, dict[str, str]]]:
    lesson = lessons.load(TASK)
    gr.Markdown(f"**What you see.** {lesson.see}")
    gr.Markdown("**Try this.**")
    buttons = []
    for attempt in lesson.tries:
        with gr.Row(equal_height=True):
            buttons.append((gr.Button(attempt.label, size="sm", scale=1, min_width=180), attempt.query))
            gr.Markdown(attempt.text, container=False)
    gr.Markdown(f"**On the slides.** {lesson.slides}")
    return buttons


def _drawn(state: view.PictureView | None, projector: bool, values: tuple[Any, ...]) -> tuple[Any, str, Any, str]:
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


def _wire_picture(parts: Parts, find: Any, shell: Any) -> Any:
    def run(
        request: gr.Request, path: str | None, model: str, state: Any, projector: bool, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        unchanged = (gr.skip(),) * 4
        if not path:
            yield state, gr.skip(), problem("Choose a picture first: drop a file, paste one, or use the camera."), \
                gr.skip(), gr.skip()  # fmt: skip
            return
        user = session_of(request)
        try:
            picture = read_picture(files.claim(user, path), name=Path(path).name)
            for event in follow(
                lambda progress, cancel: look_at(picture, model, user, progress=progress, cancel=cancel)
            ):
                if isinstance(event, Done):
                    yield event.value, *_drawn(event.value, projector, values)
                else:
                    yield state, gr.skip(), working(event.text, event.fraction), gr.skip(), gr.skip()
        except CvDemoError as error:
            yield state, unchanged[0], problem(str(error)), *unchanged[2:]

    inputs = [parts.picture, parts.model, parts.picture_state, parts.projector, *parts.settings]
    outputs = [parts.picture_state, parts.viewer, parts.status, parts.table, parts.numbers]
    shared: dict[str, Any] = {
        "inputs": inputs, "outputs": outputs, "show_progress": "hidden", "trigger_mode": "always_last",
        "api_visibility": "private", "concurrency_id": "detection-picture", "concurrency_limit": 8,
    }  # fmt: skip
    # A cleared input is no reason to complain, so only a press on the button reports a missing picture.
    ran = [find.click(run, **shared)]
    ran.append(parts.picture.change(_if_picture(run), **shared))
    ran.append(parts.model.change(_if_picture(run), **shared))
    for event in ran:
        event.then(shell.refresh_pill, None, parts.pill, show_progress="hidden", api_visibility="private")
    parts.model.change(
        lambda name: registry.model_card(registry.get(name)), parts.model, parts.card, queue=False,
        show_progress="hidden", api_visibility="private",
    )  # fmt: skip
    return run


def _load_from_address(demo: gr.Blocks, parts: Parts, examples: list[Example], run: Any, shell: Any) -> None:
    """When the page opens: settings, model and example from its address, and the example already computed."""

    def start(request: gr.Request) -> list[Any]:
        query = dict(request.query_params)
        known = [name for _, name in model_choices(TASK)]
        model = query.get("model", DEFAULT_MODEL)
        chosen = next((e for e in examples if e.name == query.get("example")), examples[0] if examples else None)
        settings = DetectionSettings.from_query({name: query[name] for name in NAMES if name in query})
        return [
            gr.Dropdown(choices=model_choices(TASK), value=model if model in known else DEFAULT_MODEL),
            str(chosen.path) if chosen else None,
            *widget_values(settings, NAMES),
        ]

    # Setting the picture fires its change event, which runs the network with the settings already in place.
    demo.load(start, None, [parts.model, parts.picture, *parts.settings], show_progress="hidden",
              api_visibility="private", queue=False)  # fmt: skip


def _if_picture(run: Any) -> Any:
    def guarded(request: gr.Request, path: str | None, *rest: Any) -> Iterator[tuple[Any, ...]]:
        if path:
            yield from run(request, path, *rest)
        else:
            yield (gr.skip(),) * 5

    return guarded


def _wire_sliders(parts: Parts, own: Any, tries: list[tuple[Any, dict[str, str]]]) -> None:
    def redraw(state: Any, projector: bool, *values: Any) -> tuple[Any, ...]:
        return _drawn(state, projector, values)

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

    chained = [own.click(lambda name: set_to(settings_for(name)), parts.model, parts.settings, **quick)]
    for button, query in tries:
        chained.append(
            button.click(
                lambda query=query: set_to(DetectionSettings.from_query(query)), None, parts.settings, **quick
            )
        )  # fmt: skip
    for event in chained:
        event.then(redraw, inputs, outputs, **quick).then(None, parts.settings, None, js=remember, **quick)


def _wire_video(parts: Parts, stride: Any, start: Any, stop: Any) -> None:
    def run(
        request: gr.Request, path: str | None, model: str, state: Any, step: int, projector: bool, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        if not path:
            yield state, gr.skip(), gr.skip(), problem("Choose a video file first, or the example."), gr.skip()
            return
        user, latest = session_of(request), {}
        track = state.track if state is not None else None
        try:
            settings = read_settings(DetectionSettings, NAMES, values)
            source = files.claim(user, path)
            target = files.make(user, f"{source.stem}-detections.mp4")

            def preview(pixels: np.ndarray, sentence: str) -> None:
                latest["frame"] = (pixels, sentence)

            def work(progress: Any, cancel: Any) -> video.VideoResult:
                return video.annotate(source, target, model, settings, track=track, stride=int(step), user=user,
                                      progress=progress, preview=preview, cancel=cancel)  # fmt: skip

            yield state, gr.skip(), gr.Video(visible=False), working("Opening the video", None), gr.skip()
            for event in follow(work, every=0.3):
                if isinstance(event, Done):
                    yield event.value, gr.skip(), *_finished(event.value)
                else:
                    frame = latest.get("frame")
                    picture = shown(display_copy(frame[0], 960)[0], frame[1]) if frame else gr.skip()
                    yield state, picture, gr.skip(), working(event.text, event.fraction), gr.skip()
        except CvDemoError as error:
            yield state, gr.skip(), gr.skip(), problem(str(error)), gr.skip()

    running = start.click(
        run,
        [parts.clip, parts.model, parts.clip_state, stride, parts.projector, *parts.settings],
        [parts.clip_state, parts.viewer, parts.result_clip, parts.status, parts.over_time],
        show_progress="hidden", api_visibility="private", concurrency_id="detection-video", concurrency_limit=4,
    )  # fmt: skip
    stop.click(
        lambda: status("Stopped", "Press the button again to start over; frames already seen are not kept."),
        None, parts.status, cancels=[running], queue=False, api_visibility="private",
    )  # fmt: skip


def _finished(result: video.VideoResult) -> tuple[Any, str, Any]:
    import pandas  # comes with gradio; imported late because only a finished video needs it

    rows = [(time, name, found.get(name, 0)) for time, found in result.counts.rows for name in result.counts.classes()]
    frames = len(result.counts.rows)
    how = f"{result.network_runs} network runs" if result.network_runs else "redrawn without the network"
    timing = f"{frames} frames in {result.seconds:.1f} s ({frames / max(result.seconds, 1e-6):.1f} a second), {how}"
    notes = f" · {'; '.join(result.info.notes)}" if result.info.notes else ""
    return (
        gr.Video(str(result.path), visible=True),
        status(result.counts.sentence(), timing + notes),
        pandas.DataFrame(rows, columns=["time", "class", "objects"]),
    )


def _wire_live(parts: Parts, user_limit: int) -> None:
    def step(
        request: gr.Request, frame: np.ndarray | None, model: str, state: Any, mode: str, projector: bool, *values: Any
    ) -> tuple[Any, Any, Any]:
        if frame is None or mode != "live":  # a stream may outlast the visitor's change to another mode by a moment
            return gr.skip(), gr.skip(), gr.skip()
        try:
            settings = read_settings(DetectionSettings, NAMES, values)
            seen = look_at(Picture(np.ascontiguousarray(frame[..., :3]), "webcam"), model, session_of(request))
            rendered = view.render(seen, settings, projector=projector)
        except CvDemoError as error:
            return state, gr.skip(), problem(str(error))
        rate = live.rate(session_of(request))
        timing = f"{rate:.1f} frames a second · {rendered.timing}"
        return seen, shown(rendered.pixels, rendered.sentence, 80), status(rendered.sentence, timing, announce=False)

    parts.camera.stream(
        step,
        [parts.camera, parts.model, parts.picture_state, parts.mode, parts.projector, *parts.settings],
        [parts.picture_state, parts.viewer, parts.status],
        stream_every=0.05,
        time_limit=60,
        concurrency_limit=user_limit,
        concurrency_id="detection-live",
        show_progress="hidden",
        api_visibility="private",
    )


def _wire_modes(parts: Parts, picture_mode: Any, video_mode: Any, live_mode: Any) -> None:
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

    def enter(mode: str) -> Any:
        return lambda state: (mode, gr.Video(visible=mode == "video" and state is not None))

    for tab, mode in ((picture_mode, "picture"), (video_mode, "video"), (live_mode, "live")):
        tab.select(enter(mode), parts.clip_state, [parts.mode, parts.result_clip], **quick)
        if mode != "live":
            tab.select(None, None, None, js="() => window.cvdemo.stopCamera('detection-camera')", **quick)


def _wire_downloads(parts: Parts, buttons: dict[str, Any], counts_button: Any, hidden: Any) -> None:
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

    for kind, button in buttons.items():
        made = button.click(export(kind), [parts.picture_state, *parts.settings], hidden, **quick)
        made.success(None, None, None, js=press, **quick)
    made = counts_button.click(export_counts, parts.clip_state, hidden, **quick)
    made.success(None, None, None, js=press, **quick)


def forget(session: str) -> None:
    """Drop what the tab keeps of a visitor who left."""
    live.forget(session)
