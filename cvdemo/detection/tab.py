"""The Detection tab: where everything stands. What happens is in ``tab_events`` and ``tab_media``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from cvdemo.core import registry
from cvdemo.detection import view
from cvdemo.detection.predict import DEFAULT_MODEL, TASK, DetectionSettings
from cvdemo.detection.tab_events import MAIN, MORE, NAMES, Parts, wire_exports, wire_picture, wire_sliders
from cvdemo.detection.tab_lecture import lecture_tabs
from cvdemo.detection.tab_lecture_events import wire_lecture
from cvdemo.detection.tab_media import wire_live, wire_modes, wire_video
from cvdemo.ui import live
from cvdemo.ui.downloads import hidden_link
from cvdemo.ui.examples import Example, clips, pictures
from cvdemo.ui.lesson_view import create_lesson
from cvdemo.ui.sessions import files
from cvdemo.ui.viewer import status, viewer
from cvdemo.ui.widgets import model_choices, picture_file, settings_components, video_file, widget_values

PRIVACY = "Pictures are processed on the machine that runs cvdemo and kept only while this page is open."


@dataclass(frozen=True)
class DetectionTab:
    """What the page needs of the finished tab."""

    parts: Parts
    examples: list[Example]

    @property
    def opening(self) -> list[Any]:
        """The components that ``open`` sets, in its order."""
        return [self.parts.model, self.parts.picture, *self.parts.settings]

    def open(self, query: dict[str, str]) -> list[Any]:
        """Model, example and settings from the page's address, which anybody may have edited.

        Setting the picture fires its change event, which runs the network with the settings already in place.
        """
        known = [name for _, name in model_choices(TASK)]
        model = query.get("model", DEFAULT_MODEL)
        examples = self.examples
        chosen = next((e for e in examples if e.name == query.get("example")), examples[0] if examples else None)
        settings = DetectionSettings.from_query({name: query[name] for name in NAMES if name in query})
        return [
            gr.Dropdown(choices=model_choices(TASK), value=model if model in known else DEFAULT_MODEL),
            str(chosen.path) if chosen else None,
            *widget_values(settings, NAMES),
        ]

    @staticmethod
    def forget(session: str) -> None:
        """Drop what the tab keeps of a visitor who left."""
        live.forget(session)


def create_detection_tab(shell: Any, user_limit: int) -> DetectionTab:
    """Build the tab inside the current ``gr.Tab``.

    shell: offers ``projector``, ``pill`` and ``refresh_pill``.   user_limit: webcams at the same time.
    """
    examples = pictures(files.examples)
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=320):
            inputs = _inputs(examples)
        with gr.Column(scale=7, min_width=380):
            results = _results()
    parts = Parts(
        **inputs,
        **results,
        projector=shell.projector,
        pill=shell.pill,
        picture_state=gr.State(None, time_to_live=3600),
        view_cache=gr.State(view.ViewCache(), time_to_live=3600),
        clip_state=gr.State(None, time_to_live=3600),
        mode=gr.State("picture"),
    )
    run = wire_picture(parts, shell.refresh_pill)
    wire_sliders(parts)
    wire_lecture(parts)
    wire_exports(parts)
    wire_video(parts)
    wire_live(parts, user_limit)
    wire_modes(parts, run)
    return DetectionTab(parts, examples)


def _inputs(examples: list[Example]) -> dict[str, Any]:
    """The left column: one input in three modes, the model, the controls."""
    with gr.Tabs():
        with gr.Tab("Picture", id="picture") as picture_mode:
            picture = picture_file(
                label="Drop, paste or photograph a picture",
                sources=["upload", "clipboard", "webcam"],
                height=200,
                elem_id="detection-picture",
            )
            gr.Examples(
                [[str(example.path)] for example in examples],
                inputs=[picture],
                label="Examples",
                elem_id="detection-examples",
                api_visibility="private",
            )
            with gr.Row():
                find = gr.Button("Find objects", variant="primary", scale=3, elem_id="detection-find")
                halt = gr.Button("Stop", scale=1, min_width=80, elem_id="detection-halt")
        with gr.Tab("Video", id="video") as video_mode:
            clip = video_file(
                label="Drop or choose a video file", sources=["upload"], height=200, elem_id="detection-clip"
            )
            gr.Examples(
                [[str(example.path)] for example in clips(files.examples)],
                inputs=[clip],
                label="Example",
                api_visibility="private",
            )
            stride = gr.Slider(
                1, 10, 1, step=1, label="Every n-th frame", buttons=[],
                info="Larger is faster and less smooth. Needs the network.",
            )  # fmt: skip
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
    model = gr.Dropdown(
        model_choices(TASK), value=DEFAULT_MODEL, label="Model (runs the network again)", filterable=False,
        elem_id="detection-model",
    )  # fmt: skip
    with gr.Accordion("Model card", open=False):
        card = gr.Markdown(registry.model_card(registry.get(DEFAULT_MODEL)), elem_classes="numbers")
    widgets = settings_components(DetectionSettings, MAIN)
    with gr.Accordion("More", open=False):
        widgets |= settings_components(DetectionSettings, MORE)
        own = gr.Button("Use the model's own thresholds", size="sm")
    gr.Markdown(PRIVACY, elem_classes="privacy")
    return {
        "modes": {"picture": picture_mode, "video": video_mode, "live": live_mode},
        "picture": picture, "find": find, "halt": halt, "clip": clip, "stride": stride, "start": start, "stop": stop,
        "camera": camera, "model": model, "card": card, "settings": [widgets[name] for name in NAMES], "own": own,
    }  # fmt: skip


def _results() -> dict[str, Any]:
    """The right column: the result, its sentence, and the tabs to inspect it."""
    result = viewer("detection-result", "The result appears here. Choose a picture, a video or the camera.")
    result_clip = video_file(label="Result", visible=False, interactive=False, elem_id="detection-result-clip")
    line = gr.HTML(status(), elem_id="detection-status")
    with gr.Tabs():
        with gr.Tab("Table") as table_tab:
            table = gr.Dataframe(
                [], headers=list(view.TABLE_HEADER), interactive=False, wrap=True, show_label=False, max_height=320,
                elem_id="detection-table",
            )  # fmt: skip
        with gr.Tab("Numbers") as numbers_tab:
            numbers = gr.HTML(elem_id="detection-numbers")
        with gr.Tab("Over time") as time_tab:
            over_time = gr.LinePlot(
                None, x="time", y="objects", color="class", x_title="seconds", y_title="objects", height=300,
                label="Objects in each frame of the video",
            )  # fmt: skip
        lecture = lecture_tabs()
        with gr.Tab("Lesson") as lesson_tab:
            lesson = create_lesson(TASK)
        with gr.Tab("Download") as download_tab:
            gr.Markdown("The picture in full size, the boxes in COCO layout, or a table.")
            with gr.Row():
                downloads = {kind: gr.Button(kind.upper()) for kind in ("png", "json", "csv")}
            counts_button = gr.Button("CSV of the video's counts")
            hidden = hidden_link("detection-download")
    return {
        "viewer": result, "result_clip": result_clip, "status": line, "table": table, "numbers": numbers,
        "over_time": over_time, "lecture": lecture,
        "plain_tabs": [table_tab, numbers_tab, time_tab, lesson_tab, download_tab],
        "lesson": lesson, "downloads": downloads, "counts_button": counts_button,
        "hidden_download": hidden,
    }  # fmt: skip
