"""Style pictures in ink: waves, hatching, woodcut, ink wash, circles."""

from __future__ import annotations

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.style.textures import finished, grid, noise, paper, ramp, shaken, warped


def waves(side: int, rng: np.random.Generator) -> np.ndarray:
    """A sea of overlapping arcs in indigo and foam (the seigaiha pattern), higher and bluer towards the front."""
    canvas = np.full((side, side, 3), (240, 232, 212), np.float32)
    _, y = grid(side)
    sky = ramp(np.clip(y * 2.6, 0, 1), shaken(rng, [(226, 178, 138), (242, 220, 182), (244, 236, 216)], 5))
    canvas[:] = sky
    centre = (round(side * rng.uniform(0.62, 0.78) * 8), round(side * 0.17 * 8))
    cv2.circle(canvas, centre, round(side * 0.1 * 8), (206, 62, 46), -1, cv2.LINE_AA, 3)
    deep = shaken(rng, [(176, 204, 208), (104, 156, 180), (46, 98, 146), (22, 52, 106), (14, 30, 72)], 5)
    row, baseline = 0, 0.3
    while baseline < 1.25:
        size = 0.055 + 0.055 * baseline
        share = min(1.0, max(0.0, (baseline - 0.3) / 0.8))
        tone = ramp(np.array(share), deep)
        count = int(1.3 / (2 * size)) + 3
        for place in range(-1, count):
            px = (place * 2 + row % 2) * size + 0.012 * np.sin(row * 1.7)
            py = baseline + 0.035 * np.sin(2 * np.pi * (0.8 * px + 0.11 * row)) + 0.004 * rng.normal()
            middle = (round(px * side * 8), round(py * side * 8))
            for part, light in ((1.06, -1.0), (1.0, 1.0), (0.8, 0.0), (0.68, 1.0), (0.5, 0.0), (0.38, 1.0), (0.2, 0.0)):
                foam = np.array((246, 240, 222)) * 0.94 + rng.normal(0, 3)
                colour = tone * 0.62 if light < 0 else (foam if light > 0 else tone + rng.normal(0, 7))
                cv2.circle(
                    canvas, middle, round(size * part * side * 8), np.clip(colour, 0, 255).tolist(), -1, cv2.LINE_AA, 3
                )
        baseline += size * 0.62
        row += 1
    wear = 1 - 0.1 * noise(rng, side, 40, 3)[..., None]
    return finished(canvas * wear + 8 + paper(rng, side, 4))


def tone_of_hills(side: int, rng: np.random.Generator, layers: int = 5) -> np.ndarray:
    """(side, side) brightness in [0, 1]: a sun, and ridges that get darker towards the front."""
    x, y = grid(side)
    cx, cy = rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.32)
    tone = 0.78 + 0.14 * np.cos(np.hypot(x - cx, y - cy) * 4)
    tone[np.hypot(x - cx, y - cy) < 0.1] = 1.0
    for layer in range(layers):
        level = 0.4 + 0.56 * (layer + rng.uniform(-0.2, 0.2)) / layers
        profile = noise(rng, side, 2.5 + layer, 5, 0.52)[side // 2]
        ridge = level - (0.24 - 0.025 * layer) * (profile - 0.3)
        inside = y > ridge[None]
        fall = np.clip((y - ridge[None]) / 0.3, 0, 1)
        shade = 0.66 - 0.12 * layer + 0.3 * fall + 0.2 * (noise(rng, side, 8, 4)[...] - 0.5)
        tone = np.where(inside, shade, tone)
    return np.clip(tone, 0, 1).astype(np.float32)


def hatching(side: int, rng: np.random.Generator) -> np.ndarray:
    """An engraving: ridges in crossing lines of ink that swell where it is dark, on cream paper."""
    tone = cv2.GaussianBlur(tone_of_hills(side, rng), (0, 0), side / 250)
    x, y = grid(side)
    bend = 0.02 * (noise(rng, side, 4, 2) - 0.5)
    ink = np.zeros((side, side), np.float32)
    pitch = side / 78
    for angle, start, stop in ((0.55, 0.98, 0.42), (-0.6, 0.62, 0.2), (1.45, 0.42, 0.08), (0.05, 0.26, 0.0)):
        across = (x * np.sin(angle) + y * np.cos(angle) + bend) * side / pitch
        ridge = np.abs(across - np.rint(across)) * 2  # 0 on a line's middle, 1 between two
        width = np.clip((start - tone) / max(start - stop, 1e-3), 0, 1) * 0.62
        wobble = 0.09 * (noise(rng, side, 60, 2) - 0.5)
        ink = np.maximum(
            ink, np.clip((width + wobble * (width > 0) - ridge) * pitch / 1.6 + 0.5, 0, 1) * (width > 0.02)
        )
    edges = cv2.GaussianBlur(np.abs(cv2.Laplacian(cv2.GaussianBlur(tone, (0, 0), side / 300), cv2.CV_32F)), (0, 0), 0.8)
    ink = np.maximum(ink, np.clip(edges * 7 - 0.25, 0, 0.9))
    cream = np.array((243, 234, 214)) + paper(rng, side, 5)
    return finished(cream * (1 - ink[..., None]) + np.array((38, 30, 34)) * ink[..., None])


def woodcut(side: int, rng: np.random.Generator) -> np.ndarray:
    """Bold carved lines that follow hills and sky, in black, red and ochre on warm paper."""
    x, y = grid(side)
    cx, cy = rng.uniform(0.35, 0.65), 0.34
    radius = np.hypot(x - cx, y - cy)
    edge = 0.62 + 0.1 * np.sin(4 * x + 6 * rng.random()) + 0.05 * (noise(rng, side, 4, 2) - 0.5)
    near = 0.8 + 0.08 * np.sin(5.5 * x + 6 * rng.random()) + 0.04 * (noise(rng, side, 5, 2) - 0.5)
    rays = 0.5 + 0.5 * np.cos(np.arctan2(y - cy, x - cx) * 40 + 0.8 * noise(rng, side, 5, 2) * 6)
    rings = 0.5 + 0.5 * np.cos(2 * np.pi * (radius * 17 + 0.5 * noise(rng, side, 6, 2)))
    hills = 0.5 + 0.5 * np.cos(2 * np.pi * ((y - edge) * 21 + 0.9 * noise(rng, side, 5, 2)))
    front = 0.5 + 0.5 * np.cos(2 * np.pi * ((x + 0.6 * (y - near)) * 15 + 1.2 * noise(rng, side, 4, 2)))
    carved = np.where(radius < 0.3, rings * np.clip(1.25 - 1.2 * radius / 0.3, 0.25, 1), rays)
    black = carved < 0.2 + 0.75 * np.clip(radius - 0.16, 0, 0.7)
    sun = radius < 0.16
    black &= ~sun
    black |= np.abs(radius - 0.168) < 0.006
    middle, low = (y > edge) & (y <= near), y > near
    black = np.where(middle, hills < 0.24 + 0.9 * (y - edge), black)
    black = np.where(low, front < 0.5 + 0.8 * (y - near), black)
    black |= (np.abs(y - edge) < 0.006) | (np.abs(y - near) < 0.008)
    colour = np.zeros((side, side, 3), np.float32)
    light, red, ochre, green = shaken(rng, [(240, 226, 196), (196, 58, 40), (222, 164, 70), (96, 118, 82)], 5)
    colour[:] = light
    colour[sun] = red
    colour[(radius > 0.3) & ~middle & ~low] = ochre
    colour[middle], colour[low] = green, light
    mask = cv2.GaussianBlur(black.astype(np.float32), (0, 0), side / 350)
    mask = np.clip((mask - 0.5 + 0.2 * (noise(rng, side, 50, 2) - 0.5)) * 5 + 0.5, 0, 1)
    grain = warped(noise(rng, side, 60, 2), np.zeros_like(x), 0.02 * (noise(rng, side, 3, 1) - 0.5))
    long = cv2.blur(grain, (max(1, side // 14), 1))
    mask *= 1 - 0.35 * np.clip((long - 0.55) * 4, 0, 1)
    return finished(colour * (1 - mask[..., None]) + np.array((28, 24, 28)) * mask[..., None] + paper(rng, side, 4))


def ink_wash(side: int, rng: np.random.Generator) -> np.ndarray:
    """Mountains in mist, in washes of blue-black ink on rice paper, with a red seal."""
    x, y = grid(side)
    ink: np.ndarray = np.zeros((side, side), np.float32)
    for layer in range(7):
        level = 0.18 + 0.115 * layer + 0.02 * rng.normal()
        profile = noise(rng, side, 2.2 + 0.8 * layer, 6, 0.55)[side // 3]
        ridge = level + 0.2 * (0.62 - profile) * (1 - 0.06 * layer)
        below = (y - ridge[None]) / 0.26
        wash = np.clip(1 - below, 0, 1) ** 1.6 * (below > 0)
        wet = cv2.GaussianBlur(((below > 0) & (below < 0.03)).astype(np.float32), (0, 0), side / 500)
        bleed = 0.75 + 0.5 * noise(rng, side, 6 + 3 * layer, 5)
        ink = (
            np.maximum(
                ink * np.where(below > 0, 0.3 + 0.5 * np.clip(1 - below, 0, 1), 1), wash * bleed * (0.28 + 0.11 * layer)
            )
            + 0.16 * wet
        )
    ink = cv2.GaussianBlur(np.clip(ink, 0, 1), (0, 0), side / 700)
    ink *= 0.9 + 0.25 * noise(rng, side, 90, 2)
    picture = ramp(
        np.clip(ink, 0, 1),
        shaken(rng, [(244, 238, 222), (186, 194, 196), (96, 112, 126), (34, 42, 56), (14, 16, 24)], 4),
    )
    seal = (np.abs(x - 0.89) < 0.034) & (np.abs(y - 0.1) < 0.034)
    carved = (np.abs((x - 0.89) % 0.026 - 0.013) < 0.004) & (np.abs(y - 0.1) < 0.024)
    picture[seal & ~carved] = (186, 44, 38)
    return finished(picture + paper(rng, side, 6))


def circles(side: int, rng: np.random.Generator) -> np.ndarray:
    """Squares of watercolour, each with rings of colour around a centre."""
    count = 4
    step = side / count
    hues = np.array(
        shaken(
            rng,
            [
                (222, 64, 48),
                (242, 176, 52),
                (34, 84, 148),
                (246, 222, 168),
                (64, 142, 116),
                (112, 58, 124),
                (238, 130, 118),
                (28, 46, 82),
                (142, 190, 206),
            ],
            8,
        ),
        np.float32,
    )
    x, y = grid(side)
    dx, dy = 0.012 * (noise(rng, side, 8, 3) - 0.5), 0.012 * (noise(rng, side, 8, 3) - 0.5)
    picture: np.ndarray = np.zeros((side, side, 3), np.float32)
    pooled = np.zeros((side, side), np.float32)
    for row in range(count):
        for column in range(count):
            order = rng.permutation(len(hues))
            here = (
                slice(round(row * step), round((row + 1) * step)),
                slice(round(column * step), round((column + 1) * step)),
            )
            cx, cy = (column + 0.5) / count + rng.normal(0, 0.006), (row + 0.5) / count + rng.normal(0, 0.006)
            away = np.hypot((x + dx)[here] - cx, (y + dy)[here] - cy) * count * 2
            limits = np.cumsum(rng.uniform(0.14, 0.26, 5))
            limits *= 0.95 / limits[-1]
            band = np.searchsorted(limits, away)
            picture[here] = hues[order[band]]
            close = np.abs(away[..., None] - limits).min(-1)
            pooled[here] = np.exp(-((close / 0.035) ** 2))
    wash = 0.84 + 0.3 * noise(rng, side, 7, 5)
    picture = picture * wash[..., None] + (1 - wash[..., None]) * 200 * (wash[..., None] < 1)
    picture *= 1 - 0.22 * pooled[..., None]
    return finished(picture + paper(rng, side, 6))
