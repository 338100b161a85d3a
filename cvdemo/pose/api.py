"""The pose task over HTTP: typed, documented endpoints for ``gradio_client`` and other programs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import read_picture, save_picture
from cvdemo.pose import predict
from cvdemo.pose.predict import DEFAULT_MODEL, TASK, PoseSettings
from cvdemo.ui.endpoints import models_of, settings_of, unchecked
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.widgets import component, picture_file, read_settings

_FIELDS = PoseSettings.fields_of()
_NAMES = tuple(field.name for field in _FIELDS)


def pose(
    image: str | None,
    model: str,
    joint_threshold: float,
    box_threshold: float,
    decode: str,
    style: str,
    hidden_joints: list[str],
    max_people: int,
    line_width: int,
    show_boxes: bool,
    show_oks: bool,
    trails: bool,
    smoothing: float,
    request: gr.Request,
) -> tuple[dict[str, Any], str]:
    """
    Find the joints of the people in a picture.

    Parameters:
        image: the picture's file.
        model: a name from /pose_models.
        joint_threshold: joints with a score above this are visible, 0 to 1.
        box_threshold: people the detector is surer of than this, 0.15 to 1.
        decode: how joints are read from heatmaps: argmax, quarter, sub-pixel or own.
        style: lines, limbs or dots.
        hidden_joints: names of joints to leave out, such as left wrist.
        max_people: return at most this many people, the surest.
        line_width: thickness of the drawn limbs in pixels.
        show_boxes: draw each person's box.
        show_oks: draw circles of equal object keypoint similarity.
        trails: of videos only; without effect here.
        smoothing: of videos only; without effect here.
    Returns:
        A dictionary {"image", "model", "found", "people": [{"bbox", "box_score", "score", "num_keypoints", "keypoints",
        "keypoint_scores"}], "sentence", "milliseconds"}, where keypoints are COCO's x, y, v of 17 joints; and the
        picture with the skeletons drawn in (PNG).
    """
    values = (joint_threshold, box_threshold, decode, style, hidden_joints, max_people, line_width, show_boxes,
              show_oks, trails, smoothing)  # fmt: skip
    user = session_of(request)
    try:
        if not image:
            raise InputError("No picture was sent.", hint="Pass a file as image.")
        settings = read_settings(PoseSettings, _NAMES, values)
        picture = read_picture(files.claim(user, image))
        inference = predict.infer(picture, model or DEFAULT_MODEL, user=user)
        poses = predict.decode(inference, settings)
        target = files.make(user, "poses.png")
        save_picture(target, predict.draw(picture.pixels, poses, settings))
    except CvDemoError as error:
        raise gr.Error(str(error), print_exception=False) from error
    result = poses.to_dict(picture.name)
    result["sentence"] = poses.sentence()
    result["milliseconds"] = {stage: round(ms, 3) for stage, ms in inference.stages.items()}
    return result, str(target)


def pose_settings() -> dict[str, Any]:
    """
    The settings of /pose: label, help, default and allowed values of each.

    Returns:
        A dictionary from the setting's name to its description.
    """
    return settings_of(_FIELDS)


def pose_models() -> list[dict[str, Any]]:
    """
    The pose models this server knows, and whether each can be used now.

    Returns:
        A list of {"name", "title", "tier", "family", "parameters", "gflops", "joints", "available", "reason",
        "remedy"}.
    """
    return models_of(registry.models(task=TASK), lambda spec: {"joints": list(spec.categories)})


def add_pose_api() -> None:
    """Register the endpoints in the current ``gr.Blocks``."""
    with gr.Column(visible=False):
        image = picture_file(label="image")
        model = gr.Textbox(DEFAULT_MODEL, label="model")
        settings = [unchecked(component(field)) for field in _FIELDS]
        result, drawn = gr.JSON(label="result"), gr.File(label="picture")
        button = gr.Button("Pose")
    button.click(pose, [image, model, *settings], [result, drawn], api_name="pose", concurrency_id="pose-api",
                 concurrency_limit=8)  # fmt: skip
    gr.api(pose_settings, api_name="pose_settings", queue=False)
    gr.api(pose_models, api_name="pose_models", queue=False)
