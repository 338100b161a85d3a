"""The Up-sampling view: the slides' examples by hand, and the same operations on the present picture's feature maps."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cvdemo.core import registry
from cvdemo.core.engine import default_engine
from cvdemo.core.errors import CvDemoError
from cvdemo.core.media import Picture
from cvdemo.detection.candidates import name_of
from cvdemo.detection.predict import DetectionSettings
from cvdemo.detection.predict import decode as decode_objects
from cvdemo.detection.predict import infer as find_objects
from cvdemo.segmentation import bench_view as view
from cvdemo.segmentation import compare_view
from cvdemo.segmentation.bench_view import BenchSettings
from cvdemo.segmentation.compact import SPEC_NAME, STREETS_NAME
from cvdemo.segmentation.feature_maps import FeatureMap, FeatureMaps, feature_maps
from cvdemo.segmentation.overlay_view import Look
from cvdemo.segmentation.predict import SegmentationInference, SegmentationSettings, draw
from cvdemo.segmentation.restoration import compare as restore
from cvdemo.segmentation.tab_shared import UPSAMPLING
from cvdemo.ui.background import Done, follow
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import display_copy, problem, shown, status, viewer, working
from cvdemo.ui.views import QUICK, Refresh, Shared, View
from cvdemo.ui.widgets import read_settings, settings_components

PREFIX = "bench_"
BENCHES = {
    "slides": ("On the slides", ("example", "cell")),
    "transpose": ("Transpose convolution", ("size", "kernel", "stride", "padding", "output_padding", "stamped")),
    "maps": ("A real feature map", ("level", "rank", "factor")),
    "skips": ("U-Net's skips", ("skip4", "skip8", "skip16")),
    "roi": ("RoIPool and RoIAlign", ()),
}
NAMES = tuple(name for _, names in BENCHES.values() for name in names)
ALL_SKIPS = (True, True, True)
NO_PICTURE = status("", "Choose a picture on the left: this bench works on it.")


@dataclass(frozen=True)
class Parts:
    """The view's components. ``bench``: ``gr.State``, which inner tab is open; ``panels``: HTML of each but skips."""

    status: Any
    settings: list[Any]
    tabs: dict[str, Any]
    panels: dict[str, Any]
    viewers: list[Any]
    bench: Any

    @property
    def answer(self) -> list[Any]:
        """What ``_run`` fills."""
        return [self.status, *self.panels.values(), *self.viewers]


def create_upsampling_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components()
    inputs = [shared.picture, shared.model, parts.bench, *parts.settings]
    for name, tab in parts.tabs.items():
        opened = tab.select(lambda name=name: name, None, parts.bench, **QUICK)
        opened.then(_run, inputs, parts.answer, trigger_mode="always_last", show_progress="hidden",
                    api_visibility="private", concurrency_id="segmentation-bench", concurrency_limit=8)  # fmt: skip
    gr.on(
        [widget.input for widget in parts.settings], _run, inputs, parts.answer, trigger_mode="always_last",
        show_progress="hidden", api_visibility="private", concurrency_id="segmentation-bench", concurrency_limit=8,
    )  # fmt: skip
    return View(
        UPSAMPLING,
        refresh=Refresh(_run, inputs, parts.answer, always=True),
        settings=BenchSettings,
        controls=dict(zip(NAMES, parts.settings)),
        prefix=PREFIX,
    )


def _components() -> Parts:
    line = gr.HTML(status(), elem_id="segmentation-bench-status")
    tabs: dict[str, Any] = {}
    panels: dict[str, Any] = {}
    widgets: dict[str, Any] = {}
    viewers: list[Any] = []
    with gr.Tabs():
        for name, (title, names) in BENCHES.items():
            with gr.Tab(title, id=f"bench-{name}") as tabs[name]:
                if name == "slides":
                    with gr.Row():
                        widgets |= settings_components(BenchSettings, names)
                    widgets["example"].choices = [tuple(pair) for pair in view.TITLES]
                elif name == "roi":
                    gr.Markdown(
                        "The best box that the compact detector finds, on the feature map chosen under “A real feature "
                        "map”.", elem_classes="privacy",
                    )  # fmt: skip
                else:
                    with gr.Row():
                        widgets |= settings_components(BenchSettings, names)
                if name == "skips":
                    with gr.Row(elem_classes="trio"):
                        for number, words in enumerate(("all skips", "skips as chosen", "what changed")):
                            with gr.Column(min_width=200):
                                gr.HTML(f'<p class="above">{words.capitalize()}</p>', apply_default_css=False)
                                viewers.append(viewer(f"segmentation-skips-{number}", "Choose a picture."))
                else:
                    panels[name] = gr.HTML(elem_id=f"segmentation-bench-{name}", apply_default_css=False)
    return Parts(line, [widgets[name] for name in NAMES], tabs, panels, viewers, gr.State("slides"))


def _run(
    request: gr.Request, path: str | None, model: str, bench: str, *values: Any
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """Fill the bench that is open, and only that."""
    names = [name for name in BENCHES if name != "skips"]
    kept = (gr.skip(),) * (len(names) + 3)

    def filled(line: Any, text: str) -> tuple[Any, ...]:
        return line, *(text if name == bench else gr.skip() for name in names), *kept[:3]

    user = session_of(request)
    try:
        settings = read_settings(BenchSettings, NAMES, values)
        if bench == "slides":
            yield filled("", view.example_html(settings))
            return
        if bench == "transpose":
            yield filled("", view.transpose_html(settings))
            return
        if not path:
            yield NO_PICTURE, *kept
            return
        picture = picture_of(user, path)
        for event in follow(functools.partial(_computed, user, picture, model, bench, settings)):
            if isinstance(event, Done):
                if bench == "skips":
                    yield event.value[0], *kept[: len(names)], *event.value[1:]
                else:
                    yield filled("", event.value)
            else:
                yield working(event.text, event.fraction), *kept
    except (CvDemoError, ValueError) as error:
        yield problem(str(error)), *kept


def _computed(
    user: str, picture: Picture, model: str, bench: str, settings: BenchSettings, progress: Any, cancel: Any
) -> Any:
    watch = {"progress": progress, "cancel": cancel}
    if bench == "skips":
        return _skips(user, picture, model, settings, watch)
    maps = memory_of(user).recall(
        ("segmentation-maps", picture.fingerprint), lambda: feature_maps(picture, user=user, **watch)
    )
    chosen = _chosen(maps, settings)
    if bench == "maps":
        return view.restoration_html(chosen, restore(chosen.values, settings.factor))
    box, about = memory_of(user).recall(
        ("segmentation-box", picture.fingerprint), lambda: _best_box(user, picture, watch)
    )
    return view.roi_html(chosen, box, about)


def _chosen(maps: FeatureMaps, settings: BenchSettings) -> FeatureMap:
    return maps.ranked(settings.level, min(settings.rank, len(maps.order[settings.level]) - 1))


def _best_box(user: str, picture: Picture, watch: dict[str, Any]) -> tuple[tuple[float, float, float, float], str]:
    """The box with the best score and what it is; the middle of the picture where nothing was found."""
    detections = decode_objects(find_objects(picture, user=user, **watch), DetectionSettings()).detections
    if not len(detections):
        width, height = picture.width, picture.height
        return (0.2 * width, 0.2 * height, 0.8 * width, 0.8 * height), "No object was found; the middle of the picture"
    x1, y1, x2, y2 = (float(value) for value in detections.boxes[0])
    return (x1, y1, x2, y2), f"A {name_of(int(detections.labels[0]))} found by the compact detector"


def _skips(user: str, picture: Picture, model: str, settings: BenchSettings, watch: dict[str, Any]) -> tuple[Any, ...]:
    name = model if model in (SPEC_NAME, STREETS_NAME) else SPEC_NAME
    looks = [_look(user, picture, name, skips, watch) for skips in (ALL_SKIPS, settings.skips)]
    plain = SegmentationSettings()
    found = [look.found(plain) for look in looks]
    changed = compare_view.difference(*found)
    pictures = [
        shown(draw(look.display, each, plain), f"{words}: {each.sentence()}")
        for look, each, words in zip(looks, found, ("All skips", "Skips as chosen"))
    ]
    off = [str(stride) for stride, on in zip((4, 8, 16), settings.skips) if not on]
    words = f"Without the skip at stride {' and '.join(off)}, " if off else "All skips are on: "
    sentence = f"{words}{changed.percent:.1f} % of the pixels change their class"
    pictures.append(shown(compare_view.draw_difference(looks[0].display, changed.different), sentence))
    ms = ", ".join(f"{compare_view.network_ms(look):.0f} ms" for look in looks)
    hint = "" if name == model else f" The present model has no such switches; this is {registry.get(name).title}."
    note = "The network was trained with all skips; what is switched off is replaced by zeros."
    return status(sentence, f"{ms} · {note}{hint}"), *pictures


def _look(user: str, picture: Picture, model: str, skips: tuple[bool, bool, bool], watch: dict[str, Any]) -> Look:
    """One run of the compact network with some skips off; kept for the session."""

    def operation(network: Any, value: Any, context: Any) -> Any:
        return registry.get(model).run(network, value, context, skips=skips)  # type: ignore[call-arg]

    def make() -> Look:
        ran = default_engine().run(registry.get(model), picture, user=user, operation=operation, **watch)
        inference = SegmentationInference(ran.output, ran.stages, ran.device, ran.precision, ran.model)
        return Look.of(picture, display_copy(picture.pixels)[0], inference)

    return memory_of(user).recall(("segmentation-skips", picture.fingerprint, model, skips), make)
