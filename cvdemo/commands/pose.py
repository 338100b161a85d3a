"""``python -m cvdemo pose``: people's joints in a picture, a folder of pictures or a video, without a browser."""

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
from cvdemo.pose import video
from cvdemo.pose.poses import Poses, coco_document
from cvdemo.pose.predict import DEFAULT_MODEL, PoseSettings, decode, draw, infer, settings_for


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Register the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "pose", help="find people's joints in a picture, a folder or a video", description=__doc__
    )
    parser.add_argument("input", type=local_path, metavar="INPUT", help="a picture, a folder of pictures, or a video")
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"see `python -m cvdemo models` (default: {DEFAULT_MODEL})"
    )
    parser.add_argument("--json", metavar="FILE", help="write the result as JSON; - for standard output")
    parser.add_argument("--coco", metavar="FILE", help="write a COCO keypoints file; - for standard output")
    parser.add_argument(
        "--csv", metavar="FILE", help="one line per joint, for a video one per frame and person with joint angles"
    )
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="write the drawn picture or video; a folder for a folder"
    )
    parser.add_argument("--stride", type=int, default=1, help="video: look at every n-th frame only (default: 1)")
    PoseSettings.add_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; 0 when every input could be read, 1 when some could not."""
    from cvdemo import tasks

    tasks.load_all()
    settings = PoseSettings.from_arguments(args, base=settings_for(args.model))
    if is_folder(args.input):
        return _folder(args, settings)
    if os.path.isfile(args.input) and is_video(args.input):
        return _video(args, settings)
    poses = _picture(args.input, args.model, settings, args.save)
    print(f"{args.input.name}: {poses.sentence()}", file=sys.stderr)
    write(args.json, to_json(poses.to_dict(args.input.name)))
    write(args.coco, to_json(coco_document([(args.input.name, poses)])))
    write(args.csv, poses.to_csv())
    return 0


def _picture(path: Path, model: str, settings: PoseSettings, save: Path | None) -> Poses:
    picture = read_picture(path)
    poses = decode(infer(picture, model), settings)
    if save is not None:
        save_picture(save, draw(picture.pixels, poses, settings))
    return poses


def _folder(args: argparse.Namespace, settings: PoseSettings) -> int:
    if args.save is not None:
        make_folder(args.save, args.input)

    def look(path: Path, stem: str) -> Poses:
        return _picture(path, args.model, settings, args.save / f"{stem}.png" if args.save is not None else None)

    found, failed = each_picture(args.input, look, Poses.sentence)
    write(args.json, to_json({"pictures": [poses.to_dict(name) for name, poses in found]}))
    write(args.coco, to_json(coco_document(found)))
    write(args.csv, "".join(poses.to_csv(name, header=not index) for index, (name, poses) in enumerate(found)))
    return 1 if failed else 0


def _video(args: argparse.Namespace, settings: PoseSettings) -> int:
    if args.coco:
        raise CvDemoError("COCO layout is for pictures only.", hint="Use --json for a video.")

    def progress(fraction: float, text: str) -> None:
        print(f"\r{fraction:4.0%} {text}    ", end="", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        target = args.save or Path(folder) / "poses.mp4"
        result = video.annotate(args.input, target, args.model, settings, stride=args.stride, progress=progress)
    print(f"\n{args.input.name}: {result.sentence()}", file=sys.stderr)
    frames = [
        {"index": index, "time": round(time, 4), "people": poses.to_dict()["people"]}
        for index, time, poses in result.frames
    ]
    facts = {"name": args.input.name, "width": result.info.width, "height": result.info.height, "fps": result.info.fps}
    write(args.json, to_json({"video": facts, "model": args.model, "frames": frames}))
    write(args.csv, result.to_csv())
    return 0
