"""The Ground truth view: a COCO keypoints file in, PCK, PCKh and OKS-AP out, right and wrong joints in the picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from cvdemo.core.errors import CvDemoError
from cvdemo.pose import tab_shared as kept
from cvdemo.pose import truth as truths
from cvdemo.pose import truth_view as view
from cvdemo.pose.poses import Poses
from cvdemo.pose.predict import PEOPLE_FLOOR, PoseInference, decode, settings_for
from cvdemo.pose.tab_shared import SHOWN, TRUTH, Look
from cvdemo.pose.truth_view import TRUE, TruthControls
from cvdemo.ui.background import Done, follow
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import problem, shown, status, trouble, viewer, working
from cvdemo.ui.views import QUICK, Refresh, Shared, View
from cvdemo.ui.widgets import read_settings, settings_components, upload_button

NAMES = ("alpha", "boxes")
LOADED = ("pose", "truth")
"""Where the session's memory keeps the truth that was loaded."""


@dataclass(frozen=True)
class Parts:
    """The view's components."""

    viewer: Any
    status: Any
    panel: Any
    upload: Any
    stand_in: Any
    forget: Any
    settings: list[Any]

    @property
    def answer(self) -> list[Any]:
        """What ``drawn`` fills."""
        return [self.viewer, self.status, self.panel]


def create_truth_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    inputs = [shared.picture, shared.model, *parts.settings]
    running: dict[str, Any] = {
        "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "pose-truth",
        "concurrency_limit": 8,
    }  # fmt: skip
    parts.settings[0].input(_redraw, inputs, parts.answer, **QUICK, trigger_mode="always_last")
    parts.settings[1].input(_run, inputs, parts.answer, **running)
    parts.upload.upload(_load, [parts.upload, *inputs], parts.answer, **running)
    parts.stand_in.click(_stand_in, inputs, parts.answer, **running)
    parts.forget.click(_forget, inputs, parts.answer, **running)
    return View(
        TRUTH,
        refresh=Refresh(_run, inputs, parts.answer),
        settings=TruthControls,
        controls=dict(zip(NAMES, parts.settings)),
    )


def _components() -> Parts:
    with gr.Row():
        upload = upload_button(
            "Load a COCO keypoints json", file_types=[".json"], variant="primary", elem_id="pose-truth-upload"
        )
        stand_in = gr.Button("Take the joints shown now", elem_id="pose-truth-stand-in")
        forget = gr.Button("Forget the ground truth", elem_id="pose-truth-forget")
    with gr.Row():
        settings = settings_components(TruthControls, NAMES)
    result = viewer("pose-truth-result", "The picture appears here, with right and wrong joints.")
    line = gr.HTML(status(), elem_id="pose-truth-status")
    gr.HTML(view.legend_html(), apply_default_css=False)
    panel = gr.HTML(view.definitions_html(), elem_id="pose-truth-panel", apply_default_css=False)
    return Parts(result, line, panel, upload, stand_in, forget, [settings[name] for name in NAMES])


def _run(request: gr.Request, path: str | None, model: str, *values: Any) -> Iterator[tuple[Any, ...]]:
    """viewer, status, panel for the picture and the truth there is."""
    user = session_of(request)
    if not path:
        yield gr.skip(), problem("Choose a picture on the left first."), gr.skip()
        return
    try:
        controls = read_settings(TruthControls, NAMES, values)
        picture = picture_of(user, path)

        def work(progress: Any, cancel: Any) -> tuple[Any, ...]:
            look = kept.look_of(user, picture, model, progress=progress, cancel=cancel)
            return drawn(user, look, controls)

        for event in follow(work):
            if isinstance(event, Done):
                yield event.value
            else:
                yield gr.skip(), working(event.text, event.fraction), gr.skip()
    except CvDemoError as error:
        yield gr.skip(), trouble(error), gr.skip()


def _redraw(request: gr.Request, path: str | None, model: str, *values: Any) -> tuple[Any, ...]:
    """The same for a control that needs no network."""
    made: tuple[Any, ...] = (gr.skip(),) * 3
    for made in _run(request, path, model, *values):  # noqa: B007  the last one counts
        pass
    return made


def drawn(user: str, look: Look, controls: TruthControls) -> tuple[Any, ...]:
    """viewer, status, panel of a look. InputError when the truth does not fit the picture."""
    truth: truths.PoseTruth | None = memory_of(user).get(LOADED)
    if truth is None:
        poses = _everybody(look.inference)
        words = f"The picture; {poses.sentence()}"
        return shown(look.display, words), status(view.NONE_YET, view.NO_TRUTH), view.definitions_html()
    raw = look.inference.raw
    people, remark = truth.of(look.picture.name, raw.height, raw.width)
    inference, given = look.inference, controls.boxes == TRUE
    if given:
        inference = kept.on_people(
            user, look.picture, look.inference.model, truths.boxes_of(people), memory_of(user)
        )  # fmt: skip
    # what alpha does not change is kept while its slider moves
    key = ("pose score", look.picture.name, look.picture.fingerprint, inference.model, given, truth)
    known = memory_of(user).recall(key, lambda: truths.assess(people, _everybody(inference), given=given))
    score = truths.with_alpha(known, controls.alpha)
    sentence = view.sentence_of(score, controls.boxes)
    pixels = view.draw_truth(look.display, truths.true_poses(people, raw.height, raw.width), score, look.scale)
    timing = kept.timing_line(inference)
    return shown(pixels, sentence), status(sentence, timing), view.panel_html(score, truth, remark)


def _everybody(inference: PoseInference) -> Poses:
    """All poses, doubtful ones too: average precision ranks them by score."""
    settings = replace(settings_for(inference.model), box_threshold=PEOPLE_FLOOR, max_people=100)
    return decode(inference, settings)


def _load(
    request: gr.Request, uploaded: str | None, path: str | None, model: str, *values: Any
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    user = session_of(request)
    if not uploaded:
        yield gr.skip(), problem(view.NO_TRUTH), gr.skip()
        return
    try:
        memory_of(user).put(LOADED, truths.read_truth(files.claim(user, Path(uploaded))))
    except CvDemoError as error:
        yield gr.skip(), trouble(error), gr.skip()
        return
    yield from _run(request, path, model, *values)


def _stand_in(request: gr.Request, path: str | None, model: str, *values: Any) -> Iterator[tuple[Any, ...]]:
    user = session_of(request)
    try:
        picture = picture_of(user, path)
        settings = memory_of(user).get(SHOWN) or settings_for(model)
        poses = decode(kept.look_of(user, picture, model).inference, settings)
    except CvDemoError as error:
        yield gr.skip(), trouble(error), gr.skip()
        return
    if not poses.visible.any():
        words = (
            "The Skeleton view shows no joints on this picture. Lower its joint confidence, or choose another picture."
        )
        yield gr.skip(), problem(words), gr.skip()
        return
    memory_of(user).put(LOADED, truths.stand_in(picture.name, poses))
    yield from _run(request, path, model, *values)


def _forget(request: gr.Request, path: str | None, model: str, *values: Any) -> Iterator[tuple[Any, ...]]:
    memory_of(session_of(request)).put(LOADED, None)
    yield from _run(request, path, model, *values)
