"""SimCLR on the page: two views of each picture of a batch, how alike their features are, and the loss of each row."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cvdemo.core.lazy import cv2
from cvdemo.core.media import encode_picture
from cvdemo.core.settings import setting
from cvdemo.faces.augment import Augmentation, AugmentSettings
from cvdemo.faces.metric_losses import nt_xent_logits, nt_xent_terms, partners
from cvdemo.ui.markup import safe

VIEW = 160
HONEST = (
    "The features are those of this project's classifier, which was trained **with labels**, not by SimCLR. SimCLR "
    "trains a network from random weights by exactly this loss, on batches of thousands, with a learnt non-linear "
    "projection head between the features and the loss; here the features themselves are compared."
)

VIEWS_CSS = """
.views { display: grid; grid-template-columns: repeat(auto-fill, minmax(max(118px, 15%), 1fr)); gap: 10px; }
@media (min-width: 1200px) { .views { grid-template-columns: repeat(6, 1fr); } }
.views figure { margin: 0; min-width: 0; }
.views figure:nth-child(3n+1) img { border-color: var(--body-text-color-subdued); }
.views img { width: 100%; aspect-ratio: 1; object-fit: cover; display: block; border-radius: 6px;
  border: 3px solid #009e73; }
.views figcaption { font-size: 14px; line-height: 1.25; padding: 3px 2px; overflow-wrap: anywhere; }
"""
MATRIX_CSS = """
.matrix { overflow-x: auto; }
table { border-collapse: separate; border-spacing: 2px; font-variant-numeric: tabular-nums; font-size: 15px; }
caption { text-align: left; padding: 4px 0 8px; color: var(--body-text-color-subdued); }
th { font-weight: 600; padding: 2px; text-align: center; vertical-align: bottom; }
th img { width: 40px; height: 40px; border-radius: 4px; display: block; margin: 0 auto; }
tbody th { display: flex; align-items: center; gap: 6px; }
td { width: 52px; height: 44px; text-align: center; border-radius: 4px; padding: 2px 6px; }
td.self { color: var(--body-text-color-subdued); }
td.partner { outline: 3px solid #009e73; outline-offset: -3px; font-weight: 700; }
td.share { padding-left: 14px; }
td.loss { width: 130px; text-align: left; white-space: nowrap; }
td.loss div { display: inline-block; height: 10px; border-radius: 3px; background: var(--chart-wrong);
  margin-right: 6px; max-width: 70px; vertical-align: middle; }
"""


@dataclass(frozen=True)
class SimclrSettings(AugmentSettings):
    """The family of augmentations, and what NT-Xent is computed with."""

    temperature: float = setting(
        0.1, label="Temperature", minimum=0.02, maximum=1.0, step=0.02,
        help="Similarities are divided by it before the softmax; nothing runs again.",
    )  # fmt: skip
    pictures: int = setting(
        4,
        label="Pictures in the batch",
        minimum=2,
        maximum=6,
        step=1,
        help="The first one on the left; the others come from Retrieval, newest first.",
    )
    draw: int = setting(0, label="Draw", minimum=0, maximum=9999, step=1, help="Another number draws other views.")


AUGMENTATIONS = tuple(field.name for field in AugmentSettings.fields_of())


def augmentation_of(settings: SimclrSettings) -> AugmentSettings:
    """The part of the settings that makes the views."""
    return AugmentSettings(**{name: getattr(settings, name) for name in AUGMENTATIONS})


@dataclass(frozen=True, eq=False)
class ViewBatch:
    """Two views of each of N pictures, first views first.

    names: N.   originals: N pictures.   views: (2N, S, S, 3) uint8.   draws: 2N.   features: (2N, D) unit length.
    """

    names: tuple[str, ...]
    originals: tuple[np.ndarray, ...]
    views: np.ndarray
    draws: tuple[Augmentation, ...]
    features: np.ndarray

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class Agreement:
    """NT-Xent of a batch at one temperature.

    similarities, shares: (2N, 2N) cosines, and the softmax of each row; the diagonal takes no part and is 0 in shares.
    losses: (2N,).   found: how many views are most similar to their partner.
    """

    similarities: np.ndarray
    shares: np.ndarray
    losses: np.ndarray
    found: int

    @property
    def loss(self) -> float:
        """The mean over all views."""
        return float(self.losses.mean())

    def sentence(self) -> str:
        """Such as "NT-Xent 0.83 (guessing gives 1.95): 7 of 8 views are most similar to their partner"."""
        count = len(self.losses)
        chance = math.log(count - 1)
        return (
            f"NT-Xent {self.loss:.2f} (guessing gives {chance:.2f}): {self.found} of {count} views are most similar to "
            "their partner"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "loss": round(self.loss, 5), "losses": self.losses.round(5).tolist(), "found": self.found,
            "similarities": self.similarities.round(4).tolist(),
        }  # fmt: skip


def agreement(features: np.ndarray, temperature: float) -> Agreement:
    """What NT-Xent says of (2N, D) features, first views first."""
    rows = torch.from_numpy(np.asarray(features, np.float64))
    logits = nt_xent_logits(rows, temperature)
    similar = (logits * temperature).numpy().copy()
    found = int((logits.argmax(1) == partners(len(rows))).sum())
    np.fill_diagonal(similar, 1.0)
    shares = torch.softmax(logits, 1).numpy()
    return Agreement(similar, shares, nt_xent_terms(rows, temperature).numpy(), found)


def interleaved(count: int) -> list[int]:
    """Rows of 2N views so that the two views of a picture follow each other."""
    return [row for number in range(count) for row in (number, number + count)]


def _picture(pixels: np.ndarray, alt: str, quality: int = 82) -> str:
    source = base64.b64encode(encode_picture(pixels, "jpeg", quality=quality)).decode()
    return f'<img src="data:image/jpeg;base64,{source}" alt="{safe(alt)}">'


def views_html(batch: ViewBatch, thumbnails: Sequence[np.ndarray]) -> str:
    """Each picture and its two views, with what was done to them."""
    cells = ""
    for number, name in enumerate(batch.names):
        cells += f"<figure>{_picture(thumbnails[number], name)}<figcaption>{safe(name)}</figcaption></figure>"
        for which, row in enumerate((number, number + len(batch))):
            said = batch.draws[row].sentence()
            alt = f"View {which + 1} of {name}: {said}"
            cells += f"<figure>{_picture(batch.views[row], alt)}<figcaption>{html.escape(said)}</figcaption></figure>"
    return f'<div class="views">{cells}</div>'


def matrix_html(batch: ViewBatch, found: Agreement) -> str:
    """All cosine similarities, partners framed; at the end of each row the softmax's share of the partner and its loss.

    A cell is tinted by its share in the row's softmax, which is what the temperature changes.
    """
    order, count = interleaved(len(batch)), len(batch)
    small = [_picture(_tiny(batch.views[row]), "", 76) for row in order]
    tags = [f"{chr(65 + row % count)}{row // count + 1}" for row in order]
    head = "".join(f'<th scope="col">{picture}{tag}</th>' for picture, tag in zip(small, tags))
    lines = ""
    for picture, tag, row in zip(small, tags, order):
        partner = (row + count) % (2 * count)
        cells = "".join(_cell(found, row, column, column == partner) for column in order)
        share = found.shares[row, partner]
        lines += (
            f'<tr><th scope="row">{picture}{tag}</th>{cells}<td class="share">{100 * share:.0f} %</td>'
            f'<td class="loss"><div style="width:{min(70.0, 20 * found.losses[row]):.0f}px"></div>'
            f"{found.losses[row]:.2f}</td></tr>"
        )
    return (
        '<div class="matrix"><table><caption>Cosine similarity of the views; the more of the softmax of its row a '
        "cell gets, the stronger its tint. Framed: the two views of one picture, which attract; all others repel."
        "</caption>"
        f'<thead><tr><th></th>{head}<th scope="col">share of the partner</th><th scope="col">loss of the row</th></tr>'
        f"</thead><tbody>{lines}</tbody></table></div>"
    )


def _tiny(view: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(view, (40, 40), interpolation=cv2.INTER_AREA), np.uint8)


def _cell(found: Agreement, row: int, column: int, partner: bool) -> str:
    if row == column:
        return '<td class="self">·</td>'
    value, share = found.similarities[row, column], found.shares[row, column]
    kind = ' class="partner"' if partner else ""
    colour = "#009e73" if partner else "#d55e00"
    tint = f"background:color-mix(in srgb,{colour} {75 * math.sqrt(share):.0f}%,transparent)"
    return f'<td{kind} style="{tint}" title="{100 * share:.1f} % of the row">{value:.2f}</td>'
