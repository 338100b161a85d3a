"""The segmentation task over HTTP: typed, documented endpoints for ``gradio_client`` and other programs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import Picture, encode_picture, read_picture
from cvdemo.segmentation import export
from cvdemo.segmentation.overlay_view import index_map
from cvdemo.segmentation.predict import DEFAULT_MODEL, TASK, SegmentationSettings, decode, draw, infer
from cvdemo.ui.endpoints import models_of, settings_of, unchecked
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.widgets import component, picture_file, read_settings

_FIELDS = SegmentationSettings.fields_of()
_NAMES = tuple(field.name for field in _FIELDS)


def segment(
    image: str | None,
    behind: str | None,
    model: str,
    temperature: float,
    min_confidence: float,
    min_region: float,
    opacity: float,
    outline: int,
    classes: list[str],
    background: str,
    blur: float,
    background_colour: str,
    score_threshold: float,
    mask_threshold: float,
    max_instances: int,
    show_labels: bool,
    request: gr.Request,
) -> tuple[dict[str, Any], str, str]:
    """
    Give every pixel of a picture a class, or find its objects with a mask each.

    Parameters:
        image: the picture's file.
        behind: a picture's file to put behind what is shown, for background "picture".
        model: a name from /segmentation_models.
        temperature: logits are divided by this before the softmax, 0.1 to 10.
        min_confidence: pixels whose best class is less probable stay undecided (255 in the mask), 0 to 1.
        min_region: per cent of the picture; a smaller region goes to the class that is next there, 0 to 5.
        opacity: how much of the class colour covers the picture, 0 to 1.
        outline: thickness of the outlines in pixels, 0 to 12.
        classes: names of the classes to show; empty for all but the background.
        background: keep, blur, colour, picture or cut-out.
        blur: standard deviation of the background's blur in pixels, 1 to 60.
        background_colour: white, black, green, blue, grey or orange.
        score_threshold: instance models: only objects with a score above this, 0.05 to 1.
        mask_threshold: instance models: how probable a pixel of an object must be, 0.05 to 0.95.
        max_instances: instance models: keep only the best so many objects, 1 to 100.
        show_labels: instance models: write class and score on each object.
    Returns:
        A dictionary {"image", "model", "classes": [{"index", "label", "pixels", "percent"}] (instance models:
        "instances": [{"label", "score", "box", "pixels", "percent"}]), "names", "sentence", "milliseconds"}; the drawn
        picture (PNG, with alpha for a cut-out); and the class index of every pixel (PNG), counting in "names".
    """
    user = session_of(request)
    values = (temperature, min_confidence, min_region, opacity, outline, classes, background, blur, background_colour,
              score_threshold, mask_threshold, max_instances, show_labels)  # fmt: skip
    try:
        settings = read_settings(SegmentationSettings, _NAMES, values)
        scene = None
        if settings.background == "picture":
            if not behind:
                raise InputError("No picture was sent for the background.", hint="Pass a file as behind.")
            scene = _picture(user, behind).pixels
        picture = _picture(user, image)
        inference = infer(picture, model or DEFAULT_MODEL, user=user)
        found = decode(inference, settings)
        drawn = files.make(user, "segmented.png")
        drawn.write_bytes(encode_picture(draw(picture.pixels, found, settings, behind=scene)))
        labels, names = index_map(found)
        mask = files.make(user, "classes.png")
        mask.write_bytes(export.index_png(labels, names))
    except CvDemoError as error:
        raise gr.Error(str(error), print_exception=False) from error
    result = found.to_dict(picture.name)
    result["names"] = list(names)
    result["sentence"] = found.sentence()
    result["milliseconds"] = {stage: round(ms, 3) for stage, ms in inference.stages.items()}
    return result, str(drawn), str(mask)


def _picture(user: str, image: str | None) -> Picture:
    if not image:
        raise InputError("No picture was sent.", hint="Pass a file as image.")
    return read_picture(files.claim(user, image))


def segment_settings() -> dict[str, Any]:
    """
    The settings of /segment: label, help, default and allowed values of each.

    Returns:
        A dictionary from the setting's name to its description.
    """
    return settings_of(_FIELDS)


def segmentation_models() -> list[dict[str, Any]]:
    """
    The segmentation models this server knows, and whether each can be used now.

    Returns:
        A list of {"name", "title", "tier", "family", "kind" (semantic or instances), "parameters", "gflops",
        "classes", "available", "reason", "remedy"}.
    """
    return models_of(
        registry.models(task=TASK),
        lambda spec: {"kind": spec.extras.get("kind", "semantic"), "classes": list(spec.categories)},
    )


def add_segmentation_api() -> None:
    """Register the endpoints in the current ``gr.Blocks``."""
    with gr.Column(visible=False):
        image, behind = picture_file(label="image"), picture_file(label="behind")
        model = gr.Textbox(DEFAULT_MODEL, label="model")
        settings = [unchecked(component(field)) for field in _FIELDS]
        result, drawn, mask = gr.JSON(label="result"), gr.File(label="picture"), gr.File(label="mask")
        button = gr.Button("Segment")
    button.click(
        segment, [image, behind, model, *settings], [result, drawn, mask], api_name="segment",
        concurrency_id="segmentation-api", concurrency_limit=8,
    )  # fmt: skip
    gr.api(segment_settings, api_name="segment_settings", queue=False)
    gr.api(segmentation_models, api_name="segmentation_models", queue=False)
