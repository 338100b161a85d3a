"""``python -m cvdemo flow A B``: the motion between two pictures, or through a video, without a browser."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from cvdemo.commands.shared import local_path, make_folder, to_json, write
from cvdemo.core.errors import InputError
from cvdemo.core.media import is_video, read_picture, save_picture
from cvdemo.flow.files import SUFFIXES, write_flow
from cvdemo.flow.metrics import score
from cvdemo.flow.predict import DEFAULT_MODEL, FlowField, FlowSettings, decode, draw, infer, settings_for


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Register the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "flow", help="estimate the motion between two pictures or through a video", description=__doc__
    )
    parser.add_argument("first", type=local_path, metavar="A", help="the first picture, or a video")
    parser.add_argument("second", type=local_path, metavar="B", nargs="?", help="the second picture")
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"see `python -m cvdemo models --task flow` (default: {DEFAULT_MODEL})"
    )
    parser.add_argument(
        "--out", type=local_path, action="append", default=[], metavar="FILE",
        help="write the flow: .flo (Middlebury), .png (KITTI, 16 bits) or .npy; may be repeated; a folder for a video",
    )  # fmt: skip
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the drawn picture, or the video (.mp4)")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON; - for standard output")
    parser.add_argument("--truth", type=local_path, metavar="FILE", help="the true flow, to measure the error against")
    parser.add_argument("--backward", action="store_true", help="also compute the flow back, to find what is occluded")
    parser.add_argument("--stride", type=int, default=1, help="video: look at every n-th frame only (default: 1)")
    FlowSettings.add_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; 0, or CvDemoError."""
    from cvdemo import tasks

    tasks.load_all()
    settings = FlowSettings.from_arguments(args, base=settings_for(args.model))
    if args.second is None:
        if not os.path.isfile(args.first) or not is_video(args.first):
            raise InputError(
                f"{args.first.name} is one picture; motion is between two.", hint="Give a second one, or a video."
            )
        return _video(args, settings)
    for path in args.out:
        if path.suffix.lower() not in SUFFIXES:
            raise InputError(f"Flow cannot be written as {path.name}.", hint=f"Use one of {', '.join(SUFFIXES)}.")
    first, second = read_picture(args.first), read_picture(args.second)
    backward = args.backward or settings.view == "occlusion" or settings.show_occlusion
    inference = infer(
        first, second, args.model, backward=backward, iterations=settings.iterations, variational=settings.variational
    )  # fmt: skip
    field = decode(inference, settings)
    print(f"{args.first.name} to {args.second.name}: {field.sentence()}", file=sys.stderr)
    result = field.to_dict()
    result["milliseconds"] = {stage: round(ms, 3) for stage, ms in inference.stages.items()}
    if args.truth is not None:
        result["truth"] = _compared(field, args.truth)
    for path in args.out:
        write_flow(path, field.flow)
    if args.save is not None:
        save_picture(args.save, draw(first.pixels, field, settings))
    write(args.json, to_json(result))
    return 0


def _compared(field: FlowField, path: Path) -> dict[str, float | None]:
    """The errors against a file's flow, also said on standard error."""
    from cvdemo.flow.files import read_flow

    truth, known = read_flow(path)
    found = score(field.flow, truth, known, field.occluded)
    print(f"endpoint error {found.epe:.3f} px, Fl-all {found.fl_all:.2f} %", file=sys.stderr)
    return found.to_dict()


def _video(args: argparse.Namespace, settings: FlowSettings) -> int:
    from cvdemo.flow import video

    if args.save is None:
        raise InputError("Where should the video go?", hint="Give --save NAME.mp4.")
    if args.truth is not None:
        raise InputError("A true flow belongs to two pictures, not to a video.", hint="Leave --truth out.")
    if len(args.out) > 1:
        raise InputError("The flow of a video goes to one folder.", hint="Give --out once.")
    folder = args.out[0] if args.out else None
    if folder is not None:
        make_folder(folder, args.first.parent)

    def each(number: int, field: FlowField) -> None:
        if folder is not None:
            write_flow(folder / f"{number:06d}.flo", field.flow)

    made = video.annotate(
        args.first, args.save, args.model, settings, stride=args.stride, each=each,
        progress=lambda fraction, text: print(f"\r{fraction:4.0%} {text}", end="", file=sys.stderr),
    )  # fmt: skip
    print(f"\n{args.first.name}: {made.sentence()}", file=sys.stderr)
    write(args.json, to_json(made.to_dict()))
    return 0
