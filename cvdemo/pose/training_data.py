"""People for training the compact pose models: one packed cache of their surroundings, crops made on the fly.

Around each labelled person the cache keeps a generous piece of the picture as raw pixels in a memory-mapped file, so
that turning, shifting and resizing cost no decoding. Annotations are COCO keypoints json files; ``keypoint_scores``
beside the keypoints mark what a teacher network has labelled.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.lazy import cv2
from cvdemo.pose.crops import PAD_VALUE, affine_of, move, regions_of, warp
from cvdemo.pose.raw import MARGIN
from cvdemo.pose.skeleton import FLIP_ORDER

PERSON = 1
CONTEXT = 1.6  # the cache keeps this many times the region of an untouched crop
CACHE_HEIGHT = 272  # pixels of a cached region's height at most; small people are not enlarged
MIN_SIDE = 40  # people whose box is shorter than this many pixels are left out
MIN_JOINTS = 4
SURE_SCORE = 0.4  # teacher's joints scored at or above count in full, less below
LOWEST_SCORE = 0.05
TRUTH_WEIGHT = 2.5  # people labelled by people are drawn this many times as often
UPPER_BODY, LOWER_BODY = np.arange(11), np.arange(11, 17)

Source = tuple[Path, Path, set[int] | None]


@dataclass(frozen=True, eq=False)
class Example:
    """One person.

    pixels: (H, W, 3) uint8 RGB view into the cache.   box: (4,) xyxy in pixels of it.
    joints: (17, 3) float32: x, y in pixels of it (may lie outside), weight in [0, 1]; 0 means not labelled.
    truth: whether a person made the labels.
    """

    pixels: np.ndarray
    box: np.ndarray
    joints: np.ndarray
    truth: bool


@dataclass(frozen=True)
class Variation:
    """How crops differ from the plain one. Shares are probabilities, ``turn`` is in degrees."""

    turn: float = 40.0
    turned: float = 0.6
    scale: float = 0.3
    shift: float = 0.1
    flipped: float = 0.5
    half_body: float = 0.2
    occluded: float = 0.4
    colour: bool = True


PLAIN = Variation(0, 0, 0, 0, 0, 0, 0, False)


def joints_of(annotation: dict) -> np.ndarray:
    """(17, 3) x, y in pixels, weight: 1 where a person labelled the joint, by the score where a teacher did."""
    joints = np.array(annotation["keypoints"], np.float32).reshape(17, 3)
    labelled = joints[:, 2] > 0
    weights = np.ones(17, np.float32)
    if "keypoint_scores" in annotation:
        scores = np.array(annotation["keypoint_scores"], np.float32)
        weights = np.clip((scores - LOWEST_SCORE) / (SURE_SCORE - LOWEST_SCORE), 0, 1)
    joints[:, 2] = np.where(labelled, weights, 0)
    return joints


def people_of(source: Source) -> list[tuple[str, dict]]:
    """(file name, annotation) of every person of a source that is large enough and has enough joints."""
    labels, _, ids = source
    document = json.loads(labels.read_text())
    names = {image["id"]: image["file_name"] for image in document["images"] if ids is None or image["id"] in ids}
    return sorted(
        (
            (names[entry["image_id"]], entry)
            for entry in document["annotations"]
            if entry["image_id"] in names
            and entry["category_id"] == PERSON
            and not entry.get("iscrowd")
            and "keypoints" in entry
            and max(entry["bbox"][2:]) >= MIN_SIDE
            and int((joints_of(entry)[:, 2] > 0).sum()) >= MIN_JOINTS
        ),
        key=lambda pair: (pair[0], pair[1]["id"]),
    )


def cut(picture: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The piece of an RGB picture the cache keeps for a person's box xyxy, and the (2, 3) affine map into it."""
    height, width = picture.shape[:2]
    region = regions_of(box, margin=MARGIN * CONTEXT)[0]
    x1, y1 = np.maximum(np.floor(region[:2]).astype(int), 0)
    x2, y2 = np.minimum(np.ceil(region[2:]).astype(int), (width, height))
    piece = picture[y1:y2, x1:x2]
    if not piece.size:
        return np.zeros((0, 0, 3), np.uint8), np.zeros((2, 3))
    scale = CACHE_HEIGHT * CONTEXT / float(region[3] - region[1])
    if scale < 1:
        size = (max(1, round(piece.shape[1] * scale)), max(1, round(piece.shape[0] * scale)))
        resized = cv2.resize(piece, size, interpolation=cv2.INTER_AREA)
    else:
        resized = np.ascontiguousarray(piece)
    return resized, affine_of(np.array([x1, y1, x2, y2]), resized.shape[1], resized.shape[0])


def load_source(folder: Path, source: Source) -> list[Example]:
    """The people of one source, from the cache in ``folder``, which is made on the first call."""
    labels, root, _ = source
    people = people_of(source)
    content = json.dumps([(name, entry["bbox"]) for name, entry in people])
    # The key tells the pictures and boxes; joints are read from the labels each time.
    key = hashlib.sha256(f"{root.resolve()}|{CACHE_HEIGHT}|{CONTEXT}|{content}".encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"people-{labels.stem}-{key}.rgb"
    index = target.with_suffix(".json")
    if not index.exists():
        _pack(target, index, root, people)
    rows = json.loads(index.read_text())
    flat = np.memmap(target, np.uint8, "r")
    examples, start = [], 0
    for (_, entry), (height, width, *affine) in zip(people, rows):
        size = height * width * 3
        if size:
            matrix = np.array(affine).reshape(2, 3)
            x, y, w, h = entry["bbox"]
            joints = joints_of(entry)
            joints[:, :2] = move(joints[:, :2], matrix)
            box = move(np.array([[x, y], [x + w, y + h]]), matrix).ravel().astype(np.float32)
            pixels = flat[start : start + size].reshape(height, width, 3)
            examples.append(Example(pixels, box, joints, "score" not in entry))
        start += size
    return examples


def _pack(target: Path, index: Path, root: Path, people: Sequence[tuple[str, dict]]) -> None:
    rows: list[list[float]] = []
    last, picture = "", None
    with target.open("wb") as out:
        for done, (name, entry) in enumerate(people, 1):
            if name != last:
                last, picture = name, cv2.imread(str(root / name))
            piece, affine = np.zeros((0, 0, 3), np.uint8), np.zeros((2, 3))
            if picture is not None:
                x, y, w, h = entry["bbox"]
                piece, affine = cut(picture, np.array([x, y, x + w, y + h]))
            rows.append([piece.shape[0], piece.shape[1], *affine.ravel().tolist()])
            out.write(np.ascontiguousarray(piece[:, :, ::-1]).tobytes())
            if done % 500 == 0:
                print(f"\r{target.stem}: {done}/{len(people)}", end="", file=sys.stderr, flush=True)
    read = sum(row[0] > 0 for row in rows)
    if not read:  # most likely the wrong folder: remembering it would outlast the mistake
        target.unlink()
        raise InputError(
            f"No person of the {len(people)} in {target.stem} could be read.",
            hint=f"File names must be relative to {root}, and annotations need keypoints.",
        )
    if read < len(people):
        print(f"{target.stem}: {len(people) - read} of {len(people)} people unreadable", file=sys.stderr)
    index.write_text(json.dumps(rows))


def half_body_box(joints: np.ndarray, upper: bool) -> np.ndarray | None:
    """xyxy around the labelled joints (17, 3) of the upper or lower body, a quarter larger each way; None for under 3.

    Half-body crops prepare for people cut by the picture's edge or a table (Wang et al. 2018, arXiv:1812.00324).
    """
    part = joints[UPPER_BODY if upper else LOWER_BODY]
    seen = part[part[:, 2] > 0, :2]
    if len(seen) < 3:
        return None
    low, high = seen.min(0), seen.max(0)
    margin = 0.25 * max(float((high - low).max()), 8.0)
    return np.concatenate([low - margin, high + margin])


def flip_joints(joints: np.ndarray) -> np.ndarray:
    """Joints (17, 3) with x as a fraction of the crop, as they are in the mirrored crop."""
    flipped = joints[list(FLIP_ORDER)].copy()
    flipped[:, 0] = 1 - flipped[:, 0]
    return flipped


def jitter_colour(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random brightness, contrast, saturation and tint, as one affine map of the colours."""
    saturation = rng.uniform(0.6, 1.4) if rng.random() > 0.08 else 0.0
    mix = saturation * np.eye(3) + (1 - saturation) / 3
    gain = rng.uniform(0.7, 1.3) * rng.uniform(0.9, 1.1, (3, 1))
    offset = np.full((3, 1), rng.uniform(-25, 25)) + PAD_VALUE * (1 - gain)
    return cv2.transform(pixels, np.concatenate([mix * gain, offset], 1).astype(np.float32))


class BatchMaker:
    """Draws random training crops from examples.

    Args:
        examples: of ``load_source``.   seed: of the random numbers.   variation: how crops differ from plain ones.
    """

    def __init__(self, examples: Sequence[Example], seed: int, variation: Variation = Variation()) -> None:
        self.examples, self.variation = list(examples), variation
        self.rng = np.random.default_rng(seed)
        weights = np.array([TRUTH_WEIGHT if example.truth else 1.0 for example in self.examples])
        self._cumulative = np.cumsum(weights / weights.sum())

    def draw(self) -> Example:
        """A random example; people labelled by people come more often."""
        index = int(np.searchsorted(self._cumulative, self.rng.random()))
        return self.examples[min(index, len(self.examples) - 1)]

    def affine(self, example: Example, width: int, height: int) -> np.ndarray:
        """(2, 3) from the example's pixels to a crop of this size, randomly turned, resized, shifted and cut."""
        rng, how = self.rng, self.variation
        box = example.box
        if rng.random() < how.half_body:
            half = half_body_box(example.joints, bool(rng.random() < 0.7))
            box = box if half is None else half
        scale = float(np.exp(rng.uniform(-how.scale, how.scale))) if how.scale else 1.0
        region = regions_of(box, width / height, MARGIN * scale)[0]
        sides = region[2:] - region[:2]
        region = region + np.tile(rng.uniform(-how.shift, how.shift, 2) * sides, 2)
        plain = affine_of(region, width, height)
        angle = np.deg2rad(rng.uniform(-how.turn, how.turn)) if rng.random() < how.turned else 0.0
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = np.array([width / 2, height / 2])
        return np.concatenate([turn @ plain[:, :2], (turn @ (plain[:, 2] - centre) + centre)[:, None]], 1)

    def occlude(self, crop: np.ndarray) -> None:
        """Cover one or two rectangles of a crop, in place, by one colour or by a piece of another person's picture.

        The joints below stay in the targets: the network learns to infer them (random erasing, Zhong et al. 2017,
        arXiv:1708.04896).
        """
        rng = self.rng
        height, width = crop.shape[:2]
        for _ in range(int(rng.integers(1, 3))):
            h, w = (max(2, int(side * rng.uniform(0.08, 0.3))) for side in (height, width))
            y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
            other = self.draw().pixels
            if rng.random() < 0.6 and other.shape[0] > 8 and other.shape[1] > 8:
                top, left = int(rng.integers(0, other.shape[0] // 2)), int(rng.integers(0, other.shape[1] // 2))
                piece = np.ascontiguousarray(other[top : top + other.shape[0] // 2, left : left + other.shape[1] // 2])
                crop[y : y + h, x : x + w] = cv2.resize(piece, (w, h), interpolation=cv2.INTER_LINEAR)
            else:
                crop[y : y + h, x : x + w] = rng.integers(0, 256, 3, np.uint8)

    def crop(self, example: Example, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """(height, width, 3) uint8 and joints (17, 3): x, y as fractions of the crop (may lie outside), weight."""
        affine = self.affine(example, width, height)
        crop = warp(example.pixels, affine, width, height)
        joints = example.joints.copy()
        joints[:, :2] = move(joints[:, :2], affine) / (width, height)
        if self.rng.random() < self.variation.flipped:
            crop, joints = np.ascontiguousarray(crop[:, ::-1]), flip_joints(joints)
        if self.variation.colour:
            crop = jitter_colour(crop, self.rng)
        if self.rng.random() < self.variation.occluded:
            self.occlude(crop)
        return crop, joints

    def batch(self, count: int, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Random crops (count, height, width, 3) uint8 RGB and their joints (count, 17, 3) float32 as in ``crop``."""
        crops, joints = zip(*(self.crop(self.draw(), width, height) for _ in range(count)))
        return np.stack(crops), np.stack(joints).astype(np.float32)
