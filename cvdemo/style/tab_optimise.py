"""The Optimise view: the pixels of one picture optimised step by step, while everybody watches (Gatys)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.style import optimise_jobs as jobs
from cvdemo.style import optimise_view as view
from cvdemo.style.gatys import WEIGHTS, GatysRun
from cvdemo.style.optimise_jobs import Job
from cvdemo.style.optimise_view import KINDS, POWERS, OptimiseSettings
from cvdemo.style.settings import PRESETS
from cvdemo.style.tab_layers import create_layer_study
from cvdemo.style.tab_shared import BLEND, OPTIMISE, Styles, content_on_show, create_downloads, styles_on_show
from cvdemo.ui.background import Done, follow
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import display_copy, problem, shown, status, trouble, viewer, working
from cvdemo.ui.views import QUICK, Refresh, Shared, View
from cvdemo.ui.widgets import address_script, read_settings, settings_components, widget_values

FRONT = (*POWERS.values(),)
SECOND = ("steps", "size", "preserve_colour")
LAYERS = ("content_layers", "style_layers")
MORE = ("init", "optimiser", "style_scale", "rate", "seed")
NAMES = (*FRONT, *SECOND, *LAYERS, *MORE)
PREFIX = "optimise_"
CHANGED_IN_PRESET = (*FRONT, "init")


@dataclass(frozen=True)
class Parts:
    """The view's components."""

    viewer: Any
    status: Any
    buttons: dict[str, Any]
    presets: dict[str, Any]
    ratio: Any
    widgets: dict[str, Any]
    curves: Any
    numbers: Any

    @property
    def settings(self) -> list[Any]:
        """The widgets in the order of ``NAMES``."""
        return [self.widgets[name] for name in NAMES]

    @property
    def answer(self) -> list[Any]:
        """What shows a run: filled by ``drawn``, then the buttons."""
        return [self.viewer, self.status, self.curves, self.numbers, *self.buttons.values()]


def create_optimise(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    parts = _components(shared)
    blend = [shared.more[name] for name in BLEND]
    inputs = [shared.picture, shared.second, shared.model, *parts.settings, *blend]
    running: dict[str, Any] = {
        "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "style-optimise",
        "concurrency_limit": 16,
    }  # fmt: skip
    for name, handler, given in (("start", _start, inputs), ("resume", _resume, None)):
        ran = parts.buttons[name].click(handler, given, parts.answer, **running)
        ran.then(shared.refresh_pill, None, shared.pill, **QUICK)
    parts.buttons["pause"].click(_pause, None, None, **QUICK)
    parts.buttons["stop"].click(_stop, None, parts.answer, **QUICK)
    gr.on([shared.path.change, shared.model.change], _halt, inputs[:3], None, **QUICK)
    _wire_weights(parts, shared)
    _wire_presets(parts)
    return View(
        OPTIMISE,
        refresh=Refresh(_on_new_pictures, inputs, parts.answer),
        forget=jobs.forget,
        settings=OptimiseSettings,
        controls=dict(zip(NAMES, parts.settings)),
        prefix=PREFIX,
    )


def _components(shared: Shared) -> Parts:
    with gr.Row(equal_height=True, elem_id="style-watch"):
        with gr.Column(scale=3, min_width=320):
            result = viewer("style-result", "Press Start: the picture appears here and changes with every step.")
        with gr.Column(scale=2, min_width=280):
            curves = gr.HTML(view.curves_html([], 1), elem_id="style-curves", apply_default_css=False)
    line = gr.HTML(status(), elem_id="style-status")
    with gr.Row(equal_height=True, elem_id="style-run"):
        buttons = {
            "start": gr.Button("Start", variant="primary", min_width=90, elem_id="style-start"),
            "pause": gr.Button("Pause", min_width=80, interactive=False, elem_id="style-pause"),
            "resume": gr.Button("Resume", min_width=80, interactive=False, elem_id="style-resume"),
            "stop": gr.Button("Stop, keep the best", min_width=120, interactive=False, elem_id="style-stop-run"),
        }
    with gr.Row(equal_height=True, elem_id="style-presets"):
        presets = {name: gr.Button(name.capitalize(), size="sm", min_width=120) for name in PRESETS}
    with gr.Row():
        widgets = settings_components(OptimiseSettings, FRONT)
    ratio = gr.HTML(_ratio_html(OptimiseSettings().weighed()), elem_id="style-ratio")
    with gr.Row():
        widgets |= settings_components(OptimiseSettings, SECOND)
    with gr.Accordion("More: layers, start, optimiser", open=False):
        fields = {field.name: field for field in OptimiseSettings.fields_of()}
        with gr.Row():
            for name in LAYERS:
                widgets[name] = gr.Dropdown(
                    view.layer_choices(), value=list(fields[name].default), multiselect=True,
                    label=fields[name].label, info=fields[name].help, elem_id=f"style-{name}",
                )  # fmt: skip
        with gr.Row():
            widgets |= settings_components(OptimiseSettings, MORE[:2])
        with gr.Row():
            widgets |= settings_components(OptimiseSettings, MORE[2:])
    with gr.Tabs():
        with gr.Tab("Layer comparison"):
            create_layer_study(shared, widgets)
        with gr.Tab("Numbers"):
            numbers = gr.HTML(elem_id="style-numbers", apply_default_css=False)
        with gr.Tab("Download"):
            gr.Markdown("The best picture so far in the size it was made, and the losses of every step.")
            create_downloads("style-download", KINDS, _download)
    return Parts(result, line, buttons, presets, ratio, widgets, curves, numbers)


def _ratio_html(settings: OptimiseSettings) -> str:
    return f'<p class="said" role="status">{view.weights_line({name: getattr(settings, name) for name in WEIGHTS})}</p>'


# ---------------------------------------------------------------------- running


def job_for(
    user: str, content_path: str | None, style_path: str | None, model: str, values: tuple[Any, ...]
) -> Job:  # fmt: skip
    """A fresh job for the chosen pictures; InputError as in ``GatysRun`` and where a picture that counts is missing.

    values: of the widgets of ``NAMES``, then of ``BLEND``.
    """
    settings = read_settings(OptimiseSettings, NAMES, values[: len(NAMES)]).weighed()
    content = content_on_show(user, content_path) if content_path or settings.content_weight > 0 else None
    styles = Styles((), (), (), ())
    if style_path or settings.style_weight > 0:
        styles = styles_on_show(user, style_path, *values[len(NAMES) :])
    run = GatysRun(
        content, styles.pictures, settings, blend=styles.weights or None, names=styles.names, model=model, user=user,
        preview_every=1,
    )  # fmt: skip
    notes = view.notes_on(content.pixels if content else None, styles.pictures, settings.size)
    name = content.name if content else "texture"
    return Job(run, (content_path, style_path, model), values, name, notes)


def _start(
    request: gr.Request, content: str | None, style: str | None, model: str, *values: Any
) -> Iterator[tuple[Any, ...]]:
    """The answer, from the first step on."""
    user = session_of(request)
    try:
        job = jobs.begin(user, job_for(user, content, style, model, values))
    except CvDemoError as error:
        yield _only(trouble(error))
        return
    yield from _followed(user, job)


def _resume(request: gr.Request) -> Iterator[tuple[Any, ...]]:
    user = session_of(request)
    job = jobs.job_of(user)
    if job is None or job.busy or job.run.finished:
        yield _only(gr.skip())
        return
    job.run.resume()
    yield from _followed(user, job)


def _on_new_pictures(
    request: gr.Request, content: str | None, style: str | None, model: str, *values: Any
) -> Iterator[tuple[Any, ...]]:
    """What the visitor's job was started with is not started again when its view is opened anew."""
    job = jobs.job_of(session_of(request))
    if job is not None and (job.pictures, job.asked) == ((content, style, model), values):
        yield _only(gr.skip())
    else:
        yield from _start(request, content, style, model, *values)


def _halt(request: gr.Request, *pictures: str | None) -> None:
    """A run with other pictures ends, so that the one with the new ones need not wait for it."""
    job = jobs.job_of(session_of(request))
    if job is not None and job.busy and job.pictures != pictures:
        job.run.stop()


def _followed(user: str, job: Job) -> Iterator[tuple[Any, ...]]:
    """Watch a job until it is done, paused or stopped. What another job has overtaken says nothing more."""
    seen = None
    try:
        yield (gr.skip(), working("Starting", None), gr.skip(), gr.skip(), *_buttons(job, busy=True))
        for event in follow(job.advance):
            if jobs.job_of(user) is not job:
                return
            if isinstance(event, Done):
                yield drawn(job)
            elif job.picture is None or job.picture is seen:
                yield _only(working(event.text, event.fraction))
            else:
                seen = job.picture
                yield (*drawn(job)[:1], working(event.text, event.fraction), *drawn(job)[2:4], *_kept_buttons())
    except CvDemoError as error:
        if jobs.job_of(user) is job:
            yield (gr.skip(), trouble(error), gr.skip(), gr.skip(), *_buttons(job, busy=False))


def drawn(job: Job) -> tuple[Any, ...]:
    """The answer for a job as it is now."""
    run, history = job.run, list(job.run.history)
    sentence = view.sentence_of(run, history)
    picture = gr.skip() if job.picture is None else shown(display_copy(job.picture)[0], sentence)
    line = status(sentence, view.timing_of(run, history, job.notes))
    curves = view.curves_html(history, run.settings.steps)
    return picture, line, curves, view.numbers_html(run, history), *_buttons(job, busy=False)


def _buttons(job: Job, *, busy: bool) -> tuple[Any, ...]:
    """Start, Pause, Resume and Stop as they can be pressed now."""
    open_end = not job.run.finished
    return (
        gr.Button("Start" if not (busy or job.run.history) else "Start anew"),
        gr.Button(interactive=busy),
        gr.Button(interactive=open_end and not busy and bool(job.run.history)),
        gr.Button(interactive=busy or (open_end and bool(job.run.history))),
    )


def _kept_buttons() -> tuple[Any, ...]:
    return (gr.skip(),) * 4


def _only(line: Any) -> tuple[Any, ...]:
    """An answer that changes the status line alone."""
    return gr.skip(), line, gr.skip(), gr.skip(), *_kept_buttons()


def _pause(request: gr.Request) -> None:
    job = jobs.job_of(session_of(request))
    if job is not None and job.busy:
        job.run.pause()


def _stop(request: gr.Request) -> tuple[Any, ...]:
    """A running job ends by itself within a step and says so; a paused one has nobody who would."""
    job = jobs.job_of(session_of(request))
    if job is None:
        return _only(gr.skip())
    job.run.stop()
    if job.busy:
        return _only(gr.skip())
    job.picture = job.run.best()
    return drawn(job)


# ---------------------------------------------------------------------- controls


def _wire_weights(parts: Parts, shared: Shared) -> None:
    """The three weights and the blend take effect at the next step of a run."""
    weights = [parts.widgets[name] for name in FRONT]

    def weigh(request: gr.Request, *powers: float) -> str:
        settings = read_settings(OptimiseSettings, FRONT, powers).weighed()
        job = jobs.job_of(session_of(request))
        try:
            if job is not None and not job.run.finished:
                job.run.change(**{name: getattr(settings, name) for name in WEIGHTS})
                job.asked = (*powers, *job.asked[len(FRONT) :])
        except CvDemoError as error:
            return problem(str(error))
        return _ratio_html(settings)

    def blend(request: gr.Request, style: str | None, *values: Any) -> None:
        user = session_of(request)
        job = jobs.job_of(user)
        if job is None or job.run.finished or not style:
            return
        try:
            job.run.change(blend=styles_on_show(user, style, *values).weights)
        except CvDemoError:  # other styles than it was started with: those wait for the next start
            return

    gr.on(
        [widget.change for widget in weights], weigh, weights, parts.ratio, trigger_mode="always_last", **QUICK
    )  # fmt: skip
    controls = [shared.more[name] for name in BLEND]
    gr.on([slider.input for slider in controls[1:]], blend, [shared.second, *controls], None,
          trigger_mode="always_last", **QUICK)  # fmt: skip


def _wire_presets(parts: Parts) -> None:
    defaults = widget_values(OptimiseSettings(), NAMES)
    remember = address_script([PREFIX + name for name in NAMES], defaults)
    places = [parts.widgets[name] for name in CHANGED_IN_PRESET]
    for name, button in parts.presets.items():
        wanted = PRESETS[name]
        values = [view.power_of(wanted[weight]) if weight in wanted else gr.skip() for weight in POWERS]
        done = button.click(lambda values=(*values, wanted["init"]): list(values), None, places, **QUICK)
        done.then(None, parts.settings, None, js=remember, **QUICK)


def _download(user: str, kind: str) -> tuple[str, bytes]:
    job = jobs.job_of(user)
    if job is None or not job.run.history:
        raise InputError("There is nothing to download yet.", hint="Press Start first.")
    return view.export(job.run, list(job.run.history), kind, job.name)
