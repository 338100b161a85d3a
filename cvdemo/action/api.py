"""The action task over HTTP: typed, documented endpoints for ``gradio_client`` and other programs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from cvdemo.action import predict
from cvdemo.action.clips import sample_clip
from cvdemo.action.predict import DEFAULT_MODEL, TASK, ActionSettings
from cvdemo.action.timeline import decode_timeline, timeline
from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import is_video, read_picture
from cvdemo.ui.endpoints import models_of, settings_of, unchecked
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.widgets import component, read_settings

_FIELDS = ActionSettings.fields_of()
_NAMES = tuple(field.name for field in _FIELDS)


def action(
    clip: str | None,
    model: str,
    start: float,
    top_k: int,
    threshold: float,
    temperature: float,
    smoothing: float,
    request: gr.Request,
) -> dict[str, Any]:
    """
    Say which action a clip (or a picture) shows.

    Parameters:
        clip: the file of a video or picture.
        model: a name from /action_models.
        start: seconds into the video from which the model looks.
        top_k: return this many actions, the most probable.
        threshold: an action less probable than this is not claimed, 0 to 1.
        temperature: scores are divided by this before the softmax, 0.1 to 10.
        smoothing: of timelines only; without effect here.
    Returns:
        A dictionary {"clip": {"name", "start", "end", "frames", "width", "height", "note"}, "model", "sure",
        "predictions": [{"label", "index", "probability"}], "sentence", "milliseconds"}.
    """
    user = session_of(request)
    try:
        settings = read_settings(ActionSettings, _NAMES, (top_k, threshold, temperature, smoothing))
        path = _claimed(user, clip)
        name = model or DEFAULT_MODEL
        seen: Any
        if is_video(path):
            seen = sample_clip(path, start=float(start or 0.0), spec=predict.clip_spec(name))
        else:
            seen = read_picture(path)
        inference = predict.infer(seen, name, user=user)
        actions = predict.decode(inference, settings)
    except CvDemoError as error:
        raise gr.Error(str(error), print_exception=False) from error
    result = actions.to_dict(path.name)
    result["sentence"] = actions.sentence()
    result["milliseconds"] = {stage: round(ms, 3) for stage, ms in inference.stages.items()}
    return result


def action_timeline(
    clip: str | None,
    model: str,
    stride: float,
    top_k: int,
    threshold: float,
    temperature: float,
    smoothing: float,
    request: gr.Request,
) -> dict[str, Any]:
    """
    Say which actions a video shows when.

    Parameters:
        clip: the video's file.
        model: a name from /action_models.
        stride: seconds between windows; 0 for half of what the model looks at.
        top_k: actions given of each window.
        threshold: an action less probable than this is not claimed, 0 to 1.
        temperature: scores are divided by this before the softmax, 0.1 to 10.
        smoothing: time constant in seconds with which probabilities follow a change, 0 to 5.
    Returns:
        A dictionary {"video": {"name", "duration", "notes"}, "model", "windows": [{"time", "sure", "predictions"}],
        "segments": [{"start", "end", "label", "probability"}], "sentence", "milliseconds"}.
    """
    user = session_of(request)
    try:
        settings = read_settings(ActionSettings, _NAMES, (top_k, threshold, temperature, smoothing))
        path = _claimed(user, clip)
        raw = timeline(path, model or DEFAULT_MODEL, stride=float(stride) if stride else None, user=user)
        curves = decode_timeline(raw, settings)
    except CvDemoError as error:
        raise gr.Error(str(error), print_exception=False) from error
    result = curves.to_dict(path.name)
    result["sentence"] = curves.sentence()
    result["milliseconds"] = {stage: round(ms, 3) for stage, ms in raw.stages.items()}
    return result


def _claimed(user: str, clip: str | None) -> Any:
    if not clip:
        raise InputError("No clip was sent.", hint="Pass a video's file as clip.")
    return files.claim(user, clip)


def action_settings() -> dict[str, Any]:
    """
    The settings of /action: label, help, default and allowed values of each.

    Returns:
        A dictionary from the setting's name to its description.
    """
    return settings_of(_FIELDS)


def action_models() -> list[dict[str, Any]]:
    """
    The action models this server knows, and whether each can be used now.

    Returns:
        A list of {"name", "title", "tier", "family", "parameters", "gflops", "actions", "frames", "rate", "available",
        "reason", "remedy"}.
    """
    return models_of(registry.models(task=TASK), _clip_facts)


def _clip_facts(spec: registry.ModelSpec) -> dict[str, Any]:
    clip = spec.extras[predict.CLIP]
    return {"actions": list(spec.categories), "frames": clip.frames, "rate": clip.rate}


def add_action_api() -> None:
    """Register the endpoints in the current ``gr.Blocks``."""
    with gr.Column(visible=False):
        clip = gr.File(label="clip", type="filepath")
        model = gr.Textbox(DEFAULT_MODEL, label="model")
        start, stride = gr.Number(0.0, label="start"), gr.Number(0.0, label="stride")
        settings = [unchecked(component(field)) for field in _FIELDS]
        result = gr.JSON(label="result")
        button = gr.Button("Action")
    button.click(action, [clip, model, start, *settings], result, api_name="action", concurrency_id="action-api",
                 concurrency_limit=8)  # fmt: skip
    button.click(action_timeline, [clip, model, stride, *settings], result, api_name="action_timeline",
                 concurrency_id="action-api", concurrency_limit=8)  # fmt: skip
    gr.api(action_settings, api_name="action_settings", queue=False)
    gr.api(action_models, api_name="action_models", queue=False)
