"""The recipe end to end on a handful of synthetic pictures: a run, a resumed run, and what it leaves behind."""

import argparse
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cvdemo.classification.nets.compact_backbone import CompactClassifier
from cvdemo.core import weights
from cvdemo.detection import train
from cvdemo.detection.labels import COCO_CATEGORIES
from cvdemo.detection.nets.compact_detector import CompactDetector
from cvdemo.detection.train import Phase, make_next, parse_source, phase_at, to_targets


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


def test_earlier_weights_start_a_new_run(first_run, source, tmp_path):
    shipped = first_run / "compact_detector.safetensors"
    train.main(["--source", source, "--out", str(tmp_path), "--cache", str(first_run / "cache"), "--batch", "2",
                "--side", "128", "--device", "cpu", "--minutes", "0.0001", "--rate", "0",
                "--from", str(shipped)])  # fmt: skip
    before, after = weights.load_state(shipped), weights.load_state(tmp_path / "compact_detector.safetensors")
    name = "neck.down4.split.conv.weight"
    torch.testing.assert_close(after[name], before[name], atol=1e-3, rtol=1e-3)


def test_the_backbone_can_come_from_the_classifier(first_run, source, tmp_path):
    torch.manual_seed(5)
    classifier = CompactClassifier()
    save_file(classifier.state_dict(), tmp_path / "classifier.safetensors")
    train.main(["--source", source, "--out", str(tmp_path), "--cache", str(first_run / "cache"), "--batch", "2",
                "--side", "128", "--device", "cpu", "--minutes", "0.0001", "--rate", "0",
                "--from", str(first_run / "compact_detector.safetensors"),
                "--backbone", str(tmp_path / "classifier.safetensors")])  # fmt: skip
    after = weights.load_state(tmp_path / "compact_detector.safetensors")
    theirs = classifier.state_dict()
    torch.testing.assert_close(
        after["backbone.stem.conv.weight"], theirs["backbone.stem.conv.weight"], atol=1e-3, rtol=1e-3
    )
    neck = weights.load_state(first_run / "compact_detector.safetensors")["neck.down4.split.conv.weight"]
    torch.testing.assert_close(after["neck.down4.split.conv.weight"], neck, atol=1e-3, rtol=1e-3)


def test_pictures_that_are_not_there_end_the_run_with_a_sentence(source, tmp_path):
    labels = source.split(":")[0]
    with pytest.raises(SystemExit, match="could be read"):
        train.main(["--source", f"{labels}:{tmp_path}", "--out", str(tmp_path / "out"), "--device", "cpu"])


def test_a_loss_reports_its_terms():
    torch.manual_seed(0)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    rows = np.array([[0, 8, 8, 40, 40, 3, 1, 0]], np.float32)
    loss, figures = train.loss_of(CompactDetector(), (pixels, rows))
    assert loss.requires_grad
    assert all(math.isfinite(value) for value in figures.values())
    expected = figures["classification"] + 5 * figures["overlap"] + figures["distribution"]
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)
    assert figures["positives"] >= 1


def test_the_schedule():
    phases = (Phase(0.0, 192, 0.5), Phase(0.3, 256, 0.5), Phase(0.7, 320, 0.4), Phase(0.88, 320, 0.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "PHASES", phases)
        assert [phase_at(p).size for p in (0, 0.29, 0.3, 0.69, 0.7, 1.0)] == [192, 192, 256, 256, 320, 320]
        assert phase_at(0.99).mosaic == 0


def test_rows_become_targets():
    rows = np.array([[1, 2, 3, 4, 5, 6, 0.5, 0], [0, 1, 1, 9, 9, 7, 1, 1]], np.float32)
    targets = to_targets(rows, torch.device("cpu"))
    assert targets.image.tolist() == [1, 0]
    assert targets.boxes.tolist() == [[2, 3, 4, 5], [1, 1, 9, 9]]
    assert targets.classes.tolist() == [6, 7]
    assert targets.confidence.tolist() == [0.5, 1]
    assert targets.ignored.tolist() == [False, True]


class Maker:
    """Stands in for ``BatchMaker``: hands back what is asked of it."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def batch(self, count, size, mosaic):
        return count, size


@pytest.mark.parametrize(("batch", "size", "expected"), [(32, 192, 32), (32, 320, 24), (4, 320, 4), (8, 512, 8)])
def test_batches_shrink_as_pictures_grow_but_never_exceed_what_was_asked(monkeypatch, batch, size, expected):
    monkeypatch.setattr(train, "PHASES", (Phase(0.0, size, 0.5),))
    maker = Maker()
    for _ in range(3):
        count, side = make_next(maker, batch, 0.0)
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
