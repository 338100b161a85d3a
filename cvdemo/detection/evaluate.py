"""Average precision of a detector on a data set in COCO form: ``python -m cvdemo evaluate detection ...``.

The numbers come from ``coco_evaluation.py`` and equal those of COCO's own tool on the same detections.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.media import read_picture
from cvdemo.core.report import ProgressLine, hand_over, locate
from cvdemo.detection.candidates import Detections
from cvdemo.detection.coco_evaluation import coco_metrics
from cvdemo.detection.labels import NAME_OF_ID
from cvdemo.detection.nms import NMS_KINDS, NmsKind, filter_and_suppress

Predict = Callable[[np.ndarray], Detections]

SCORE_FLOOR = 0.01
NMS_IOU = 0.65
DETECTIONS_PER_PICTURE = 100
_DEFAULT_SPLIT = "test"


class _Subparsers(Protocol):
    def add_parser(self, name: str, **kwargs: Any) -> argparse.ArgumentParser: ...


@dataclass(frozen=True)
class DataSet:
    """A COCO annotation file: records by picture id, true objects, and category names by id."""

    pictures: dict[Any, Mapping[str, Any]]
    objects: list[Mapping[str, Any]]
    names: dict[int, str]


def read_annotations(path: Path) -> DataSet:
    """Read and check a COCO annotation file. InputError says which entry is unusable."""
    content = _read_json(path)
    parts = content if isinstance(content, dict) else {}
    images, annotations, categories = (parts.get(key) for key in ("images", "annotations", "categories"))
    if not (isinstance(images, list) and isinstance(annotations, list) and isinstance(categories, list)):
        raise InputError(
            f"{path.name} is not a COCO annotation file.",
            hint='It needs lists called "images", "annotations" and "categories".',
        )
    try:
        pictures: dict[Any, Mapping[str, Any]] = {
            row["id"]: {**row, "file_name": str(row["file_name"])} for row in images
        }
        names = {int(row["id"]): str(row["name"]) for row in categories}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path.name} has an entry without what it needs ({error}).",
            hint="Every image needs id and file_name, every category id and name.",
        ) from error
    if len({isinstance(id_, str) for id_ in pictures}) > 1:
        raise InputError(f"{path.name} mixes numbers and text as picture ids.", hint="Use one of the two throughout.")
    for row in annotations:
        if not _usable(row):
            raise InputError(
                f"{path.name} has an unusable annotation: {json.dumps(row)[:120]}.",
                hint="Every annotation needs image_id, category_id and bbox [x, y, width, height].",
            )
    return DataSet(pictures, annotations, names)


def _usable(annotation: Any) -> bool:
    if not isinstance(annotation, dict) or "image_id" not in annotation or "category_id" not in annotation:
        return False
    box = annotation.get("bbox")
    numbers = isinstance(box, list) and len(box) == 4 and all(isinstance(value, (int, float)) for value in box)
    return numbers and all(math.isfinite(value) for value in box or ())


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", hint="Check the path.") from error
    except ValueError as error:
        raise InputError(f"{path.name} is not valid JSON: {error}.", hint="Check that it is the right file.") from error


def read_ids(path: Path, split: str | None = None) -> list[Any]:
    """Picture ids from a JSON list, a JSON object of named lists, or a text file with an id a line.

    Of an object, ``split`` picks one list; without it the list called "test", or the only one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: {error}.", hint="Check the path.") from error
    if not text.lstrip().startswith(("[", "{")):
        return _no_split(path, split, [_id_of(line.strip()) for line in text.splitlines() if line.strip()])
    content = _read_json(path)
    if isinstance(content, list):
        return _no_split(path, split, content)
    name = split or (_DEFAULT_SPLIT if _DEFAULT_SPLIT in content or len(content) != 1 else next(iter(content)))
    chosen = content.get(name)
    if not isinstance(chosen, list):
        raise InputError(
            f"{path.name} has no list of ids called {name}.", hint=f"Choose one with --split: {', '.join(content)}."
        )
    return chosen


def _no_split(path: Path, split: str | None, ids: list[Any]) -> list[Any]:
    if split is not None:
        raise InputError(f"{path.name} is one list, without splits.", hint="Leave out --split.")
    return ids


def _id_of(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


def _choose(data: DataSet, ids: Iterable[Any] | None, source: str) -> list[Any]:
    if ids is None:
        return sorted(data.pictures)
    chosen = list(dict.fromkeys(ids))
    unknown = [id_ for id_ in chosen if id_ not in data.pictures]
    if unknown:
        raise InputError(
            f"{len(unknown)} ids are not in {source}, the first: {', '.join(map(str, unknown[:3]))}.",
            hint="The ids must be those of the annotation file's images.",
        )
    return sorted(chosen)


def evaluate(
    annotations: Path,
    images: Path,
    predict: Predict,
    ids: Iterable[Any] | None = None,
    *,
    model: str = "",
    skip_missing: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Run a detector over a data set and score it as COCO does.

    Args:
        annotations: COCO file; only boxes are read. images: folder its file names are relative to.
        predict: from (H, W, 3) uint8 RGB pixels to detections; called once a picture, in the order of ids.
        ids: picture ids to use, None for all of the file.
        model: name to report. skip_missing: go on without the pictures that are not there.
        progress: called with (pictures done, pictures in all).
    Returns:
        AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm, ARl in [0, 1], or -1 where there is nothing to
        find; per_class {name: {AP, AP50}}; images, the number used; skipped; model.
    Errors:
        InputError for unusable files, unknown ids, missing pictures, and pictures of another size than stated.
    """
    data = read_annotations(Path(annotations))
    chosen = _choose(data, ids, Path(annotations).name)
    paths = locate({id_: data.pictures[id_]["file_name"] for id_ in chosen}, Path(images), skip_missing)
    results: list[dict[str, Any]] = []
    for done, (id_, path) in enumerate(paths.items()):
        if progress is not None:
            progress(done, len(paths))
        picture = read_picture(path)
        stated = tuple(data.pictures[id_].get(key, actual) for key, actual in _size(picture.pixels).items())
        if stated != tuple(_size(picture.pixels).values()):
            raise InputError(
                f"{path.name} is {picture.width} x {picture.height} pixels where the annotations say "
                f"{stated[0]} x {stated[1]}.",
                hint="The boxes only fit the pictures they were drawn on; use the originals.",
            )
        results += predict(picture.pixels).to_coco(id_)
    if progress is not None:
        progress(len(paths), len(paths))
    metrics = coco_metrics(data.objects, results, paths, data.names)
    per_class = {data.names[id_]: values for id_, values in metrics.per_class().items()}
    counts = {"images": len(paths), "skipped": len(chosen) - len(paths)}
    return {**metrics.summary(), "per_class": per_class, **counts, "model": model}


def _size(pixels: np.ndarray) -> dict[str, int]:
    return {"width": pixels.shape[1], "height": pixels.shape[0]}


# ------------------------------------------------------------------ command line


def add_parser(subparsers: _Subparsers) -> None:
    """Add ``detection`` to the tasks of ``python -m cvdemo evaluate``; the parsed arguments carry ``run``."""
    parser = subparsers.add_parser("detection", help="average precision on a data set in COCO form")
    parser.add_argument("--annotations", type=Path, required=True, metavar="COCO.json", help="annotation file")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder the file names start from")
    parser.add_argument("--ids", type=Path, metavar="FILE", help="picture ids: JSON list or object, or an id a line")
    parser.add_argument("--split", metavar="NAME", help='which list of an --ids object to use (default: "test")')
    parser.add_argument("--model", metavar="NAME", help="registry name of the detector (default: the compact one)")
    parser.add_argument(
        "--score-floor", type=float, default=SCORE_FLOOR, help="leave out scores up to this (%(default)s)"
    )
    parser.add_argument("--nms", type=float, default=NMS_IOU, metavar="IOU", help="suppression threshold (%(default)s)")
    parser.add_argument("--nms-kind", choices=NMS_KINDS, default="hard", help="kind of suppression (%(default)s)")
    parser.add_argument("--max-detections", type=int, default=DETECTIONS_PER_PICTURE, metavar="N",
                        help="keep the best so many of a picture (%(default)s)")  # fmt: skip
    parser.add_argument("--skip-missing", action="store_true", help="go on without pictures that are not there")
    parser.add_argument("--json", metavar="FILE", help="write JSON to a file, or to the output with -")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate as the parsed arguments say and print the result; 0, or InputError and its like."""
    if not (0 <= args.score_floor < 1 and 0 <= args.nms <= 1 and args.max_detections >= 1):
        raise InputError(
            "--score-floor and --nms must lie between 0 and 1, and --max-detections be at least 1.",
            hint=f"The usual values are {SCORE_FLOOR}, {NMS_IOU} and {DETECTIONS_PER_PICTURE}.",
        )
    ids = None if args.ids is None else read_ids(args.ids, args.split)
    model, predict = _predictor(args.model, args.score_floor, args.nms_kind, args.nms, args.max_detections)
    for id_, name in read_annotations(args.annotations).names.items():
        if NAME_OF_ID.get(id_) != name:
            print(
                f"Note: category {id_} is {name} in {args.annotations.name} and {NAME_OF_ID.get(id_, 'unused')} in "
                "COCO's numbering. Detections are matched by number.",
                file=sys.stderr,
            )
            break
    result = evaluate(
        args.annotations,
        args.images,
        predict,
        ids,
        model=model,
        skip_missing=args.skip_missing,
        progress=ProgressLine(),
    )
    hand_over(result, args.json, _table(result))
    return 0


def _predictor(
    model: str | None, score_floor: float, kind: NmsKind, iou_threshold: float, most: int
) -> tuple[str, Predict]:
    from cvdemo.detection import predict  # here, so that scoring somebody's own function needs no model code

    name = model or predict.DEFAULT_MODEL

    def detect(pixels: np.ndarray) -> Detections:
        options: dict[str, Any] = {"nms_kind": kind, "iou_threshold": iou_threshold, "max_detections": most}
        raw = predict.infer(pixels, name)
        return filter_and_suppress(raw.candidates, score_threshold=score_floor, **options)[0]

    return name, detect


def _table(result: Mapping[str, Any]) -> str:
    """The result for people: the twelve numbers, then the classes that have ground truth, best first."""
    lines = [f"{result['model']} on {result['images']} pictures"]
    lines += [f"  {name:<6} {_percent(value)}" for name, value in result.items() if isinstance(value, float)]
    known = {name: values for name, values in result["per_class"].items() if values["AP"] >= 0}
    width = max(map(len, known), default=0)
    lines += ["", f"  {'class':<{width}}    AP   AP50"]
    for name, values in sorted(known.items(), key=lambda item: -item[1]["AP"]):
        lines.append(f"  {name:<{width}} {_percent(values['AP'])} {_percent(values['AP50'])}")
    return "\n".join(lines)


def _percent(value: float) -> str:
    return f"{100 * value:5.1f}" if value >= 0 else "    -"
