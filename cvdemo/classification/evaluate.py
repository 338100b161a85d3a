"""Accuracy of a classifier on a folder of labelled pictures: ``python -m cvdemo evaluate classification --images DIR``.

The folder has one sub-folder a class. What is counted: the best of *all* classes the model knows, not only of those
that have a folder; the second figure, among the folders' classes, is given beside it. ``evaluate emotion`` counts and
prints in the same way.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cvdemo.classification.labels import IMAGENET_CLASSES, INDEX_OF_WORDNET
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.media import read_picture
from cvdemo.core.report import ProgressLine, hand_over

Predict = Callable[[np.ndarray], np.ndarray]
Report = Callable[[int, int], None]

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
OTHER = "other"


class _Subparsers(Protocol):
    def add_parser(self, name: str, **kwargs: Any) -> argparse.ArgumentParser: ...


# ------------------------------------------------------------------ metrics


def confusion_matrix(true: np.ndarray, predicted: np.ndarray, count: int) -> np.ndarray:
    """How often class i was called class j: (count, count) int64, rows true, for index arrays of equal length."""
    flat = np.bincount(np.asarray(true) * count + np.asarray(predicted), minlength=count * count)
    return flat.reshape(count, count)


def top_k_hits(scores: np.ndarray, true: np.ndarray, k: int) -> np.ndarray:
    """(N,) bool: is the true class among the k best of (N, C) scores? Equal scores count for the lower index."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return (order == np.asarray(true)[:, None]).any(axis=1)


def precision_and_recall(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C,) each, from rows of true and columns of predicted classes; 0 where a class was never predicted, or absent."""
    hits = np.diag(confusion).astype(np.float64)
    said, there = confusion.sum(axis=0), confusion.sum(axis=1)
    return hits / np.maximum(said, 1), hits / np.maximum(there, 1)


# ------------------------------------------------------------------ folders


def class_of_folder(name: str, categories: Sequence[str]) -> int:
    """The class index a folder's name stands for: a class name, an index, or a WordNet id of an ImageNet class.

    Names are compared without regard to case, and "_" counts as a space. InputError when it is none of the model's
    classes.
    """
    if name in INDEX_OF_WORDNET and tuple(categories) == IMAGENET_CLASSES:
        return INDEX_OF_WORDNET[name]
    wanted = _plain(name)
    for index, category in enumerate(categories):
        if _plain(category) == wanted:
            return index
    if name.isascii() and name.isdigit() and int(name) < len(categories):
        return int(name)
    raise InputError(
        f"The folder {name} is none of the model's {len(categories)} classes.",
        hint="Name folders by class name, class index or, for ImageNet, WordNet id; move other folders away.",
    )


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())


def labelled_pictures(folder: Path, categories: Sequence[str]) -> list[tuple[Path, int]]:
    """Every picture under the sub-folders with the class its sub-folder stands for, in the order of names."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", hint="Give a folder with one sub-folder a class.")
    pairs = []
    for child in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        files = sorted(path for path in child.rglob("*") if path.suffix.lower() in SUFFIXES)
        if files:
            index = class_of_folder(child.name, categories)
            pairs += [(path, index) for path in files]
    if not pairs:
        raise InputError(f"{folder} has no sub-folders with pictures.", hint="It needs one sub-folder a class.")
    return pairs


# ------------------------------------------------------------------ evaluation


def evaluate(
    images_dir: Path,
    predict: Predict,
    categories: Sequence[str],
    *,
    model: str = "",
    progress: Report | None = None,
) -> dict[str, Any]:
    """Classify every picture under a folder and count.

    Args:
        images_dir: one sub-folder a class, see ``class_of_folder``; pictures may lie deeper.
        predict: from (H, W, 3) uint8 RGB to (C,) scores, larger is likelier, one for each of ``categories``.
        model: name to report.   progress: called with (pictures done, pictures in all).
    Returns:
        accuracy and top5 in [0, 1], counted over all classes of the model; accuracy_among_folders, choosing only
        among the classes that have a folder; per_class {name: {accuracy, precision, images}}; confusion {labels,
        matrix}: rows are the true classes, columns what they were called, the last column being all classes without a
        folder ("other"); images; model.
    Errors:
        InputError for a folder that is no class, pictures that cannot be read, no pictures.
    """
    pairs = labelled_pictures(Path(images_dir), categories)
    scores = np.stack(list(_scores([path for path, _ in pairs], predict, len(categories), progress)))
    return {**summarise(scores, np.array([index for _, index in pairs]), categories), "model": model}


def _scores(paths: Sequence[Path], predict: Predict, classes: int, progress: Report | None) -> Iterator[np.ndarray]:
    for done, path in enumerate(paths):
        if progress is not None:
            progress(done, len(paths))
        row = np.asarray(predict(read_picture(path).pixels), np.float32)
        if row.shape != (classes,):
            raise ValueError(f"predict returned {row.shape}, not {classes} scores")
        yield row
    if progress is not None:
        progress(len(paths), len(paths))


def summarise(scores: np.ndarray, true: np.ndarray, categories: Sequence[str]) -> dict[str, Any]:
    """The figures of ``evaluate`` from scores (N, C) and true class indices (N,)."""
    present = np.unique(true)
    names = [categories[index] for index in present]
    best = np.argmax(scores, axis=1)
    place = np.full(len(categories), len(present))
    place[present] = np.arange(len(present))
    square = confusion_matrix(place[true], place[best], len(present) + 1)
    precision, recall = precision_and_recall(square)
    among = present[np.argmax(scores[:, present], axis=1)]
    return {
        "accuracy": float((best == true).mean()),
        "top5": float(top_k_hits(scores, true, 5).mean()),
        "accuracy_among_folders": float((among == true).mean()),
        "per_class": {
            name: {"accuracy": float(recall[i]), "precision": float(precision[i]), "images": int(square[i].sum())}
            for i, name in enumerate(names)
        },
        "confusion": {"labels": [*names, OTHER], "matrix": square[: len(present)].tolist()},
        "images": len(true),
    }


# ------------------------------------------------------------------ command line


def add_parser(subparsers: _Subparsers) -> None:
    """Add ``classification`` to the tasks of ``python -m cvdemo evaluate``; the parsed arguments carry ``run``."""
    parser = subparsers.add_parser("classification", help="accuracy on folders of labelled pictures")
    _add_arguments(parser, "registry name of the classifier (default: the compact one)")
    parser.set_defaults(run=run)


def add_emotion_parser(subparsers: _Subparsers) -> None:
    """Add ``emotion``: folders named by emotion with face crops, framed as in fer2013."""
    parser = subparsers.add_parser("emotion", help="accuracy on folders of labelled face crops")
    _add_arguments(parser, "registry name of the emotion network (default: the compact one)")
    parser.set_defaults(run=run_emotion)


def _add_arguments(parser: argparse.ArgumentParser, model_help: str) -> None:
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder with one sub-folder a class")
    parser.add_argument("--model", metavar="NAME", help=model_help)
    parser.add_argument("--json", metavar="FILE", help="write JSON to a file, or to the output with -")


def run(args: argparse.Namespace) -> int:
    """Evaluate as the parsed arguments say and print the result; 0, or InputError and its like."""
    from cvdemo.classification import predict  # here, so that scoring somebody's own function needs no model code
    from cvdemo.core import registry

    model = args.model or predict.DEFAULT_MODEL
    predict.settings_for(model)  # says at once when there is no such classifier

    def scores_of(pixels: np.ndarray) -> np.ndarray:
        return predict.infer(pixels, model).raw.logits

    categories = registry.get(model).categories
    result = evaluate(args.images, scores_of, categories, model=model, progress=ProgressLine())
    hand_over(result, args.json, table(result))
    return 0


def run_emotion(args: argparse.Namespace) -> int:
    """As ``run``, for the emotion network."""
    from cvdemo import tasks
    from cvdemo.classification.emotion_evaluate import DEFAULT_MODEL, evaluate_emotion
    from cvdemo.core import registry

    tasks.load_all()
    model = registry.get(args.model or DEFAULT_MODEL)
    if model.task != "emotion":
        raise CvDemoError(f"{model.name} does not tell emotions.", hint=f"Use {DEFAULT_MODEL}.")
    result = evaluate_emotion(args.images, model.name, progress=ProgressLine())
    hand_over(result, args.json, table(result))
    return 0


def table(result: Mapping[str, Any]) -> str:
    """The result for people: the three figures, then the classes, best first."""
    lines = [f"{result['model']} on {result['images']} pictures"]
    for key, words in (
        ("accuracy", "top-1"),
        ("top5", "top-5"),
        ("accuracy_among_folders", "top-1 among the folders' classes"),
    ):
        lines.append(f"  {words:<34} {100 * result[key]:5.1f} %")
    width = max(map(len, result["per_class"]))
    lines += ["", f"  {'class':<{width}}  accuracy  precision  pictures"]
    for name, row in sorted(result["per_class"].items(), key=lambda item: -item[1]["accuracy"]):
        lines.append(
            f"  {name:<{width}}  {100 * row['accuracy']:6.1f} %   {100 * row['precision']:6.1f} %  {row['images']:8d}"
        )
    return "\n".join(lines)
