"""How well faces are told apart: ``python -m cvdemo evaluate faces --pairs PAIRS.TXT --images DIR``.

The protocol of Labeled Faces in the Wild (Huang et al. 2007): a list of pairs in ten sets, the threshold for each set
chosen on the other nine. Every picture is NAME/NAME_0001.jpg under the folder. Each face is embedded with its mirror
image; of several faces the most central one that is not tiny counts, as LFW's pictures are centred on whom they name.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.files import written_whole
from cvdemo.core.media import read_picture
from cvdemo.faces import verification

NOT_FOUND = -1.0  # the similarity of a pair with a picture in which no face was found: refused by every real threshold
SUFFIXES = (".jpg", ".png", ".jpeg")

Embed = Callable[[np.ndarray], np.ndarray | None]


@dataclass(frozen=True)
class Pair:
    """Two pictures, each a name and a number from 1; ``fold`` counts from 0."""

    first: tuple[str, int]
    second: tuple[str, int]
    fold: int

    @property
    def same(self) -> bool:
        """Whether both show one person."""
        return self.first[0] == self.second[0]


def read_pairs(path: Path) -> list[Pair]:
    """LFW's pairs.txt; InputError with the line at fault otherwise.

    The first line is "SETS COUNT" (or "COUNT" alone for one set); each set is COUNT lines "NAME I J" of one person and
    COUNT lines "NAME1 I NAME2 J" of two.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} cannot be read.", hint="Give a pairs file in LFW's layout.") from error
    rows = [(number, line.split("\t") if "\t" in line else line.split()) for number, line in enumerate(lines, 1)]
    rows = [(number, [word.strip() for word in words]) for number, words in rows if any(w.strip() for w in words)]
    if not rows or not all(word.isdigit() for word in rows[0][1]) or len(rows[0][1]) > 2:
        raise InputError(f"{path.name} does not start with its number of sets and pairs.", hint='LFW\'s: "10 300".')
    head = [int(word) for word in rows[0][1]]
    count = head[-1]
    pairs = []
    for index, (number, words) in enumerate(rows[1:]):
        try:
            if len(words) == 3:
                first, second = (words[0], int(words[1])), (words[0], int(words[2]))
            else:
                name_a, i, name_b, j = words
                first, second = (name_a, int(i)), (name_b, int(j))
        except ValueError as error:
            hint = "A line is NAME I J or NAME1 I NAME2 J."
            raise InputError(f"Line {number} of {path.name} is not a pair.", hint=hint) from error
        pairs.append(Pair(first, second, index // max(1, 2 * count)))
    expected = 2 * count * (head[0] if len(head) == 2 else 1)
    if len(pairs) != expected:
        raise InputError(
            f"{path.name} announces {expected} pairs and holds {len(pairs)}.", hint="The file may be cut off."
        )
    return pairs


def picture_path(images: Path, name: str, number: int) -> Path:
    """NAME/NAME_0001.jpg (or .png, .jpeg) under ``images``; InputError when it is not there."""
    for suffix in SUFFIXES:
        path = images / name / f"{name}_{number:04d}{suffix}"
        if path.is_file():
            return path
    raise InputError(
        f"{name}/{name}_{number:04d}{SUFFIXES[0]} is not in the folder of pictures.",
        hint="--images must be the folder that holds a folder for each person.",
    )


def score_pairs(
    pairs: Sequence[Pair], images: Path, embed: Embed, progress: Callable[[int, int], None] | None = None
) -> tuple[np.ndarray, dict[str, int]]:
    """The similarity of each pair (N,), and {"pairs", "pictures", "faces_not_found" (pictures)}.

    embed: (H, W, 3) uint8 RGB -> (D,) of unit length, or None when no face was found; asked once a picture.
    InputError for missing or unreadable pictures.
    """
    needed = sorted({key for pair in pairs for key in (pair.first, pair.second)})
    vectors: dict[tuple[str, int], np.ndarray | None] = {}
    for done, key in enumerate(needed, 1):
        vectors[key] = embed(read_picture(picture_path(images, *key)).pixels)
        if progress is not None:
            progress(done, len(needed))
    scores = np.array([similarity(vectors[pair.first], vectors[pair.second]) for pair in pairs])
    missing = sum(vector is None for vector in vectors.values())
    return scores, {"pairs": len(pairs), "pictures": len(needed), "faces_not_found": missing}


def summarise(scores: np.ndarray, pairs: Sequence[Pair]) -> dict[str, float]:
    """What is reported of similarities (N,) of N pairs.

    accuracy and std (over the folds), standard_error, auc, eer, eer_threshold, tar@far=1e-2, tar@far=1e-3, and
    threshold, the best on all pairs, which is what a verdict should use. InputError when there is one kind of pairs
    only.
    """
    same, folds = np.array([pair.same for pair in pairs]), np.array([pair.fold for pair in pairs])
    curve = verification.roc(scores, same)
    eer, eer_threshold = verification.equal_error_rate(curve)
    threshold, overall = verification.best_threshold(scores, same)
    result = {"accuracy": overall, "std": 0.0, "standard_error": 0.0}
    if len(np.unique(folds)) > 1:
        folded = verification.cross_validated(scores, same, folds)
        result = {"accuracy": folded.mean, "std": folded.std, "standard_error": folded.standard_error}
    return result | {
        "auc": verification.area_under(curve),
        "eer": eer,
        "eer_threshold": eer_threshold,
        "tar@far=1e-2": verification.tar_at_far(curve, 1e-2),
        "tar@far=1e-3": verification.tar_at_far(curve, 1e-3),
        "threshold": threshold,
    }


def curves_of(scores: np.ndarray, pairs: Sequence[Pair]) -> dict[str, list[float]]:
    """FAR and FRR at 201 thresholds from -1 to 1, which the page draws; figures only, nobody's face."""
    thresholds = np.linspace(-1, 1, 201)
    far, frr = verification.error_rates(scores, np.array([pair.same for pair in pairs]), thresholds)
    rows = {"thresholds": thresholds, "far": far, "frr": frr}
    return {name: np.round(values, 6).tolist() for name, values in rows.items()}


def curves_file(model: str, result: dict[str, Any], scores: np.ndarray, pairs: Sequence[Pair]) -> dict[str, Any]:
    """What ``--curves`` writes, which ``curves.read_curves`` reads: how the model did, and its error rates."""
    told = ("pairs", "pictures", "faces_not_found", "accuracy", "eer", "eer_threshold", "threshold")
    genuine = sum(pair.same for pair in pairs)
    counts = {"genuine": genuine, "impostors": len(pairs) - genuine}
    return {"model": model} | {name: result[name] for name in told} | counts | curves_of(scores, pairs)


def similarity(a: np.ndarray | None, b: np.ndarray | None) -> float:
    """The cosine of two unit vectors; -1 when one is missing, so that the pair is refused and never left out."""
    return NOT_FOUND if a is None or b is None else float(np.clip(a @ b, -1, 1))


def add_parser(subparsers: Any) -> None:
    """Add ``faces`` to the tasks of ``python -m cvdemo evaluate``; the parsed arguments carry ``run``."""
    parser = subparsers.add_parser("faces", help="same or different person, on pairs in LFW's layout")
    parser.add_argument("--pairs", type=Path, required=True, metavar="PAIRS.TXT", help="list of pairs, as LFW's")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder with a folder a person")
    parser.add_argument("--model", metavar="NAME", help="registry name of the embedder (default: the compact one)")
    parser.add_argument("--teacher", type=Path, metavar="FILE.onnx", help="judge this network instead, on our crops")
    parser.add_argument("--grey", action="store_true", help="take the colours away first")
    parser.add_argument("--curves", type=Path, metavar="FILE", help="write FAR and FRR at 201 thresholds as JSON: "
                        "beside the weights, as compact_faces.curves.json, the page shows it")  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write JSON to a file, or to the output with -")
    parser.set_defaults(run=run)


def _embed_with_teacher(pixels: np.ndarray, teach: Callable[[np.ndarray], np.ndarray]) -> np.ndarray | None:
    from cvdemo.faces import predict
    from cvdemo.faces.align import align
    from cvdemo.faces.detector import FaceDetectionSettings, decode_faces, infer_faces

    found = decode_faces(infer_faces(pixels), FaceDetectionSettings(score_threshold=predict.LEAST_SCORE))
    settings = predict.FaceMatchSettings(which="central", face_score=predict.LEAST_SCORE)
    row = predict.face_of(found, settings)
    return None if row is None else teach(align(pixels, found.landmarks[row])[None])[0]


def _embed_with_model(pixels: np.ndarray, model: str) -> np.ndarray | None:
    from cvdemo.faces import predict

    found = predict.infer(pixels, model, mirror=True)
    row = predict.face_of(found, predict.FaceMatchSettings(which="central", face_score=predict.LEAST_SCORE))
    return None if row is None else found.embeddings[row]


def run(args: argparse.Namespace) -> int:
    """Evaluate as the parsed arguments say and print the result; 0, or InputError and its like."""
    from cvdemo.faces.embedder import EMBEDDER

    pairs = read_pairs(args.pairs)
    name = args.model or EMBEDDER
    embed: Embed = functools.partial(_embed_with_model, model=name)
    if args.teacher is not None:
        from cvdemo.faces.embed_label import OnnxTeacher

        name = args.teacher.stem
        embed = functools.partial(_embed_with_teacher, teach=OnnxTeacher(args.teacher))

    def look(pixels: np.ndarray) -> np.ndarray | None:
        if args.grey:
            weights = np.array([0.299, 0.587, 0.114])
            pixels = np.repeat((pixels @ weights).round().astype(np.uint8)[:, :, None], 3, 2)
        return embed(pixels)

    def progress(done: int, count: int) -> None:
        if done % 100 == 0 or done == count:
            print(f"\r{done}/{count} pictures", end="\n" if done == count else "", file=sys.stderr, flush=True)

    scores, counts = score_pairs(pairs, args.images, look, progress)
    result: dict[str, Any] = {**summarise(scores, pairs), **counts, "model": name}
    if args.curves is not None:
        with written_whole(args.curves) as target:
            target.write_text(json.dumps(curves_file(name, result, scores, pairs)), encoding="utf-8")
    text = json.dumps(result, indent=1) + "\n"
    if args.json == "-":
        print(text, end="")
        return 0
    if args.json is not None:
        with written_whole(Path(args.json)) as target:
            target.write_text(text, encoding="utf-8")
    print(f"{name} on {result['pairs']} pairs of {result['pictures']} pictures")
    print(f"  accuracy      {100 * result['accuracy']:5.2f} % (std over folds {100 * result['std']:.2f})")
    print(f"  EER           {100 * result['eer']:5.2f} %")
    print(f"  TAR@FAR=1e-2  {100 * result['tar@far=1e-2']:5.2f} %")
    print(f"  best threshold {result['threshold']:.3f}; no face found in {result['faces_not_found']} pictures")
    return 0
