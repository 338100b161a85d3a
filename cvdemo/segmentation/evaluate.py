"""Accuracy of a segmentation model on pictures with true masks: ``python -m cvdemo evaluate segmentation ...``.

The truth is a mask file of the same stem for each picture (``--masks``), or a COCO file (``--annotations``). The
measures are those of ``metrics.py``, counted over all pictures together. For an instance model on a COCO file the
report also holds COCO's mask AP (``mask_AP``, ``mask_AP50``, …).

Many a COCO-like file outlines only some of the people in a picture and gives the others a box alone. Whoever has no
outline is neither a hit nor a miss: the box is an ignore region of its class, by COCO's rule for crowds (an object
that matches no outlined one, and of which at least the IoU threshold's share lies in such a box, is not counted).
``mask_plain_AP`` and ``mask_plain_AP50`` are the numbers without this rule: every object found on somebody without an
outline is then a false alarm. Where all objects are outlined the two agree.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.media import read_picture
from cvdemo.core.report import hand_over
from cvdemo.detection.evaluate import read_ids
from cvdemo.segmentation import rle
from cvdemo.segmentation.ground_truth import box_mask, paint, read_coco, read_truth
from cvdemo.segmentation.instances import InstanceSegmentation
from cvdemo.segmentation.labels import COCO_NAMES, VOC_CLASSES
from cvdemo.segmentation.mask_average_precision import MaskObject, mask_metrics
from cvdemo.segmentation.metrics import confusion_matrix, scores_of
from cvdemo.segmentation.result import Segmentation

Found = Segmentation | InstanceSegmentation
Predict = Callable[[np.ndarray], Found]
Progress = Callable[[int, int], None]

SCORE_FLOOR = 0.05
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_MASK_SUFFIXES = (".png", ".bmp", ".gif", ".tif", ".tiff")
_VOC_NAME = {coco: voc for voc, coco in COCO_NAMES.items()}


class _Subparsers(Protocol):
    def add_parser(self, name: str, **kwargs: Any) -> argparse.ArgumentParser: ...


@dataclass(frozen=True)
class Pair:
    """A picture and where its truth is: a mask file, or a record of a COCO file with its annotations."""

    picture: Path
    mask: Path | None = None
    record: Mapping[str, Any] | None = None
    rows: Sequence[Mapping[str, Any]] = ()


def pairs_of_masks(images: Path, masks: Path) -> list[Pair]:
    """The pictures of a folder with a mask of the same stem in another one; InputError when there is none."""
    for folder in (images, masks):
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder.", hint="Check --images and --masks.")
    found = {path.stem: path for path in sorted(masks.iterdir()) if path.suffix.lower() in _MASK_SUFFIXES}
    pictures = [path for path in sorted(images.iterdir()) if path.suffix.lower() in _PICTURE_SUFFIXES]
    pairs = [Pair(path, found[path.stem]) for path in pictures if path.stem in found]
    if not pairs:
        raise InputError(
            f"No picture in {images} has a mask of the same name in {masks}.",
            hint="For a.jpg the mask is a.png.",
        )
    return pairs


def pairs_of_coco(content: Mapping[str, Any], images: Path, ids: Iterable[Any] | None = None) -> list[Pair]:
    """The pictures of a COCO file that lie in the folder and have at least one outline.

    A picture none of whose objects has an outline says nothing about pixels and is left out. InputError when no
    picture remains, or one of ``ids`` is unknown.
    """
    rows: dict[Any, list[Mapping[str, Any]]] = {}
    for row in content["annotations"]:
        rows.setdefault(row.get("image_id"), []).append(row)
    records = {row.get("id"): row for row in content["images"]}
    chosen = list(records) if ids is None else list(dict.fromkeys(ids))
    unknown = [id_ for id_ in chosen if id_ not in records]
    if unknown:
        raise InputError(
            f"{len(unknown)} ids are not in the annotations, the first: {', '.join(map(str, unknown[:3]))}.",
            hint="The ids must be those of the annotation file's images.",
        )
    pairs = []
    for id_ in chosen:
        name = str(records[id_].get("file_name", ""))
        places = [place for place in (images / name, images / Path(name).name) if place.is_file()]
        if places and any(row.get("segmentation") for row in rows.get(id_, ())):
            pairs.append(Pair(places[0], record=records[id_], rows=rows[id_]))
    if not pairs:
        raise InputError(
            f"None of the {len(chosen)} pictures lies in {images} and has outlines.",
            hint="Check --images; boxes alone are measured by `evaluate detection`.",
        )
    return pairs


def evaluate(
    pairs: Sequence[Pair],
    predict: Predict,
    categories: Sequence[str],
    *,
    names: Mapping[Any, str] | None = None,
    model: str = "",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run a model over pictures with truth and score it.

    Args:
        predict: from (H, W, 3) uint8 RGB pixels to a result; called once a picture.
        categories: the classes a semantic model counts; an instance model's objects are painted into these, best
            score on top; what these classes do not name stays background.
        names: a COCO file's category names by id. progress: called with (pictures done, pictures in all).
    Returns:
        pixel_accuracy, mean_pixel_accuracy, mIoU in [0, 1], per_class {name: {iou, precision, recall, f1, dice,
        pixels}}, mean_precision and its like, images, model; for instances on COCO also mask_AP, mask_AP50, …,
        mask_plain_AP and mask_plain_AP50 (no ignore regions, see above), and mask_per_class.
    Errors: InputError for unusable files and masks of another size than their picture.
    """
    total = np.zeros((len(categories), len(categories) + 1), np.int64)
    truth: dict[Any, list[MaskObject]] = {}
    outlined: dict[Any, list[MaskObject]] = {}
    found: dict[Any, list[MaskObject]] = {}
    for done, pair in enumerate(pairs):
        if progress is not None:
            progress(done, len(pairs))
        picture = read_picture(pair.picture)
        height, width = picture.height, picture.width
        result = predict(picture.pixels)
        if pair.mask is not None:
            true = read_truth(pair.mask, categories, height, width)
        else:
            _check_size(pair, height, width)
            true = paint(pair.rows, names or {}, categories, height, width)
        labels = result.labels if isinstance(result, Segmentation) else result.label_map(tuple(categories), _VOC_NAME)
        total += confusion_matrix(true, labels, len(categories))
        if isinstance(result, InstanceSegmentation) and pair.record is not None:
            truth[pair.record["id"]] = true_objects(pair.rows, height, width)
            outlined[pair.record["id"]] = true_objects(pair.rows, height, width, outlined=True)
            found[pair.record["id"]] = found_objects(result, names or {})
    if progress is not None:
        progress(len(pairs), len(pairs))
    report = {**scores_of(total, categories).to_dict(), "images": len(pairs), "model": model}
    if truth:
        metrics = mask_metrics(truth, found, names or {})
        report |= {f"mask_{key}": value for key, value in metrics.summary().items()}
        per_class = {(names or {})[id_]: values for id_, values in metrics.per_class().items() if values["AP"] >= 0}
        plain = mask_metrics(outlined, found, names or {}).summary()
        report |= {f"mask_plain_{key}": plain[key] for key in ("AP", "AP50")}
        report["mask_per_class"] = per_class
    return report


def _check_size(pair: Pair, height: int, width: int) -> None:
    record = pair.record or {}
    stated = (record.get("width", width), record.get("height", height))
    if stated != (width, height):
        raise InputError(
            f"{pair.picture.name} is {width} x {height} pixels where the annotations say {stated[0]} x {stated[1]}.",
            hint="Outlines only fit the pictures they were drawn on; use the originals.",
        )


def true_objects(
    rows: Sequence[Mapping[str, Any]], height: int, width: int, *, outlined: bool = False
) -> list[MaskObject]:
    """A picture's COCO annotations as masks.

    Objects with a box but no outline become crowds: finding them costs nothing and earns nothing. ``outlined`` leaves
    them out instead.
    """
    objects = []
    for row in rows:
        if row.get("segmentation"):
            mask = rle.mask_of(row["segmentation"], height, width)
            facts = {"crowd": bool(row.get("iscrowd", 0)), "area": row.get("area")}
            objects.append(MaskObject.from_mask(mask, row["category_id"], **facts))
        elif row.get("bbox") and not outlined:
            objects.append(MaskObject.from_mask(box_mask(row["bbox"], height, width), row["category_id"], crowd=True))
    return objects


def found_objects(result: InstanceSegmentation, names: Mapping[Any, str]) -> list[MaskObject]:
    """A result's objects with the category ids of a COCO file, matched by name."""
    ids = {name: id_ for id_, name in names.items()}
    ids = {**{_VOC_NAME.get(name, name): id_ for name, id_ in ids.items()}, **ids}
    return [
        MaskObject(result.run_lengths(row), (result.height, result.width), ids[name], float(result.scores[row]))
        for row, name in enumerate(result.names)
        if name in ids
    ]


# ------------------------------------------------------------------ command line


def add_parser(subparsers: _Subparsers) -> None:
    """Add ``segmentation`` to the tasks of ``python -m cvdemo evaluate``; the parsed arguments carry ``run``."""
    parser = subparsers.add_parser("segmentation", help="pixel accuracy, IoU, Dice ... on pictures with true masks")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder with the pictures")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--masks", type=Path, metavar="DIR", help="folder with index masks of the same stems")
    source.add_argument("--annotations", type=Path, metavar="COCO.json", help="annotation file with outlines")
    parser.add_argument("--ids", type=Path, metavar="FILE", help="picture ids: JSON list or object, or an id a line")
    parser.add_argument("--split", metavar="NAME", help='which list of an --ids object to use (default: "test")')
    parser.add_argument("--model", metavar="NAME", help="registry name (default: the compact semantic one)")
    parser.add_argument("--json", metavar="FILE", help="write JSON to a file, or to the output with -")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate as the parsed arguments say and print the result; 0, or InputError and its like."""
    from cvdemo import tasks
    from cvdemo.core import registry
    from cvdemo.segmentation.predict import DEFAULT_MODEL, SegmentationSettings, decode, infer

    tasks.load_all()
    model = args.model or DEFAULT_MODEL
    spec = registry.get(model)
    if spec.task != "segmentation":
        raise InputError(f"{model} is a model for {spec.task}.", hint="Choose one of `python -m cvdemo models`.")
    names: dict[Any, str] = {}
    if args.masks is not None:
        pairs = pairs_of_masks(args.images, args.masks)
    else:
        content = read_coco(args.annotations)
        names = {row["id"]: str(row["name"]) for row in content["categories"] if "id" in row and "name" in row}
        ids = None if args.ids is None else read_ids(args.ids, args.split)
        pairs = pairs_of_coco(content, args.images, ids)
    settings = SegmentationSettings(score_threshold=SCORE_FLOOR, max_instances=100)

    def predict(pixels: np.ndarray) -> Found:
        return decode(infer(pixels, model), settings)

    categories = VOC_CLASSES if spec.extras.get("kind") == "instances" else spec.categories
    report = evaluate(pairs, predict, categories, names=names, model=model, progress=_progress)
    hand_over(report, args.json, table(report))
    return 0


def _progress(done: int, total: int) -> None:
    if done == total or done % 20 == 0:
        print(f"{done} of {total} pictures", file=sys.stderr, flush=True)


def table(report: Mapping[str, Any]) -> str:
    """The report for people: averages, mask AP where there is one, then the classes, best IoU first."""
    lines = [f"{report['model']} on {report['images']} pictures"]
    plain = {key: value for key, value in report.items() if isinstance(value, float)}
    lines += [f"  {key:<20} {100 * value:5.1f}" if value >= 0 else f"  {key:<20}     -" for key, value in plain.items()]
    rows = sorted(report["per_class"].items(), key=lambda item: -item[1]["iou"])
    width = max((len(name) for name, _ in rows), default=5)
    lines += ["", f"  {'class':<{width}}    IoU  prec.   rec.   Dice"]
    for name, values in rows:
        numbers = [values[key] for key in ("iou", "precision", "recall", "dice")]
        lines.append(f"  {name:<{width}} " + " ".join("     -" if v is None else f"{100 * v:6.1f}" for v in numbers))
    if masks := report.get("mask_per_class"):
        lines += ["", f"  {'masks':<{width}}     AP   AP50"]
        lines += [f"  {name:<{width}} {100 * row['AP']:6.1f} {100 * row['AP50']:6.1f}" for name, row in masks.items()]
    return "\n".join(lines)
