"""The three topics of the Losses view, drawn: what stands on the plane, below it and beside it."""

from __future__ import annotations

from dataclasses import dataclass

from cvdemo.core.settings import setting
from cvdemo.faces import mining_view, playground_view, tiny_view
from cvdemo.faces.losses_room import LossRoom
from cvdemo.faces.mining import Batch, MiningSettings, mine_all, sentence
from cvdemo.faces.playground import PlaygroundSettings, look
from cvdemo.faces.tiny import TinySettings
from cvdemo.ui.viewer import status

TRIPLET, MINED, TINY = "points", "mining", "training"
TOPICS: dict[str, str] = {
    TRIPLET: "Three points",
    MINED: "Mining in a batch",
    TINY: "Train an embedding",
}
HELP: dict[str, str] = {
    TRIPLET: "The anchor and the positive show the same thing, the negative another one. Drag them, or step them with "
    "the arrow keys; an arrow is the way downhill, the next gradient step. Contrastive loss: "
    "*y d*² + (1 - *y*) max(0, *m* - *d*)². Triplet loss: max(0, *m* + *d*(a, p)² - *d*(a, n)²), where only "
    "relative distances count.",
    MINED: "A batch holds far more triplets than are worth a step: those beyond the margin have no gradient. Press a "
    "point to make it the anchor, drag it to make it harder or easier, and compare which negatives each rule picks.",
    TINY: "A network with 37,000 random weights and two outputs learns, in this page and for you alone, to put equal "
    "digits near each other. The map shows digits it never trains on. Settings take effect at the next step.",
}

CSS = """
.tiny-curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr)); gap: 20px 40px;
  padding: 8px 4px; }
.digits { margin: 8px 4px; max-width: 720px; }
.digits img { width: 100%; image-rendering: pixelated; border-radius: 6px; display: block; }
.digits figcaption { font-size: 0.95rem; padding: 4px 2px; color: var(--body-text-color-subdued); }
.mined { overflow-x: auto; }
.mined tr.now td { font-weight: 700; }
.mined td.bar { min-width: 90px; width: 16% !important; }
"""


@dataclass(frozen=True)
class LossesSettings(PlaygroundSettings, MiningSettings, TinySettings):
    """All that the three topics can change."""

    topic: str = setting(TRIPLET, label="Topic", choices=tuple(TOPICS), help="What to look at.")


@dataclass(frozen=True)
class Shown:
    """What stands on the plane (SVG), the line under it and the panel beside it (HTML)."""

    svg: str
    line: str
    panel: str


def shown(room: LossRoom, settings: LossesSettings, enrolled: Batch | None = None) -> Shown:
    """The chosen topic for the settings as they are; ``enrolled``: the visitor's gallery, where it is to be mined."""
    if settings.topic == MINED:
        return _mined(room, settings, enrolled)
    if settings.topic == TINY:
        return trained(room, settings)
    moment = look(settings)
    return Shown(playground_view.picture(moment), status(moment.sentence(), moment.details()), "")


def _mined(room: LossRoom, settings: LossesSettings, enrolled: Batch | None) -> Shown:
    batch = enrolled or room.batch(settings)
    rules = mine_all(batch, settings.mining_margin, settings.draw)
    mined = rules[settings.rule]
    anchor = room.anchor if room.anchor is not None and room.anchor < len(batch) else None
    drawing = mining_view.picture(batch, mined, anchor, settings.mining_margin, movable=enrolled is None)
    whose = "all anchors; press one for its own" if anchor is None else f"those of anchor {anchor + 1} are drawn"
    line = status(sentence(mined), f"{len(batch)} points in {len(batch.names)} classes · {whose}")
    return Shown(drawing, line, mining_view.table(rules, settings.rule) + mining_view.legend(batch))


def trained(room: LossRoom, settings: LossesSettings, said: str = "") -> Shown:
    """The map and curves of the network in training; ``said`` before the details."""
    snapshot = room.run(settings).snapshot()
    details = tiny_view.details(snapshot, settings.tiny_margin)
    line = status(snapshot.sentence(), f"{said} · {details}" if said else details, announce=not said)
    return Shown(tiny_view.map_svg(snapshot), line, tiny_view.curves_html(snapshot))
