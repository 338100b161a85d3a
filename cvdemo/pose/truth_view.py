"""What the Ground truth view says and draws: right and wrong joints, PCK, PCKh and OKS-AP with their definitions."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cvdemo.core.lazy import cv2
from cvdemo.core.settings import Settings, setting
from cvdemo.detection.draw import MATCH_STYLES
from cvdemo.pose.draw import RIM
from cvdemo.pose.poses import Poses
from cvdemo.pose.skeleton import COCO_JOINTS
from cvdemo.pose.skeleton_view import table_html
from cvdemo.pose.truth import PoseTruth, Score

FOUND, TRUE = "found", "true"
UNJUDGED = (255, 255, 255)
NONE_YET = "No ground truth yet"
NO_TRUTH = (
    "Load a COCO keypoints json in which this picture is named, or take the joints shown now as a stand-in and then "
    "change the model: the numbers say how far two models agree."
)
DEFINITIONS = (
    (
        "PCK@alpha",
        "Percentage of correct keypoints: the share of labelled joints whose prediction lies within alpha times the "
        "person's torso diagonal (left shoulder to right hip) of the truth. Somebody who was missed has all joints "
        "wrong.",
    ),
    (
        "PCKh@0.5",
        "The same with half the head's size as the limit, as the table of deck 003 has it. COCO labels no head box: "
        "the largest distance between labelled joints of the face stands for its size.",
    ),
    (
        "OKS",
        "Object keypoint similarity of two poses: the mean over labelled joints of exp(-d² / (2 s² k²)), where d is "
        "the distance, s² the person's area, and k twice the spread with which people label that joint. 1 is perfect.",
    ),
    (
        "OKS-AP",
        "Average precision with OKS in the place of IoU: the area under precision over recall of all poses by falling "
        "score, averaged over the OKS thresholds 0.50, 0.55 to 0.95 (COCO). AP50 and AP75 are single thresholds. "
        "In the table, that of a joint is what comes out when no other joint is labelled.",
    ),
)


@dataclass(frozen=True)
class TruthControls(Settings):
    """How the shown poses are measured."""

    alpha: float = setting(
        0.2,
        label="Alpha of PCK",
        minimum=0.05,
        maximum=0.5,
        step=0.01,
        help="A joint is right within alpha times the torso's diagonal.",
    )
    boxes: str = setting(
        FOUND, label="People's boxes", choices=(FOUND, TRUE),
        help="found: by the detector, which may miss people. true: of the ground truth; runs the network.",
    )  # fmt: skip


def sentence_of(score: Score, boxes: str) -> str:
    """The numbers in one sentence."""
    people = len(score.truth)
    if not people:
        return "The ground truth has nobody in this picture."
    missed = int((score.partner < 0).sum())
    noun = "1 person" if people == 1 else f"{people} people"
    lost = f", {missed} missed" if missed else ""
    if not score.judged.any():
        lost += ", no torso labelled"
    return (
        f"{noun} ({boxes} boxes{lost}): PCK@{score.alpha:g} {_share(score.torso.mean)}, PCKh@0.5 "
        f"{_share(score.head.mean)}, OKS-AP {_ap(score.average['AP'])}"
    )


def panel_html(score: Score, truth: PoseTruth, remark: str) -> str:
    """Overall numbers, the table per joint, and what each number means."""
    average = score.average
    overall = [
        (f"PCK@{score.alpha:g} (torso)", _share(score.torso.mean)),
        ("PCKh@0.5 (head)", _share(score.head.mean)),
        ("Mean OKS", _value(float(score.oks_of.mean()) if len(score.oks_of) else float("nan"))),
        ("OKS-AP (COCO)", _ap(average["AP"])),
        ("OKS-AP50, AP75", f"{_ap(average['AP50'])}, {_ap(average['AP75'])}"),
        ("OKS-AP medium, large people", f"{_ap(average['APm'])}, {_ap(average['APl'])}"),
        ("OKS-AR (COCO)", _ap(average["AR"])),
    ]
    rows = [
        (name, int((score.truth[:, joint, 2] > 0).sum()), _share(float(score.torso.per_joint[joint])),
         _share(float(score.head.per_joint[joint])), _value(float(score.oks_joint[joint])),
         _value(float(score.ap_joint[joint])))
        for joint, name in enumerate(COCO_JOINTS)
    ]  # fmt: skip
    header = ("Joint", "Labelled", f"PCK@{score.alpha:g}", "PCKh@0.5", "OKS", "OKS-AP")
    notes = " ".join(f"{html.escape(text)}." for text in (f"Ground truth: {truth.source}", remark) if text)
    return (
        f'<div class="beside"><div>{table_html(("", ""), overall)}{definitions_html()}</div>'
        f'<div>{table_html(header, rows)}</div></div><p class="hint">{notes}</p>'
    )


def definitions_html() -> str:
    """What the numbers mean."""
    items = "".join(
        f"<dt><strong>{html.escape(name)}</strong></dt><dd>{html.escape(text)}</dd>" for name, text in DEFINITIONS
    )
    return f'<dl class="definitions">{items}</dl>'


def draw_truth(pixels: np.ndarray, truth: Poses, score: Score, scale: float) -> np.ndarray:
    """A copy of (H, W, 3) uint8 at ``scale``: a line from each true joint to its prediction.

    Right ones end in a disc, wrong ones in a cross, in the colours of hits and misses; a missed person's joints are
    rings. Somebody whose torso is not labelled has white dots: there is nothing to say what is near enough.
    """
    out = np.array(pixels, order="C")
    thick = max(2, round(max(out.shape[:2]) / 500))
    for person in range(len(score.truth)):
        for joint in np.flatnonzero(truth.visible[person]).tolist():
            right, judged = bool(score.right[person, joint]), bool(score.judged[person])
            colour = MATCH_STYLES["TP" if right else "FN"].colour if judged else UNJUDGED
            place = _at(score.truth[person, joint, :2], scale)
            if score.partner[person] < 0:
                for shade, width in ((RIM, thick + 3), (colour, thick)):
                    cv2.circle(out, place, 3 * thick, shade, width, cv2.LINE_AA)
                continue
            guess = _at(score.found[person, joint, :2], scale)
            for shade, width in ((RIM, thick + 2), (colour, thick)):
                cv2.line(out, place, guess, shade, width, cv2.LINE_AA)
            if right or not judged:
                cv2.circle(out, guess, 2 * thick + 1, RIM, -1, cv2.LINE_AA)
                cv2.circle(out, guess, 2 * thick - 1, colour, -1, cv2.LINE_AA)
            else:
                for shade, width in ((RIM, thick + 3), (colour, thick)):
                    cv2.drawMarker(out, guess, shade, cv2.MARKER_TILTED_CROSS, 6 * thick, width, cv2.LINE_AA)
    return out


def _at(place: np.ndarray, scale: float) -> tuple[int, int]:
    x, y = np.round(np.clip(place * scale, -1e5, 1e5)).astype(int).tolist()
    return x, y


def legend_html() -> str:
    """What lines, discs, crosses and rings mean."""
    colours = {kind: "rgb({},{},{})".format(*MATCH_STYLES[kind].colour) for kind in ("TP", "FN")}
    samples: Sequence[tuple[str, str]] = (
        (f'<circle cx="8" cy="8" r="6" fill="{colours["TP"]}" stroke="#141414"/>', "right: within the limit"),
        (f'<path d="M2 2 14 14M14 2 2 14" stroke="{colours["FN"]}" stroke-width="4"/>', "wrong; the line leads to the "
         "truth"),
        (f'<circle cx="8" cy="8" r="6" fill="none" stroke="{colours["FN"]}" stroke-width="3"/>', "true joint of "
         "somebody who was missed"),
        ('<circle cx="8" cy="8" r="6" fill="#fff" stroke="#141414"/>', "no verdict by PCK: torso not labelled"),
    )  # fmt: skip
    items = "".join(f'<li><svg width="16" height="16" aria-hidden="true">{s}</svg>{words}</li>' for s, words in samples)
    return f'<ul class="legend">{items}</ul>'


def _share(value: float) -> str:
    return f"{100 * value:.0f} %" if np.isfinite(value) else "-"


def _value(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "-"


def _ap(value: float) -> str:
    return f"{value:.3f}" if value >= 0 else "-"
