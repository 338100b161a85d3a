"""SimCLR's family of augmentations (Chen et al. 2020, arXiv:2002.05709, figure 4), each draw kept as numbers.

Crop, mirror, colours, grey and blur are what SimCLR uses (appendix A); turns, noise, cutout and Sobel edges are those
it tried as well, and are off unless asked for.

``draw`` decides, ``apply`` does: the page shows both the view and what made it, and can make the same view again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.core.settings import Settings, setting

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
RATIO = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class AugmentSettings(Settings):
    """Which augmentations, and how strong."""

    smallest_crop: float = setting(
        0.08, label="Smallest crop", minimum=0.02, maximum=1.0, step=0.01,
        help="A crop keeps at least this share of the picture's area; 1 switches cropping off.",
    )  # fmt: skip
    flip: bool = setting(True, label="Mirror", help="Mirror every other view.")
    colour: float = setting(
        0.5, label="Colour jitter", minimum=0.0, maximum=1.0, step=0.05,
        help="Strength s: brightness, contrast and saturation change by up to 0.8 s, hue by up to 0.2 s of the circle.",
    )  # fmt: skip
    grey: float = setting(
        0.2, label="Grey", minimum=0.0, maximum=1.0, step=0.05, help="Share of views without colours."
    )
    blur: float = setting(
        0.5, label="Blur", minimum=0.0, maximum=1.0, step=0.05, help="Share of views blurred by a Gaussian."
    )
    turn: float = setting(
        0.0,
        label="Rotate",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
        help="Share of views turned by 90, 180 or 270 degrees.",
    )
    noise: float = setting(
        0.0, label="Gaussian noise", minimum=0.0, maximum=1.0, step=0.05,
        help="Standard deviation in quarters of the range of values.",
    )  # fmt: skip
    cutout: float = setting(
        0.0,
        label="Cutout",
        minimum=0.0,
        maximum=0.9,
        step=0.05,
        help="Side of a grey square, as a share of the view's.",
    )
    sobel: float = setting(
        0.0, label="Sobel edges", minimum=0.0, maximum=1.0, step=0.05, help="Share of views replaced by their edges."
    )


@dataclass(frozen=True)
class Augmentation:
    """One draw: what was done to a picture, in this order.

    crop: x1 y1 x2 y2, pixels of the picture, whole.   mirrored: after cropping.
    jittered: whether colours changed; brightness, contrast, saturation: factors; hue: turns of the circle; order: in
    which those four came.   grey: colours taken away.   sigma: of the blur, pixels of the view; 0 for none.
    quarters: turns by 90 degrees, anticlockwise.   noise: standard deviation, levels of 255, drawn by ``noise_seed``.
    hole: x1 y1 x2 y2 of what is cut out, pixels of the view.   edges: the view is replaced by its edges.
    """

    crop: tuple[int, int, int, int]
    mirrored: bool = False
    jittered: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    order: tuple[str, ...] = ("brightness", "contrast", "saturation", "hue")
    grey: bool = False
    sigma: float = 0.0
    quarters: int = 0
    noise: float = 0.0
    noise_seed: int = 0
    hole: tuple[int, int, int, int] | None = None
    edges: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        values = asdict(self)
        rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}
        hole = None if self.hole is None else list(self.hole)
        return rounded | {"crop": list(self.crop), "order": list(self.order), "hole": hole}

    def sentence(self) -> str:
        """Such as "Crop 120x90, mirrored, colours jittered, blurred."."""
        x1, y1, x2, y2 = self.crop
        words = [f"Crop {x2 - x1}x{y2 - y1}"]
        given = {
            "mirrored": self.mirrored, f"turned by {90 * self.quarters} degrees": self.quarters,
            "colours jittered": self.jittered, "grey": self.grey, "blurred": self.sigma, "noisy": self.noise,
            "cut out": self.hole, "edges": self.edges,
        }  # fmt: skip
        return ", ".join([*words, *(word for word, present in given.items() if present)]) + "."


def draw_crop(rng: np.random.Generator, height: int, width: int, smallest: float) -> tuple[int, int, int, int]:
    """A random box (x1, y1, x2, y2): area from ``smallest`` to 1 of the picture's, sides' ratio from 3/4 to 4/3.

    As in Szegedy et al. 2014, arXiv:1409.4842: ten tries, then the largest central box of an allowed ratio.
    """
    if smallest >= 1:
        return 0, 0, width, height
    for _ in range(10):
        area = height * width * rng.uniform(smallest, 1)
        ratio = math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
            return x, y, x + w, y + h
    w = min(width, max(1, round(height * RATIO[1])))
    h = min(height, max(1, round(width / RATIO[0])))
    x, y = (width - w) // 2, (height - h) // 2
    return x, y, x + w, y + h


def draw(
    rng: np.random.Generator, height: int, width: int, settings: AugmentSettings | None = None, size: int = 112
) -> Augmentation:
    """Decide what to do to a picture of that size, for a view of ``size`` pixels; all chance comes from ``rng``.

    Every decision draws its numbers whether or not it is used: changing one setting leaves the others' draws alone.
    """
    chosen = settings or AugmentSettings()
    crop_rng, *others = rng.spawn(10)
    crop = draw_crop(crop_rng, height, width, chosen.smallest_crop)
    mirrored = chosen.flip and bool(others[0].random() < 0.5)
    strength = chosen.colour
    jittered = strength > 0 and bool(others[1].random() < 0.8)
    factors = 1 + 0.8 * strength * others[2].uniform(-1, 1, 3)
    hue = 0.2 * strength * float(others[2].uniform(-1, 1))
    names = ("brightness", "contrast", "saturation", "hue")
    order = tuple(names[i] for i in others[2].permutation(4))
    grey = bool(others[3].random() < chosen.grey)
    blurred, sigma = bool(others[4].random() < chosen.blur), float(others[4].uniform(0.1, 2.0)) * size / 224
    plain = Augmentation(
        crop, mirrored, grey=grey, sigma=sigma if blurred else 0.0,
        quarters=int(others[5].integers(1, 4)) if others[5].random() < chosen.turn else 0,
        noise=255 / 4 * chosen.noise, noise_seed=int(others[6].integers(2**31)) if chosen.noise else 0,
        hole=draw_hole(others[7], size, chosen.cutout), edges=bool(others[8].random() < chosen.sobel),
    )  # fmt: skip
    if not jittered:
        return plain
    brightness, contrast, saturation = (float(f) for f in factors)
    return replace(
        plain, jittered=True, brightness=brightness, contrast=contrast, saturation=saturation, hue=hue, order=order
    )


def draw_hole(rng: np.random.Generator, size: int, share: float) -> tuple[int, int, int, int] | None:
    """A random square in a view of ``size`` pixels, its side that ``share`` of the view's; None for no side.

    Cutout, DeVries and Taylor 2017, arXiv:1708.04552.
    """
    side = round(size * share)
    x, y = (int(v) for v in rng.integers(0, max(1, size - side + 1), 2))
    return (x, y, x + side, y + side) if side else None


def apply(pixels: np.ndarray, augmentation: Augmentation, size: int = 112) -> np.ndarray:
    """The view (size, size, 3) uint8 that ``augmentation`` makes of a picture (H, W, 3) uint8 RGB."""
    x1, y1, x2, y2 = augmentation.crop
    part = np.ascontiguousarray(pixels[y1:y2, x1:x2])
    shrinking = (x2 - x1) * (y2 - y1) > size * size
    view = cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    if augmentation.mirrored:
        view = np.ascontiguousarray(view[:, ::-1])
    if augmentation.quarters:
        view = np.ascontiguousarray(np.rot90(view, augmentation.quarters))
    if augmentation.jittered:
        for step in augmentation.order:
            view = change_colour(view, step, getattr(augmentation, step))
    if augmentation.grey:
        view = change_colour(view, "saturation", 0.0)
    if augmentation.sigma > 0:
        view = cv2.GaussianBlur(view, (0, 0), augmentation.sigma, borderType=cv2.BORDER_REFLECT_101)
    if augmentation.noise > 0:
        grain = np.random.default_rng(augmentation.noise_seed).normal(0, augmentation.noise, view.shape)
        view = np.clip(view + grain, 0, 255).round().astype(np.uint8)
    if augmentation.hole is not None:
        left, top, right, bottom = augmentation.hole
        view = view.copy()
        view[top:bottom, left:right] = 128
    return sobel(view) if augmentation.edges else view


def sobel(pixels: np.ndarray) -> np.ndarray:
    """The length of the luma's gradient by Sobel's operator, a quarter of it so that it seldom exceeds the range.

    (H, W, 3) uint8 RGB -> the same, grey.
    """
    luma = pixels.astype(np.float32) @ LUMA
    x = cv2.Sobel(luma, cv2.CV_32F, 1, 0, ksize=3)
    y = cv2.Sobel(luma, cv2.CV_32F, 0, 1, ksize=3)
    length = np.clip(np.hypot(x, y) / 4, 0, 255).round().astype(np.uint8)
    return np.repeat(length[..., None], 3, axis=2)


def change_colour(pixels: np.ndarray, kind: str, amount: float) -> np.ndarray:
    """One step of colour jitter on (H, W, 3) uint8 RGB.

    brightness: towards black; contrast: towards the picture's mean luma; saturation: towards each pixel's own luma,
    all by a factor, 1 changing nothing. hue: turned by ``amount`` of the circle.
    """
    if kind == "hue":
        hsv = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + 360 * amount) % 360
        return (cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).round().astype(np.uint8)
    values = pixels.astype(np.float32)
    anchor: Any = 0.0
    if kind == "contrast":
        anchor = float((values @ LUMA).mean())
    elif kind == "saturation":
        anchor = (values @ LUMA)[..., None]
    elif kind != "brightness":
        raise ValueError(f"no step of colour jitter is called {kind!r}")
    return np.clip(amount * values + (1 - amount) * anchor, 0, 255).round().astype(np.uint8)


def views(
    pictures: Sequence[np.ndarray], seed: int, settings: AugmentSettings | None = None, size: int = 112
) -> tuple[np.ndarray, list[Augmentation]]:
    """Two views of each of N pictures, as NT-Xent takes them: (2N, size, size, 3), first views first, and the draws."""
    rng = np.random.default_rng(seed)
    draws = [draw(rng, picture.shape[0], picture.shape[1], settings, size) for _ in range(2) for picture in pictures]
    made = [apply(picture, one, size) for picture, one in zip([*pictures, *pictures], draws)]
    return np.stack(made) if made else np.zeros((0, size, size, 3), np.uint8), draws
