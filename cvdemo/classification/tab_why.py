"""The Why view: a map of what speaks for a class, over the picture, and the check whether the map means anything."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cvdemo.classification import tab_shared as shared_parts
from cvdemo.classification import why_view as view
from cvdemo.classification.imagenet_view import Look
from cvdemo.classification.tab_shared import WHY
from cvdemo.classification.why import RANDOMISE, Explanation, agreement, explain, methods_for, overlay
from cvdemo.classification.why_view import BEST, WhyControls
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import Picture
from cvdemo.ui.background import Done, Stop, follow, stopping
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import problem, shown, status, trouble, viewer, working
from cvdemo.ui.views import QUICK, LiveView, Refresh, Shared, View
from cvdemo.ui.widgets import moving_menu, read_settings, settings_components

NAMES = ("method", "opacity", "colours")
LIVE = ("why", "live")
PROJECTOR_SCALE = 1.6
SANITY = (
    "**Sanity check.** An explanation must depend on what the network learnt. Here the same method explains the same "
    "class on a copy of the network whose weights were replaced by random numbers: the last layer, then all of them."
)
CAPTIONS = ("Trained network", "Last layer randomised", "All layers randomised")


@dataclass(frozen=True)
class Parts:
    """The view's components. ``current``: ``gr.State``, (key of the look, key of its map) on show."""

    viewer: Any
    status: Any
    target: Any
    settings: list[Any]
    cover: Any
    halt: Any
    check: Any
    check_line: Any
    check_viewers: list[Any]
    current: Any


def create_why_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    outputs = [parts.current, parts.target, parts.viewer, parts.status]
    inputs = [shared.picture, shared.model, parts.current, parts.target, shared.projector, *parts.settings]
    options: dict[str, Any] = {
        "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "classification-why",
        "concurrency_limit": 8, "trigger_mode": "always_last",
    }  # fmt: skip
    gr.on([parts.target.input, parts.settings[0].input], _run, inputs, outputs, **options)
    parts.cover.click(_covered, inputs, [*outputs, parts.settings[0]], **options)
    parts.check.click(
        _checked,
        [parts.current, shared.projector, *parts.settings],
        [parts.check_line, *parts.check_viewers],
        **options,
    )
    parts.halt.click(stopping(WHY), None, None, **QUICK)
    _wire_sliders(parts, shared)
    return View(
        WHY,
        live=LiveView(WHY, _step, [parts.target, shared.projector, *parts.settings], [parts.current, *outputs[2:]]),
        refresh=Refresh(_run, inputs, outputs),
        settings=WhyControls,
        controls=dict(zip(NAMES, parts.settings)),
    )


def _components() -> Parts:
    with gr.Row(equal_height=False, elem_classes="answer"):
        with gr.Column(scale=5, min_width=300):
            result = viewer("classification-why", "The picture appears here under a map of what speaks for a class.")
            line = gr.HTML(status(), elem_id="classification-why-status")
        with gr.Column(scale=3, min_width=240):
            target = moving_menu(
                [("the most probable", BEST)], value=BEST, label="Class to explain", filterable=True,
                info="Type to search all classes.", elem_id="classification-target",
            )  # fmt: skip
            method = gr.Radio(
                view.method_choices({}), value=WhyControls().method, label="Method (runs the network)",
                elem_id="classification-method",
            )  # fmt: skip
            with gr.Row():
                cover = gr.Button("Run occlusion", scale=3, elem_id="classification-cover")
                halt = gr.Button("Stop", scale=1, min_width=70, elem_id="classification-why-halt")
            widgets = settings_components(WhyControls, NAMES[1:])
    gr.Markdown(SANITY)
    with gr.Row():
        check = gr.Button("Randomise the network", elem_id="classification-check", scale=0, min_width=280)
        check_line = gr.HTML(elem_id="classification-check-line", apply_default_css=False)
    with gr.Row(elem_classes="trio"):
        viewers = []
        for number, caption in enumerate(CAPTIONS):
            with gr.Column(min_width=160):
                viewers.append(viewer(f"classification-check-{number}", "not computed yet"))
                gr.HTML(f'<p class="under">{caption}</p>', apply_default_css=False)
    return Parts(
        result, line, target, [method, *widgets.values()], cover, halt, check, check_line, viewers,
        gr.State((None, None)),
    )  # fmt: skip


def _run(request: gr.Request, path: str | None, *rest: Any) -> Iterator[tuple[Any, ...]]:
    """Compute the map for what is chosen; occlusion, which takes long, only when it is known already."""
    yield from _explained(session_of(request), path, *rest)


def _covered(
    request: gr.Request, path: str | None, model: str, current: Any, value: str, projector: bool, _: str, *rest: Any
) -> Iterator[tuple[Any, ...]]:
    given = (path, model, current, value, projector, "occlusion", *rest)
    for made in _explained(session_of(request), *given, patient=True):
        yield *made, "occlusion"


def _explained(
    user: str, path: str | None, model: str, current: Any, value: str, projector: bool, *values: Any,
    patient: bool = False,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """current, class menu, viewer, status while the network runs and afterwards."""

    def line(text: str) -> tuple[Any, ...]:
        return gr.skip(), gr.skip(), gr.skip(), text

    if not path:
        yield line(problem("Choose a picture first."))
        return
    try:
        controls = read_settings(WhyControls, NAMES, values)
        picture = picture_of(user, path)
        look_key = ("look", picture.fingerprint, model)
        value = value if current[0] == look_key else BEST  # a choice concerns the picture it was made for
        memory = memory_of(user)
        for event in follow(
            lambda progress, cancel: shared_parts.look_of(user, picture, model, progress=progress, cancel=cancel),
            stop=Stop(user, WHY),
        ):
            if isinstance(event, Done):
                look: Look = event.value
            else:
                yield line(working(event.text, event.fraction))
        raw = look.inference.raw
        index = view.index_of(value, raw)
        menu = gr.Dropdown(choices=view.class_choices(raw), value=value)  # type: ignore[arg-type]
        key = map_key(look, index, controls.method)
        if memory.get(key) is None and controls.method == "occlusion" and not patient:
            plain = shown(look.display, "The picture, not yet explained")
            words = status("Press “Run occlusion” to compute this map", view.METHOD_HELP["occlusion"])
            yield (look_key, key), menu, plain, words
            return
        yield (look_key, key), menu, gr.skip(), gr.skip()
        for step in follow(
            lambda progress, cancel: explained(user, look, index, controls.method, progress, cancel),
            stop=Stop(user, WHY),
        ):
            if isinstance(step, Done):
                yield gr.skip(), gr.skip(), *drawn(look, step.value, controls, projector)
            else:
                yield line(working(step.text, step.fraction))
    except CvDemoError as error:
        yield line(trouble(error))


def map_key(look: Look, index: int, method: str, randomise: str = "") -> tuple[Any, ...]:
    """Where a session keeps a map."""
    return ("map", look.picture.fingerprint, look.inference.model, index, method, randomise)


def explained(
    user: str, look: Look, index: int, method: str, progress: Any = None, cancel: Any = None, randomise: str = ""
) -> Explanation:
    """A map, computed once per session."""
    return memory_of(user).recall(
        map_key(look, index, method, randomise),
        lambda: explain(
            look.picture, look.inference.model, index, method, randomise=randomise or None, user=user,
            progress=progress, cancel=cancel,
        ),
    )  # fmt: skip


def drawn(
    look: Look, found: Explanation, controls: WhyControls, projector: bool, live: bool = False
) -> tuple[Any, str]:
    """viewer and status of a map."""
    scale = PROJECTOR_SCALE if projector else 1.0
    pixels = overlay(look.display, found, controls.opacity, controls.colours, text_scale=scale)
    return (
        shown(pixels, found.sentence(), 80 if live else 88),
        status(found.sentence(), view.timing_line(found), announce=not live),
    )


def _checked(
    request: gr.Request, current: Any, projector: bool, *values: Any
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """The map on show beside those of the randomised network."""
    none = [gr.skip()] * len(CAPTIONS)
    user = session_of(request)
    memory = memory_of(user)
    look, trained = memory.get(current[0]), memory.get(current[1])
    if look is None or trained is None:
        yield problem("Compute a map first, then randomise the network."), *none
        return
    try:
        controls = read_settings(WhyControls, NAMES, values)
        maps = [trained]
        pictures = [*none]
        pictures[0] = _small(look, trained, controls, projector)
        yield working("Randomising", None), *pictures
        for randomise in RANDOMISE:
            how = functools.partial(_randomised, user, look, trained, randomise)
            for event in follow(how, stop=Stop(user, WHY)):
                if isinstance(event, Done):
                    maps.append(event.value)
                    pictures = [*none]
                    pictures[len(maps) - 1] = _small(look, event.value, controls, projector)
                    yield gr.skip(), *pictures
                else:
                    yield working(event.text, event.fraction), *none
        correlations = [agreement(trained, other) for other in maps[1:]] if trained.map.any() else []
        yield status("", view.verdict(correlations)), *none
    except CvDemoError as error:
        yield trouble(error), *none


def _randomised(
    user: str, look: Look, trained: Explanation, randomise: str, progress: Any, cancel: Any
) -> Explanation:  # fmt: skip
    return explained(user, look, trained.class_index, trained.method, progress, cancel, randomise)


def _small(look: Look, found: Explanation, controls: WhyControls, projector: bool) -> dict[str, Any]:
    return drawn(look, found, controls, projector)[0]  # type: ignore[no-any-return]


def _step(user: str, picture: Picture, model: str, value: str, projector: bool, *values: Any) -> tuple[Any, ...]:
    """A webcam frame under its map."""
    controls = read_settings(WhyControls, NAMES, values)
    if controls.method == "occlusion":
        raise InputError("Occlusion takes too long for the camera.", hint="Choose Grad-CAM or a gradient.")
    look = shared_parts.look_at(picture, model, user)
    index = view.index_of(value, look.inference.raw)
    found = explain(picture, model, index, controls.method, user=user)
    memory = memory_of(user)
    memory.put(LIVE, look)
    memory.put((*LIVE, "map"), found)
    return (LIVE, (*LIVE, "map")), *drawn(look, found, controls, projector, live=True)


def _wire_sliders(parts: Parts, shared: Shared) -> None:
    """Opacity and colours act on the map that is there; a model says which methods it allows."""

    def redraw(request: gr.Request, current: Any, projector: bool, *values: Any) -> Any:
        memory = memory_of(session_of(request))
        look, found = memory.get(current[0]), memory.get(current[1])
        if look is None or found is None:
            return gr.skip()
        return drawn(look, found, read_settings(WhyControls, NAMES, values), projector)[0]

    inputs = [parts.current, shared.projector, *parts.settings]
    moved = [widget.input for widget in parts.settings[1:]]
    gr.on(moved, redraw, inputs, parts.viewer, trigger_mode="always_last", **QUICK)

    def allowed(model: str) -> Any:
        return gr.Radio(choices=view.method_choices(methods_for(model)))

    shared.model.change(allowed, shared.model, parts.settings[0], **QUICK)
    # Another map makes the comparison untrue.
    parts.current.change(lambda: ("", *[None] * len(CAPTIONS)), None, [parts.check_line, *parts.check_viewers], **QUICK)
