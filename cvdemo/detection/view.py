"""What the page shows of a detection: the drawn picture, the sentence, the timing line, the table, the funnel.

``PictureView`` is what a session remembers between two moves of a slider: the picture and what the network returned
for it. ``render`` is the whole path behind a slider and touches no network.
"""

from __future__ import annotations

import html
import json
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.media import Picture, encode_picture
from cvdemo.detection.candidates import Candidates, Detections, count_in_words, name_of
from cvdemo.detection.labels import COCO_CATEGORIES
from cvdemo.detection.nms import Report
from cvdemo.detection.predict import Decoded, DetectionSettings, Inference, decode, draw

TABLE_HEADER = ("#", "Label", "Score", "x1", "y1", "x2", "y2", "Width", "Height", "Area %", "Level")
STAGE_WORDS = {"preprocess": "prepare", "network": "network", "decode": "boxes", "load": "load", "wait": "wait"}
PROJECTOR_SCALE = 1.6


@dataclass(frozen=True, eq=False)
class PictureView:
    """A picture, the copy of it the page shows (``scale`` display pixels per pixel), and its inference."""

    picture: Picture
    display: np.ndarray
    scale: float
    inference: Inference


class ViewCache:
    """The last few pictures and models of one session, so that going back to one does not run the network again."""

    def __init__(self, most: int = 6) -> None:
        self.most = most
        self._views: OrderedDict[tuple[str, str], PictureView] = OrderedDict()

    def get(self, picture: Picture, model: str) -> PictureView | None:
        """What the model returned for a picture of the same content, None when it is not remembered."""
        key = (picture.fingerprint, model)
        if key in self._views:
            self._views.move_to_end(key)
        return self._views.get(key)

    def put(self, view: PictureView) -> None:
        """Remember a view and forget the one that was not looked at for longest."""
        self._views[view.picture.fingerprint, view.inference.model] = view
        self._views.move_to_end((view.picture.fingerprint, view.inference.model))
        while len(self._views) > self.most:
            self._views.popitem(last=False)


@dataclass(frozen=True, eq=False)
class Rendered:
    """One drawn state: pixels (h, w, 3) uint8 at display size, words, and what was decoded (in picture pixels)."""

    pixels: np.ndarray
    sentence: str
    timing: str
    decoded: Decoded


def render(view: PictureView, settings: DetectionSettings, *, projector: bool = False) -> Rendered:
    """Decode and draw with other settings: a few milliseconds, no network."""
    decoded = decode(view.inference, settings)
    started = perf_counter()
    style = {"text_scale": PROJECTOR_SCALE} if projector else {}
    wider = replace(settings, line_width=min(12, settings.line_width * 2)) if projector else settings
    shown = replace(decoded, detections=resized(decoded.detections, view.scale, view.display.shape[:2]))
    pixels = draw(view.display, shown, wider, **style)
    draw_ms = (perf_counter() - started) * 1e3
    timing = timing_line(view.inference, decoded, draw_ms)
    notes = f" · {'; '.join(view.picture.notes)}" if view.picture.notes else ""
    return Rendered(pixels, decoded.detections.sentence(), timing + notes, decoded)


def resized(detections: Detections, scale: float, size: tuple[int, int]) -> Detections:
    """The same detections on a copy of the picture that is ``scale`` times as large, (height, width) ``size``."""
    if scale == 1.0:
        return detections
    return replace(detections, boxes=detections.boxes * np.float32(scale), height=size[0], width=size[1])


def timing_line(inference: Inference, decoded: Decoded, draw_ms: float) -> str:
    """ "38 ms (prepare 2, network 24, boxes 1, decode 2, draw 3) · cpu bf16 · 874 -> 61 -> 12 boxes"."""
    stages = {STAGE_WORDS.get(name, name): ms for name, ms in inference.stages.items() if ms >= 0.05}
    stages |= {"NMS": decoded.milliseconds, "draw": draw_ms}
    spent = sum(stages.values())
    listed = ", ".join(f"{name} {ms:.0f}" if ms >= 9.5 else f"{name} {ms:.1f}" for name, ms in stages.items())
    report = decoded.report
    funnel = f"{report.total} candidates, {report.after_size} after filters, {report.after_nms} after NMS"
    if report.kept < report.after_nms:
        funnel += f", best {report.kept} kept"
    return f"{spent:.0f} ms ({listed}) · {inference.device} {inference.precision} · {funnel}"


def table_rows(detections: Detections) -> list[list[Any]]:
    """Rows under ``TABLE_HEADER``, best score first; coordinates in pixels of the original picture."""
    rows: list[list[Any]] = []
    area = detections.height * detections.width
    for number, (name, score, box, level) in enumerate(
        zip(detections.names, detections.scores, detections.boxes, detections.level), 1
    ):
        x1, y1, x2, y2 = (round(float(v), 1) for v in box)
        width, height = round(x2 - x1, 1), round(y2 - y1, 1)
        share = round(100 * width * height / area, 2)
        shown_level = int(level) if level >= 0 else "-"
        rows.append([number, name, round(float(score), 3), x1, y1, x2, y2, width, height, share, shown_level])
    return rows


def numbers_html(report: Report, candidates: Candidates, levels: Sequence[tuple[int, int, float]]) -> str:
    """The funnel from candidates to boxes as bars, and the feature maps that the candidates came from."""
    steps = [
        ("Candidates from the network", report.total),
        ("Above the score threshold", report.after_score),
        ("Of the chosen classes", report.after_class),
        ("Large enough", report.after_size),
        ("After suppression", report.after_nms),
        ("Kept", report.kept),
    ]
    most = max(report.total, 1)
    body = "".join(
        f'<tr><td>{html.escape(name)}</td><td>{count}</td><td class="bar"><div style="width:{100 * count / most:.1f}%">'
        "</div></td></tr>"
        for name, count in steps
    )
    text = f'<div class="numbers"><table><tr><th>Step</th><th>Boxes</th><th></th></tr>{body}</table>'
    if levels and len(candidates):
        counts = np.bincount(candidates.level[candidates.level >= 0], minlength=len(levels))
        rows = "".join(
            f"<tr><td>{h} x {w}</td><td>{stride:g}</td><td>{h * w}</td><td>{count}</td></tr>"
            for (h, w, stride), count in zip(levels, counts)
        )
        text += (
            '<p class="caption">Feature pyramid: small objects are found on fine maps (small stride), large ones on '
            "coarse maps.</p><table><tr><th>Feature map</th><th>Stride, px</th><th>Cells</th><th>Candidates</th></tr>"
            f"{rows}</table>"
        )
    return text + "</div>"


def export(view: PictureView, settings: DetectionSettings, kind: str) -> tuple[str, bytes]:
    """(file name, content) of a download: "png" (full size), "json" (COCO layout) or "csv"."""
    decoded = decode(view.inference, settings)
    stem = Path(view.picture.name).stem or "picture"
    if kind == "png":
        return f"{stem}-detections.png", encode_picture(draw(view.picture.pixels, decoded, settings), "png")
    if kind == "csv":
        return f"{stem}-detections.csv", decoded.detections.to_csv().encode()
    if kind == "json":
        document = coco_document([(view.picture.name, decoded.detections)])
        return f"{stem}-detections.json", json.dumps(document, indent=1).encode()
    raise InputError(f"There is no export of the kind {kind!r}.", hint="Choose png, json or csv.")


def coco_document(pictures: Sequence[tuple[str, Detections]]) -> dict[str, Any]:
    """A COCO json document: images numbered from 1, their annotations with scores, the 80 categories."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (name, detections) in enumerate(pictures, 1):
        images.append({"id": image_id, "file_name": name, "width": detections.width, "height": detections.height})
        for row in detections.to_coco(image_id):
            area = row["bbox"][2] * row["bbox"][3]
            annotations.append({"id": len(annotations) + 1, **row, "area": area, "iscrowd": 0})
    categories = [{"id": c.id, "name": c.name, "supercategory": c.group} for c in COCO_CATEGORIES]
    return {"images": images, "annotations": annotations, "categories": categories}


@dataclass(frozen=True, eq=False)
class Counts:
    """How many objects of each class each frame of a video holds: ``rows`` of (seconds, {category id: count})."""

    rows: list[tuple[float, dict[int, int]]] = field(default_factory=list)

    def add(self, time: float, detections: Detections) -> None:
        """Count one frame."""
        self.rows.append((time, detections.counts()))

    def classes(self, most: int = 8) -> list[int]:
        """Category ids that were seen, those with the highest total first."""
        totals: Counter[int] = Counter()
        for _, found in self.rows:
            totals.update(found)
        return [label for label, _ in totals.most_common(most)]

    def series(self, most: int = 8) -> list[tuple[float, str, int]]:
        """(seconds, class name, count) of every frame and each of the ``most`` frequent classes, for plotting."""
        classes = self.classes(most)
        return [(time, name_of(label), found.get(label, 0)) for time, found in self.rows for label in classes]

    def to_csv(self) -> str:
        """One line per frame: time in seconds, then a column per class."""
        classes = self.classes(most=len(COCO_CATEGORIES))
        lines = [",".join(["time", *(name_of(label) for label in classes)])]
        lines += [",".join([f"{t:.3f}", *(str(found.get(label, 0)) for label in classes)]) for t, found in self.rows]
        return "\n".join(lines) + "\n"

    def sentence(self) -> str:
        """ "300 frames; at most 3 people, 1 dog at once"."""
        if not self.rows:
            return "No frames"
        frames = f"{len(self.rows)} frame{'s' if len(self.rows) > 1 else ''}"
        peaks = {label: max(found.get(label, 0) for _, found in self.rows) for label in self.classes(4)}
        listed = ", ".join(count_in_words(label, count) for label, count in peaks.items())
        return f"{frames}; at most {listed} at once" if listed else f"{frames}, no objects"
