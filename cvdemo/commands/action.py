"""``python -m cvdemo action``: which action a clip or picture shows, without a browser."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from cvdemo.action import video
from cvdemo.action.clips import sample_clip
from cvdemo.action.predict import DEFAULT_MODEL, ActionSettings, clip_spec, decode, draw, infer, settings_for
from cvdemo.action.timeline import decode_timeline, timeline
from cvdemo.commands.shared import local_path, to_json, write
from cvdemo.core.errors import CvDemoError
from cvdemo.core.media import is_video, read_picture, save_picture


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Register the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "action", help="say which action a clip shows", description=__doc__
    )
    parser.add_argument("input", type=local_path, metavar="CLIP", help="a video, or a picture")
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"see `python -m cvdemo models` (default: {DEFAULT_MODEL})"
    )
    parser.add_argument("--start", type=float, default=0.0, metavar="S", help="look from this second on (default: 0)")
    parser.add_argument("--timeline", action="store_true", help="look at the whole video, window by window")
    parser.add_argument("--stride", type=float, metavar="S", help="seconds between windows (default: half a window)")
    parser.add_argument("--json", metavar="FILE", help="write the result as JSON; - for standard output")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the video (or picture) with the actions drawn in"
    )
    ActionSettings.add_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; 0, or CvDemoError."""
    settings = ActionSettings.from_arguments(args, base=settings_for(args.model))
    if not (os.path.isfile(args.input) and is_video(args.input)):
        return _picture(args, settings)
    if args.timeline or args.out is not None:
        return _timeline(args, settings)
    clip = sample_clip(args.input, start=args.start, spec=clip_spec(args.model))
    actions = decode(infer(clip, args.model), settings)
    print(f"{args.input.name}: {actions.sentence()}", file=sys.stderr)
    if actions.clip.note:
        print(f"({actions.clip.note})", file=sys.stderr)
    _answer(args, actions.to_dict(args.input.name), actions.top)
    return 0


def _answer(args: argparse.Namespace, result: dict[str, Any], top: Any) -> None:
    write(args.json, to_json(result))
    if args.json != "-":
        for _, name, probability in top:
            print(f"{100 * probability:5.1f} %  {name}")


def _picture(args: argparse.Namespace, settings: ActionSettings) -> int:
    if args.timeline:
        raise CvDemoError(f"{args.input.name} is no video and has no timeline.", hint="Leave out --timeline.")
    picture = read_picture(args.input)
    actions = decode(infer(picture, args.model), settings)
    if args.out is not None:
        save_picture(args.out, draw(picture.pixels, actions, settings))
    print(f"{args.input.name}: {actions.sentence()}", file=sys.stderr)
    _answer(args, actions.to_dict(args.input.name), actions.top)
    return 0


def _timeline(args: argparse.Namespace, settings: ActionSettings) -> int:
    def progress(fraction: float, text: str) -> None:
        print(f"\r{fraction:4.0%} {text}    ", end="", file=sys.stderr, flush=True)

    raw = timeline(args.input, args.model, stride=args.stride, start=args.start, progress=progress)
    curves = decode_timeline(raw, settings)
    print(f"\n{args.input.name}: {curves.sentence()}", file=sys.stderr)
    if args.out is not None:
        video.annotate(args.input, args.out, raw, settings, progress=progress)
        print(file=sys.stderr)
    for note in curves.notes:
        print(f"({note})", file=sys.stderr)
    write(args.json, to_json(curves.to_dict(args.input.name)))
    if args.json != "-":
        for start, end, label, probability in curves.segments:
            print(f"{start:7.1f} {end:7.1f} s  {100 * probability:5.1f} %  {label}")
    return 0
