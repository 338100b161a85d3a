"""How good a flow method is on pairs with known flow: ``python -m cvdemo evaluate flow --data DIR --model NAME``.

The folder has one sub-folder per pair with two frames in the order of their names and the true flow from the first to
the second: a Middlebury .flo, a KITTI flow PNG (16 bits) or a .npy. Instead, ``--synthetic 64`` measures on pairs of
our own generator with large motion, always the same for the same photographs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.media import read_picture
from cvdemo.core.report import hand_over
from cvdemo.flow import variational
from cvdemo.flow.files import read_flow
from cvdemo.flow.metrics import FlowScore, score
from cvdemo.flow.raw import DEFAULT_ITERATIONS
from cvdemo.flow.synthetic import SceneSettings, make_pair

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]
ZERO = "zero"
"""Name of the method that says that nothing moves: what a figure has to be compared with."""
LARGE_MOTION = SceneSettings(motion=60.0, things=10)
"""The scenes of the held-back set: 448 x 320 pixels, displacements up to 60 pixels and more."""
_FLOW_SUFFIXES = {".flo", ".npy"}
_PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True, eq=False)
class Labelled:
    """A pair with its truth: frames (H, W, 3) uint8, flow (H, W, 2), where it is known and occluded, (H, W) bool."""

    name: str
    first: np.ndarray
    second: np.ndarray
    flow: np.ndarray
    known: np.ndarray
    occluded: np.ndarray | None = None


def pair_folders(data: Path) -> list[Path]:
    """The sub-folders in the order of their names, or the folder itself when it holds a pair; InputError for none."""
    if not data.is_dir():
        raise InputError(f"{data} is not a folder.", hint="Give the folder that holds one sub-folder per pair.")
    folders = sorted(path for path in data.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders and any(path.suffix.lower() in _PICTURE_SUFFIXES for path in data.iterdir()):
        folders = [data]
    if not folders:
        raise InputError(
            f"{data} holds no pairs.", hint="Make one sub-folder per pair with two frames and a .flo or flow PNG."
        )
    return folders


def read_pair(folder: Path) -> Labelled:
    """Two frames and their flow; InputError naming the folder where something is missing, too many or does not fit."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    truths = [path for path in files if path.suffix.lower() in _FLOW_SUFFIXES or _is_flow_png(path)]
    frames = [path for path in files if path.suffix.lower() in _PICTURE_SUFFIXES and path not in truths]
    if len(frames) != 2 or len(truths) != 1:
        raise InputError(
            f"{folder.name} holds {len(frames)} frames and {len(truths)} flow files.",
            hint="A pair's folder has two pictures and one .flo, .npy or KITTI flow PNG.",
        )
    first, second = (read_picture(path).pixels for path in frames)
    flow, known = read_flow(truths[0])
    if first.shape != second.shape or flow.shape[:2] != first.shape[:2]:
        sizes = ", ".join(f"{shape[1]} x {shape[0]}" for shape in (first.shape, second.shape, flow.shape))
        raise InputError(
            f"The frames and the flow in {folder.name} have different sizes: {sizes}.", hint="Use the original files."
        )
    return Labelled(folder.name, first, second, flow, known)


def _is_flow_png(path: Path) -> bool:
    """Whether a PNG has three channels of 16 bits, by its header."""
    if path.suffix.lower() != ".png":
        return False
    with path.open("rb") as file:
        header = file.read(26)
    return len(header) == 26 and header[24] == 16 and header[25] == 2


def synthetic_pairs(count: int, photos: np.ndarray, settings: SceneSettings = LARGE_MOTION) -> Iterator[Labelled]:
    """The first ``count`` scenes of the generator; photos: (N, h, w, 3) uint8."""
    for seed in range(count):
        made = make_pair(seed, settings, photos)
        known = np.ones(made.flow.shape[:2], bool)
        yield Labelled(f"scene {seed}", made.first, made.second, made.flow, known, made.occluded | ~made.valid)


def evaluate(
    pairs: Iterable[Labelled],
    method: Method,
    *,
    model: str = "",
    progress: Callable[[str, FlowScore], None] | None = None,
) -> dict[str, Any]:
    """Run ``method`` (two (H, W, 3) uint8 frames to (H, W, 2)) on every pair and measure.

    Returns:
        JSON-ready: epe (pixels, mean over the pairs), fl_all (percent, likewise), angular (degrees), pairs (their
        number), model, per_pair [{name, epe, fl_all, angular, pixels, epe_visible, epe_occluded}]; epe_visible and
        epe_occluded where the occlusion is known.
    Errors: InputError without any pair.
    """
    rows: list[dict[str, Any]] = []
    for pair in pairs:
        found = score(method(pair.first, pair.second), pair.flow, pair.known, pair.occluded)
        rows.append({"name": pair.name, **found.to_dict()})
        if progress is not None:
            progress(pair.name, found)
    if not rows:
        raise InputError("There is no pair to measure.", hint="Give a folder with pairs, or a number of scenes.")
    result: dict[str, Any] = {key: _mean(rows, key) for key in ("epe", "fl_all", "angular")}
    result["pairs"] = len(rows)
    for key in ("epe_visible", "epe_occluded"):
        if any(row[key] is not None for row in rows):
            result[key] = _mean(rows, key)
    return {**result, "model": model, "per_pair": rows}


def _mean(rows: list[dict[str, Any]], key: str) -> float:
    return float(np.mean([row[key] for row in rows if row[key] is not None]))


def still(first: np.ndarray, _: np.ndarray) -> np.ndarray:
    """The flow of a world in which nothing moves."""
    return np.zeros((*first.shape[:2], 2), np.float32)


# ------------------------------------------------------------------ command line


def add_parser(subparsers: Any) -> None:
    """Add ``flow`` to the tasks of ``python -m cvdemo evaluate``; the parsed arguments carry ``run``."""
    parser = subparsers.add_parser("flow", help="endpoint error and outliers on pairs with known flow")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with one sub-folder per pair")
    parser.add_argument("--synthetic", type=int, metavar="N", help="measure on N scenes of the generator instead")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photographs for the scenes' textures")
    parser.add_argument("--motion", type=float, default=LARGE_MOTION.motion, metavar="PX",
                        help="longest motion of the scenes (%(default)g)")  # fmt: skip
    parser.add_argument("--model", metavar="NAME", help=f"registry name of the method, or {ZERO} for no motion")
    parser.add_argument("--iterations", type=int, default=DEFAULT_ITERATIONS, metavar="N",
                        help="refinements of an iterative network (%(default)s)")  # fmt: skip
    parser.add_argument("--variational", choices=variational.CHOICES, default=variational.AUTO,
                        help="refine the result on the frames; auto: for networks that gain by it")  # fmt: skip
    parser.add_argument("--json", metavar="FILE", help="write JSON to a file, or to the output with -")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate as the parsed arguments say and print the result; 0, or InputError and its like."""
    if (args.data is None) == (args.synthetic is None):
        raise InputError("Give either --data DIR or --synthetic N.", hint="See --help.")
    model, method = method_of(args.model, args.iterations, args.variational)
    pairs: Iterable[Labelled]
    if args.data is not None:
        pairs = map(read_pair, pair_folders(args.data))
    else:
        from dataclasses import replace

        from cvdemo.flow.training_data import Source, load_photos

        photos = load_photos([Source(args.photos)]) if args.photos else np.zeros((0, 1, 1, 3), np.uint8)
        pairs = synthetic_pairs(args.synthetic, photos, replace(LARGE_MOTION, motion=args.motion))
    result = evaluate(pairs, method, model=model, progress=_report)
    hand_over(result, args.json, _table(result))
    return 0


def method_of(
    model: str | None, iterations: int = DEFAULT_ITERATIONS, choice: str = variational.AUTO
) -> tuple[str, Method]:
    """Name and function of a registered method, the default one without a name."""
    from cvdemo import tasks
    from cvdemo.flow import predict  # here, so that scoring somebody's own function needs no model code

    if model == ZERO:
        return ZERO, still
    tasks.load_all()
    name = model or predict.DEFAULT_MODEL

    def look(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return predict.decode(predict.infer(first, second, name, iterations=iterations, variational=choice)).flow

    return name, look


def _report(name: str, found: FlowScore) -> None:
    print(f"{name}: EPE {found.epe:.3f}", file=sys.stderr, flush=True)


def _table(result: Mapping[str, Any]) -> str:
    """The result for people: the means, then each pair."""
    lines = [
        f"{result['model']} on {result['pairs']} pairs: EPE {result['epe']:.3f} px, Fl-all {result['fl_all']:.2f} %, "
        f"angular error {result['angular']:.2f} degrees"
    ]
    if "epe_visible" in result:
        hidden = f", occluded {result['epe_occluded']:.3f} px" if "epe_occluded" in result else ""
        lines.append(f"  EPE of visible pixels {result['epe_visible']:.3f} px{hidden}")
    if result["pairs"] <= 40:
        width = max(len(row["name"]) for row in result["per_pair"])
        lines += [
            f"  {row['name']:<{width}}  EPE {row['epe']:7.3f}  Fl-all {row['fl_all']:6.2f}"
            for row in result["per_pair"]
        ]
    return "\n".join(lines)
