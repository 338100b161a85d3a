"""``python -m cvdemo segment``: classes or objects pixel by pixel, in a picture, a folder or a video."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.commands.shared import each_picture, is_folder, local_path, make_folder, to_json, write
from cvdemo.core.errors import CvDemoError
from cvdemo.core.files import written_whole
from cvdemo.core.media import is_video, read_picture, save_picture
from cvdemo.segmentation import export, video
from cvdemo.segmentation.instances import InstanceSegmentation
from cvdemo.segmentation.labels import COCO_NAMES, VOC_CLASSES
from cvdemo.segmentation.predict import DEFAULT_MODEL, SegmentationSettings, decode, draw, infer, settings_for
from cvdemo.segmentation.result import Segmentation

Found = Segmentation | InstanceSegmentation


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Register the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "segment", help="label every pixel of a picture, a folder or a video", description=__doc__
    )
    parser.add_argument("input", type=local_path, metavar="INPUT", help="a picture, a folder of pictures, or a video")
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"see `python -m cvdemo models` (default: {DEFAULT_MODEL})"
    )
    parser.add_argument("--json", metavar="FILE", help="write areas or objects as JSON; - for standard output")
    parser.add_argument("--coco", metavar="FILE", help="write masks in COCO's json layout; - for standard output")
    parser.add_argument("--polygons", action="store_true", help="--coco: outlines instead of run lengths")
    parser.add_argument("--csv", metavar="FILE", help="write one line per class or object; - for standard output")
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="write the drawn picture or video; a folder for a folder"
    )
    parser.add_argument(
        "--mask", type=Path, metavar="FILE", help="write the class indices as PNG; a folder for a folder"
    )
    parser.add_argument(
        "--cut-out", type=Path, metavar="FILE", help="write what is shown as PNG with transparency; a folder likewise"
    )
    parser.add_argument("--behind", type=local_path, metavar="FILE", help="picture for --background picture")
    parser.add_argument("--stride", type=int, default=1, help="video: look at every n-th frame only (default: 1)")
    SegmentationSettings.add_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; 0 when every input could be read, 1 when some could not."""
    from cvdemo import tasks

    tasks.load_all()
    settings = SegmentationSettings.from_arguments(args, base=settings_for(args.model))
    behind = read_picture(args.behind).pixels if args.behind is not None else None
    if settings.background == "picture" and behind is None:
        raise CvDemoError("No picture was given for the background.", hint="Name one with --behind FILE.")
    if is_folder(args.input):
        return _folder(args, settings, behind)
    if os.path.isfile(args.input) and is_video(args.input):
        return _video(args, settings, behind)
    found = _picture(args.input, args.model, settings, behind, args.save, args.mask, args.cut_out)
    print(f"{args.input.name}: {found.sentence()}", file=sys.stderr)
    write(args.json, to_json(found.to_dict(args.input.name)))
    if args.coco:
        write(args.coco, to_json(export.coco_document([(args.input.name, found)], polygons=args.polygons)))
    write(args.csv, export.to_csv(found, args.input.name))
    return 0


def _picture(
    path: Path,
    model: str,
    settings: SegmentationSettings,
    behind: np.ndarray | None,
    save: Path | None,
    mask: Path | None,
    cut: Path | None,
) -> Found:
    picture = read_picture(path)
    found = decode(infer(picture, model), settings)
    if save is not None:
        save_picture(save, draw(picture.pixels, found, settings, behind=behind))
    if mask is not None:
        _write_bytes(mask, mask_png(found))
    if cut is not None:
        _write_bytes(cut, export.cut_out_png(picture.pixels, found))
    return found


def mask_png(found: Found) -> bytes:
    """The index PNG of a result; an instance model's objects are painted into the 21 classes of PASCAL VOC."""
    if isinstance(found, Segmentation):
        return export.index_png(found.labels, found.categories)
    names = {coco: voc for voc, coco in COCO_NAMES.items()}
    return export.index_png(found.label_map(VOC_CLASSES, names), VOC_CLASSES)


def _write_bytes(path: Path, data: bytes) -> None:
    with written_whole(path) as target:
        target.write_bytes(data)


def _folder(args: argparse.Namespace, settings: SegmentationSettings, behind: np.ndarray | None) -> int:
    for folder in (args.save, args.mask, args.cut_out):
        if folder is not None:
            make_folder(folder, args.input)

    def look(path: Path, stem: str) -> Found:
        targets = [folder and folder / f"{stem}.png" for folder in (args.save, args.mask, args.cut_out)]
        return _picture(path, args.model, settings, behind, *targets)

    found, failed = each_picture(args.input, look, lambda result: result.sentence())
    write(args.json, to_json({"pictures": [result.to_dict(name) for name, result in found]}))
    if args.coco:
        write(args.coco, to_json(export.coco_document(found, polygons=args.polygons)))
    write(args.csv, "".join(export.to_csv(r, name, header=not index) for index, (name, r) in enumerate(found)))
    return 1 if failed else 0


def _video(args: argparse.Namespace, settings: SegmentationSettings, behind: np.ndarray | None) -> int:
    if args.coco or args.mask or args.cut_out:
        raise CvDemoError("Masks, cut-outs and COCO layout are for pictures only.", hint="Use --json for a video.")

    def progress(fraction: float, text: str) -> None:
        print(f"\r{fraction:4.0%} {text}    ", end="", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        target = args.save or Path(folder) / "segmented.mp4"
        result = video.annotate(
            args.input, target, args.model, settings, stride=args.stride, behind=behind, progress=progress
        )
    print(f"\n{args.input.name}: {result.areas.sentence()}", file=sys.stderr)
    frames = [
        {"time": round(time, 4), "percent": {name: round(value, 3) for name, value in shares.items()}}
        for time, shares in result.areas.rows
    ]
    facts = {"name": args.input.name, "width": result.info.width, "height": result.info.height, "fps": result.info.fps}
    write(args.json, to_json({"video": facts, "model": args.model, "frames": frames}))
    write(args.csv, result.areas.to_csv())
    return 0
