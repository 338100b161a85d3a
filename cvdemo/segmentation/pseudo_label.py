"""Label pictures with a published segmentation network, so that the compact one can learn from its outputs.

``python -m cvdemo.segmentation.pseudo_label --teacher deeplabv3.tflite --out LABELS PICTURES [PICTURES ...]``

The teacher is DeepLabv3 on MobileNetV2 (Chen et al. 2017, arXiv:1706.05587; Sandler et al. 2018, arXiv:1801.04381),
quantised, 21 VOC classes. Its file ends in an argmax, which hides how sure it is; the graph is cut before that, so its
logits are seen. The picture and its mirror image are averaged, and pixels whose best class has a probability below
``--sure`` become 255 ("ignore"): mostly object edges, where a map of one value in sixteen pixels can only guess. Every
picture becomes an index PNG of the same relative path. Only outputs are used; the teacher's weights are not shipped.

Needs ``ai-edge-litert`` (a tool for training, not for the app); nothing of the app imports this module.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.segmentation.labels import IGNORE, VOC_CLASSES

TEACHER_SIZE = 513
CELL = 16.0  # pixels between two values of the teacher's map, whose corner values lie on the corner pixels
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png"}
THUMBNAIL = 224  # pixels at which the teacher is shown a picture that is much smaller
GREY = 127
FAINT = 0.02  # a class that is nowhere more probable than this on the coarse map cannot win on the fine one

Teacher = Callable[[np.ndarray], np.ndarray]


def _cut_before_argmax(content: bytes, classes: int) -> bytes:
    """The same network, ending in its class logits (the last convolution with ``classes`` channels)."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]
    convolution = schema.BuiltinOperator.CONV_2D
    last = max(
        index
        for index, operator in enumerate(graph.operators)
        if model.operatorCodes[operator.opcodeIndex].builtinCode == convolution
        and graph.tensors[operator.outputs[0]].shape[-1] == classes
    )
    graph.outputs = np.asarray(graph.operators[last].outputs, np.int32)
    graph.operators = graph.operators[: last + 1]
    model.signatureDefs = None
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class DeepLabTeacher:
    """(513, 513, 3) uint8 RGB -> logits (33, 33, 21) float32, value (r, c) belonging to pixel (16 r, 16 c)."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        content = _cut_before_argmax(path.read_bytes(), len(VOC_CLASSES))
        self.network = Interpreter(model_content=content, num_threads=1)
        self.network.allocate_tensors()
        self.input = self.network.get_input_details()[0]["index"]
        self.output = self.network.get_output_details()[0]

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        self.network.set_tensor(self.input, picture[None])
        self.network.invoke()
        scale, zero = self.output["quantization"]
        return (self.network.get_tensor(self.output["index"])[0].astype(np.float32) - zero) * np.float32(scale)


def _softmax(logits: np.ndarray) -> np.ndarray:
    spread = np.exp(logits - logits.max(-1, keepdims=True))
    return spread / spread.sum(-1, keepdims=True)


def enlarge(coarse: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear (h, w, C) -> (height, width, C); the coarse map's outermost values lie on the teacher's corners."""
    rows = ((np.arange(height, dtype=np.float32) + 0.5) / height * TEACHER_SIZE - 0.5) / CELL
    columns = ((np.arange(width, dtype=np.float32) + 0.5) / width * TEACHER_SIZE - 0.5) / CELL
    x, y = np.meshgrid(columns, rows)
    channels = [
        cv2.remap(np.ascontiguousarray(coarse[..., c]), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for c in range(coarse.shape[2])
    ]
    return np.stack(channels, -1)


def label_map(picture: np.ndarray, teacher: Teacher, side: int, sure: float, mirror: bool = True) -> np.ndarray:
    """RGB uint8 (H, W, 3) -> index map uint8, longest side at most ``side``: class 0-20, or 255 where unsure.

    sure: the probability the best class needs, in [0, 1]; 0 leaves no pixel out.
    """
    # The teacher sees the picture stretched to its square: measured better than padding on portraits.
    square = cv2.resize(picture, (TEACHER_SIZE, TEACHER_SIZE), interpolation=cv2.INTER_AREA)
    logits = teacher(square)
    if mirror:
        logits = (logits + teacher(np.ascontiguousarray(square[:, ::-1]))[:, ::-1]) / 2
    present = np.flatnonzero(_softmax(logits).max((0, 1)) > FAINT)
    scale = min(1.0, side / max(picture.shape[:2]))
    height, width = (max(1, round(length * scale)) for length in picture.shape[:2])
    probability = _softmax(enlarge(logits[..., present], height, width))
    labels = present[probability.argmax(-1)].astype(np.uint8)
    labels[probability.max(-1) < sure] = IGNORE
    return labels


def label_thumbnail(picture: np.ndarray, teacher: Teacher, wanted: int, sure: float) -> np.ndarray:
    """Index map of a picture of a few dozen pixels, (H, W, 3) -> (H, W), of which it is known that it shows ``wanted``.

    Stretched to the teacher's whole square it would be a blur; it is shown at ``THUMBNAIL`` pixels amid grey, where an
    object has the size that objects have in a photograph. The other classes are left out of the softmax.
    """
    square = np.full((TEACHER_SIZE, TEACHER_SIZE, 3), GREY, np.uint8)
    edge = (TEACHER_SIZE - THUMBNAIL) // 2
    inner = np.s_[edge : edge + THUMBNAIL, edge : edge + THUMBNAIL]
    square[inner] = cv2.resize(picture, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_CUBIC)
    logits = teacher(square)[..., [0, wanted]]
    probability = _softmax(enlarge(logits, TEACHER_SIZE, TEACHER_SIZE))[inner][..., 1]
    probability = cv2.resize(probability, picture.shape[1::-1], interpolation=cv2.INTER_AREA)
    unsure = np.where(probability > 1 - sure, IGNORE, 0)
    return np.where(probability >= sure, wanted, unsure).astype(np.uint8)


def pictures_in(folders: Sequence[Path], names: Path | None, root: Path) -> list[Path]:
    """Pictures under ``folders``, sorted; ``names``: a file of lines, paths relative to ``root``, to restrict them."""
    paths = sorted(p for folder in folders for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    if names is None:
        return paths
    wanted = {root / line for line in names.read_text().splitlines() if line}
    return [path for path in paths if path in wanted]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options and label every picture that has no label map yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of pictures, searched recursively")
    parser.add_argument("--teacher", type=Path, required=True, help="DeepLabv3 for VOC, .tflite")
    parser.add_argument("--out", type=Path, required=True, help="folder for the index PNGs")
    parser.add_argument("--root", type=Path, default=Path("."), help="what the paths under OUT are relative to")
    parser.add_argument("--names", type=Path, help="label only the pictures this file lists, one path a line")
    parser.add_argument("--every", type=int, default=1, help="only every Nth picture …")
    parser.add_argument("--first", type=int, default=0, help="… counting from this one")
    parser.add_argument("--side", type=int, default=384, help="longest side of a label map, pixels")
    parser.add_argument("--sure", type=float, default=0.6, help="probability below which a pixel is ignored")
    parser.add_argument(
        "--thumbnails", choices=VOC_CLASSES[1:], help="pictures of a few dozen pixels that are known to show this class"
    )
    parser.add_argument("--once", action="store_true", help="do not look at the mirror image: twice as fast")
    args = parser.parse_args(arguments)
    if not args.teacher.is_file():
        sys.exit(f"There is no teacher at {args.teacher}.")
    teacher = DeepLabTeacher(args.teacher)
    cv2.setNumThreads(1)
    paths = pictures_in(args.folders, args.names, args.root)[args.first :: args.every]
    written = unreadable = 0
    for done, path in enumerate(paths, 1):
        target = (args.out / path.relative_to(args.root)).with_suffix(".png")
        if target.exists():
            continue
        picture = cv2.imread(str(path))
        if picture is None:
            unreadable += 1
            continue
        if args.thumbnails:
            labels = label_thumbnail(picture[:, :, ::-1], teacher, VOC_CLASSES.index(args.thumbnails), args.sure)
        else:
            labels = label_map(picture[:, :, ::-1], teacher, args.side, args.sure, not args.once)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(".draft.png")
        cv2.imwrite(str(draft), labels)
        draft.replace(target)
        written += 1
        if done % 100 == 0:
            print(f"\r{done}/{len(paths)} pictures", end="", file=sys.stderr, flush=True)
    print(f"\n{args.out}: {written} new label maps of {len(paths)}, {unreadable} unreadable", file=sys.stderr)


if __name__ == "__main__":
    main()
