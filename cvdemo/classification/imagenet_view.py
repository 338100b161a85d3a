"""What the ImageNet view shows: the part the network saw, the classes as bars, downloads.

``Look`` is what a session remembers of one picture and one model. Everything here acts on it and touches no network.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvdemo.classification.predict import Classification, ClassificationSettings, Inference, decode
from cvdemo.classification.race_view import Contestant, percent
from cvdemo.core import registry
from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2
from cvdemo.core.media import Picture, encode_picture

STAGE_WORDS = {"preprocess": "prepare", "network": "network", "decode": "read out", "load": "load", "wait": "wait"}
BLUE = (11, 98, 184)


@dataclass(frozen=True, eq=False)
class Look:
    """A picture, the copy of it the page shows (``scale`` display pixels per pixel), and what a classifier said."""

    picture: Picture
    display: np.ndarray
    scale: float
    inference: Inference


def framed(pixels: np.ndarray, crop: Sequence[float], scale: float = 1.0) -> np.ndarray:
    """The picture with what lies outside of ``crop`` (x1 y1 x2 y2, before ``scale``) darkened, a new array.

    Nothing is marked when the crop is the whole picture, within a pixel.
    """
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = (round(value * scale) for value in crop)
    x1, y1, x2, y2 = max(0, x1), max(0, y1), min(width, x2), min(height, y2)
    if x1 <= 1 and y1 <= 1 and x2 >= width - 1 and y2 >= height - 1:
        return pixels.copy()
    out = (pixels * np.float32(0.38)).astype(np.uint8)
    out[y1:y2, x1:x2] = pixels[y1:y2, x1:x2]
    line = max(1, round(max(height, width) / 500))
    cv2.rectangle(out, (x1, y1), (x2 - 1, y2 - 1), (255, 255, 255), line)
    return out


def bars_html(result: Classification) -> str:
    """The most probable classes as bars, best first, and how much is left for all others together."""
    rows = [_bar(str(rank), name, probability) for rank, (_, name, probability) in enumerate(result.top, 1)]
    left = len(result.probabilities) - len(result.top)
    if left > 0:
        rest = max(0.0, 1.0 - sum(probability for _, _, probability in result.top))
        rows.append(_bar("", f"the other {left:,} classes", rest, "rest"))
    return f'<ol class="class-bars{" unsure" if result.unsure else ""}">{"".join(rows)}</ol>'


def _bar(rank: str, name: str, probability: float, kind: str = "") -> str:
    return (
        f'<li class="{kind}"><span class="rank">{rank}</span><span class="name">{html.escape(name)}</span>'
        f'<span class="value">{html.escape(percent(probability))}</span>'
        f'<span class="track"><span style="width:{100 * probability:.2f}%"></span></span></li>'
    )


def timing_line(look: Look) -> str:
    """ "11 ms (prepare 1.2, network 9.4, read out 0.1) · cpu bf16 · saw the middle 400 x 400 px of 600 x 400"."""
    stages = {STAGE_WORDS.get(name, name): ms for name, ms in look.inference.stages.items() if ms >= 0.05}
    listed = ", ".join(f"{name} {ms:.0f}" if ms >= 9.5 else f"{name} {ms:.1f}" for name, ms in stages.items())
    raw = look.inference.raw
    x1, y1, x2, y2 = (round(value) for value in raw.crop)
    whole = x2 - x1 >= raw.width - 1 and y2 - y1 >= raw.height - 1
    saw = "saw the whole picture" if whole else f"saw the middle {x2 - x1} x {y2 - y1} px of {raw.width} x {raw.height}"
    line = f"{sum(stages.values()):.0f} ms ({listed}) · {look.inference.device} {look.inference.precision} · {saw}"
    return line + (f" · {'; '.join(look.picture.notes)}" if look.picture.notes else "")


def numbers_html(look: Look, result: Classification) -> str:
    """How sure the answer is, and the way from pixels to classes, as a table."""
    raw, spec = look.inference.raw, registry.get(look.inference.model)
    count = len(raw.categories)
    margin = result.top[0][2] - float(np.partition(result.probabilities, -2)[-2]) if count > 1 else 1.0
    x1, y1, x2, y2 = (round(value) for value in raw.crop)
    rows = [
        ("Picture", f"{raw.width} x {raw.height} px"),
        ("Cut out of it", f"x {x1} to {x2}, y {y1} to {y2}"),
        ("Network's input", spec.input),
        ("Features before the last layer", f"{raw.embedding.size:,}" if raw.embedding is not None else "none"),
        ("Classes", f"{count:,}"),
        ("Largest logit", f"{float(raw.logits.max()):.2f} (mean {float(raw.logits.mean()):.2f})"),
        ("First ahead of second", percent(margin)),
        ("Entropy", f"{result.entropy_bits:.2f} bits of at most {math.log2(max(count, 2)):.2f}"),
    ]
    body = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(text)}</td></tr>" for name, text in rows)
    note = (
        '<p class="caption">Entropy is 0 when one class is certain. A high probability only compares the classes the '
        "network knows: it is spread over them even when the picture shows none of them.</p>"
    )
    return f'<div class="numbers"><table>{body}</table>{note}</div>'


def panel(pixels: np.ndarray, result: Classification, title: str) -> np.ndarray:
    """The picture with its classes as bars in a white strip to the right, a new (H', W', 3) uint8 array."""
    rows = len(result.top)
    height = max(pixels.shape[0], 96 + 46 * rows)
    unit = height / max(420, 96 + 46 * rows)
    width = round(420 * unit)
    out = np.full((height, pixels.shape[1] + width, 3), 255, np.uint8)
    out[: pixels.shape[0], : pixels.shape[1]] = pixels
    left, usable = pixels.shape[1] + round(20 * unit), width - round(40 * unit)
    line = max(1, round(unit))

    def write(text: str, x: int, y: float, scale: float, ink: tuple[int, int, int]) -> None:
        cv2.putText(out, text, (x, round(y)), cv2.FONT_HERSHEY_SIMPLEX, scale * unit, ink, line, cv2.LINE_AA)

    write(_ascii(title)[:44], left, 36 * unit, 0.62, (90, 90, 90))
    for row, (_, name, probability) in enumerate(result.top):
        y = (78 + 46 * row) * unit
        value = percent(probability)
        write(_ascii(name)[:28], left, y, 0.6, (20, 20, 20))
        (text_width, _), _ = cv2.getTextSize(value, cv2.FONT_HERSHEY_SIMPLEX, 0.6 * unit, line)
        write(value, left + usable - text_width, y, 0.6, (20, 20, 20))
        bar_top, bar_bottom = round(y + 8 * unit), round(y + 18 * unit)
        cv2.rectangle(out, (left, bar_top), (left + usable, bar_bottom), (228, 232, 238), -1)
        cv2.rectangle(out, (left, bar_top), (left + max(1, round(usable * probability)), bar_bottom), BLUE, -1)
    return out


def _ascii(text: str) -> str:
    """OpenCV's fonts have no other letters."""
    return text.encode("ascii", "replace").decode()


def export(
    look: Look, settings: ClassificationSettings, kind: str, lines: Sequence[Contestant] = ()
) -> tuple[str, bytes]:
    """(file name, content) of a download: "png" (full size with the bars), "json" or "csv".

    lines: the race of models, added to the JSON.
    """
    result = decode(look.inference, settings)
    stem = Path(look.picture.name).stem or "picture"
    if kind == "png":
        shown = framed(look.picture.pixels, look.inference.raw.crop)
        title = registry.get(look.inference.model).title
        return f"{stem}-classes.png", encode_picture(panel(shown, result, title), "png")
    if kind == "csv":
        return f"{stem}-classes.csv", result.to_csv().encode()
    if kind == "json":
        document = result.to_dict(look.picture.name)
        document["temperature"] = settings.temperature
        document["milliseconds"] = {stage: round(ms, 3) for stage, ms in look.inference.stages.items()}
        if lines:
            document["comparison"] = [line.to_dict() for line in lines]
        return f"{stem}-classes.json", json.dumps(document, indent=1).encode()
    raise InputError(f"There is no export of the kind {kind!r}.", hint="Choose png, json or csv.")
