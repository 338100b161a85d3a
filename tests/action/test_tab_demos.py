"""The views that need no network: what they show of a clip, and what the camera's captures lead to."""

import numpy as np
import pytest

from cvdemo.action import tab_demos
from cvdemo.action import tab_shared as kept
from cvdemo.action.clips import Clip, still
from cvdemo.action.kernel_view import KernelControls
from cvdemo.action.pathways import PathwayControls
from cvdemo.action.tab_demos import CONVOLUTION, DEMOS, PATHWAYS, SPECS
from cvdemo.core.media import Picture
from cvdemo.ui import memory


def clip(count):
    rng = np.random.default_rng(0)
    return Clip(rng.integers(0, 256, (count, 48, 64, 3), dtype=np.uint8), np.arange(count) / 8)


def test_pathways_and_inflation_are_shown_together():
    line, frames, inflation = tab_demos.show_pathways(clip(16), PathwayControls(alpha=8))
    assert "Slow: 2 of 16 frames" in line
    assert "Slow pathway" in frames
    assert "Multiply-adds" in frames
    assert "is rounding" in inflation


def test_the_kernel_is_shown_with_its_sentence():
    line, panel = tab_demos.show_kernel(clip(8), KernelControls(causal=True))
    assert "causal" in line
    assert "<svg" in panel


@pytest.mark.parametrize("name", [PATHWAYS, CONVOLUTION])
def test_every_setting_has_a_place_and_defaults_give_a_result(name):
    demo = DEMOS[name]
    assert {field.name for field in demo.settings.fields_of()} == set(demo.names)
    values = [getattr(demo.settings(), each) for each in demo.names]
    shown = tab_demos._shown(demo, "somebody", tuple(values), lambda: still(clip(1).frames[0]))
    assert len(shown) == len(demo.places)
    kept_clip = memory.memory_of("somebody").get(tab_demos.key_of(demo))
    assert len(kept_clip) == SPECS[name].frames
    assert (kept_clip.frames == kept_clip.frames[:1]).all()
    memory.forget("somebody")


def test_a_kernel_that_does_not_fit_leaves_the_panel_as_it_is():
    demo = DEMOS[CONVOLUTION]
    controls = {**KernelControls().to_dict(), "time": 7, "dilation": 4, "padded": False}
    shown = tab_demos._shown(demo, "other", tuple(controls[name] for name in demo.names), lambda: clip(8))
    assert 'role="alert"' in shown[0]
    assert isinstance(shown[1], dict), "left as it is"
    memory.forget("other")


def test_a_picture_is_as_long_a_clip_as_the_model_wants():
    pixels = np.zeros((30, 40, 3), np.uint8)
    made = kept.clip_of(Picture(pixels, "a.png"), "compact-action")
    assert len(made) == 8
    assert made.span == 0


def test_the_video_of_a_session_is_remembered_while_it_is_there(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    assert kept.video_of("viewer") is None
    kept.remember_video("viewer", path)
    assert kept.video_of("viewer") == path
    assert kept.video_of("somebody else") is None
    path.unlink()
    assert kept.video_of("viewer") is None
    memory.forget("viewer")
