"""What the lecture corner shows: the aperture problem, a blurred picture and its cepstrum, tracks of single points."""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.core.media import Picture
from cvdemo.core.settings import setting
from cvdemo.flow import aperture as holes
from cvdemo.flow.aperture import ApertureSettings
from cvdemo.flow.draw import draw_tracks, greyed
from cvdemo.flow.lucas_kanade import TrackSettings, follow
from cvdemo.flow.motion_blur import BlurEstimate, blur, estimate
from cvdemo.flow.tab_shared import Pair
from cvdemo.ui.viewer import display_copy, shown

APERTURE, BLUR, TRACKS = "aperture", "blur", "tracks"
TOPICS: dict[str, str] = {
    APERTURE: "Aperture problem",
    BLUR: "Motion from one blurred picture",
    TRACKS: "Lucas-Kanade tracks",
}
HELP: dict[str, str] = {
    APERTURE: "Brightness constancy gives one equation, "
    "*I*<sub>x</sub> *u* + *I*<sub>y</sub> *v* + *I*<sub>t</sub> = 0, for two unknowns. Through a hole "
    "that shows parallel edges only, every motion that ends on the dashed line explains what is seen; the shortest of "
    "them is the normal flow. Corners and ends of bars give the second equation.",
    BLUR: "A camera that moves during the exposure writes its motion into the picture. It leaves parallel dark stripes "
    "in the spectrum, and in the cepstrum, the spectrum of the log spectrum, two dark spots as far from the middle as "
    "the motion is long. No second frame is needed; only forwards and backwards cannot be told apart.",
    TRACKS: "Lucas and Kanade solve brightness constancy in a small window around a point, which works where the "
    "window has edges in two directions: at corners. Each point is followed there and back; those that do not return "
    "within half a pixel are given up.",
}
FILM = 24
FRAME_SECONDS = 0.05
_BLUR_SIDE = 900
_CEPSTRUM = 128


@dataclass(frozen=True)
class LectureSettings(ApertureSettings):
    """All that the three topics can change."""

    topic: str = setting(APERTURE, label="Topic", choices=tuple(TOPICS), help="Three classics.")
    length: float = setting(
        18.0, label="Length of the motion (px)", minimum=5.0, maximum=60.0, step=0.5,
        help="How far the camera moves while the shutter is open.",
    )  # fmt: skip
    angle: float = setting(
        30.0, label="Angle (degrees)", minimum=0.0, maximum=179.0, step=1.0, help="0 is horizontal, 90 upright."
    )
    given: bool = setting(
        False,
        label="My picture is blurred already",
        help="Then it is not blurred again, and there is no error to show.",
    )
    points: int = setting(150, label="Points", minimum=10, maximum=500, step=10, help="The best corners there are.")
    window: int = setting(21, label="Window (px)", minimum=5, maximum=61, step=2, help="Its side; larger is calmer.")
    levels: int = setting(
        3, label="Pyramid levels", minimum=0, maximum=5, step=1,
        help="0 sees motion of a pixel or two only; each level doubles it.",
    )  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """Panels as HTML, one sentence, and a line of details."""

    panels: str
    sentence: str
    details: str


def figure(pixels: np.ndarray, title: str, words: str = "", side: int = 640) -> str:
    """A picture with its caption."""
    source = shown(display_copy(pixels, side)[0], "", 88)["src"]
    return (
        f'<figure><img src="{source}" alt="{html.escape(title)}"><figcaption><b>{html.escape(title)}</b>'
        f"{' · ' if words else ''}{html.escape(words)}</figcaption></figure>"
    )


def aperture(settings: LectureSettings) -> Shown:
    """The bar behind its hole: as it moves, and what can be measured."""
    found = holes.measured(settings)
    film, seconds, to_and_fro = _film(settings)
    way = "alternate" if to_and_fro else "normal"
    still = "" if seconds else " still"
    moving = (
        f'<figure><label class="flow-film-box"><input type="checkbox"><span class="flow-film{still}" role="img" '
        f'aria-label="{html.escape(holes.HOLES[settings.hole])}" style="background-image:url({film});'
        f'animation-duration:{max(seconds, 0.1):.2f}s;animation-direction:{way}"></span><i>Pause</i></label>'
        f"<figcaption><b>What can be seen</b> · {html.escape(holes.HOLES[settings.hole])}</figcaption></figure>"
    )
    scene = figure(holes.draw_scene(settings, found, 0.0), "True motion green, measured motion orange")
    large, small = found.eigenvalues
    share = f"{small / large:.3f}" if large > 0 else "none"
    details = f"Structure tensor: smaller to larger eigenvalue {share}"
    if settings.hole in ("upright", "lying") and settings.speed:
        x, y = holes.seen_direction(settings)
        details += f" · people see stripes move along the slot, {np.hypot(x, y):.1f} px a frame: the barber's pole"
    return Shown(
        f'<div class="flow-grid two">{moving}{scene}</div>', holes.sentence(settings, found), details
    )  # fmt: skip


def _film(settings: ApertureSettings) -> tuple[str, float, bool]:
    """Data URL of frames side by side, seconds of one round (0 for none), and whether it goes to and fro.

    A round of stripes is one period, so that it goes on without a jump.
    """
    across = abs(float(settings.motion @ settings.normal))
    if settings.hole == "open":
        frames, to_and_fro = (40.0 if settings.speed else 0.0), True
        times = np.linspace(-frames / 2, frames / 2, FILM)
    else:
        frames, to_and_fro = (holes.PERIOD / across if across > 0.05 else 0.0), False
        times = np.arange(FILM) * frames / FILM
    strip = np.concatenate([holes.frame(settings, float(time), 300) for time in times], axis=1)
    grey = np.clip(np.rint(strip), 0, 255).astype(np.uint8)
    return str(shown(cv2.merge([grey, grey, grey]), "", 80)["src"]), frames * FRAME_SECONDS, to_and_fro


def blurred(picture: Picture, settings: LectureSettings) -> Shown:
    """The picture blurred by a known motion, its spectrum and cepstrum, and the motion read from them."""
    sharp = display_copy(picture.pixels, _BLUR_SIDE)[0]
    pixels = sharp if settings.given else blur(sharp, settings.length, settings.angle)
    found = estimate(pixels)
    parts = [] if settings.given else [figure(sharp, "Sharp picture")]
    words = "" if settings.given else f"by {settings.length:g} px at {settings.angle:g}°"
    parts += [
        figure(pixels, "Blurred picture", words),
        figure(draw_spectrum(found), "Log spectrum", "dark stripes across the motion"),
        figure(draw_cepstrum(found), "Cepstrum", "dark spots at the motion's length"),
    ]
    sentence = found.sentence()
    if not settings.given:
        length, angle = found.error(settings.length, settings.angle)
        sentence += f"; true {settings.length:g} px at {settings.angle:g}°"
        if found.sure:
            sentence += f": off by {length:.1f} px and {angle:.1f}°"
    details = f"The spot stands out {found.contrast:.1f} times; it is believed from 5.5 on"
    return Shown(f'<div class="flow-grid two">{"".join(parts)}</div>', sentence, details)


def draw_spectrum(found: BlurEstimate) -> np.ndarray:
    """(512, 512, 3) uint8, brighter is more power; smoothed a little, as stripes are easier to see then."""
    smooth = cv2.GaussianBlur(found.spectrum, (0, 0), 1.0)
    return _grey(smooth, 2.0, 99.5)


def draw_cepstrum(found: BlurEstimate) -> np.ndarray:
    """(512, 512, 3) uint8: its middle, with the two spots marked where they are believed."""
    size = len(found.cepstrum)
    half = min(_CEPSTRUM, size) // 2
    part = found.cepstrum[size // 2 - half : size // 2 + half, size // 2 - half : size // 2 + half]
    smooth = cv2.GaussianBlur(part, (0, 0), 0.8) - cv2.GaussianBlur(part, (0, 0), 2.2)
    out = _grey(smooth, 0.5, 99.5)
    if not found.sure:
        return out
    zoom, turn = len(out) / (2 * half), np.deg2rad(found.angle)
    for sign in (1, -1):
        x, y = (half + 0.5 + sign * found.length * part_of for part_of in (np.cos(turn), np.sin(turn)))
        centre = (round(float(x * zoom)), round(float(y * zoom)))
        for colour, width in (((20, 20, 20), 5), ((230, 159, 0), 3)):
            cv2.circle(out, centre, 14, colour, width, cv2.LINE_AA)
    return out


def _grey(values: np.ndarray, low: float, high: float) -> np.ndarray:
    darkest, brightest = np.percentile(values, [low, high])
    level = np.clip((values - darkest) / max(brightest - darkest, 1e-9), 0, 1) * 255
    large = cv2.resize(level.astype(np.uint8), (512, 512), interpolation=cv2.INTER_CUBIC)
    return cv2.merge([large, large, large])


def tracks(pair: Pair, settings: LectureSettings) -> Shown:
    """Corners of the first frame, followed into the second one."""
    how = TrackSettings(
        points=settings.points, window=settings.window, levels=settings.levels, quality=0.002,
        distance=max(6, min(pair.size) // 32), disagreement=0.5,
    )  # fmt: skip
    found = follow(pair.first, pair.second, settings=how)
    first, last, good = found.starts, found.ends, found.found
    zoom = 2 if max(pair.size) <= 640 else 1
    canvas = greyed(cv2.resize(pair.second, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR))
    out = draw_tracks(canvas, first[good] * zoom, last[good] * zoom, 2)
    for x, y in (first[~good] * zoom).tolist():
        cv2.drawMarker(out, (round(x), round(y)), (213, 94, 0), cv2.MARKER_TILTED_CROSS, 12, 2, cv2.LINE_AA)
    panels = figure(out, "Tracks", "dot: where the point is now; cross: a point that was lost", 1280)
    return Shown(
        f'<div class="flow-grid one">{panels}</div>', found.sentence(),
        f"Window {settings.window} px, {settings.levels} pyramid levels",
    )  # fmt: skip
