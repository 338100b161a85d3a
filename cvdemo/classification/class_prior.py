"""Take a classifier's preference for the classes it was trained on most back: other biases for its last layer.

``python -m cvdemo.classification.class_prior --weights FILE --photos FOLDER … --out FILE``

Most of the compact classifier's sharp photographs are of ten classes, so it names these ten on any photograph. Here one
number per class is added to the logits. Fitted are the numbers with which all classes are equally frequent among the
answers on a varied collection of photographs: prior-shift estimation without labels (Saerens, Latinne and Decaestecker
2002, "Adjusting the Outputs of a Classifier to New a Priori Probabilities") towards the uniform prior. ``--strength``
of them is applied: at 1 nothing is left of what the training knew about frequencies, at 0.5 half. Everything else in
the file stays as it is. With ``--check FOLDER`` of labelled pictures the accuracy is printed for each strength.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from cvdemo.classification.compact import PREPROCESS
from cvdemo.classification.evaluate import top_k_hits
from cvdemo.classification.nets.compact_backbone import CompactClassifier
from cvdemo.classification.raw import softmax
from cvdemo.classification.soft_labels import picture_files, read_pictures, true_class
from cvdemo.core import weights
from cvdemo.core.errors import CvDemoError, InputError
from cvdemo.core.training import write_weights

BIAS = "head.bias"
SMOOTHING = 0.05
"""Of the uniform prior is mixed into the frequencies, so that a class nobody photographed gets a finite number."""
ROUNDS, PACE = 300, 0.5
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


def balancing_bias(logits: np.ndarray) -> np.ndarray:
    """What has to be added to the logits so that the classes are equally frequent on average.

    logits: (N, C), of N varied pictures.   Returns: (C,) float64 with mean 0.
    """
    count = logits.shape[1]
    bias = np.zeros(count)
    for _ in range(ROUNDS):
        frequency = softmax(logits + bias).mean(axis=0)
        bias -= PACE * np.log(frequency * count + SMOOTHING)
        bias -= bias.mean()
    return bias


def photographs(folders: Sequence[Path], skip: Path | None = None) -> list[Path]:
    """As ``picture_files``; InputError where there are none."""
    files = picture_files(folders, skip)
    if not files:
        raise InputError(f"No pictures in {', '.join(map(str, folders))}.", hint="Give folders of JPEG or PNG files.")
    return files


def logits_of(network: CompactClassifier, files: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, 1000) float64 of the middle squares, as the app shows them, and true classes (N,), -1 if unknown."""
    rows: list[np.ndarray] = []
    true: list[int] = []
    for path, picture in read_pictures(files):
        blob, _ = PREPROCESS(picture)
        with torch.inference_mode():
            rows.append(network(blob)[0].double().numpy())
        true.append(true_class(path))
        if len(rows) % 50 == 0:
            print(f"\r{len(rows)}/{len(files)} pictures", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return np.stack(rows), np.array(true)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit on the photographs, print what each strength does, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="trained weights of the compact classifier")
    parser.add_argument("--photos", type=Path, action="append", required=True, help="folder of varied photographs")
    parser.add_argument("--skip", type=Path, help="json list of file names to leave out (pictures to check on)")
    parser.add_argument("--check", type=Path, help="folder of labelled pictures; with --skip only those named there")
    parser.add_argument("--strength", type=float, default=0.5, help="share of the correction that is applied")
    parser.add_argument("--out", type=Path, required=True, help="file for the corrected weights")
    args = parser.parse_args(arguments)
    try:
        state = weights.load_state(args.weights)
        network = CompactClassifier().eval()
        weights.apply_state(network, state, args.weights.name)
        logits, _ = logits_of(network, photographs(args.photos, args.skip))
        checked = None
        if args.check:
            used = set(picture_files([args.check], args.skip)) if args.skip else set()
            files = [path for path in photographs([args.check]) if path not in used]
            checked = logits_of(network, [path for path in files if true_class(path) >= 0])
    except CvDemoError as error:
        sys.exit(str(error))
    bias = balancing_bias(logits)
    for strength in sorted({*STRENGTHS, args.strength}):
        moved = logits + strength * bias
        text = f"strength {strength:4.2f}: best class {softmax(moved).max(axis=1).mean():.3f} on average, "
        text += f"{len(np.unique(moved.argmax(axis=1)))} different ones on {len(moved)} photographs"
        if checked is not None:
            top = [top_k_hits(checked[0] + strength * bias, checked[1], k).mean() for k in (1, 5)]
            text += f"; {len(checked[1])} labelled ones: top-1 {top[0]:.3f}, top-5 {top[1]:.3f}"
        print(text + (" <- written" if strength == args.strength else ""))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    shift = torch.from_numpy(args.strength * bias).float()
    write_weights({**state, BIAS: state[BIAS].float() + shift}, args.out)


if __name__ == "__main__":
    main()
