"""From two frames to a drawn field: on a stand-in network that counts its runs, and on a classical method."""

import threading

import numpy as np
import pytest

from cvdemo.core.errors import Cancelled, CvDemoError, InputError
from cvdemo.flow.predict import VIEWS, FlowSettings, decode, draw, infer, settings_for
from cvdemo.flow.warp import occlusion_mask
from tests.flow.conftest import NAME, moved_pair

FIRST, SECOND = moved_pair()


def test_all_refinements_are_kept_and_the_network_runs_once(stand_in):
    inference = infer(FIRST, SECOND, NAME, iterations=4)
    assert len(inference.raw) == 4
    for number in (1, 2, 3, 4):
        field = decode(inference, FlowSettings(iteration=number))
        assert np.allclose(field.flow, np.array([4, -2]) * number / 4, atol=1e-4)
        assert (field.iteration, field.iterations) == (number, 4)
    assert np.allclose(decode(inference).flow, (4, -2), atol=1e-4)
    assert decode(inference, FlowSettings(iteration=30)).iteration == 4
    assert inference.backward is None
    assert decode(inference).occluded is None


def test_the_backward_flow_gives_the_occlusion_of_each_refinement(stand_in):
    inference = infer(FIRST, SECOND, NAME, iterations=3, backward=True)
    assert "backward" in inference.stages
    assert len(inference.backward) == 3
    settings = FlowSettings(iteration=2, alpha=0.05, beta=1.5)
    expected = occlusion_mask(inference.raw.at(1), inference.backward.at(1), 0.05, 1.5)
    assert np.array_equal(decode(inference, settings).occluded, expected)


def test_frames_too_large_are_scaled_and_the_flow_back(stand_in):
    first, second = moved_pair(200, 300)
    inference = infer(first, second, NAME)
    field = decode(inference)
    assert field.flow.shape == (200, 300, 2)
    assert np.allclose(field.flow, (4, -2), atol=0.02)
    assert "scaled back" in field.notes[0]
    assert field.to_dict()["notes"] == list(field.notes)


def test_frames_of_two_sizes(stand_in):
    inference = infer(FIRST, np.repeat(np.repeat(SECOND, 2, 0), 2, 1), NAME)
    assert "scaled from 256 x 192 to 128 x 96" in inference.notes[0]
    with pytest.raises(InputError, match="proportions"):
        infer(FIRST, SECOND[:50], NAME)


def test_cancelling_and_unknown_models(stand_in):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        infer(FIRST, SECOND, NAME, cancel=cancel)
    with pytest.raises(CvDemoError, match="no model named"):
        infer(FIRST, SECOND, "no-such-flow")


def test_progress_covers_both_directions(stand_in):
    seen = []
    infer(FIRST, SECOND, NAME, backward=True, progress=lambda fraction, text: seen.append(fraction))
    assert seen == sorted(seen)
    assert 0.5 in seen
    assert seen[-1] == 1.0


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("backward", [False, True])
def test_every_view_is_a_picture_of_its_own(view, backward, processor):
    before = FIRST.copy()
    field = decode(infer(FIRST, SECOND, "dis-fast", backward=backward))
    drawn = draw(FIRST, field, FlowSettings(view=view, show_occlusion=backward))
    assert drawn.shape == FIRST.shape
    assert drawn.dtype == np.uint8
    assert (drawn != FIRST).any()
    assert np.array_equal(FIRST, before)


def test_opacity_goes_from_the_frame_to_the_flow(processor):
    field = decode(infer(FIRST, SECOND, "dis-fast"))
    full = draw(FIRST, field, FlowSettings(view="magnitude"))
    assert np.array_equal(draw(FIRST, field, FlowSettings(view="magnitude", opacity=0.0)), FIRST)
    half = draw(FIRST, field, FlowSettings(view="magnitude", opacity=0.5)).astype(int)
    assert np.abs(half - (full.astype(int) + FIRST) / 2).max() <= 1


def test_a_stated_maximum_makes_colours_comparable(processor):
    slow = decode(infer(*moved_pair(x=1, y=0), "dis-fast"))
    fast = decode(infer(*moved_pair(x=6, y=0), "dis-fast"))
    blank = np.zeros((96, 128, 3), np.uint8)
    fixed = FlowSettings(maximum=8.0)
    greys = [np.median(draw(blank, field, fixed).min(axis=2)) for field in (slow, fast)]
    assert greys[0] > greys[1] + 80  # the colour code is white where nothing moves


def test_settings_are_declared_once_and_start_as_the_model_wants(stand_in):
    assert settings_for(NAME) == FlowSettings()
    assert [field.name for field in FlowSettings.fields_of() if field.network] == ["iterations", "variational"]
