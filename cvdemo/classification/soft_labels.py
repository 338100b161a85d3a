"""Show crops of pictures to a published ImageNet classifier and keep what it says, for the compact backbone to learn.

``python -m cvdemo.classification.soft_labels --teacher mobilenet_v2.pth --views 4 --out PACK FOLDER [FOLDER ...]``

Every picture is packed once (short side at most 160 px), with a few random crops and the teacher's ten largest
probabilities for each: fixed labels for fixed crops, so that the teacher runs once and not every epoch (fast knowledge
distillation, Shen and Xing 2022, arXiv:2112.01528). Folders and files named by a WordNet id also give the true class;
without ``--teacher`` that class is the only label.

The teacher is torchvision's MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) with a state dict under torchvision's
names. Only its outputs are kept; nothing of the app imports this module.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from cvdemo.classification.labels import INDEX_OF_WORDNET
from cvdemo.core import weights
from cvdemo.core.lazy import cv2

PACKED_SHORT_SIDE = 160
TOP = 10
SURE = 0.9
"""Probability of a true class where no teacher spreads the rest (label smoothing, Szegedy et al. 2015)."""
SUFFIXES = {".jpg", ".jpeg", ".png"}
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1) * 255
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1) * 255

Teacher = Callable[[np.ndarray], np.ndarray]


def mobilenet_teacher(path: Path) -> Teacher:
    """(B, S, S, 3) uint8 RGB -> probabilities (B, 1000) float32, averaged over the picture and its mirror image."""
    from torchvision.models import quantization  # the variant with plain ReLU, which the published file is for

    network = quantization.mobilenet_v2(weights=None, quantize=False)
    weights.apply_state(network, weights.load_state(path), path.name)
    network = network.eval().to(memory_format=torch.channels_last)
    example = torch.zeros(32, 3, 160, 160).to(memory_format=torch.channels_last)
    with torch.no_grad():
        graph = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network, example)))

    @torch.inference_mode()
    def teacher(pictures: np.ndarray) -> np.ndarray:
        x = (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() - MEAN) / STD
        return graph(x.contiguous(memory_format=torch.channels_last)).softmax(1).numpy()

    return teacher


def random_crop(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A crop x1 y1 x2 y2 of 20 to 100 % of the area and a side ratio of 3:4 to 4:3 (Szegedy et al. 2014)."""
    for _ in range(10):
        area = height * width * rng.uniform(0.2, 1.0)
        ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
            return x, y, x + w, y + h
    side = min(height, width)
    x, y = (width - side) // 2, (height - side) // 2
    return x, y, x + side, y + side


def true_class(path: Path) -> int:
    """The class index said by a folder, or by the beginning of a file name, that is a WordNet id; -1 without one."""
    named = (path.name.partition("_")[0], *path.parts[-2::-1])
    return next((INDEX_OF_WORDNET[part] for part in named if part in INDEX_OF_WORDNET), -1)


def picture_files(folders: Sequence[Path], skip: Path | None = None) -> list[Path]:
    """The pictures of the folders and their sub-folders in order, without those a json list of file names names."""
    left_out = set(json.loads(skip.read_text())) if skip else set()
    found = sorted(f for folder in folders for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES)
    return [file for file in found if file.name not in left_out]


def read_pictures(files: Sequence[Path]) -> Iterator[tuple[Path, np.ndarray]]:
    """Decoded RGB pictures; unreadable files are named and left out."""
    for path in files:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            print(f"\n{path} cannot be read, left out", file=sys.stderr)
            continue
        yield path, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


class Packer:
    """Writes the pixels as they come and collects the tables."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.pixels = out.with_suffix(".rgb").open("wb")
        self.shapes: list[tuple[int, int]] = []
        self.classes: list[int] = []
        self.view_picture: list[int] = []
        self.view_box: list[tuple[float, float, float, float]] = []
        self.top_class: list[np.ndarray] = []
        self.top_probability: list[np.ndarray] = []

    def add_picture(self, picture: np.ndarray, true: int) -> None:
        scale = min(1.0, PACKED_SHORT_SIDE / min(picture.shape[:2]))
        if scale < 1:
            size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        self.pixels.write(np.ascontiguousarray(picture).tobytes())
        self.shapes.append((picture.shape[0], picture.shape[1]))
        self.classes.append(true)

    def add_truth(self, true: int) -> None:
        """A view whose only label is its true class, as a teacher that never errs and is never quite sure."""
        self.top_class.append(np.full(1, true, np.int16))
        self.top_probability.append(np.full(1, SURE, np.float16))

    def add_labels(self, probabilities: np.ndarray) -> None:
        order = np.argsort(-probabilities, 1)[:, :TOP]
        self.top_class += list(order.astype(np.int16))
        self.top_probability += list(np.take_along_axis(probabilities, order, 1).astype(np.float16))

    def close(self) -> None:
        self.pixels.close()
        np.savez(
            self.out.with_suffix(".npz"),
            shapes=np.array(self.shapes, np.int32),
            classes=np.array(self.classes, np.int16),
            view_picture=np.array(self.view_picture, np.int32),
            view_box=np.array(self.view_box, np.float32),
            top_class=np.stack(self.top_class),
            top_probability=np.stack(self.top_probability),
        )


def pack(files: Sequence[Path], out: Path, teacher: Teacher | None, views: int, side: int, seed: int) -> int:
    """Label ``views`` crops of every picture (1: the whole picture); returns the number of labelled crops.

    Without a teacher pictures whose true class is not known are left out.
    """
    rng = np.random.default_rng(seed)
    packer = Packer(out)
    waiting: list[np.ndarray] = []
    for index, (path, picture) in enumerate(read_pictures(files)):
        height, width = picture.shape[:2]
        true = true_class(path)
        if teacher is None and true < 0:
            continue
        for _ in range(views):
            x1, y1, x2, y2 = (0, 0, width, height) if views == 1 else random_crop(height, width, rng)
            if teacher is None:
                packer.add_truth(true)
            else:
                shrink = cv2.INTER_AREA if min(x2 - x1, y2 - y1) > side else cv2.INTER_CUBIC
                waiting.append(cv2.resize(picture[y1:y2, x1:x2], (side, side), interpolation=shrink))
            packer.view_picture.append(len(packer.shapes))
            packer.view_box.append((x1 / width, y1 / height, x2 / width, y2 / height))
        packer.add_picture(picture, true)
        if teacher is not None and len(waiting) >= 32:
            packer.add_labels(teacher(np.stack(waiting)))
            waiting = []
            print(f"\r{index + 1}/{len(files)} pictures", end="", file=sys.stderr, flush=True)
    if teacher is not None and waiting:
        packer.add_labels(teacher(np.stack(waiting)))
    packer.close()
    return len(packer.view_picture)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options, label, write PACK.npz and PACK.rgb."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="searched for pictures, with sub-folders")
    parser.add_argument("--teacher", type=Path, help="without it the true classes are the labels")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--views", type=int, default=4, help="labelled crops of each picture; 1: the whole picture")
    parser.add_argument("--side", type=int, default=192, help="what the teacher sees, pixels")
    parser.add_argument("--skip", type=Path, help="json list of file names to leave out (test pictures)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    files = picture_files(args.folders, args.skip)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    teacher = mobilenet_teacher(args.teacher) if args.teacher else None
    count = pack(files, args.out, teacher, args.views, args.side, args.seed)
    print(f"\n{len(files)} pictures, {count} labelled crops in {args.out.with_suffix('.npz')}", file=sys.stderr)


if __name__ == "__main__":
    main()
