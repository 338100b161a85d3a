"""A task's page has one input and several views of it: what a view gets, and what it tells the page.

``workbench`` builds the input and calls the ``create_…_view`` functions, each inside its own ``gr.Tab``. A view draws
its components, wires its own buttons, and returns a ``View``: what must be called when the picture or the model changes
or the view is opened (``Refresh``), what to do with a webcam frame (``LiveView``) and with a video file (``VideoView``)
while the view is open.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from cvdemo.core.settings import Settings
from cvdemo.ui.widgets import widget_values

# Events that compute nothing: no place in the queue, no spinner, not part of the HTTP API.
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def stop_key(task: str) -> str:
    """What the Stop button of a task's video stops (see ``background.Stop``)."""
    return f"{task}-video"


NOT_KEPT = "Press the button again to start over; frames already seen are not kept."
"""What Stop says of a video whose frames are lost with it."""


@dataclass(frozen=True)
class Shared:
    """The left column and the page around it.

    picture: its value is a file's path or None. Its own change event also fires when only its state did.
    path: signal, that path or "": changes when another picture is chosen.
    second: the other picture of a pair, None for tasks that look at one; ``path`` then names both.
    more: the task's own controls in the left column, by name, for all its views.
    model: registry name.   camera: the webcam, streaming.
    mode: signal "picture", "video" or "live".   view: signal, name of the open view (see ``widgets.signal``).
    projector: checkbox.   pill, refresh_pill: the header's status pill and the function that words it anew.
    """

    picture: Any
    path: Any
    model: Any
    camera: Any
    mode: Any
    view: Any
    projector: Any
    pill: Any
    refresh_pill: Callable[[], str]
    second: Any = None
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LiveView:
    """What a view does with a webcam frame.

    step(user, picture, model, *values of ``inputs``) returns a tuple, one value per output (``gr.skip()`` leaves one
    as it is), and raises CvDemoError. Frames a second and errors are shown under the camera by the workbench.
    """

    name: str
    step: Callable[..., tuple[Any, ...]]
    inputs: list[Any]
    outputs: list[Any]


@dataclass(frozen=True)
class VideoView:
    """What a view does with a video file when the button under it is pressed.

    run(request, path, model, stride, *values of ``inputs``) is a generator of one value per output, which shows its
    progress itself and catches CvDemoError. Stop stops what it follows with ``Stop(user, stop_key(task), words)``.
    """

    name: str
    run: Callable[..., Iterator[tuple[Any, ...]]]
    inputs: list[Any]
    outputs: list[Any]


@dataclass(frozen=True)
class Refresh:
    """What to call when the picture or the model changed or the view was opened.

    fn(request, *values of ``inputs``): a function or generator of one value per output (a bare value for one output).
    It catches CvDemoError itself. It is called only while its view is open; and, unless ``always``, only when there is
    a picture and the camera or a video is not what the view follows.
    """

    fn: Callable[..., Any]
    inputs: list[Any]
    outputs: list[Any]
    always: bool = False


@dataclass(frozen=True)
class View:
    """A finished view.

    settings, controls: the declaration, and the widgets of some of its fields by name, that the page's address and
    the lesson set.   prefix: put before those names in the address, where other views have settings of that name.
    """

    name: str
    live: LiveView | None = None
    refresh: Refresh | None = None
    forget: Callable[[str], None] = lambda session: None
    settings: type[Settings] | None = None
    controls: dict[str, Any] = field(default_factory=dict)
    prefix: str = ""
    video: VideoView | None = None


def settings_from(query: dict[str, str], views: list[View]) -> list[Any]:
    """Values for the controls of all views, in order, from an address; what it does not name is at its default."""
    values: list[Any] = []
    for view in views:
        if view.settings is not None:
            own = {name: query[view.prefix + name] for name in view.controls if view.prefix + name in query}
            values += widget_values(view.settings.from_query(own), list(view.controls))
    return values


def is_wanted(view: View, name: str, mode: str, path: str | None) -> bool:
    """Whether a view is to be called while the view ``name`` is open."""
    if view.name != name or view.refresh is None:
        return False
    follows = {"live": view.live, "video": view.video}.get(mode)  # what moves, and not the picture
    return view.refresh.always or (bool(path) and follows is None)


def as_generator(fn: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    """A function or generator function with the request as its first argument, as a generator function."""

    def run(request: gr.Request, *values: Any) -> Iterator[Any]:
        if inspect.isgeneratorfunction(fn):
            yield from fn(request, *values)
        else:
            yield fn(request, *values)

    return run
