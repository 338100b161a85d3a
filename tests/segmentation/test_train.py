"""The recipe end to end on synthetic shapes: it learns, it resumes, and it leaves weights that load strictly."""

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
from cvdemo.segmentation import train
from cvdemo.segmentation.labels import CAMVID_CLASSES, IGNORE, VOC_CLASSES
from cvdemo.segmentation.nets.compact_unet import CompactUNet
from cvdemo.segmentation.train import Loss, Phase, make_next, parse_source, phase_at
from cvdemo.segmentation.training_data import BatchMaker, Example, Source, class_weights


def shapes(rng: np.random.Generator, side: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of a noisy scene: reddish discs (class 1) and bluish squares (class 2)."""
    labels = np.zeros((side, side), np.uint8)
    x, y = (int(v) for v in rng.integers(0, side // 2, 2))
    labels[y : y + side // 3, x : x + side // 3] = 2
    cv2.circle(labels, tuple(int(v) for v in rng.integers(20, side - 20, 2)), side // 6, 1, -1)
    colours = np.array([(90, 110, 90), (190, 60, 50), (50, 70, 200)])
    noisy = colours[labels] + rng.normal(0, 12, (side, side, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    for kind in ("pictures", "labels"):
        (made / kind).mkdir()
    for index in range(6):
        pixels, labels = shapes(rng)
        assert cv2.imwrite(str(made / "pictures" / f"{index}.png"), pixels[:, :, ::-1])
        assert cv2.imwrite(str(made / "labels" / f"{index}.png"), labels)
    (made / "split.json").write_text(json.dumps({"fit": [0, 1, 2, 3], "check": ["4", "5"]}))
    return made


@pytest.fixture(scope="module")
def source(folder) -> str:
    return f"{folder}/pictures:{folder}/labels:{folder}/split.json#fit"


OPTIONS = ["--batch", "2", "--side", "96", "--device", "cpu"]


@pytest.fixture(autouse=True)
def _small_crops(monkeypatch):
    monkeypatch.setattr(train, "PHASES", (Phase(0.0, 64),))


@pytest.fixture(scope="module")
def first_run(source, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "PHASES", (Phase(0.0, 64),))
        train.main(["--source", source, "--out", str(out), "--minutes", "0.005", *OPTIONS])
    return out


def checkpoint_of(folder: Path) -> dict:
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def test_a_small_network_learns_synthetic_shapes_in_a_hundred_steps():
    """IoU on scenes it never saw; random weights reach about 0.1."""
    rng = np.random.default_rng(1)
    examples = []
    for _ in range(24):
        pixels, labels = shapes(rng)
        examples.append(Example(pixels, labels, np.bincount(labels.ravel(), minlength=3), 1.0))
    torch.manual_seed(0)
    network = CompactUNet(3, (16, 16, 32, 32, 64), (1, 1, 1, 1), (32, 32, 32)).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    maker, loss_of = BatchMaker(examples, 0, 96), Loss(class_weights(examples), torch.device("cpu"))
    for _ in range(100):
        loss, _ = loss_of(network, maker.batch(6, 64))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()
    shared, union = np.zeros(3), np.zeros(3)
    for _ in range(10):
        pixels, labels = shapes(rng)
        x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            logits = torch.nn.functional.interpolate(network(x), scale_factor=4.0, mode="bilinear")
        found = logits[0].argmax(0).numpy()
        for label in range(3):
            shared[label] += ((found == label) & (labels == label)).sum()
            union[label] += ((found == label) | (labels == label)).sum()
    assert (shared / union).min() > 0.7, shared / union


def test_a_run_leaves_a_checkpoint_and_weights_that_load_strictly(first_run):
    clock = checkpoint_of(first_run)["clock"]
    assert clock["step"] >= 1
    assert clock["pictures"] == 2 * clock["step"]
    assert clock["elapsed"] >= 0.3, "the whole time budget was used"
    shipped = first_run / "compact_segmentation.safetensors"
    CompactUNet(len(VOC_CLASSES)).load_state_dict(weights.load_state(shipped), strict=True)
    assert shipped.stat().st_size < 4_000_000
    assert not list(first_run.glob("*.tmp"))


def test_the_same_command_with_more_time_goes_on_where_it_stopped(first_run, source, tmp_path, capsys):
    before = checkpoint_of(first_run)
    (tmp_path / "checkpoint.pt").write_bytes((first_run / "checkpoint.pt").read_bytes())
    minutes = str(before["clock"]["elapsed"] / 60 + 0.003)
    train.main(["--source", source, "--out", str(tmp_path), "--cache", str(first_run / "cache"), *OPTIONS,
                "--minutes", minutes])  # fmt: skip
    after = checkpoint_of(tmp_path)
    assert f"4 pictures, from step {before['clock']['step']}" in capsys.readouterr().err
    assert after["clock"]["step"] > before["clock"]["step"]
    name = "backbone.stem.conv.weight"
    assert not torch.equal(after["network"][name], before["network"][name])


def test_a_finished_run_is_not_trained_further(first_run, source, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes((first_run / "checkpoint.pt").read_bytes())
    train.main(["--source", source, "--out", str(tmp_path), "--cache", str(first_run / "cache"), *OPTIONS,
                "--minutes", "0.001"])  # fmt: skip
    before, after = checkpoint_of(first_run), checkpoint_of(tmp_path)
    assert after["clock"] == before["clock"]
    assert all(torch.equal(after["average"][name], value) for name, value in before["average"].items())


def test_the_street_model_starts_from_the_other_ones_body(first_run, source, tmp_path):
    shipped = first_run / "compact_segmentation.safetensors"
    train.main(["--classes", "camvid", "--exact", source, "--out", str(tmp_path), *OPTIONS, "--minutes", "0.0001",
                "--rate", "0", "--body", str(shipped)])  # fmt: skip
    before = weights.load_state(shipped)
    after = weights.load_state(tmp_path / "compact_streets.safetensors")
    assert after["logits.weight"].shape[0] == len(CAMVID_CLASSES)
    for name in (
        "backbone.stem.conv.weight",
        "context.look.weight",
        "up4.mix.split.conv.weight",
        "up8.skip.conv.weight",
    ):
        torch.testing.assert_close(after[name], before[name], atol=1e-3, rtol=1e-3)


def test_the_backbone_can_come_from_the_classifier_and_the_rest_from_earlier_weights(first_run, source, tmp_path):
    torch.manual_seed(5)
    classifier = CompactClassifier()
    save_file(classifier.state_dict(), tmp_path / "classifier.safetensors")
    shipped = first_run / "compact_segmentation.safetensors"
    train.main(["--source", source, "--out", str(tmp_path), "--cache", str(first_run / "cache"), *OPTIONS,
                "--minutes", "0.0001", "--rate", "0", "--from", str(shipped),
                "--backbone", str(tmp_path / "classifier.safetensors")])  # fmt: skip
    after = weights.load_state(tmp_path / "compact_segmentation.safetensors")
    stem = "backbone.stem.conv.weight"
    torch.testing.assert_close(after[stem], classifier.state_dict()[stem], atol=1e-3, rtol=1e-3)
    kept = weights.load_state(shipped)["logits.weight"]
    torch.testing.assert_close(after["logits.weight"], kept, atol=1e-3, rtol=1e-3)


def test_pictures_that_are_not_there_end_the_run_with_a_sentence(folder, tmp_path):
    with pytest.raises(SystemExit, match="readable picture"):
        train.main(["--source", f"{tmp_path}:{folder}/labels", "--out", str(tmp_path / "out"), "--device", "cpu"])


def test_a_run_needs_a_source(tmp_path, capsys):
    with pytest.raises(SystemExit):
        train.main(["--out", str(tmp_path)])
    assert "--source" in capsys.readouterr().err


def test_a_loss_reports_its_terms():
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (2, 64, 64, 3), np.uint8), rng.integers(0, 4, (2, 32, 32)).astype(np.uint8)
    labels[0, :9] = IGNORE
    loss, figures = Loss(np.ones(5, np.float32), torch.device("cpu"))(CompactUNet(5), (pixels, labels))
    assert loss.requires_grad
    assert all(math.isfinite(value) for value in figures.values())
    assert float(loss.detach()) == pytest.approx(figures["entropy"] + 0.5 * figures["dice"], rel=1e-4)
    assert 0 <= figures["accuracy"] <= 1


def test_the_schedule_grows():
    assert [phase.size for phase in (phase_at(0), phase_at(0.5))] == [64, 64]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "PHASES", (Phase(0.0, 192), Phase(0.3, 256), Phase(0.7, 320)))
        assert [phase_at(p).size for p in (0, 0.29, 0.3, 0.69, 0.7, 1.0)] == [192, 192, 256, 256, 320, 320]
    assert all(phase.size % 32 == 0 for phase in train.PHASES)


class Maker:
    """Stands in for ``BatchMaker``: hands back what is asked of it."""

    def batch(self, count, size):
        return count, size


@pytest.mark.parametrize(("batch", "size", "expected"), [(32, 192, 32), (32, 320, 20), (4, 320, 4), (16, 512, 4)])
def test_batches_shrink_as_crops_grow_but_never_exceed_what_was_asked(monkeypatch, batch, size, expected):
    monkeypatch.setattr(train, "PHASES", (Phase(0.0, size),))
    assert make_next(Maker(), batch, 0.0) == (expected, size)


def test_sources_are_parsed(folder):
    assert parse_source("a:b") == Source(Path("a"), Path("b"))
    assert parse_source(f"a:b:{folder}/split.json#fit").stems == {"0", "1", "2", "3"}
    (folder / "list.json").write_text('["x"]')
    assert parse_source(f"a:b:{folder}/list.json").stems == {"x"}
    for wrong in ("a", "a:b:c:d"):
        with pytest.raises(argparse.ArgumentTypeError):
            parse_source(wrong)


def test_objects_of_other_pictures_are_pasted(source, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(train, "BatchMaker", lambda *args: made.append(BatchMaker(*args)) or made[0])
    objects = ["--objects", source]
    train.main(["--source", source, *objects, "--out", str(tmp_path), "--minutes", "0.003", *OPTIONS])
    assert (tmp_path / "compact_segmentation.safetensors").is_file()
    (maker,) = made
    assert maker._paste is not None
