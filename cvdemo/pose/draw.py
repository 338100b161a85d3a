"""Skeletons, trails, OKS circles and heatmaps on a picture: colour-blind-safe, legible on any background.

Left is orange, right is blue and what lies in the middle is yellow: colours of Okabe and Ito (2008) that stay apart
under protanopia, deuteranopia and tritanopia. Everything has a dark rim, so that it stands out on light pictures too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.detection.draw import PALETTE, Colour, draw_boxes, make_style
from cvdemo.pose.heatmaps import as_probabilities
from cvdemo.pose.metrics import AREA_OF_BOX, oks_radius
from cvdemo.pose.poses import Poses
from cvdemo.pose.skeleton import COCO_EDGES, COCO_JOINTS, JOINT_INDEX, side_of

LEFT: Colour = (230, 159, 0)
RIGHT: Colour = (86, 180, 233)
MIDDLE: Colour = (240, 228, 66)
RIM: Colour = (20, 20, 20)
SIDE_COLOURS: dict[str, Colour] = {"left": LEFT, "right": RIGHT, "middle": MIDDLE}
JOINT_COLOURS: tuple[Colour, ...] = tuple(SIDE_COLOURS[side_of(joint)] for joint in range(len(COCO_JOINTS)))
OKS_LEVELS = (0.85, 0.5)
TRAIL_JOINTS = tuple(JOINT_INDEX[f"{side} {joint}"] for joint in ("wrist", "ankle") for side in ("left", "right"))

_SHIFT = 4  # fractional bits of OpenCV's coordinates
_FARTHEST = 100_000.0
_REFERENCE_SIDE = 1000
_TRAIL_POINTS = 40
_MOST_RIMS = 8  # of more people, circles have no dark rims: twenty have 680 circles, and rims take most of their time


def edge_colour(edge: tuple[int, int]) -> Colour:
    """The colour of a limb: its joints' side, and that of the middle where they are on different sides."""
    sides = {side_of(joint) for joint in edge} - {"middle"}
    return SIDE_COLOURS[sides.pop()] if len(sides) == 1 else MIDDLE


_EDGE_COLOURS = tuple(edge_colour(edge) for edge in COCO_EDGES)


def draw_poses(
    pixels: np.ndarray,
    poses: Poses,
    *,
    style: str = "lines",
    line_width: int = 3,
    show_boxes: bool = False,
    show_oks: bool = False,
    trails: Mapping[int, np.ndarray] | None = None,
    opacity: float = 1.0,
) -> np.ndarray:
    """The picture with everybody's visible joints and limbs; better scores lie on top.

    Args:
        pixels: (H, W, 3) uint8 RGB; never written to.
        style: "lines", "limbs" (tapering) or "dots".
        line_width: in pixels of a picture up to 1000 px on its longer side, scaled up with larger ones.
        show_boxes: the box of each person, with its score and its number in a video.
        show_oks: circles where a guess has an OKS of 0.85 and 0.5; the area is taken as 0.53 of the box.
        trails: by track number, (T, 17, 2) pixels, oldest first, NaN in gaps.   opacity: of everything, 0 to 1.
    Returns:
        a new (H, W, 3) uint8 array. ValueError for another style or wrong pixels.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}")
    if style not in ("lines", "limbs", "dots"):
        raise ValueError(f"{style!r} is not one of lines, limbs, dots")
    out = np.array(pixels, order="C")
    width = max(1, round(line_width * max(1.0, max(out.shape[:2]) / _REFERENCE_SIDE)))
    if show_boxes:
        out = draw_boxes(out, poses.boxes, [make_style(PALETTE[2])] * len(poses), _captions(poses), line_width=2)
    numbers = poses.tracks.tolist() if poses.tracks is not None else []
    for number in numbers if trails else []:
        if trails and number in trails:
            _trail(out, trails[number], width)
    for row in np.argsort(poses.scores, kind="stable").tolist():
        points = np.clip(np.nan_to_num(poses.keypoints[row, :, :2]), -_FARTHEST, _FARTHEST)
        visible = poses.visible[row].tolist()
        if show_oks:
            _oks_circles(out, points, visible, AREA_OF_BOX * _area(poses.boxes[row]), rim=len(poses) <= _MOST_RIMS)
        if style != "dots":
            _limbs(out, points, visible, style, _fitting(width, poses.boxes[row]))
        radius = _fitting(width, poses.boxes[row]) + (2 if style == "dots" else 0)
        _dots(out, [_fixed(point) for point in points.tolist()], visible, radius)
    if opacity < 1:
        out = cv2.addWeighted(out, max(opacity, 0.0), np.ascontiguousarray(pixels), 1 - max(opacity, 0.0), 0)
    return out


def draw_heatmap(
    pixels: np.ndarray,
    heatmap: np.ndarray,
    region: np.ndarray,
    *,
    argmax: np.ndarray | None = None,
    sub_pixel: np.ndarray | None = None,
    logits: bool = False,
    opacity: float = 0.75,
) -> np.ndarray:
    """The picture under one joint's heatmap, black (nothing) over violet and orange to yellow (its maximum).

    Args:
        pixels: (H, W, 3) uint8 RGB.   heatmap: (h, w).   region: x1 y1 x2 y2 in pixels that the map covers.
        argmax, sub_pixel: (2,) x, y in pixels: a square and a cross are drawn there.
        logits: see ``RawPoses.logits``.   opacity: of the highest cell, 0 to 1; others in proportion.
    Returns:
        a new (H, W, 3) uint8 array. Large cells are not blended into each other, so that they can be seen.
    """
    out = np.array(pixels, order="C")
    height, width = out.shape[:2]
    maps = as_probabilities(heatmap, logits)
    x1, y1, x2, y2 = (float(v) for v in np.clip(np.nan_to_num(region), -_FARTHEST, _FARTHEST))
    left, top = max(int(np.floor(x1)), 0), max(int(np.floor(y1)), 0)
    right, bottom = min(int(np.ceil(x2)), width), min(int(np.ceil(y2)), height)
    if maps.size and maps.max() > 0 and left < right and top < bottom and x2 > x1 and y2 > y1:
        rows, columns = maps.shape
        # from pixels of the part to cells; centres of both lie at whole numbers for OpenCV
        sx, sy = columns / (x2 - x1), rows / (y2 - y1)
        matrix = np.array([[sx, 0, (left + 0.5 - x1) * sx - 0.5], [0, sy, (top + 0.5 - y1) * sy - 0.5]])
        flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_NEAREST if min(1 / sx, 1 / sy) >= 6 else cv2.INTER_LINEAR)
        size = (right - left, bottom - top)
        heat = cv2.warpAffine(maps / maps.max(), matrix, size, flags=flags, borderMode=cv2.BORDER_CONSTANT)
        heat = np.clip(heat, 0.0, 1.0)
        colours = cv2.applyColorMap(np.round(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
        share = (np.sqrt(heat) * min(max(opacity, 0.0), 1.0))[..., None]
        part = out[top:bottom, left:right]
        part[:] = np.round(part * (1 - share) + colours * share).astype(np.uint8)
        cv2.rectangle(out, (left, top), (right - 1, bottom - 1), MIDDLE, 1)
    cell = min((x2 - x1) / max(heatmap.shape[-1], 1), (y2 - y1) / max(heatmap.shape[-2], 1))
    if argmax is not None and np.isfinite(argmax).all():
        half = max(cell / 2, 3.0)
        corners = [_fixed(argmax + np.array(corner) * half) for corner in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        _outlined(out, corners, LEFT, max(1, round(cell / 6)))
    if sub_pixel is not None and np.isfinite(sub_pixel).all():
        _cross(out, np.asarray(sub_pixel, np.float64), max(cell * 0.8, 6.0))
    return out


def _captions(poses: Poses) -> list[str]:
    numbers = range(1, len(poses) + 1) if poses.tracks is None else poses.tracks.tolist()
    names = [f"{number}: " if poses.tracks is None else f"#{number} " for number in numbers]
    return [f"{name}{score:.2f}" for name, score in zip(names, poses.box_scores.tolist())]


def _area(box: np.ndarray) -> float:
    return max(float((box[2] - box[0]) * (box[3] - box[1])), 0.0)


def _fitting(width: int, box: np.ndarray) -> int:
    """Thinner lines on small people, who would otherwise vanish under them."""
    return max(1, min(width, round(float(box[3] - box[1]) / 30) or 1))


def _fixed(point: Iterable[float]) -> tuple[int, int]:
    """A place as OpenCV takes it: pixel centres at whole numbers, in sixteenths."""
    # plain numbers: called a thousand times a picture, NumPy would take longer than the drawing
    x, y = ((float(value) - 0.5) * (1 << _SHIFT) for value in point)
    return round(min(max(x, -_FARTHEST * 16), _FARTHEST * 16)), round(min(max(y, -_FARTHEST * 16), _FARTHEST * 16))


def _limbs(out: np.ndarray, points: np.ndarray, visible: list[bool], style: str, width: int) -> None:
    shown = [(edge, colour) for edge, colour in zip(COCO_EDGES, _EDGE_COLOURS) if visible[edge[0]] and visible[edge[1]]]
    if style == "lines":
        places = [_fixed(point) for point in points.tolist()]
        for (start, end), _ in shown:
            cv2.line(out, places[start], places[end], RIM, width + 2, cv2.LINE_AA, _SHIFT)
        for (start, end), colour in shown:
            cv2.line(out, places[start], places[end], colour, width, cv2.LINE_AA, _SHIFT)
        return
    for (start, end), _ in shown:
        _taper(out, points[start], points[end], RIM, width + 2)
    for (start, end), colour in shown:
        _taper(out, points[start], points[end], colour, width)


def _taper(out: np.ndarray, a: np.ndarray, b: np.ndarray, colour: Colour, width: int) -> None:
    along = b - a
    length = float(np.hypot(*along))
    if length < 1e-6:
        return
    across = np.array([-along[1], along[0]]) / length * width
    # widest a third of the way, like a muscle, and narrow at both joints
    belly = a + along / 3
    outline = [a + 0.3 * across, belly + 1.5 * across, b + 0.3 * across, b - 0.3 * across, belly - 1.5 * across,
               a - 0.3 * across]  # fmt: skip
    cv2.fillConvexPoly(out, np.array([_fixed(p) for p in outline], np.int32), colour, cv2.LINE_AA, _SHIFT)


def _dots(out: np.ndarray, places: list[tuple[int, int]], visible: list[bool], radius: int) -> None:
    for joint, shown in enumerate(visible):
        if shown:
            centre = places[joint]
            cv2.circle(out, centre, (radius + 1) << _SHIFT, RIM, -1, cv2.LINE_AA, _SHIFT)
            cv2.circle(out, centre, radius << _SHIFT, JOINT_COLOURS[joint], -1, cv2.LINE_AA, _SHIFT)


def _oks_circles(out: np.ndarray, points: np.ndarray, visible: list[bool], area: float, *, rim: bool) -> None:
    for joint, shown in enumerate(visible):
        for level in OKS_LEVELS if shown else ():
            radius = round(min(oks_radius(joint, area, level), 20_000.0))
            centre = tuple(np.round(points[joint] - 0.5).astype(int).tolist())
            # whole pixels and no smoothing: five people have 170 circles, and smooth ones take half a frame's time
            if rim:
                cv2.circle(out, centre, radius, RIM, 3)
            cv2.circle(out, centre, radius, JOINT_COLOURS[joint], 1)


def _trail(out: np.ndarray, points: np.ndarray, width: int, joints: Iterable[int] = TRAIL_JOINTS) -> None:
    """The way of wrists and ankles, thinner the longer ago."""
    points = points[-_TRAIL_POINTS:]
    thirds = np.array_split(np.arange(len(points)), 3)
    for joint in joints:
        way = points[:, joint]
        known = np.isfinite(way).all(axis=1)
        for third, part in enumerate(thirds):
            # each part goes on to the first point of the next one
            rows = np.arange(part[0], min(part[-1] + 2, len(points))) if len(part) else part
            pieces = np.split(rows, np.flatnonzero(~known[rows]))
            runs = [piece[known[piece]] for piece in pieces]
            lines = [np.array([_fixed(way[row]) for row in run], np.int32) for run in runs if len(run) > 1]
            thickness = max(1, round(width * (third + 1) / 3))
            cv2.polylines(out, lines, False, RIM, thickness + 2, cv2.LINE_8, _SHIFT)
            cv2.polylines(out, lines, False, JOINT_COLOURS[joint], thickness, cv2.LINE_AA, _SHIFT)


def _outlined(out: np.ndarray, corners: list[tuple[int, int]], colour: Colour, width: int) -> None:
    polygon = [np.array(corners, np.int32)]
    cv2.polylines(out, polygon, True, RIM, width + 2, cv2.LINE_AA, _SHIFT)
    cv2.polylines(out, polygon, True, colour, width, cv2.LINE_AA, _SHIFT)


def _cross(out: np.ndarray, place: np.ndarray, reach: float) -> None:
    for colour, width in ((RIM, 4), (RIGHT, 2)):
        for way in (np.array([reach, 0.0]), np.array([0.0, reach])):
            cv2.line(out, _fixed(place - way), _fixed(place + way), colour, width, cv2.LINE_AA, _SHIFT)
