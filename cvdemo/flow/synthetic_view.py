"""What the Synthetic view shows: a generated pair, its exact flow, and how far a method is from it."""

from __future__ import annotations

import html
from dataclasses import dataclass, fields

import numpy as np

from cvdemo.core.settings import setting
from cvdemo.flow import draw as drawing
from cvdemo.flow.colour import robust_maximum
from cvdemo.flow.compare_view import ERROR_FULL, outlier_share, run_ms
from cvdemo.flow.predict import decode
from cvdemo.flow.synthetic import SceneSettings, SyntheticPair, make_pair
from cvdemo.flow.tab_shared import Look, Pair, endpoint_error
from cvdemo.ui.viewer import display_copy, shown

_PANEL_SIDE = 480


@dataclass(frozen=True)
class SyntheticSettings(SceneSettings):
    """The generator's parameters, and which of its endless scenes."""

    seed: int = setting(1, label="Scene number", minimum=0, maximum=9999, step=1, help="Each number is another scene.")

    def scene(self) -> SceneSettings:
        """The generator's own part."""
        return SceneSettings(**{field.name: getattr(self, field.name) for field in fields(SceneSettings)})


@dataclass(frozen=True)
class Errors:
    """Endpoint errors in pixels: of all pixels, of those visible in both frames and of the others; Fl-all in per cent,
    and the EPE of saying that nothing moves.
    """

    all: float
    visible: float
    hidden: float
    outliers: float
    still: float


def generate(settings: SyntheticSettings) -> SyntheticPair:
    """The scene of that number."""
    return make_pair(settings.seed, settings.scene())


def hidden_mask(made: SyntheticPair) -> np.ndarray:
    """(H, W) bool: pixels of the first frame that cannot be seen in the second."""
    return np.asarray(made.occluded | ~made.valid)


def errors_of(made: SyntheticPair, flow: np.ndarray) -> Errors:
    """How far a flow is from the truth."""
    error = np.hypot(*np.moveaxis(flow - made.flow, 2, 0))
    hidden = hidden_mask(made)
    mean = [float(error[part].mean()) if part.any() else float("nan") for part in (~hidden, hidden)]
    still = endpoint_error(np.zeros_like(made.flow), made.flow)
    return Errors(float(error.mean()), mean[0], mean[1], outlier_share(flow, made.flow), still)


def panels_html(made: SyntheticPair, look: Look | None) -> str:
    """Six pictures: the pair, the true and the computed flow, the endpoint error, what is hidden."""
    maximum = robust_maximum(made.flow)
    true = drawing.add_wheel(drawing.draw_colour(made.first, made.flow, maximum), maximum)
    pictures = [
        (made.first, "First frame", ""), (made.second, "Second frame", ""),
        (true, "True flow", f"at most {np.hypot(*np.moveaxis(made.flow, 2, 0)).max():.0f} px"),
    ]  # fmt: skip
    if look is not None:
        flow = decode(look.inference).flow
        error = np.hypot(*np.moveaxis(flow - made.flow, 2, 0))
        scaled = drawing.add_scale(drawing.shaded(error, ERROR_FULL), ERROR_FULL)
        pictures += [
            (drawing.draw_colour(made.first, flow, maximum), "Computed flow", f"{run_ms(look):.0f} ms"),
            (scaled, "Endpoint error", f"on average {error.mean():.2f} px"),
        ]
    hidden = hidden_mask(made)
    pictures.append((drawing.draw_occlusion(made.first, hidden), "Hidden in the second frame", f"{hidden.mean():.1%}"))
    cells = "".join(
        f'<figure><img src="{shown(display_copy(pixels, _PANEL_SIDE)[0], "", 85)["src"]}" alt="{title}: {words}">'
        f"<figcaption><b>{html.escape(title)}</b>{' · ' if words else ''}{html.escape(words)}</figcaption></figure>"
        for pixels, title, words in pictures
    )
    return f'<div class="flow-grid three">{cells}</div>'


def sentence(made: SyntheticPair, look: Look | None, title: str) -> str:
    """The method's error on this pair, beside that of saying that nothing moves."""
    if look is None:
        return "The pair is there; the method could not run"
    found = errors_of(made, decode(look.inference).flow)
    return f"{title}: EPE {found.all:.2f} px on this pair; saying that nothing moves has {found.still:.2f} px"


def details(made: SyntheticPair, look: Look) -> str:
    """The errors of visible and hidden pixels, for the second line."""
    found = errors_of(made, decode(look.inference).flow)
    text = f"EPE where the pixel is visible in both frames {found.visible:.2f} px"
    if np.isfinite(found.hidden):
        text += f", where it is hidden {found.hidden:.2f} px"
    return f"{text} · Fl-all {found.outliers:.1f} % · {run_ms(look):.0f} ms"


def pair_of_scene(made: SyntheticPair, settings: SyntheticSettings) -> Pair:
    """The scene as the page's pair."""
    key = repr(settings)
    height, width = made.first.shape[:2]
    return Pair(made.first, made.second, f"synthetic-{settings.seed}", (height, width), ("synthetic", key))
