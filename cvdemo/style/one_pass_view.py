"""What the One pass view computes and says: the networks run once, and the slider runs a decoder or none at all."""

from __future__ import annotations

import html
import threading
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, perf_counter

import numpy as np

from cvdemo.core import registry
from cvdemo.core.media import Picture
from cvdemo.core.settings import setting
from cvdemo.style import adain
from cvdemo.style.curves import Line, chart
from cvdemo.style.models import ADAIN, FAST_STYLES, fast_name
from cvdemo.style.predict import StyleInference, StyleResult, StyleSettings, decode, draw, infer
from cvdemo.style.tab_shared import Styles
from cvdemo.style.video import FrameStyler

ANY = "any"
NETWORKS: dict[str, str] = {ANY: ADAIN, **{name: fast_name(name) for name in FAST_STYLES}}
TITLES = {ANY: "Any style (AdaIN)", **{name: name.replace("-", " ").capitalize() for name in FAST_STYLES}}
SLIDER_BAR = 60.0
"""Milliseconds that the decoder may take at 384 pixels on two cores."""
LINES = ("content", "style", "what the decoder is given")
WORDS = (
    "The deviation of each channel. Adaptive instance normalisation gives every channel the mean and the deviation "
    "that it has in the style; the strength goes from the content's to the style's."
)
AWAY_SECONDS = 2.0
"""A capture of the camera that comes later than this belongs to another scene."""


@dataclass(frozen=True)
class OnePassSettings(StyleSettings):
    """The task's settings, with the network, and with the smoothing as a switch."""

    network: str = setting(
        ANY, label="Network", choices=tuple(NETWORKS), network=True,
        help="AdaIN takes the style picture on the left; the others were trained for one style each.",
    )  # fmt: skip
    size: int = setting(
        384, label="Size", minimum=64, maximum=1024, step=32, network=True,
        help="The longer side of the result in pixels; also of videos and the camera.",
    )  # fmt: skip
    steady: bool = setting(
        True, label="Smooth over time", help="Videos and camera: mix in the last frame, moved along the optical flow."
    )

    @property
    def model(self) -> str:
        """Registry name of the network."""
        return NETWORKS[self.network]

    def moving(self) -> StyleSettings:
        """The settings for frames: the smoothing is 0 where it is switched off."""
        return self if self.steady else replace(self, smoothing=0.0)

    def computed(self) -> Hashable:
        """What decides what the networks are asked for."""
        scale = self.style_scale if self.network == ANY else 1.0
        return self.network, self.size, scale, self.preserve_colour


@dataclass(frozen=True, eq=False)
class Look:
    """A content picture that a network has seen, with the styles it was given (none for a feed-forward network)."""

    name: str
    inference: StyleInference


@dataclass(frozen=True, eq=False)
class Drawn:
    """One picture that was made: pixels (h, w, 3) uint8 beside its content, in words.

    slider: milliseconds from the handle to the drawn picture, without its way to the browser.
    """

    name: str
    pixels: np.ndarray
    content: np.ndarray
    result: StyleResult
    slider: float

    def file_name(self) -> str:
        """Such as "tower-waves.png"."""
        styles = "-".join(name.replace(" ", "-") for name, share in self.result.styles if share > 0.005)
        return f"{Path(self.name).stem or 'picture'}-{styles or 'style'}.png"


def key_of(picture: Picture, styles: Styles | None, settings: OnePassSettings) -> Hashable:
    """Where the session's memory keeps a look."""
    return "one pass", picture.fingerprint, None if styles is None else styles.key, settings.computed()


def look(
    picture: Picture, styles: Styles | None, settings: OnePassSettings, user: str, cancel: threading.Event | None = None
) -> Look:
    """Run the networks. styles: None for a feed-forward network. Errors as in ``infer``."""
    pictures, names = ((), ()) if styles is None else (styles.pictures, styles.names)
    found = infer(picture, pictures, settings.model, settings, names=names, user=user, cancel=cancel)
    return Look(picture.name, found)


def render(seen: Look, settings: OnePassSettings, weights: Sequence[float] | None, user: str = "") -> Drawn:
    """What a slider does: the decoder for AdaIN, a mixture with the content for the others. Errors as in ``decode``."""
    started = perf_counter()
    result = decode(seen.inference, settings, weights, user=user)
    pixels = draw(seen.inference, result, settings)
    return Drawn(seen.name, pixels, seen.inference.content, result, 1e3 * (perf_counter() - started))


def sentence(made: Drawn, settings: OnePassSettings) -> str:
    """What is seen: the styles' shares and the strength."""
    if settings.strength == 0:
        return "Strength 0: the content's own statistics" if settings.network == ANY else "Strength 0: the content"
    text = made.result.sentence()
    return text if settings.strength == 1 else f"{text}, strength {settings.strength:.0%}"


def timing(seen: Look, made: Drawn) -> str:
    """Such as "slider 41 ms (decoder 38; target 60 at 384 px) · encoder 92 ms, once for 2 pictures · cpu bf16"."""
    inference = seen.inference
    steps = dict(inference.stages)
    loading = steps.pop("load", 0.0)
    once = sum(steps.values())
    where = " ".join(part for part in (inference.device, inference.precision) if part)
    started = f" · loading {loading / 1e3:.1f} s, the first time only" if loading >= 50 else ""
    if inference.encoded is None:
        return f"slider {made.slider:.0f} ms, no network · network {once:.0f} ms, once · {where}{started}"
    decoder = made.result.stages.get("decoder", 0.0)
    return (
        f"slider {made.slider:.0f} ms (decoder {decoder:.0f}; target {SLIDER_BAR:.0f} at 384 px) · encoder "
        f"{once:.0f} ms, once for {1 + len(inference.styles)} pictures · {where}{started}"
    )


def statistics_html(seen: Look, settings: OnePassSettings, weights: Sequence[float] | None) -> str:
    """What AdaIN changes: each channel's deviation in the content, in the styles, and in what the decoder is given."""
    inference = seen.inference
    if inference.encoded is None:
        return (
            '<p class="hint">This network was trained for its one style and has no statistics to replace. Choose “Any '
            "style” to see them.</p>"
        )
    own = inference.encoded.deviation[-1]
    shares = list(weights) if weights is not None else [1.0] * len(inference.styles)
    target = adain.blended_statistics(inference.styles, shares)[1][-1]
    order = np.argsort(target)
    mixed = (1 - settings.strength) * own + settings.strength * target
    lines = [Line(name, values[order].tolist()) for name, values in zip(LINES, (own, target, mixed))]
    ends = ("channels of relu4_1, sorted by the style", f"all {len(order)}")
    return chart("Deviation of each channel", lines, ends, WORDS, last=False)


def numbers_html(seen: Look, made: Drawn) -> str:
    """Facts of the run."""
    spec, inference = registry.get(seen.inference.model), seen.inference
    height, width = made.pixels.shape[:2]
    rows = [
        ("Network", f"{spec.title}, {spec.parameters / 1e6:.2f} M parameters"),
        ("Paper", spec.paper),
        ("Result", f"{width} x {height} px"),
        ("Styles", ", ".join(f"{name} {share:.0%}" for name, share in made.result.styles)),
        *((f"Once: {name}", f"{ms:.1f} ms") for name, ms in inference.stages.items()),
    ]
    if inference.encoded is not None:
        rows += [(f"Behind the slider: {name}", f"{ms:.1f} ms") for name, ms in made.result.stages.items()]
    rows.append(("Behind the slider: all", f"{made.slider:.1f} ms"))
    body = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in rows)
    return f'<div class="numbers"><table><tbody>{body}</tbody></table></div>'


# The camera


@dataclass(eq=False)
class Watch:
    """What is kept of one visitor's camera: the styler that remembers the last frame, for these styles and network."""

    styler: FrameStyler
    key: Hashable
    seen: float = 0.0


_watches: dict[str, Watch] = {}
_lock = threading.Lock()


def live(user: str, picture: Picture, styles: Styles | None, settings: OnePassSettings) -> Drawn:
    """A capture of the camera, stylised and smoothed. Errors as in ``infer``."""
    key = None if styles is None else styles.key, settings.computed()
    with _lock:
        watch = _watches.get(user)
    if watch is None or watch.key != key:
        watch = Watch(FrameStyler(() if styles is None else styles.pictures, settings.model, user=user), key)
        with _lock:
            _watches[user] = watch
    started = perf_counter()
    if monotonic() - watch.seen > AWAY_SECONDS:
        watch.styler.cut()
    watch.styler.settings = settings.moving()
    watch.styler.blend = None if styles is None else list(styles.weights)
    pixels = watch.styler(picture.pixels)
    watch.seen = monotonic()
    names = (settings.network,) if styles is None else styles.names
    shares = (1.0,) if styles is None else styles.weights
    named = tuple((name, share / sum(shares)) for name, share in zip(names, shares))
    result = StyleResult(pixels, "fast" if styles is None else "adain", settings.model, named)
    return Drawn("webcam", pixels, watch.styler.content, result, 1e3 * (perf_counter() - started))


def forget(session: str) -> None:
    """Drop what is kept of a session's camera."""
    with _lock:
        _watches.pop(session, None)
