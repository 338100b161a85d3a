"""The left column of a task's page."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from cvdemo.core import registry
from cvdemo.ui.examples import Example, clips
from cvdemo.ui.sessions import files
from cvdemo.ui.views import View
from cvdemo.ui.widgets import picture_file, video_file

PRIVACY = "Pictures are processed on the machine that runs cvdemo and kept only while this page is open."
MODEL = "Model (runs the network again)"
EVERY_FRAME = ("Every n-th frame", "Larger is faster and less smooth. Needs the network.", 10, 1)


@dataclass(frozen=True)
class Inputs:
    """The left column. ``modes``: its tabs by name.   second: None where one picture is looked at.

    clip, stride, start, stop: None where there is no video.   more: the task's own controls.
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
    more: View | None = None


@dataclass(frozen=True)
class Partner:
    """A second picture that is chosen by itself and stays in view for pictures, videos and the camera.

    key: its name in the page's address.   label, first_label: of its place, and of the first one's.
    examples: copied to the folder it is given.   first: the example at the start.
    """

    key: str
    label: str
    first_label: str
    examples: Callable[[Path], list[Example]]
    first: str

    def chosen(self, query: dict[str, str]) -> str | None:
        """The file of the example that an address names, or of the first one."""
        known = {example.name: str(example.path) for example in self.examples(files.examples)}
        return known.get(query.get(self.key, ""), known.get(self.first))

    def address_script(self) -> str:
        """Client-side function that writes the chosen example's name into the page's address; uploads have none."""
        found = self.examples(files.examples)
        names = json.dumps({f"{example.path.parent.name}/{example.path.name}": example.name for example in found})
        key, first = json.dumps([self.key]), json.dumps([self.first])
        return (
            f"(file) => {{ const name = file ? {names}[(file.path || '').split(/[\\\\/]/).slice(-2).join('/')] : null; "
            f"window.cvdemo.rememberInAddress({key}, {first}, [name ?? null]); return []; }}"
        )


def create_inputs(
    task: str,
    choices: list[tuple[str, str]],
    default_model: str,
    video: str | None,
    examples: list[Example],
    stride: tuple[str, str, int, int],
    *,
    pair: tuple[str, str] | None = None,
    partner: Partner | None = None,
    more: Callable[[], View] | None = None,
    model_label: str = MODEL,
) -> Inputs:
    """Build the left column: a picture (two where ``pair`` labels them), a video (where ``video`` words its button) or
    the camera, the ``partner`` and what ``more`` builds, and the model.

    choices: the model menu's (label, name).   stride, partner, more, model_label: as in ``Plan``.
    """
    modes: dict[str, Any] = {}
    moving: dict[str, Any] = {}
    with gr.Tabs():
        with gr.Tab("Picture", id="picture") as modes["picture"]:
            pictures = _pair_inputs(task, pair) if pair else [_picture_input(task, partner)]
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
    second = pictures[1] if pair else None if partner is None else _partner_input(task, partner)
    own = None if more is None else more()
    model = gr.Dropdown(
        choices, value=default_model, label=model_label, filterable=False, elem_id=f"{task}-model"
    )  # fmt: skip
    with gr.Accordion("Model card", open=False):
        card = gr.Markdown(registry.model_card(registry.get(default_model)), elem_classes="numbers")
    gr.Markdown(PRIVACY, elem_classes="privacy")
    return Inputs(modes, pictures[0], camera, model, card, line, second, **moving, more=own)


def _picture_input(task: str, partner: Partner | None) -> Any:
    label = partner.first_label if partner else "Drop, paste or photograph a picture"
    return picture_file(
        label=label, sources=["upload", "webcam", "clipboard"], height=200,
        elem_id=f"{task}-picture",
    )  # fmt: skip


def _partner_input(task: str, partner: Partner) -> Any:
    place = picture_file(
        label=partner.label, sources=["upload", "clipboard"], height=150, elem_id=f"{task}-second"
    )  # fmt: skip
    gr.Examples(
        [[str(example.path)] for example in partner.examples(files.examples)], inputs=[place], label="Examples",
        examples_per_page=12, elem_id=f"{task}-seconds", api_visibility="private",
    )  # fmt: skip
    return place


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
