"""The style task over HTTP: typed, documented endpoints for ``gradio_client`` and other programs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import read_picture, save_picture
from cvdemo.style.predict import (
    ADAIN,
    COMPACT_ENCODER,
    TASK,
    StyleResult,
    StyleSettings,
    decode,
    draw,
    fast_name,
    infer,
    optimise,
)
from cvdemo.style.race import fast_style_of
from cvdemo.style.styles import STYLES, load_style
from cvdemo.ui.endpoints import models_of, settings_of
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.widgets import picture_file

METHODS = ("gatys", "adain", "fast")
MOST_STEPS = 300


def style(
    image: str | None,
    style_image: str | None,
    styles: dict[str, float] | None,
    method: str,
    encoder: str,
    settings: dict[str, Any] | None,
    request: gr.Request,
) -> tuple[dict[str, Any], str]:
    """
    Give a picture the style of others.

    Parameters:
        image: the content picture's file.
        style_image: a style picture's file; may be left out when styles names some.
        styles: the program's own styles by name with their weights, such as {"waves": 1, "mosaic": 0.5}; a style_image
            beside them has weight 1. The names are those of /style_models.
        method: gatys (optimisation, at most 300 steps here), adain (one pass), or fast (one of ours, alone).
        encoder: for gatys, a network from /style_models.
        settings: values by name that differ from the defaults, see /style_settings.
    Returns:
        A dictionary {"image", "method", "model", "styles", "steps", "losses", "milliseconds", "sentence"}, and the
        stylised picture (PNG).
    """
    user = session_of(request)
    try:
        if not image:
            raise InputError("No picture was sent.", hint="Pass a file as image.")
        chosen = StyleSettings.from_mapping(settings or {})
        picture = read_picture(files.claim(user, image))
        own = None if not style_image else read_picture(files.claim(user, style_image)).pixels
        result, pixels = _stylised(picture, own, dict(styles or {}), method, encoder, chosen, user)
        target = files.make(user, "style.png")
        save_picture(target, pixels)
    except CvDemoError as error:
        raise gr.Error(str(error), print_exception=False) from error
    return {**result.to_dict(picture.name), "sentence": result.sentence()}, str(target)


def _stylised(
    picture: Any, own: Any, named: dict[str, float], method: str, encoder: str, settings: StyleSettings, user: str
) -> tuple[StyleResult, Any]:
    if method not in METHODS:
        raise InputError(f"There is no method {method!r}.", hint=f"Choose one of {', '.join(METHODS)}.")
    if method == "fast":
        if own is not None or len(named) != 1:
            raise InputError("A feed-forward network has one style.", hint="Name one of the program's own in styles.")
        inference = infer(picture, [], fast_name(fast_style_of(next(iter(named)))), settings, user=user)
        result = decode(inference, settings, user=user)
        return result, draw(inference, result, settings)
    pictures = [load_style(name) for name in named] + ([] if own is None else [own])
    names = [*named] + ([] if own is None else ["style_image"])
    blend = [_number(value) for value in named.values()] + ([] if own is None else [1.0])
    if method == "adain":
        inference = infer(picture, pictures, ADAIN, settings, names=names, user=user)
        result = decode(inference, settings, blend, user=user)
        return result, draw(inference, result, settings)
    if settings.steps > MOST_STEPS:
        raise InputError(f"{settings.steps} steps are too many here.", hint=f"Ask for at most {MOST_STEPS}.")
    result = optimise(
        picture, pictures, settings, blend=blend or None, names=names, model=encoder or COMPACT_ENCODER, user=user
    )
    return result, result.pixels


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"A style's weight cannot be {value!r}.", hint="Use a number.") from error


def style_settings() -> dict[str, Any]:
    """
    The settings of /style: label, help, default and allowed values of each.

    Returns:
        A dictionary from the setting's name to its description.
    """
    return settings_of(StyleSettings.fields_of())


def style_models() -> dict[str, Any]:
    """
    The style networks this server knows, whether each can be used now, and the program's own style pictures.

    Returns:
        {"styles": [names], "models": [{"name", "title", "tier", "family", "parameters", "gflops", "kind", "available",
        "reason", "remedy"}]}.
    """
    return {
        "styles": list(STYLES),
        "models": models_of(registry.models(task=TASK), lambda spec: {"kind": spec.extras["kind"]}),
    }


def add_style_api() -> None:
    """Register the endpoints in the current ``gr.Blocks``."""
    with gr.Column(visible=False):
        image, style_image = picture_file(label="image"), picture_file(label="style_image")
        styles, settings = gr.JSON(label="styles"), gr.JSON(label="settings")
        method, encoder = gr.Textbox("adain", label="method"), gr.Textbox(COMPACT_ENCODER, label="encoder")
        result, drawn = gr.JSON(label="result"), gr.File(label="picture")
        button = gr.Button("Style")
    button.click(style, [image, style_image, styles, method, encoder, settings], [result, drawn], api_name="style",
                 concurrency_id="style-api", concurrency_limit=4)  # fmt: skip
    gr.api(style_settings, api_name="style_settings", queue=False)
    gr.api(style_models, api_name="style_models", queue=False)
