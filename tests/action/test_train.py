"""The recipes on tiny made-up data: they train, resume, measure and leave weights that the models load."""

import csv
import json

import numpy as np
import pytest
import torch

from cvdemo import tasks
from cvdemo.action import train, train_exercise, train_stills
from cvdemo.action.baselines import logistic_regression, majority, nearest_neighbour, top_k
from cvdemo.action.exercise_data import Entry
from cvdemo.action.skeletons import features
from cvdemo.action.training_data import (
    fifth_of,
    middle_square,
    pack,
    random_crop,
    read_labels,
    read_small,
)  # fmt: skip
from cvdemo.core import registry, weights
from cvdemo.core.errors import InputError
from cvdemo.core.media import save_picture

KINDS = ("sitting", "using_laptop", "texting")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def stills(tmp_path_factory):
    """A folder like har15_stills: 45 pictures of three classes."""
    folder = tmp_path_factory.mktemp("stills")
    (folder / "train").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(45):
        kind = number % 3
        pixels = rng.integers(0, 80, (60, 80, 3), np.uint8)
        pixels[..., kind] += 150
        save_picture(folder / "train" / f"Image_{number}.png", pixels)
        rows.append({"filename": f"C:\\somewhere\\train/Image_{number}.png", "label": KINDS[kind]})
    with (folder / "Training_set.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["filename", "label"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    folder = tmp_path_factory.mktemp("joints")
    rng = np.random.default_rng(0)
    for half in ("train", "test"):
        start = rng.normal(size=(1, 30))
        clips = [start + np.cumsum(rng.normal(size=(12, 30)) * (0.02 if n % 2 else 0.2), axis=0) for n in range(8)]
        np.savez(folder / f"{half}.npz", label=np.array(["run", "sit"] * 4), length=np.full(8, 12),
                 joints=np.concatenate(clips).astype(np.float32))  # fmt: skip
    return folder


def test_the_fifths_are_fixed_for_ever():
    assert [fifth_of(f"Image_{n}.jpg") for n in (1, 2, 3, 1000, 12600)] == [0, 3, 1, 1, 2]
    share = np.mean([fifth_of(f"Image_{n}.jpg") == 0 for n in range(5000)])
    assert share == pytest.approx(0.2, abs=0.02)


def test_pictures_are_packed_once(stills, tmp_path):
    pairs = read_labels(stills)
    assert len(pairs) == 45
    assert pairs[1] == (stills / "train" / "Image_1.png", "using laptop")
    packed = pack(tmp_path, [*pairs, (stills / "missing.jpg", "sitting")], side=48)
    assert len(packed) == 45
    assert packed.classes == ("sitting", "texting", "using laptop")
    assert packed[0].shape == (48, 64, 3)
    assert [packed[row][..., row % 3].mean() > 120 for row in range(6)] == [True] * 6
    (file,) = tmp_path.glob("*.bin")
    before = file.stat().st_mtime_ns
    again = pack(tmp_path, [*pairs, (stills / "missing.jpg", "sitting")], side=48)
    assert file.stat().st_mtime_ns == before
    np.testing.assert_array_equal(again[7], packed[7])
    assert packed.held_back().tolist() == [fifth_of(name) == 0 for name in packed.names]


def test_folders_and_files_that_are_no_data(tmp_path):
    with pytest.raises(InputError, match=r"Training_set\.csv"):
        read_labels(tmp_path)
    with pytest.raises(InputError, match="could be read"):
        pack(tmp_path, [(tmp_path / "missing.jpg", "a")])
    (tmp_path / "text.jpg").write_text("no picture")
    assert read_small(tmp_path / "text.jpg", 32) is None


def test_long_pictures_lose_their_ends(tmp_path):
    save_picture(tmp_path / "long.png", np.zeros((40, 400, 3), np.uint8))
    assert read_small(tmp_path / "long.png", 32).shape == (32, 48, 3)


def test_crops():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (50, 70, 3), np.uint8)
    for size in (16, 64):
        assert random_crop(picture, size, rng).shape == (size, size, 3)
    assert middle_square(picture, 32).shape == (32, 32, 3)


def test_baselines_against_scikit_learn():
    from sklearn.metrics import top_k_accuracy_score
    from sklearn.neighbors import KNeighborsClassifier

    rng = np.random.default_rng(0)
    x, y, xt, yt = rng.normal(size=(60, 5)), rng.integers(0, 4, 60), rng.normal(size=(40, 5)), rng.integers(0, 4, 40)
    knn = KNeighborsClassifier(1, metric="cosine").fit(x, y)
    assert nearest_neighbour(x, y, xt, yt, chunk=7) == pytest.approx(knn.score(xt, yt))
    scores = rng.random((40, 4))
    assert top_k(scores, yt, 2) == pytest.approx(top_k_accuracy_score(yt, scores, k=2))
    assert majority(np.array([1, 1, 0]), np.array([1, 0, 0, 0])) == 0.25
    assert logistic_regression(np.eye(4)[y], y, np.eye(4)[yt], yt) == 1


def test_the_skeleton_recipe_trains_resumes_and_measures(npz, tmp_path, capsys):
    command = ["--net", "skeleton", "--train", str(npz / "train.npz"), "--test", str(npz / "test.npz"), "--out",
               str(tmp_path), "--batch", "8", "--device", "cpu"]  # fmt: skip
    train.main([*command, "--minutes", "0.01"])
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["clips"] == figures["held_back"] == 8
    assert 0 <= figures["accuracy"] <= 1
    assert figures["baseline_majority"] == 0.5
    state = weights.load_state(tmp_path / "compact_skeleton.safetensors")
    assert state["head.weight"].shape[0] == 2
    elapsed = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["clock"]["elapsed"]
    train.main([*command, "--minutes", str(elapsed / 60 + 0.003)])
    assert json.loads((tmp_path / "metrics.json").read_text())["steps"] > figures["steps"]
    assert features(np.zeros((3, 15, 2))).shape == (state["enter.weight"].shape[1], 32)


def test_the_stills_recipe(stills, tmp_path, capsys):
    train.main(["--net", "stills", "--pictures", str(stills), "--out", str(tmp_path), "--batch", "4", "--minutes",
                "0.002", "--device", "cpu"])  # fmt: skip
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["pictures"] + figures["held_back"] <= 45
    assert set(figures["per_class"]) == {"sitting", "texting", "using laptop"}
    assert (tmp_path / "compact_action.safetensors").stat().st_size < 3e6


def test_still_batches_mix_at_first_and_not_at_last(stills, tmp_path):
    pictures = pack(tmp_path, read_labels(stills))
    batches = train_stills.StillBatches(pictures, np.arange(45), 0)
    early = [batches.batch(4, 0.1)[1] for _ in range(12)]
    late = [batches.batch(4, 0.9)[1] for _ in range(12)]
    for targets in early + late:
        np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    assert any(((t > 0) & (t < 1)).any() for t in early)
    assert not any(((t > 0) & (t < 1)).any() for t in late)
    assert [train_stills.size_at(p) for p in (0.0, 0.5, 0.9)] == [112, 128, 160]


def test_the_same_picture_under_another_name_is_not_trained_on(stills, tmp_path):
    pictures = pack(tmp_path, read_labels(stills))
    held = np.zeros(45, bool)
    held[0] = True
    assert train_stills.without_twins(pictures, held).tolist() == list(range(1, 45))
    copied = type(pictures)(
        pictures.packed, pictures.shapes, np.where(np.arange(45) == 5, pictures.starts[0], pictures.starts),
        pictures.names, pictures.labels, pictures.classes,
    )  # fmt: skip
    assert 5 not in train_stills.without_twins(copied, held)


def test_the_exercise_recipe(stills, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train_exercise, "OTHER_CLIPS", 2)
    monkeypatch.setattr(train_exercise, "BASELINE_CLIPS", 10)
    clips = tmp_path / "clips"
    clips.mkdir()
    rng = np.random.default_rng(0)
    entries, start = [], 0
    with (clips / "clips.bin").open("wb") as file:
        for row, label in enumerate(("push-up", "pull-up", "squat", "dip", "push-up", "squat")):
            frames = rng.integers(0, 256, (26, 144, 150, 3), np.uint8)
            file.write(frames.tobytes())
            entries.append(vars(Entry(label, f"{row}.mp4", frames.shape[:3], start, row, row >= 4)))
            start += frames.nbytes
    (clips / "clips.json").write_text(json.dumps(entries))
    train.main(["--net", "exercise", "--clips", str(clips), "--pictures", str(stills), "--out", str(tmp_path / "out"),
                "--batch", "5", "--minutes", "0.002", "--device", "cpu"])  # fmt: skip
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (figures["clips"], figures["held_back"], figures["held_back_other"]) == (4, 2, 2)
    assert figures["count_per_class"] == {"push-up": 1, "pull-up": 0, "squat": 1, "dip": 0, "other": 2}
    file = tmp_path / "out" / "compact_exercise.safetensors"
    tasks.load_all()
    assert file.stat().st_size < 3e6
    weights.apply_state(registry.get("compact-exercise").build(), weights.load_state(file), file.name)


@pytest.mark.parametrize("net", ["skeleton", "stills", "exercise"])
def test_missing_data_is_said(net, tmp_path):
    with pytest.raises(SystemExit, match="needs --"):
        train.main(["--net", net, "--out", str(tmp_path), "--minutes", "0.001"])
