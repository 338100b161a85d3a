"""Pictures of flow: what is drawn where, that inputs stay as they are, and that the legend is always there."""

import numpy as np
import pytest

from cvdemo.flow import draw
from cvdemo.flow.colour import flow_to_colour


def picture(height=90, width=120, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def flow_to(x, y, height=90, width=120):
    return np.tile(np.float32([x, y]), (height, width, 1))


DRAWERS = {
    "colour": lambda p: draw.draw_colour(p, flow_to(3, 1), 5.0, 0.5),
    "arrows": lambda p: draw.draw_arrows(p, flow_to(3, 1), 5.0),
    "wheel": lambda p: draw.add_wheel(p, 5.0),
    "scale": lambda p: draw.add_scale(p, 5.0),
    "occlusion": lambda p: draw.draw_occlusion(p, np.ones((90, 120), bool)),
    "tracks": lambda p: draw.draw_tracks(p, np.array([[10.0, 10]]), np.array([[30.0, 40]])),
}


@pytest.mark.parametrize("name", DRAWERS)
def test_pictures_stay_as_they_are_and_results_are_pictures(name):
    original = picture()
    copy = original.copy()
    out = DRAWERS[name](original)
    assert (original == copy).all()
    assert out.shape == original.shape
    assert out.dtype == np.uint8
    assert (out != original).any()


def test_opacity_one_is_the_colour_code_and_zero_the_grey_picture():
    flow, here = flow_to(2, -3), picture()
    assert (draw.draw_colour(here, flow, 5.0, 1.0) == flow_to_colour(flow, 5.0)).all()
    assert (draw.draw_colour(here, flow, 5.0, 0.0) == draw.greyed(here)).all()
    grey = draw.greyed(here)
    assert (grey[..., 0] == grey[..., 2]).all()


def test_arrows_point_where_the_flow_goes():
    white = np.full((90, 120, 3), 255, np.uint8)
    out = draw.draw_arrows(white, flow_to(14, 0), 20.0, spacing=30)
    base = draw.draw_arrows(white, flow_to(0, 0), 20.0, spacing=30)
    changed = (out != base).any(axis=2)
    rows, columns = np.nonzero(changed[:30, :30])  # the cell of the first arrow, at (15, 15)
    assert columns.max() >= 28
    assert columns.min() >= 11
    assert abs(rows.mean() - 15) < 1


def test_there_are_never_more_arrows_than_can_be_told_apart():
    flow, here = flow_to(4, 2, 480, 640), picture(480, 640)
    widest = int(np.ceil(np.sqrt(480 * 640 / draw.MOST_ARROWS)))
    assert widest > 6
    assert (draw.draw_arrows(here, flow, 5.0, spacing=6) == draw.draw_arrows(here, flow, 5.0, spacing=widest)).all()
    assert (draw.draw_arrows(here, flow, 5.0, spacing=24) != draw.draw_arrows(here, flow, 5.0, spacing=widest)).any()


@pytest.mark.parametrize("degrees", [0, 45, 135, 200, 300])
def test_an_arrow_has_the_colour_of_its_direction(degrees):
    x, y = 24 * np.cos(np.radians(degrees)), 24 * np.sin(np.radians(degrees))
    out = draw.draw_arrows(np.full((90, 120, 3), 128, np.uint8), flow_to(x, y), 5.0, spacing=80, width=5)
    expected = flow_to_colour(np.float32([[[x, y]]]), np.hypot(x, y))[0, 0].astype(int)
    at = np.rint((40 + x / 2, 40 + y / 2)).astype(int)
    assert np.abs(out[at[1], at[0]].astype(int) - expected).max() < 45  # 48 hues


def test_unknown_flow_has_no_arrow():
    flow = flow_to(9, 0)
    flow[:] = np.nan
    here = picture()
    assert len(np.unique((draw.draw_arrows(here, flow, 5.0) - (draw.greyed(here) * 0.62 + 60)).astype(np.uint8))) == 1


def test_magnitude_is_brighter_where_it_is_faster_and_grey_where_unknown():
    flow = flow_to(0, 0)
    flow[:, 40:80, 0] = 5
    flow[:, 80:, 0] = np.nan
    out = draw.draw_magnitude(flow, 10.0).astype(int).sum(axis=2)
    assert out[5, 10] < out[5, 50]
    assert draw.draw_magnitude(flow, 10.0)[5, 100].tolist() == [128] * 3


def test_the_wheel_is_in_the_corner_with_its_plate():
    dark = np.zeros((200, 300, 3), np.uint8)
    out = draw.add_wheel(dark, 20.0)
    changed = np.nonzero((out != dark).any(axis=2))
    assert changed[0].min() > 80
    assert changed[1].min() > 180
    assert (out[:80] == 0).all()
    larger = draw.add_wheel(dark, 20.0, projector=True)
    assert (larger != 0).sum() > (out != 0).sum()


def test_pictures_too_small_for_a_legend_are_left_alone():
    tiny = picture(30, 30)
    assert (draw.add_wheel(tiny, 5.0) == tiny).all()


def test_pictures_beside_each_other():
    out = draw.beside(picture(40, 50), picture(60, 70), gap=8)
    assert out.shape == (60, 128, 3)
    assert (out[40:, :50] == 255).all()
