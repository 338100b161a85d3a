"""The Angles view: a joint's angle over a video or the live session, repetitions, and the arcs in a picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import Picture
from cvdemo.pose import angles_view as view
from cvdemo.pose import tab_shared as kept
from cvdemo.pose import video
from cvdemo.pose.angles import AngleSeries, suggest_thresholds
from cvdemo.pose.angles_view import AngleControls, ClipAngles
from cvdemo.pose.predict import TASK, draw, settings_for
from cvdemo.pose.tab_shared import ANGLES, Look
from cvdemo.ui.background import Done, Stop, follow
from cvdemo.ui.downloads import hidden_link, wire_downloads
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import display_copy, shown, status, trouble, viewer, working
from cvdemo.ui.views import QUICK, LiveView, Refresh, Shared, VideoView, View, stop_key
from cvdemo.ui.widgets import moving_menu, read_settings, settings_components, video_file

NAMES = ("angle", "low", "high", "confidence", "calm")
CLIP = ("pose angles", "clip")


@dataclass(frozen=True)
class Parts:
    """The view's components. ``current``: ``gr.State``, the key of the picture's look in the session's memory."""

    viewer: Any
    clip: Any
    status: Any
    settings: list[Any]
    person: Any
    suggest: Any
    restart: Any
    summary: Any
    plot: Any
    table: Any
    save: Any
    hidden: Any
    current: Any
    finished: Any


def create_angles_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    _wire_controls(parts, shared)
    _wire_buttons(parts, shared)
    _wire_modes(parts, shared)
    seen = [parts.current, parts.viewer, parts.status, parts.table]
    inputs = [shared.projector, *parts.settings]
    over_time = [parts.summary, parts.plot]
    return View(
        ANGLES,
        live=LiveView(
            ANGLES, _step, [shared.projector, parts.person, *parts.settings], [parts.viewer, parts.status, *over_time]
        ),
        refresh=Refresh(_run, [shared.picture, shared.model, *inputs], seen),
        settings=AngleControls,
        controls=dict(zip(NAMES, parts.settings)),
        video=VideoView(
            ANGLES, _analyse, [parts.person, *parts.settings],
            [parts.viewer, parts.clip, parts.status, parts.finished, parts.person, *over_time],
        ),
    )  # fmt: skip


def _run(request: gr.Request, path: str, model: str, projector: bool, *values: Any) -> Iterator[tuple[Any, ...]]:
    """current, viewer, status, table for a picture."""
    user = session_of(request)
    try:
        controls = read_settings(AngleControls, NAMES, values)
        picture = picture_of(user, path)
        for event in follow(
            lambda progress, cancel: kept.look_of(user, picture, model, progress=progress, cancel=cancel)
        ):
            if isinstance(event, Done):
                yield kept.key_of(picture, model), *drawn(event.value, controls, projector)
            else:
                yield gr.skip(), gr.skip(), working(event.text, event.fraction), gr.skip()
    except CvDemoError as error:
        yield gr.skip(), gr.skip(), trouble(error), gr.skip()


def drawn(look: Look, controls: AngleControls, projector: bool) -> tuple[Any, ...]:
    """viewer, status, table of a picture."""
    settings = controls.over(settings_for(look.inference.model))
    poses, decoded = kept.timed_decode(look.inference, settings)
    small = kept.scaled(poses, look.scale)
    pixels = draw(look.display, small, kept.for_projector(settings, projector))
    sentence = view.picture_sentence(poses, controls.angle)
    return (
        shown(view.draw_angles(pixels, small, controls.angle), sentence),
        status(sentence, kept.timing_line(look.inference, decoded)),
        view.poses_table(poses),
    )


def _step(
    user: str, picture: Picture, model: str, projector: bool, person: Any, *values: Any
) -> tuple[Any, ...]:  # fmt: skip
    """viewer, status, summary, plot of a webcam frame."""
    controls = read_settings(AngleControls, NAMES, values)
    look = kept.look_at(picture, model, user)
    settings = controls.over(settings_for(model))
    poses, decoded = kept.timed_decode(look.inference, settings)
    people = kept.live_people(user)
    poses, _ = people.follow(poses, settings.smoothing)
    small = kept.scaled(poses, look.scale)
    pixels = view.draw_angles(
        draw(look.display, small, kept.for_projector(settings, projector)), small, controls.angle
    )  # fmt: skip
    sentence = view.picture_sentence(poses, controls.angle)
    line = status(sentence, kept.timing_line(look.inference, decoded), announce=False)
    return shown(pixels, sentence, 80), line, *over_time(people.series(), person, controls)


def over_time(series: AngleSeries, person: Any, controls: AngleControls) -> tuple[str, str]:
    """summary, plot of a series."""
    number = person_number(person)
    return view.summary_html(series, number, controls), view.plot_html(series, number, controls)


def person_number(value: Any) -> int:
    """The menu's value as a number; anything else means whoever is seen most."""
    return int(value) if isinstance(value, (int, float)) else view.MOST_SEEN


def series_of(user: str, mode: str, controls: AngleControls) -> AngleSeries:
    """What the plot is about: the live session's angles, the finished clip's, or none."""
    if mode == "live":
        return kept.live_people(user).series()
    clip: ClipAngles | None = memory_of(user).get(CLIP) if mode == "video" else None
    return AngleSeries() if clip is None else clip.series(controls)


def _components() -> Parts:
    with gr.Row(equal_height=False, elem_classes="answer"):
        with gr.Column(scale=5, min_width=300):
            result = viewer("pose-angles-result", "The picture appears here, with the chosen angle as an arc.")
            clip = video_file(
                label="Poses in the video", interactive=False, visible=False, elem_id="pose-angles-clip", height=420,
            )  # fmt: skip
            line = gr.HTML(status(), elem_id="pose-angles-status")
            summary = gr.HTML("", css_template=view.PLOT_CSS, elem_id="pose-angles-summary", apply_default_css=False)
        with gr.Column(scale=3, min_width=240):
            first = settings_components(AngleControls, NAMES[:1])
            person = moving_menu(
                [("whoever is seen most", view.MOST_SEEN)], value=view.MOST_SEEN, label="Person", filterable=False,
                elem_id="pose-angles-person",
            )  # fmt: skip
            rest = settings_components(AngleControls, NAMES[1:])
            suggest = gr.Button("Thresholds from the curve", size="sm", elem_id="pose-angles-suggest")
            restart = gr.Button("Start the live count over", size="sm", elem_id="pose-angles-restart")
    plot = gr.HTML(view.EMPTY, css_template=view.PLOT_CSS, elem_id="pose-angles-plot", apply_default_css=False)
    table = gr.HTML(elem_id="pose-angles-table", apply_default_css=False)
    gr.Markdown(view.DEFINITION, elem_classes="privacy")
    with gr.Row():
        save = gr.Button("CSV of all angles over time", elem_id="pose-angles-csv", scale=0, min_width=320)
        hidden = hidden_link("pose-angles-download")
    widgets = first | rest
    return Parts(
        result, clip, line, [widgets[name] for name in NAMES], person, suggest, restart, summary, plot, table, save,
        hidden, gr.State(None), gr.State(None),
    )  # fmt: skip


def _wire_controls(parts: Parts, shared: Shared) -> None:
    """Angle, thresholds, confidence and smoothing act on joints that were found."""

    def redraw(
        request: gr.Request, key: Any, mode: str, projector: bool, person: Any, *values: Any
    ) -> tuple[Any, ...]:  # fmt: skip
        user = session_of(request)
        controls = read_settings(AngleControls, NAMES, values)
        if mode == "picture":
            look = memory_of(user).get(key) if key is not None else None
            seen = (gr.skip(),) * 3 if look is None else drawn(look, controls, projector)
            return *seen, gr.skip(), gr.skip()
        return *(gr.skip(),) * 3, *over_time(series_of(user, mode, controls), person, controls)

    inputs = [parts.current, shared.mode, shared.projector, parts.person, *parts.settings]
    outputs = [parts.viewer, parts.status, parts.table, parts.summary, parts.plot]
    for widget in (*parts.settings, parts.person, shared.projector):
        widget.input(redraw, inputs, outputs, trigger_mode="always_last", **QUICK)

    def suggested(request: gr.Request, mode: str, person: Any, *values: Any) -> tuple[Any, ...]:
        controls = read_settings(AngleControls, NAMES, values)
        series = series_of(session_of(request), mode, controls)
        number = view.chosen_person(series, person_number(person))
        found = suggest_thresholds(series.series(number, controls.angle)[1]) if number is not None else None
        if found is None:
            gr.Info("The angle has not moved by 20 degrees yet: there is nothing to go by.")
            return gr.skip(), gr.skip()
        return round(found[0]), round(found[1])

    moved = parts.suggest.click(
        suggested, [shared.mode, parts.person, *parts.settings], parts.settings[1:3], **QUICK
    )  # fmt: skip
    moved.then(redraw, inputs, outputs, trigger_mode="always_last", **QUICK)


def _wire_buttons(parts: Parts, shared: Shared) -> None:
    def start_over(request: gr.Request, mode: str) -> tuple[Any, Any]:
        if mode != "live":
            gr.Info("This is for the camera. For a video, move the thresholds: it is counted anew at once.")
            return gr.skip(), gr.skip()
        people = kept.live_people(session_of(request))
        with people.lock:
            people.angles.rows.clear()
        return "", view.EMPTY

    def exported(user: str, _kind: str, mode: str, *values: Any) -> tuple[str, bytes]:
        series = series_of(user, mode, read_settings(AngleControls, NAMES, values))
        if not series.rows:
            raise InputError("There is nothing over time yet.", hint="Run a video or go live first.")
        return "joint-angles.csv", view.series_csv(series)

    parts.restart.click(start_over, shared.mode, [parts.summary, parts.plot], **QUICK)
    wire_downloads({"csv": parts.save}, parts.hidden, [shared.mode, *parts.settings], exported)


def _analyse(
    request: gr.Request, path: str, model: str, stride: int, person: Any, *values: Any
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """viewer, clip, status, finished, person, summary, plot while the video is analysed and afterwards."""
    user, latest = session_of(request), {}
    rest = (gr.skip(),) * 4
    try:
        controls = read_settings(AngleControls, NAMES, values)
        settings = controls.over(settings_for(model))
        source = files.claim(user, path)
        target = files.make(user, f"{source.stem}-poses.mp4")

        def preview(pixels: np.ndarray, sentence: str) -> None:
            latest["frame"] = (pixels, sentence)

        def work(progress: Any, cancel: Any) -> video.PoseVideo:
            track = kept.track_of(user, source, model, stride)
            return video.annotate(source, target, model, settings, track=track, stride=stride, user=user,
                                  progress=progress, preview=preview, cancel=cancel)  # fmt: skip

        yield gr.HTML(visible=True), gr.Video(visible=False), working("Opening the video", None), *rest
        for event in follow(work, every=0.3, stop=Stop(user, stop_key(TASK), "Press the button again to go on.")):
            if isinstance(event, Done):
                yield _finished(user, event.value, settings_for(model), source.name, controls)
            else:
                frame = latest.get("frame")
                picture = shown(display_copy(frame[0], 960)[0], frame[1]) if frame else gr.skip()
                yield picture, gr.skip(), working(event.text, event.fraction), *rest
    except CvDemoError as error:
        yield gr.skip(), gr.skip(), trouble(error), *rest


def _finished(
    user: str, result: video.PoseVideo, base: Any, name: str, controls: AngleControls
) -> tuple[Any, ...]:  # fmt: skip
    times = tuple((index, time) for index, time, _ in result.frames)
    memory_of(user).put(CLIP, ClipAngles(result.track, times, base, name))
    how = f"{result.network_runs} network runs" if result.network_runs else "without the network"
    line = status(view.frames_sentence(result.angles, [time for _, time in times]), f"{result.seconds:.1f} s, {how}")
    menu = gr.Dropdown(choices=view.person_choices(result.angles), value=view.MOST_SEEN)
    clip = gr.Video(str(result.path), visible=True)
    made = over_time(result.angles, view.MOST_SEEN, controls)
    return gr.HTML(visible="hidden"), clip, line, line, menu, *made


def _wire_modes(parts: Parts, shared: Shared) -> None:
    """Each mode shows its own result: the picture's arcs, the clip's curve, or the live one."""
    ask = {
        "video": status("", "Choose a video, then press the button."),
        "live": status("", "Allow the camera, then press Record."),
    }

    def enter(request: gr.Request, mode: str, finished: str | None, *values: Any) -> tuple[Any, ...]:
        controls = read_settings(AngleControls, NAMES, values)
        series = series_of(session_of(request), mode, controls)
        menu = gr.Dropdown(choices=view.person_choices(series), value=view.MOST_SEEN)
        over = over_time(series, view.MOST_SEEN, controls)
        if mode == "picture":
            return gr.HTML(visible=True), gr.Video(visible=False), gr.skip(), gr.skip(), menu, *over
        if mode == "video" and finished:
            return gr.HTML(visible="hidden"), gr.Video(visible=True), finished, "", menu, *over
        return gr.HTML(None, visible=True), gr.Video(visible=False), ask[mode], "", menu, *over

    outputs = [parts.viewer, parts.clip, parts.status, parts.table, parts.person, parts.summary, parts.plot]
    shared.mode.change(enter, [shared.mode, parts.finished, *parts.settings], outputs, **QUICK)
