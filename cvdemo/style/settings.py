"""The settings of style transfer, declared once, and the named presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cvdemo.core.errors import InputError
from cvdemo.core.settings import Settings, setting
from cvdemo.style.colour import WAYS
from cvdemo.style.features import VGG19_LAYERS
from cvdemo.style.nets.compact_vgg import LAYERS

INITIAL = ("content", "noise")
MOST_STYLES = 4
OPTIMISERS = ("L-BFGS", "Adam")
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
ALL_LAYERS = tuple(dict.fromkeys((*VGG19_LAYERS, *LAYERS)))


@dataclass(frozen=True)
class StyleSettings(Settings):
    """Weights are of relative losses (see ``losses``): 1 says the same at every size and with every network."""

    content_weight: float = setting(
        1.0, label="Content weight", minimum=0.0, maximum=1000.0, step=0.1, network=True,
        help="Gatys: how much the content's features count; 0 is texture synthesis.",
    )  # fmt: skip
    style_weight: float = setting(
        10.0, label="Style weight", minimum=0.0, maximum=1000.0, step=0.1, network=True,
        help="Gatys: how much the style's Gram matrices count; 0 is feature inversion.",
    )  # fmt: skip
    tv_weight: float = setting(
        0.1, label="Total variation weight", minimum=0.0, maximum=100.0, step=0.01, network=True,
        help="Gatys: how much neighbouring pixels are pulled together; more is smoother.",
    )  # fmt: skip
    content_layers: tuple[str, ...] = setting(
        ("relu4_2",), label="Content layers", choices=ALL_LAYERS, network=True,
        help="Gatys: where the content's features are compared; deep layers keep things, shallow ones pixels.",
    )  # fmt: skip
    style_layers: tuple[str, ...] = setting(
        STYLE_LAYERS, label="Style layers", choices=ALL_LAYERS, network=True,
        help="Gatys: where Gram matrices are compared; deeper layers have larger patterns.",
    )  # fmt: skip
    init: str = setting(
        "content", label="Start from", choices=INITIAL, network=True, help="Gatys: the picture before the first step."
    )
    optimiser: str = setting(
        "L-BFGS", label="Optimiser", choices=OPTIMISERS, network=True,
        help="Gatys: L-BFGS needs fewer steps, Adam is steadier.",
    )  # fmt: skip
    steps: int = setting(100, label="Steps", minimum=1, maximum=2000, step=10, network=True, help="Gatys: how many.")
    size: int = setting(
        256, label="Size", minimum=64, maximum=1024, step=32, network=True,
        help="The longer side of the result in pixels.",
    )  # fmt: skip
    style_scale: float = setting(
        1.0, label="Style scale", minimum=0.25, maximum=4.0, step=0.25, network=True, advanced=True,
        help="The style picture's longer side as a multiple of the size: larger makes larger patterns.",
    )  # fmt: skip
    preserve_colour: str = setting(
        "off", label="Preserve colour", choices=WAYS,
        help="Keep the content's colours: transfer brightness only, or recolour the style first.",
    )  # fmt: skip
    strength: float = setting(
        1.0, label="Style strength", minimum=0.0, maximum=1.0, step=0.05,
        help="AdaIN: 0 keeps the content's feature statistics, 1 takes the style's.",
    )  # fmt: skip
    smoothing: float = setting(
        0.7, label="Smoothing over time", minimum=0.0, maximum=0.95, step=0.05,
        help="Videos: how much of the last frame, moved along with the picture, stays where nothing was uncovered.",
    )  # fmt: skip
    rate: float = setting(
        0.03, label="Adam's step size", minimum=0.001, maximum=0.5, step=0.001, network=True, advanced=True,
        help="Gatys with Adam: the largest change of a pixel in one step, of 1.",
    )  # fmt: skip
    seed: int = setting(
        0, label="Seed", minimum=0, maximum=2**31 - 1, step=1, network=True, advanced=True,
        help="Gatys from noise: another seed, another picture.",
    )  # fmt: skip


PRESETS: dict[str, dict[str, Any]] = {
    "style transfer": {"content_weight": 1.0, "style_weight": 10.0, "init": "content"},
    "feature inversion": {"content_weight": 1.0, "style_weight": 0.0, "init": "noise"},
    "texture synthesis": {"content_weight": 0.0, "style_weight": 1.0, "init": "noise"},
}
"""What a setting becomes by name; the last two are deck 003's lessons on the way to style transfer."""


def preset(name: str, base: StyleSettings | None = None) -> StyleSettings:
    """Settings with a preset's values; KeyError for an unknown name."""
    return StyleSettings.from_mapping(PRESETS[name], base=base)


def check_inputs(settings: StyleSettings, has_content: bool, styles: int) -> None:
    """Raise InputError when the optimisation is asked for what its pictures cannot give. styles: how many there are."""
    s = settings
    if not has_content and not styles:
        raise InputError("There is neither a content nor a style picture.", hint="Choose at least one.")
    if styles > MOST_STYLES:
        raise InputError(f"{styles} styles are too many.", hint=f"Choose at most {MOST_STYLES}.")
    if not has_content and (s.content_weight > 0 or s.init == "content"):
        raise InputError(
            "There is no content picture.", hint="Choose one, or texture synthesis, which starts from noise."
        )
    if not styles and s.style_weight > 0:
        raise InputError("There is no style picture.", hint="Choose one, or set the style weight to 0.")
    if s.content_weight <= 0 and s.style_weight <= 0:
        raise InputError("Both weights are 0, so nothing would be optimised.", hint="Raise one of them.")
    if (has_content and not s.content_layers) or (styles and not s.style_layers):
        raise InputError("No layer is chosen.", hint="Choose at least one for content and one for style.")
