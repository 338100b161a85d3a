"""The recipe end to end on a handful of synthetic pictures: a run, a resumed run, and what it leaves behind."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cvdemo.classification.nets.compact_backbone import CompactClassifier
from cvdemo.core import weights
from cvdemo.faces import train_detector
from cvdemo.faces.nets.face_detector import CompactFaceDetector
from cvdemo.faces.train_detector import FILENAME, Phase, borrow, loss_of, phase_at, to_targets


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> str:
    """Labels of six noisy pictures with a bright "face" in each."""
    folder = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for index in range(6):
        pixels = rng.integers(0, 90, (100, 120, 3), np.uint8)
        x, y = (int(v) for v in rng.integers(0, 50, 2))
        pixels[y : y + 45, x : x + 40] = 230
        assert cv2.imwrite(str(folder / f"{index}.png"), pixels)
        points = np.array([[10, 15], [30, 15], [20, 25], [12, 35], [28, 35]]) + np.array([x, y])
        keypoints = [v for u, w in points.tolist() for v in (u, w, 2)]
        row = {"image_id": index, "category_id": 1, "bbox": [x, y, 40, 45], "score": 0.9, "keypoints": keypoints}
        images.append({"id": index, "file_name": f"{index}.png", "width": 120, "height": 100})
        annotations.append(row | {"id": index})
    (folder / "labels.json").write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    (folder / "split.json").write_text(json.dumps({"fit": [0, 1, 2, 3], "check": [4, 5]}))
    return f"{folder / 'labels.json'}:{folder}:{folder / 'split.json'}#fit"


@pytest.fixture(autouse=True)
def _small_crops(monkeypatch):
    monkeypatch.setattr(train_detector, "PHASES", (Phase(0.0, 64, 0.5),))


@pytest.fixture(scope="module")
def first_run(source, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_detector, "PHASES", (Phase(0.0, 64, 0.5),))
        train_detector.main(["--source", source, "--out", str(out), "--minutes", "0.004", "--batch", "2",
                             "--device", "cpu"])  # fmt: skip
    return out


def checkpoint_of(folder: Path) -> dict:
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def test_a_run_leaves_a_checkpoint_and_weights_that_load_strictly(first_run):
    clock = checkpoint_of(first_run)["clock"]
    assert clock["step"] >= 1
    assert clock["pictures"] == 2 * clock["step"]
    CompactFaceDetector().load_state_dict(weights.load_state(first_run / FILENAME), strict=True)
    assert (first_run / FILENAME).stat().st_size < 1_000_000


def test_the_same_command_with_more_time_goes_on_where_it_stopped(first_run, source, tmp_path, capsys):
    before = checkpoint_of(first_run)
    (tmp_path / "checkpoint.pt").write_bytes((first_run / "checkpoint.pt").read_bytes())
    minutes = str(before["clock"]["elapsed"] / 60 + 0.003)
    train_detector.main(["--source", source, "--out", str(tmp_path), "--cache", str(first_run / "cache"),
                         "--batch", "2", "--device", "cpu", "--minutes", minutes])  # fmt: skip
    after = checkpoint_of(tmp_path)
    assert f"4 pictures, 4 faces, from step {before['clock']['step']}" in capsys.readouterr().err
    assert after["clock"]["step"] > before["clock"]["step"]
    name = "backbone.stem.conv.weight"
    assert not torch.equal(after["network"][name], before["network"][name])


def test_what_fits_of_a_backbone_is_taken(tmp_path):
    torch.manual_seed(5)
    classifier, network = CompactClassifier(), CompactFaceDetector()
    save_file(classifier.state_dict(), tmp_path / "classifier.safetensors")
    theirs, before = classifier.state_dict(), {n: v.clone() for n, v in network.state_dict().items()}
    taken = borrow(network, tmp_path / "classifier.safetensors")
    after = network.state_dict()
    for prefix in ("stem", "stage2", "stage3"):
        names = [name for name in after if name.startswith(f"backbone.{prefix}.")]
        assert names
        assert all(torch.equal(after[name], theirs[name]) for name in names)
        taken -= len(names)
    assert taken >= 0
    assert torch.equal(after["towers.0.conv.weight"], before["towers.0.conv.weight"])
    assert torch.equal(after["backbone.stage4.0.conv.weight"], before["backbone.stage4.0.conv.weight"])


def test_a_run_can_start_from_a_backbone(first_run, source, tmp_path, capsys):
    torch.manual_seed(5)
    classifier = CompactClassifier()
    save_file(classifier.state_dict(), tmp_path / "classifier.safetensors")
    train_detector.main(["--source", source, "--out", str(tmp_path), "--cache", str(first_run / "cache"),
                         "--batch", "2", "--device", "cpu", "--minutes", "0.0001", "--rate", "0",
                         "--from", str(tmp_path / "classifier.safetensors")])  # fmt: skip
    assert "tensors taken from classifier.safetensors" in capsys.readouterr().err
    stem = weights.load_state(tmp_path / FILENAME)["backbone.stem.conv.weight"]
    torch.testing.assert_close(stem, classifier.state_dict()["backbone.stem.conv.weight"], atol=1e-3, rtol=1e-3)


def test_pictures_that_are_not_there_end_the_run_with_a_sentence(source, tmp_path):
    labels = source.split(":")[0]
    with pytest.raises(SystemExit, match="could be read"):
        train_detector.main(["--source", f"{labels}:{tmp_path}", "--out", str(tmp_path / "out"), "--device", "cpu"])


def test_a_loss_reports_its_terms():
    torch.manual_seed(0)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    rows = np.array([[0, 8, 8, 40, 40, 15, 20, 32, 20, 24, 28, 18, 34, 30, 34, 0]], np.float32)
    loss, figures = loss_of(CompactFaceDetector(), (pixels, rows))
    assert loss.requires_grad
    assert float(loss.detach()) == pytest.approx(
        figures["score"] + 4 * figures["box"] + 20 * figures["landmark"], rel=1e-4
    )
    assert figures["positives"] >= 1


def test_rows_become_targets():
    rows = np.array([[1, 2, 3, 4, 5, *range(10), 0], [0, 1, 1, 9, 9, *range(10), 1]], np.float32)
    targets = to_targets(rows, torch.device("cpu"))
    assert targets.boxes.image.tolist() == [1, 0]
    assert targets.boxes.boxes.tolist() == [[2, 3, 4, 5], [1, 1, 9, 9]]
    assert targets.boxes.ignored.tolist() == [False, True]
    assert targets.boxes.classes.tolist() == [0, 0]
    assert targets.landmarks[0].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]


def test_phases_follow_the_clock(monkeypatch):
    monkeypatch.setattr(train_detector, "PHASES", (Phase(0.0, 192, 0.6), Phase(0.5, 256, 0.2)))
    assert [phase_at(p).size for p in (0, 0.49, 0.5, 1)] == [192, 192, 256, 256]
