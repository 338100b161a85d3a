"""The command line: ``python -m cvdemo COMMAND``. Every task without a browser."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from cvdemo import __version__
from cvdemo.action import evaluate as evaluate_action
from cvdemo.classification import evaluate as evaluate_classification
from cvdemo.commands import action, classify, detect, faces, flow, models, pose, segment, style
from cvdemo.core.errors import CvDemoError
from cvdemo.detection import evaluate as evaluate_detection
from cvdemo.faces import evaluate as evaluate_faces
from cvdemo.faces import evaluate_pairs as evaluate_face_pairs
from cvdemo.flow import evaluate as evaluate_flow
from cvdemo.pose import evaluate as evaluate_pose
from cvdemo.segmentation import evaluate as evaluate_segmentation
from cvdemo.style import evaluate as evaluate_style


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(prog="python -m cvdemo", description=__doc__)
    parser.add_argument("--version", action="version", version=f"cvdemo {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    detect.add_parser(commands).set_defaults(run=detect.run)
    classify.add_parser(commands)
    segment.add_parser(commands)
    pose.add_parser(commands)
    flow.add_parser(commands)
    action.add_parser(commands)
    faces.add_parser(commands)
    style.add_parser(commands)
    evaluate = commands.add_parser("evaluate", help="measure a model on labelled pictures")
    tasks = evaluate.add_subparsers(dest="task", required=True, metavar="TASK")
    evaluate_detection.add_parser(tasks)
    evaluate_classification.add_parser(tasks)
    evaluate_classification.add_emotion_parser(tasks)
    evaluate_faces.add_parser(tasks)
    evaluate_face_pairs.add_parser(tasks)
    evaluate_segmentation.add_parser(tasks)
    evaluate_pose.add_parser(tasks)
    evaluate_flow.add_parser(tasks)
    evaluate_action.add_parser(tasks)
    evaluate_style.add_parser(tasks)
    models.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; foreseen problems end in one line on standard error and exit code 2."""
    args = build_parser().parse_args(arguments)
    try:
        code = int(args.run(args) or 0)
        sys.stdout.flush()
        return code
    except CvDemoError as error:
        print(f"cvdemo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("cvdemo: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # such as `... --json - | head`; what is left goes nowhere, or Python complains at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
