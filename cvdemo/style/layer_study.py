"""What each layer knows: a picture made again from one layer's features, or a texture from ever deeper Gram matrices.

Feature inversion after Mahendran and Vedaldi 2015 (arXiv:1412.0035), texture synthesis after Gatys et al. 2015
(arXiv:1505.07376): both are the optimisation of ``gatys`` from noise with one of the two weights at zero.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cvdemo.core.engine import Engine
from cvdemo.style.gatys import GatysRun
from cvdemo.style.settings import STYLE_LAYERS, StyleSettings, preset

INVERSION, TEXTURE = "feature inversion", "texture synthesis"
STUDIES = (INVERSION, TEXTURE)
LARGEST, STEPS = 192, 60


@dataclass(frozen=True, eq=False)
class LayerResult:
    """layers: those that were matched.   pixels: (H, W, 3) uint8.   loss: the relative loss that is left, 1 at most
    as wrong as features that are all zero."""

    layers: tuple[str, ...]
    pixels: np.ndarray
    loss: float

    @property
    def name(self) -> str:
        """ "relu3_1", or "relu1_1 to relu3_1"."""
        return self.layers[0] if len(self.layers) == 1 else f"{self.layers[0]} to {self.layers[-1]}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without pixels."""
        return {"layers": list(self.layers), "loss": round(self.loss, 6)}


def plans(kind: str, base: StyleSettings) -> list[StyleSettings]:
    """The settings of each run: for inversion one layer alone, for textures that layer and all before it.

    base: size (shrunk to ``LARGEST``), optimiser, seed and the weight of total variation count.
    """
    small = replace(base, size=min(base.size, LARGEST), steps=STEPS, preserve_colour="off")
    start = preset(kind, small)
    if kind == INVERSION:
        return [replace(start, content_layers=(layer,)) for layer in STYLE_LAYERS]
    return [replace(start, style_layers=STYLE_LAYERS[: count + 1]) for count in range(len(STYLE_LAYERS))]


def study(
    kind: str,
    picture: Any,
    base: StyleSettings,
    *,
    model: str,
    engine: Engine | None = None,
    user: str = "",
    cancel: threading.Event | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Iterator[LayerResult]:
    """The results from the shallowest layer on; ``picture`` is the content of an inversion, the sample of a texture.

    kind: one of ``STUDIES``.   Errors as in ``GatysRun``; Cancelled within one step after ``cancel`` is set.
    """
    listed = plans(kind, base)
    for number, settings in enumerate(listed):
        layers = settings.content_layers if kind == INVERSION else settings.style_layers
        content, styles = (picture, []) if kind == INVERSION else (None, [picture])
        run = GatysRun(
            content, styles, settings, model=model, engine=engine, user=user, preview_every=settings.steps
        )  # fmt: skip
        for step in run.run(cancel):
            if progress is not None:
                done = (number + step.number / settings.steps) / len(listed)
                progress(done, f"{layers[-1]}, step {step.number} of {settings.steps}")
        found = run.result()
        assert found.losses is not None
        yield LayerResult(layers, found.pixels, found.losses.content if kind == INVERSION else found.losses.style)
