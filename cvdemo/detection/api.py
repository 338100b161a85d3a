"""The detection task over HTTP: typed, documented endpoints for ``gradio_client`` and other programs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError
from cvdemo.core.media import read_picture, save_picture
from cvdemo.detection.predict import DEFAULT_MODEL, TASK, DetectionSettings, decode, draw, infer
from cvdemo.ui.endpoints import models_of, settings_of, unchecked
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.widgets import component, picture_file, read_settings

_FIELDS = DetectionSettings.fields_of()
_NAMES = tuple(field.name for field in _FIELDS)


def detect(
    image: str | None,
    model: str,
    score_threshold: float,
    iou_threshold: float,
    nms_kind: str,
    max_detections: int,
    min_size: float,
    sigma: float,
    classes: list[str],
    line_width: int,
    show_labels: bool,
    show_scores: bool,
    request: gr.Request,
) -> tuple[dict[str, Any], str]:
    """
    Find objects in a picture.

    Parameters:
        image: the picture's file.
        model: a name from /detection_models.
        score_threshold: keep boxes with a score above this, 0 to 1.
        iou_threshold: overlap above which one box suppresses another, 0 to 1.
        nms_kind: hard, class-agnostic, soft-linear, soft-gaussian or none.
        max_detections: keep at most this many boxes, best first.
        min_size: drop boxes with a shorter side than this, in pixels.
        sigma: width of the Gaussian in soft suppression.
        classes: show only these classes; an empty list shows all.
        line_width: thickness of drawn boxes in pixels.
        show_labels: write the class on each box.
        show_scores: write the score beside the class.
    Returns:
        A dictionary {"image", "model", "detections": [{"label", "category_id", "score", "box": [x1, y1, x2, y2]}],
        "sentence", "milliseconds"}, and the picture with the boxes drawn in (PNG).
    """
    values = (score_threshold, iou_threshold, nms_kind, max_detections, min_size, sigma, classes, line_width,
              show_labels, show_scores)  # fmt: skip
    user = session_of(request)
    try:
        if not image:
            raise CvDemoError("No picture was sent.", hint="Pass a file as image.")
        settings = read_settings(DetectionSettings, _NAMES, values)
        picture = read_picture(files.claim(user, image))
        inference = infer(picture, model or DEFAULT_MODEL, user=user)
        decoded = decode(inference, settings)
        target = files.make(user, "detections.png")
        save_picture(target, draw(picture.pixels, decoded, settings))
    except CvDemoError as error:
        raise gr.Error(str(error), print_exception=False) from error
    result = decoded.detections.to_dict(picture.name)
    result["sentence"] = decoded.detections.sentence()
    result["milliseconds"] = {stage: round(ms, 3) for stage, ms in inference.stages.items()}
    return result, str(target)


def detect_settings() -> dict[str, Any]:
    """
    The settings of /detect: label, help, default and allowed values of each.

    Returns:
        A dictionary from the setting's name to its description.
    """
    return settings_of(_FIELDS)


def detection_models() -> list[dict[str, Any]]:
    """
    The detectors this server knows, and whether each can be used now.

    Returns:
        A list of {"name", "title", "tier", "family", "parameters", "gflops", "available", "reason", "remedy"}.
    """
    return models_of(registry.models(task=TASK))


def add_detection_api() -> None:
    """Register the endpoints in the current ``gr.Blocks``."""
    with gr.Column(visible=False):
        image = picture_file(label="image")
        model = gr.Textbox(DEFAULT_MODEL, label="model")
        settings = [unchecked(component(field)) for field in _FIELDS]
        result, drawn = gr.JSON(label="result"), gr.File(label="picture")
        button = gr.Button("Detect")
    button.click(detect, [image, model, *settings], [result, drawn], api_name="detect",
                 concurrency_id="detection-api", concurrency_limit=8)  # fmt: skip
    gr.api(detect_settings, api_name="detect_settings", queue=False)
    gr.api(detection_models, api_name="detection_models", queue=False)
