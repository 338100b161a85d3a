"""Style pictures with a brush, stone and glass: mosaic, brush strokes, stained glass, pointillism, marbled paper."""

from __future__ import annotations

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.style.textures import (
    averages,
    borders,
    cells,
    finished,
    grid,
    nearest,
    noise,
    paper,
    ramp,
    relief,
    shaken,
    strokes,
    warped,
)


def mosaic(side: int, rng: np.random.Generator) -> np.ndarray:
    """Tesserae laid in rings around a sun, over sea and sky, with pale grout."""
    x, y = grid(side)
    cx, cy = rng.uniform(0.35, 0.65), rng.uniform(0.3, 0.45)
    radius = np.hypot(x - cx, y - cy)
    sky = ramp(
        np.clip(radius / 0.75, 0, 1),
        shaken(rng, [(253, 224, 120), (244, 162, 60), (214, 84, 56), (122, 46, 84), (38, 40, 92)], 8),
    )
    waves = 0.5 + 0.5 * np.sin(2 * np.pi * (y * 9 + 0.6 * np.sin(2 * np.pi * (x * 1.6 + y))))
    sea = ramp(waves, shaken(rng, [(10, 48, 92), (16, 104, 132), (64, 170, 168), (196, 226, 200)], 8))
    picture = np.where((y > 0.68 + 0.03 * np.sin(9 * x))[..., None], sea, sky)
    picture[radius < 0.11] = (255, 240, 178)
    points: list[np.ndarray] = []
    pitch = 1 / 46
    for ring in range(1, 90):
        count = max(5, round(2 * np.pi * ring))
        turns = (np.arange(count) + rng.random() + rng.uniform(-0.12, 0.12, count)) / count * 2 * np.pi
        points.append(np.stack([np.cos(turns), np.sin(turns)], 1) * (ring + rng.uniform(-0.1, 0.1, (count, 1))))
    places = (np.concatenate(points) * pitch + (cx, cy)) * side
    places = places[((places > -0.05 * side) & (places < 1.05 * side)).all(1)]
    labels = nearest(side, places)
    tiles = averages(picture, labels)
    tiles += rng.normal(0, 11, (len(tiles), 1)) + rng.normal(0, 7, (len(tiles), 3))
    laid = tiles[labels]
    grout = borders(labels, side / 210)[..., None]
    bevel = cv2.GaussianBlur(1 - grout[..., 0], (0, 0), side / 300)
    laid = laid * relief(bevel, 0.9)[..., None]
    return finished(laid * (1 - grout) + np.array((214, 204, 184)) * grout * 0.86 + paper(rng, side, 3))


def brush_strokes(side: int, rng: np.random.Generator) -> np.ndarray:
    """A night of turning skies over dark trees, in thick short strokes that follow the wind."""
    x, y = grid(side)
    angles = 0.5 * np.sin(2 * np.pi * (y * 1.1 + rng.random())) + 0.35 * (noise(rng, side, 3, 2) - 0.5) * 6
    glow = np.zeros_like(x)
    for _ in range(7):
        cx, cy, size = rng.uniform(0.05, 0.95), rng.uniform(0.05, 0.55), rng.uniform(0.05, 0.13)
        away = np.hypot(x - cx, y - cy)
        turn = np.arctan2(y - cy, x - cx) + np.pi / 2
        near = np.exp(-((away / (1.6 * size)) ** 2))
        angles = (1 - near) * angles + near * turn
        glow = np.maximum(
            glow, np.exp(-((away / size) ** 2) * 2.2) + 0.35 * np.exp(-(((away - size) / (0.3 * size)) ** 2))
        )
    bands = 0.5 + 0.5 * np.sin(2 * np.pi * (2.2 * y + 0.5 * noise(rng, side, 2.5, 3) + 0.3 * x))
    night = ramp(bands, shaken(rng, [(12, 24, 78), (24, 62, 140), (52, 112, 178), (128, 176, 204)], 8))
    lamp = ramp(np.clip(glow, 0, 1), [(60, 110, 170), (214, 196, 92), (255, 226, 96), (255, 250, 206)])
    mix = np.clip(glow * 1.5, 0, 1)[..., None]
    picture = night * (1 - mix) + lamp * mix
    hills = 0.72 + 0.1 * np.sin(3.1 * x + 6 * rng.random()) + 0.07 * (noise(rng, side, 3, 3) - 0.5)
    ground = ramp(noise(rng, side, 7, 3), shaken(rng, [(10, 30, 42), (22, 62, 58), (52, 98, 66), (168, 150, 58)], 6))
    below = y > hills
    picture[below] = ground[below]
    angles[below] = 0.25 * np.sin(9 * x[below]) - 0.25
    canvas = np.ascontiguousarray(picture * 0.7)
    unit, share = side / 512, min(1.0, side / 256)  # small pictures have no room for every stroke
    for count, length, width in ((2600, 46, 9), (4200, 32, 6), (5200, 22, 4)):
        strokes(
            canvas,
            rng,
            picture,
            angles,
            count=round(count * share),
            length=length * unit,
            width=max(1, round(width * unit)),
        )
    return finished(canvas + paper(rng, side, 3))


def stained_glass(side: int, rng: np.random.Generator) -> np.ndarray:
    """A rose window: rings of petals in deep colours, each pane lit from behind, between dark leads."""
    x, y = grid(side)
    dx, dy = x - 0.5, y - 0.5
    radius, turn = np.hypot(dx, dy) * 2, np.arctan2(dy, dx) / (2 * np.pi) % 1.0
    labels = np.zeros((side, side), np.int32)
    kind = np.zeros((side, side), np.int32)
    number, inner = 1, 0.14
    for ring, (outer, count) in enumerate(((0.34, 8), (0.58, 16), (0.8, 16), (0.97, 32)), 1):
        place = (turn * count + 0.5 * (ring % 2)) % count
        bulge = 0.05 * np.cos(2 * np.pi * (place % 1.0 - 0.5))
        inside = (radius >= inner) & (radius < outer + bulge) & (labels == 0)
        split = (radius > (inner + outer) / 2 + 1.5 * bulge).astype(np.int32) if ring > 1 else 0
        labels[inside] = (number + 2 * place.astype(np.int32) + split)[inside]
        kind[inside] = (ring + 2 * (place.astype(np.int32) % 2) + 3 * split)[inside]
        number += 2 * count
        inner = outer - 0.04
    outside = (labels == 0) & (radius > 0.5)
    scraps, _ = cells(rng, side, 9)
    labels[outside] = (number + scraps)[outside]
    kind[outside] = (2 * scraps + 5)[outside] % 11
    labels[(labels == 0)] = number + scraps.max() + 1
    palette = np.array(
        shaken(
            rng,
            [
                (178, 20, 36),
                (20, 62, 168),
                (232, 172, 34),
                (24, 122, 82),
                (108, 36, 132),
                (224, 92, 28),
                (44, 148, 196),
                (214, 44, 92),
            ],
            8,
        ),
        np.float32,
    )
    panes = palette[kind % len(palette)]
    own = rng.normal(0, 0.13, int(labels.max()) + 1)
    light = 0.72 + 0.5 * np.exp(-((radius / 0.9) ** 2)) + own[labels] + 0.3 * (noise(rng, side, 5, 4) - 0.5)
    streaks = 0.16 * (warped(noise(rng, side, 18, 3), 0.05 * noise(rng, side, 3, 2), np.zeros_like(x)) - 0.5)
    lead = borders(labels, side / 78)
    hollow = cv2.GaussianBlur(lead, (0, 0), side / 90)
    lit = panes * (light + streaks)[..., None] * (1.08 - 0.75 * hollow)[..., None]
    lit += 40 * np.clip(light - 0.95, 0, 1)[..., None]
    metal = np.array((26, 24, 26)) * relief(cv2.GaussianBlur(lead, (0, 0), side / 250), 2.5)[..., None]
    return finished(lit * (1 - lead[..., None]) + metal * lead[..., None])


def pointillism(side: int, rng: np.random.Generator) -> np.ndarray:
    """A shore at evening in dots of pure colour, warm beside cool, on primed canvas."""
    x, y = grid(side)
    horizon = 0.56
    sky = ramp(
        np.clip(y / horizon + 0.1 * (noise(rng, side, 3, 3) - 0.5), 0, 1),
        shaken(rng, [(92, 130, 196), (160, 176, 212), (244, 200, 170), (252, 222, 140)], 6),
    )
    ripple = cv2.resize(noise(rng, side, 34, 2)[:, : max(2, side // 7)], (side, side), interpolation=cv2.INTER_CUBIC)
    tone = np.clip(0.75 * ripple + 0.9 * (y - horizon) - 0.1, 0, 1)
    sea = ramp(tone, shaken(rng, [(250, 206, 150), (150, 186, 196), (56, 120, 166), (30, 70, 128)], 6))
    picture = np.where((y > horizon)[..., None], sea, sky)
    sun = np.hypot(x - 0.66, y - horizon + 0.1)
    picture[sun < 0.07] = (255, 246, 200)
    path = (y > horizon) & (np.abs(x - 0.66) < 0.05 + 0.12 * (y - horizon))
    picture[path] = 0.45 * picture[path] + 0.55 * np.array((255, 226, 150))
    shore = y > 0.8 + 0.12 * np.sin(2.4 * x + 0.6) * (1 - x)
    picture[shore] = ramp(noise(rng, side, 6, 3), shaken(rng, [(86, 122, 54), (150, 160, 66), (206, 186, 96)], 6))[
        shore
    ]
    trunk = np.hypot((x - 0.2) / 0.19, (y - 0.36) / 0.24) + 0.35 * (noise(rng, side, 5, 3) - 0.5) < 1
    picture[trunk] = ramp(noise(rng, side, 8, 3), shaken(rng, [(22, 62, 62), (48, 104, 62), (134, 150, 62)], 6))[trunk]
    picture[(np.abs(x - 0.2 - 0.02 * np.sin(9 * y)) < 0.016) & (y > 0.5) & (y < 0.9)] = (72, 44, 62)
    canvas = np.full((side, side, 3), (238, 230, 212), np.float32)
    unit, share = side / 512, min(1.0, side / 256)
    for size, count in ((5.0, 5200), (4.0, 5200), (3.0, 4200)):
        places = rng.random((round(count * share), 2)) * side
        for px, py in places:
            colour = picture[min(side - 1, int(py)), min(side - 1, int(px))]
            pure = colour.mean() + (colour - colour.mean()) * 1.3 + rng.normal(0, 10) + rng.normal(0, 17, 3)
            if rng.random() < 0.1:  # towards the complement, as Seurat sets it
                pure = 0.45 * pure + 0.55 * (1.15 * pure.mean() + 0.7 * (pure.mean() - pure))
            centre = (round(float(px) * 8), round(float(py) * 8))
            cv2.circle(
                canvas,
                centre,
                round(size * unit * 8 * rng.uniform(0.75, 1.2)),
                np.clip(pure, 0, 255).tolist(),
                -1,
                cv2.LINE_AA,
                3,
            )
    return finished(canvas + paper(rng, side, 3))


def marbled_paper(side: int, rng: np.random.Generator) -> np.ndarray:
    """Ink on water: rings of colour dropped one into another, then drawn with a comb into waves."""
    x, y = grid(side)
    px, py = x.copy(), y.copy()
    for shift, pitch, width in ((0.14, 0.25, 0.1), (0.055, 0.0833, 0.035)):
        # A tine drags what is near it along; alternate tines go in opposite directions.
        across, phase = (px, py) if pitch > 0.1 else (py, px)
        move = np.zeros_like(across)
        for line in np.arange(-1, 1 / pitch + 2):
            sign = 1 if line % 2 else -1
            move += sign * shift * np.exp(-np.abs(across - line * pitch - rng.normal(0, 0.006)) / width)
        if across is px:
            py = phase + move
        else:
            px = phase + move
    px += 0.05 * (noise(rng, side, 3, 3) - 0.5)
    py += 0.05 * (noise(rng, side, 3, 3) - 0.5)
    palette = np.array(
        shaken(
            rng,
            [
                (24, 38, 78),
                (176, 42, 46),
                (238, 220, 186),
                (38, 104, 120),
                (222, 158, 62),
                (242, 234, 214),
                (92, 34, 52),
            ],
            8,
        ),
        np.float32,
    )
    index = np.zeros((side, side), np.int32)
    depth = np.zeros((side, side), np.float32)
    # Drops that fall later push aside what lies there: seen backwards, each shrinks the plane towards itself.
    qx, qy = px.copy(), py.copy()
    decided = np.zeros((side, side), bool)
    for drop in range(700):
        cx, cy, r = rng.uniform(-0.4, 1.4), rng.uniform(-0.4, 1.4), rng.uniform(0.022, 0.075)
        away = np.maximum((qx - cx) ** 2 + (qy - cy) ** 2, 1e-9)
        inside = (away < r * r) & ~decided
        ring = np.sqrt(away) / r
        # A drop of clear water in each drop of ink leaves a ring of it.
        index[inside] = ((drop + 3 * (ring < 0.62) + 2 * (ring < 0.3)) % len(palette))[inside]
        depth[inside] = ring[inside]
        decided |= inside
        factor = np.sqrt(np.maximum(1 - r * r / away, 0))
        qx, qy = cx + (qx - cx) * factor, cy + (qy - cy) * factor
    index[~decided] = 2
    picture = palette[index] * (1 + 0.1 * (depth - 0.5))[..., None]
    picture = cv2.GaussianBlur(picture, (0, 0), max(0.5, side / 900))
    return finished(picture + paper(rng, side, 4))
