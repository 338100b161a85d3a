"""Accuracy of an action model on a folder: ``python -m cvdemo evaluate action --data DIR --model NAME``.

The folder has one sub-folder a class, with clips or stills. A clip's windows lie end to end and their probabilities
are averaged. What is counted is the best of *all* actions the model knows, not only of those that have a folder.
Folders of actions that the model does not know are left out and named.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cvdemo.classification.evaluate import summarise
from cvdemo.core.errors import InputError
from cvdemo.core.report import ProgressLine, hand_over

STILLS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
CLIPS = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".gif", ".ogv"})
Scores = Callable[[Path], np.ndarray]
Report = Callable[[int, int], None]


class _Subparsers(Protocol):
    def add_parser(self, name: str, **kwargs: Any) -> argparse.ArgumentParser: ...


def class_of_folder(name: str, categories: Sequence[str]) -> int | None:
    """The index of the action a folder's name stands for, None for an unknown one.

    Case, and whether words are parted by space, "-", "_" or nothing, do not matter, nor does a plural's "s".
    """
    wanted = _plain(name)
    for index, category in enumerate(categories):
        if wanted in (_plain(category), _plain(category) + "s") or wanted + "s" == _plain(category):
            return index
    return None


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def labelled_files(folder: Path, categories: Sequence[str]) -> tuple[list[tuple[Path, int]], list[str]]:
    """Every clip and still under the sub-folders with its class, and the folders that are no class of the model.

    Errors: InputError for no folder, no sub-folder that is a class (naming both sides), no file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", hint="Give a folder with one sub-folder a class.")
    children = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not children:
        raise InputError(f"{folder} has no sub-folders.", hint="It needs one sub-folder a class, with clips or stills.")
    known = [(child, class_of_folder(child.name, categories)) for child in children]
    if all(index is None for _, index in known):
        raise InputError(
            f"None of the folders is an action of the model. Folders: {_listed([c.name for c in children])}. "
            f"Actions: {_listed(categories)}.",
            hint="Name the folders by the model's actions, or choose another model.",
        )
    pairs = [
        (path, index)
        for child, index in known
        if index is not None
        for path in sorted(child.rglob("*"))
        if path.suffix.lower() in STILLS | CLIPS
    ]
    if not pairs:
        raise InputError(
            f"The folders in {folder} hold no clips and no stills.", hint="Put videos or pictures in them."
        )
    return pairs, [child.name for child, index in known if index is None]


def _listed(names: Sequence[str], most: int = 40) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def evaluate(
    folder: Path, scores_of: Scores, categories: Sequence[str], *, model: str = "", progress: Report | None = None
) -> dict[str, Any]:
    """Look at every clip and still under a folder and count.

    Args:
        folder: one sub-folder a class.   scores_of: from a file to (C,) scores, larger is likelier.
        progress: called with (files done, files in all).
    Returns:
        accuracy and top5 in [0, 1]; accuracy_among_folders, choosing only among classes that have a folder; per_class
        {name: {accuracy, precision, clips}}; confusion {labels, matrix}; clips; skipped_folders; unreadable; model.
    Errors:
        InputError for a folder without known classes or readable files.
    """
    pairs, unknown = labelled_files(Path(folder), categories)
    rows: list[np.ndarray] = []
    truth: list[int] = []
    unreadable: list[str] = []
    for done, (path, index) in enumerate(pairs):
        if progress is not None:
            progress(done, len(pairs))
        try:
            rows.append(np.asarray(scores_of(path), np.float64))
            truth.append(index)
        except InputError as error:
            unreadable.append(path.name)
            print(f"{path.name} is left out: {error}", file=sys.stderr)
    if not rows:
        raise InputError(f"None of the {len(pairs)} files in {folder} could be read.", hint="Check one of them.")
    if progress is not None:
        progress(len(pairs), len(pairs))
    result = summarise(np.stack(rows), np.array(truth), categories)
    result["clips"] = result.pop("images")
    for row in result["per_class"].values():
        row["clips"] = row.pop("images")
    return result | {"skipped_folders": unknown, "unreadable": unreadable, "model": model}


def scores_by(model: str) -> Scores:
    """The function that looks at one file with a model: mean probabilities of its windows."""
    from cvdemo.action import predict
    from cvdemo.action.raw import softmax
    from cvdemo.action.timeline import timeline
    from cvdemo.core.media import read_picture

    span = predict.clip_spec(model).span

    def scores_of(path: Path) -> np.ndarray:
        if path.suffix.lower() in STILLS:
            return softmax(predict.infer(read_picture(path), model).raw.logits)
        return np.asarray(softmax(timeline(path, model, stride=span).logits).mean(axis=0))

    return scores_of


def add_parser(subparsers: _Subparsers) -> None:
    """Add ``action`` to the tasks of ``python -m cvdemo evaluate``; the parsed arguments carry ``run``."""
    parser = subparsers.add_parser("action", help="accuracy on folders of labelled clips or stills")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with one sub-folder a class")
    parser.add_argument("--model", metavar="NAME", help="registry name of the model (default: compact-action)")
    parser.add_argument("--json", metavar="FILE", help="write JSON to a file, or to the output with -")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate as the parsed arguments say and print the result; 0, or InputError and its like."""
    from cvdemo.action import predict

    model = args.model or predict.DEFAULT_MODEL
    categories = predict.model_spec(model).categories
    labelled_files(args.data, categories)  # says at once what is wrong with the folder, before a model is loaded
    result = evaluate(args.data, scores_by(model), categories, model=model, progress=ProgressLine())
    hand_over(result, args.json, table(result))
    return 0


def table(result: Mapping[str, Any]) -> str:
    """The result for people: the figures, then the classes, best first."""
    lines = [
        f"{result['model']} on {result['clips']} clips and stills",
        f"  top-1 {100 * result['accuracy']:5.1f} %",
        f"  top-5 {100 * result['top5']:5.1f} %",
        f"  top-1 among the folders' classes {100 * result['accuracy_among_folders']:5.1f} %",
    ]
    if result["skipped_folders"]:
        lines.append(f"  not among the model's actions: {_listed(result['skipped_folders'])}")
    width = max(map(len, result["per_class"]))
    lines += ["", f"  {'class':<{width}}  accuracy  precision  clips"]
    for name, row in sorted(result["per_class"].items(), key=lambda item: -item[1]["accuracy"]):
        accuracy, precision = 100 * row["accuracy"], 100 * row["precision"]
        lines.append(f"  {name:<{width}}  {accuracy:6.1f} %   {precision:6.1f} %  {row['clips']:5d}")
    return "\n".join(lines)
