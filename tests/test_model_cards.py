"""What a compact model says of itself on the page is what its card says."""

from __future__ import annotations

import re

import pytest

from cvdemo import tasks
from cvdemo.core import registry, weights
from cvdemo.core.registry import ModelSpec

tasks.load_all()
SHIPPED = [spec for spec in registry.models() if spec.tier == "compact" and spec.weights is not None]


def numbers_in(text: str) -> set[float]:
    return {float(number) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w])", text)}


@pytest.mark.parametrize("spec", SHIPPED, ids=lambda spec: spec.name)
def test_every_figure_of_a_compact_model_stands_in_its_card(spec: ModelSpec) -> None:
    card = weights.weights_folder() / spec.weights.filename  # type: ignore[union-attr]
    now, _, _ = card.with_suffix(".md").read_text().partition("## Training")  # behind it stand curves
    written = numbers_in(now)
    assert spec.metrics, "a model that ships has been measured"
    for name, value in spec.metrics.items():
        assert float(value) in written, f"{name}: {value} is not in the card"


def test_the_figures_are_read_from_text() -> None:
    assert numbers_in("**0.839** of 334, 17.0 ms (bar 60); conv2d") == {0.839, 334.0, 17.0, 60.0}
