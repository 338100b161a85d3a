"""What the Flow view shows: the flow as colours, arrows, speed, a warped frame and its errors, in words and charts."""

from __future__ import annotations

import html
import json
import math
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from cvdemo.core import registry
from cvdemo.core.lazy import cv2
from cvdemo.core.media import encode_picture
from cvdemo.core.settings import setting
from cvdemo.flow import draw as drawing
from cvdemo.flow.colour import flow_to_colour, robust_maximum
from cvdemo.flow.field import FlowField
from cvdemo.flow.files import flo_bytes, kitti_bytes, npy_bytes
from cvdemo.flow.histograms import FlowHistograms, histograms
from cvdemo.flow.predict import FlowSettings, decode
from cvdemo.flow.raw import rescale_flow
from cvdemo.flow.tab_shared import Look, Truth, full_size, mean_error, timing_line
from cvdemo.flow.warp import backward_warp, warp_error

COLOUR, ARROWS, MAGNITUDE, FRAMES, WARPED, ERROR, OCCLUSION = (
    "colour", "arrows", "magnitude", "frames", "warped", "error", "occlusion"
)  # fmt: skip
LOOKS: dict[str, str] = {
    COLOUR: "Colour code",
    ARROWS: "Arrows",
    MAGNITUDE: "Speed",
    FRAMES: "Both frames",
    WARPED: "Warped frame",
    ERROR: "Warp error",
    OCCLUSION: "Occlusion",
}
KINDS: dict[str, str] = {
    "png": "PNG", "flo": ".flo", "kitti": "KITTI PNG", "npy": "npy", "csv": "Histograms CSV", "json": "JSON",
}  # fmt: skip
_ERROR_FULL = 60.0  # grey levels of the brightest colour in the map of warp errors
_COUNTED = 100_000  # pixels, about: the charts cannot show what more would change
_LAST = ", the variational one"
_SHOWN_SIDE = 640  # smaller pictures are enlarged before lines and letters are drawn


@dataclass(frozen=True)
class FlowViewSettings(FlowSettings):
    """The task's settings, with the looks that need both frames."""

    view: str = setting(COLOUR, label="Look at", choices=tuple(LOOKS), help="Seven ways to look at one flow field.")
    arrow_spacing: int = setting(
        24, label="Arrow spacing", minimum=6, maximum=64, step=1, help="Pixels between two arrows."
    )


@dataclass(frozen=True, eq=False)
class Rendered:
    """One drawn state: pixels (h, w, 3) uint8, another picture to swap it with and what both are called, the field."""

    pixels: np.ndarray
    sentence: str
    timing: str
    field: FlowField
    maximum: float
    other: np.ndarray | None = None
    names: tuple[str, str] = ("", "")


def render(
    look: Look, settings: FlowViewSettings, truth: Truth | None = None, *, projector: bool = False,
    maximum: float | None = None,
) -> Rendered:  # fmt: skip
    """Decode and draw what a method found; no network is touched. maximum: overrides the settings'."""
    started = perf_counter()
    field = field_of(look, settings)
    decoded = (perf_counter() - started) * 1e3
    full = maximum or settings.maximum or robust_maximum(field.flow)
    started = perf_counter()
    pixels, other, names = paint(look, field, settings, full, projector)
    drawn = (perf_counter() - started) * 1e3
    sentence = words(look, field, settings.view, truth)
    return Rendered(
        pixels, sentence, timing_line(look.inference, decode=decoded, draw=drawn), field, full, other, names
    )  # fmt: skip


def field_of(look: Look, settings: FlowSettings) -> FlowField:
    """The decoded field, remembered with the look: it depends on a few of the settings only."""
    key = ("field", settings.iteration, settings.alpha, settings.beta)
    return look.recall(key, lambda: decode(look.inference, settings))


def error_of(look: Look, field: FlowField) -> np.ndarray:
    """The map of warp errors of a look's field, remembered likewise."""
    return look.recall(("error", field.iteration), lambda: warp_error(look.pair.first, look.pair.second, field.flow))


def charts_of(look: Look, made: Rendered) -> str:
    """``charts_html``, remembered likewise."""
    key = ("charts", made.field.iteration, made.maximum)
    return look.recall(key, lambda: charts_html(made.field.flow, made.maximum))


def paint(
    look: Look, field: FlowField, settings: FlowSettings, maximum: float, projector: bool = False
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, str]]:
    """The picture of one look, the one to swap it with and their names."""
    pair, flow, view = look.pair, field.flow, settings.view
    first = pair.first
    if view == FRAMES:
        return first, pair.second, ("First frame", "Second frame")
    if view == WARPED:
        warped = look.recall(("warped", field.iteration), lambda: backward_warp(pair.second, flow))
        return first, warped, ("First frame", "Second, warped back")
    if view == ERROR:
        error = drawing.shaded(error_of(look, field), _ERROR_FULL)
        over = drawing.blend(drawing.greyed(first), error, settings.opacity)
        return drawing.add_scale(_large(over), _ERROR_FULL, "grey levels", projector), None, ("", "")
    if view == OCCLUSION:
        nothing = np.zeros(flow.shape[:2], bool)
        return drawing.draw_occlusion(first, nothing if field.occluded is None else field.occluded), None, ("", "")
    if view == MAGNITUDE:
        over = drawing.blend(drawing.greyed(first), drawing.draw_magnitude(flow, maximum), settings.opacity)
        return drawing.add_scale(_large(_marked(over, field, settings)), maximum, "px", projector), None, ("", "")
    if view == ARROWS:
        zoom = _zoom(first)
        canvas, spacing = _large(first), max(6, round(settings.arrow_spacing * zoom))
        arrows = drawing.draw_arrows(
            canvas, _large_flow(flow, canvas.shape[:2]), maximum, spacing, settings.arrow_scale, 3 if projector else 2
        )
        return drawing.add_wheel(arrows, maximum, projector), None, ("", "")
    colours = look.recall(("colours", field.iteration, maximum), lambda: flow_to_colour(flow, maximum))
    over = _marked(drawing.blend(drawing.greyed(first), colours, settings.opacity), field, settings)
    return drawing.add_wheel(_large(over), maximum, projector), None, ("", "")


def _zoom(pixels: np.ndarray) -> int:
    return max(1, math.ceil(_SHOWN_SIDE / max(pixels.shape[:2])))


def _large(pixels: np.ndarray) -> np.ndarray:
    """Small pictures twice or more as large, so that what is drawn on them is fine."""
    zoom = min(4, _zoom(pixels))
    if zoom == 1:
        return pixels
    return cv2.resize(pixels, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)


def _large_flow(flow: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return rescale_flow(flow, *size)


def _marked(pixels: np.ndarray, field: FlowField, settings: FlowSettings) -> np.ndarray:
    if not settings.show_occlusion or field.occluded is None:
        return pixels
    out = pixels.copy()
    out[field.occluded] //= 3
    return out


def words(look: Look, field: FlowField, view: str, truth: Truth | None = None) -> str:
    """One sentence about the field, with what the look adds to it and the error where the truth is known."""
    pair, text = look.pair, field.sentence()
    if view in (WARPED, ERROR):
        after = float(_finite(error_of(look, field)).mean())
        before = float(cv2.absdiff(pair.first, pair.second).mean())
        text = f"Warp error {after:.1f} grey levels, {before:.1f} without warping"
    elif view == OCCLUSION and field.occluded is not None:
        text = f"{field.occluded.mean():.1%} of the pixels have no partner in the other frame"
    if truth is not None:
        text += f"; EPE {epe_of(look, field, truth):.2f} px"
    return text


def epe_of(look: Look, field: FlowField, truth: Truth) -> float:
    """Mean endpoint error of a look's field in pixels, remembered likewise."""
    return look.recall(("epe", field.iteration, truth), lambda: mean_error(field.flow, truth.flow))


def _finite(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    return values[known] if known.any() else np.zeros(1)


# Charts and tables


def charts_html(flow: np.ndarray, maximum: float) -> str:
    """Histograms of speed and of direction, of every second or third pixel of a large field."""
    step = max(1, math.isqrt(flow.shape[0] * flow.shape[1] // _COUNTED))
    found = histograms(flow[::step, ::step], maximum)
    return f'<div class="beside">{_speed_svg(found)}{_direction_svg(found)}</div>'


def _speed_svg(found: FlowHistograms) -> str:
    wide, high, left, base = 460, 210, 12, 172
    most = max(float(found.speeds.max(initial=0.0)), 1e-9)
    step = (wide - left - 10) / len(found.speeds)
    bars = "".join(
        f'<rect x="{left + index * step + 1:.1f}" y="{base - 150 * share / most:.1f}" width="{step - 2:.1f}" '
        f'height="{150 * share / most:.1f}" fill="{_hex_of_speed(index, len(found.speeds))}">'
        f"<title>{found.edges[index]:.2g} to {found.edges[index + 1]:.2g} px: {share:.1%}</title></rect>"
        for index, share in enumerate(found.speeds.tolist())
    )
    marks = "".join(
        f'<text x="{left + (wide - left - 10) * share:.0f}" y="194" text-anchor="{anchor}">{label}</text>'
        for share, anchor, label in (
            (0, "start", "0"), (0.5, "middle", f"{found.edges[-1] / 2:g}"),
            (1, "end", f"{found.edges[-1]:g} px or more"),
        )
    )  # fmt: skip
    line = f'<line class="rule" x1="{left}" x2="{wide - 10}" y1="{base}" y2="{base}"/>'
    return (
        f'<figure class="curve"><svg viewBox="0 0 {wide} {high}" role="img" aria-label="Histogram of speeds">{bars}'
        f"{line}{marks}</svg><figcaption>Speed: share of the pixels, the tallest bar {most:.0%}. "
        f"{found.still:.0%} move less than a quarter of a pixel.</figcaption></figure>"
    )


def _hex_of_speed(index: int, count: int) -> str:
    """Blue, stronger with speed."""
    share = 0.25 + 0.75 * (index + 0.5) / count
    return f"color-mix(in srgb, #0b62b8 {100 * share:.0f}%, #9cc4ea)"


def _direction_svg(found: FlowHistograms) -> str:
    count, middle, reach = len(found.directions), 105.0, 84.0
    most = max(float(found.directions.max(initial=0.0)), 1e-9)
    petals = []
    for index, share in enumerate(found.directions.tolist()):
        radius = reach * math.sqrt(share / most)  # the area shows the share
        turns = [(index + side) * 2 * math.pi / count for side in (-0.46, 0.46)]
        (x1, y1), (x2, y2) = ((middle + radius * math.cos(t), middle + radius * math.sin(t)) for t in turns)
        angle = index * 2 * math.pi / count
        colour = flow_to_colour(np.array([[[math.cos(angle), math.sin(angle)]]], np.float32), 1.0)[0, 0].tolist()
        petals.append(
            f'<path d="M{middle} {middle} L{x1:.1f} {y1:.1f} A{radius:.1f} {radius:.1f} 0 0 1 {x2:.1f} {y2:.1f} Z" '
            f'fill="rgb({colour[0]},{colour[1]},{colour[2]})" stroke="#333" stroke-width="0.6">'
            f"<title>{math.degrees(angle):.0f}°: {share:.1%}</title></path>"
        )
    names = "".join(
        f'<text x="{x}" y="{y}" text-anchor="{anchor}">{name}</text>'
        for x, y, anchor, name in (
            (196, 110, "start", "right"), (14, 110, "end", "left"), (105, 14, "middle", "up"),
            (105, 207, "middle", "down"),
        )
    )  # fmt: skip
    return (
        '<figure class="curve rose"><svg viewBox="-34 0 278 214" role="img" aria-label="Histogram of directions">'
        f'<circle class="rule" cx="{middle}" cy="{middle}" r="{reach}"/>{"".join(petals)}{names}</svg>'
        f"<figcaption>Direction: share of the motion, each pixel counts as much as it moves; the largest sector "
        f"{most:.0%}.</figcaption></figure>"
    )  # fmt: skip


def refinements_of(look: Look, truth: Truth | None) -> list[tuple[int, float, float]]:
    """(number, mean change since the one before in pixels, EPE or NaN) of every refinement of an iterative method."""
    raw, rows = look.inference.raw, []
    before = None
    for index in range(len(raw)):
        flow = raw.at(index)
        change = float(np.hypot(*np.moveaxis(flow - (0 if before is None else before), 2, 0)).mean())
        rows.append((index + 1, change, float("nan") if truth is None else mean_error(flow, truth.flow)))
        before = flow
    return rows


def refinements_html(rows: list[tuple[int, float, float]], at: int, variational: bool = False) -> str:
    """The curve over the refinements with the one on show (variational or not) marked; a hint if there is but one."""
    if len(rows) < 2:
        return (
            '<p class="hint">This method computes the flow in one step. An iterative network, such as RAFT, refines '
            "it many times: every refinement is kept, and the slider walks through them.</p>"
        )
    known = all(math.isfinite(row[2]) for row in rows)
    values = [row[2] if known else row[1] for row in rows]
    wide, high, left, base = 460, 200, 40, 160
    most = max(max(values), 1e-9)

    def place(index: int) -> tuple[float, float]:
        return left + (wide - left - 20) * index / (len(rows) - 1), base - 140 * values[index] / most

    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, range(len(rows))))
    x, y = place(max(0, min(at, len(rows)) - 1))
    what = "mean endpoint error" if known else "mean change from the refinement before"
    where = f"Refinement {at} of {len(rows)}{_LAST * variational}"
    marks = f'<text x="{left}" y="184">1</text><text x="{wide - 20}" y="184" text-anchor="end">{len(rows)}</text>'
    return (
        f'<figure class="curve"><svg viewBox="0 0 {wide} {high}" role="img" aria-label="{what}">'
        f'<line class="rule" x1="{left}" x2="{wide - 20}" y1="{base}" y2="{base}"/><polyline class="raw" '
        f'points="{line}"/><circle class="now" cx="{x:.1f}" cy="{y:.1f}" r="7"/>{marks}'
        f'<text x="4" y="{base - 134}">{most:.2g}</text></svg><figcaption>{where}: {what} '
        f"{values[at - 1]:.3g} px.</figcaption></figure>"
    )


def numbers_html(look: Look, made: Rendered, truth: Truth | None) -> str:
    """Facts of the run and of the field."""
    spec, field, pair = registry.get(look.inference.model), made.field, look.pair
    figures = field.statistics
    height, width = look.inference.raw.working
    rows: list[tuple[str, str]] = [
        ("Frames", f"{pair.original[1]} x {pair.original[0]} px"),
        ("Method", f"{spec.title}{f', {spec.parameters / 1e6:.2f} M parameters' if spec.parameters else ''}"),
        ("Computed at", f"{width} x {height} px"),
        ("Refinement", f"{field.iteration} of {field.iterations}{_LAST * field.variational}"),
        ("Speed: mean, median, 95 %, most", " · ".join(
            f"{value:.2f}" for value in (figures.mean, figures.median, figures.p95, figures.maximum)) + " px"),
        ("Full colour at", f"{made.maximum:g} px"),
    ]  # fmt: skip
    if figures.direction is not None:
        rows.append(("Mean direction", f"{figures.direction:.0f}° clockwise from the right"))
    if field.occluded is not None:
        rows.append(("Occluded", f"{field.occluded.mean():.2%} of the pixels"))
    error = _finite(error_of(look, field))
    rows.append(("Warp error", f"{error.mean():.2f} grey levels on average"))
    if truth is not None:
        rows.append(("Endpoint error (EPE)", f"{epe_of(look, field, truth):.3f} px; truth: {truth.source}"))
    rows += [(f"Time: {name}", f"{ms:.1f} ms") for name, ms in look.inference.stages.items()]
    body = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in rows)
    notes = "; ".join((*pair.notes, *field.notes))
    caption = f'<p class="caption">{html.escape(notes)}</p>' if notes else ""
    return f'<div class="numbers"><table><tbody>{body}</tbody></table>{caption}</div>'


def export(
    look: Look, settings: FlowViewSettings, kind: str, truth: Truth | None = None
) -> tuple[str, bytes]:  # fmt: skip
    """File name and content of a download; flow files are in the size of the pair's files. KeyError: no such kind."""
    made = render(look, settings, truth)
    stem = Path(look.pair.name).stem or "pair"
    flow = full_size(made.field.flow, look.pair)
    if kind == "png":
        return f"{stem}-{settings.view}.png", encode_picture(made.pixels if made.other is None else made.other, "png")
    if kind == "json":
        document = {
            **made.field.to_dict(), "info": {"description": "cvdemo flow", "settings": settings.to_dict()},
            "pair": {"name": look.pair.name, "height": look.pair.original[0], "width": look.pair.original[1]},
            "full_colour_px": made.maximum, "histograms": histograms(made.field.flow, made.maximum).to_dict(),
            "epe": None if truth is None else round(mean_error(made.field.flow, truth.flow), 4),
        }  # fmt: skip
        return f"{stem}-flow.json", json.dumps(document, indent=1, ensure_ascii=False).encode()
    if kind == "csv":
        return f"{stem}-flow.csv", histograms(made.field.flow, made.maximum).to_csv().encode()
    makers = {"flo": (".flo", flo_bytes), "kitti": ("-kitti.png", kitti_bytes), "npy": (".npy", npy_bytes)}
    suffix, make = makers[kind]
    return f"{stem}-flow{suffix}", make(flow)
