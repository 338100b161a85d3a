"""What the Synthetic view shows: a generated pair, its exact flow, and how far a method is from it."""

from __future__ import annotations

import functools
import html
from dataclasses import dataclass, fields

import numpy as np

from cvdemo.core.media import read_picture
from cvdemo.core.settings import setting
from cvdemo.flow import draw as drawing
from cvdemo.flow.colour import robust_maximum
from cvdemo.flow.compare_view import ERROR_FULL, run_ms
from cvdemo.flow.metrics import FlowScore, endpoint_error, score
from cvdemo.flow.predict import decode
from cvdemo.flow.synthetic import SceneSettings, SyntheticPair, make_pair
from cvdemo.flow.tab_shared import Look, Pair
from cvdemo.ui.examples import ASSETS
from cvdemo.ui.viewer import display_copy, shown

_PANEL_SIDE = 480


@dataclass(frozen=True)
class SyntheticSettings(SceneSettings):
    """The generator's parameters, and which of its endless scenes."""

    seed: int = setting(1, label="Scene number", minimum=0, maximum=9999, step=1, help="Each number is another scene.")

    def scene(self) -> SceneSettings:
        """The generator's own part."""
        return SceneSettings(**{field.name: getattr(self, field.name) for field in fields(SceneSettings)})


def generate(settings: SyntheticSettings) -> SyntheticPair:
    """The scene of that number, its textures cut from the example picture and made by the generator."""
    return make_pair(settings.seed, settings.scene(), _photos())


@functools.lru_cache(maxsize=1)
def _photos() -> tuple[np.ndarray, ...]:
    path = ASSETS / "crowd.jpg"
    return (read_picture(path).pixels,) if path.is_file() else ()


def hidden_mask(made: SyntheticPair) -> np.ndarray:
    """(H, W) bool: pixels of the first frame that cannot be seen in the second."""
    return np.asarray(made.occluded | ~made.valid)


def score_of(made: SyntheticPair, flow: np.ndarray) -> FlowScore:
    """How far a flow is from the truth, where the target is visible and where it is not."""
    return score(flow, made.flow, occluded=hidden_mask(made))


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
        error = endpoint_error(flow, made.flow)
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
    found, still = score_of(made, decode(look.inference).flow), score_of(made, np.zeros_like(made.flow))
    return f"{title}: EPE {found.epe:.2f} px on this pair; saying that nothing moves has {still.epe:.2f} px"


def details(made: SyntheticPair, look: Look) -> str:
    """The errors of visible and hidden pixels, for the second line."""
    found = score_of(made, decode(look.inference).flow)
    text = f"Fl-all {found.fl_all:.1f} %, EPE where the pixel is visible in both frames {found.epe_visible:.2f} px"
    if found.epe_occluded is not None:
        text += f", where it is hidden {found.epe_occluded:.2f} px"
    return f"{text} · {run_ms(look):.0f} ms"


def pair_of_scene(made: SyntheticPair, settings: SyntheticSettings) -> Pair:
    """The scene as the page's pair."""
    key = repr(settings)
    height, width = made.first.shape[:2]
    return Pair(made.first, made.second, f"synthetic-{settings.seed}", (height, width), ("synthetic", key))
