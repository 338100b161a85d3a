"""The aperture problem: through a small hole only the motion across an edge can be seen.

A pattern of parallel stripes moves behind a hole. Brightness constancy, Ix u + Iy v + It = 0, is one equation for two
unknowns; where all gradients point the same way (one large and one zero eigenvalue of the structure tensor) it fixes
only the component along the gradient, the normal flow. Corners, or the ends of a bar, give the second equation. In a
long slot people see stripes move along the slot, as on a barber's pole: the ends of the stripes at its long sides win.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.core.settings import Settings, setting

SIZE = 400
HOLES: dict[str, str] = {
    "circle": "a round hole",
    "upright": "an upright slot",
    "lying": "a lying slot",
    "open": "no hole: the whole bar",
}
_SMOOTH = 3.0  # pixels over which the stripes' edges are soft, so that gradients exist
PERIOD = 56  # pixels from stripe to stripe
_INK, _PAPER, _WALL = 40.0, 225.0, 128.0
_BAR = (220.0, 26.0)  # length and thickness of the bar that is seen whole
_RANK = 0.02  # the smaller eigenvalue's share of the larger one under which there is one equation only


@dataclass(frozen=True)
class ApertureSettings(Settings):
    """The bar, its motion and the hole it is seen through."""

    hole: str = setting(
        "circle", label="Seen through", choices=tuple(HOLES), help="What hides the ends of the stripes."
    )
    tilt: float = setting(
        45.0, label="Tilt of the stripes", minimum=0.0, maximum=175.0, step=5.0,
        help="Degrees; 0 lies flat, 90 is upright.",
    )  # fmt: skip
    direction: float = setting(
        0.0, label="True direction", minimum=0.0, maximum=355.0, step=5.0,
        help="Degrees: 0 to the right, 90 down.",
    )  # fmt: skip
    speed: float = setting(
        2.0, label="True speed", minimum=0.0, maximum=4.0, step=0.25, help="Pixels from frame to frame."
    )  # fmt: skip

    @property
    def motion(self) -> np.ndarray:
        """(2,) true motion, pixels per frame."""
        turn = np.deg2rad(self.direction)
        return np.asarray(self.speed * np.array([np.cos(turn), np.sin(turn)]))

    @property
    def normal(self) -> np.ndarray:
        """(2,) unit vector across the stripes."""
        turn = np.deg2rad(self.tilt)
        return np.array([np.sin(turn), np.cos(turn)])

    @property
    def normal_flow(self) -> np.ndarray:
        """(2,) what can be measured of the motion from the stripes alone: its component across them."""
        return np.asarray((self.motion @ self.normal) * self.normal)


@dataclass(frozen=True, eq=False)
class Measured:
    """What the pixels in the hole say.

    Attributes:
        flow: (2,) least squares solution of brightness constancy; of least length where there is one equation only.
        eigenvalues: (2,) of the structure tensor, larger first. one_equation: whether the smaller is next to nothing.
    """

    flow: np.ndarray
    eigenvalues: np.ndarray
    one_equation: bool


def hole_mask(hole: str, size: int = SIZE) -> np.ndarray:
    """(size, size) bool: what can be seen."""
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    if hole == "circle":
        return np.asarray(np.hypot(rows, columns) <= 0.2 * size)
    if hole == "upright":
        return np.asarray((np.abs(columns) <= 0.07 * size) & (np.abs(rows) <= 0.4 * size))
    if hole == "lying":
        return np.asarray((np.abs(rows) <= 0.07 * size) & (np.abs(columns) <= 0.4 * size))
    return np.ones((size, size), bool)


def frame(settings: ApertureSettings, time: float, size: int = SIZE) -> np.ndarray:
    """(size, size) float32 grey levels at a time, in frames: stripes behind the hole, or the whole bar.

    Drawn from distances, not by moving pixels, so that any fraction of a pixel is exact.
    """
    rows, columns = np.mgrid[:size, :size].astype(np.float64) - (size - 1) / 2
    x, y = columns - settings.motion[0] * time, rows - settings.motion[1] * time
    across = x * settings.normal[0] + y * settings.normal[1]
    if settings.hole == "open":
        along = -x * settings.normal[1] + y * settings.normal[0]
        ink = _soft(_BAR[1] / 2 - np.abs(across)) * _soft(_BAR[0] / 2 - np.abs(along))
    else:
        ink = _soft(PERIOD / 4 - np.abs((across + PERIOD / 2) % PERIOD - PERIOD / 2))
    grey = _PAPER + (_INK - _PAPER) * ink
    grey[~hole_mask(settings.hole, size)] = _WALL
    return grey.astype(np.float32)


def _soft(inside: np.ndarray) -> np.ndarray:
    """1 well inside, 0 well outside, and a soft edge."""
    return np.asarray(1 / (1 + np.exp(-np.clip(inside / _SMOOTH, -40, 40) * 2)))


def measure(first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> Measured:
    """The one motion that best explains two frames (H, W) inside a mask (H, W) bool, by least squares.

    Lucas and Kanade, 1981, over one window: exact for motions under a pixel or so of smooth patterns.
    """
    mean = (first.astype(np.float64) + second) / 2
    gradient_y, gradient_x = (_slope(mean, axis) for axis in (0, 1))
    change = second.astype(np.float64) - first
    inside = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=1) > 0
    slopes = np.stack([gradient_x[inside], gradient_y[inside]], axis=1)
    tensor = slopes.T @ slopes
    values, vectors = np.linalg.eigh(tensor)
    right = -slopes.T @ change[inside]
    large, small = float(values[1]), float(values[0])
    one = small <= _RANK * large
    flow = np.zeros(2)
    if large > 0:
        flow = vectors[:, 1] * (vectors[:, 1] @ right) / large
        if not one:
            flow = flow + vectors[:, 0] * (vectors[:, 0] @ right) / small
    return Measured(flow, np.array([large, max(small, 0.0)]), bool(one))


def _slope(values: np.ndarray, axis: int) -> np.ndarray:
    """The derivative from five points; three make it too small at edges."""
    one, two = ((np.roll(values, -step, axis) - np.roll(values, step, axis)) / (2 * step) for step in (1, 2))
    return np.asarray((4 * one - two) / 3)


def measured(settings: ApertureSettings, step: float = 0.1) -> Measured:
    """What can be measured of the settings' scene, in pixels per frame; taken over a small part of a frame's time,
    because brightness constancy is linear only there.
    """
    mask = hole_mask(settings.hole)
    found = measure(frame(settings, 0.0), frame(settings, step), mask)
    return Measured(found.flow / step, found.eigenvalues, found.one_equation)


def seen_direction(settings: ApertureSettings) -> np.ndarray:
    """(2,) the motion people report: along a long slot (barber pole), across the stripes in a round hole."""
    if settings.hole == "open":
        return settings.motion
    if settings.hole == "circle":
        return settings.normal_flow
    axis = np.array([0.0, 1.0]) if settings.hole == "upright" else np.array([1.0, 0.0])
    toward = float(settings.normal @ axis)
    if abs(toward) < 0.05:  # stripes along the slot have no ends on its long sides
        return settings.normal_flow
    # the ends of the stripes slide along the slot: the motion along it with the same component across the stripes
    return np.asarray(axis * (float(settings.motion @ settings.normal) / toward))


def sentence(settings: ApertureSettings, found: Measured) -> str:
    """What was true and what was measured, in one sentence."""
    speed = float(np.hypot(*found.flow))
    true = f"The true motion is {settings.speed:.2g} px at {settings.direction:.0f}°"
    if settings.speed == 0:
        return "Nothing moves"
    if speed < 0.05:
        return f"{true}, but along the stripes: through the hole nothing seems to move"
    angle = float(np.rad2deg(np.arctan2(found.flow[1], found.flow[0])) % 360)
    what = "only its part across the stripes" if found.one_equation else "all of it"
    return f"{true}; the pixels show {what}: {speed:.2f} px at {angle % 359.5:.0f}°"


def draw_scene(settings: ApertureSettings, found: Measured, time: float, arrows: bool = True) -> np.ndarray:
    """(SIZE, SIZE, 3) uint8: the frame, and from its middle the true motion (green) and the measured one (orange)."""
    grey = np.clip(np.rint(frame(settings, time)), 0, 255).astype(np.uint8)
    out = cv2.merge([grey, grey, grey])
    if not arrows:
        return out
    middle = SIZE // 2
    # the two directions that a line of constraint leaves open: every motion that ends on it explains the stripes
    if found.one_equation and settings.speed > 0:
        foot = np.array([middle, middle]) + _ARROW * settings.normal_flow
        along = np.array([-settings.normal[1], settings.normal[0]]) * 400
        _dashed(out, foot - along, foot + along)
    for motion, colour in ((settings.motion, TRUE), (found.flow, MEASURED)):
        tip = np.array([middle, middle]) + _ARROW * np.asarray(motion)
        if np.hypot(*motion) < 0.05:
            continue
        for shade, width in (((20, 20, 20), 8), (colour, 4)):
            end = np.rint(tip).astype(int).tolist()
            cv2.arrowedLine(out, (middle, middle), end, shade, width, cv2.LINE_AA, tipLength=0.2)
    return out


TRUE, MEASURED = (0, 158, 115), (230, 159, 0)
_ARROW = 38.0  # pixels drawn for one pixel of motion


def _dashed(out: np.ndarray, start: np.ndarray, end: np.ndarray) -> None:
    count = int(np.hypot(*(end - start)) / 14)
    for index in range(0, count, 2):
        a, b = (start + (end - start) * (at / count) for at in (index, index + 1))
        for colour, width in (((20, 20, 20), 4), ((255, 255, 255), 2)):
            cv2.line(out, np.rint(a).astype(int).tolist(), np.rint(b).astype(int).tolist(), colour, width, cv2.LINE_AA)
