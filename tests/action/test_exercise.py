"""The two-pathway network, and the clips it learns from."""

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

from cvdemo.action import compact, exercise_data
from cvdemo.action.clips import Clip, example_clip, frozen, shuffled
from cvdemo.action.duplicates import groups, signature, twins
from cvdemo.action.exercise_batches import (
    CLASSES,
    FRAMES,
    OTHER,
    SIDE,
    ExerciseBatches,
    bend,
    camera,
    crop_clip,
    plain_windows,
    starts_of,
    tones,
)  # fmt: skip
from cvdemo.action.exercise_data import Entry, PackedClips, grouped, split
from cvdemo.action.nets.slowfast import ALPHA, SlowFast, slow_indices
from cvdemo.action.training_data import Pictures
from cvdemo.core.errors import InputError
from cvdemo.core.registry import RunContext
from tests.action.helpers import write


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def network():
    """Laterals that carry something, batch norms fitted to noise."""
    torch.manual_seed(0)
    made = SlowFast(5)
    for parameter in made.laterals.parameters():
        nn.init.normal_(parameter, std=0.2)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        made.train()(torch.rand(2, 3, 16, 64, 64))
    return made.eval()


def test_pathways_have_the_sizes_in_the_comments(network):
    with torch.inference_mode():
        slow, fast = network.pathways(torch.rand(2, 3, 16, 128, 128))
        assert slow.shape == (2, 256, 4, 4, 4)
        assert fast.shape == (2, 32, 16, 4, 4)
        assert network(torch.rand(2, 3, 16, 128, 128)).shape == (2, 5)


def test_which_frames_each_pathway_sees():
    assert slow_indices() == (1, 5, 9, 13)
    assert ALPHA * len(slow_indices()) == FRAMES
    named = compact.pathways()
    assert named["slow"].tolist() == [1, 5, 9, 13]
    assert named["fast"].tolist() == list(range(16))


def test_the_slow_pathway_is_blind_between_its_frames_without_laterals(network):
    assert not any(parameter.any() for parameter in SlowFast(5).laterals.parameters())  # so it starts
    fresh = copy.deepcopy(network)
    for parameter in fresh.laterals.parameters():
        nn.init.zeros_(parameter)
    clip = torch.rand(1, 3, 16, 64, 64)
    changed = clip.clone()
    changed[:, :, [0, 2, 3, 15]] = 0
    with torch.inference_mode():
        (slow, fast), (slow_2, fast_2) = fresh.pathways(clip), fresh.pathways(changed)
    torch.testing.assert_close(slow, slow_2)
    assert (fast - fast_2).abs().max() > 1e-6


def test_laterals_tell_the_slow_pathway(network):
    clip = torch.rand(1, 3, 16, 64, 64)
    changed = clip.clone()
    changed[:, :, [0, 2, 3, 15]] = 0
    with torch.inference_mode():
        assert (network.pathways(clip)[0] - network.pathways(changed)[0]).abs().max() > 1e-4


def test_fusing_changes_nothing(network):
    clip = torch.rand(1, 3, 16, 64, 64)
    with torch.inference_mode():
        expected = network(clip)
        fused = copy.deepcopy(network).fuse()
        torch.testing.assert_close(fused(clip), expected, atol=1e-4, rtol=1e-3)
    assert not any(isinstance(m, nn.BatchNorm2d) and m.num_features for m in fused.modules())


def test_order_matters_to_it_and_the_run_says_what_it_saw(network):
    rng = np.random.default_rng(0)
    clip = example_clip(compact.EXERCISE_CLIP)
    clip = Clip(rng.integers(0, 256, clip.frames.shape, np.uint8), clip.times)
    context = RunContext(torch.device("cpu"))
    with torch.inference_mode():
        runs = [compact.run_exercise(network, seen, context) for seen in (clip, shuffled(clip), frozen(clip))]
    assert np.abs(runs[0].logits - runs[1].logits).max() > 1e-5
    assert np.abs(runs[0].logits - runs[2].logits).max() > 1e-5
    assert runs[0].extras["slow"].tolist() == [1, 5, 9, 13]
    assert runs[0].categories == CLASSES


# ------------------------------------------------------------------ clips to learn from


def scene(seed, count=30, height=144, width=192):
    """A textured room in which a bright square moves up and down."""
    rng = np.random.default_rng(seed)
    room = np.kron(rng.integers(0, 200, (12, 16, 3)), np.ones((12, 12, 1))).astype(np.uint8)[:height, :width]
    frames = np.repeat(room[None], count, axis=0)
    for index, frame in enumerate(frames):
        y = 40 + round(30 * np.sin(index / 2))
        frame[y : y + 30, 80:110] = 250
    return frames


def cache(tmp_path, labels, groups_of=None):
    """A packed cache of scenes: clip i is scene groups_of[i]."""
    entries, start = [], 0
    with (tmp_path / "clips.bin").open("wb") as file:
        for row, label in enumerate(labels):
            number = row if groups_of is None else groups_of[row]
            frames = scene(number, 30 + row)
            file.write(frames.tobytes())
            entries.append(Entry(label, f"{label}_{row}.mp4", frames.shape[:3], start, row, False))
            start += frames.nbytes
    (tmp_path / "clips.json").write_text(json.dumps([vars(entry) for entry in entries]))
    return PackedClips.open(tmp_path)


def stills(count=6):
    rng = np.random.default_rng(9)
    pixels = rng.integers(0, 256, (count, 100, 120, 3), np.uint8)
    size = pixels[0].size
    return Pictures(
        pixels.ravel(), np.tile([100, 120], (count, 1)), np.arange(count) * size,
        tuple(f"{i}.jpg" for i in range(count)), np.zeros(count, int), ("a",),
    )  # fmt: skip


def test_a_cache_is_read_as_it_was_written(tmp_path):
    clips = cache(tmp_path, ["push-up", "squat"])
    assert len(clips) == 2
    np.testing.assert_array_equal(clips[1], scene(1, 31))
    assert clips.rows(held_back=False).tolist() == [0, 1]
    with pytest.raises(InputError, match="no packed clips"):
        PackedClips.open(tmp_path / "elsewhere")


def test_batches_have_every_class(tmp_path):
    clips = cache(tmp_path, ["push-up", "pull-up", "squat", "dip"])
    batches = ExerciseBatches(clips, np.arange(4), stills(), np.arange(6), 0)
    pixels, labels = batches.batch(10)
    assert pixels.shape == (10, FRAMES, SIDE, SIDE, 3)
    assert pixels.dtype == np.uint8
    assert sorted(labels) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    again = ExerciseBatches(clips, np.arange(4), stills(), np.arange(6), 0).batch(10)
    np.testing.assert_array_equal(again[0], pixels)


def test_rests_are_no_examples():
    frames = scene(0, 120)
    frames[60:] = frames[60]  # somebody rests
    starts = starts_of(frames)
    assert starts.max() < 60
    assert starts_of(scene(0, 5)).tolist() == [0]


def test_a_camera_that_does_not_move_shows_an_unmoved_scene():
    rng = np.random.default_rng(0)
    assert not camera(16, rng, 0.0).any()
    still = [scene(1)[0]] * 16
    held = crop_clip(still, SIDE, np.random.default_rng(3), 0.0)
    assert (held == held[:1]).all()
    moving = crop_clip(still, SIDE, np.random.default_rng(3), 1.0)
    assert (moving != moving[:1]).any()


def test_bending_moves_parts_of_a_picture_smoothly():
    picture = scene(2)[0]
    frames = np.stack(bend(picture, 16, np.random.default_rng(0))).astype(int)
    steps = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    assert steps.max() > 0
    assert np.abs(frames[-1] - frames[0]).mean() < 60


def test_tones_are_the_same_in_all_frames():
    clip = np.repeat(scene(3, 1)[:, :64, :64], 4, axis=0)
    toned = tones(clip, np.random.default_rng(1))
    assert toned.shape == clip.shape
    assert (toned == toned[:1]).all()
    assert (toned != clip).any()


def test_plain_windows_are_the_middle_as_at_run_time():
    windows = plain_windows(scene(4, 49))
    assert windows.shape == (3, FRAMES, SIDE, SIDE, 3)
    assert plain_windows(scene(4, 3)).shape[0] == 1


def test_same_recordings_are_grouped_and_other_classes_are_not():
    looks = np.stack([np.stack([signature(frame) for frame in scene(n, 3)]) for n in (0, 0, 1, 0)])
    features = np.eye(8)[:4]
    labels, names = ["a", "a", "a", "b"], ["x_1.mp4", "x_7.mp4", "x_2.mp4", "y_1.mp4"]
    group = grouped(labels, names, looks, features)
    assert group[0] == group[1]
    assert len(set(group.tolist())) == 3
    features[2] = 0.9 * features[0] + np.sqrt(1 - 0.81) * features[2]  # x_1 and x_2 follow each other and look alike
    assert grouped(labels, names, looks, features)[2] == group[0]


@pytest.mark.parametrize("seed", range(10))
def test_the_split_keeps_groups_together_and_leaves_something_on_both_sides(seed):
    rng = np.random.default_rng(seed)
    labels = ["push-up"] * 40 + ["squat"] * 9 + ["dip"] * 4
    names = [f"{i}.mp4" for i in range(53)]
    group = np.concatenate([rng.integers(0, 15, 40), 100 + rng.integers(0, 5, 9), 200 + np.arange(4)])
    held = split(labels, names, group)
    for number in set(group.tolist()):
        assert len(set(held[group == number].tolist())) == 1
    for label in set(labels):
        mine = np.array(labels) == label
        if len(set(group[mine].tolist())) > 1:
            assert 0 < held[mine].sum() < mine.sum()
    assert (split(labels, names, group) == held).all()


def test_connected_components():
    similar = np.eye(5, dtype=bool)
    for a, b in ((0, 2), (2, 4)):
        similar[a, b] = similar[b, a] = True
    assert groups(similar).tolist() == [0, 1, 0, 2, 0]


def test_twins_are_found_in_spite_of_another_size():
    import cv2

    pictures = [scene(n)[0] for n in range(4)]
    small = [cv2.resize(p, (96, 72), interpolation=cv2.INTER_AREA) for p in pictures[:2]]
    of = np.stack([signature(p) for p in small])
    assert twins(np.stack([signature(p) for p in pictures]), of).tolist() == [True, True, False, False]


def test_packing_leaves_copies_and_broken_files_out(tmp_path, repository, capsys):
    backbone = repository / "weights" / "compact_classifier.safetensors"
    if not backbone.is_file():
        pytest.skip("weights/compact_classifier.safetensors is not there")
    for label, numbers in {"push-up": (0, 0, 1), "squat": (2, 3)}.items():
        folder = tmp_path / label
        folder.mkdir()
        for row, number in enumerate(numbers):
            write(folder / f"v_{row}.mp4", scene(number, 26, 96, 128), 12)
    (tmp_path / "squat" / "broken.mp4").write_text("no video")
    out = tmp_path / "cache"
    sources = [f"{label}={tmp_path / label}" for label in ("push-up", "squat")]
    arguments = [part for source in sources for part in ("--source", source)]
    exercise_data.main([*arguments, "--backbone", str(backbone), "--out", str(out)])
    clips = PackedClips.open(out)
    assert [entry.label for entry in clips.entries] == ["push-up"] * 2 + ["squat"] * 2
    assert all(entry.shape[1:] == (144, 192) for entry in clips.entries)
    printed = capsys.readouterr()
    assert "broken.mp4 is left out" in printed.err
    assert "push-up: 2 clips of " in printed.out


def test_other_is_the_last_class():
    assert CLASSES[OTHER] == "other"
