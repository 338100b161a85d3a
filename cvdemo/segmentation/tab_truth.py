"""The Ground truth view: a true mask in, and every measure of deck 001 out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import Picture
from cvdemo.segmentation import tab_shared as shared_parts
from cvdemo.segmentation import truth_view as view
from cvdemo.segmentation.ground_truth import read_truth
from cvdemo.segmentation.overlay_view import Found, Look, index_map
from cvdemo.segmentation.predict import SegmentationSettings, decode, settings_for
from cvdemo.segmentation.tab_shared import TRUTH, key_of
from cvdemo.segmentation.truth_view import ALL, NO_TRUTH, Assessment, Truth, TruthSettings
from cvdemo.ui.background import Done, follow
from cvdemo.ui.downloads import hidden_link, wire_downloads
from cvdemo.ui.layered_viewer import layer_source, layered_viewer, layers
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.sessions import files, session_of
from cvdemo.ui.viewer import status, trouble, working
from cvdemo.ui.views import QUICK, Refresh, Shared, View
from cvdemo.ui.widgets import moving_menu, read_settings, settings_components, upload_button

NAMES = ("min_confidence", "min_region", "score_threshold", "show")
PREFIX = "truth_"
NOTHING = status("There is no ground truth for this picture yet", "Bring a mask, or keep the present result as one.")


@dataclass(frozen=True)
class Parts:
    """The view's components. ``source``: ``gr.State``, path of the mask file and the fingerprint it is for."""

    viewer: Any
    status: Any
    legend: Any
    upload: Any
    keep: Any
    drop: Any
    chosen: Any
    settings: list[Any]
    measures: Any
    classes: Any
    confusion: Any
    download: Any
    hidden: Any
    source: Any

    @property
    def answer(self) -> list[Any]:
        """What shows an assessment: filled by ``drawn``."""
        return [
            self.viewer, self.status, self.legend, self.chosen, self.measures, self.classes, self.confusion
        ]  # fmt: skip


def create_truth_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    inputs = [shared.picture, shared.model, parts.source, parts.chosen, *parts.settings]
    options: dict[str, Any] = {
        "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "segmentation-truth",
        "concurrency_limit": 8, "trigger_mode": "always_last",
    }  # fmt: skip
    gr.on([widget.input for widget in (*parts.settings, parts.chosen)], _run, inputs, parts.answer, **options)
    brought = parts.upload.upload(_bring, [parts.upload, shared.picture], parts.source, **QUICK)
    brought.then(_run, inputs, parts.answer, **options)
    kept = parts.keep.click(_keep, inputs, [parts.source, parts.status], **options)
    kept.success(_run, inputs, parts.answer, **options)
    dropped = parts.drop.click(_drop, shared.picture, parts.source, **QUICK)
    dropped.then(_run, inputs, parts.answer, **options)
    wire_downloads({"json": parts.download}, parts.hidden, inputs, _exported)
    return View(
        TRUTH,
        refresh=Refresh(_run, inputs, parts.answer),
        settings=TruthSettings,
        controls=dict(zip(NAMES, parts.settings)),
        prefix=PREFIX,
    )


def _components() -> Parts:
    result = layered_viewer(
        "segmentation-truth", "The truth appears here, and over it what the model found.", "Truth", "Prediction"
    )
    line = gr.HTML(NOTHING, elem_id="segmentation-truth-status")
    with gr.Row(equal_height=True):
        upload = upload_button(
            "Bring a mask or COCO json", file_types=[".png", ".bmp", ".gif", ".tif", ".tiff", ".json"],
            variant="primary", elem_id="segmentation-truth-file",
        )  # fmt: skip
        keep = gr.Button("Keep the present result as truth", elem_id="segmentation-truth-keep")
        drop = gr.Button("Forget the truth", elem_id="segmentation-truth-drop")
    with gr.Row():
        settings = settings_components(TruthSettings, NAMES)
        chosen = moving_menu(
            [ALL], value=ALL, label="Class to look at", filterable=False, elem_id="segmentation-truth-class",
            info="Its hits, false alarms and misses, and its numbers.",
        )  # fmt: skip
    legend = gr.HTML(elem_id="segmentation-truth-legend", apply_default_css=False)
    with gr.Tabs():
        with gr.Tab("Measures and definitions"):
            measures = gr.Markdown(
                elem_id="segmentation-measures", elem_classes="numbers",
                latex_delimiters=[{"left": "$", "right": "$", "display": False}],
            )  # fmt: skip
        with gr.Tab("Classes"):
            classes = gr.HTML(elem_id="segmentation-truth-classes", apply_default_css=False)
        with gr.Tab("Confusion matrix"):
            confusion = gr.HTML(elem_id="segmentation-confusion", apply_default_css=False)
        with gr.Tab("Download"):
            download = gr.Button("All measures as JSON")
            hidden = hidden_link("segmentation-truth-download")
    return Parts(
        result, line, legend, upload, keep, drop, chosen, [settings[name] for name in NAMES], measures, classes,
        confusion, download, hidden, gr.State(None),
    )  # fmt: skip


def _bring(request: gr.Request, path: str | None, picture_path: str | None) -> Any:
    """A mask belongs to the picture it was brought for; a COCO file may describe the next one too."""
    if not path:
        return gr.skip()
    user = session_of(request)
    source = files.claim(user, path)
    try:
        owner = "" if source.suffix.lower() == ".json" else picture_of(user, picture_path).fingerprint
    except CvDemoError:  # said by the view itself when it is refreshed
        owner = ""
    return str(source), owner


def _keep(
    request: gr.Request, path: str | None, model: str, source: Any, chosen: str, *values: Any
) -> Iterator[tuple[Any, Any]]:
    user = session_of(request)
    try:
        picture = picture_of(user, path)
        for event in follow(
            lambda progress, cancel: shared_parts.look_of(user, picture, model, progress=progress, cancel=cancel)
        ):
            if isinstance(event, Done):
                labels, names = index_map(_found(event.value, read_settings(TruthSettings, NAMES, values)))
                truth = Truth(labels, names, f"what {model} said, not a real truth")
                memory_of(user).put(_stand_in(picture), truth)
                yield ("", picture.fingerprint), gr.skip()
            else:
                yield gr.skip(), working(event.text, event.fraction)
    except CvDemoError as error:
        yield gr.skip(), trouble(error)
        raise gr.Error(str(error), print_exception=False, visible=False) from error


def _drop(request: gr.Request, path: str | None) -> None:
    user = session_of(request)
    if path:
        memory = memory_of(user)
        try:
            memory.put(_stand_in(picture_of(user, path)), False)
        except CvDemoError:
            return


def _stand_in(picture: Picture) -> tuple[str, str]:
    return "segmentation-truth", picture.fingerprint


def _found(look: Look, settings: TruthSettings) -> Found:
    """The result in the picture's own size."""
    base = settings_for(look.inference.model).to_dict()
    own = ("min_confidence", "min_region", "score_threshold")
    base |= {name: getattr(settings, name) for name in own} | {"classes": ()}
    return decode(look.inference, SegmentationSettings.from_mapping(base))


def truth_of(user: str, picture: Picture, source: Any, categories: tuple[str, ...]) -> Truth | None:
    """What is known about a picture; None when nothing is. Errors as in ``ground_truth.read_truth``."""
    path, owner = source or ("", "")
    if path and owner in ("", picture.fingerprint):
        name = Path(path).name
        labels = memory_of(user).recall(
            ("segmentation-mask", path, picture.fingerprint, categories),
            lambda: read_truth(path, categories, picture.height, picture.width, picture_name=picture.name),
        )
        return Truth(labels, categories, name)
    return memory_of(user).get(_stand_in(picture)) or None


def assessed(user: str, look: Look, source: Any, settings: TruthSettings) -> Assessment | None:
    """The result measured against what is known; None when nothing is."""
    labels, names = index_map(_found(look, settings))
    truth = truth_of(user, look.picture, source, names)
    return None if truth is None else view.assess(truth, labels, names)


def _run(
    request: gr.Request, path: str | None, model: str, source: Any, chosen: str, *values: Any
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    user = session_of(request)
    kept = (gr.skip(),) * 7
    try:
        settings = read_settings(TruthSettings, NAMES, values)
        picture = picture_of(user, path)
        for event in follow(
            lambda progress, cancel: shared_parts.look_of(user, picture, model, progress=progress, cancel=cancel)
        ):
            if isinstance(event, Done):
                result = assessed(user, event.value, source, settings)
                yield drawn(event.value, result, chosen, settings)
            else:
                yield kept[0], working(event.text, event.fraction), *kept[2:]
    except CvDemoError as error:
        yield kept[0], trouble(error), *kept[2:]


def drawn(look: Look, result: Assessment | None, chosen: str, settings: TruthSettings) -> tuple[Any, ...]:
    """viewer, status, legend, class menu, measures, classes, confusion matrix of an assessment."""
    size = (look.picture.width, look.picture.height)
    if result is None:
        plain = layers(look.display, "The picture, without a truth", size)
        return plain, NOTHING, NO_TRUTH, gr.Dropdown(choices=[ALL], value=ALL), "", "", ""
    if chosen not in result.present:
        chosen = ALL
    words = view.sentence(result)
    if settings.show == "errors":
        picture = layers(view.errors_over(look.display, result, chosen), f"Right and wrong pixels: {words}", size)
    else:
        truth = view.classes_over(look.display, result.truth, result.categories)
        found = view.classes_over(look.display, result.predicted, result.categories)
        picture = layers(found, f"Truth and prediction: {words}", size, layer_source(truth))
    return (
        picture,
        status(words, f"Truth: {result.source}"),
        view.legend_html(settings.show, chosen),
        gr.Dropdown(choices=[ALL, *result.present], value=chosen),
        view.definitions_markdown(result, chosen),
        view.classes_html(result),
        view.confusion_html(result),
    )


def _exported(
    user: str, _kind: str, path: str | None, model: str, source: Any, chosen: str, *values: Any
) -> tuple[str, bytes]:
    picture = picture_of(user, path)
    look = memory_of(user).get(key_of(picture, model))
    settings = read_settings(TruthSettings, NAMES, values)
    result = assessed(user, look, source, settings) if look is not None else None
    if result is None:
        raise InputError("There is no ground truth for this picture yet.")
    return view.report(result, picture.name, model)
