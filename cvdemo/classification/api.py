"""The classification task over HTTP: typed, documented endpoints for ``gradio_client`` and other programs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from cvdemo.classification.emotion import EmotionSettings, decode_emotions, infer_emotions
from cvdemo.classification.predict import DEFAULT_MODEL, TASK, ClassificationSettings, decode, infer
from cvdemo.classification.why import METHODS, WhySettings, explain, overlay
from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import Picture, read_picture, save_picture
from cvdemo.faces.detector import FaceDetectionSettings, decode_faces, infer_faces
from cvdemo.ui.endpoints import models_of, settings_of, unchecked
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.widgets import component, picture_file, read_settings

_FIELDS = ClassificationSettings.fields_of()
_NAMES = tuple(field.name for field in _FIELDS)
_WHY_FIELDS = WhySettings.fields_of()
_WHY_NAMES = tuple(field.name for field in _WHY_FIELDS)


def classify(
    image: str | None, model: str, top_k: int, temperature: float, request: gr.Request
) -> dict[str, Any]:  # fmt: skip
    """
    Name what a picture shows.

    Parameters:
        image: the picture's file.
        model: a name from /classification_models.
        top_k: how many of the most probable classes to return, 1 to 20.
        temperature: logits are divided by this before the softmax, 0.1 to 10.
    Returns:
        A dictionary {"image", "model", "predictions": [{"label", "index", "probability"}], "entropy_bits",
        "sentence", "milliseconds"}.
    """
    user = session_of(request)
    try:
        settings = read_settings(ClassificationSettings, _NAMES, (top_k, temperature))
        picture = _picture(user, image)
        inference = infer(picture, model or DEFAULT_MODEL, user=user)
    except CvDemoError as error:
        raise gr.Error(str(error), print_exception=False) from error
    decoded = decode(inference, settings)
    result = decoded.to_dict(picture.name)
    result["entropy_bits"] = round(decoded.entropy_bits, 4)
    result["sentence"] = decoded.sentence()
    result["milliseconds"] = {stage: round(ms, 3) for stage, ms in inference.stages.items()}
    return result


def explain_class(
    image: str | None,
    model: str,
    method: str,
    label: str,
    opacity: float,
    colours: str,
    request: gr.Request,
) -> tuple[dict[str, Any], str]:
    """
    Show which parts of a picture speak for a class.

    Parameters:
        image: the picture's file.
        model: a name from /classification_models.
        method: grad-cam, occlusion, gradient or smooth-grad.
        label: the class to explain, by name or index; empty for the most probable one.
        opacity: how strongly the map lies over the picture, 0 to 1.
        colours: the colour scale: inferno, viridis, cividis, magma or turbo.
    Returns:
        A dictionary {"image", "model", "method", "label", "index", "probability", "extent", "peak", "map", "note",
        "sentence", "milliseconds"}, and the picture with the map laid over it (PNG).
    """
    user = session_of(request)
    try:
        settings = read_settings(WhySettings, _WHY_NAMES, (opacity, colours))
        picture = _picture(user, image)
        name = model or DEFAULT_MODEL
        found = explain(picture, name, class_index(name, label), method or METHODS[0], user=user)
        target = files.make(user, "explanation.png")
        save_picture(target, overlay(picture.pixels, found, settings.opacity, settings.colours))
    except CvDemoError as error:
        raise gr.Error(str(error), print_exception=False) from error
    result = found.to_dict(picture.name)
    result["sentence"] = found.sentence()
    result["milliseconds"] = {stage: round(ms, 3) for stage, ms in found.stages.items()}
    return result, str(target)


def emotions(image: str | None, face_threshold: float, temperature: float, request: gr.Request) -> dict[str, Any]:
    """
    Find the faces of a picture and read the expression of each.

    Parameters:
        image: the picture's file.
        face_threshold: only faces with a score above this, 0 to 1.
        temperature: logits are divided by this before the softmax, 0.1 to 10.
    Returns:
        A dictionary {"image", "model", "faces": [{"bbox", "score", "emotion", "probabilities"}], "sentence",
        "milliseconds"}.
    """
    user = session_of(request)
    try:
        chosen = FaceDetectionSettings.from_mapping({"score_threshold": face_threshold})
        settings = EmotionSettings.from_mapping({"temperature": temperature})
        picture = _picture(user, image)
        found = infer_faces(picture, user=user)
        inference = infer_emotions(picture, decode_faces(found, chosen), user=user)
    except CvDemoError as error:
        raise gr.Error(str(error), print_exception=False) from error
    decoded = decode_emotions(inference, settings)
    result = decoded.to_dict(picture.name)
    result["sentence"] = decoded.sentence()
    stages = {f"faces {stage}": ms for stage, ms in found.stages.items()} | inference.stages
    result["milliseconds"] = {stage: round(ms, 3) for stage, ms in stages.items()}
    return result


def class_index(model: str, label: str | None) -> int | None:
    """The index of a class given by name or number, None for an empty label; InputError when there is none."""
    text = str(label or "").strip()
    if not text:
        return None
    names = registry.get(model).categories
    if text in names:
        return names.index(text)
    if text.isdecimal() and int(text) < len(names):
        return int(text)
    raise InputError(f"{model} has no class {text[:60]!r}.", hint="Give a class name as /classify returns it.")


def _picture(user: str, image: str | None) -> Picture:
    if not image:
        raise InputError("No picture was sent.", hint="Pass a file as image.")
    return read_picture(files.claim(user, image))


def classify_settings() -> dict[str, Any]:
    """
    The settings of /classify: label, help, default and allowed values of each.

    Returns:
        A dictionary from the setting's name to its description.
    """
    return settings_of(_FIELDS)


def classification_models() -> list[dict[str, Any]]:
    """
    The classifiers this server knows, and whether each can be used now.

    Returns:
        A list of {"name", "title", "tier", "family", "parameters", "gflops", "classes", "available", "reason",
        "remedy"}.
    """
    return models_of(registry.models(task=TASK), lambda spec: {"classes": len(spec.categories)})


def add_classification_api() -> None:
    """Register the endpoints in the current ``gr.Blocks``."""
    with gr.Column(visible=False):
        image = picture_file(label="image")
        model = gr.Textbox(DEFAULT_MODEL, label="model")
        settings = [unchecked(component(field)) for field in _FIELDS]
        method, label = gr.Textbox(METHODS[0], label="method"), gr.Textbox("", label="label")
        why_settings = [unchecked(component(field)) for field in _WHY_FIELDS]
        result, drawn = gr.JSON(label="result"), gr.File(label="picture")
        face_threshold = unchecked(gr.Number(FaceDetectionSettings().score_threshold, label="face_threshold"))
        heat = unchecked(gr.Number(EmotionSettings().temperature, label="temperature"))
        button, why_button, emotion_button = gr.Button("Classify"), gr.Button("Explain"), gr.Button("Emotions")
    shared: dict[str, Any] = {"concurrency_id": "classification-api", "concurrency_limit": 8}
    button.click(classify, [image, model, *settings], result, api_name="classify", **shared)
    why_button.click(explain_class, [image, model, method, label, *why_settings], [result, drawn],
                     api_name="explain", **shared)  # fmt: skip
    emotion_button.click(emotions, [image, face_threshold, heat], result, api_name="emotions", **shared)
    gr.api(classify_settings, api_name="classify_settings", queue=False)
    gr.api(classification_models, api_name="classification_models", queue=False)
