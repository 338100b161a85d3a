"""Labels carried by flow: known motions, brute-force references, drift."""

import numpy as np
import pytest

from cvdemo.flow.propagate import Propagation, mask_at, move_box, move_mask, points_in_box, points_in_mask, sample


def constant(x, y, height=60, width=80):
    return np.tile(np.float32([x, y]), (height, width, 1))


def zooming(scale, height=60, width=80):
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack([(x - width / 2) * (scale - 1), (y - height / 2) * (scale - 1)], axis=2)


def test_sampling_is_bilinear():
    rng = np.random.default_rng(0)
    flow = rng.normal(0, 1, (12, 17, 2)).astype(np.float32)
    points = rng.uniform(0, 1, (50, 2)) * (16, 11)
    for (x, y), found in zip(points, sample(flow, points)):
        x0, y0 = min(int(x), 15), min(int(y), 10)
        fx, fy = x - x0, y - y0
        top = flow[y0, x0] * (1 - fx) + flow[y0, x0 + 1] * fx
        bottom = flow[y0 + 1, x0] * (1 - fx) + flow[y0 + 1, x0 + 1] * fx
        assert found == pytest.approx(top * (1 - fy) + bottom * fy, abs=0.12)  # OpenCV's steps of 1/32
    assert np.isnan(sample(flow, np.array([[-1.0, 3], [17, 3], [np.nan, 1]]))).all()


@pytest.mark.parametrize("move", [(3.0, -2.0), (0.0, 0.0), (-4.5, 5.5)])
def test_a_box_moves_with_its_points(move):
    box = np.array([20.0, 15, 50, 40])
    points = points_in_box(box)
    assert (points >= box[:2]).all()
    assert (points <= box[2:]).all()
    assert move_box(box, points, points + move) == pytest.approx(box + np.array([*move, *move]))


def test_a_box_grows_with_its_points_and_ignores_the_wrong_half():
    box = np.array([20.0, 10, 60, 50])
    points = points_in_box(box)
    after = (points - 40) * 1.2 + 42
    trust = np.zeros(len(points))
    wrong = np.arange(len(points)) % 3 == 0
    after[wrong] += 50
    trust[wrong] = 9.0
    x1, y1, x2, y2 = move_box(box, points, after, trust)
    assert (x2 - x1, y2 - y1) == pytest.approx((48, 48), rel=0.01)
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == pytest.approx((42, 30 * 1.2 - 48 + 42), abs=1.5)


def test_a_box_whose_points_are_lost_stays():
    box, points = np.array([1.0, 2, 3, 4]), np.full((5, 2), np.nan)
    assert move_box(box, points, points) == pytest.approx(box)


def test_a_mask_moves_by_the_backward_flow():
    mask = np.zeros((60, 80), bool)
    mask[20:40, 30:50] = True
    moved = move_mask(mask, constant(-7, -3))  # what is here now was 7 to the left
    expected = np.zeros_like(mask)
    expected[23:43, 37:57] = True
    assert (moved == expected).all()


@pytest.mark.parametrize("with_mask", [False, True])
def test_exact_flow_does_not_drift(with_mask):
    mask = np.zeros((60, 80), bool)
    mask[20:35, 15:30] = True
    box = np.array([15.0, 20, 30, 35])
    label = Propagation(box, mask if with_mask else None)
    for _ in range(5):
        label.step(constant(4, 1), constant(-4, -1))
    assert label.box == pytest.approx(box + np.array([20, 5, 20, 5]), abs=0.1)
    assert label.drift == pytest.approx([0] * 6, abs=1e-3)
    assert label.area == pytest.approx([225] * 6, rel=0.02)


def test_errors_add_up_to_drift():
    label = Propagation(np.array([20.0, 15, 40, 35]))
    for _ in range(4):
        label.step(constant(2, 0), constant(-1.5, 0))  # half a pixel is lost at each step
    assert label.drift == pytest.approx([0, 0.5, 1.0, 1.5, 2.0], abs=0.02)


def test_zooming_enlarges_the_box():
    label = Propagation(np.array([30.0, 20, 50, 40]))
    label.step(zooming(1.1), zooming(1 / 1.1))
    x1, _, x2, _ = label.box
    assert x2 - x1 == pytest.approx(22, rel=0.02)


def test_points_that_leave_are_lost():
    label = Propagation(np.array([60.0, 20, 78, 40]))
    for _ in range(3):
        label.step(constant(15, 0), constant(-15, 0))
    assert np.isnan(label.drift[-1])
    assert np.isfinite(label.box).all()


def test_points_of_a_mask_lie_in_it():
    mask = np.zeros((60, 80), bool)
    mask[10:50, 20:70] = True
    points = points_in_mask(mask).astype(int)
    assert len(points) == 400
    assert mask[points[:, 1], points[:, 0]].all()
    assert len(points_in_mask(np.zeros((5, 5), bool))) == 0


def test_a_click_takes_the_region_of_that_colour():
    picture = np.full((80, 100, 3), 230, np.uint8)
    picture[20:60, 30:70] = (40, 90, 160)
    picture = np.clip(picture.astype(int) + np.random.default_rng(0).integers(-4, 5, picture.shape), 0, 255)
    mask = mask_at(picture.astype(np.uint8), 50, 40)
    expected = np.zeros((80, 100), bool)
    expected[20:60, 30:70] = True
    assert (mask & expected).sum() / (mask | expected).sum() > 0.9
