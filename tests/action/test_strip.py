"""The strip: which frames it shows, cut as the networks cut them, with their own times."""

import base64
import re

import cv2
import numpy as np
import pytest

from cvdemo.action.clips import Clip, frozen, reversed_
from cvdemo.action.strip import MOST_TILES, caption_of, middle_square, strip_html, time_words


def clip(count=4, height=30, width=40, start=2.0):
    frames = np.stack([np.full((height, width, 3), 20 * (index % 12), np.uint8) for index in range(count)])
    return Clip(frames, start + np.arange(count) / 4)


def tiles(text):
    return re.findall(r'<li[^>]*><img src="data:image/jpeg;base64,([^"]+)" alt="([^"]+)"', text)


def decoded(source):
    return cv2.imdecode(np.frombuffer(base64.b64decode(source), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def test_every_frame_is_shown_in_order_with_its_time():
    shown = tiles(strip_html(clip(), side=32))
    assert [words for _, words in shown] == [f"frame {i + 1} of 4, {2 + i / 4:.2f} s" for i in range(4)]
    for index, (source, _) in enumerate(shown):
        pixels = decoded(source)
        assert pixels.shape == (32, 32, 3)
        assert abs(float(pixels.mean()) - 20 * index) < 3


def test_a_reversed_clip_keeps_each_frames_own_time():
    assert [words.split(", ")[1] for _, words in tiles(strip_html(reversed_(clip())))] == [
        "2.75 s", "2.50 s", "2.25 s", "2.00 s",
    ]  # fmt: skip


def test_a_cameras_frames_count_back_from_now():
    words = [words.split(", ")[1] for _, words in tiles(strip_html(clip(), zero=2.75))]
    assert words == ["\N{MINUS SIGN}0.75 s", "\N{MINUS SIGN}0.50 s", "\N{MINUS SIGN}0.25 s", "now"]
    assert time_words(1.0) == "1.00 s"


def test_long_clips_are_thinned_and_say_so():
    text = strip_html(clip(128), side=8)
    assert len(tiles(text)) == MOST_TILES
    assert f"{MOST_TILES} of 128 are shown" in text
    assert tiles(text)[0][1].startswith("frame 1 of 128")
    assert tiles(text)[-1][1].startswith("frame 128 of 128")


def test_marked_frames_and_captions_are_escaped():
    text = strip_html(clip(), marked=[1], caption="<b>", side=8)
    assert text.count('class="marked"') == 1
    assert "&lt;b&gt;" in text


@pytest.mark.parametrize(("height", "width"), [(40, 20), (20, 40), (17, 17), (1, 9)])
def test_the_middle_square_is_cut_out(height, width):
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    assert (middle_square(frame, edge) == frame[top : top + edge, left : left + edge]).all()


def test_captions_say_what_the_model_saw():
    assert caption_of(clip(), 4.0) == "What the model saw: 4 frames, 4 a second, 0.8 s"
    assert "Nothing moves" in caption_of(frozen(clip()), 4.0)
    noted = Clip(clip().frames, clip().times, note="the last frame is repeated")
    assert caption_of(noted, 4.0).endswith("; the last frame is repeated")
