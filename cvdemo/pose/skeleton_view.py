"""What the Skeleton view shows: the picture with skeletons, words, tables, numbers and downloads. No network runs."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from cvdemo.core import registry
from cvdemo.core.media import encode_picture
from cvdemo.pose.draw import OKS_LEVELS, SIDE_COLOURS
from cvdemo.pose.poses import Poses, coco_document
from cvdemo.pose.predict import PoseSettings, draw
from cvdemo.pose.skeleton import COCO_JOINTS
from cvdemo.pose.tab_shared import LivePeople, Look, for_projector, scaled, timed_decode, timing_line

PEOPLE_HEADER = ("Person", "Person score", "Joints shown", "Mean joint score", "x1", "y1", "x2", "y2")
JOINT_HEADER = ("Person", "Joint", "x", "y", "Score", "Shown")
MOST_LISTED = 20
KINDS = ("png", "json", "csv")
_EMPTY_ADVICE = "lower the person score, or choose a picture that shows a person at least 60 px high"


@dataclass(frozen=True, eq=False)
class Rendered:
    """One drawn state: pixels (h, w, 3) uint8 at display size, words, and the poses in pixels of the picture."""

    pixels: np.ndarray
    sentence: str
    timing: str
    poses: Poses


def render(
    look: Look, settings: PoseSettings, *, projector: bool = False, people: LivePeople | None = None
) -> Rendered:
    """Decode and draw what the network found. people: those a live session follows; None for a picture."""
    poses, decoded = timed_decode(look.inference, settings)
    trails: Mapping[int, np.ndarray] | None = None
    if people is not None:
        poses, trails = people.follow(poses, settings.smoothing)
        trails = {number: way * look.scale for number, way in trails.items()}
    started = perf_counter()
    pixels = draw(look.display, scaled(poses, look.scale), for_projector(settings, projector), trails)
    drawn = (perf_counter() - started) * 1e3
    return Rendered(pixels, sentence_of(poses), timing_line(look.inference, decoded, drawn), poses)


def sentence_of(poses: Poses) -> str:
    """The poses in one sentence, with advice when there is nobody."""
    return poses.sentence() if len(poses) else f"{poses.sentence()}: {_EMPTY_ADVICE}."


def people_rows(poses: Poses) -> list[list[Any]]:
    """A row per person as ``PEOPLE_HEADER`` names them."""
    rows = []
    for index, name in enumerate(names_of(poses)):
        seen = poses.visible[index]
        mean = round(float(poses.keypoints[index, seen, 2].mean()), 3) if seen.any() else None
        box = [round(float(value), 1) for value in poses.boxes[index]]
        rows.append([name, round(float(poses.box_scores[index]), 3), int(seen.sum()), mean, *box])
    return rows


def joint_rows(poses: Poses) -> list[list[Any]]:
    """A row per joint of the first 20 people as ``JOINT_HEADER`` names them; the CSV has everybody."""
    rows: list[list[Any]] = []
    for index, name in enumerate(names_of(poses)[:MOST_LISTED]):
        for joint, (x, y, score), shown in zip(COCO_JOINTS, poses.keypoints[index].tolist(), poses.visible[index]):
            rows.append([name, joint, round(x, 1), round(y, 1), round(score, 3), "yes" if shown else "no"])
    return rows


def names_of(poses: Poses) -> list[str]:
    """What people are called: "1", "2" in a picture, their track number in moving pictures."""
    if poses.tracks is not None:
        return [f"#{number}" for number in poses.tracks.tolist()]
    return [str(number) for number in range(1, len(poses) + 1)]


def legend_html() -> str:
    """What the colours and the circles mean."""
    words = {"left": "left of the person's body", "right": "right of it", "middle": "head and trunk"}
    items = "".join(
        f'<li><svg width="26" height="14" aria-hidden="true"><rect width="26" height="14" rx="3" '
        f'fill="rgb{SIDE_COLOURS[side]}" stroke="#141414"/></svg>{text}</li>'
        for side, text in words.items()
    )
    inner, outer = OKS_LEVELS
    circles = (
        f"OKS circles: a guess on the inner one has an object keypoint similarity of {inner:g} for that joint, one on "
        f"the outer one {outer:g}. They are narrow at the eyes and wide at the hips, because people who label pictures "
        "agree well about eyes and less about hips."
    )
    return f'<ul class="legend">{items}</ul><p class="hint">{circles}</p>'


def numbers_html(look: Look, poses: Poses) -> str:
    """Facts of the run: sizes, counts, times."""
    raw, inference = look.inference.raw, look.inference
    spec = registry.get(inference.model)
    shown = int(poses.visible.sum())
    rows: list[tuple[str, str]] = [
        ("Picture", f"{raw.width} x {raw.height} px"),
        ("Model", spec.title),
        ("People found, looked at, shown", f"{max(raw.found, len(raw))}, {len(raw)}, {len(poses)}"),
        ("Joints shown", f"{shown} of {len(poses) * len(COCO_JOINTS)}"),
    ]
    if raw.heatmaps is not None and len(raw):
        height, width = raw.heatmaps.shape[2:]
        sides = raw.regions[:, 2] - raw.regions[:, 0]
        rows.append(("Heatmaps", f"{len(raw) * len(COCO_JOINTS)} of {width} x {height} cells"))
        rows.append(("A cell in the picture", f"{sides.min() / width:.1f} to {sides.max() / width:.1f} px wide"))
    else:
        rows.append(("Heatmaps", "none: coordinates only" if len(raw) else "none: nobody to look at"))
    rows += [(f"Time: {name}", f"{ms:.1f} ms") for name, ms in inference.stages.items()]
    return table_html(("", ""), rows)


def table_html(header: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "") -> str:
    """A table in the page's style; every text is escaped."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    words = f'<p class="caption">{html.escape(caption)}</p>' if caption else ""
    top = f"<thead><tr>{head}</tr></thead>" if any(header) else ""
    return f'<div class="numbers">{words}<div class="wide"><table>{top}<tbody>{body}</tbody></table></div></div>'


def export(look: Look, settings: PoseSettings, kind: str) -> tuple[str, bytes]:
    """File name and content of a download: "png" in full size, "json" (COCO keypoints) or "csv" (a line a joint).

    Raises KeyError for another kind.
    """
    picture = look.picture
    stem = Path(picture.name).stem or "picture"
    poses, _ = timed_decode(look.inference, settings)
    if kind == "png":
        return f"{stem}-poses.png", encode_picture(draw(picture.pixels, poses, settings), "png")
    if kind == "json":
        document = {**coco_document([(picture.name, poses)]), "info": _info(look, settings)}
        return f"{stem}-keypoints.json", json.dumps(document, indent=1, ensure_ascii=False).encode()
    return {"csv": (f"{stem}-joints.csv", poses.to_csv().encode())}[kind]


def _info(look: Look, settings: PoseSettings) -> dict[str, Any]:
    return {"description": "cvdemo poses", "model": look.inference.model, "settings": settings.to_dict()}
