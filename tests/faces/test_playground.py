"""The loss playground against torch's own losses, against differences, and against closed forms; and its drawing."""

import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cvdemo.faces import playground_view as drawing
from cvdemo.faces.playground import (
    ANGULAR_SCALE,
    HIGH,
    LOSSES,
    WIDE,
    PlaygroundSettings,
    kind_of,
    look,
    loss_of,
    placed,
    step,
)


def settings(loss, points=None, **more):
    made = PlaygroundSettings(loss=loss, **more)
    return made if points is None else placed(made, np.asarray(points, float))


@pytest.fixture(params=range(5))
def points(request):
    return np.random.default_rng(request.param).uniform(-1.8, 1.8, (3, 2))


def test_triplet_against_torch(points):
    a, p, n = torch.from_numpy(points)[:, None]
    squared = torch.nn.TripletMarginWithDistanceLoss(
        distance_function=lambda x, y: ((x - y) ** 2).sum(1), margin=0.7, reduction="sum"
    )
    assert look(settings("triplet", points, margin=0.7)).value == pytest.approx(float(squared(a, p, n)))


def test_contrastive_is_the_sum_of_its_two_pairs(points):
    a, p, n = points
    near, far = np.linalg.norm(a - p), np.linalg.norm(a - n)
    made = look(settings("contrastive", points, margin=1.5))
    assert made.value == pytest.approx(near**2 + max(0, 1.5 - far) ** 2)
    assert made.near == pytest.approx(near)
    assert made.far == pytest.approx(far)


def test_n_pair_and_angular_margin_against_cross_entropy(points):
    a, *others = (v / np.linalg.norm(v) for v in points)
    cosines = torch.tensor([a @ other for other in others])[None]
    truth = torch.tensor([0])
    expected = F.cross_entropy(cosines / 0.3, truth)
    assert look(settings("n-pair", points, temperature=0.3)).value == pytest.approx(float(expected))
    angle = math.acos(float(cosines[0, 0]))
    if angle + 0.4 < math.pi:
        moved = torch.tensor([[math.cos(angle + 0.4), float(cosines[0, 1])]], dtype=torch.float64)
        expected = F.cross_entropy(ANGULAR_SCALE * moved, truth)
        assert look(settings("angular", points, margin=0.4)).value == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_against_differences(loss, points):
    chosen, tiny = settings(loss, points, margin=1.1), 1e-6
    found = look(chosen).gradient
    for i in range(3):
        for j in range(2):
            ends = []
            for sign in (1, -1):
                place = torch.from_numpy(points.copy())
                place[i, j] += sign * tiny
                ends.append(float(loss_of(place, chosen)))
            assert found[i, j] == pytest.approx((ends[0] - ends[1]) / (2 * tiny), abs=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_steps_go_downhill_and_stay_on_the_plane(loss):
    now = settings(loss, rate=0.05)
    before = look(now).value
    for _ in range(60):
        now = step(now)
    assert look(now).value < before
    assert (np.abs(now.points) <= [WIDE, HIGH]).all()
    assert type(step(now)) is PlaygroundSettings


def test_losses_of_directions_have_no_pull_along_them(points):
    for loss in ("n-pair", "angular"):
        made = look(settings(loss, points))
        assert np.abs((made.gradient * points).sum(1)).max() < 1e-6  # a longer vector costs the same


def test_kinds_and_what_they_mean_for_the_gradient():
    assert [kind_of(1.0, far, 0.5) for far in (0.8, 1.0, 1.3, 1.5)] == ["hard", "hard", "semi-hard", "easy"]
    easy = look(settings("triplet", [[0, 0], [0.5, 0], [2, 0]], margin=1.0))
    assert (easy.kind, easy.value, easy.still) == ("easy", 0.0, True)
    assert "nothing is learnt" in easy.sentence()
    semi = look(settings("triplet", [[0, 0], [1, 0], [0, 1.2]], margin=1.0))
    assert semi.kind == "semi-hard"
    assert semi.value == pytest.approx(1 + 1 - 1.44)
    assert "within the margin" in semi.sentence()
    same_place = look(settings("contrastive", np.zeros((3, 2))))
    assert np.isfinite(same_place.gradient).all()
    assert semi.to_dict()["kind"] == "semi-hard"


def test_points_of_the_drawing_and_back():
    for point in ([0, 0], [-WIDE, HIGH], [1.2, -0.7]):
        x, y = drawing.at(np.array(point, float))
        back = drawing.from_shares(x / drawing.SIZE[0], y / drawing.SIZE[1])
        assert np.allclose(back, point)


def test_an_arrow_ends_where_the_step_does():
    chosen = settings("triplet", [[0, 0], [1, 0], [0, 1]], rate=0.1)
    made, after = look(chosen), step(chosen)
    svg = drawing.picture(made)
    tips = re.findall(r'<line x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)" style="stroke:[^"]*width:4', svg)
    expected = [(*drawing.at(a), *drawing.at(b)) for a, b in zip(chosen.points, after.points)]
    assert np.allclose(np.array(tips, float), expected, atol=0.06)
    assert svg.count("data-point=") == 3
    assert "arrow keys move it" in svg


def test_a_long_arrow_is_cut_and_a_short_one_left_out():
    start = np.zeros(2)
    assert drawing.arrow(start, np.array([0.001, 0.0]), "red") == ""
    assert "dasharray" in drawing.arrow(start, np.array([5.0, 0.0]), "red")
    assert "dasharray" not in drawing.arrow(start, np.array([0.5, 0.0]), "red")
