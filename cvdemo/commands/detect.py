"""``python -m cvdemo detect``: objects in a picture, a folder of pictures or a video, without a browser."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from cvdemo.commands.shared import each_picture, is_folder, local_path, make_folder, to_json, write
from cvdemo.core.errors import CvDemoError
from cvdemo.core.media import is_video, read_picture, save_picture
from cvdemo.detection import video
from cvdemo.detection.candidates import Detections, name_of
from cvdemo.detection.predict import DEFAULT_MODEL, DetectionSettings, decode, draw, infer, settings_for
from cvdemo.detection.view import coco_document


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Register the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "detect", help="find objects in a picture, a folder or a video", description=__doc__
    )
    parser.add_argument("input", type=local_path, metavar="INPUT", help="a picture, a folder of pictures, or a video")
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"see `python -m cvdemo models` (default: {DEFAULT_MODEL})"
    )
    parser.add_argument("--json", metavar="FILE", help="write the result as JSON; - for standard output")
    parser.add_argument("--coco", metavar="FILE", help="write the result in COCO's json layout; - for standard output")
    parser.add_argument("--csv", metavar="FILE", help="write one line per object; - for standard output")
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="write the drawn picture or video; a folder for a folder"
    )
    parser.add_argument("--stride", type=int, default=1, help="video: look at every n-th frame only (default: 1)")
    DetectionSettings.add_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; 0 when every input could be read, 1 when some could not."""
    from cvdemo import tasks

    tasks.load_all()
    settings = DetectionSettings.from_arguments(args, base=settings_for(args.model))
    if is_folder(args.input):
        return _folder(args, settings)
    if os.path.isfile(args.input) and is_video(args.input):
        return _video(args, settings)
    detections = _picture(args.input, args.model, settings, args.save)
    print(f"{args.input.name}: {detections.sentence()}", file=sys.stderr)
    write(args.json, to_json(detections.to_dict(args.input.name)))
    write(args.coco, to_json(coco_document([(args.input.name, detections)])))
    write(args.csv, detections.to_csv())
    return 0


def _picture(path: Path, model: str, settings: DetectionSettings, save: Path | None) -> Detections:
    picture = read_picture(path)
    decoded = decode(infer(picture, model), settings)
    if save is not None:
        save_picture(save, draw(picture.pixels, decoded, settings))
    return decoded.detections


def _folder(args: argparse.Namespace, settings: DetectionSettings) -> int:
    if args.save is not None:
        make_folder(args.save, args.input)

    def look(path: Path, stem: str) -> Detections:
        return _picture(path, args.model, settings, args.save / f"{stem}.png" if args.save is not None else None)

    found, failed = each_picture(args.input, look, Detections.sentence)
    write(args.json, to_json({"pictures": [detections.to_dict(name) for name, detections in found]}))
    write(args.coco, to_json(coco_document(found)))
    write(args.csv, "".join(d.to_csv(name, header=not index) for index, (name, d) in enumerate(found)))
    return 1 if failed else 0


def _video(args: argparse.Namespace, settings: DetectionSettings) -> int:
    if args.coco:
        raise CvDemoError("COCO layout is for pictures only.", hint="Use --json for a video.")

    def progress(fraction: float, text: str) -> None:
        print(f"\r{fraction:4.0%} {text}    ", end="", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        target = args.save or Path(folder) / "detections.mp4"
        result = video.annotate(args.input, target, args.model, settings, stride=args.stride, progress=progress)
    print(f"\n{args.input.name}: {result.counts.sentence()}", file=sys.stderr)
    frames = []
    for (index, inference), (time, counts) in zip(sorted(result.track.frames.items()), result.counts.rows):
        detections = decode(inference, settings).detections
        frames.append({
            "index": index,
            "time": round(time, 4),
            "counts": {name_of(label): count for label, count in counts.items()},
            "detections": detections.to_dict()["detections"],
        })  # fmt: skip
    facts = {"name": args.input.name, "width": result.info.width, "height": result.info.height, "fps": result.info.fps}
    write(args.json, to_json({"video": facts, "model": args.model, "frames": frames}))
    write(args.csv, result.counts.to_csv())
    return 0
