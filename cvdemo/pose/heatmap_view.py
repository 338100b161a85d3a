"""What the Heatmap view shows of one person: a joint's map, two stages, two kinds of model, and a covered picture.

Everything is drawn on the part of the picture the network was shown, enlarged so that the cells of a map can be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.core.settings import Settings, setting
from cvdemo.pose.draw import RIM, draw_heatmap, draw_poses
from cvdemo.pose.heatmaps import DECODE_KINDS, as_probabilities, find_peaks, to_picture
from cvdemo.pose.metrics import AREA_OF_BOX
from cvdemo.pose.occlude import FILLS
from cvdemo.pose.poses import Poses
from cvdemo.pose.raw import RawPoses
from cvdemo.pose.skeleton import COCO_JOINTS, JOINT_INDEX, OKS_SIGMAS
from cvdemo.pose.skeleton_view import table_html

JOINT, STAGES, KINDS, COVER = "joint", "stages", "kinds", "cover"
LOOKS: dict[str, str] = {
    JOINT: "One joint's heatmap",
    STAGES: "Stage 1 and stage 2",
    KINDS: "Regression and heatmap",
    COVER: "Cover a part",
}
HEATMAP_MODEL, REGRESSION_MODEL, HOURGLASS_MODEL = "compact-pose", "compact-pose-regression", "compact-pose-hourglass"
TWO_STAGES: dict[str, str] = {
    HOURGLASS_MODEL: "Two stacked hourglasses",
    REGRESSION_MODEL: "Regression in a cascade",
}
LONG_SIDE = 900
_GAP = 16
_SAID = 3
_WORTH_SAYING = 0.05  # of the person's height: a joint that moved less has stayed where it was

HELP = {
    JOINT: "Point at a joint in the picture, or choose it in the menu. The square is the highest cell (argmax), the "
    "cross the summit of a Gaussian through it (sub-pixel).",
    STAGES: "A stacked hourglass predicts all heatmaps, hands them to a second network of the same shape and predicts "
    "them again; a cascade looks again at a small window around each joint. Both are on the same person.",
    KINDS: "DeepPose-style regression answers with coordinates at once; the heatmap network with a map per joint. The "
    "same person, the same data, the same size of network.",
    COVER: "Drag a rectangle on the picture, or click two opposite corners, or move the sliders. The network runs on "
    "the covered picture each time; lines lead from where a joint was to where it is now.",
}


@dataclass(frozen=True)
class HeatmapControls(Settings):
    """What the view looks at; only the rectangle, its filling and another model need the network."""

    look: str = setting(JOINT, label="What to look at", choices=tuple(LOOKS), help="Four experiments.")
    joint: str = setting(
        "nose", label="Joint", choices=COCO_JOINTS, help="Looking at one joint, you can also point at it."
    )
    heat: float = setting(
        0.75, label="Heatmap over picture", minimum=0.0, maximum=1.0, step=0.05, help="Opacity of its highest cell."
    )
    whole: bool = setting(False, label="Whole picture", help="Instead of the part the network was shown.")
    two_stage: str = setting(
        HOURGLASS_MODEL,
        label="Model of two stages",
        choices=tuple(TWO_STAGES),
        help="Runs the network, once per person.",
    )
    left: float = setting(30.0, label="Left", minimum=0.0, maximum=100.0, step=1.0, help="% of width")
    right: float = setting(70.0, label="Right", minimum=0.0, maximum=100.0, step=1.0, help="% of width")
    top: float = setting(40.0, label="Top", minimum=0.0, maximum=100.0, step=1.0, help="% of height")
    bottom: float = setting(60.0, label="Bottom", minimum=0.0, maximum=100.0, step=1.0, help="% of height")
    fill: str = setting("mean", label="Painted with", choices=FILLS, help="The mean colour gives least to hold on to.")

    @property
    def joint_index(self) -> int:
        """The joint's place in COCO's order."""
        return JOINT_INDEX[self.joint]


@dataclass(frozen=True, eq=False)
class Frame:
    """A part of a picture at display size: pixels (h, w, 3), and how places in the picture get there."""

    pixels: np.ndarray
    origin: np.ndarray
    scale: float

    def place(self, points: np.ndarray) -> np.ndarray:
        """(…, 2) pixels of the picture -> pixels of the frame."""
        return np.asarray((np.asarray(points, np.float64) - self.origin) * self.scale)

    def region(self, region: np.ndarray) -> np.ndarray:
        """(4,) x1 y1 x2 y2, moved likewise."""
        return self.place(np.asarray(region, np.float64).reshape(2, 2)).reshape(4)

    def poses(self, poses: Poses) -> Poses:
        """The same poses in pixels of the frame."""
        points = poses.keypoints.copy()
        points[..., :2] = self.place(points[..., :2])
        boxes = self.place(poses.boxes.reshape(-1, 2, 2)).reshape(-1, 4).astype(np.float32)
        height, width = self.pixels.shape[:2]
        return Poses(points, poses.visible, boxes, poses.box_scores, poses.rows, height, width, poses.model)

    def shares(self, points: np.ndarray) -> np.ndarray:
        """(…, 2) pixels of the picture -> shares of the frame's sides."""
        height, width = self.pixels.shape[:2]
        return np.asarray(self.place(points) / (width, height))

    def rectangle(self, controls: HeatmapControls) -> tuple[float, float, float, float]:
        """The controls' rectangle, per cent of the frame, in pixels of the picture."""
        height, width = self.pixels.shape[:2]
        corners = np.array([[controls.left, controls.top], [controls.right, controls.bottom]]) / 100 * (width, height)
        x1, y1, x2, y2 = (corners / self.scale + self.origin).reshape(4).tolist()
        return x1, y1, x2, y2


def frame_of(pixels: np.ndarray, region: np.ndarray | None, long_side: int = LONG_SIDE) -> Frame:
    """The part of a picture (H, W, 3) inside a region x1 y1 x2 y2, all of it for None, ``long_side`` pixels long.

    A region outside of the picture gives all of it.
    """
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = 0, 0, width, height
    if region is not None:
        low, high = np.floor(region[:2]).astype(int), np.ceil(region[2:]).astype(int)
        left, top = np.clip(low, 0, (width, height)).tolist()
        right, bottom = np.clip(high, 0, (width, height)).tolist()
        if right > left and bottom > top:
            x1, y1, x2, y2 = left, top, right, bottom
    part = pixels[y1:y2, x1:x2]
    scale = long_side / max(part.shape[:2])
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return Frame(cv2.resize(np.ascontiguousarray(part), size, interpolation=way), np.array([x1, y1], float), scale)


def side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two pictures (h, w, 3) of one height beside each other, with a grey gap."""
    gap = np.full((left.shape[0], _GAP, 3), 128, np.uint8)
    return np.concatenate([left, gap, right], axis=1)


def drawn_joint(frame: Frame, raw: RawPoses, row: int, controls: HeatmapControls) -> np.ndarray:
    """The frame under one joint's heatmap with its argmax and sub-pixel places."""
    assert raw.heatmaps is not None
    joint = controls.joint_index
    maps = raw.heatmaps[row, joint]
    places = {
        kind: to_picture(
            find_peaks(maps[None, None], kind, logits=raw.logits).cells, raw.regions[row : row + 1], maps.shape
        )[0, 0]
        for kind in ("argmax", "sub-pixel")
    }
    return draw_heatmap(
        frame.pixels, maps, frame.region(raw.regions[row]), argmax=frame.place(places["argmax"]),
        sub_pixel=frame.place(places["sub-pixel"]), logits=raw.logits, opacity=controls.heat,
    )  # fmt: skip


def joint_sentence(raw: RawPoses, row: int, joint: int) -> str:
    """Height of the joint's peak, and how far argmax and sub-pixel decoding differ."""
    assert raw.heatmaps is not None
    maps = raw.heatmaps[row : row + 1, joint : joint + 1]
    plain, fine = (find_peaks(maps, kind, logits=raw.logits) for kind in ("argmax", "sub-pixel"))
    cells = float(np.linalg.norm(plain.cells - fine.cells))
    pixels = cells * _cell(raw, row)
    name = COCO_JOINTS[joint].capitalize()
    if fine.scores[0, 0] <= 0:
        return f"{name}: the map is empty, so there is no joint to read."
    return f"{name}: peak {fine.scores[0, 0]:.2f}; sub-pixel moves it by {cells:.2f} cells, {pixels:.1f} px"


def joint_table(raw: RawPoses, row: int, joint: int) -> str:
    """Where each kind of decoding puts the joint, what it is worth in OKS, and where the rest of the heat is."""
    assert raw.heatmaps is not None
    maps = raw.heatmaps[row : row + 1, joint : joint + 1]
    regions = raw.regions[row : row + 1]
    found = {kind: find_peaks(maps, kind, logits=raw.logits) for kind in DECODE_KINDS}
    places = {kind: to_picture(peaks.cells, regions, maps.shape[2:])[0, 0] for kind, peaks in found.items()}
    area = AREA_OF_BOX * float(np.prod(raw.boxes[row, 2:] - raw.boxes[row, :2]))
    reference = places["sub-pixel"]
    rows = []
    for kind in DECODE_KINDS:
        column, line = found[kind].cells[0, 0]
        away = float(np.linalg.norm(places[kind] - reference))
        alike = float(np.exp(-(away**2) / (2 * max(area, 1e-9) * (2 * OKS_SIGMAS[joint]) ** 2)))
        x, y = places[kind]
        rows.append((kind, f"{column:.2f}", f"{line:.2f}", f"{x:.2f}", f"{y:.2f}", f"{away:.2f} px", f"{alike:.3f}"))
    height, width = maps.shape[2:]
    values = as_probabilities(maps[0, 0], raw.logits)
    second = second_peak(values, found["argmax"].highest[0, 0])
    text = table_html(
        ("Decoding", "Column", "Row", "x, px", "y, px", "From sub-pixel", "OKS with sub-pixel"), rows,
        f"A map of {width} x {height} cells; a cell is {_cell(raw, row):.1f} px of the picture wide.",
    )  # fmt: skip
    top = float(values.max(initial=0.0))
    share = f"{second / top:.0%} of the highest" if top > 0 else "no heat at all"
    return text + (
        f'<p class="hint">The second summit, five cells away or more, has {share}. A high one means that the network '
        "hesitates, often between left and right.</p>"
    )


def second_peak(values: np.ndarray, highest: np.ndarray, apart: int = 5) -> float:
    """The largest local maximum of (h, w) values at least ``apart`` cells from the highest cell (column, row)."""
    local = values >= cv2.dilate(np.ascontiguousarray(values, np.float32), np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero(local)
    far = np.maximum(abs(rows - highest[1]), abs(columns - highest[0])) >= apart
    return float(values[rows[far], columns[far]].max(initial=0.0))


def _cell(raw: RawPoses, row: int) -> float:
    assert raw.heatmaps is not None
    return float(raw.regions[row, 2] - raw.regions[row, 0]) / raw.heatmaps.shape[3]


def drawn_pose(frame: Frame, poses: Poses) -> np.ndarray:
    """The frame with a skeleton."""
    return draw_poses(frame.pixels, frame.poses(poses), line_width=4)


def comparison(
    first: Poses, second: Poses, names: tuple[str, str], threshold: float
) -> tuple[str, str]:  # fmt: skip
    """A sentence and a table of how far two readings of one person (row 0 of each) lie apart, joint by joint."""
    if not len(first) or not len(second):
        return "There is nobody to compare.", ""
    a, b = first.keypoints[0], second.keypoints[0]
    apart = np.linalg.norm(a[:, :2] - b[:, :2], axis=1)
    height = max(float(first.boxes[0, 3] - first.boxes[0, 1]), 1.0)
    sure = (a[:, 2] > threshold) | (b[:, 2] > threshold)
    rows = [
        (COCO_JOINTS[joint], f"{a[joint, 2]:.2f}", f"{b[joint, 2]:.2f}", f"{apart[joint]:.1f} px",
         f"{apart[joint] / height:.1%}", "" if sure[joint] else "neither is sure of it")
        for joint in np.lexsort([-apart, ~sure]).tolist()
    ]  # fmt: skip
    header = ("Joint", f"Score, {names[0]}", f"Score, {names[1]}", "Apart", "Of the person's height", "")
    if not sure.any():
        return "Neither reading is sure of any joint.", table_html(header, rows)
    mean = float(apart[sure].mean())
    most = int(np.argmax(np.where(sure, apart, -1)))
    sentence = (
        f"{names[0].capitalize()} and {names[1]} lie {mean:.1f} px apart on average over {int(sure.sum())} joints, "
        f"most at the {COCO_JOINTS[most]} ({apart[most]:.0f} px)"
    )
    return sentence, table_html(header, rows)


def draw_moves(frame: Frame, before: Poses, after: Poses, rectangle: Sequence[float]) -> np.ndarray:
    """The frame of a covered picture: the skeleton now, lines from where joints were, and the rectangle's outline."""
    out = drawn_pose(frame, after)
    x1, y1, x2, y2 = np.round(frame.region(np.asarray(rectangle))).astype(int).tolist()
    for colour, width in ((RIM, 4), ((240, 228, 66), 2)):
        cv2.rectangle(out, (x1, y1), (x2, y2), colour, width)
    if not len(before) or not len(after):
        return out
    shown = before.visible[0]
    old, new = (np.clip(frame.place(poses.keypoints[0, :, :2]), -1e5, 1e5) for poses in (before, after))
    for joint in np.flatnonzero(shown).tolist():
        ends = [tuple(np.round(end[joint]).astype(int).tolist()) for end in (old, new)]
        for colour, width in ((RIM, 5), ((255, 255, 255), 2)):
            cv2.line(out, ends[0], ends[1], colour, width, cv2.LINE_AA)
        cv2.drawMarker(out, ends[0], (255, 255, 255), cv2.MARKER_TILTED_CROSS, 12, 2, cv2.LINE_AA)
    return out


def moves_text(before: Poses, after: Poses, moved: np.ndarray) -> tuple[str, str]:
    """A sentence and a table of how covering changed the joints of one person; moved: (17,) pixels, NaN if unseen."""
    if not len(before) or not len(after):
        return "There is nobody to cover.", ""
    seen = np.isfinite(moved)
    if not seen.any():
        return "No joint was visible before, so none can move: lower the joint confidence.", ""
    height = max(float(before.boxes[0, 3] - before.boxes[0, 1]), 1.0)
    order = np.argsort(-np.nan_to_num(moved, nan=-1.0), kind="stable")
    rows = [
        (COCO_JOINTS[joint], f"{moved[joint]:.1f} px" if seen[joint] else "not visible before",
         f"{moved[joint] / height:.1%}" if seen[joint] else "-", f"{before.keypoints[0, joint, 2]:.2f}",
         f"{after.keypoints[0, joint, 2]:.2f}")
        for joint in order.tolist()
    ]  # fmt: skip
    far = [joint for joint in order.tolist() if seen[joint] and moved[joint] > _WORTH_SAYING * height]
    lost = int((before.visible[0] & ~after.visible[0]).sum())
    if far:
        listed = ", ".join(f"{COCO_JOINTS[joint]} {moved[joint]:.0f} px" for joint in far[:_SAID])
        more = f" and {len(far) - _SAID} more" if len(far) > _SAID else ""
        sentence = f"{len(far)} of {int(seen.sum())} joints moved: {listed}{more}"
    else:
        sentence = f"All {int(seen.sum())} joints stayed within {_WORTH_SAYING:.0%} of the person's height"
    if lost:
        sentence += f"; {lost} fell below the confidence"
    table = table_html(("Joint", "Moved", "Of the person's height", "Score before", "Score now"), rows)
    return sentence, table
