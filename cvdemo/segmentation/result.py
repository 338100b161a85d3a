"""What one setting of the sliders makes of a semantic network's output: a class for every pixel, areas, confidence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.segmentation.raw import RawSegmentation, softmax
from cvdemo.segmentation.regions import without_small_regions
from cvdemo.segmentation.resample import confidence_and_entropy, label_map, to_picture, values_at

UNDECIDED = 255
BACKGROUND = "background"
_LEAST_NAMED = 0.05  # per cent of the picture; less is not worth a word
_COUNTED_AT_ONCE = 1 << 23  # pixels


@dataclass(frozen=True)
class ClassArea:
    """One class of a picture: index, name, number of pixels and share of the picture in per cent."""

    index: int
    name: str
    pixels: int
    percent: float


@dataclass(eq=False)
class Segmentation:
    """A label map and what was asked of it.  Confidence and entropy are worked out when they are first looked at.

    Attributes:
        raw: the network's output, never written to.
        temperature: divides the logits before the softmax.
        min_confidence: pixels whose winner is less probable are ``UNDECIDED`` (255) in ``labels``.
        chosen: names of the classes to show, empty for all; the label map does not depend on it.
        min_region: share of the picture in [0, 1]; a smaller region goes to the class that is next there.
    """

    raw: RawSegmentation
    temperature: float = 1.0
    min_confidence: float = 0.0
    chosen: frozenset[str] = frozenset()
    min_region: float = 0.0

    @property
    def height(self) -> int:
        return self.raw.height

    @property
    def width(self) -> int:
        return self.raw.width

    @property
    def categories(self) -> tuple[str, ...]:
        return self.raw.categories

    def take_over(self, earlier: Segmentation) -> None:
        """Keep the maps of an earlier result that hold here too: winners of the same output, and how sure they are."""
        if earlier.raw is not self.raw or earlier.min_region != self.min_region:
            return
        kept = ["logits", "_winner"] + (
            ["_statistics", "confidence"] if earlier.temperature == self.temperature else []
        )
        kept += ["counts"] if earlier.min_confidence == self.min_confidence == 0 else []  # the winners' areas
        self.__dict__ |= {name: earlier.__dict__[name] for name in kept if name in earlier.__dict__}

    @cached_property
    def logits(self) -> np.ndarray:
        """(C, h, w) float32: the network's, without regions that are too small."""
        return without_small_regions(self.raw.logits, self.min_region)

    @cached_property
    def _winner(self) -> tuple[np.ndarray, np.ndarray]:
        return label_map(self.logits, self.raw.extent, self.raw.height, self.raw.width)

    @cached_property
    def labels(self) -> np.ndarray:
        """(H, W) uint8 class indices: the argmax of the interpolated logits, or ``UNDECIDED``."""
        labels = self._winner[0]
        if self.min_confidence > 0:
            labels = labels.copy()
            labels[self.confidence < self.min_confidence] = UNDECIDED
        return labels

    @cached_property
    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        confidence, entropy = confidence_and_entropy(self.logits, self.raw.extent, self._winner[1], self.temperature)
        assert entropy is not None
        return confidence, entropy

    @cached_property
    def confidence(self) -> np.ndarray:
        """(H, W) float32 in [0, 1]: the softmax probability of the winning class."""
        if "_statistics" in self.__dict__:
            return self._statistics[0]
        return confidence_and_entropy(
            self.logits, self.raw.extent, self._winner[1], self.temperature, with_entropy=False
        )[0]

    @property
    def entropy(self) -> np.ndarray:
        """(H, W) float32 in bits: 0 where the network is sure, log2(C) where all classes are equally probable."""
        return self._statistics[1]

    @cached_property
    def shown(self) -> frozenset[int]:
        """Indices of the classes to draw: the chosen ones, or all but the background."""
        names = enumerate(self.categories)
        if self.chosen:
            return frozenset(index for index, name in names if name in self.chosen)
        return frozenset(index for index, name in names if name != BACKGROUND)

    @cached_property
    def counts(self) -> np.ndarray:
        """(256,) int64 number of pixels of each label value."""
        total = np.zeros(256, np.int64)
        # Eight times as fast as numpy's, but it counts in float32, which is exact up to 2**24 only.
        for part in np.array_split(self.labels, -(-self.labels.size // _COUNTED_AT_ONCE)):
            total += cv2.calcHist([part], [0], None, [256], [0, 256]).ravel().astype(np.int64)
        return total

    @property
    def areas(self) -> tuple[ClassArea, ...]:
        """The classes that have pixels, largest first; the background counts, undecided pixels do not."""
        total = self.height * self.width
        found = [
            ClassArea(index, name, int(self.counts[index]), 100.0 * int(self.counts[index]) / total)
            for index, name in enumerate(self.categories)
            if self.counts[index]
        ]
        return tuple(sorted(found, key=lambda area: (-area.pixels, area.index)))

    @property
    def undecided_percent(self) -> float:
        """Share of the picture below ``min_confidence``, in per cent."""
        return 100.0 * int(self.counts[UNDECIDED]) / (self.height * self.width)

    def foreground(self, classes: Iterable[int] | None = None) -> np.ndarray:
        """(H, W) float32 in [0, 1]: probability that a pixel belongs to any of the classes (default: those shown).

        The soft edge of a cut-out. The log-odds of "any of these" against "any other" are interpolated, so the edge
        runs where the label map changes and is as wide as the network is unsure there.
        """
        inside = np.zeros(len(self.categories), bool)
        inside[sorted(self.shown if classes is None else classes)] = True
        if inside.all() or not inside.any():
            return np.full((self.height, self.width), float(inside.all()), np.float32)
        shares = np.maximum(softmax(self.logits, self.temperature), 1e-12)
        odds = np.log(shares[inside].sum(axis=0)) - np.log(shares[~inside].sum(axis=0))
        exponent = to_picture(-odds, self.raw.extent, self.height, self.width)
        return 1 / (1 + cv2.exp(exponent))

    def probabilities_at(self, x: int, y: int) -> tuple[tuple[str, float], ...]:
        """(class, probability) at pixel column x, row y, the most probable first, by the network alone.

        IndexError outside the picture. ``min_region`` has no say here: this is where its effect can be understood.
        """
        if not (0 <= x < self.width and 0 <= y < self.height):
            raise IndexError(f"({x}, {y}) lies outside the {self.width} x {self.height} picture")
        values = softmax(values_at(self.raw.logits, self.raw.extent, x, y), self.temperature)
        order = np.argsort(-values, kind="stable")
        return tuple((self.categories[index], float(values[index])) for index in order)

    def sentence(self) -> str:
        """ "31 % person, 4 % dog, the rest background" for screen readers, the command line and the API."""
        things = [area for area in self.areas if area.name != BACKGROUND and area.percent >= _LEAST_NAMED]
        if not things:
            if self.undecided_percent >= _LEAST_NAMED:
                share = percent_in_words(self.undecided_percent)
                return f"No class above the confidence asked: {share} undecided" + (
                    ", the rest background" if any(area.name == BACKGROUND for area in self.areas) else ""
                )
            return "Nothing but background" if BACKGROUND in self.categories else "No class above the confidence asked"
        words = [f"{percent_in_words(area.percent)} {area.name}" for area in things]
        if self.undecided_percent >= _LEAST_NAMED:
            words.append(f"{percent_in_words(self.undecided_percent)} undecided")
        if any(area.name == BACKGROUND for area in self.areas):
            words.append("the rest background")
        return ", ".join(words)

    def to_dict(self, name: str = "") -> dict[str, Any]:
        """Plain values for JSON: picture, model, and the area of each class that was found."""
        return {
            "image": {"name": name, "width": self.width, "height": self.height},
            "model": self.raw.model,
            "classes": [
                {"index": a.index, "label": a.name, "pixels": a.pixels, "percent": round(a.percent, 3)}
                for a in self.areas
            ],
            "undecided_percent": round(self.undecided_percent, 3),
        }


def percent_in_words(percent: float) -> str:
    """ "31 %", "4 %", "0.3 %": whole numbers from one per cent on."""
    return f"{percent:.0f} %" if percent >= 1 else f"{percent:.1f} %"
