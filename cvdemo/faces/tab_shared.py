"""What the views of the Faces tab share: their names, and pictures in which every face is found once a session."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cvdemo.core.errors import CvDemoError, WeightsError
from cvdemo.core.media import Picture
from cvdemo.faces.predict import FacesInference, FoundFaces, find, recognise
from cvdemo.ui.layered_viewer import layer_source
from cvdemo.ui.memory import memory_of, picture_of
from cvdemo.ui.viewer import display_copy

COMPARE, GALLERY, LOSSES, SIMCLR, RETRIEVAL = "compare", "gallery", "losses", "simclr", "retrieval"
DISPLAY_SIDE = 720  # longest side of a picture on the page: two stand beside each other
# A press on anything with a key reaches Python as one event that carries it.
PRESS = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-key]");
  if (button) trigger("click", {key: button.dataset.key});
});
"""


def pressed_key(event: Any) -> str:
    """The key of what was pressed in a component whose script is ``PRESS``; "" when there is none."""
    return str((event._data or {}).get("key", ""))


@dataclass(frozen=True, eq=False)
class Look:
    """A picture and the faces found in it.

    display: the picture as the page shows it, ``scale`` times as large.
    inference: with embeddings; None where the model that embeds is not there, and ``trouble`` says why.
    sources: crops that were encoded for the page already, by face.
    """

    picture: Picture
    display: np.ndarray
    scale: float
    found: FoundFaces
    inference: FacesInference | None
    trouble: CvDemoError | None = None
    sources: dict[int, str] = field(default_factory=dict)

    def crop_source(self, row: int) -> str:
        """A face's aligned crop as a data URL."""
        if row not in self.sources:
            self.sources[row] = layer_source(self.found.crops[row], 80)
        return self.sources[row]

    @property
    def stages(self) -> Mapping[str, float]:
        """Milliseconds of each stage."""
        return self.found.stages if self.inference is None else self.inference.stages


def key_of(picture: Picture, model: str) -> Hashable:
    """Where the session's memory keeps what a model makes of a picture; the last part is the model's name."""
    return "faces", picture.fingerprint, picture.name, model


def look_of(session: str, path: str | None, model: str, **watch: Any) -> Look:
    """The faces of a chosen file; a picture that was looked at before is not looked at again.

    watch: ``progress`` and ``cancel``.   Errors as in ``picture_of`` and ``predict.find``; not being able to embed is
    none, because faces can be found and shown all the same.
    """
    picture = picture_of(session, path)
    memory, key = memory_of(session), key_of(picture, model)
    known: Look | None = memory.get(key)
    if known is None or known.trouble is not None:  # the file may be put in place while the page is open
        known = memory.put(key, look_at(picture, model, session, **watch))
    return known


def looking(session: str, path: str | None, model: str) -> Callable[..., Look]:
    """``look_of`` as work for ``background.follow``."""
    return lambda progress, cancel: look_of(session, path, model, progress=progress, cancel=cancel)


def look_at(picture: Picture, model: str, session: str, **watch: Any) -> Look:
    """As ``look_of`` for pictures that come only once, such as webcam frames."""
    found = find(picture, user=session, **watch)
    display, scale = display_copy(picture.pixels, DISPLAY_SIDE)
    try:
        return Look(picture, display, scale, found, recognise(found, model, user=session, **watch))
    except WeightsError as error:
        return Look(picture, display, scale, found, None, error)


def timing_line(*looks: Look) -> str:
    """Such as "31 ms (find 22, align 1, embed 8) · cpu int8" of the looks together."""
    spent: dict[str, float] = {}
    for look in looks:
        for stage, ms in look.stages.items():
            name, _, step = stage.partition(": ")
            if step not in ("wait", "load"):  # once, when the model was first used
                spent[name] = spent.get(name, 0.0) + ms
    parts = ", ".join(f"{name} {ms:.0f}" for name, ms in spent.items() if ms >= 0.5)
    last = looks[-1].inference or looks[-1].found
    where = " ".join(part for part in (last.device, last.precision) if part)
    return f"{sum(spent.values()):.0f} ms{f' ({parts})' if parts else ''}{f' · {where}' if where else ''}"
