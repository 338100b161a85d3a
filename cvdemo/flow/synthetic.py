"""Endless pairs of frames whose motion is known exactly: layers of pictures that move over each other.

The idea is that of Flying Chairs (Dosovitskiy et al. 2015, arXiv:1504.06852); the generator is our own. Every layer has
a texture and a silhouette, both given in coordinates of the first frame. Its motion is an affine map A, on part of the
layers followed by a smooth deformation. The second frame is drawn by looking up, for each of its pixels q, the point

    S(q) = A^-1 (q + d(q)),   d(q) = (a1 sin(k1 . q + f1), a2 sin(k2 . q + f2)),

so both frames are sampled from the same texture, neither from the other. The flow of a pixel p is q - p with S(q) = p;
without deformation that is A p - p, otherwise q = A p - d(q) is iterated, which contracts by at least 5 each time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.core.settings import Settings, setting
from cvdemo.flow.layers import Layer, Waves, box_before, draw_frame
from cvdemo.flow.raw import FramePair
from cvdemo.flow.textures import SIZE, shape_mask, texture_bank
from cvdemo.flow.warp import leaves_frame, pixel_grid

Photos = Sequence[np.ndarray] | np.ndarray
"""(h, w, 3) uint8 pictures, of different sizes or stacked."""
TEXTURES: tuple[str, ...] = ("both", "photos", "procedural")
STEEPEST = 0.2
"""Largest slope of the deformation, pixels per pixel: keeps S invertible and its inversion quick."""


@dataclass(frozen=True)
class SceneSettings(Settings):
    """What a scene is drawn from. All magnitudes are upper limits; each scene draws its own below them."""

    height: int = setting(320, label="Height", minimum=64, maximum=1024, step=8, help="Rows of each frame, in pixels.")
    width: int = setting(448, label="Width", minimum=64, maximum=1024, step=8, help="Columns, in pixels.")
    things: int = setting(
        6, label="Moving things", minimum=0, maximum=20, step=1, help="At most so many layers before the background."
    )
    motion: float = setting(
        24.0, label="Motion (px)", minimum=0.0, maximum=200.0, step=0.5,
        help="Longest displacement that is drawn for one layer; shorter ones are more frequent.",
    )  # fmt: skip
    camera: float = setting(
        0.6, label="Camera motion", minimum=0.0, maximum=1.0, step=0.05,
        help="Motion of the background as a share of the longest; 0 is a camera on a tripod.",
    )  # fmt: skip
    rotation: float = setting(
        10.0, label="Rotation (degrees)", minimum=0.0, maximum=45.0, step=0.5, help="Largest turn of a layer."
    )
    zoom: float = setting(
        0.1, label="Zoom", minimum=0.0, maximum=0.5, step=0.01, help="Largest change of a layer's size, and shear."
    )
    deformation: float = setting(
        2.0, label="Deformation (px)", minimum=0.0, maximum=8.0, step=0.25,
        help="Height of the waves that bend a third of the layers.",
    )  # fmt: skip
    brightness: float = setting(
        0.15, label="Brightness change", minimum=0.0, maximum=0.6, step=0.01,
        help="Change of gain, offset and colour between the frames; brightness constancy then only nearly holds.",
    )  # fmt: skip
    blur: float = setting(
        0.8, label="Blur (px)", minimum=0.0, maximum=4.0, step=0.1, help="Largest blur of a frame, in pixels."
    )
    noise: float = setting(
        4.0, label="Noise", minimum=0.0, maximum=30.0, step=0.5, help="Largest deviation of the camera's noise."
    )
    textures: str = setting(
        "both", label="Textures", choices=TEXTURES, help="Photographs, procedural patterns, or both mixed."
    )


@dataclass(frozen=True, eq=False)
class SyntheticPair:
    """A pair with its truth.

    Attributes:
        first, second: (H, W, 3) uint8 RGB.   flow: (H, W, 2) float32, exact, also where the target is not visible.
        occluded: (H, W) bool, pixels of the first frame that a nearer layer covers in the second.
        valid: (H, W) bool, pixels whose target lies inside of the second frame.
        labels: (H, W) uint8, layer of each pixel of the first frame, 0 the background, higher is nearer.
    """

    first: np.ndarray
    second: np.ndarray
    flow: np.ndarray
    occluded: np.ndarray
    valid: np.ndarray
    labels: np.ndarray

    @property
    def pair(self) -> FramePair:
        """The two frames as the input of a method."""
        return FramePair(self.first, self.second)


def make_pair(seed: int, settings: SceneSettings | None = None, photos: Photos = ()) -> SyntheticPair:
    """The scene with that number; the same seed, settings and photographs always give the same pixels.

    photos: (h, w, 3) uint8 pictures for the textures; without any, all textures are procedural.
    """
    chosen = settings or SceneSettings()
    rng = np.random.default_rng(seed)
    return render(make_layers(rng, chosen, photos), chosen, rng)


def make_layers(rng: np.random.Generator, settings: SceneSettings, photos: Photos = ()) -> list[Layer]:
    """Background first, then nearer and nearer things."""
    height, width = settings.height, settings.width
    drift = _displacement(rng, settings.motion) * settings.camera
    middle = np.array([width / 2, height / 2])
    reach = math.hypot(width, height) / 2
    texture = _texture(rng, settings, photos)
    layers = [
        Layer(
            texture,
            _placement(rng, texture, height, width, upright=True),
            _affine(rng, settings, middle, drift, reach, settings.camera),
            waves=_waves(rng, settings),
        )
    ]
    count = int(rng.integers(min(1, settings.things), settings.things + 1))
    for _ in range(count):
        side = int(min(height, width) * math.exp(rng.uniform(math.log(0.1), math.log(0.75))))
        side = max(12, side)
        corner = (int(rng.integers(-side // 2, width - side // 2)), int(rng.integers(-side // 2, height - side // 2)))
        texture = _texture(rng, settings, photos)
        move = drift + _displacement(rng, settings.motion)
        length = float(np.hypot(*move))
        move *= min(1.0, settings.motion / max(length, 1e-9))
        layers.append(
            Layer(
                texture,
                _placement(rng, texture, height, width, upright=False),
                _affine(rng, settings, np.array(corner) + side / 2, move, side / 2, 1.0),
                shape_mask(rng, side),
                corner,
                _waves(rng, settings),
            )
        )
    return layers


def _displacement(rng: np.random.Generator, longest: float) -> np.ndarray:
    """A random direction with a length up to ``longest``, short ones more often, a seventh of them under a pixel."""
    length = longest * rng.random() ** 2 if rng.random() > 0.15 else min(longest, rng.random())
    angle = rng.uniform(0, 2 * math.pi)
    return length * np.array([math.cos(angle), math.sin(angle)])


def _affine(
    rng: np.random.Generator,
    settings: SceneSettings,
    middle: np.ndarray,
    move: np.ndarray,
    reach: float,
    share: float,
) -> np.ndarray:
    """Turn, zoom and shear about ``middle``, then ``move``; the first three shift nothing by more than the motion."""
    limit = share * settings.motion / max(reach, 1.0)
    turn = float(np.clip(math.radians(settings.rotation), 0, limit)) * rng.normal() / 2
    zoom = min(settings.zoom, limit)
    cos, sin = math.cos(turn), math.sin(turn)
    linear = np.array([[cos, -sin], [sin, cos]]) @ (np.eye(2) * (1 + zoom * rng.uniform(-1, 1)))
    if rng.random() < 0.5:
        linear = linear @ (np.eye(2) + 0.5 * zoom * rng.uniform(-1, 1, (2, 2)))
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = middle + move - linear @ middle
    return matrix


def _waves(rng: np.random.Generator, settings: SceneSettings) -> Waves | None:
    if settings.deformation <= 0 or rng.random() > 1 / 3:
        return None
    wave = rng.uniform(60, 240, 2)
    angle = rng.uniform(0, 2 * math.pi, 2)
    vectors = 2 * math.pi / wave[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    highest = np.minimum(settings.deformation, STEEPEST * wave / (2 * math.pi))
    return Waves(highest * rng.random(2), vectors, rng.uniform(0, 2 * math.pi, 2))


def _texture(rng: np.random.Generator, settings: SceneSettings, photos: Photos) -> np.ndarray:
    procedural = settings.textures == "procedural" or not len(photos)
    if settings.textures == "both" and rng.random() < 0.2:
        procedural = True
    if procedural:
        bank = texture_bank()
        return bank[int(rng.integers(len(bank)))]
    return photos[int(rng.integers(len(photos)))]


def _placement(rng: np.random.Generator, texture: np.ndarray, height: int, width: int, *, upright: bool) -> np.ndarray:
    """From pixels of the first frame to pixels of the texture: a random part of it, things also turned."""
    h, w = texture.shape[:2]
    scale = rng.uniform(0.55, 1.0) * min(h / height, w / width) if upright else rng.uniform(0.5, 1.2)
    if min(h, w) <= SIZE:
        scale = rng.uniform(0.4, 1.1)
    turn = 0.0 if upright else rng.uniform(0, 2 * math.pi)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    linear = scale * np.array([[mirror * math.cos(turn), -math.sin(turn)], [mirror * math.sin(turn), math.cos(turn)]])
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    room = np.array([w, h]) / 2 + rng.uniform(-0.5, 0.5, 2) * np.maximum(
        np.array([w, h]) - scale * min(height, width), 0
    )
    matrix[:2, 2] = room - linear @ (np.array([width, height]) / 2)
    return matrix


# ------------------------------------------------------------------ drawing


def render(layers: Sequence[Layer], settings: SceneSettings, rng: np.random.Generator) -> SyntheticPair:
    """Both frames of the layers, with the camera's effects drawn from ``rng``, and the truth."""
    height, width = settings.height, settings.width
    first, labels = draw_frame(layers, height, width, moved=False)
    second, labels_after = draw_frame(layers, height, width, moved=True)
    x, y = pixel_grid(height, width)
    flow = np.empty((height, width, 2), np.float32)
    flow[..., 0], flow[..., 1] = layers[0].flow(x, y)
    for number, layer in enumerate(layers[1:], 1):
        left, top, right, bottom = box_before(layer, height, width)
        if right <= left or bottom <= top:
            continue
        part = np.s_[top:bottom, left:right]
        inside = labels[part] == number
        if inside.any():
            u, v = layer.flow(x[part], y[part])
            flow[part][inside] = np.stack([u, v], axis=2)[inside]
    covered_by = cv2.remap(labels_after, x + flow[..., 0], y + flow[..., 1], cv2.INTER_NEAREST, borderValue=0)
    first, second = _photographed(first, second, settings, rng)
    return SyntheticPair(first, second, flow, covered_by > labels, ~leaves_frame(flow), labels)


def _photographed(
    first: np.ndarray, second: np.ndarray, settings: SceneSettings, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Blur, change of light and noise: what a camera adds to the two frames."""
    frames = [first, second]
    if settings.blur > 0 and rng.random() < 0.5:
        common = settings.blur * rng.random()
        sigmas = (common, common if rng.random() < 0.7 else settings.blur * rng.random())
        frames = [
            cv2.GaussianBlur(frame, (0, 0), sigma) if sigma > 0.2 else frame for frame, sigma in zip(frames, sigmas)
        ]
    if settings.brightness > 0 and rng.random() < 0.7:
        frames[1] = _relit(frames[1], settings.brightness, rng)
    if settings.noise > 0 and rng.random() < 0.6:
        deviation = settings.noise * rng.random()
        frames = [_noisy(frame, deviation, rng) for frame in frames]
    return frames[0], frames[1]


def _relit(frame: np.ndarray, change: float, rng: np.random.Generator) -> np.ndarray:
    """Gain, offset and gamma, mostly alike in the three channels."""
    level = np.arange(256, dtype=np.float32) / 255
    gain = 1 + change * rng.uniform(-1, 1) + 0.2 * change * rng.uniform(-1, 1, 3)
    offset = 0.3 * change * rng.uniform(-1, 1)
    gamma = math.exp(change * rng.uniform(-1, 1))
    table = np.clip(gain[None] * level[:, None] ** gamma + offset, 0, 1) * 255
    return np.asarray(cv2.LUT(frame, np.round(table)[None].astype(np.uint8)))


def _noisy(frame: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise from OpenCV's fast generator, whose seed is drawn from ours."""
    noise = np.empty(frame.shape, np.int16)
    cv2.setRNGSeed(int(rng.integers(1, 2**31 - 1)))
    cv2.randn(noise, np.zeros(3), np.full(3, deviation))
    return np.asarray(cv2.add(frame, noise, dtype=cv2.CV_8U))
