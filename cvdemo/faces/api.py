"""Comparing faces over HTTP: typed, documented endpoints for ``gradio_client`` and other programs.

Nothing is stored: two pictures come in, figures about these two go out. There is no endpoint that searches, and none
that returns an embedding.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from cvdemo.core import registry
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import read_picture
from cvdemo.faces import embedder, predict
from cvdemo.faces.predict import DEFAULT_MODEL, FaceMatchSettings
from cvdemo.ui.endpoints import models_of, settings_of, unchecked
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.widgets import component, picture_file, read_settings

_FIELDS = FaceMatchSettings.fields_of()
_NAMES = tuple(field.name for field in _FIELDS)


def faces_compare(
    image_a: str | None,
    image_b: str | None,
    model: str,
    threshold: float,
    measure: str,
    which: str,
    face_score: float,
    min_size: float,
    request: gr.Request,
) -> dict[str, Any]:
    """
    Say whether two pictures show the same person.

    Parameters:
        image_a: the first picture's file.
        image_b: the second picture's file.
        model: a name from /faces_models.
        threshold: cosine similarity from which two faces count as one person, -1 to 1.
        measure: cosine or euclidean, the scale the sentence speaks of.
        which: the face that stands for a picture with several: largest, surest or central.
        face_score: only faces the detector is surer of than this are considered, 0.2 to 1.
        min_size: faces with a side shorter than this many pixels are left out.
    Returns:
        A dictionary {"model", "pictures": [{"name", "faces", "box"}], "similarity", "distance", "threshold",
        "distance_threshold", "same", "sentence", "milliseconds"}. Neither the pictures nor the embeddings are kept.
    """
    values = (threshold, measure, which, face_score, min_size)
    user = session_of(request)
    try:
        settings = read_settings(FaceMatchSettings, _NAMES, values)
        names, inferences = [], []
        for image in (image_a, image_b):
            if not image:
                raise InputError("Two pictures are needed.", hint="Pass files as image_a and image_b.")
            picture = read_picture(files.claim(user, image))
            names.append(picture.name)
            inferences.append(predict.infer(picture, model or DEFAULT_MODEL, user=user))
        result = predict.compare(inferences[0], inferences[1], settings)
    except CvDemoError as error:
        raise gr.Error(str(error), print_exception=False) from error
    spent: dict[str, float] = {}
    for inference in inferences:
        for stage, ms in inference.stages.items():
            spent[stage] = round(spent.get(stage, 0.0) + ms, 3)
    return result.to_dict(*names) | {"sentence": result.sentence(), "milliseconds": spent}


def faces_settings() -> dict[str, Any]:
    """
    The settings of /faces_compare: label, help, default and allowed values of each.

    Returns:
        A dictionary from the setting's name to its description.
    """
    return settings_of(_FIELDS)


def faces_models() -> list[dict[str, Any]]:
    """
    The models that embed faces, and whether each can be used now.

    Returns:
        A list of {"name", "title", "tier", "family", "parameters", "gflops", "available", "reason", "remedy"}.
    """
    return models_of(spec for spec in registry.models(task=predict.TASK) if spec.family == embedder.SPEC.family)


def add_faces_api() -> None:
    """Register the endpoints in the current ``gr.Blocks``."""
    with gr.Column(visible=False):
        image_a, image_b = picture_file(label="image_a"), picture_file(label="image_b")
        model = gr.Textbox(DEFAULT_MODEL, label="model")
        settings = [unchecked(component(field)) for field in _FIELDS]
        result = gr.JSON(label="result")
        button = gr.Button("Compare faces")
    button.click(faces_compare, [image_a, image_b, model, *settings], [result], api_name="faces_compare",
                 concurrency_id="faces-api", concurrency_limit=8)  # fmt: skip
    gr.api(faces_settings, api_name="faces_settings", queue=False)
    gr.api(faces_models, api_name="faces_models", queue=False)
