"""``python -m cvdemo style CONTENT STYLE …``: a picture in the style of others, without a browser."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.commands.shared import local_path, to_json, write
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import is_video, read_picture, save_picture
from cvdemo.style import video
from cvdemo.style.predict import (
    ADAIN,
    COMPACT_ENCODER,
    PRESETS,
    StyleResult,
    StyleSettings,
    decode,
    draw,
    fast_name,
    infer,
    optimise,
    preset,
)
from cvdemo.style.race import fast_style_of, race
from cvdemo.style.styles import STYLES, load_style

METHODS = ("gatys", "adain", "fast", "race")
NONE = "none"


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Register the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "style", help="a picture or a video in the style of others", description=__doc__
    )
    parser.add_argument("content", type=local_path, metavar="CONTENT", help=f"a picture or video, or {NONE}")
    parser.add_argument("styles", nargs="*", metavar="STYLE", help=f"pictures, or names: {', '.join(STYLES)}")
    parser.add_argument(
        "--method", choices=METHODS, default="gatys",
        help="optimisation, arbitrary style in one pass, feed-forward (a name of ours), or all three in a race",
    )  # fmt: skip
    parser.add_argument("--encoder", default=COMPACT_ENCODER, help="gatys: the network (default: %(default)s)")
    parser.add_argument("--blend", metavar="W,W", help="the styles' weights, such as 2,1")
    parser.add_argument("--preset", choices=tuple(PRESETS), help="gatys: weights by name; options count more")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the picture, or the video as .mp4")
    parser.add_argument("--json", metavar="FILE", help="write the facts as JSON; - for standard output")
    parser.add_argument("--stride", type=int, default=1, help="video: look at every n-th frame only (default: 1)")
    StyleSettings.add_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; 0, or an error that says what to do."""
    from cvdemo import tasks

    tasks.load_all()
    base = preset(args.preset) if args.preset else StyleSettings()
    settings = StyleSettings.from_arguments(args, base=base)
    blend = _weights(args.blend, len(args.styles))
    if os.path.isfile(args.content) and is_video(args.content):
        return _video(args, settings, blend)
    content = None if str(args.content) == NONE else read_picture(args.content)
    if args.method == "race":
        return _race(args, content, settings)
    result, pixels = _picture(args, content, settings, blend)
    print(f"{args.content.name}: {result.sentence()}", file=sys.stderr)
    if args.save is not None:
        save_picture(args.save, pixels)
    write(args.json, to_json(result.to_dict(args.content.name)))
    return 0


def _picture(
    args: argparse.Namespace, content: Any, settings: StyleSettings, blend: list[float] | None
) -> tuple[StyleResult, np.ndarray]:
    if args.method == "gatys":
        result = optimise(
            content, [style_picture(name) for name in args.styles], settings, blend=blend, names=args.styles,
            model=args.encoder, progress=_progress,
        )  # fmt: skip
        print(file=sys.stderr)
        return result, result.pixels
    if content is None:
        raise InputError("There is no content picture.", hint="Only --method gatys works without one.")
    styles, model = _one_pass(args)
    inference = infer(content, styles, model, settings, names=args.styles)
    result = decode(inference, settings, blend)
    return result, draw(inference, result, settings)


def _one_pass(args: argparse.Namespace) -> tuple[list[np.ndarray], str]:
    """The style pictures and the model of a method that takes one pass."""
    if args.method == "fast":
        if len(args.styles) != 1:
            raise InputError("A feed-forward network has one style.", hint="Name one of the program's own.")
        return [], fast_name(fast_style_of(args.styles[0]))
    if args.method != "adain":
        raise InputError("Videos are stylised in one pass.", hint="Use --method adain or --method fast.")
    return [style_picture(name) for name in args.styles], ADAIN


def _video(args: argparse.Namespace, settings: StyleSettings, blend: list[float] | None) -> int:
    if args.save is None:
        raise CvDemoError("Nothing says where the video goes.", hint="Name a file with --save FILE.mp4.")
    styles, model = _one_pass(args)
    made = video.stylise_video(
        args.content, args.save, styles, model, settings, blend=blend, stride=args.stride, progress=_progress
    )
    info = made.info
    print(f"\n{args.save.name}: {made.sentence()}", file=sys.stderr)
    facts = {"name": args.content.name, "width": info.width, "height": info.height, "fps": info.fps}
    write(args.json, to_json({**made.to_dict(), "video": facts, "styles": args.styles}))
    return 0


def _race(args: argparse.Namespace, content: Any, settings: StyleSettings) -> int:
    if content is None or len(args.styles) != 1:
        raise InputError("A race needs one content and one style.", hint="Name both.")
    name = args.styles[0]
    own = name if name in STYLES else ""
    found = race(
        content, style_picture(name), settings, style_name=own, model=args.encoder, judge=args.encoder,
        progress=_progress,
    )  # fmt: skip
    print(f"\n{found.sentence()}", file=sys.stderr)
    for runner in found.runners:
        if runner.reason:
            print(f"{runner.method}: {runner.reason}", file=sys.stderr)
    if args.save is not None:
        pictures = [runner.pixels for runner in found.runners if runner.pixels is not None]
        if not pictures:
            raise InputError("No method could start.", hint="See the reasons above.")
        height, width = (min(p.shape[side] for p in pictures) for side in (0, 1))
        save_picture(args.save, np.hstack([p[:height, :width] for p in pictures]))
    write(args.json, to_json(found.to_dict()))
    return 0


def style_picture(name: str) -> np.ndarray:
    """One of the program's own styles by its name, or a picture's file."""
    return load_style(name) if name in STYLES else read_picture(local_path(name)).pixels


def _weights(text: str | None, count: int) -> list[float] | None:
    if text is None:
        return None
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{text!r} are no weights.", hint="Write numbers with commas: 2,1.") from error
    if len(weights) != count:
        raise InputError(f"{len(weights)} weights for {count} styles.", hint="Give one for each style.")
    return weights


def _progress(fraction: float, text: str) -> None:
    print(f"\r{fraction:4.0%} {text}    ", end="", file=sys.stderr, flush=True)
