"""How often a threshold errs: FAR and FRR of a model, measured once and shipped beside its weights, and what they mean.

``python -m cvdemo evaluate faces --pairs … --images … --curves FILE`` writes such a file. It holds figures only.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from cvdemo.core import registry, weights

SUFFIX = ".curves.json"


@dataclass(frozen=True, eq=False)
class Curves:
    """Error rates of one model over pairs of pictures.

    thresholds (T,) rising similarities; far, frr (T,) shares in [0, 1].   genuine, impostors: how many pairs of one
    person and of two.   best: the threshold with the most right verdicts.   accuracy: as LFW's protocol has it.
    """

    model: str
    thresholds: np.ndarray
    far: np.ndarray
    frr: np.ndarray
    genuine: int
    impostors: int
    best: float
    accuracy: float
    eer: float
    eer_threshold: float

    def at(self, threshold: float) -> tuple[float, float]:
        """(FAR, FRR) at a threshold, between two measured ones on a straight line."""
        return float(np.interp(threshold, self.thresholds, self.far)), float(
            np.interp(threshold, self.thresholds, self.frr)
        )

    @property
    def finest(self) -> float:
        """The smallest FAR above zero that so many pairs can show."""
        return 1 / self.impostors


def curves_path(model: str) -> Path | None:
    """Where the curves of a model belong: beside its weights, such as ``compact_faces.curves.json``."""
    file = registry.get(model).weights
    return None if file is None else weights.weights_folder() / f"{Path(file.filename).stem}{SUFFIX}"


def curves_of(model: str) -> Curves | None:
    """The curves that ship with a model; None when they have not been measured or the file is of no use."""
    path = curves_path(model)
    if path is None or not path.is_file():
        return None
    found = read_curves(path, path.stat().st_mtime_ns)
    return found if found is not None and found.model == model else None


@lru_cache(maxsize=8)
def read_curves(path: Path, stamp: int = 0) -> Curves | None:
    """The file that ``evaluate faces --curves`` wrote, None for anything else.   stamp: its time of change."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        lines = [np.array(data[name], np.float64) for name in ("thresholds", "far", "frr")]
        numbers = [float(data[name]) for name in ("threshold", "accuracy", "eer", "eer_threshold")]
        counts = [int(data[name]) for name in ("genuine", "impostors")]
        model = str(data["model"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    thresholds, far, frr = lines
    shares = np.concatenate([far, frr])
    sound = (
        thresholds.ndim == 1
        and len(thresholds) > 1
        and thresholds.shape == far.shape == frr.shape
        and bool((np.diff(thresholds) > 0).all())
        and bool(((shares >= 0) & (shares <= 1)).all())
        and min(counts) > 0
        and all(map(math.isfinite, numbers))
    )
    if not sound:
        return None
    best, accuracy, eer, eer_threshold = numbers
    genuine, impostors = counts
    return Curves(model, thresholds, far, frr, genuine, impostors, best, accuracy, eer, eer_threshold)


def at_least_one(far: float, crowd: int) -> float:
    """The probability that at least one of ``crowd`` strangers is accepted, were their verdicts independent."""
    return -math.expm1(crowd * math.log1p(-far)) if far < 1 else 1.0


def rate(share: float, count: int, noun: str = "pairs") -> str:
    """ "0.37 % (11 of 3,000 pairs)", "none of 3,000 pairs"."""
    hits = round(share * count)
    if not hits:
        return f"none of {count:,} {noun}"
    value = 100 * share
    digits = 0 if value >= 10 else 1 if value >= 1 else 2
    return f"{value:.{digits}f} % ({hits:,} of {count:,} {noun})"


def crowd_words(curves: Curves, threshold: float, crowd: int) -> str:
    """What the FAR at a threshold means for a crowd of strangers, in plain words."""
    far, _ = curves.at(threshold)
    if round(far * curves.impostors) == 0:
        most = math.ceil(crowd * 3 / curves.impostors)  # the rule of three: 95 % sure that the rate is below 3 / n
        return (
            f"No stranger was accepted in {curves.impostors:,} tries, which is not never: of {crowd:,} strangers up to "
            f"{most:,} may still be taken for this person."
        )
    expected, chance = far * crowd, at_least_one(far, crowd)
    about = f"about {expected:,.0f}" if expected >= 1.5 else "one or so" if expected >= 0.5 else "hardly any"
    certain = "over 99 %" if chance > 0.99 else f"{100 * chance:.0f} %" if chance >= 0.01 else "under 1 %"
    moral = " So a match found in such a crowd is a reason to look closer, and no proof." if chance > 0.5 else ""
    return (
        f"Of {crowd:,} strangers {about} would be accepted as this person; the probability that at least one is: "
        f"{certain}.{moral}"
    )
