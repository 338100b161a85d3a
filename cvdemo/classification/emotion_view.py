"""What the Emotion view shows: boxes in the picture, a card per face with its crop and seven bars, table, downloads.

``Look`` is what a session remembers of one picture: the faces that were found, the doubtful ones too, and the logits of
the emotion network for each. ``show`` turns it into words and pixels; no control needs a network again.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from cvdemo.classification.charts import percent, probability_bars
from cvdemo.classification.emotion import (
    DEFAULT_MODEL,
    EMOTIONS,
    TASK,
    TEMPERATURE,
    UNSURE_BELOW,
    Emotions,
    EmotionSettings,
    EmotionTracks,
    Inference,
    RawEmotions,
    decode_emotions,
    infer_emotions,
)
from cvdemo.core import registry
from cvdemo.core.context import ProgressFn
from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2
from cvdemo.core.media import Picture, encode_picture
from cvdemo.core.settings import Settings, setting
from cvdemo.detection.draw import PALETTE, PATTERNS, draw_boxes, make_style
from cvdemo.faces.detector import DEFAULT_MODEL as FACE_MODEL
from cvdemo.faces.detector import FaceDetectionSettings, FaceInference, decode_faces, infer_faces

TABLE_HEADER = ("Face", "Emotion", "Probability", *EMOTIONS, "Face score", "x1", "y1", "x2", "y2")
STAGE_WORDS = {"preprocess": "prepare", "decode": "read out"}
CARDS = 12  # faces shown with crop and bars; the table has all of them
PROJECTOR_SCALE = 1.6
READ_ABOVE = 0.2  # face scores: the emotions of all these are read at once, so that the threshold can move freely
CAUTION = (
    "**What this reads.** The network learnt from photographs whose expressions people had named by looking at them, "
    "many of them posed. It compares a face with those pictures: it sees expressions, not feelings, and it errs, more "
    "often for some people and cultures than for others. A frown may be sunlight, and a smile may be politeness. "
    "Nothing should be decided about anybody on the strength of it. Two compact networks work here, one that finds "
    "faces and one that reads them; the model menu belongs to the other views."
)
NO_FACE = "No face found. Choose a picture in which a face looks roughly at the camera, or lower the face threshold."

CARDS_CSS = """
.faces { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 260px), 1fr)); gap: 14px 28px;
  padding: 6px 4px; }
.faces figure { margin: 0; }
.faces .head { display: flex; align-items: center; gap: 12px; margin-bottom: 8px; }
.faces .head img { width: 84px; height: 84px; border-radius: 6px; image-rendering: auto;
  border: 1px solid var(--border-color-primary); }
.faces .who { font-weight: 650; font-size: 1.1rem; }
.faces .sub { color: var(--body-text-color-subdued); font-size: 14px; font-variant-numeric: tabular-nums; }
.more { color: var(--body-text-color-subdued); }
"""


@dataclass(frozen=True)
class EmotionViewSettings(Settings):
    """Everything that acts on faces already read."""

    face_threshold: float = setting(
        FaceDetectionSettings().score_threshold, label="Face threshold", minimum=READ_ABOVE, maximum=0.95, step=0.05,
        help="Only faces of which the detector is surer than this are shown.",
    )  # fmt: skip
    emotion_temperature: float = setting(
        TEMPERATURE, label="Temperature", minimum=0.1, maximum=10.0, step=0.05,
        help="The logits are divided by this: below 1 the best emotion gains, above 1 all become alike.",
    )  # fmt: skip
    smoothing: float = setting(
        0.4, label="Smoothing (live)", minimum=0.0, maximum=3.0, step=0.1,
        help="Seconds over which the probabilities of a face are averaged in live pictures; 0 shows each by itself.",
    )  # fmt: skip

    def for_emotions(self) -> EmotionSettings:
        """The emotion network's settings."""
        return EmotionSettings(temperature=self.emotion_temperature, smoothing=self.smoothing)


@dataclass(frozen=True, eq=False)
class Look:
    """A picture, the copy the page shows (``scale`` display pixels per pixel), its faces, and their emotions."""

    picture: Picture
    display: np.ndarray
    scale: float
    found: FaceInference
    inference: Inference


@dataclass(frozen=True, eq=False)
class Shown:
    """One drawn state: pixels (h, w, 3) uint8 at display size, words, and what was decoded (in picture pixels)."""

    pixels: np.ndarray
    sentence: str
    timing: str
    emotions: Emotions
    crops: np.ndarray


def missing_weights() -> str:
    """Why emotions cannot be read, as one sentence naming each model without weights; "" when they can."""
    lacking = []
    for name in (FACE_MODEL, DEFAULT_MODEL):
        state = registry.availability(registry.get(name))
        if not state.ok:
            lacking.append(f"{registry.get(name).title}: {state.reason}. {state.remedy}".strip())
    return " ".join(lacking)


def look_at(
    picture: Picture,
    display: np.ndarray,
    scale: float,
    *,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: ProgressFn | None = None,
) -> Look:
    """Find faces, then read the emotions of all with a score above 0.2; errors as in ``Engine.run``."""
    found = infer_faces(picture, user=user, cancel=cancel, progress=progress)
    faces = decode_faces(found, FaceDetectionSettings(score_threshold=READ_ABOVE))
    inference = infer_emotions(picture, faces, user=user, cancel=cancel, progress=progress)
    return Look(picture, display, scale, found, inference)


def kept(raw: RawEmotions, threshold: float) -> RawEmotions:
    """The faces with a score above the threshold."""
    rows = np.flatnonzero(raw.scores > threshold)
    return replace(
        raw,
        logits=raw.logits[rows],
        crops=raw.crops[rows],
        transforms=raw.transforms[rows],
        boxes=raw.boxes[rows],
        scores=raw.scores[rows],
    )


def show(
    look: Look,
    settings: EmotionViewSettings,
    *,
    projector: bool = False,
    tracks: EmotionTracks | None = None,
    seconds: float = 0.0,
) -> Shown:
    """Decode and draw: a few milliseconds, no network. tracks, seconds: of a live session, see ``decode_emotions``."""
    raw = kept(look.inference.raw, settings.face_threshold)
    emotions = decode_emotions(raw, settings.for_emotions(), tracks, seconds)
    order = np.arange(len(emotions)) if emotions.tracks is None else np.argsort(emotions.tracks)
    emotions = in_order(emotions, order)  # live, a face keeps its place while others come and go
    started = perf_counter()
    pixels = draw(look.display, emotions, look.scale, text_scale=PROJECTOR_SCALE if projector else 1.0)
    draw_ms = (perf_counter() - started) * 1e3
    sentence = sentence_of(emotions)
    return Shown(pixels, sentence, timing_line(look, emotions, draw_ms), emotions, raw.crops[order])


def in_order(emotions: Emotions, order: np.ndarray) -> Emotions:
    """The same faces in another order."""
    tracks = None if emotions.tracks is None else emotions.tracks[order]
    rows = {"probabilities": emotions.probabilities[order], "boxes": emotions.boxes[order]}
    return replace(emotions, **rows, scores=emotions.scores[order], tracks=tracks)


def sentence_of(emotions: Emotions) -> str:
    """ "1 face: happy (87 %)"; without a face, what to do."""
    return emotions.sentence() if len(emotions) else NO_FACE


def labels_of(emotions: Emotions) -> list[str]:
    """What stands on the boxes: "1 happy 87%"; a question mark where no emotion is likely."""
    several = len(emotions) > 1
    return [
        f"{f'{row} ' if several else ''}{name}{'?' if value < UNSURE_BELOW else ''} {100 * value:.0f}%"
        for row, (_, name, value) in enumerate(emotions.top, 1)
    ]


def draw(pixels: np.ndarray, emotions: Emotions, scale: float = 1.0, *, text_scale: float = 1.0) -> np.ndarray:
    """The picture with a labelled box per face, a new array. An emotion is a colour, a line pattern and a word.

    scale: pixels of ``pixels`` per pixel of the picture that the boxes are in.
    """
    # One of the seven patterns each; neutral, the most frequent, gets the solid line.
    styles = [make_style(PALETTE[index], PATTERNS[(index + 1) % len(PATTERNS)]) for index, _, _ in emotions.top]
    width = 4 if text_scale > 1 else 3
    return draw_boxes(
        pixels, emotions.boxes * scale, styles, labels_of(emotions), line_width=width, text_scale=text_scale
    )


def timing_line(look: Look, emotions: Emotions, draw_ms: float) -> str:
    """ "21 ms (faces: prepare 1.0, network 9; emotions: align 1.1, network 3) · cpu bf16"."""
    groups = []
    total = emotions.milliseconds + draw_ms
    for title, stages in (("faces", look.found.stages), ("emotions", look.inference.stages)):
        told = {STAGE_WORDS.get(name, name): ms for name, ms in stages.items() if ms >= 0.05}
        total += sum(told.values())
        if told:
            words = ", ".join(f"{name} {ms:.0f}" if ms >= 9.5 else f"{name} {ms:.1f}" for name, ms in told.items())
            groups.append(f"{title}: {words}")
    notes = f" · {'; '.join(look.picture.notes)}" if look.picture.notes else ""
    groups.append(f"draw {draw_ms:.1f}")
    return f"{total:.0f} ms ({'; '.join(groups)}) · {look.found.device} {look.found.precision}{notes}"


def cards_html(shown: Shown) -> str:
    """The faces, best found first: the aligned crop that the network saw, and its seven probabilities."""
    emotions = shown.emotions
    if not len(emotions):
        return f'<p class="more">{html.escape(NO_FACE)}</p>'
    cards = []
    for row, (index, name, value) in enumerate(emotions.top[:CARDS]):
        x1, _, x2, _ = emotions.boxes[row]
        doubt = "?" if value < UNSURE_BELOW else ""
        title = f"Face {row + 1}"
        bars = probability_bars(
            EMOTIONS, np.clip(emotions.probabilities[row], 0, 1), title=f"{title}: seven emotions", chosen=index
        )
        cards.append(
            f'<figure><div class="head"><img alt="{title}, aligned, as the network sees it" '
            f'src="{_crop_url(shown.crops[row])}"><div><div class="who">{title}: {name}{doubt}'
            f'</div><div class="sub">{percent(value)} · {x2 - x1:.0f} px wide</div></div></div>{bars}</figure>'
        )
    left = len(emotions) - CARDS
    rest = f'<p class="more">{left} more in the table.</p>' if left > 0 else ""
    return f'<div class="faces">{"".join(cards)}</div>{rest}'


def _crop_url(crop: np.ndarray) -> str:
    larger = np.asarray(cv2.resize(crop, (96, 96), interpolation=cv2.INTER_CUBIC), np.uint8)
    return f"data:image/jpeg;base64,{base64.b64encode(encode_picture(larger, 'jpeg', quality=80)).decode()}"


def table_rows(emotions: Emotions) -> list[list[Any]]:
    """Rows under ``TABLE_HEADER``; coordinates in pixels of the original picture."""
    rows: list[list[Any]] = []
    for row, (_, name, value) in enumerate(emotions.top):
        seven = [round(float(p), 3) for p in emotions.probabilities[row]]
        box = [round(float(v), 1) for v in emotions.boxes[row]]
        rows.append([row + 1, name, round(value, 3), *seven, round(float(emotions.scores[row]), 3), *box])
    return rows


def to_csv(emotions: Emotions) -> str:
    """One line a face: number, emotion, probability, the seven probabilities, face score, box corners in pixels."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([name.lower().replace(" ", "_") for name in TABLE_HEADER])
    writer.writerows(table_rows(emotions))
    return stream.getvalue()


def export(look: Look, settings: EmotionViewSettings, kind: str) -> tuple[str, bytes]:
    """(file name, content) of a download: "png" (full size with boxes), "json" or "csv"."""
    emotions = decode_emotions(kept(look.inference.raw, settings.face_threshold), settings.for_emotions())
    stem = Path(look.picture.name).stem or "picture"
    if kind == "png":
        return f"{stem}-emotions.png", encode_picture(draw(look.picture.pixels, emotions), "png")
    if kind == "csv":
        return f"{stem}-emotions.csv", to_csv(emotions).encode()
    if kind == "json":
        document = emotions.to_dict(look.picture.name)
        document |= {"face_model": look.found.model, "task": TASK, "settings": settings.to_dict()}
        return f"{stem}-emotions.json", json.dumps(document, indent=1).encode()
    raise InputError(f"There is no export of the kind {kind!r}.", hint="Choose png, json or csv.")


# ------------------------------------------------------------------ live sessions

_tracks: dict[str, EmotionTracks] = {}
_lock = threading.Lock()


def tracks_of(session: str) -> EmotionTracks:
    """The faces followed in a session's live pictures."""
    with _lock:
        return _tracks.setdefault(session, EmotionTracks())


def forget(session: str) -> None:
    """Drop the faces followed for a session."""
    with _lock:
        _tracks.pop(session, None)
