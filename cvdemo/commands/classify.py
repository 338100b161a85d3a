"""``python -m cvdemo classify``: what a picture, or each picture of a folder, shows, without a browser."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from cvdemo.classification.predict import (
    DEFAULT_MODEL,
    Classification,
    ClassificationSettings,
    decode,
    infer,
    settings_for,
)
from cvdemo.commands.shared import each_picture, is_folder, local_path, to_json, write
from cvdemo.core.media import read_picture


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Register the subcommand; the parsed arguments carry ``run``."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "classify", help="say what a picture or each picture of a folder shows", description=__doc__
    )
    parser.add_argument("input", type=local_path, metavar="INPUT", help="a picture, or a folder of pictures")
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"see `python -m cvdemo models` (default: {DEFAULT_MODEL})"
    )
    parser.add_argument("--json", metavar="FILE", help="write the result as JSON; - for standard output")
    parser.add_argument("--csv", metavar="FILE", help="write one line per class shown; - for standard output")
    ClassificationSettings.add_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; 0 when every input could be read, 1 when some could not."""
    settings = ClassificationSettings.from_arguments(args, base=settings_for(args.model))

    def look(path: Path, _stem: str = "") -> Classification:
        return decode(infer(read_picture(path), args.model), settings)

    if is_folder(args.input):
        found, failed = each_picture(args.input, look, Classification.sentence)
        write(args.json, to_json({"pictures": [result.to_dict(name) for name, result in found]}))
        write(args.csv, "".join(result.to_csv(name, header=not index) for index, (name, result) in enumerate(found)))
        return 1 if failed else 0
    result = look(args.input)
    print(f"{args.input.name}: {result.sentence()}", file=sys.stderr)
    write(args.json, to_json(result.to_dict(args.input.name)))
    write(args.csv, result.to_csv())
    return 0
