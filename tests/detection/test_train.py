"""The recipe end to end on a handful of synthetic pictures: a run, a resumed run, and what it leaves behind."""

import argparse
import itertools
import json
import math
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cvdemo.core import weights
from cvdemo.core.errors import WeightsError
from cvdemo.detection import train
from cvdemo.detection.labels import COCO_CATEGORIES
from cvdemo.detection.nets.compact_detector import CompactDetector
from cvdemo.detection.train import Phase, Trainer, learning_rate, parse_source, phase_at, start_loader, to_targets


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    """A COCO file with six noisy pictures, a bright square labelled as a person in each."""
    folder = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for index in range(6):
        pixels = rng.integers(0, 90, (100, 120, 3), np.uint8)
        x, y = (int(v) for v in rng.integers(0, 50, 2))
        pixels[y : y + 45, x : x + 45] = 230
        assert cv2.imwrite(str(folder / f"{index}.png"), pixels)
        images.append({"id": index, "file_name": f"{index}.png", "width": 120, "height": 100})
        annotations.append({"id": index, "image_id": index, "category_id": 1, "bbox": [x, y, 45, 45], "iscrowd": 0})
    categories = [{"id": c.id, "name": c.name} for c in COCO_CATEGORIES]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(document))
    (folder / "split.json").write_text(json.dumps({"fit": [0, 1, 2, 3], "check": [4, 5]}))
    return f"{folder / 'labels.json'}:{folder}:{folder / 'split.json'}#fit"


@pytest.fixture(autouse=True)
def _small_pictures(monkeypatch):
    monkeypatch.setattr(train, "PHASES", (Phase(0.0, 64, 0.5), Phase(0.7, 96, 0.0)))


@pytest.fixture(scope="module")
def first_run(source, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "PHASES", (Phase(0.0, 64, 0.5),))
        train.main(["--source", source, "--out", str(out), "--minutes", "0.005", "--batch", "2", "--side", "128",
                    "--device", "cpu"])  # fmt: skip
    return out


def checkpoint_of(folder: Path) -> dict:
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def test_a_run_leaves_a_checkpoint_and_weights_that_load_strictly(first_run):
    clock = checkpoint_of(first_run)["clock"]
    assert clock["step"] >= 1
    assert clock["pictures"] == 2 * clock["step"]
    assert clock["elapsed"] >= 0.3, "the whole time budget was used"
    state = weights.load_state(first_run / "compact_detector.safetensors")
    network = CompactDetector()
    network.load_state_dict(state, strict=True)
    assert all(value.dtype == torch.float32 for value in state.values() if value.is_floating_point())
    assert (first_run / "compact_detector.safetensors").stat().st_size < 5_000_000, "stored in 16 bits"
    with torch.inference_mode():
        assert all(torch.isfinite(level.class_logits).all() for level in network.eval()(torch.rand(1, 3, 64, 64)))
    assert not list(first_run.glob("*.tmp"))


def test_the_same_command_with_more_time_goes_on_where_it_stopped(first_run, source, tmp_path, capsys):
    before = checkpoint_of(first_run)
    (tmp_path / "checkpoint.pt").write_bytes((first_run / "checkpoint.pt").read_bytes())
    minutes = str(before["clock"]["elapsed"] / 60 + 0.003)
    train.main(["--source", source, "--out", str(tmp_path), "--cache", str(first_run / "cache"), "--batch", "2",
                "--side", "128", "--device", "cpu", "--minutes", minutes])  # fmt: skip
    after = checkpoint_of(tmp_path)
    assert f"4 pictures, from step {before['clock']['step']}" in capsys.readouterr().err
    assert after["clock"]["step"] > before["clock"]["step"]
    assert after["clock"]["elapsed"] > before["clock"]["elapsed"]
    name = "backbone.stem.conv.weight"
    assert not torch.equal(after["network"][name], before["network"][name])


def test_a_finished_run_is_not_trained_further(first_run, source, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes((first_run / "checkpoint.pt").read_bytes())
    train.main(["--source", source, "--out", str(tmp_path), "--cache", str(first_run / "cache"), "--batch", "2",
                "--side", "128", "--device", "cpu", "--minutes", "0.001"])  # fmt: skip
    before, after = checkpoint_of(first_run), checkpoint_of(tmp_path)
    assert after["clock"] == before["clock"]
    assert all(torch.equal(after["average"][name], value) for name, value in before["average"].items())


def trainer() -> Trainer:
    torch.manual_seed(0)
    return Trainer(torch.device("cpu"), budget=60.0, peak_rate=1e-3)


def test_resuming_restores_everything(first_run):
    ours = trainer()
    ours.resume(first_run / "checkpoint.pt")
    saved = checkpoint_of(first_run)
    assert ours.step == saved["clock"]["step"]
    assert all(torch.equal(value, saved["network"][name]) for name, value in ours.network.state_dict().items())
    moments = ours.optimiser.state_dict()["state"]
    assert moments
    assert all(torch.equal(row["exp_avg"], saved["optimiser"]["state"][i]["exp_avg"]) for i, row in moments.items())


def test_earlier_weights_start_a_new_run_and_foreign_ones_do_not(first_run, tmp_path):
    ours = trainer()
    ours.start_from(first_run / "compact_detector.safetensors")
    shipped = weights.load_state(first_run / "compact_detector.safetensors")
    assert all(torch.equal(value, shipped[name]) for name, value in ours.network.state_dict().items())
    assert all(torch.equal(value, shipped[name].float()) for name, value in ours.average.items())
    assert ours.step == 0
    train.save_file({"other.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="another network"):
        ours.start_from(tmp_path / "other.safetensors")


def test_pictures_that_are_not_there_end_the_run_with_a_sentence(source, tmp_path):
    labels = source.split(":")[0]
    with pytest.raises(SystemExit, match="could be read"):
        train.main(["--source", f"{labels}:{tmp_path}", "--out", str(tmp_path / "out"), "--device", "cpu"])


def test_the_average_follows_the_network():
    ours = trainer()
    before = {name: value.clone() for name, value in ours.average.items()}
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    rows = np.array([[0, 8, 8, 40, 40, 3, 1, 0]], np.float32)
    terms = ours.train_step(pixels, rows)
    assert all(math.isfinite(term) for term in terms)
    assert ours.step == 1
    decay = train.AVERAGE_DECAY * (1 - math.exp(-1 / 1000))
    for name in ("backbone.stem.conv.weight", "heads.0.class_logits.bias"):
        expected = decay * before[name] + (1 - decay) * ours.network.state_dict()[name]
        torch.testing.assert_close(ours.average[name], expected)


def test_the_schedule():
    phases = (Phase(0.0, 192, 0.5), Phase(0.3, 256, 0.5), Phase(0.7, 320, 0.4), Phase(0.88, 320, 0.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "PHASES", phases)
        assert [phase_at(p).size for p in (0, 0.29, 0.3, 0.69, 0.7, 1.0)] == [192, 192, 256, 256, 320, 320]
        assert phase_at(0.99).mosaic == 0
    assert learning_rate(0, 1.0) == pytest.approx(0.05)
    assert learning_rate(0.02, 1.0) == pytest.approx(1.0, abs=0.01)
    assert learning_rate(1.0, 1.0) == pytest.approx(0.02)
    rates = [learning_rate(p, 1.0) for p in np.linspace(0.02, 1, 50)]
    assert all(b < a for a, b in itertools.pairwise(rates)), "falls after the warm-up"


def test_rows_become_targets():
    rows = np.array([[1, 2, 3, 4, 5, 6, 0.5, 0], [0, 1, 1, 9, 9, 7, 1, 1]], np.float32)
    targets = to_targets(rows, torch.device("cpu"))
    assert targets.image.tolist() == [1, 0]
    assert targets.boxes.tolist() == [[2, 3, 4, 5], [1, 1, 9, 9]]
    assert targets.classes.tolist() == [6, 7]
    assert targets.confidence.tolist() == [0.5, 1]
    assert targets.ignored.tolist() == [False, True]


class Maker:
    """Stands in for ``BatchMaker``: notes what is asked of it, and fails after some batches."""

    def __init__(self, good: int) -> None:
        self.rng = np.random.default_rng(0)
        self.good, self.asked = good, []

    def batch(self, count, size, mosaic):
        if len(self.asked) == self.good:
            raise ZeroDivisionError("no pictures")
        self.asked.append((count, size))
        return count, size


def test_the_loader_hands_over_what_went_wrong():
    take = start_loader(Maker(2), 8, lambda: 0.0)
    assert take()[0] == take()[0] == 8
    with pytest.raises(ZeroDivisionError, match="no pictures"):
        take()


@pytest.mark.parametrize(("batch", "size", "expected"), [(32, 192, 32), (32, 320, 24), (4, 320, 4), (8, 512, 8)])
def test_batches_shrink_as_pictures_grow_but_never_exceed_what_was_asked(monkeypatch, batch, size, expected):
    monkeypatch.setattr(train, "PHASES", (Phase(0.0, size, 0.5),))
    maker = Maker(3)
    take = start_loader(maker, batch, lambda: 0.0)
    for _ in range(3):
        count, side = take()
        assert count == expected
        assert side in (size - 32, size, size + 32)


def test_sources_are_parsed(tmp_path):
    (tmp_path / "ids.json").write_text(json.dumps({"train": [3, 1, 3]}))
    (tmp_path / "list.json").write_text("[7, 8]")
    assert parse_source("a.json:pictures") == (Path("a.json"), Path("pictures"), None)
    assert parse_source(f"a.json:p:{tmp_path}/ids.json#train")[2] == {1, 3}
    assert parse_source(f"a.json:p:{tmp_path}/list.json")[2] == {7, 8}
    for wrong in ("a.json", "a:b:c:d"):
        with pytest.raises(argparse.ArgumentTypeError):
            parse_source(wrong)


def test_a_polite_kill_ends_the_step_and_gives_the_handlers_back():
    before = signal.getsignal(signal.SIGTERM)
    with train.asked_to_stop() as stopping:
        assert not stopping.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.wait(5)
    assert signal.getsignal(signal.SIGTERM) is before
