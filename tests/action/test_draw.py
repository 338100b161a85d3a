"""The plate with bars, on frames of any size."""

import numpy as np
import pytest

from cvdemo.action.draw import colour_of, draw_actions
from cvdemo.action.predict import ActionSettings, decode, draw
from cvdemo.action.raw import ClipFacts, RawScores

TOP = ((0, "push-up", 0.9), (3, "squat", 0.08), (1, "naïve ☃ name", 0.02))
GREY = np.full((240, 320, 3), 90, np.uint8)


def test_bars_are_as_long_as_probable():
    out = draw_actions(GREY, TOP)
    assert out.shape == GREY.shape
    assert (GREY == 90).all()
    lengths = [(out == colour_of(index)).all(axis=2).sum(axis=1).max() for index, _, _ in TOP]
    assert lengths[0] > lengths[1] > lengths[2] > 0
    assert lengths[0] / lengths[1] == pytest.approx(0.9 / 0.08, rel=0.15)


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (500, 3), (20, 20), (37, 61), (1080, 1920)])
def test_any_size(shape):
    out = draw_actions(np.zeros((*shape, 3), np.uint8), TOP)
    assert out.shape == (*shape, 3)
    assert out.dtype == np.uint8


def test_what_is_not_sure_is_grey():
    assert draw_actions(GREY, TOP, sure=True).max() == 255
    assert (draw_actions(GREY, TOP, sure=True) != draw_actions(GREY, TOP, sure=False)).any()


def test_joints_are_drawn_where_they_are_seen():
    joints = np.ones((17, 3))
    joints[:, 0] = np.linspace(40, 280, 17)
    joints[:, 1] = 40
    plain, with_joints = draw_actions(GREY, ()), draw_actions(GREY, (), joints=joints)
    assert (plain == GREY).all()
    assert (with_joints[30:50] != GREY[30:50]).any()
    joints[:, 2] = 0.0
    joints[3] = np.nan
    assert (draw_actions(GREY, (), joints=joints) == GREY).all()


def test_wrong_pixels_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        draw_actions(GREY.astype(float), TOP)


def test_draw_of_the_task():
    raw = RawScores(np.array([3, 1], np.float32), ("a", "b"), "m", ClipFacts(1, 0, 0, 240, 320))
    actions = decode(raw, ActionSettings(top_k=1))
    assert (draw(GREY, actions) == draw_actions(GREY, actions.top)).all()
