"""The "Teach it" view: where everything stands. What happens is in ``tab_teach_events``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from cvdemo.classification import teach_room, teach_view
from cvdemo.classification.tab_shared import TEACH
from cvdemo.classification.teach_head import NAME_LENGTH
from cvdemo.classification.teach_view import CARDS, KIND_NAMES
from cvdemo.ui.downloads import hidden_link
from cvdemo.ui.viewer import status
from cvdemo.ui.views import LiveView, Refresh, Shared, View
from cvdemo.ui.widgets import upload_button

# A press on a thumbnail, or on "show more", reaches Python as one event with the picture's key.
_PRESS = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-key]");
  if (button) trigger("click", {key: button.dataset.key});
});
"""
TRY_IT = "Train a head first; then the picture on the left, or the live camera, is judged here."


@dataclass(frozen=True)
class Card:
    """One class: its frame, name, thumbnails and buttons. The card of pictures without attributes has no ``name``."""

    frame: Any
    name: Any
    strip: Any
    upload: Any
    current: Any
    record: Any
    remove: Any


@dataclass(frozen=True)
class Parts:
    """Every component of the view that an event reads or changes."""

    kind: Any
    frames: Any
    also: Any
    cards: dict[int, Card]
    add_class: Any
    line: Any
    foot: Any
    panel: Any
    chosen: Any
    labels: Any
    remove_picture: Any
    done: Any
    train: Any
    halt: Any
    answer: Any
    results: Any
    export: Any
    load: Any
    hidden: Any
    delete: Any

    @property
    def strips(self) -> list[Any]:
        """The thumbnails of all cards."""
        return [card.strip for card in self.cards.values()]

    @property
    def board(self) -> list[Any]:
        """Everything that shows the lesson: filled by ``tab_teach_events.board``."""
        frames = [card.frame for card in self.cards.values()]
        names = [card.name for card in self.cards.values() if card.name is not None]
        return [
            *frames,
            *names,
            *self.strips,
            self.also,
            self.add_class,
            self.foot,
            self.panel,
            self.chosen,
            self.labels,
        ]


def create_teach_view(shared: Shared) -> View:
    """Build the view inside the current ``gr.Tab``."""
    from cvdemo.classification import tab_teach_events as events  # they need Parts from here
    from cvdemo.classification import tab_teach_pictures as incoming

    parts = _components()
    incoming.wire_pictures(parts, shared)
    events.wire_classes(parts)
    events.wire_choice(parts)
    judged = events.wire_head(parts, shared)
    return View(
        TEACH,
        live=LiveView(TEACH, incoming.live_step, [], [*parts.strips, parts.line, parts.foot, parts.answer]),
        refresh=Refresh(judged, [shared.picture, shared.model, shared.mode], [parts.answer], always=True),
        forget=teach_room.forget,
    )


def _components() -> Parts:
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=340):
            with gr.Row():
                kind = gr.Radio(
                    [(title, name) for name, title in KIND_NAMES.items()], value="softmax", label="What is taught",
                    elem_id="teach-kind",
                )  # fmt: skip
            also = gr.CheckboxGroup(
                [], label="Pictures added next also have", visible=False, elem_id="teach-also",
                info="Beside the attribute of the card they are added to.",
            )  # fmt: skip
            cards = {number: _card(number) for number in CARDS}
            with gr.Row():
                add_class = gr.Button("Add a class", size="sm", elem_id="teach-add-class")
                delete = gr.Button("Delete everything", size="sm", variant="stop", elem_id="teach-delete")
            frames = gr.Slider(
                5, 50, 20, step=1, label="Frames per recording", buttons=[], elem_id="teach-frames",
                info="“Record” takes so many frames of the live camera, a few a second: move while it counts.",
            )  # fmt: skip
        with gr.Column(scale=2, min_width=300, elem_id="teach-right"):
            line = gr.HTML(status(), elem_id="teach-line", apply_default_css=False)
            panel, chosen, labels, remove_picture, done = _panel()
            foot = gr.Markdown(teach_view.fewest_and_most(teach_room.Room()), elem_id="teach-foot")
            with gr.Row():
                train = gr.Button("Train", variant="primary", scale=3, elem_id="teach-train")
                halt = gr.Button("Stop", scale=1, min_width=80, elem_id="teach-halt")
            answer = gr.HTML(
                teach_view.answer_html(None, TRY_IT), css_template=teach_view.ANSWER_CSS, elem_id="teach-answer",
                apply_default_css=False,
            )  # fmt: skip
            with gr.Row():
                export = gr.Button("Export the head", size="sm", elem_id="teach-export")
                load = upload_button("Import a head", size="sm", file_count="single", elem_id="teach-import")
            hidden = hidden_link("teach-download")
    results = gr.HTML(
        "", css_template=teach_view.RESULTS_CSS, elem_id="teach-results", apply_default_css=False
    )  # fmt: skip
    gr.Markdown(teach_view.PRIVACY, elem_classes="privacy")
    return Parts(
        kind, frames, also, cards, add_class, line, foot, panel, chosen, labels, remove_picture, done, train, halt,
        answer, results, export, load, hidden, delete,
    )  # fmt: skip


def _card(number: int) -> Card:
    fresh = teach_room.Room()
    there = 0 <= number < len(fresh.lesson.classes)
    with gr.Column(visible=there, elem_id=f"teach-card-{number}", elem_classes="teach-card") as frame:
        name = None
        if number < 0:
            gr.Markdown("**None of the attributes**")
        else:
            name = gr.Textbox(
                fresh.lesson.classes[number] if there else "", label=f"Name of class {number + 1}",
                max_length=NAME_LENGTH, show_label=False, container=False, elem_id=f"teach-name-{number}",
            )  # fmt: skip
        strip = gr.HTML(
            teach_view.strip_html(fresh, number) if there else "", css_template=teach_view.STRIP_CSS,
            js_on_load=_PRESS, elem_id=f"teach-strip-{number}", apply_default_css=False,
        )  # fmt: skip
        with gr.Row():
            upload = upload_button(
                "Upload", size="sm", min_width=70, file_count="multiple", elem_id=f"teach-upload-{number}"
            )
            current = gr.Button("Add current", size="sm", min_width=90, elem_id=f"teach-current-{number}")
            record = gr.Button("Record", size="sm", min_width=70, elem_id=f"teach-record-{number}")
            remove = None
            if number >= 0:
                remove = gr.Button("Remove class", size="sm", min_width=70, elem_id=f"teach-remove-{number}")
    return Card(frame, name, strip, upload, current, record, remove)


def _panel() -> tuple[Any, ...]:
    with gr.Column(visible=False, elem_id="teach-panel", elem_classes="teach-card") as panel:
        chosen = gr.HTML(apply_default_css=False)
        labels = gr.CheckboxGroup([], label="This picture belongs to", elem_id="teach-labels")
        with gr.Row():
            remove_picture = gr.Button("Remove this picture", size="sm", min_width=90, elem_id="teach-remove-picture")
            done = gr.Button("Done", size="sm", min_width=60, elem_id="teach-done")
    return panel, chosen, labels, remove_picture, done
