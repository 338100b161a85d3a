"""Frames between frames, and a calmer camera: what the flow of a clip can be used for.

Slow motion follows the scheme of Jiang et al., "Super SloMo" (CVPR 2018), without its networks: the flow from a time
between two frames to each of them is put together from the flows between the two, both frames are warped to that time,
and where a pixel is hidden in one of them the other one is used.
"""

from __future__ import annotations

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.flow.colour import known_mask
from cvdemo.flow.warp import backward_warp

_GRID = 12  # pixels between the samples that the camera's motion is estimated from
_NEAR = 1.5  # pixels by which a sample of the background may differ from the camera's motion


def frame_between(
    first: np.ndarray,
    second: np.ndarray,
    forward: np.ndarray,
    backward: np.ndarray,
    share: float,
    hidden_first: np.ndarray | None = None,
    hidden_second: np.ndarray | None = None,
) -> np.ndarray:
    """The picture at a time between two frames.

    Args:
        first, second: (H, W, 3) uint8. forward, backward: (H, W, 2), first to second and back, pixels.
        share: of the way, 0 is the first frame and 1 the second.
        hidden_first, hidden_second: (H, W) bool, pixels without a partner in the other frame.
    Returns: (H, W, 3) uint8.
    """
    if share <= 0:
        return first.copy()
    if share >= 1:
        return second.copy()
    there, back = (np.asarray(np.nan_to_num(flow), np.float32) for flow in (forward, backward))
    to_first = -(1 - share) * share * there + share**2 * back
    to_second = (1 - share) ** 2 * there - share * (1 - share) * back
    # what only one frame shows has no partner in the other: there, that one frame is right
    lost_first, lost_second = _warped_mask(hidden_first, to_first), _warped_mask(hidden_second, to_second)
    from_first = np.full(there.shape[:2], 1 - share, np.float32)
    from_first[lost_first & ~lost_second] = 1
    from_first[lost_second & ~lost_first] = 0
    one = backward_warp(first, to_first, border=None).astype(np.float32)
    two = backward_warp(second, to_second, border=None).astype(np.float32)
    mixed = two + (one - two) * from_first[..., None]
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _warped_mask(mask: np.ndarray | None, flow: np.ndarray) -> np.ndarray:
    if mask is None:
        return np.zeros(flow.shape[:2], bool)
    return np.asarray(backward_warp(mask.astype(np.float32), flow, border=None) >= 0.5)


def camera_motion(flow: np.ndarray) -> np.ndarray:
    """The motion of the camera: (3, 3) similarity that most of the field follows (RANSAC), from first to second frame.

    The identity where no motion is shared by many pixels.
    """
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[_GRID // 2 : height : _GRID, _GRID // 2 : width : _GRID]
    starts = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32)
    moved = flow[rows.ravel(), columns.ravel()]
    known = known_mask(moved)
    matrix = np.eye(3)
    if known.sum() < 6:
        return matrix
    found, inside = cv2.estimateAffinePartial2D(
        starts[known], (starts + moved)[known].astype(np.float32), method=cv2.RANSAC, ransacReprojThreshold=_NEAR
    )
    if found is not None and inside.mean() >= 0.25:
        matrix[:2] = found
    return matrix


def motion_parameters(matrix: np.ndarray) -> np.ndarray:
    """(4,) of a similarity (3, 3): x, y in pixels, angle in radians, logarithm of the scale."""
    a, b = matrix[0, 0], matrix[1, 0]
    return np.array([matrix[0, 2], matrix[1, 2], np.arctan2(b, a), np.log(np.hypot(a, b))])


def similarity(parameters: np.ndarray) -> np.ndarray:
    """The inverse of ``motion_parameters``."""
    x, y, angle, scale = parameters
    a, b = np.exp(scale) * np.cos(angle), np.exp(scale) * np.sin(angle)
    return np.array([[a, -b, x], [b, a, y], [0, 0, 1.0]])


def smoothed(path: np.ndarray, radius: int) -> np.ndarray:
    """A path (N, D) averaged with Gaussian weights over ``radius`` frames before and after; its ends are mirrored."""
    if radius < 1 or len(path) < 2:
        return path.copy()
    steps = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (steps / (radius / 2)) ** 2)
    weights /= weights.sum()
    # odd reflection keeps the ends where they are: the mean of what is mirrored about a point is the point
    before = 2 * path[0] - path[1 : radius + 1][::-1]
    after = 2 * path[-1] - path[-radius - 1 : -1][::-1]
    missing = radius - len(before)
    if missing > 0:  # the clip is shorter than the window
        before = np.concatenate([np.repeat(before[:1], missing, axis=0), before])
        after = np.concatenate([after, np.repeat(after[-1:], missing, axis=0)])
    padded = np.concatenate([before, path, after])
    return np.stack([(padded[at : at + 2 * radius + 1] * weights[:, None]).sum(axis=0) for at in range(len(path))])


def corrections(motions: list[np.ndarray], radius: int, size: tuple[int, int]) -> tuple[list[np.ndarray], float]:
    """What to do to each frame of a clip so that the camera moves calmly.

    Args:
        motions: (3, 3) camera motion from each frame to the next one, N - 1 of them.
        radius: frames over which the camera's path is averaged; 0 leaves it. size: (height, width).
    Returns: N matrices from a frame's pixels to those of the stabilised one, and the zoom about the middle, at least 1
    and at most 1.3, that hides the borders which come into view.
    """
    height, width = size
    centre = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1.0]])
    place, path = np.eye(3), [np.zeros(4)]
    for motion in motions:
        place = centre @ motion @ np.linalg.inv(centre) @ place
        path.append(motion_parameters(place))
    taken = np.stack(path)
    taken[:, 2] = np.unwrap(taken[:, 2])
    wanted = smoothed(taken, radius)
    made = [
        np.linalg.inv(centre) @ similarity(there) @ np.linalg.inv(similarity(here)) @ centre
        for here, there in zip(taken, wanted)
    ]
    zoom = _zoom(made, size)
    larger = np.diag([zoom, zoom, 1.0])
    return [np.linalg.inv(centre) @ larger @ centre @ matrix for matrix in made], zoom


def _zoom(matrices: list[np.ndarray], size: tuple[int, int]) -> float:
    """How much larger the frames must be drawn so that the picture's corners stay inside of all of them."""
    height, width = size
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float64).T
    middle = np.array([[width / 2], [height / 2]])
    for zoom in np.arange(1.0, 1.3, 0.02):
        inner = corners.copy()
        inner[:2] = middle + (corners[:2] - middle) / zoom
        sources = [(np.linalg.inv(matrix) @ inner)[:2] for matrix in matrices]
        if all(
            (source[0] >= -1).all() and (source[0] <= width + 1).all()
            and (source[1] >= -1).all() and (source[1] <= height + 1).all()
            for source in sources
        ):  # fmt: skip
            return float(zoom)
    return 1.3


def stabilised(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A frame (H, W, 3) drawn by its correction."""
    height, width = pixels.shape[:2]
    return np.asarray(
        cv2.warpAffine(pixels, matrix[:2], (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )
