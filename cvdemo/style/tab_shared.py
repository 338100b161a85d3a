"""What the views of the Style tab share: their names, the style pictures to choose from, and how they are blended."""

from __future__ import annotations

import html
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.media import Picture
from cvdemo.core.settings import Settings, setting
from cvdemo.style.settings import MOST_STYLES
from cvdemo.style.styles import FOLDER, STYLES, load_style
from cvdemo.ui.downloads import Make, hidden_link, wire_downloads
from cvdemo.ui.examples import Example, copied
from cvdemo.ui.memory import picture_of
from cvdemo.ui.sessions import files
from cvdemo.ui.viewer import shown
from cvdemo.ui.views import QUICK, View
from cvdemo.ui.widgets import component, read_settings
from cvdemo.ui.workbench_inputs import Partner

OPTIMISE, ONE_PASS, RACE, GAN = "optimise", "one-pass", "race", "gan"
FIRST_STYLE = "waves"
OWN = "own style"
WEIGHTS = ("first", "second", "third", "fourth")
_ORDINALS = dict(zip(WEIGHTS, ("the style picture", "the second style", "the third style", "the fourth style")))


def _share(name: str) -> Any:
    return setting(
        1.0, label=f"Weight of {_ORDINALS[name]}", minimum=0.0, maximum=1.0, step=0.05,
        help="Only what it is beside the others counts.",
    )  # fmt: skip


@dataclass(frozen=True)
class Blend(Settings):
    """Several styles at once. The first is the style picture, whatever it is; the others are the program's own."""

    further: tuple[str, ...] = setting(
        (), label="Blend with", choices=tuple(STYLES), help="Up to three more of the program's own styles."
    )
    first: float = _share("first")
    second: float = _share("second")
    third: float = _share("third")
    fourth: float = _share("fourth")


BLEND = tuple(field.name for field in Blend.fields_of())


@dataclass(frozen=True, eq=False)
class Styles:
    """The chosen styles, one to four.

    pictures: (H, W, 3) uint8 RGB.   names: what they are called.   weights: as the sliders have them.
    key: the same for the same pictures in the same order.
    """

    pictures: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    weights: tuple[float, ...]
    key: Hashable


def style_examples(folder: Path) -> list[Example]:
    """The program's own style pictures, copied to a folder of theirs in ``folder``."""
    return copied(folder / "styles", [(name, name.replace("-", " "), FOLDER / f"{name}.jpg") for name in STYLES])


PARTNER = Partner(
    "style", "Style: drop, paste or choose below", "Content: drop, paste or photograph", style_examples, FIRST_STYLE
)  # fmt: skip


def create_blend() -> View:
    """The controls of the blend under the style picture; a weight is shown for each style there is."""
    fields = {field.name: field for field in Blend.fields_of()}
    with gr.Accordion("Blend several styles", open=False):
        further = gr.Dropdown(
            [(name.replace("-", " "), name) for name in STYLES], value=[], multiselect=True,
            max_choices=MOST_STYLES - 1, label=fields["further"].label, info=fields["further"].help,
            elem_id="style-further",
        )  # fmt: skip
        controls = {"further": further}
        for name in WEIGHTS:
            controls[name] = component(fields[name])
            controls[name].visible = False
    widgets = [controls[name] for name in WEIGHTS]

    def show(chosen: list[str] | None) -> list[Any]:
        return [gr.Slider(visible=bool(chosen) and index <= len(chosen or ())) for index in range(MOST_STYLES)]

    further.change(show, further, widgets, **QUICK)
    return View("blend", settings=Blend, controls=controls, prefix="blend_")


def style_name(path: str | None) -> str:
    """What a style picture's file is called: the name of one of the program's own, or ``OWN``."""
    found = Path(path or "")
    return found.stem if found.stem in STYLES and files.examples in found.parents else OWN


def styles_on_show(session: str, path: str | None, *values: Any) -> Styles:
    """The chosen styles; values: of the widgets of ``BLEND``, in that order.

    Errors as in ``read_picture``, and InputError where there is no style picture.
    """
    first = own_style_on_show(session, path)
    blend = read_settings(Blend, BLEND, values)
    further = [name for name in blend.further if name != style_name(path)][: MOST_STYLES - 1]
    pictures = (first.pixels, *(load_style(name) for name in further))
    weights = tuple(float(getattr(blend, name)) for name in WEIGHTS[: len(pictures)])
    if not sum(weights) > 0:
        raise InputError("The styles' weights are all 0.", hint="Raise one of them.")
    return Styles(pictures, (style_name(path), *further), weights, (first.fingerprint, *further))


def content_on_show(session: str, path: str | None) -> Picture:
    """The content picture; errors as in ``read_picture``, and InputError where there is none."""
    if not path:
        raise InputError("There is no content picture.", hint="Choose one on the left.")
    return picture_of(session, path)


def own_style_on_show(session: str, path: str | None) -> Picture:
    """The style picture alone, whatever it is blended with; errors as in ``styles_on_show``."""
    if not path:
        raise InputError("There is no style picture.", hint="Choose one of the thumbnails, or bring your own.")
    return picture_of(session, path)


def gallery_html(panels: Sequence[tuple[np.ndarray, str, str]]) -> str:
    """Pictures (H, W, 3) uint8 side by side, each with its title and a few words under it."""
    figures = [
        f'<figure><img src="{shown(pixels, "")["src"]}" alt="{html.escape(f"{title}, {words}")}">'
        f"<figcaption><b>{html.escape(title)}</b><br>{html.escape(words)}</figcaption></figure>"
        for pixels, title, words in panels
    ]
    return f'<div class="style-gallery">{"".join(figures)}</div>'


def create_downloads(elem_id: str, kinds: dict[str, str], make: Make) -> None:
    """A row of download buttons. kinds: their words by kind.   elem_id: of the hidden link that hands the file over.

    make: as for ``wire_downloads``, without inputs.
    """
    with gr.Row():
        buttons = {kind: gr.Button(label, size="sm", min_width=90) for kind, label in kinds.items()}
    wire_downloads(buttons, hidden_link(elem_id), [], make)
