"""What the Why view shows beside the map itself: the classes to choose from, the words, the sanity check's verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cvdemo.classification.imagenet_view import STAGE_WORDS
from cvdemo.classification.race_view import percent
from cvdemo.classification.raw import RawClassification, softmax
from cvdemo.classification.why import METHOD_TITLES, METHODS, Explanation, WhySettings
from cvdemo.core.settings import setting

BEST = "best"
OFFERED = 10
METHOD_HELP = {
    "grad-cam": "Grad-CAM: which places of the last feature map speak for the class. One pass forward and one back.",
    "occlusion": "Occlusion: cover a part, see how far the probability falls. Hundreds of passes; press the button.",
    "gradient": "Input gradient: to which pixels the class score is most sensitive. One pass forward and one back.",
    "smooth-grad": "SmoothGrad: the gradient averaged over noisy copies of the picture. Two dozen passes.",
}
SAME_ABOVE = 0.7
MOVED_BELOW = 0.4


@dataclass(frozen=True)
class WhyControls(WhySettings):
    """The method, and how its map lies over the picture."""

    method: str = setting(
        METHODS[0], label="Method (runs the network)", choices=METHODS, network=True,
        help="How the map is found. Every map is computed once and then remembered.",
    )  # fmt: skip


def method_choices(reasons: dict[str, str]) -> list[tuple[str, str]]:
    """(label, method) of every method; one that the model does not allow says so."""
    return [
        (METHOD_TITLES[method] + (" (not for this model)" if reasons.get(method) else ""), method) for method in METHODS
    ]


def class_choices(raw: RawClassification, offered: int = OFFERED) -> list[tuple[str, str]]:
    """(label, value) for the menu: the best class whatever it is, the most probable ones, then all others by name.

    A value is ``BEST`` or a class index in digits.
    """
    probabilities = softmax(raw.logits)
    order = [int(index) for index in (-probabilities).argsort(kind="stable")]
    top, others = order[:offered], sorted(order[offered:], key=lambda index: raw.categories[index].lower())
    named = [(f"{raw.categories[index]} · {percent(float(probabilities[index]))}", str(index)) for index in top]
    return [(f"the most probable: {raw.categories[order[0]]}", BEST), *named,
            *((raw.categories[index], str(index)) for index in others)]  # fmt: skip


def index_of(value: str | None, raw: RawClassification) -> int:
    """The class index a menu value stands for; the best class for anything that is not one of this model's."""
    if value is not None and str(value).isdecimal() and int(value) < len(raw.categories):
        return int(value)
    return int(raw.logits.argmax())


def timing_line(found: Explanation, evaluations: str = "") -> str:
    """ "24 ms (prepare 1.1, grad-cam 22) · cpu"; with the explanation's note."""
    stages = {STAGE_WORDS.get(name, name): ms for name, ms in found.stages.items() if ms >= 0.05}
    listed = ", ".join(f"{name} {ms:.0f}" if ms >= 9.5 else f"{name} {ms:.1f}" for name, ms in stages.items())
    parts = [f"{sum(stages.values()):.0f} ms ({listed})", found.device, evaluations, found.note]
    return " · ".join(part for part in parts if part)


def verdict(similarities: Sequence[float]) -> str:
    """What the sanity check says: rank correlations of the map with those of the network randomised, top and all.

    None of them when the map is empty.
    """
    if not similarities:
        return "The map is empty, so there is nothing to compare. Choose a class that the picture speaks for."
    listed = ", ".join(
        f"{correlation:.2f} with {layers} randomised"
        for correlation, layers in zip(similarities, ("the last layer", "all layers"))
    )
    worst = max(similarities)
    if worst >= SAME_ABOVE:
        words = "The map hardly changes, so it shows the picture more than what the network learnt."
    elif worst < MOVED_BELOW:
        words = "The map falls apart without the learnt weights, as an explanation must."
    else:
        words = "The map changes in part: some of it follows from the picture alone."
    return f"{words} Rank correlation: {listed}."
