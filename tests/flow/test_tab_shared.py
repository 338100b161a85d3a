"""Pairs, their truth, and the camera's memory."""

import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.core.media import Picture, save_picture
from cvdemo.flow import live
from cvdemo.flow import tab_shared as kept
from cvdemo.flow.examples import PAIRS, example_pairs, pair_files, true_flow, truth_file
from cvdemo.flow.files import kitti_bytes, read_flow
from cvdemo.ui import memory

SESSION = "flow-test"


@pytest.fixture(autouse=True)
def fresh():
    yield
    memory.forget(SESSION)
    live.forget(SESSION)


def picture(height=64, width=96, seed=0):
    return Picture(np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8), f"{seed}.png")


def test_large_pictures_are_looked_at_smaller():
    pair = kept.pair_from(picture(1500, 2000), picture(1500, 2000, 1))
    assert pair.size == (768, 1024)
    assert pair.original == (1500, 2000)
    assert "1024 x 768" in pair.notes[-1]


def test_a_missing_frame_is_asked_for(tmp_path):
    path = tmp_path / "a.png"
    save_picture(path, picture().pixels)
    with pytest.raises(InputError, match="second frame"):
        kept.pair_on_show(SESSION, str(path), None)
    with pytest.raises(InputError, match="first frame"):
        kept.pair_on_show(SESSION, None, str(path))


def test_frames_of_other_proportions_are_refused():
    with pytest.raises(InputError, match="proportions"):
        kept.pair_from(picture(64, 96), picture(64, 64))


def test_a_method_runs_once_for_a_pair():
    pair = kept.pair_from(picture(), picture(seed=1))
    assert kept.look_of(SESSION, pair, "dis-fast", 12) is kept.look_of(SESSION, pair, "dis-fast", 5)
    assert kept.key_of(pair, "raft_small", 12) != kept.key_of(pair, "raft_small", 5)


def test_one_way_is_enough_for_a_comparison_and_not_run_again():
    pair = kept.pair_from(picture(), picture(seed=1))
    one_way = kept.forward_look_of(SESSION, pair, "dis-fast", 12)
    assert one_way.inference.backward is None
    assert kept.forward_look_of(SESSION, pair, "dis-fast", 12) is one_way
    both = kept.look_of(SESSION, pair, "dis-fast", 12)
    assert both.inference.backward is not None
    assert kept.forward_look_of(SESSION, pair, "dis-fast", 12) is both


def test_truth_is_kept_scaled_and_forgotten(tmp_path):
    pair = kept.pair_from(picture(1536, 2048), picture(1536, 2048, 1))
    flow = np.full((1536, 2048, 2), 8, np.float32)
    known = np.ones((1536, 2048), bool)
    known[:, :100] = False
    (tmp_path / "t.png").write_bytes(kitti_bytes(flow, known))
    truth = kept.bring_truth(SESSION, pair, tmp_path / "t.png")
    assert truth.flow.shape == (768, 1024, 2)
    assert truth.flow[5, 500] == pytest.approx([4, 4])
    assert np.isnan(truth.flow[5, 5]).all()
    assert kept.mean_error(np.full((768, 1024, 2), 4, np.float32), truth.flow) == pytest.approx(0)
    kept.forget_truth(SESSION, pair)
    assert kept.truth_of(SESSION, pair) is None


def test_truth_of_another_size_is_refused():
    pair = kept.pair_from(picture(), picture(seed=1))
    with pytest.raises(InputError, match="96 x 64"):
        kept.set_truth(SESSION, pair, np.zeros((10, 10, 2), np.float32), None, "other")


@pytest.mark.parametrize("name", PAIRS)
def test_examples_come_with_their_truth(name, tmp_path):
    example = next(example for example in example_pairs(tmp_path) if example.name == name)
    pair = kept.pair_on_show(SESSION, str(example.path), str(example.second))
    truth = kept.truth_of(SESSION, pair)
    assert truth is not None
    assert truth.flow.shape[:2] == pair.size
    look = kept.look_of(SESSION, pair, "dis-medium", 12)
    still = kept.mean_error(np.zeros_like(truth.flow), truth.flow)
    found = kept.mean_error(look.inference.raw.at(), truth.flow)
    assert found < 0.25 * still
    kept.forget_truth(SESSION, pair)
    kept.pair_on_show(SESSION, str(example.path), str(example.second))
    assert kept.truth_of(SESSION, pair) is None, "what was forgotten does not come back by itself"


def test_committed_truth_is_that_of_the_layers(layered):
    flow, valid = read_flow(pair_files("disc")[2])
    assert valid.all()
    assert flow == pytest.approx(layered[2], abs=1 / 64)
    turning = layered[2][192, 350]
    assert turning[1] > 5, "to the right of its middle, a disc that turns clockwise goes down"


def test_composed_frames_fit_their_flow(layered):
    from cvdemo.flow.warp import backward_warp

    first, second, flow = layered
    warped = backward_warp(second, flow).astype(int)
    assert np.abs(warped - first).mean() < 4
    assert np.abs(second.astype(int) - first).mean() > 8


def test_other_files_have_no_known_truth():
    assert truth_file("holiday.jpg") is None
    assert true_flow([]).shape[2] == 2


def test_the_camera_needs_two_captures():
    assert live.look(SESSION, picture(120, 160), "dis-fast", 12) is None
    look, maximum = live.look(SESSION, picture(120, 160), "dis-fast", 12)
    assert look.inference.raw.at().shape == (120, 160, 2)
    assert maximum == 1.0
    assert live.look(SESSION, picture(100, 160), "dis-fast", 12) is None, "a camera of another size starts anew"


def test_old_captures_are_no_neighbours(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(live, "monotonic", lambda: clock[0])
    assert live.look(SESSION, picture(120, 160), "dis-fast", 12) is None
    clock[0] += live.AWAY_SECONDS + 0.1
    assert live.look(SESSION, picture(120, 160), "dis-fast", 12) is None


def test_colours_of_moving_pictures_do_not_flash():
    watch = live.Watch()
    fast, slow = (np.full((8, 8, 2), speed, np.float32) for speed in (30, 1))
    assert watch.steady(fast) == watch.steady(slow) == 50.0


def test_large_captures_are_shrunk_and_slow_methods_replaced():
    assert max(live.small(picture(480, 640).pixels).shape) == live.SIDE
    assert live.live_model("raft_large") == live.FAST
    assert live.live_model("farneback") == "farneback"
