"""The left column of a task's page, and its lesson."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from cvdemo.core import registry
from cvdemo.ui import lessons
from cvdemo.ui.examples import Example, clips
from cvdemo.ui.sessions import files
from cvdemo.ui.widgets import picture_file, video_file

PRIVACY = "Pictures are processed on the machine that runs cvdemo and kept only while this page is open."
EVERY_FRAME = ("Every n-th frame", "Larger is faster and less smooth. Needs the network.", 10, 1)


@dataclass(frozen=True)
class Inputs:
    """The left column. ``modes``: its tabs by name.   second: None where one picture is looked at.

    clip, stride, start, stop: None where there is no video.
    """

    modes: dict[str, Any]
    picture: Any
    camera: Any
    model: Any
    card: Any
    line: Any
    second: Any = None
    clip: Any = None
    stride: Any = None
    start: Any = None
    stop: Any = None


def create_inputs(
    task: str,
    default_model: str,
    choices: list[tuple[str, str]],
    video: str | None,
    examples: list[Example],
    stride: tuple[str, str, int, int],
    pair: tuple[str, str] | None = None,
) -> Inputs:
    """Build the left column: a picture (two where ``pair`` labels them), a video (where ``video`` words its button) or
    the camera, and the model.

    choices: (label, name) of the models.   stride: as in ``Plan``.
    """
    modes: dict[str, Any] = {}
    moving: dict[str, Any] = {}
    with gr.Tabs():
        with gr.Tab("Picture", id="picture") as modes["picture"]:
            pictures = _pair_inputs(task, pair) if pair else [_picture_input(task)]
            gr.Examples(
                [[str(path) for path in (example.path, example.second)[: len(pictures)]] for example in examples],
                inputs=pictures, label="Examples", elem_id=f"{task}-examples", api_visibility="private",
            )  # fmt: skip
        if video is not None:
            with gr.Tab("Video", id="video") as modes["video"]:
                moving = _video_inputs(task, video, stride)
        with gr.Tab("Live", id="live") as modes["live"]:
            camera = gr.Image(
                label="Webcam: allow access, then press Record", sources=["webcam"], streaming=True, type="numpy",
                height=200, webcam_options=gr.WebcamOptions(mirror=False), elem_id=f"{task}-camera",
            )  # fmt: skip
    line = gr.HTML(elem_id=f"{task}-live", apply_default_css=False)
    model = gr.Dropdown(
        choices, value=default_model, label="Model (runs the network again)", filterable=False,
        elem_id=f"{task}-model",
    )  # fmt: skip
    with gr.Accordion("Model card", open=False):
        card = gr.Markdown(registry.model_card(registry.get(default_model)), elem_classes="numbers")
    gr.Markdown(PRIVACY, elem_classes="privacy")
    return Inputs(modes, pictures[0], camera, model, card, line, pictures[1] if pair else None, **moving)


def _picture_input(task: str) -> Any:
    return picture_file(
        label="Drop, paste or photograph a picture", sources=["upload", "webcam", "clipboard"], height=200,
        elem_id=f"{task}-picture",
    )  # fmt: skip


def _pair_inputs(task: str, labels: tuple[str, str]) -> list[Any]:
    """Two pictures next to each other."""
    with gr.Row():
        return [
            picture_file(
                label=label, sources=["upload", "webcam", "clipboard"], height=170, min_width=130,
                elem_id=f"{task}-{name}",
            )
            for label, name in zip(labels, ("picture", "second"))
        ]  # fmt: skip


def _video_inputs(task: str, words: str, steps: tuple[str, str, int, int]) -> dict[str, Any]:
    clip = video_file(
        label="Drop or choose a video file", sources=["upload"], height=200, elem_id=f"{task}-clip"
    )  # fmt: skip
    gr.Examples(
        [[str(example.path)] for example in clips(files.examples)], inputs=[clip], label="Example",
        api_visibility="private",
    )  # fmt: skip
    label, info, most, default = steps
    stride = gr.Slider(1, most, default, step=1, label=label, info=info, buttons=[])
    with gr.Row(equal_height=True):
        start = gr.Button(words, variant="primary", elem_id=f"{task}-run-video")
        stop = gr.Button("Stop", elem_id=f"{task}-stop")
    return {"clip": clip, "stride": stride, "start": start, "stop": stop}


def create_lesson(task: str) -> list[tuple[Any, dict[str, str]]]:
    """Build the lesson of a task; returns its buttons with the query each one sets."""
    lesson = lessons.load(task)
    gr.Markdown(f"**What you see.** {lesson.see}")
    gr.Markdown("**Try this.**")
    buttons = []
    for attempt in lesson.tries:
        with gr.Row(equal_height=True):
            buttons.append((gr.Button(attempt.label, size="sm", scale=1, min_width=180), attempt.query))
            gr.Markdown(attempt.text, container=False)
    gr.Markdown(f"**On the slides.** {lesson.slides}")
    return buttons
