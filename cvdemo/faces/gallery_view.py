"""What the Gallery view shows: who is enrolled, who a face may be, how alike everybody is. HTML and words only.

Names come from visitors, so every one of them is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cvdemo.core.errors import InputError
from cvdemo.core.settings import setting
from cvdemo.faces import charts, projection, verification
from cvdemo.faces.draw import draw_faces
from cvdemo.faces.gallery import GallerySettings, Match
from cvdemo.faces.gallery_room import Room
from cvdemo.faces.predict import FaceMatchSettings, considered
from cvdemo.faces.result import Faces
from cvdemo.faces.tab_shared import Look
from cvdemo.ui.layered_viewer import layer_source
from cvdemo.ui.markup import safe

PEOPLE, PICTURES = "people", "pictures"
PCA, TSNE = "principal components", "t-SNE"
MOST_ANSWERS, RANKED = 6, 3
CONSENT = "Everybody I enrol here has agreed to it."
NOTICE = (
    "**Where this is kept.** Names, aligned crops and embeddings stay in the memory of the machine that runs cvdemo, "
    "for this page only: no other visitor can see or search them, nothing is written to disk, and all of it is "
    "forgotten when you press “Clear” or leave the page. Uploaded files are deleted as soon as they are read."
)
NOBODY = "Nobody is enrolled yet: everybody is unknown."
FEW = '<p class="hint">{}</p>'
CSS = """
.people { display: flex; flex-direction: column; gap: 10px; margin: 0; }
.people .person { display: flex; flex-wrap: wrap; gap: 5px; align-items: center; padding: 6px 8px;
  border: 1px solid var(--border-color-primary); border-radius: var(--radius-lg); }
.people .name { flex: 1 1 100%; display: flex; justify-content: space-between; gap: 8px; font-weight: 600;
  overflow-wrap: anywhere; }
.people button { cursor: pointer; border: 2px solid transparent; border-radius: 6px; background: none; padding: 0;
  line-height: 0; position: relative; }
.people button img { width: 52px; height: 52px; border-radius: 5px; display: block; }
.people button.picture:hover { border-color: #d55e00; }
.people button.remove { line-height: 1.2; padding: 2px 8px; font-size: 14px; font-weight: 400;
  border: 1px solid var(--border-color-primary); color: var(--body-text-color); }
.people .hint { margin: 4px 2px; }
"""
ANSWER_CSS = """
.answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); gap: 8px 20px; margin: 4px 0; }
.answers .face { display: flex; gap: 10px; align-items: flex-start; }
.answers img { width: 56px; height: 56px; border-radius: 6px; flex: none; }
.answers p { margin: 0; line-height: 1.35; overflow-wrap: anywhere; }
.answers .ranked { color: var(--body-text-color-subdued); font-size: 0.92rem; font-variant-numeric: tabular-nums; }
"""


@dataclass(frozen=True)
class GalleryViewSettings(GallerySettings):
    """The gallery's settings, and how it is looked at."""

    matrix: str = setting(
        PEOPLE, label="Compare", choices=(PEOPLE, PICTURES),
        help="The mean embedding of each person, or each enrolled picture by itself.",
    )  # fmt: skip
    projection: str = setting(
        PCA, label="Map", choices=(PCA, TSNE),
        help="The two directions of largest variance, or a map that keeps neighbours together (van der Maaten and "
        "Hinton 2008); distances between groups mean nothing there.",
    )  # fmt: skip


def people_html(room: Room) -> str:
    """Everybody enrolled: the name, the crops as buttons that remove them, and a button that removes the person."""
    with room.lock:
        if not room.crops:
            return '<div class="people"><p class="hint">Nobody is enrolled yet.</p></div>'
        cards = []
        for name, some in room.crops.items():
            buttons = "".join(
                f'<button type="button" class="picture" data-key="picture {one.key}" title="Remove this picture" '
                f'aria-label="Remove picture {index} of {safe(name)}"><img alt="" src="{layer_source(one.crop, 75)}">'
                "</button>"
                for index, one in enumerate(some, 1)
            )
            count = f"{len(some)} picture{'' if len(some) == 1 else 's'}"
            cards.append(
                f'<div class="person" role="group" aria-label="{safe(name)}, {count}"><div class="name"><span>'
                f'{safe(name)} · {count}</span><button type="button" class="remove" data-key="person {some[0].key}" '
                f'aria-label="Remove {safe(name)}">Remove</button></div>{buttons}</div>'
            )
        return f'<div class="people">{"".join(cards)}</div>'


def enrolled_html(name: str, good: int, count: int, told: Sequence[str]) -> str:
    """The line after pictures came in: how many were enrolled, and what there is to remark."""
    sentence = f"{good or 'No'} picture{'' if good == 1 else 's'} of {name} enrolled."
    notes = "".join(f"<div>{safe(line)}</div>" for line in told)
    kind = 'class="problem" role="alert"' if good < count else 'class="timing"'
    listed = f"<div {kind}>{notes}</div>" if notes else ""
    return f'<div class="status"><div class="sentence" role="status">{safe(sentence)}</div>{listed}</div>'


def matches_of(room: Room, look: Look, settings: GallerySettings) -> tuple[np.ndarray, list[Match]]:
    """The faces of a picture that count, largest first, and who each may be; no network is touched."""
    faces = look.found.faces
    rows = considered(faces, FaceMatchSettings())
    rows = rows[np.argsort(-faces.sides()[rows], kind="stable")]
    if look.inference is None:
        return rows, []
    with room.lock:
        if room.gallery is None:
            return rows, [Match((), None, settings.threshold) for _ in rows]
        if room.gallery.model != look.inference.model:
            raise InputError(
                f"The gallery was made with {room.gallery.model}, not {look.inference.model}.",
                hint="Choose that model, or clear the gallery.",
            )
        return rows, room.gallery.search_all(look.inference.embeddings[rows], settings)


def drawn(look: Look, rows: np.ndarray, matches: list[Match]) -> np.ndarray:
    """The picture with a number and, where the font has its letters, a name on each face."""
    faces = look.found.faces.take(rows)
    scaled = Faces(faces.boxes * look.scale, faces.scores, faces.landmarks * look.scale)
    texts = [f"{number} {_short(match)}".strip() for number, match in enumerate(matches, 1)]
    return draw_faces(look.display, scaled, texts=texts or [""] * len(rows), show_landmarks=False)


def _short(match: Match) -> str:
    if not match.ranked:
        return "unknown"
    name = "unknown" if match.name is None else match.name if match.name.isascii() else ""
    return f"{name[:16]} {match.similarity:.2f}".strip()


def sentence(matches: list[Match]) -> str:
    """ "1 face: Ann (0.71).", "3 faces: Ann, Bob; 1 unknown."."""
    if not matches:
        return "No face was found."
    known = list(dict.fromkeys(match.name for match in matches if match.name is not None))
    unknown = sum(match.name is None for match in matches)
    parts = [", ".join(known)] if known else []
    parts += [f"{unknown} unknown" if len(matches) > 1 or known else "unknown"] if unknown else []
    noun = "face" if len(matches) == 1 else "faces"
    told = f"{len(matches)} {noun}: {'; '.join(parts)}."
    return told if matches[0].ranked else f"{told} {NOBODY}"


def answers_html(look: Look, rows: np.ndarray, matches: list[Match]) -> str:
    """For the largest faces: the crop, who it may be, and the most similar people."""
    cards = []
    for number, (row, match) in enumerate(list(zip(rows.tolist(), matches))[:MOST_ANSWERS], 1):
        name = "unknown" if match.name is None else match.name
        ranked = ", ".join(f"{who} {value:.2f}" for who, value in match.ranked[:RANKED])
        close = " Hardly more than the next." if match.name is not None and match.lead < 0.05 else ""
        cards.append(
            f'<div class="face"><img alt="Face {number}" src="{look.crop_source(row)}"><div><p><b>'
            f'{number}: {safe(name)}</b>{close}</p><p class="ranked">{safe(ranked)}</p></div></div>'
        )
    more = f'<p class="hint">and {len(matches) - MOST_ANSWERS} more</p>' if len(matches) > MOST_ANSWERS else ""
    return f'<div class="answers">{"".join(cards)}{more}</div>'


def matrix_html(room: Room, settings: GalleryViewSettings) -> str:
    """How similar everybody enrolled is to everybody else."""
    with room.lock:
        gallery = room.gallery
        if gallery is None or not len(gallery):
            return FEW.format("Enrol somebody first.")
        if settings.matrix == PEOPLE:
            table, names = gallery.similarity_matrix(), list(gallery.names)
        else:
            table, owners = gallery.picture_matrix()
            names = [f"{name} {owners[: index + 1].count(name)}" for index, name in enumerate(owners)]
    caption = f"Cosine similarities. Framed: at least the threshold, {settings.threshold:.2f}."
    return charts.similarity_table(table, names, names, settings.threshold, caption)


def map_html(room: Room, settings: GalleryViewSettings, look: Look | None) -> str:
    """The enrolled pictures on a plane; on the principal components also the faces of the picture that is searched."""
    with room.lock:
        rows, owners = room.gallery.embeddings() if room.gallery is not None else (np.zeros((0, 0)), [])
        if len(rows) < 2:
            return FEW.format("Enrol at least two pictures.")
        if settings.projection == TSNE:
            try:
                places = room.recall(TSNE, lambda: projection.tsne(rows))
            except InputError as error:
                return FEW.format(safe(str(error)))
            note = "t-SNE of the embeddings: neighbours stay neighbours; how far apart groups lie means nothing."
            return f'{charts.map_chart(places, owners)}<p class="hint">{note}</p>'
        found = room.recall(PCA, lambda: projection.pca(rows))
    probes = None
    if look is not None and look.inference is not None:
        probes = found.project(look.inference.embeddings[considered(look.found.faces, FaceMatchSettings())])
    shares = " and ".join(f"{100 * share:.0f} %" for share in found.explained)
    note = f"The first two principal components hold {shares} of the variance. Diamonds: the picture that is searched."
    return f'{charts.map_chart(found.coordinates, owners, probes)}<p class="hint">{note}</p>'


def errors_html(room: Room, settings: GalleryViewSettings) -> str:
    """ROC and equal error rate from the enrolled pictures themselves."""
    with room.lock:
        if room.gallery is None:
            return FEW.format("Enrol two people, one of them with two pictures or more.")
        values, same = room.gallery.genuine_and_impostor()
    try:
        curve = verification.roc(values, same)
    except InputError:
        return FEW.format("Enrol two people, one of them with two pictures or more: pairs of both kinds are needed.")
    eer, at = verification.equal_error_rate(curve)
    best, right = verification.best_threshold(values, same)
    genuine, impostors = int(same.sum()), int((~same).sum())
    far = float((values[~same] >= settings.threshold).mean())
    frr = float((values[same] < settings.threshold).mean())
    words = (
        f"<p>Genuine pairs (two pictures of one person): {genuine}; impostor pairs (of two people): {impostors}. At "
        f"the threshold {settings.threshold:.2f}: FAR {100 * far:.1f} %, FRR {100 * frr:.1f} %.</p>"
        f"<p>Equal error rate <b>{100 * eer:.1f} %</b> at {at:.2f}; most verdicts ({100 * right:.1f} %) are right at "
        f"{best:.2f}. Area under the curve {verification.area_under(curve):.3f}.</p>"
        f"<p>From {impostors} impostor pairs no FAR below {100 / impostors:.2g} % can be seen, and pictures taken in "
        "one sitting are more alike than those of different days: the real errors are larger.</p>"
    )
    chart = charts.roc_chart(curve, settings.threshold)
    return f'<div class="beside"><div>{chart}</div><div class="said">{words}</div></div>'


def export(room: Room, settings: GalleryViewSettings) -> bytes:
    """This gallery's similarities as JSON: names, figures, no embedding and no picture. InputError when it is empty."""
    with room.lock:
        gallery = room.gallery
        if gallery is None or not len(gallery):
            raise InputError("There is nothing to export.", hint="Enrol somebody first.")
        table, owners = gallery.picture_matrix()
        told: dict[str, Any] = {
            "model": gallery.model,
            "settings": settings.to_dict(),
            "people": [{"name": name, "pictures": gallery.count(name)} for name in gallery.names],
            "similarities_of_people": np.round(gallery.similarity_matrix(), 4).tolist(),
            "pictures": owners,
            "similarities_of_pictures": np.round(table, 4).tolist(),
        }
        values, same = gallery.genuine_and_impostor()
    if same.any() and not same.all():
        eer, at = verification.equal_error_rate(verification.roc(values, same))
        told |= {"eer": round(eer, 4), "eer_threshold": round(at, 4)}
    return json.dumps(told, indent=1, ensure_ascii=False).encode()
