"""What the "Teach it" view shows: cards of thumbnails, bars, sentences. HTML and words only, no widgets.

Class names come from visitors, so every one of them is escaped, also against the page's own template syntax.
"""

from __future__ import annotations

import base64
import html

import numpy as np

from cvdemo.classification.charts import confusion_matrix, percent, probability_bars, short, training_curves
from cvdemo.classification.teach_head import FEWEST_PICTURES, MOST_CLASSES, Head
from cvdemo.classification.teach_pictures import Added
from cvdemo.classification.teach_room import NOTHING_ELSE, Answer, Room, Trained
from cvdemo.classification.teach_validation import CrossValidation
from cvdemo.core.media import encode_picture
from cvdemo.ui.markup import safe, tamed

CARDS = (*range(MOST_CLASSES), NOTHING_ELSE)
SHOWN = 18  # newest thumbnails of a card until it is unfolded
KIND_NAMES = {"softmax": "One class per picture", "multi-label": "Attributes (several or none)"}
PRIVACY = (
    "**Where this is kept.** A picture you add is read once. What stays are its features (what the last layer of the "
    "network is given) and a small thumbnail, in the memory of the machine that runs cvdemo and only while this page "
    "is open. Uploaded files are deleted as soon as they are read. A head you export lies on that machine's disk until "
    "you close the page; nothing stays after that. “Delete everything” forgets the lesson at once."
)

# What the thumbnails and bars look like; scoped by Gradio to the component that carries it.
STRIP_CSS = """
.strip { display: flex; flex-wrap: wrap; gap: 5px; min-height: 58px; align-items: center; margin: 0; }
.strip button { padding: 0; border: 2px solid transparent; border-radius: 6px; background: none; line-height: 0;
  cursor: pointer; }
.strip button.chosen { border-color: #e69f00; }
.strip button:hover { border-color: var(--body-text-color-subdued); }
.strip button:focus-visible { outline: 3px solid #e69f00; outline-offset: 2px; }
.strip img { width: 54px; height: 54px; object-fit: cover; border-radius: 4px; display: block; }
.strip .more { line-height: 1.3; padding: 6px 10px; font-size: 14px; color: var(--body-text-color);
  border: 1px solid var(--border-color-primary); border-radius: 6px; }
.strip .none { color: var(--body-text-color-subdued); font-size: 14px; }
.count { margin: 0 0 6px; font-size: 15px; font-variant-numeric: tabular-nums; }
.count .rec { color: #c62f2f; font-weight: 700; }
"""
ANSWER_CSS = """
.says { font-size: 1.35rem; font-weight: 650; margin: 0 0 10px; overflow-wrap: anywhere; }
.note { color: var(--body-text-color-subdued); margin: 8px 0 0; }
.chart { font-size: 1.05rem !important; }
"""
RESULTS_CSS = """
.results { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr)); gap: 20px 40px;
  padding: 8px 4px; }
.results .chart-pair { display: grid; gap: 20px; }
.results .caption { color: var(--body-text-color-subdued); margin: 8px 0 0; font-size: 14px; }
.results table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
.results th, .results td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid
  var(--border-color-primary); }
"""


def added_html(added: Added, title: str) -> str:
    """The line after pictures came in: how many, and which were left out and why."""
    sentence, refused = added.sentence(title), "".join(f"<li>{safe(reason)}</li>" for reason in added.refused)
    if refused:
        left_out = f'<div class="problem" role="alert">{len(added.refused)} left out: <ul>{refused}</ul></div>'
    else:
        left_out = ""
    return f'<div class="status"><div class="sentence" role="status">{safe(sentence)}</div>{left_out}</div>'


def fewest_and_most(room: Room) -> str:
    """The sentence under the cards: what is missing, or that training can start."""
    with room.lock:
        lacking = room.lesson.missing()
        if lacking:
            return lacking
        total = len(room.lesson)
        if room.trained is None:
            return f"{total} pictures: ready to train. Twenty or so of each work well."
        if room.stale:
            return "The lesson has changed since the head was trained: train again."
        return f"Trained on these {total} pictures."


def strip_html(room: Room, card: int) -> str:
    """A card's count and its thumbnails as buttons (a press chooses the picture), newest last."""
    with room.lock:
        if card >= len(room.lesson.classes):
            return ""
        if card == NOTHING_ELSE:
            pictures = [(key, pixels) for key, pixels in room.lesson.thumbnails() if not room.lesson.names_of(key)]
        else:
            pictures = room.lesson.thumbnails(room.lesson.classes[card])
        title = safe(room.title(card))
        folded = room.unfolded != card and len(pictures) > SHOWN
        first = len(pictures) - SHOWN if folded else 0
        buttons = [
            f'<button type="button" data-key="{key}" class="{"chosen" if key == room.chosen else ""}" '
            f'aria-label="Picture {number} of {title}"><img alt="" src="{_url(room, key, pixels)}"></button>'
            for number, (key, pixels) in enumerate(pictures[first:], first + 1)
        ]
        if folded:
            buttons.insert(0, f'<button type="button" class="more" data-key="all">show {first} more</button>')
        elif len(pictures) > SHOWN:
            buttons.insert(0, '<button type="button" class="more" data-key="all">show fewer</button>')
        recording = room.recording
        live = ""
        if recording is not None and recording.card == card:
            live = f' <span class="rec">● {recording.wanted - recording.left} of {recording.wanted} frames</span>'
        empty = f'<span class="none">No pictures yet; it needs {FEWEST_PICTURES} or more.</span>'
        if card == NOTHING_ELSE:
            empty = '<span class="none">Pictures without any of the attributes teach what they are not.</span>'
        count = f"{len(pictures)} picture{'' if len(pictures) == 1 else 's'}"
    return f'<p class="count">{count}{live}</p><div class="strip">{"".join(buttons) or empty}</div>'


def _url(room: Room, key: int, pixels: np.ndarray) -> str:
    if key not in room.urls:
        data = base64.b64encode(encode_picture(pixels, "jpeg", quality=72)).decode()
        room.urls[key] = f"data:image/jpeg;base64,{data}"
    return room.urls[key]


def chosen_html(room: Room) -> str:
    """The picture being edited, larger."""
    with room.lock:
        pixels = dict(room.lesson.thumbnails()).get(room.chosen or 0)
        if pixels is None:
            return ""
        look = 'alt="The chosen picture" style="height:96px;border-radius:6px"'
        return f'<img {look} src="{_url(room, room.chosen or 0, pixels)}">'


def answer_html(answer: Answer | None, note: str = "", *, announce: bool = True) -> str:
    """What the head says: a sentence, then one bar per class in the order of the cards."""
    if answer is None:
        return f'<p class="note">{safe(note)}</p>' if note else ""
    attributes = answer.kind == "multi-label"
    bars = probability_bars(
        [short(name, 20) for name in answer.classes],
        np.clip(answer.probabilities, 0, 1),
        title="What the taught head says",
        threshold=0.5 if attributes else None,
        chosen=None if attributes else int(answer.probabilities.argmax()),
    )
    role = ' role="status" aria-live="polite"' if announce else ""
    after = f'<p class="note">{safe(note)}</p>' if note else ""
    return f'<p class="says"{role}>{safe(answer.sentence())}</p>{tamed(bars)}{after}'


def results_html(trained: Trained) -> str:
    """The curves of the training, and how the head does on pictures that were held back."""
    validation, history = trained.validation, trained.head.history
    if validation is None:
        return ""
    curves = training_curves(history.loss, history.accuracy, held_back=validation.accuracy)
    if validation.kind == "softmax":
        table = confusion_matrix(validation.confusion, validation.classes, title="Held-back pictures")
        note = "A row is what a picture is, a column what it was taken for"
    else:
        table = _attribute_table(validation)
        note = "Each attribute is a question of its own"
    how = (
        f"{note}. Every picture was judged once, by a head that had not seen it ({validation.folds}-fold "
        "cross-validation); the head you use learnt from all of them."
    )
    body = f'<div>{curves}</div><div>{table}<p class="caption">{how}</p></div>'
    return f'<div class="results">{tamed(body)}</div>'


def _attribute_table(validation: CrossValidation) -> str:
    """Per attribute: how many pictures with and without it were judged right."""
    rows = []
    for name, counts, share in zip(validation.classes, validation.confusion, validation.per_class):
        (right_without, false_alarm), (missed, found) = counts.tolist()
        cells = (f"{found} of {found + missed}", f"{right_without} of {right_without + false_alarm}", percent(share))
        rows.append(
            f"<tr><td>{html.escape(name)}</td>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
        )
    head = "<tr><th>Attribute</th><th>with it, found</th><th>without it, left out</th><th>right</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def stale_note(room: Room) -> str:
    """What to keep in mind about an answer, "" when there is nothing."""
    return "The lesson has changed since the head was trained: train again to use it." if room.stale else ""


def trained_words(trained: Trained) -> tuple[str, str]:
    """What counts, and how it came about: "36 of 40 held-back pictures right (90 %), guessing gives 20 %; …"."""
    history, validation = trained.head.history, trained.validation
    if validation is None:
        return imported_sentence(trained.head), ""
    how = (
        f"Trained on {trained.pictures} pictures in {trained.seconds:.1f} s ({len(history.loss) - 1} steps); "
        f"{100 * history.accuracy[-1]:.0f} % of the answers on these themselves are right."
    )
    return f"{validation.sentence()}.", how


def imported_sentence(head: Head) -> str:
    """What an imported head can do."""
    noun = "classes" if head.kind == "softmax" else "attributes"
    taught = f", taught on the features of {head.backbone}" if head.backbone else ""
    return f"A head for {len(head.classes)} {noun} ({', '.join(head.classes)}){taught}. Choose a picture or the camera."


def export_name(head: Head) -> str:
    """A file name made of the class names."""
    words = ["".join(c for c in name if c.isascii() and c.isalnum()) for name in head.classes]
    return f"{'-'.join(filter(None, words))[:40] or 'taught'}-head.safetensors"
