"""Motion from one blurred picture: a camera that moves while the shutter is open writes its motion into the picture.

Along a straight motion of L pixels every point is smeared into a line: the picture is convolved with that line. In the
spectrum this multiplies by a sinc, whose zeros are parallel dark stripes 1/L apart and across the motion. In the
cepstrum (the Fourier transform of the log spectrum) they become dark spots at L, 2L, … along the motion. Finding the
spot gives length and angle back (Rom, "On the Cepstrum of Two-Dimensional Functions", 1975; Cannon, "Blind
Deconvolution of Spatially Invariant Image Blurs with Phase", 1976). Forwards and backwards look the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2

SHORTEST, LONGEST = 5.0, 60.0
SMALLEST_SIDE = 128
_TILE = 256
_BAND = 0.35  # cycles a pixel above which noise is stronger than the picture
_SPECKLE, _BROAD = 0.8, 2.2  # sizes between which a spot of the cepstrum lies, in pixels
_SURE = 5.5  # how many times its surroundings a spot stands out before it is believed


@dataclass(frozen=True, eq=False)
class BlurEstimate:
    """What was read from one picture.

    Attributes:
        length: pixels. angle: degrees in [0, 180), 0 is horizontal, growing clockwise (y points down).
        contrast: how many times the spot stands out of the other directions at its distance.
        spectrum: (n, n) float64, log power with the zero frequency in the middle.
        cepstrum: (n, n) float64, its Fourier transform, zero in the middle.
    """

    length: float
    angle: float
    contrast: float
    spectrum: np.ndarray
    cepstrum: np.ndarray

    @property
    def sure(self) -> bool:
        """Whether the spot stands out; a sharp picture has none."""
        return self.contrast >= _SURE

    def error(self, length: float, angle: float) -> tuple[float, float]:
        """(pixels, degrees) by which it misses a known motion."""
        turn = abs((self.angle - angle + 90) % 180 - 90)
        return abs(self.length - length), float(turn)

    def to_dict(self) -> dict[str, float | bool]:
        """Ready for JSON."""
        return {
            "length": round(self.length, 2), "angle": round(self.angle, 2), "contrast": round(self.contrast, 2),
            "sure": self.sure,
        }  # fmt: skip

    def sentence(self) -> str:
        """Such as "Estimated motion: 18.2 px at 31°"."""
        if not self.sure:
            return "No motion blur was found: the cepstrum has no clear dark spot"
        return f"Estimated motion: {self.length:.1f} px at {self.angle:.0f}°"


def motion_kernel(length: float, angle: float) -> np.ndarray:
    """The line a point is smeared into: (n, n) float32, n odd, sum 1; length in pixels, angle in degrees, y down."""
    if not 0 <= length <= 500:
        raise InputError(f"A blur of {length:g} pixels cannot be made.", hint="Use a length from 0 to 500.")
    radius = int(np.ceil(length / 2)) + 1
    size = 2 * radius + 1
    kernel = np.zeros((size, size))
    steps = max(64, int(length * 16))
    along = ((np.arange(steps) + 0.5) / steps - 0.5) * length
    x, y = radius + along * np.cos(np.deg2rad(angle)), radius + along * np.sin(np.deg2rad(angle))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for right in (0, 1):
        for down in (0, 1):
            share = np.abs(1 - right - (x - left)) * np.abs(1 - down - (y - top))
            np.add.at(kernel, (top + down, left + right), share)
    return (kernel / kernel.sum()).astype(np.float32)


def blur(pixels: np.ndarray, length: float, angle: float) -> np.ndarray:
    """(H, W, 3) uint8 as if the camera had moved by ``length`` pixels at ``angle`` degrees during the exposure."""
    return cv2.filter2D(pixels, -1, motion_kernel(length, angle), borderType=cv2.BORDER_REFLECT)


def estimate(pixels: np.ndarray) -> BlurEstimate:
    """Length and angle of the motion that blurred a picture (H, W, 3) uint8.

    InputError for pictures with a side under 128 pixels. A picture that is not blurred, or by less than 5 pixels, gives
    an estimate whose ``sure`` is False.
    """
    if min(pixels.shape[:2]) < SMALLEST_SIDE:
        raise InputError(
            f"The picture is too small to read its spectrum ({pixels.shape[1]} x {pixels.shape[0]}).",
            hint=f"Choose one with sides of at least {SMALLEST_SIDE} pixels.",
        )
    spectrum = _log_power(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    cepstrum = np.fft.fftshift(np.real(np.fft.ifft2(_whitened(spectrum))))
    spots = cv2.GaussianBlur(cepstrum, (0, 0), _SPECKLE) - cv2.GaussianBlur(cepstrum, (0, 0), _BROAD)
    length, angle, contrast = _darkest(spots.astype(np.float32))
    return BlurEstimate(length, angle, contrast, np.fft.fftshift(spectrum), cepstrum)


def _log_power(grey: np.ndarray) -> np.ndarray:
    """(n, n) log power, the mean over half-overlapping windows: one window alone is too noisy to see stripes."""
    height, width = grey.shape
    size = _TILE if min(height, width) >= _TILE else SMALLEST_SIDE
    window = np.hanning(size)[:, None] * np.hanning(size)[None]
    power, count = np.zeros((size, size)), 0
    for y in _starts(height, size):
        for x in _starts(width, size):
            tile = grey[y : y + size, x : x + size].astype(np.float64)
            power += np.abs(np.fft.fft2((tile - tile.mean()) * window)) ** 2
            count += 1
    power /= count
    return np.asarray(np.log(power + power.mean() * 1e-7 + 1e-12))


def _starts(length: int, size: int) -> np.ndarray:
    count = min(8, max(1, int(np.ceil(2 * length / size)) - 1))
    return np.linspace(0, length - size, count).astype(int)


def _whitened(spectrum: np.ndarray) -> np.ndarray:
    """Without what all pictures have in common, a fall with frequency, and without the frequencies that are noise."""
    size = len(spectrum)
    frequency = np.fft.fftfreq(size)
    radius = np.hypot(frequency[:, None], frequency[None])
    ring = (radius * size).astype(int)
    count = np.bincount(ring.ravel())
    mean = np.bincount(ring.ravel(), spectrum.ravel()) / np.maximum(count, 1)
    fade = np.where(radius < _BAND, 0.5 + 0.5 * np.cos(np.pi * np.minimum(radius / _BAND, 1)), 0)
    white = (spectrum - mean[ring]) * fade
    return np.asarray(white - white.mean())


def _darkest(spots: np.ndarray) -> tuple[float, float, float]:
    """Length, angle and contrast of the dark spot that is followed by another one at twice its distance."""
    centre = len(spots) // 2
    lengths = np.arange(SHORTEST - 2, min(LONGEST, centre * 0.9) + 0.1, 0.5)
    angles = np.arange(0.0, 180.0, 1.0)
    reach, turn = np.meshgrid(lengths, np.deg2rad(angles))

    def at(times: int) -> np.ndarray:
        x, y = centre + times * reach * np.cos(turn), centre + times * reach * np.sin(turn)
        inside = times * reach < centre - 2
        values = cv2.remap(spots, x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC)
        return np.where(inside, values, 0)

    score = -(at(1) + 0.5 * at(2))
    score -= np.median(score, axis=0)
    # spots near the middle are larger in every picture: each is judged by its own distance
    score /= 1.5 * np.median(np.abs(score), axis=0) + 1e-12
    score *= np.minimum(1.0, lengths / (SHORTEST + 1))
    row, column = _fundamental(score, lengths, *divmod(int(score.argmax()), score.shape[1]))
    step_length = _summit(score[row], column)
    step_angle = _summit(np.take(score[:, column], np.arange(row - 1, row + 2), mode="wrap"), 1)
    length = float(lengths[column] + 0.5 * step_length)
    return length, float((angles[row] + step_angle) % 180), float(score[row, column])


def _fundamental(score: np.ndarray, lengths: np.ndarray, row: int, column: int) -> tuple[int, int]:
    """The strongest spot may be the one at twice the length: then there is one at half of it, too."""
    for share in (3, 2):
        near = np.flatnonzero(np.abs(lengths - lengths[column] / share) <= 0.8)
        if not len(near) or lengths[column] / share < SHORTEST - 1:
            continue
        rows = np.arange(row - 4, row + 5) % len(score)
        part = score[np.ix_(rows, near)]
        if part.max() >= 0.5 * score[row, column]:
            best = np.unravel_index(int(part.argmax()), part.shape)
            return int(rows[best[0]]), int(near[best[1]])
    return row, column


def _summit(values: np.ndarray, at: int) -> float:
    """Where a parabola through a maximum and its neighbours is highest, in steps from it, -0.5 to 0.5."""
    if not 0 < at < len(values) - 1:
        return 0.0
    before, here, after = (float(values[at + step]) for step in (-1, 0, 1))
    bend = before - 2 * here + after
    return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0
