"""The Skeleton view: people's joints in a picture, a video or the camera, with everything a slider can change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import Picture
from cvdemo.pose import skeleton_view as view
from cvdemo.pose import tab_shared as kept
from cvdemo.pose import video
from cvdemo.pose.predict import DEFAULT_MODEL, TASK, PoseSettings, settings_for
from cvdemo.pose.tab_shared import LIVE, SHOWN, SKELETON, Look
from cvdemo.ui.background import Done, Stop, follow
from cvdemo.ui.downloads import hidden_link, wire_downloads
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import display_copy, shown, status, trouble, viewer, working
from cvdemo.ui.views import QUICK, LiveView, Refresh, Shared, VideoView, View, stop_key
from cvdemo.ui.widgets import read_settings, settings_components, video_file, widget_values

FRONT = ("joint_threshold", "box_threshold", "decode", "style", "hidden_joints")
MORE = ("show_oks", "show_boxes", "trails", "smoothing", "line_width", "max_people")
NAMES = (*FRONT, *MORE)
ALL_KINDS = {"png": "PNG", "json": "COCO keypoints JSON", "csv": "CSV"}
STOPPED = "Press the button again to go on: frames already seen are kept."


@dataclass(frozen=True)
class Parts:
    """The view's components. ``current``: ``gr.State``, the key of the look on show in the session's memory.

    clip: the finished video, in the viewer's place.   finished: ``gr.State``, (path, status line) of it or None.
    """

    viewer: Any
    clip: Any
    status: Any
    settings: list[Any]
    people: Any
    joints: Any
    numbers: Any
    downloads: dict[str, Any]
    hidden: Any
    current: Any
    finished: Any

    @property
    def answer(self) -> list[Any]:
        """What shows one look: filled by ``drawn``."""
        return [self.viewer, self.status, self.people, self.joints, self.numbers]


def create_skeleton_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    _wire_sliders(parts, shared)
    wire_downloads(parts.downloads, parts.hidden, [parts.current, shared.mode, *parts.settings], _exported)
    _wire_modes(parts, shared)
    outputs, inputs = [parts.current, *parts.answer], [shared.projector, *parts.settings]
    return View(
        SKELETON,
        live=LiveView(SKELETON, _step, inputs, outputs),
        refresh=Refresh(_run, [shared.picture, shared.model, *inputs], outputs),
        forget=kept.forget,
        settings=PoseSettings,
        controls=dict(zip(NAMES, parts.settings)),
        video=VideoView(
            SKELETON, _annotate, parts.settings, [parts.viewer, parts.clip, parts.status, parts.finished],
        ),
    )  # fmt: skip


def _run(request: gr.Request, path: str, model: str, projector: bool, *values: Any) -> Iterator[tuple[Any, ...]]:
    user = session_of(request)
    try:
        settings = read_settings(PoseSettings, NAMES, values)
        picture = picture_of(user, path)
        for event in follow(
            lambda progress, cancel: kept.look_of(user, picture, model, progress=progress, cancel=cancel)
        ):
            if isinstance(event, Done):
                memory_of(user).put(SHOWN, settings)
                yield kept.key_of(picture, model), *drawn(event.value, settings, projector)
            else:
                yield gr.skip(), gr.skip(), working(event.text, event.fraction), *(gr.skip(),) * 3
    except CvDemoError as error:
        yield gr.skip(), gr.skip(), trouble(error), *(gr.skip(),) * 3


def _step(user: str, picture: Picture, model: str, projector: bool, *values: Any) -> tuple[Any, ...]:
    settings = read_settings(PoseSettings, NAMES, values)
    look = kept.look_at(picture, model, user)
    memory_of(user).put(LIVE, look)
    made = view.render(look, settings, projector=projector, people=kept.live_people(user))
    said = status(made.sentence, made.timing, announce=False)
    # tables of a moving picture cannot be read and would cost more than the drawing
    return LIVE, shown(made.pixels, made.sentence, 80), said, gr.skip(), gr.skip(), gr.skip()


def drawn(look: Look, settings: PoseSettings, projector: bool) -> tuple[Any, ...]:
    """viewer, status, people, joints, numbers of a look."""
    made = view.render(look, settings, projector=projector)
    return (
        shown(made.pixels, made.sentence),
        status(made.sentence, made.timing),
        view.people_rows(made.poses),
        view.joint_rows(made.poses),
        view.numbers_html(look, made.poses),
    )


def _components() -> Parts:
    result = viewer("pose-result", "The picture appears here, with the joints of everybody in it.")
    clip = video_file(
        label="Poses in the video", interactive=False, visible=False, elem_id="pose-result-clip", height=460,
        autoplay=True, loop=True,
    )  # fmt: skip
    line = gr.HTML(status(), elem_id="pose-status")
    with gr.Row():
        front = settings_components(PoseSettings, FRONT[:2])
    with gr.Row():
        front |= settings_components(PoseSettings, FRONT[2:])
    with gr.Accordion("More: OKS circles, boxes, trails, smoothing, lines", open=False):
        with gr.Row():
            more = settings_components(PoseSettings, MORE[:3])
        with gr.Row():
            more |= settings_components(PoseSettings, MORE[3:])
        gr.HTML(view.legend_html(), apply_default_css=False)
    with gr.Tabs():
        with gr.Tab("People"):
            people = _table(view.PEOPLE_HEADER, "pose-people")
        with gr.Tab("Joints"):
            joints = _table(view.JOINT_HEADER, "pose-joints")
        with gr.Tab("Numbers"):
            numbers = gr.HTML(elem_id="pose-numbers")
        with gr.Tab("Download"):
            gr.Markdown(
                "The picture, or the last one of the camera, in full size with its skeletons, or its joints as data. A "
                "finished video has its own button, in its upper right corner."
            )
            with gr.Row():
                downloads = {kind: gr.Button(label) for kind, label in ALL_KINDS.items()}
            hidden = hidden_link("pose-download")
    widgets = front | more
    return Parts(
        result, clip, line, [widgets[name] for name in NAMES], people, joints, numbers, downloads, hidden,
        gr.State(None), gr.State(None),
    )  # fmt: skip


def _table(header: tuple[str, ...], elem_id: str) -> Any:
    return gr.Dataframe(
        [], headers=list(header), interactive=False, show_label=False, max_height=320, elem_id=elem_id,
        column_count=len(header),
    )  # fmt: skip


def _wire_sliders(parts: Parts, shared: Shared) -> None:
    """Every setting and the projector switch act on what the network returned."""

    def redraw(request: gr.Request, key: Any, mode: str, projector: bool, *values: Any) -> tuple[Any, ...]:
        memory, settings = memory_of(session_of(request)), read_settings(PoseSettings, NAMES, values)
        memory.put(SHOWN, settings)
        look = memory.get(key) if key is not None and mode != "video" else None
        return (gr.skip(),) * 5 if look is None else drawn(look, settings, projector)

    inputs = [parts.current, shared.mode, shared.projector, *parts.settings]
    for widget in (*parts.settings, shared.projector):
        widget.input(redraw, inputs, parts.answer, trigger_mode="always_last", **QUICK)
    # Models differ in what their scores mean: a change of model brings its own defaults, before the answer is drawn.
    defaults = shared.model.input(
        lambda name: widget_values(settings_for(name or DEFAULT_MODEL), NAMES), shared.model, parts.settings, **QUICK
    )
    defaults.then(redraw, inputs, parts.answer, trigger_mode="always_last", **QUICK)


def _exported(user: str, kind: str, key: Any, mode: str, *values: Any) -> tuple[str, bytes]:
    if mode == "video":
        raise InputError(
            "A finished video has its own download button, in its upper right corner.",
            hint="Its angles are in Angles as CSV.",
        )
    look: Look | None = memory_of(user).get(key) if key is not None else None
    if look is None:
        raise InputError("There is nothing to download yet.", hint="Choose a picture first.")
    return view.export(look, read_settings(PoseSettings, NAMES, values), kind)


def _annotate(
    request: gr.Request, path: str, model: str, stride: int, *values: Any
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """viewer, clip, status, finished while the video is drawn and afterwards."""
    user, latest = session_of(request), {}
    try:
        settings = read_settings(PoseSettings, NAMES, values)
        source = files.claim(user, path)
        target = files.make(user, f"{source.stem}-poses.mp4")

        def preview(pixels: np.ndarray, sentence: str) -> None:
            latest["frame"] = (pixels, sentence)

        def work(progress: Any, cancel: Any) -> video.PoseVideo:
            track = kept.track_of(user, source, model, stride)
            return video.annotate(source, target, model, settings, track=track, stride=stride, user=user,
                                  progress=progress, preview=preview, cancel=cancel)  # fmt: skip

        yield gr.HTML(visible=True), gr.Video(visible=False), working("Opening the video", None), None
        for event in follow(work, every=0.3, stop=Stop(user, stop_key(TASK), STOPPED)):
            if isinstance(event, Done):
                line = video_line(event.value)
                clip = gr.Video(str(event.value.path), visible=True)
                yield gr.HTML(visible="hidden"), clip, line, line
            else:
                frame = latest.get("frame")
                picture = shown(display_copy(frame[0], 960)[0], frame[1]) if frame else gr.skip()
                yield picture, gr.skip(), working(event.text, event.fraction), gr.skip()
    except CvDemoError as error:
        yield gr.skip(), gr.skip(), trouble(error), gr.skip()


def video_line(result: video.PoseVideo) -> str:
    """The line under a finished video: what there was, and what it cost."""
    frames = len(result.frames)
    how = f"{result.network_runs} network runs" if result.network_runs else "redrawn without the network"
    timing = f"{frames} frames in {result.seconds:.1f} s ({frames / max(result.seconds, 1e-6):.1f} a second), {how}"
    notes = f" · {'; '.join(result.info.notes)}" if result.info.notes else ""
    return status(result.sentence(), timing + notes)


def _wire_modes(parts: Parts, shared: Shared) -> None:
    """Each mode shows its own result: the picture, the finished clip, or an empty place for the webcam."""
    ask = {
        "video": status("", "Choose a video, then press the button."),
        "live": status("", "Allow the camera, then press Record."),
    }

    def enter(mode: str, finished: str | None) -> tuple[Any, ...]:
        if mode == "picture":  # which is drawn again, with its line, by the refresh
            return gr.HTML(visible=True), gr.Video(visible=False), *(gr.skip(),) * 4
        if mode == "video" and finished:
            return gr.HTML(visible="hidden"), gr.Video(visible=True), finished, [], [], ""
        return gr.HTML(None, visible=True), gr.Video(visible=False), ask[mode], [], [], ""

    outputs = [parts.viewer, parts.clip, parts.status, parts.people, parts.joints, parts.numbers]
    shared.mode.change(enter, [shared.mode, parts.finished], outputs, **QUICK)
