"""What the Compare view shows: where two models give a picture's pixels different classes, and what each one took."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvdemo.core import registry
from cvdemo.core.lazy import cv2
from cvdemo.segmentation.labels import IGNORE
from cvdemo.segmentation.metrics import SegmentationScores, compare
from cvdemo.segmentation.overlay_view import VOC_OF_COCO, Found, Look, index_map
from cvdemo.segmentation.result import BACKGROUND

OTHER = "something else"
DIFFERENT = (213, 94, 0)  # orange red of Okabe and Ito
MOST_PAIRS = 8
# What a class of one list is called in another.
_SAME = {**VOC_OF_COCO, "pedestrian": "person"}


@dataclass(frozen=True, eq=False)
class Difference:
    """Two results in one list of classes.

    Attributes:
        first, second: (H, W) uint8 indices into ``names``; 255 where undecided. names: the classes both models know,
            after the one that stands for all others.
        different: (H, W) bool, where the two differ. percent: their share of the picture.
        scores: how well the first agrees with the second when that is taken for the truth.
        alone: the classes only one of the two models knows.
    """

    first: np.ndarray
    second: np.ndarray
    names: tuple[str, ...]
    different: np.ndarray
    percent: float
    scores: SegmentationScores
    alone: tuple[str, ...]

    def pairs(self) -> list[tuple[str, str, float]]:
        """(class of the first, class of the second, per cent of the picture) of differing pixels, most first."""
        names = (*self.names, "undecided")
        size = len(names)
        index = [np.minimum(each[self.different], size - 1).astype(np.int64) for each in (self.first, self.second)]
        counts = np.bincount(index[0] * size + index[1], minlength=size * size)
        order = np.argsort(-counts, kind="stable")[:MOST_PAIRS]
        return [
            (names[at // size], names[at % size], 100.0 * counts[at] / self.different.size)
            for at in order.tolist()
            if counts[at]
        ]


def difference(first: Found, second: Found) -> Difference:
    """Where two results for pictures of the same size differ.

    A class that only one of the models knows counts as "something else" (or background): the other cannot name it.
    """
    mapped = [index_map(found) for found in (first, second)]
    maps, lists = [labels for labels, _ in mapped], [names for _, names in mapped]
    called = [[_SAME.get(name, name) for name in names] for names in lists]
    both = [name for name in called[0] if name in called[1] and name != BACKGROUND]
    rest = BACKGROUND if all(BACKGROUND in names for names in called) else OTHER
    common = (rest, *both)
    alone = tuple(dict.fromkeys(
        name for names in called for name in names if name not in common and name != BACKGROUND
    ))  # fmt: skip
    translated = []
    for labels, names in zip(maps, called):
        table = np.full(256, IGNORE, np.uint8)
        table[: len(names)] = [common.index(name) if name in common else 0 for name in names]
        translated.append(cv2.LUT(labels, table))
    different = translated[0] != translated[1]
    return Difference(
        translated[0], translated[1], common, different, 100.0 * float(different.mean()),
        compare(translated[1], translated[0], common), alone,
    )  # fmt: skip


def draw_difference(pixels: np.ndarray, different: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the picture in grey, the pixels on which the two differ in orange with dark stripes."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    out = cv2.merge([grey, grey, grey])
    rows, columns = np.ogrid[: different.shape[0], : different.shape[1]]
    stripe = (rows + columns) % 12 < 3  # never colour alone
    out[different] = DIFFERENT
    out[different & stripe] = tuple(value // 2 for value in DIFFERENT)
    return out


def difference_sentence(found: Difference) -> str:
    """ "The two differ on 12.3 % of the pixels"."""
    return f"The two differ on {found.percent:.1f} % of the pixels"


def comparison_html(looks: Sequence[Look], found: Sequence[Found], differing: Difference) -> str:
    """A row per model with its time, and the pairs of classes that the differing pixels fall into."""
    slowest = max(network_ms(look) for look in looks) or 1.0
    rows = ""
    for look, result in zip(looks, found):
        spec = registry.get(look.inference.model)
        ms = network_ms(look)
        rows += (
            f"<tr><td>{html.escape(spec.title)}</td><td>{html.escape(result.sentence())}</td>"
            f"<td>{spec.parameters / 1e6:.1f} M</td><td>{spec.gflops:.1f}</td><td>{ms:.0f} ms</td>"
            f'<td style="width:110px" class="bar"><div style="width:{100 * ms / slowest:.1f}%"></div></td></tr>'
        )
    head = (
        "<tr><th>Model</th><th>Result</th><th>Parameters</th><th>GFLOPs</th><th>One run</th><th></th></tr>"
    )  # fmt: skip
    text = f'<div class="wide"><table>{head}{rows}</table></div>'
    listed = "".join(
        f"<tr><td>{html.escape(one)}</td><td>{html.escape(other)}</td><td>{share:.2f} %</td></tr>"
        for one, other, share in differing.pairs()
    )
    if listed:
        text += f"<table><tr><th>First says</th><th>Second says</th><th>of the picture</th></tr>{listed}</table>"
    agreement = differing.scores
    text += (
        f'<p class="caption">Agreement: {100 * agreement.pixel_accuracy:.1f} % of the pixels, mean IoU '
        f"{agreement.mIoU:.3f} over the classes either of them gave. Neither is the truth.</p>"
    )
    if differing.alone:
        text += (
            f'<p class="caption">{len(differing.alone)} classes are known to one of the two only and are counted as '
            f"“{html.escape(differing.names[0])}”.</p>"
        )
    return f'<div class="numbers">{text}</div>'


def network_ms(look: Look) -> float:
    """Milliseconds of one run without loading the model and waiting for it."""
    return sum(ms for stage, ms in look.inference.stages.items() if stage not in ("load", "wait"))
