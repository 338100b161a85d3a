"""What every method of style transfer returns: the picture, how it came about, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

METHODS = {"gatys": "optimisation (Gatys)", "adain": "arbitrary style in one pass (AdaIN)", "fast": "feed-forward"}


@dataclass(frozen=True)
class Losses:
    """The relative losses of a picture (see ``losses``), each weighted by 1.

    0 is as in the target, 1 as far from it as nothing at all; ``variation``: 0 flat, 1 the roughest picture.
    """

    content: float
    style: float
    variation: float

    def total(self, content_weight: float, style_weight: float, tv_weight: float) -> float:
        """The weighted sum that the optimisation lowers."""
        return content_weight * self.content + style_weight * self.style + tv_weight * self.variation

    def to_dict(self) -> dict[str, float]:
        return {name: round(getattr(self, name), 6) for name in ("content", "style", "variation")}


@dataclass(frozen=True, eq=False)
class StyleResult:
    """One stylised picture.

    pixels: (H, W, 3) uint8 RGB.   method: "gatys", "adain" or "fast".   model: registry name.
    styles: names and shares of the styles, shares summing to 1.   stages: milliseconds in order.
    steps: of the optimisation, 0 otherwise.   losses: where they were measured.
    """

    pixels: np.ndarray
    method: str
    model: str
    styles: tuple[tuple[str, float], ...]
    stages: dict[str, float] = field(default_factory=dict)
    steps: int = 0
    losses: Losses | None = None

    def sentence(self) -> str:
        """One plain sentence for screen readers and the API."""
        height, width = self.pixels.shape[:2]
        lead = f"{width} x {height} pixels by {METHODS[self.method]}"
        named = ", ".join(
            name if share > 0.995 else f"{name} {100 * share:.0f} %" for name, share in self.styles if share > 0.005
        )
        how = f" in {self.steps} steps" if self.steps else ""
        return f"{lead}{how}, style: {named}" if named else f"{lead}{how}, without a style"

    def to_dict(self, image_name: str = "") -> dict[str, Any]:
        """JSON-ready, without the pixels."""
        height, width = self.pixels.shape[:2]
        return {
            "image": {"name": image_name, "width": width, "height": height},
            "method": self.method,
            "model": self.model,
            "styles": [{"name": name, "weight": round(share, 4)} for name, share in self.styles],
            "steps": self.steps,
            "losses": None if self.losses is None else self.losses.to_dict(),
            "milliseconds": {stage: round(ms, 3) for stage, ms in self.stages.items()},
        }
