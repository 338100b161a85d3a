"""The flow task over HTTP: typed, documented endpoints for ``gradio_client`` and other programs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import read_picture, save_picture
from cvdemo.flow import predict
from cvdemo.flow.files import read_flow, write_flow
from cvdemo.flow.metrics import score
from cvdemo.flow.predict import DEFAULT_MODEL, TASK, FlowSettings
from cvdemo.ui.endpoints import models_of, settings_of, unchecked
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.widgets import component, picture_file, read_settings

_FIELDS = FlowSettings.fields_of()
_NAMES = tuple(field.name for field in _FIELDS)


def flow(
    first: str | None,
    second: str | None,
    truth: str | None,
    model: str,
    backward: bool,
    view: str,
    maximum: float,
    iteration: int,
    opacity: float,
    arrow_spacing: int,
    arrow_scale: float,
    show_occlusion: bool,
    alpha: float,
    beta: float,
    iterations: int,
    variational: str,
    request: gr.Request,
) -> tuple[dict[str, Any], str, str]:
    """
    Estimate the motion from one picture to the next.

    Parameters:
        first: the first picture's file.
        second: the second picture's file.
        truth: a file with the true flow (.flo, KITTI PNG or .npy), or null; errors are then measured.
        model: a name from /flow_models.
        backward: also compute the flow back, to find pixels without a counterpart.
        view: colour, arrows, magnitude or occlusion.
        maximum: the speed drawn in full colour in pixels, 0 for the field's own 99th percentile.
        iteration: which refinement of an iterative network to return, from 1; 0 is the last.
        opacity: 1 draws the flow alone, 0 the first picture alone.
        arrow_spacing: pixels between two arrows.
        arrow_scale: arrows are drawn this many times as long as the motion.
        show_occlusion: darken pixels without a counterpart.
        alpha: occlusion check, squared disagreement allowed per squared motion.
        beta: occlusion check, squared disagreement always allowed, in square pixels.
        iterations: how often an iterative network refines the flow, 1 to 32.
        variational: auto, on or off: whether the result is made exact by minimising an energy over both pictures.
    Returns:
        A dictionary {"model", "width", "height", "iteration", "iterations", "variational", "speed": {"mean",
        "median", "p95", "maximum", "direction", "coherence", "moving"}, "occluded_share", "notes", "sentence",
        "decode_ms", "milliseconds", "truth": {"epe", "fl_all", "angular", ...} or null}; the drawn picture (PNG); and
        the flow as a Middlebury .flo file.
    """
    values = (view, maximum, iteration, opacity, arrow_spacing, arrow_scale, show_occlusion, alpha, beta, iterations,
              variational)  # fmt: skip
    user = session_of(request)
    try:
        if not first or not second:
            raise InputError("Two pictures are needed.", hint="Pass files as first and second.")
        settings = read_settings(FlowSettings, _NAMES, values)
        before, after = (read_picture(files.claim(user, path)) for path in (first, second))
        back = bool(backward) or settings.view == "occlusion" or settings.show_occlusion
        inference = predict.infer(
            before, after, model or DEFAULT_MODEL, backward=back, iterations=settings.iterations,
            variational=settings.variational, user=user,
        )  # fmt: skip
        field = predict.decode(inference, settings)
        measured = None
        if truth:
            known_flow, known = read_flow(files.claim(user, truth))
            measured = score(field.flow, known_flow, known, field.occluded).to_dict()
        drawn, written = files.make(user, "flow.png"), files.make(user, "flow.flo")
        save_picture(drawn, predict.draw(before.pixels, field, settings))
        write_flow(written, field.flow)
    except CvDemoError as error:
        raise gr.Error(str(error), print_exception=False) from error
    result = field.to_dict()
    result["milliseconds"] = {stage: round(ms, 3) for stage, ms in inference.stages.items()}
    result["truth"] = measured
    return result, str(drawn), str(written)


def flow_settings() -> dict[str, Any]:
    """
    The settings of /flow: label, help, default and allowed values of each.

    Returns:
        A dictionary from the setting's name to its description.
    """
    return settings_of(_FIELDS)


def flow_models() -> list[dict[str, Any]]:
    """
    The flow methods this server knows, and whether each can be used now.

    Returns:
        A list of {"name", "title", "tier" (compact, full or classical), "family", "parameters", "gflops", "available",
        "reason", "remedy"}.
    """
    return models_of(registry.models(task=TASK))


def add_flow_api() -> None:
    """Register the endpoints in the current ``gr.Blocks``."""
    with gr.Column(visible=False):
        first, second = picture_file(label="first"), picture_file(label="second")
        truth = gr.File(label="truth", type="filepath")
        model = gr.Textbox(DEFAULT_MODEL, label="model")
        backward = gr.Checkbox(False, label="backward")
        settings = [unchecked(component(field)) for field in _FIELDS]
        result = gr.JSON(label="result")
        drawn, written = gr.File(label="picture"), gr.File(label="flow")
        button = gr.Button("Flow")
    button.click(
        flow, [first, second, truth, model, backward, *settings], [result, drawn, written], api_name="flow",
        concurrency_id="flow-api", concurrency_limit=8,
    )  # fmt: skip
    gr.api(flow_settings, api_name="flow_settings", queue=False)
    gr.api(flow_models, api_name="flow_models", queue=False)
