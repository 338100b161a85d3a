"""The Gallery view: where everything stands, and what a picture or a camera frame is compared with.

Enrolling, removing and clearing is in ``tab_gallery_events``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cvdemo.core.errors import CvDemoError
from cvdemo.core.media import Picture
from cvdemo.faces import gallery_room as kept
from cvdemo.faces import gallery_view as view
from cvdemo.faces.charts import TABLE_CSS
from cvdemo.faces.gallery import LONGEST_NAME
from cvdemo.faces.gallery_room import CAPTURES, Room, room_of
from cvdemo.faces.gallery_view import GalleryViewSettings
from cvdemo.faces.tab_shared import GALLERY, PRESS, Look, key_of, look_at, looking, timing_line
from cvdemo.ui.background import Done, follow
from cvdemo.ui.downloads import hidden_link
from cvdemo.ui.memory import memory_of
from cvdemo.ui.sessions import session_of
from cvdemo.ui.viewer import shown, status, trouble, viewer, working
from cvdemo.ui.views import LiveView, Refresh, Shared, View
from cvdemo.ui.widgets import read_settings, settings_components, upload_button

NAMES = ("threshold", "rule", "matrix", "projection")
PREFIX = "gallery_"
LIVE = ("faces", "gallery live")


@dataclass(frozen=True)
class Parts:
    """Every component of the view that an event reads or changes."""

    consent: Any
    name: Any
    upload: Any
    current: Any
    capture: Any
    line: Any
    people: Any
    clear: Any
    viewer: Any
    status: Any
    answers: Any
    widgets: dict[str, Any]
    matrix: Any
    map: Any
    errors: Any
    export: Any
    hidden: Any

    @property
    def settings(self) -> list[Any]:
        """The widgets in the order of ``NAMES``."""
        return [self.widgets[name] for name in NAMES]

    @property
    def found(self) -> list[Any]:
        """Who is in the picture: filled by ``search``."""
        return [self.viewer, self.status, self.answers]

    @property
    def charts(self) -> list[Any]:
        """What is drawn of the gallery: filled by ``charts``."""
        return [self.matrix, self.map, self.errors]

    @property
    def everything(self) -> list[Any]:
        """All that a change of the gallery changes: filled by ``everything``."""
        return [self.people, *self.found, *self.charts]


def create_gallery_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    from cvdemo.faces import tab_gallery_events as events  # they need Parts from here

    parts = _components()
    events.wire_enrolment(parts, shared)
    events.wire_removal(parts)
    events.wire_settings(parts)
    events.wire_export(parts)
    return View(
        GALLERY,
        live=LiveView(GALLERY, _step, parts.settings, [parts.people, parts.line, *parts.found, *parts.charts]),
        refresh=Refresh(_run, [shared.picture, shared.model, *parts.settings], [*parts.found, *parts.charts]),
        forget=kept.forget,
        settings=GalleryViewSettings,
        controls=dict(zip(NAMES, parts.settings)),
        prefix=PREFIX,
    )


def _components() -> Parts:
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            consent = gr.Checkbox(
                False, label=view.CONSENT, info="Nobody is enrolled before this is ticked.", elem_id="gallery-consent"
            )
            name = gr.Textbox(
                "", label="Name", placeholder="Whose face it is", max_length=LONGEST_NAME, elem_id="gallery-name"
            )
            with gr.Row():
                upload = upload_button("Upload pictures", size="sm", file_count="multiple", elem_id="gallery-upload")
                current = gr.Button("Enrol first picture", size="sm", elem_id="gallery-current")
                capture = gr.Button(f"Take {CAPTURES} from the camera", size="sm", elem_id="gallery-capture")
            line = gr.HTML(status(), elem_id="gallery-line", apply_default_css=False)
            people = gr.HTML(
                view.people_html(Room()), css_template=view.CSS, js_on_load=PRESS, elem_id="gallery-people",
                apply_default_css=False,
            )  # fmt: skip
            clear = gr.Button("Clear: forget everybody", size="sm", variant="stop", elem_id="gallery-clear")
        with gr.Column(scale=3, min_width=340):
            result = viewer("gallery-result", "Who is in the first picture, or before the camera, appears here.")
            told = gr.HTML(status(), elem_id="gallery-status", apply_default_css=False)
            answers = gr.HTML(css_template=view.ANSWER_CSS, elem_id="gallery-answers", apply_default_css=False)
            with gr.Row():
                widgets = settings_components(GalleryViewSettings, NAMES[:2])
    with gr.Tabs():
        with gr.Tab("Similarities"):
            widgets |= settings_components(GalleryViewSettings, NAMES[2:3])
            matrix = gr.HTML(css_template=TABLE_CSS, elem_id="gallery-matrix", apply_default_css=False)
        with gr.Tab("Embedding map"):
            widgets |= settings_components(GalleryViewSettings, NAMES[3:])
            places = gr.HTML(elem_id="gallery-map", apply_default_css=False)
        with gr.Tab("ROC and EER"):
            errors = gr.HTML(elem_id="gallery-errors", apply_default_css=False)
        with gr.Tab("Export"):
            gr.Markdown("Names, similarities and error rates of this gallery as JSON; no picture and no embedding.")
            export = gr.Button("Similarities as JSON", elem_id="gallery-export")
            hidden = hidden_link("gallery-download")
    gr.Markdown(view.NOTICE, elem_classes="privacy")
    return Parts(
        consent, name, upload, current, capture, line, people, clear, result, told, answers, widgets, matrix, places,
        errors, export, hidden,
    )  # fmt: skip


def _run(request: gr.Request, path: str | None, model: str, *values: Any) -> Iterator[tuple[Any, ...]]:
    """Who is in the first picture, and the gallery's charts."""
    user = session_of(request)
    room = room_of(user)
    try:
        settings = read_settings(GalleryViewSettings, NAMES, values)
        for event in follow(looking(user, path, model)):
            if isinstance(event, Done):
                room.asked = key_of(event.value.picture, model)
                yield *search(room, event.value, settings), *charts(room, event.value, settings)
            else:
                yield gr.skip(), working(event.text, event.fraction), *(gr.skip(),) * 4
    except CvDemoError as error:
        yield gr.skip(), trouble(error), *(gr.skip(),) * 4


def asked(user: str, room: Room) -> Look | None:
    """The picture that is searched, while it is kept."""
    return memory_of(user).get(room.asked) if room.asked is not None else None


def search(room: Room, look: Look | None, settings: GalleryViewSettings, *, announce: bool = True) -> tuple[Any, ...]:
    """viewer, status, answers: who is in a picture."""
    if look is None:
        return (gr.skip(),) * 3
    try:
        rows, matches = view.matches_of(room, look, settings)
        if look.trouble is not None:
            raise look.trouble
    except CvDemoError as error:
        return shown(look.display, "The picture that is searched"), trouble(error), ""
    said = view.sentence(matches)
    picture = shown(view.drawn(look, rows, matches), said, quality=88 if announce else 80)
    return picture, status(said, timing_line(look), announce=announce), view.answers_html(look, rows, matches)


def charts(room: Room, look: Look | None, settings: GalleryViewSettings) -> tuple[str, str, str]:
    """matrix, map, errors."""
    return view.matrix_html(room, settings), view.map_html(room, settings, look), view.errors_html(room, settings)


def everything(user: str, room: Room, settings: GalleryViewSettings) -> tuple[Any, ...]:
    """Values of ``Parts.everything`` after the gallery changed."""
    look = asked(user, room)
    return view.people_html(room), *search(room, look, settings), *charts(room, look, settings)


def _step(user: str, picture: Picture, model: str, *values: Any) -> tuple[Any, ...]:
    """A webcam frame: enrolled when one is awaited, and searched in the gallery."""
    settings = read_settings(GalleryViewSettings, NAMES, values)
    room, look = room_of(user), look_at(picture, model, user)
    memory_of(user).put(LIVE, look)
    room.asked = LIVE
    taken = kept.take_frame(room, look)
    found = search(room, look, settings, announce=False)
    if taken is None:
        return gr.skip(), gr.skip(), *found, *(gr.skip(),) * 3
    done = taken.wanted - taken.left
    more = "" if taken.left else " Done: move on to the next person."
    line = status(f"{taken.name}: {done} of {taken.wanted} taken.{more}", announce=not taken.left)
    return view.people_html(room), line, *found, *charts(room, None, settings)
