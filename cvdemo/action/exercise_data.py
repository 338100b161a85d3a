"""Clips of exercises for training: packed small, grouped by recording, split by group.

``python -m cvdemo.action.exercise_data --source CLASS=FOLDER … --backbone compact_classifier.safetensors --out CACHE``

Many files are pieces of one recording, or the same file twice. Clips of one class that look alike belong to one group,
and a group is trained on or held back as a whole; otherwise a model could recognise the room. Without ``--source`` the
groups and the split of a cache are made again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from cvdemo.action.duplicates import groups, signature
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.lazy import cv2

RATE, SIDE = 12.0, 144
"""Frames a second, and the shorter side in pixels of a packed frame."""
LONGEST_S = 40.0
SAME_FILE, SAME_RECORDING = 0.995, 0.75
"""Correlations of thumbnails above which two clips are one file, or pieces of one recording."""
SAME_SCENE, NEXT_SCENE = 0.925, 0.85
"""Cosines of the compact classifier's features above which clips are pieces of one recording: any two, and two that
are numbered one after the other."""
LOOKS = 5
HELD_BACK_SHARE = 0.3
SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif")


@dataclass(frozen=True)
class Entry:
    """One packed video: its class and file name, (frames, height, width), first byte, and the group it belongs to."""

    label: str
    name: str
    shape: tuple[int, int, int]
    start: int
    group: int
    held_back: bool


@dataclass(frozen=True, eq=False)
class PackedClips:
    """Videos in a memory-mapped file at ``RATE`` frames a second."""

    packed: np.ndarray
    entries: tuple[Entry, ...]

    @classmethod
    def open(cls, folder: Path) -> PackedClips:
        """What ``pack`` wrote; InputError for another folder."""
        index = folder / "clips.json"
        if not index.is_file():
            raise InputError(f"{folder} holds no packed clips.", hint="Run cvdemo.action.exercise_data first.")
        entries = tuple(Entry(**{**row, "shape": tuple(row["shape"])}) for row in json.loads(index.read_text()))
        return cls(np.memmap(folder / "clips.bin", np.uint8, "r"), entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, row: int) -> np.ndarray:
        """(T, H, W, 3) uint8 RGB view."""
        count, height, width = self.entries[row].shape
        start = self.entries[row].start
        return self.packed[start : start + count * height * width * 3].reshape(count, height, width, 3)

    def rows(self, *, held_back: bool) -> np.ndarray:
        """Rows of one side of the split."""
        return np.array([row for row, entry in enumerate(self.entries) if entry.held_back == held_back], int)


def read_packed(path: Path) -> np.ndarray:
    """(T, H, W, 3) uint8 RGB of a video at ``RATE`` frames a second and ``SIDE`` pixels; InputError as in reading."""
    from cvdemo.action.clips import nearest_frames
    from cvdemo.core.video_reader import read_frames

    frames, times = [], []
    with read_frames(path, stop=LONGEST_S, max_side=640) as reader:
        for frame in reader:
            height, width = frame.pixels.shape[:2]
            scale = SIDE / min(height, width)
            size = round(width * scale), round(height * scale)
            frames.append(cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA))
            times.append(frame.time)
    wanted = np.arange(0.0, times[-1] + 1e-6, 1 / RATE)
    return np.stack([frames[row] for row in nearest_frames(np.array(times), wanted)])


def first_look(path: Path) -> np.ndarray:
    """Signature (576,) of a video's first frame."""
    from cvdemo.core.video_reader import read_frames

    with read_frames(path, max_side=320) as reader:
        return signature(next(reader).pixels)


def distinct(paths: Sequence[Path], most: int) -> list[Path]:
    """At most so many readable videos without copies of one another: same length and same first frame.

    They are taken in the order of the SHA-256 of their names, so that a limit gives a mixture.
    """
    from cvdemo.core.video_reader import probe_video

    kept: list[tuple[Path, np.ndarray, float]] = []
    for path in sorted(paths, key=lambda p: hashlib.sha256(p.name.encode("utf-8")).hexdigest()):
        if len(kept) >= most:
            break
        try:
            look, seconds = first_look(path), probe_video(path).duration or 0.0
        except CvDemoError as error:
            print(f"{path.name} is left out: {error}", file=sys.stderr)
            continue
        if not any(abs(seconds - s) < 0.1 and float(look @ other) > SAME_FILE for _, other, s in kept):
            kept.append((path, look, seconds))
    return [path for path, _, _ in kept]


def grouped(labels: Sequence[str], names: Sequence[str], thumbs: np.ndarray, features: np.ndarray) -> np.ndarray:
    """(N,) group of each clip: alike in any pair of frames, or in features, and of one class means one group.

    thumbs: (N, k, 576) signatures of k frames.   features: (N, D) of unit length.
    """
    count = len(labels)
    numbers = [re.match(r"(.*?)(\d+)\.[^.]*$", name) for name in names]
    similar = np.eye(count, dtype=bool)
    for row in range(count):
        for other in range(row + 1, count):
            if labels[row] != labels[other]:
                continue
            a, b = numbers[row], numbers[other]
            following = a is not None and b is not None and a[1] == b[1] and abs(int(a[2]) - int(b[2])) == 1
            likeness = float(features[row] @ features[other])
            same = likeness > (NEXT_SCENE if following else SAME_SCENE)
            same = same or bool((thumbs[row] @ thumbs[other].T > SAME_RECORDING).any())
            similar[row, other] = similar[other, row] = same
    return groups(similar)


def looks_of(clips: PackedClips, backbone: Path) -> tuple[np.ndarray, np.ndarray]:
    """Signatures (N, 5, 576) of five frames of each video, and mean features (N, 512) of two of them, unit length."""
    import torch

    from cvdemo.action.nets.compact_action import CompactAction
    from cvdemo.action.prepare import middle_squares
    from cvdemo.core import weights

    network = CompactAction(1)
    state = {n: v for n, v in weights.load_state(backbone).items() if not n.startswith("head.")}
    weights.apply_state(network, network.state_dict() | state, backbone.name)
    network.eval()
    thumbs, features = [], []
    with torch.inference_mode():
        for row in range(len(clips)):
            frames = clips[row]
            at = np.linspace(0, len(frames) - 1, LOOKS).astype(int)
            thumbs.append(np.stack([signature(frame) for frame in frames[at]]))
            squares = torch.from_numpy(middle_squares(frames[at[1::2]], 112))
            mean = network.embed(squares.permute(0, 3, 1, 2).float().div_(255)).mean(0).numpy()
            features.append(mean / max(float(np.linalg.norm(mean)), 1e-9))
    return np.stack(thumbs), np.stack(features)


def regroup(folder: Path, backbone: Path) -> PackedClips:
    """Find the recordings of a cache, split them, and write that into ``clips.json``."""
    clips = PackedClips.open(folder)
    labels, names = [e.label for e in clips.entries], [e.name for e in clips.entries]
    group = grouped(labels, names, *looks_of(clips, backbone))
    held = split(labels, names, group)
    entries = [replace(e, group=int(g), held_back=bool(h)) for e, g, h in zip(clips.entries, group, held)]
    (folder / "clips.json").write_text(json.dumps([asdict(entry) for entry in entries]))
    return PackedClips.open(folder)


def split(labels: Sequence[str], names: Sequence[str], group: np.ndarray) -> np.ndarray:
    """(N,) bool: held back. Of every class about 30 % of the clips, whole groups, at least one of several.

    Groups are taken in the order of the SHA-256 of their first name, so that the split is the same every time.
    """
    held = np.zeros(len(labels), bool)
    for label in sorted(set(labels)):
        mine = np.array([name == label for name in labels])
        of_class = sorted(set(group[mine].tolist()), key=lambda g: _order(names, group, g))
        wanted = max(1, round(HELD_BACK_SHARE * int(mine.sum())))
        for number in of_class[:-1]:
            members = mine & (group == number)
            taken = int((held & mine).sum())
            if taken and taken + int(members.sum()) > 1.3 * wanted:
                continue
            held |= members
            if int((held & mine).sum()) >= wanted:
                break
    return held


def _order(names: Sequence[str], group: np.ndarray, number: int) -> str:
    first = min(names[int(row)] for row in np.flatnonzero(group == number))
    return hashlib.sha256(first.encode("utf-8")).hexdigest()


def pack(sources: Sequence[tuple[str, Path]], out: Path, most: int = 1000) -> PackedClips:
    """Write ``clips.bin`` and ``clips.json`` for (class, folder) pairs, at most so many videos of a class.

    Every video is a group of its own until ``regroup``.
    """
    out.mkdir(parents=True, exist_ok=True)
    found: list[Entry] = []
    start = 0
    by_class: dict[str, list[Path]] = {}
    for label, folder in sources:
        by_class.setdefault(label, []).extend(
            path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES
        )
    with (out / "clips.bin").open("wb") as target:
        for label, paths in by_class.items():
            for path in distinct(paths, most):
                frames = read_packed(path)
                target.write(frames.tobytes())
                shape = frames.shape[0], frames.shape[1], frames.shape[2]
                found.append(Entry(label, f"{path.parent.name}/{path.name}", shape, start, len(found), False))
                start += frames.nbytes
                print(f"\r{label}: {len(found)} clips, {start / 1e6:.0f} MB", end="", file=sys.stderr, flush=True)
    if not found:
        raise InputError("There is no video to read.", hint="Give folders of clips.")
    (out / "clips.json").write_text(json.dumps([asdict(entry) for entry in found]))
    return PackedClips.open(out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, pack, say what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", action="append", default=[], help="CLASS=FOLDER")
    parser.add_argument("--backbone", type=Path, required=True, help="weights of the compact classifier")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, default=1000, help="videos of a class that are taken")
    args = parser.parse_args(arguments)
    pairs = [(text.partition("=")[0], Path(text.partition("=")[2])) for text in args.source]
    if pairs:
        pack(pairs, args.out, args.most)
    clips = regroup(args.out, args.backbone)
    for label in dict.fromkeys(entry.label for entry in clips.entries):
        mine = [entry for entry in clips.entries if entry.label == label]
        held = [entry for entry in mine if entry.held_back]
        print(
            f"{label}: {len(mine)} clips of {len({e.group for e in mine})} recordings, held back {len(held)} of "
            f"{len({e.group for e in held})}"
        )


if __name__ == "__main__":
    main()
