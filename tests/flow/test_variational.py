"""The variational refinement lowers Brox's energy and the error, and stays out of the way where it is not wanted."""

import cv2
import numpy as np
import pytest

from cvdemo import tasks
from cvdemo.core import registry
from cvdemo.flow import variational
from cvdemo.flow.predict import FlowSettings, decode, infer, with_variational
from cvdemo.flow.raw import FramePair, RawFlow
from cvdemo.flow.synthetic import SceneSettings, make_pair
from cvdemo.flow.variational import AUTO, OFF, ON, is_wanted, variational_refinement
from tests.flow.conftest import NAME, moved_pair

SCENES = SceneSettings(height=160, width=224, motion=10.0, things=3, brightness=0.0, noise=0.0)


def robust(squares):
    return np.sqrt(squares + 1e-6)


def energy(first, second, flow):
    """Brox's energy written out: robust differences of grey and gradient along the motion, robust total variation."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in (first, second)]
    y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    warped = cv2.remap(grey[1], x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    there = [np.gradient(image) for image in (grey[0], warped)]
    value = variational.BRIGHTNESS * robust((warped - grey[0]) ** 2)
    value += variational.GRADIENT * robust(sum((b - a) ** 2 for a, b in zip(*there)))
    slopes = [slope for channel in (flow[..., 0], flow[..., 1]) for slope in np.gradient(channel)]
    return float((value + variational.SMOOTHNESS * robust(sum(slope**2 for slope in slopes))).mean())


def coarse(flow, cell=8):
    """What a network says at an eighth of the resolution, and somewhat wrong."""
    height, width = flow.shape[:2]
    small = cv2.resize(flow, (width // cell, height // cell), interpolation=cv2.INTER_AREA)
    wrong = small + np.random.default_rng(0).normal(0, 0.5, small.shape).astype(np.float32)
    return cv2.resize(wrong, (width, height), interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("seed", range(6))
def test_energy_and_error_fall(seed):
    scene = make_pair(seed, SCENES, [])
    start = coarse(scene.flow)
    kept = start.copy()
    found = variational_refinement(scene.first, scene.second, start)
    assert found.dtype == np.float32
    assert found.shape == start.shape
    assert np.array_equal(start, kept)
    assert energy(scene.first, scene.second, found) < 0.95 * energy(scene.first, scene.second, start)
    errors = [np.linalg.norm(flow - scene.flow, axis=2).mean() for flow in (start, found)]
    assert errors[1] < 0.8 * errors[0]


def inner_error(flow, motion):
    """Mean distance from a motion, away from the border, where content comes in."""
    return np.linalg.norm(flow[12:-12, 12:-12] - motion, axis=2).mean()


def test_a_motion_by_whole_pixels_is_found():
    first, second = moved_pair(96, 128, 3, 2)
    start = np.full((96, 128, 2), (2.2, 2.7), np.float32)
    assert inner_error(variational_refinement(first, second, start), (3, 2)) < 0.4 * inner_error(start, (3, 2))


@pytest.mark.parametrize("size", [(8, 8), (8, 300), (17, 33), (63, 47)])
def test_any_size_will_do(size):
    first, second = moved_pair(*size, 1, 0)
    found = variational_refinement(first, second, np.zeros((*size, 2), np.float32))
    assert found.shape == (*size, 2)
    assert np.isfinite(found).all()


def test_a_flow_that_is_not_finite_is_left_alone():
    first, second = moved_pair()
    flow = np.ones((96, 128, 2), np.float32)
    flow[4, 5] = np.nan
    assert np.array_equal(variational_refinement(first, second, flow), flow, equal_nan=True)


def test_flat_frames_have_nothing_to_go_by():
    frame = np.full((64, 64, 3), 90, np.uint8)
    start = np.full((64, 64, 2), (2.0, 1.0), np.float32)
    assert np.allclose(variational_refinement(frame, frame, start), start, atol=1e-3)


def test_who_is_refined(stand_in):
    tasks.load_all()
    assert [is_wanted(NAME, choice) for choice in (AUTO, ON, OFF)] == [False, True, False]
    automatic = {spec.name for spec in registry.models(task="flow") if is_wanted(spec.name, AUTO)}
    assert automatic == {"compact-raft", "compact-flownet", "raft_small"}
    with pytest.raises(ValueError, match="'perhaps'"):
        is_wanted(NAME, "perhaps")


def test_it_is_one_refinement_more_and_the_others_stay(stand_in):
    first, second = moved_pair(96, 128, 4, -3)
    plain = infer(first, second, NAME, iterations=3, backward=True)
    found = infer(first, second, NAME, iterations=3, backward=True, variational=ON)
    assert (len(plain.raw), len(found.raw), len(found.backward)) == (3, 4, 4)
    assert {"variational", "backward variational"} <= set(found.stages)
    for number in range(3):
        assert np.array_equal(plain.raw.at(number), found.raw.at(number))
    field = decode(found)
    assert (field.iteration, field.iterations, field.variational) == (4, 4, True)
    assert field.to_dict()["variational"] is True
    assert inner_error(field.flow, (4, -3)) < 0.4  # the network said (4, -2)
    before = decode(found, FlowSettings(iteration=3))
    assert not before.variational
    assert before.occluded is not None


def test_choosing_again_does_not_run_the_network(stand_in):
    first, second = moved_pair(96, 128, 3, 2)
    pair = FramePair(first, second, 2)
    found = infer(first, second, NAME, iterations=2, backward=True, variational=ON)
    off = with_variational(found, pair, OFF)
    assert len(off.raw) == 2
    assert off.backward.variational is None
    assert not any("variational" in stage for stage in off.stages)
    assert with_variational(off, pair, AUTO) is off
    again = with_variational(off, pair, ON)
    assert np.array_equal(again.raw.at(), found.raw.at())
    assert np.array_equal(again.backward.at(), found.backward.at())


def test_frames_that_were_shrunk_are_refined_at_that_size(stand_in):
    first, second = moved_pair(200, 300, 3, 2)
    found = infer(first, second, NAME, variational=ON)
    assert found.raw.working < (200, 300)
    assert found.raw.variational.shape[:2] == found.raw.working
    assert found.raw.at().shape == (200, 300, 2)


def test_small_frames_that_were_enlarged_are_refined_as_they_are():
    first, second = moved_pair(40, 60, 1, 1)
    raw = RawFlow(np.full((1, 10, 15, 2), 3.0, np.float32), 40, 60, NAME, (80, 120), (80, 120))
    found = variational.refined(raw, FramePair(first, second))
    assert found.variational.shape == (40, 60, 2)
    assert np.allclose(raw.at(), 1.5)
    assert inner_error(found.at(), (1, 1)) < 0.4 * inner_error(raw.at(), (1, 1))
