"""What the views of the Classification tab have in common: one input, and the ways a view is told about it.

``tab`` builds the input and calls the ``create_…_view`` functions, each inside its own ``gr.Tab``. A view draws its
components, wires its own buttons, and returns a ``View``: what ``tab`` must call when the picture or the model changes
or the view is opened (``Refresh``), and what to do with a webcam frame while the view is open (``LiveView``).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cvdemo.classification.imagenet_view import Look
from cvdemo.classification.predict import Inference, infer
from cvdemo.core.errors import InputError
from cvdemo.core.media import Picture, read_picture
from cvdemo.core.settings import Settings
from cvdemo.ui.sessions import files
from cvdemo.ui.viewer import display_copy

T = TypeVar("T")

IMAGENET, WHY, SLIDING, TEACH, EMOTION, LESSON = "imagenet", "why", "sliding", "teach", "emotion", "lesson"
VIEWS = (IMAGENET, WHY, SLIDING, TEACH, EMOTION, LESSON)

# Events that compute nothing: no place in the queue, no spinner, not part of the HTTP API.
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

# The same for events that set a ``gr.State`` whose change others wait for: Gradio tells of it only in queued events.
TELLING: dict[str, Any] = {
    "show_progress": "hidden", "api_visibility": "private", "concurrency_id": "classification-tell",
    "concurrency_limit": 16,
}  # fmt: skip


@dataclass(frozen=True)
class Shared:
    """The left column and the page around it.

    picture: its value is a file's path or None.   model: registry name.   camera: the webcam, streaming.
    mode: ``gr.State`` "picture" or "live".   view: ``gr.State``, name of the open view.
    projector: checkbox.   pill, refresh_pill: the header's status pill and the function that words it anew.
    """

    picture: Any
    model: Any
    camera: Any
    mode: Any
    view: Any
    projector: Any
    pill: Any
    refresh_pill: Callable[[], str]


@dataclass(frozen=True)
class LiveView:
    """What a view does with a webcam frame.

    step(user, picture, model, *values of ``inputs``) returns a tuple, one value per output (``gr.skip()`` leaves one
    as it is), and raises CvDemoError. Frames a second and errors are shown under the camera by ``tab``.
    """

    name: str
    step: Callable[..., tuple[Any, ...]]
    inputs: list[Any]
    outputs: list[Any]


@dataclass(frozen=True)
class Refresh:
    """What to call when the picture or the model changed or the view was opened.

    fn(request, *values of ``inputs``): a function or generator of one value per output (a bare value for one output).
    It catches CvDemoError itself. It is called only while its view is open; and, unless ``always``, only when there is
    a picture and the camera is not what the view follows.
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


class Memory:
    """What one session has computed, by picture fingerprint, model and the rest of the question; oldest goes first.

    Nothing that is still here is computed again. ``budget``: bytes of arrays that are kept. For any thread.
    """

    def __init__(self, budget: int = 256_000_000) -> None:
        self.budget = budget
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    def get(self, key: Hashable) -> Any:
        """What was kept under the key, None when there is nothing."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def put(self, key: Hashable, value: T) -> T:
        """Keep a value, at the cost of what was not asked for the longest, and return it."""
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            used = sum(array_bytes(kept) for kept in self._kept.values())
            while used > self.budget and len(self._kept) > 1:
                used -= array_bytes(self._kept.popitem(last=False)[1])
            return value

    def recall(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was kept under the key, else what ``make`` returns, kept from now on."""
        known = self.get(key)
        return self.put(key, make()) if known is None else known


def array_bytes(value: Any) -> int:
    """Bytes of the arrays in a value: an array, a dataclass, or a list, tuple or dict of such."""
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if is_dataclass(value):
        return sum(array_bytes(getattr(value, part.name)) for part in fields(value))
    if isinstance(value, dict):
        return sum(array_bytes(part) for part in value.values())
    if isinstance(value, (list, tuple)):
        # Class names and numbers come by the thousand and hold no arrays.
        return sum(array_bytes(part) for part in value if not isinstance(part, (str, int, float)))
    return 0


_memories: dict[str, Memory] = {}
_lock = threading.Lock()


def memory_of(session: str) -> Memory:
    """The memory of one session. Not a ``gr.State``, which outlives a closed page by an hour."""
    with _lock:
        return _memories.setdefault(session, Memory())


def forget(session: str) -> None:
    """Drop what a session has computed."""
    with _lock:
        _memories.pop(session, None)


def picture_of(session: str, path: str | None) -> Picture:
    """The chosen file, decoded once per session; errors as in ``read_picture``."""
    if not path:  # removed while its turn was coming
        raise InputError("There is no picture.", hint="Choose one on the left.")
    source = files.claim(session, path)
    stamp = source.stat().st_mtime_ns if source.is_file() else 0
    return memory_of(session).recall(
        ("picture", str(source), stamp), lambda: read_picture(source, name=Path(path).name)
    )


def look_of(session: str, picture: Picture, model: str, **watch: Any) -> Look:
    """What a model says of a picture; a forward pass that was made before is not made again.

    watch: ``progress`` and ``cancel``.   Errors as in ``predict.infer``.
    """
    return memory_of(session).recall(
        ("look", picture.fingerprint, model), lambda: look_at(picture, model, session, **watch)
    )


def look_at(picture: Picture, model: str, session: str, **watch: Any) -> Look:
    """As ``look_of`` for pictures that come only once, such as webcam frames."""
    return _look(picture, infer(picture, model, user=session, **watch))


def remember(session: str, picture: Picture, inference: Inference) -> Look:
    """Keep a forward pass that was made elsewhere for ``look_of``."""
    return memory_of(session).put(("look", picture.fingerprint, inference.model), _look(picture, inference))


def _look(picture: Picture, inference: Inference) -> Look:
    display, scale = display_copy(picture.pixels)
    return Look(picture, display, scale, inference)
