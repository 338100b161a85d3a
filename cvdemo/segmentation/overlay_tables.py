"""The Overlay view's words and tables: a pixel's probabilities, classes and objects, sizes, the scale of a map."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Mapping

import numpy as np

from cvdemo.core import registry
from cvdemo.core.media import encode_picture
from cvdemo.segmentation.draw import Colour, colours_of, draw_values, instance_colour
from cvdemo.segmentation.instances import InstanceSegmentation
from cvdemo.segmentation.overlay_view import Found, Look, OverlaySettings, entropy_limit, hex_of
from cvdemo.segmentation.predict import SegmentationSettings, decode
from cvdemo.segmentation.raw import RawInstances
from cvdemo.segmentation.result import Segmentation

_RAW_MASKS = 24  # objects whose raw mask is drawn in the list


def pixel_html(look: Look, settings: SegmentationSettings, place: tuple[int, int] | None, top: int = 6) -> str:
    """What the model says of the picture's pixel (column, row): its classes as bars, or the objects that cover it."""
    if place is None:
        return '<p class="hint">Press a place in the picture, or go there with the arrow keys, to ask about it.</p>'
    x = min(max(place[0], 0), look.picture.width - 1)
    y = min(max(place[1], 0), look.picture.height - 1)
    raw = look.inference.raw
    heading = f'<p class="said">Pixel ({x}, {y}): '
    if isinstance(raw, RawInstances):
        found = decode(raw, settings)
        rows = found.at(x, y)
        listed = "".join(_bar(found.names[row], float(found.scores[row])) for row in rows)
        words = f"{len(rows)} object{'' if len(rows) == 1 else 's'} here, with their scores" if rows else "no object"
        return f'{heading}{words}</p><ol class="class-bars">{listed}</ol>'
    ranked = Segmentation(raw, settings.temperature).probabilities_at(x, y)  # of the one pixel, without a label map
    bits = -sum(share * math.log2(share) for _, share in ranked if share > 0)
    listed = "".join(_bar(name, share) for name, share in ranked[:top])
    if len(ranked) > top:
        listed += _bar(f"the other {len(ranked) - top}", sum(share for _, share in ranked[top:]), "rest")
    name, share = ranked[0]
    words = f"{html.escape(name)} with {100 * share:.0f} %, entropy {bits:.2f} bits at T = {settings.temperature:g}"
    return f'{heading}{words}</p><ol class="class-bars">{listed}</ol>'


def _bar(name: str, share: float, kind: str = "") -> str:
    return (
        f'<li class="{kind}"><span class="rank"></span><span class="name">{html.escape(name)}</span>'
        f'<span class="value">{100 * share:.1f} %</span>'
        f'<span class="track"><span style="width:{100 * share:.2f}%"></span></span></li>'
    )


def results_html(look: Look, found: Found, colours: Mapping[str, Colour] | None = None) -> str:
    """The classes with area and mean confidence; or the objects with score, area and the raw mask of each."""
    if isinstance(found, InstanceSegmentation):
        return _objects_html(look, found, colours)
    table = colours_of(found.categories, colours)
    coarse = look.coarse(found)
    counts = np.maximum(coarse.counts, 1)
    means = (
        np.bincount(coarse.labels.ravel(), weights=coarse.confidence.ravel().astype(np.float64), minlength=256) / counts
    )
    rows = "".join(
        f"<tr><td>{_swatch(hex_of(tuple(table[a.index].tolist())))}{html.escape(a.name)}</td><td>{a.percent:.2f} %</td>"
        f"<td>{format(means[a.index], '.3f') if coarse.counts[a.index] else ''}</td>"
        f'<td class="bar"><div style="width:{a.percent:.2f}%"></div></td></tr>'
        for a in found.areas
    )
    if found.undecided_percent > 0:
        rows += (
            f"<tr><td>{_swatch('#ffffff')}undecided</td><td>{found.undecided_percent:.2f} %</td><td></td>"
            f'<td class="bar"><div style="width:{found.undecided_percent:.2f}%"></div></td></tr>'
        )
    head = "<tr><th>Class</th><th>Area</th><th>Mean confidence</th><th></th></tr>"
    return f'<div class="numbers"><table>{head}{rows}</table></div>'


def _objects_html(look: Look, found: InstanceSegmentation, colours: Mapping[str, Colour] | None) -> str:
    if not len(found):
        return '<p class="hint">No objects above the score threshold.</p>'
    raw = look.inference.raw
    assert isinstance(raw, RawInstances)
    total = found.height * found.width
    rows = []
    for row, (name, score, crop) in enumerate(zip(found.names, found.scores, found.crops)):
        box = raw.boxes[found.rows[row]]
        corners = ", ".join(f"{float(value):.0f}" for value in box)
        drawn = _mask_image(raw.masks[found.rows[row]]) if row < _RAW_MASKS else ""
        ink = hex_of(instance_colour(row, name, colours))
        rows.append(
            f"<tr><td>{_swatch(ink)}{row + 1}</td><td>{html.escape(name)}</td><td>{float(score):.3f}</td>"
            f"<td>{100 * crop.area / total:.2f} %</td><td>{corners}</td><td>{drawn}</td></tr>"
        )
    head = "<tr><th></th><th>Object</th><th>Score</th><th>Area</th><th>Box x1, y1, x2, y2</th><th>Raw mask</th></tr>"
    side = raw.masks.shape[1]
    note = f'<p class="caption">Raw mask: the {side} x {side} cells the network gave, before they are stretched.</p>'
    return f'<div class="numbers"><div class="wide"><table>{head}{"".join(rows)}</table></div>{note}</div>'


def _mask_image(mask: np.ndarray) -> str:
    data = base64.b64encode(encode_picture(draw_values(mask, 0.0, 1.0, bar=False))).decode()
    return f'<img src="data:image/png;base64,{data}" alt="" width="56" height="56" style="image-rendering:pixelated">'


def _swatch(colour: str) -> str:
    return (
        f'<span style="display:inline-block;width:14px;height:14px;border-radius:3px;border:1px solid #8888;'
        f'margin-right:8px;vertical-align:-2px;background:{colour}"></span>'
    )


def numbers_html(look: Look, found: Found) -> str:
    """Sizes on the way from pixels to the map, and how sure it is, as a table."""
    raw, spec = look.inference.raw, registry.get(look.inference.model)
    rows = [("Picture", f"{raw.width} x {raw.height} px"), ("Network's input", spec.input)]
    if isinstance(found, Segmentation):
        assert not isinstance(raw, RawInstances)
        classes, height, width = raw.logits.shape
        coarse = look.coarse(found)
        cell = (raw.extent[2] - raw.extent[0]) / width
        rows += [
            ("Network's output", f"{classes} logits in each of {width} x {height} cells"),
            ("A cell covers", f"{cell:.1f} x {cell:.1f} px of the picture; between the cells logits are interpolated"),
            ("Logits", f"{float(raw.logits.min()):.1f} to {float(raw.logits.max()):.1f}"),
            ("Mean confidence", f"{float(coarse.confidence.mean()):.3f}"),
            ("Mean entropy", f"{float(coarse.entropy.mean()):.3f} bits of at most {entropy_limit(found):.2f}"),
            ("Undecided", f"{found.undecided_percent:.2f} % of the pixels"),
        ]
    else:
        assert isinstance(raw, RawInstances)
        side = raw.masks.shape[1]
        best = f"{float(raw.scores.max()):.3f}" if len(raw) else "none"
        rows += [
            ("Network's output", f"{len(raw)} objects with a {side} x {side} mask each"),
            ("Best score", best),
            ("Shown", f"{len(found)} objects"),
        ]
    body = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(text)}</td></tr>" for name, text in rows)
    return f'<div class="numbers"><table>{body}</table></div>'


def scale_html(settings: OverlaySettings, found: Found) -> str:
    """What the colours of a map mean; "" for the overlay."""
    if settings.show == "overlay":
        return ""
    stops = draw_values(np.linspace(0, 1, 9, dtype=np.float32)[None], 0.0, 1.0, bar=False)[0]
    ramp = ", ".join(hex_of(tuple(stop.tolist())) for stop in stops)
    semantic = isinstance(found, Segmentation)
    if settings.show == "confidence":
        what, ends = ("Probability of the winning class" if semantic else "Probability of the best mask"), ("0", "1")
    else:
        what = "Entropy of the classes" if semantic else "Entropy of inside against outside"
        ends = ("0 (sure)", f"{entropy_limit(found):.2f} bits (no idea)")
    return (
        f'<p class="said" style="display:flex;gap:10px;align-items:center;flex-wrap:wrap">'
        f"<span>{what}: {ends[0]}</span>"
        f'<span style="flex:1;max-width:320px;min-width:80px;height:14px;border-radius:4px;'
        f'background:linear-gradient(90deg, {ramp})"></span><span>{ends[1]}</span></p>'
    )
