"""Example pictures and a clip: files inside installed packages, and scenes the project composed from them.

Nothing is downloaded. ``python -m cvdemo.ui.examples`` composes the scenes in ``assets/examples`` again. The portrait
is Grace Hopper's official photograph (U.S. Navy, public domain), which matplotlib ships as sample data; the animals and
the tower come with gradio.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.core.media import read_picture, save_picture

Pixels = np.ndarray

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "examples"
PORTRAIT = ("mpl-data", "sample_data", "grace_hopper.jpg")
GRADIO = ("media_assets", "images")


@dataclass(frozen=True)
class Example:
    """An example: its id in the page's address, what it shows, and the file; of a pair, the second one too."""

    name: str
    title: str
    path: Path
    second: Path | None = None


def _package_file(package: str, *parts: str) -> Path | None:
    # find_spec finds the folder without importing the package (matplotlib takes half a second).
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent.joinpath(*parts)
    return path if path.is_file() else None


def load_portrait() -> Pixels | None:
    """The portrait that matplotlib ships, (H, W, 3) uint8; None where it does not."""
    path = _package_file("matplotlib", *PORTRAIT)
    return None if path is None else read_picture(path).pixels


def compose_crowd(portrait: Pixels, height: int = 600, width: int = 1000) -> Pixels:
    """Copies of one portrait at several sizes, mirrored and overlapping, before a plain wall.

    Every copy is the same person, so what differs between their boxes is only size and overlap: made for IoU and NMS.
    """
    rng = np.random.default_rng(7)
    shade = np.linspace(205, 150, height)[:, None, None] * np.array([0.92, 0.97, 1.0])
    scene = np.clip(shade + rng.normal(0, 2, (height, width, 1)), 0, 255).astype(np.uint8)
    # The portrait's own background (a flag and a dark wall) is faded out by an ellipse around the sitter.
    h, w = portrait.shape[:2]
    mask = np.zeros((h, w), np.float32)
    cv2.ellipse(mask, (w // 2, int(h * 0.30)), (int(w * 0.23), int(h * 0.31)), 0, 0, 360, 1.0, -1)
    cv2.ellipse(mask, (w // 2, int(h * 0.95)), (int(w * 0.47), int(h * 0.48)), 0, 0, 360, 1.0, -1)
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), 5), np.float32)
    # (left edge, height) as shares of the scene; from the back to the front
    for left, size, mirrored in (
        (0.03, 0.42, False), (0.20, 0.46, True), (0.80, 0.40, True), (0.64, 0.52, False), (0.10, 0.66, True),
        (0.33, 0.78, False), (0.52, 0.84, True),
    ):  # fmt: skip
        new_height = int(height * size)
        new_width = int(w * new_height / h)
        person = cv2.resize(portrait, (new_width, new_height), interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(mask, (new_width, new_height))[:, :, None]
        if mirrored:
            person, alpha = person[:, ::-1], alpha[:, ::-1]
        x, y = int(left * width), height - new_height
        visible = min(new_width, width - x)
        window = scene[y:, x : x + visible]
        mixed = person[:, :visible] * alpha[:, :visible] + window * (1 - alpha[:, :visible])
        scene[y:, x : x + visible] = mixed.astype(np.uint8)
    return scene


def write_pan(scene: Pixels, path: Path, seconds: float = 6.0, fps: float = 15.0) -> None:
    """A camera that moves across a scene and back, 640x480."""
    from cvdemo.core.video import VideoWriter  # the page itself only copies the finished clip

    height, width = scene.shape[:2]
    view_height, view_width = int(height * 0.8), int(height * 0.8 * 4 / 3)
    frames = int(seconds * fps)
    with VideoWriter(path, fps, (640, 480)) as writer:
        for index in range(frames):
            share = 0.5 - 0.5 * np.cos(2 * np.pi * index / frames)
            x, y = int((width - view_width) * share), height - view_height
            view = np.ascontiguousarray(scene[y : y + view_height, x : x + view_width])
            writer.write(cv2.resize(view, (640, 480), interpolation=cv2.INTER_AREA))


def _copied(original: Path | None, folder: Path) -> Path | None:
    """A copy of a file in ``folder`` (the page serves no other files), None when there is no original."""
    if original is None or not original.is_file():
        return None
    target = folder / original.name
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(suffix=target.suffix, dir=folder)
        os.close(handle)
        try:
            shutil.copyfile(original, draft)
            os.replace(draft, target)  # complete or not there at all, also when two processes start together
        except OSError:
            os.unlink(draft)
            raise
    return target


def pictures(folder: Path) -> list[Example]:
    """Example pictures that exist on this machine, copied to ``folder``."""
    originals = (
        ("crowd", "Seven copies of one portrait, overlapping", ASSETS / "crowd.jpg"),
        ("portrait", "Portrait of Grace Hopper", _package_file("matplotlib", *PORTRAIT)),
        ("cheetah", "A cheetah, which is not one of the 80 classes", _package_file("gradio", *GRADIO, "cheetah.jpg")),
        ("lion", "Two lions, which are not among the 80 classes either", _package_file("gradio", *GRADIO, "lion.jpg")),
        ("tower", "A tower: nothing to find", _package_file("gradio", *GRADIO, "tower.jpg")),
    )
    return copied(folder, originals)


def copied(folder: Path, originals: Iterable[tuple[str, str, Path | None]]) -> list[Example]:
    """Examples (name, title, file) whose files exist on this machine, copied to ``folder``."""
    copies = ((name, title, _copied(original, folder)) for name, title, original in originals)
    return [Example(name, title, path) for name, title, path in copies if path is not None]


def pairs(folder: Path, originals: Iterable[tuple[str, str, Path, Path]]) -> list[Example]:
    """Example pairs (name, title, first, second) whose files exist on this machine, copied to ``folder``."""
    copies = (
        (name, title, _copied(first, folder), _copied(second, folder)) for name, title, first, second in originals
    )
    return [Example(name, title, one, two) for name, title, one, two in copies if one is not None and two is not None]


def clips(folder: Path) -> list[Example]:
    """Example clips, copied to ``folder``."""
    path = _copied(ASSETS / "pan.mp4", folder)
    return [] if path is None else [Example("pan", "A camera moving across the crowd", path)]


def main() -> None:
    """Compose the scene and the clip again and write them to ``assets/examples`` (how the committed ones were made)."""
    portrait = load_portrait()
    if portrait is None:
        raise SystemExit("matplotlib's sample portrait is not installed")
    ASSETS.mkdir(parents=True, exist_ok=True)
    scene = compose_crowd(portrait)
    save_picture(ASSETS / "crowd.jpg", scene)
    write_pan(scene, ASSETS / "pan.mp4")


if __name__ == "__main__":
    main()
