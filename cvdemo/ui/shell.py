"""The page around the tabs: header, status pill, system panel, switches, and what happens when a visitor leaves."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Gradio reads these when it is imported: no usage statistics, and uploads go to a folder that is ours to empty.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
if "GRADIO_TEMP_DIR" not in os.environ:
    os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="cvdemo-")
    # Visitors' files go when they leave; this is for those who are still there when the program ends.
    atexit.register(shutil.rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)

import gradio as gr

from cvdemo import tasks
from cvdemo.core.engine import default_engine
from cvdemo.ui import system
from cvdemo.ui.sessions import files, session_of

MAX_UPLOAD = "200mb"
INSECURE_HINT = (
    "Your browser offers the camera only on secure pages. Open this page as localhost, or start cvdemo with "
    "<code>--ssl-certfile</code> and <code>--ssl-keyfile</code>."
)
# Shows the hint only where it applies: the page itself knows whether its context is secure.
_SECURE_SCRIPT = """
if (!window.isSecureContext) { element.querySelector('p').hidden = false; }
"""


@dataclass(frozen=True)
class Shell:
    """What a tab may use of the page around it."""

    projector: Any
    pill: Any

    @staticmethod
    def refresh_pill() -> str:
        """New text for the status pill."""
        return system.pill(default_engine().statistics())


def build_app(max_users: int = 32) -> gr.Blocks:
    """The whole page. ``max_users``: how many visitors may stream their webcam at the same time."""
    from cvdemo.action.api import add_action_api
    from cvdemo.action.tab import create_action_tab
    from cvdemo.classification.api import add_classification_api
    from cvdemo.classification.tab import create_classification_tab
    from cvdemo.detection.api import add_detection_api
    from cvdemo.detection.tab import create_detection_tab
    from cvdemo.faces.api import add_faces_api
    from cvdemo.faces.tab import create_faces_tab
    from cvdemo.flow.api import add_flow_api
    from cvdemo.flow.tab import create_flow_tab
    from cvdemo.pose.api import add_pose_api
    from cvdemo.pose.tab import create_pose_tab
    from cvdemo.segmentation.api import add_segmentation_api
    from cvdemo.segmentation.tab import create_segmentation_tab
    from cvdemo.style.api import add_style_api
    from cvdemo.style.tab import create_style_tab

    tasks.load_all()
    files.root = Path(os.environ["GRADIO_TEMP_DIR"])
    with gr.Blocks(title="cvdemo", analytics_enabled=False, delete_cache=(600, 3600), fill_width=True) as demo:
        shell = _header()
        gr.HTML(
            html_template=f'<p hidden role="note">{INSECURE_HINT}</p>', js_on_load=_SECURE_SCRIPT,
            elem_id="secure-hint", apply_default_css=False,
        )  # fmt: skip
        places, built = {}, {}
        with gr.Tabs(elem_id="tasks") as tabs:
            for name, create in (
                ("detection", create_detection_tab),
                ("segmentation", create_segmentation_tab),
                ("pose", create_pose_tab),
                ("flow", create_flow_tab),
                ("action", create_action_tab),
                ("style", create_style_tab),
                ("faces", create_faces_tab),
                ("classification", create_classification_tab),
            ):
                with gr.Tab(name.capitalize(), id=name) as places[name]:
                    built[name] = create(shell, max_users)
        add_detection_api()
        add_segmentation_api()
        add_pose_api()
        add_flow_api()
        add_action_api()
        add_classification_api()
        add_faces_api()
        add_style_api()
        _wire_tasks(demo, tabs, places, built)

        def leave(request: gr.Request) -> None:
            session = session_of(request)
            files.leave(session)
            for task in built.values():
                task.forget(session)

        demo.unload(leave)
    _report_progress_on(demo, shell.pill)
    return demo


def _report_progress_on(demo: gr.Blocks, place: Any) -> None:
    """Have events whose progress is hidden tell it to one component instead of to each of their outputs.

    The page's script keeps every component that was ever told, and at each change of any event's state it looks all
    of them up by walking the page's tree: with the hundreds of outputs that opening a page has, ten seconds were spent
    before the first picture, and every later event was slowed down as well.
    """
    for event in demo.fns.values():
        if event.show_progress == "hidden":
            event.show_progress_on = [place]


def _wire_tasks(demo: gr.Blocks, tabs: Any, places: dict[str, Any], built: dict[str, Any]) -> None:
    """A task computes its example when it is first opened: when the page opens on it, or when its tab is clicked.

    Every task offers ``opening`` (components) and ``open(query)`` (a value for each).
    """
    front = next(iter(built))  # the page selects it by itself, before its address is known
    loaded, opened = gr.State(False), {name: gr.State(False) for name in built}
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

    def load(request: gr.Request) -> list[Any]:
        query = dict(request.query_params)
        wanted = query.get("tab") if query.get("tab") in built else front
        # Whoever was quick and chose a tab already keeps it, unless the address names one.
        values = [gr.skip() if wanted == front else gr.Tabs(selected=wanted), True]
        for name, task in built.items():
            if name == wanted:
                values += [True, *_news(task.opening, task.open(query))]
            else:
                values += [gr.skip()] * (1 + len(task.opening))
        return values

    def first(name: str) -> Any:
        def open_once(seen: bool, ready: bool) -> list[Any]:
            if seen or (name == front and not ready):  # until the page has loaded, its address decides
                return [gr.skip()] * (1 + len(built[name].opening))
            return [True, *_news(built[name].opening, built[name].open({}))]

        return open_once

    parts = [part for name, task in built.items() for part in (opened[name], *task.opening)]
    demo.load(load, None, [tabs, loaded, *parts], **quick)
    for name, place in places.items():
        script = f"(...args) => {{ window.cvdemo.openTask('{name}'); return args; }}"
        place.select(first(name), [opened[name], loaded], [opened[name], *built[name].opening], js=script, **quick)


def _news(parts: list[Any], values: list[Any]) -> list[Any]:
    """``values`` for components as they were built, without those they have already: each costs the browser time."""
    return [gr.skip() if getattr(part, "value", None) == value else value for part, value in zip(parts, values)]


def _header() -> Shell:
    with gr.Row(elem_id="header"):
        gr.HTML("<h1>cvdemo</h1><span>a computer-vision laboratory</span>", elem_id="brand")
        pill = gr.Button(system.pill(default_engine().statistics()), size="sm", elem_id="status-pill")
        projector = gr.Checkbox(False, label="Projector", container=False, elem_id="projector")
        theme = gr.Button("☀ / ☾", size="sm", elem_id="theme-toggle")
    with gr.Column(visible=False, elem_id="system-panel") as panel:
        facts = gr.HTML()
        with gr.Row():
            refresh = gr.Button("Refresh", size="sm")
            unload = gr.Button("Unload all models", size="sm")
    opened = gr.State(False)
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

    def toggle(is_open: bool) -> tuple[bool, Any, str, str]:
        return not is_open, gr.Column(visible=not is_open), *system.snapshot(default_engine())

    def clear() -> tuple[str, str]:
        default_engine().clear()
        return system.snapshot(default_engine())

    pill.click(toggle, opened, [opened, panel, pill, facts], **quick)
    refresh.click(lambda: system.snapshot(default_engine()), None, [pill, facts], **quick)
    unload.click(clear, None, [pill, facts], **quick)
    theme.click(None, None, None, js="() => window.cvdemo.toggleTheme()", **quick)
    projector.input(None, projector, None, js="(on) => window.cvdemo.projector(on)", **quick)
    return Shell(projector, pill)
