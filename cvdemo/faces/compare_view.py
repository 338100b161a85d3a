"""What the Compare view shows: two pictures with their faces and aligned crops, a verdict, and what it is worth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvdemo.core.media import encode_picture
from cvdemo.core.settings import setting
from cvdemo.faces import charts, predict
from cvdemo.faces.align import template
from cvdemo.faces.curves import Curves, crowd_words, curves_of, curves_path, rate
from cvdemo.faces.draw import contact_sheet, draw_faces, draw_landmarks
from cvdemo.faces.embedder import DEFAULT_THRESHOLD
from cvdemo.faces.predict import Comparison, FaceMatchSettings, considered, distance_of, face_of
from cvdemo.faces.remarks import nobody, remarks
from cvdemo.faces.result import Faces
from cvdemo.faces.tab_shared import Look
from cvdemo.ui.layered_viewer import layer_source
from cvdemo.ui.markup import safe

SHOWN = 12
HOW_TO = "python -m cvdemo evaluate faces --pairs pairs.txt --images lfw --curves FILE"
CSS = """
.side { margin: 0; display: flex; flex-direction: column; gap: 8px; }
.side .picture { height: min(34vh, 380px); display: flex; align-items: center; justify-content: center;
  border: 1px solid var(--border-color-primary); border-radius: var(--radius-lg); overflow: hidden;
  background: var(--background-fill-secondary); }
.side .picture img { max-width: 100%; max-height: 100%; display: block; }
.side .empty { color: var(--body-text-color-subdued); padding: 24px; text-align: center; }
.side .row { display: flex; gap: 12px; align-items: flex-start; min-height: 116px; }
.side .chosen-face { flex: none; margin: 0; }
.side .chosen-face img { width: 112px; height: 112px; border-radius: 6px; display: block; }
.side .words { min-width: 0; line-height: 1.4; }
.side .words p { margin: 0 0 4px; }
.side .crops { display: flex; flex-wrap: wrap; gap: 5px; }
.side .crops button { padding: 0; border: 3px solid transparent; border-radius: 8px; background: none; cursor: pointer;
  line-height: 0; }
.side .crops button[aria-pressed=true] { border-color: #e69f00; }
.side .crops img { width: 52px; height: 52px; border-radius: 5px; display: block; }
"""


@dataclass(frozen=True)
class CompareSettings(FaceMatchSettings):
    """The task's settings, and what the page shows beside the verdict."""

    crowd: int = setting(
        1000, label="Strangers in a crowd", minimum=1, maximum=10000, step=1,
        help="How many strangers one person is compared with: what the false accept rate means for so many.",
    )  # fmt: skip
    landmarks: bool = setting(
        True, label="Landmarks", help="Mark the five points that the face is aligned by: eyes, nose tip, mouth corners."
    )


def chosen_face(look: Look, settings: FaceMatchSettings, row: int | None) -> int | None:
    """The face that stands for a picture: the one that was pressed, else the one ``settings.which`` names."""
    return row if row is not None and row < len(look.found.faces) else face_of(look.found.faces, settings)


def drawn(look: Look, settings: CompareSettings, row: int | None, *, full: bool = False) -> np.ndarray:
    """The picture as the page shows it, or in ``full`` size, with the faces that count, numbered as below it; the one
    that is compared has the strongest line.
    """
    rows = shown_rows(look, settings, row)
    faces, scale = look.found.faces.take(rows), 1.0 if full else look.scale
    pixels = look.picture.pixels if full else look.display
    scaled = Faces(faces.boxes * scale, faces.scores, faces.landmarks * scale)
    texts = [f"{number}" if len(rows) > 1 else "" for number in range(1, len(rows) + 1)]
    out = draw_faces(pixels, scaled, texts=texts, show_landmarks=False, line_width=2)
    if row is not None and row in rows:
        mine = np.flatnonzero(rows == row)
        out = draw_faces(out, scaled.take(mine), texts=[texts[int(mine[0])]], line_width=4,
                         show_landmarks=settings.landmarks)  # fmt: skip
    return out


def shown_rows(look: Look, settings: FaceMatchSettings, row: int | None = None) -> np.ndarray:
    """Indices of the faces that count, largest first; one that was pressed stays among them."""
    rows = considered(look.found.faces, settings)
    if row is not None and row not in rows:
        rows = np.append(rows, row)
    return rows[np.argsort(-look.found.faces.sides()[rows], kind="stable")]


def crop_of(look: Look, row: int, settings: CompareSettings) -> np.ndarray:
    """The aligned crop of a face; with the places its landmarks were carried to."""
    crop = np.ascontiguousarray(look.found.crops[row])
    if settings.landmarks:
        crop = crop.copy()
        draw_landmarks(crop, template(), 2.0)
    return crop


def side_html(look: Look, settings: CompareSettings, row: int | None, which: str) -> str:
    """One picture: itself with boxes, the aligned face that is compared, remarks, and the other faces to choose."""
    faces = look.found.faces
    rows = shown_rows(look, settings, row)
    alt = f"The {which} picture: {faces.take(rows).sentence()}"
    picture = f'<div class="picture"><img alt="{safe(alt)}" src="{layer_source(drawn(look, settings, row))}"></div>'
    if row is None:
        words = nobody(len(faces))
        return f'<div class="side">{picture}<div class="row"><div class="words"><p>{safe(words)}</p></div></div></div>'
    number = int(np.flatnonzero(rows == row)[0]) + 1
    side = float(faces.sides()[row])
    title = f"Face {number} of {len(rows)}" if len(rows) > 1 else "The face"
    said = [f"<b>{title}</b>, aligned: {side:.0f} px wide, score {faces.scores[row]:.2f}."]
    said += [safe(line) for line in remarks(faces, row)]
    words = "".join(f"<p>{line}</p>" for line in said)
    buttons = _buttons(look, rows, row, which) if len(rows) > 1 else ""
    face = (
        '<div class="chosen-face"><img alt="The aligned face" '
        f'src="{layer_source(crop_of(look, row, settings), 90)}"></div>'
    )
    return f'<div class="side">{picture}<div class="row">{face}<div class="words">{words}{buttons}</div></div></div>'


def _buttons(look: Look, rows: np.ndarray, row: int, which: str) -> str:
    buttons = []
    for number, index in enumerate(rows.tolist()[:SHOWN], 1):
        pressed = "true" if index == row else "false"
        buttons.append(
            f'<button type="button" data-key="{index}" aria-pressed="{pressed}" title="Compare face {number}" '
            f'aria-label="Compare face {number} of the {which} picture"><img alt="" '
            f'src="{look.crop_source(index)}"></button>'
        )
    more = f"<p>and {len(rows) - SHOWN} smaller ones</p>" if len(rows) > SHOWN else ""
    return f'<div class="crops" role="group" aria-label="Faces of the {which} picture">{"".join(buttons)}</div>{more}'


def worth_html(model: str, settings: CompareSettings, result: Comparison | None) -> str:
    """What the verdict is worth: the error rates at this threshold, for a crowd, and where the default comes from."""
    curves = curves_of(model)
    similarity = None if result is None else result.similarity
    chart = charts.rates_chart(curves, settings.threshold, similarity, DEFAULT_THRESHOLD)
    return (
        f'<div class="beside"><div>{chart}</div><div class="said">{_words(curves, model, settings, result)}</div></div>'
    )


def _words(curves: Curves | None, model: str, settings: CompareSettings, result: Comparison | None) -> str:
    lines = []
    if result is not None:
        angle = float(np.degrees(np.arccos(np.clip(result.similarity, -1, 1))))
        lines.append(
            f"Cosine similarity <b>{result.similarity:.3f}</b>, that is {angle:.0f}° between the two embeddings, or a "
            f"Euclidean distance of <b>{result.distance:.3f}</b>. The threshold {settings.threshold:.2f} is a distance "
            f"of {distance_of(settings.threshold):.3f}."
        )
    if curves is None:
        path = curves_path(model)
        where = f" and put the file beside the weights as {path.name}" if path is not None else ""
        lines.append(
            "How often this threshold errs has not been measured for this model, so nobody knows what the verdict is "
            f"worth. To measure it, run <code>{HOW_TO}</code>{where}."
        )
        return "".join(f"<p>{line}</p>" for line in lines)
    far, frr = curves.at(settings.threshold)
    lines += [
        f"<b>FAR</b>, strangers accepted: {rate(far, curves.impostors, 'pairs of two people')}. <b>FRR</b>, the same "
        f"person turned away: {rate(frr, curves.genuine, 'pairs of one person')}.",
        f"<b>{safe(crowd_words(curves, settings.threshold, settings.crowd))}</b>",
        "Measured by the protocol of Labeled Faces in the Wild, each face together with its mirror image: "
        f"{100 * curves.accuracy:.1f} % of the verdicts are right, and both errors are equal, {100 * curves.eer:.1f} "
        f"%, at {curves.eer_threshold:.2f}. The default, {DEFAULT_THRESHOLD:.2f} (dotted), is {_origin(curves)}. These "
        "are press pictures of well-known people: in other light, for children, or for groups rare among them, "
        "expect more errors.",
    ]
    return "".join(f"<p>{line}</p>" for line in lines[:-1]) + f'<p class="caption">{lines[-1]}</p>'


def _origin(curves: Curves) -> str:
    if abs(curves.best - DEFAULT_THRESHOLD) < 0.006:
        return "where most verdicts on these pairs are right"
    return f"a round number; most verdicts on these pairs are right at {curves.best:.2f}"


def table_html(first: Look, second: Look, settings: CompareSettings) -> str:
    """Every face of one picture against every face of the other."""
    one, two = first.inference, second.inference
    if one is None or two is None:
        return ""
    rows, columns = shown_rows(first, settings), shown_rows(second, settings)
    if not len(rows) or not len(columns):
        return '<p class="hint">Two pictures with faces are needed.</p>'
    table = predict.similarities(one, two)[np.ix_(rows, columns)]
    names = [
        [f"{word} {n}" for n in range(1, len(some) + 1)] for word, some in (("First:", rows), ("Second:", columns))
    ]
    caption = f"Cosine similarities. Framed: at least the threshold, {settings.threshold:.2f}."
    return charts.similarity_table(table, names[0], names[1], settings.threshold, caption)


def export(looks: Sequence[Look], result: Comparison, settings: CompareSettings, kind: str) -> tuple[str, bytes]:
    """File name and content: "png", both pictures in full size and under each its aligned face; "json", the figures."""
    names = [look.picture.name for look in looks]
    if kind == "json":
        told = result.to_dict(*names) | {"sentence": result.sentence(), "settings": settings.to_dict()}
        return "comparison.json", json.dumps(told, indent=1).encode()
    return "comparison.png", encode_picture(_sheet(looks, (result.face_a, result.face_b), settings), "png")


def _sheet(looks: Sequence[Look], rows: Sequence[int], settings: CompareSettings) -> np.ndarray:
    """Both drawn pictures side by side, each above its aligned face, on white."""
    columns = []
    for look, row in zip(looks, rows):
        picture, crop = drawn(look, settings, row, full=True), contact_sheet(crop_of(look, row, settings)[None])
        width = max(picture.shape[1], crop.shape[1])
        parts = [
            np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=255) for part in (picture, crop)
        ]
        columns.append(np.concatenate(parts))
    height = max(column.shape[0] for column in columns)
    return np.concatenate(
        [np.pad(column, ((0, height - len(column)), (0, 8), (0, 0)), constant_values=255) for column in columns], 1
    )
