"""What the Angles view shows: an angle over time with its thresholds and repetitions, a table, and arcs in the picture.

The plot is HTML and SVG that stretch with the column; letters keep the page's size. Times are in seconds, angles in
degrees, 180 for a stretched limb.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cvdemo.core.errors import SettingsError
from cvdemo.core.lazy import cv2
from cvdemo.core.settings import Settings, setting
from cvdemo.pose.angles import ANGLES, HIGH_DEGREES, LOW_DEGREES, AngleSeries, RepetitionCounter, joint_angles
from cvdemo.pose.draw import MIDDLE, RIM
from cvdemo.pose.poses import Poses
from cvdemo.pose.predict import PoseSettings, decode
from cvdemo.pose.skeleton import COCO_JOINTS
from cvdemo.pose.skeleton_view import names_of, sentence_of, table_html
from cvdemo.pose.tracks import PoseTracks
from cvdemo.pose.video import PoseTrack

MOST_OTHERS = 3
MOST_SEEN = 0
"""Stands for the person seen in most frames, in the menu of people."""
EMPTY = (
    '<p class="hint">Choose a video on the left and press its button, or go live: the angle is drawn over time here, '
    "and repetitions are counted. For a picture there is the table. The examples show people down to the chest only: "
    "for elbows, hips and knees step back from the camera or choose a file of your own.</p>"
)
DEFINITION = (
    "The angle at the middle one of three joints: hip, knee, ankle for the knee; shoulder, elbow, wrist for the elbow; "
    "shoulder, hip, knee for the hip. It is measured in the picture plane, so a limb that points at the camera looks "
    "more bent than it is. A repetition is counted when the angle, having been below the lower threshold, comes above "
    "the upper one."
)
_TALLEST = 180.0

PLOT_CSS = """
.plot { display: grid; grid-template-columns: 3.4em 1fr; font-size: max(14px, 1em); font-variant-numeric: tabular-nums;
  margin: 6px 8px 2px 0; }
.plot .ys, .plot .area { position: relative; height: 15em; }
.plot .ys span { position: absolute; right: 8px; transform: translateY(50%); }
.plot .area { border-left: 1px solid currentColor; border-bottom: 1px solid currentColor; }
.plot svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.plot path { fill: none; vector-effect: non-scaling-stroke; }
.plot .rule { stroke: currentColor; opacity: 0.15; stroke-width: 1; }
.plot .line { stroke: var(--chart-right, #0b62b8); stroke-width: 2.5; stroke-linejoin: round; }
.plot .other { stroke: currentColor; opacity: 0.35; stroke-width: 1; }
.plot .level { stroke: var(--chart-wrong, #d55e00); stroke-width: 2; stroke-dasharray: 7 5; }
.plot .rep { stroke: currentColor; opacity: 0.6; stroke-width: 1.5; stroke-dasharray: 2 3; }
.plot .word { position: absolute; padding: 0 4px; border-radius: 3px; line-height: 1.3;
  background: color-mix(in srgb, var(--background-fill-primary) 60%, transparent); }
.plot .at { position: absolute; top: 2px; transform: translateX(-50%); font-weight: 700; padding: 0 4px;
  background: var(--background-fill-primary); border-radius: 3px; line-height: 1.3; }
.plot .xs { grid-column: 2; position: relative; height: 1.6em; }
.plot .xs span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
.plot .xs span:first-child { transform: none; }
.plot .xs span:last-child { transform: translateX(-100%); }
.count { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 28px; margin: 4px 2px; }
.count b { font-size: 2.2rem; line-height: 1.1; font-variant-numeric: tabular-nums; }
.count span { font-variant-numeric: tabular-nums; }
"""


@dataclass(frozen=True)
class AngleControls(Settings):
    """Everything that acts on joints already found."""

    angle: str = setting(
        "left elbow", label="Angle", choices=tuple(ANGLES), help="Left and right are the person's own."
    )
    low: float = setting(
        LOW_DEGREES, label="Bent below", minimum=0.0, maximum=180.0, step=1.0, help="Degrees; a repetition begins here."
    )
    high: float = setting(
        HIGH_DEGREES, label="Stretched above", minimum=0.0, maximum=180.0, step=1.0,
        help="Degrees; and it is complete here.",
    )  # fmt: skip
    confidence: float = setting(
        0.3, label="Joint confidence", minimum=0.0, maximum=1.0, step=0.01,
        help="An angle is measured where all three joints score above this.",
    )  # fmt: skip
    calm: float = setting(
        0.5, label="Smoothing", minimum=0.0, maximum=1.0, step=0.05, help="Of the joints over time; 0 for none."
    )

    def over(self, base: PoseSettings) -> PoseSettings:
        """A model's settings with this confidence and smoothing; boxes, because they bear the people's numbers."""
        return replace(base, joint_threshold=self.confidence, smoothing=self.calm, show_boxes=True)


@dataclass(frozen=True, eq=False)
class ClipAngles:
    """A finished clip: what was found in each frame, the frames' (index, seconds), and the model's settings."""

    track: PoseTrack
    times: tuple[tuple[int, float], ...]
    base: PoseSettings
    name: str

    def series(self, controls: AngleControls) -> AngleSeries:
        """The angles for these controls; no network is touched."""
        settings, tracks, angles = controls.over(self.base), PoseTracks(), AngleSeries()
        for index, seconds in self.times:
            poses = decode(self.track.frames[index][settings.decode], settings)
            angles.add(seconds, tracks.update(poses, seconds, settings.smoothing))
        return angles


def person_choices(series: AngleSeries) -> list[tuple[str, int]]:
    """(label, value) for the menu of people; the first stands for whoever is seen most."""
    return [("whoever is seen most", MOST_SEEN), *((f"#{number}", number) for number in series.people()[:30])]


def chosen_person(series: AngleSeries, person: int) -> int | None:
    """The person meant, or whoever is seen most; None without people."""
    people = series.people()
    if not people:
        return None
    return person if person in people else people[0]


def repetition_times(
    times: np.ndarray, degrees: np.ndarray, controls: AngleControls
) -> list[float]:  # fmt: skip
    """When each repetition was complete; SettingsError when the thresholds are the wrong way round."""
    if not controls.low < controls.high:
        raise SettingsError(
            f"The lower threshold ({controls.low:g}) must lie below the upper one ({controls.high:g}).",
            hint="Move one of them.",
        )
    counter, found = RepetitionCounter(controls.low, controls.high), []
    for time, value in zip(times.tolist(), degrees.tolist()):
        before = counter.count
        if counter.add(time, value) > before:
            found.append(time)
    return found


def summary_html(series: AngleSeries, person: int, controls: AngleControls) -> str:
    """The count in large figures, and the range of the angle; says so when it was never measured."""
    number = chosen_person(series, person)
    if number is None:
        return ""
    times, degrees = series.series(number, controls.angle)
    known = degrees[np.isfinite(degrees)]
    name = html.escape(controls.angle)
    if not len(known):
        return (
            f'<p class="hint" role="status">The {name} of person #{number} was never measured: all three joints must '
            "score above the confidence. Choose another angle or person, or lower the confidence.</p>"
        )
    try:
        count = str(len(repetition_times(times, degrees, controls)))
        noun = "repetition" if count == "1" else "repetitions"
    except SettingsError as error:
        count, noun = "-", html.escape(str(error))
    return (
        f'<div class="count"><span><b>{count}</b> {noun}</span><span>{name} of person #{number}: now '
        f"{known[-1]:.0f}°, {known.min():.0f}° to {known.max():.0f}°</span><span>measured in "
        f"{len(known)} of {len(degrees)} frames</span></div>"
    )


def plot_html(series: AngleSeries, person: int, controls: AngleControls) -> str:
    """The chosen angle over time, thresholds dashed, each complete repetition marked with its number."""
    number = chosen_person(series, person)
    if number is None:
        return EMPTY
    times, degrees = series.series(number, controls.angle)
    everything = np.array([time for time, *_ in series.rows])
    first, last = float(everything.min()), float(everything.max())
    span = max(last - first, 1e-3)

    def path(seconds: np.ndarray, values: np.ndarray) -> str:
        parts, on = [], False
        for x, y in zip(((seconds - first) / span * 1000).tolist(), values.tolist()):
            if np.isfinite(y):
                parts.append(f"{'L' if on else 'M'}{x:.1f} {_TALLEST - y:.1f}")
            on = bool(np.isfinite(y))
        return "".join(parts)

    lines = "".join(f'<path class="rule" d="M0 {y}H1000"/>' for y in (0, 45, 90, 135))
    for other in [one for one in series.people() if one != number][:MOST_OTHERS]:
        lines += f'<path class="other" d="{path(*series.series(other, controls.angle))}"/>'
    lines += "".join(f'<path class="level" d="M0 {_TALLEST - y:.1f}H1000"/>' for y in (controls.low, controls.high))
    lines += f'<path class="line" d="{path(times, degrees)}"/>'
    try:
        complete = repetition_times(times, degrees, controls)
    except SettingsError:
        complete = []
    marks = ""
    for index, time in enumerate(complete, 1):
        share = (time - first) / span
        lines += f'<path class="rep" d="M{1000 * share:.1f} 0V180"/>'
        marks += f'<span class="at" style="left:{100 * share:.1f}%">{index}</span>'
    words = "".join(
        f'<span class="word" style="left:6px;bottom:calc({value / _TALLEST * 100:.1f}% + {lift})">{text}</span>'
        for value, text, lift in (
            (controls.low, f"bent below {controls.low:.0f}°", "-1.5em"),
            (controls.high, f"stretched above {controls.high:.0f}°", "3px"),
        )
    )
    ys = "".join(f'<span style="bottom:{y / _TALLEST * 100:.1f}%">{y}°</span>' for y in (0, 45, 90, 135, 180))
    xs = "".join(f'<span style="left:{100 * s:.0f}%">{first + s * span:.1f} s</span>' for s in (0, 0.25, 0.5, 0.75, 1))
    label = html.escape(f"{controls.angle} of person {number} over {span:.1f} seconds, {len(complete)} repetitions")
    return (
        f'<div class="plot" role="img" aria-label="{label}"><div class="ys">{ys}</div><div class="area">'
        f'<svg viewBox="0 0 1000 180" preserveAspectRatio="none" aria-hidden="true">{lines}</svg>{words}{marks}</div>'
        f'<div class="xs">{xs}</div></div>'
    )


def poses_table(poses: Poses) -> str:
    """The six angles of everybody in a picture."""
    angles = joint_angles(poses.keypoints, poses.visible)
    rows = [[name, *_degrees(row)] for name, row in zip(names_of(poses), angles.tolist())]
    if not rows:
        return '<p class="hint">Nobody was found in this picture.</p>'
    return table_html(("Person", *(name.capitalize() for name in ANGLES)), rows)


def _degrees(values: Iterable[float]) -> list[str]:
    return [f"{value:.0f}°" if np.isfinite(value) else "-" for value in values]


def picture_sentence(poses: Poses, angle: str) -> str:
    """Such as "2 people; left knee 92°, 140°"."""
    if not len(poses):
        return sentence_of(poses)
    values = joint_angles(poses.keypoints, poses.visible)[:, list(ANGLES).index(angle)]
    known = [f"{value:.0f}°" for value in values if np.isfinite(value)]
    noun = "1 person" if len(poses) == 1 else f"{len(poses)} people"
    if known:
        return f"{noun}; {angle} {', '.join(known[:8])}"
    joints = [COCO_JOINTS[joint].split()[-1] for joint in ANGLES[angle]]
    found = f"the {angle} is not measured: {joints[0]}, {joints[1]} and {joints[2]} must all be seen"
    return f"{noun}; {found}"


def draw_angles(pixels: np.ndarray, poses: Poses, angle: str) -> np.ndarray:
    """A copy of (H, W, 3) uint8 with an arc and the degrees at the angle of everybody who shows it."""
    out = np.array(pixels, order="C")
    index = list(ANGLES).index(angle)
    values = joint_angles(poses.keypoints, poses.visible)[:, index]
    for row in np.flatnonzero(np.isfinite(values)).tolist():
        a, b, c = (poses.keypoints[row, joint, :2] for joint in ANGLES[angle])
        _arc(out, a, b, c, float(values[row]))
    return out


def _arc(out: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, value: float) -> None:
    radius = max(8, round(0.35 * min(np.linalg.norm(a - b), np.linalg.norm(c - b))))
    begin, end = (float(np.degrees(np.arctan2(*(end - b)[::-1]))) for end in (a, c))
    turn = (end - begin + 180) % 360 - 180  # the short way round
    centre = tuple(np.round(np.clip(b, -1e5, 1e5)).astype(int).tolist())
    thick = max(2, round(max(out.shape[:2]) / 400))
    for colour, width in ((RIM, thick + 3), (MIDDLE, thick)):
        cv2.ellipse(out, centre, (radius, radius), 0, begin, begin + turn, colour, width, cv2.LINE_AA)
    scale = max(0.5, max(out.shape[:2]) / 1100)
    text = f"{value:.0f}"
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 2)
    middle = np.radians(begin + turn / 2)
    place = b + (radius + 0.7 * width) * np.array([np.cos(middle), np.sin(middle)])
    x, y = round(float(place[0]) - width / 2), round(float(place[1]) + height / 2)
    cv2.rectangle(out, (x - 4, y - height - 4), (x + width + 4, y + 5), RIM, -1)
    cv2.putText(out, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, MIDDLE, 2, cv2.LINE_AA)


def series_csv(series: AngleSeries) -> bytes:
    """The download: time, person and all six angles."""
    return series.to_csv().encode()


def frames_sentence(series: AngleSeries, seconds: Sequence[float]) -> str:
    """How long was measured and how many people there were."""
    people = len(series.people())
    noun = "1 person" if people == 1 else f"{people} people"
    length = max(seconds) - min(seconds) if seconds else 0.0
    return f"{len(seconds)} frames in {length:.1f} s, {noun} followed"
