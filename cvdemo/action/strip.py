"""The strip of frames a model saw, in its order, each with its own time: HTML that wraps where there is no room.

Frames are cut to the middle square, as the networks do, and travel inside the page as data URLs.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

import numpy as np

from cvdemo.action.clips import Clip
from cvdemo.core.lazy import cv2
from cvdemo.core.media import encode_picture

TILE = 112
"""Side of a tile in pixels."""
MOST_TILES = 32
EMPTY = '<p class="hint">The frames the model saw appear here, in its order.</p>'

CSS = """
.strip { display: grid; gap: 6px; grid-template-columns: repeat(auto-fit, minmax(min(var(--least, 96px), 20%),
  var(--most, 132px))); list-style: none !important; margin: 4px 0 !important; padding: 0 !important; }
.strip li { margin: 0 !important; padding: 0 !important; min-width: 0; text-align: center; line-height: 1.3;
  font-variant-numeric: tabular-nums; font-size: max(14px, 0.9em); }
.strip img { width: 100%; aspect-ratio: 1; object-fit: cover; display: block; border-radius: 4px; margin: 0 !important;
  border: 2px solid transparent; }
.strip .marked img { border-color: var(--chart-wrong, #d55e00); }
.strip .absent { opacity: 0.25; }
.strip.small { --least: 58px; --most: 84px; }
.strip-head { margin: 6px 0 2px; font-weight: 600; }
@media (max-width: 760px) { .strip { --most: 96px; } .strip.small { --least: 48px; --most: 54px; } }
"""


def middle_square(frame: np.ndarray, side: int = TILE) -> np.ndarray:
    """The middle square of (H, W, 3) uint8, ``side`` pixels."""
    height, width = frame.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    square = frame[top : top + edge, left : left + edge]
    return np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def source_of(frame: np.ndarray, side: int = TILE, quality: int = 80) -> str:
    """A frame as a data URL."""
    data = base64.b64encode(encode_picture(middle_square(frame, side), "jpeg", quality=quality)).decode()
    return f"data:image/jpeg;base64,{data}"


def time_words(seconds: float, zero: float | None = None) -> str:
    """ "12.4 s"; with a ``zero``, the time before it: "-0.5 s", and "now"."""
    if zero is None:
        return f"{seconds:.2f} s"
    before = seconds - zero
    return "now" if abs(before) < 0.005 else f"\N{MINUS SIGN}{abs(before):.2f} s"


def strip_html(
    clip: Clip,
    *,
    zero: float | None = None,
    marked: Sequence[int] = (),
    caption: str = "",
    kind: str = "",
    side: int = TILE,
) -> str:
    """The frames of a clip as a list of tiles with their times.

    zero: seconds that count as now, so that a camera's frames are "0.5 s ago".   marked: indices of frames with an
    orange frame.   kind: "small" for small tiles.   At most ``MOST_TILES`` tiles; the caption says what was left out.
    """
    count = len(clip)
    shown = np.unique(np.linspace(0, count - 1, min(count, MOST_TILES)).round().astype(int)).tolist()
    known: dict[bytes, str] = {}  # a frozen clip is one picture many times
    picture = clip.span == 0 and clip.start == 0  # which has no time
    tiles = []
    for index in shown:
        frame = clip.frames[index]
        key = frame.tobytes() if count > 1 and clip.span == 0 else str(index).encode()
        if key not in known:
            known[key] = source_of(frame, side)
        words = f"frame {index + 1}" if picture else time_words(float(clip.times[index]), zero)
        classes = ' class="marked"' if index in marked else ""
        tiles.append(
            f'<li{classes}><img src="{known[key]}" alt="frame {index + 1} of {count}, {words}" decoding="sync">'
            f"{words}</li>"
        )
    left = f" Every frame is used; {len(shown)} of {count} are shown." if len(shown) < count else ""
    head = f'<p class="strip-head">{html.escape(caption + left)}</p>' if caption or left else ""
    return f'{head}<ol class="strip {kind}">{"".join(tiles)}</ol>'


def caption_of(clip: Clip, rate: float) -> str:
    """Such as "What the model saw: 16 frames, 8 a second, 1.9 s"."""
    count = len(clip)
    if count == 1 or clip.span == 0:
        times = "once" if count == 1 else f"{count} times"
        return f"What the model saw: one picture, {times}. Nothing moves."
    words = f"What the model saw: {count} frames, {rate:g} a second, {clip.span:.1f} s"
    return words + (f"; {clip.note}" if clip.note else "")
