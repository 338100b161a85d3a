"""The recipe end to end on synthetic figures with a detector of random weights: the loss falls, runs resume, and the
weights it leaves are the mask branch alone."""

import argparse
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cvdemo.core import weights
from cvdemo.detection.nets.compact_detector import CompactDetector
from cvdemo.segmentation import instance_losses, train_instances
from cvdemo.segmentation.instance_batches import InstanceBatch, InstanceBatchMaker
from cvdemo.segmentation.instance_data import Example, cut
from cvdemo.segmentation.nets.compact_instances import MaskBranch
from cvdemo.segmentation.train_instances import Loss, Phase, make_next, parse_source, phase_at

OPTIONS = ["--batch", "2", "--side", "96", "--device", "cpu"]


def scene(rng: np.random.Generator, side: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """A reddish ellipse on noise, and its mask."""
    mask = np.zeros((side, side), np.uint8)
    centre = tuple(int(v) for v in rng.integers(side // 3, 2 * side // 3, 2))
    cv2.ellipse(mask, centre, tuple(int(v) for v in rng.integers(14, 32, 2)), float(rng.uniform(0, 180)), 0, 360, 1, -1)
    colours = np.array([(80, 110, 90), (200, 60, 50)])[mask]
    return np.clip(colours + rng.normal(0, 12, (side, side, 3)), 0, 255).astype(np.uint8), mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("horses")
    rng = np.random.default_rng(0)
    (made / "masks").mkdir()
    for index in range(5):
        pixels, mask = scene(rng)
        cv2.imwrite(str(made / f"{index}.jpg"), pixels[:, :, ::-1])
        cv2.imwrite(str(made / "masks" / f"{index}.jpg"), mask * 255)
    (made / "ids.json").write_text(json.dumps({"fit": ["0", "1", "2", "3"]}))
    torch.manual_seed(0)
    save_file(CompactDetector().state_dict(), str(made / "detector.safetensors"))
    return made


@pytest.fixture(scope="module")
def command(folder) -> list[str]:
    return ["--horses", f"{folder}/masks:{folder}:{folder}/ids.json#fit", "--detector",
            str(folder / "detector.safetensors"), "--cache", str(folder / "cache"), *OPTIONS]  # fmt: skip


@pytest.fixture(autouse=True)
def _small_crops(monkeypatch):
    monkeypatch.setattr(train_instances, "PHASES", (Phase(0.0, 64),))


@pytest.fixture(scope="module")
def first_run(command, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_instances, "PHASES", (Phase(0.0, 64),))
        train_instances.main([*command, "--out", str(out), "--minutes", "0.005"])
    return out


def test_masks_are_learned_on_a_detector_that_never_changes(monkeypatch):
    """The detector is random, so every object is given to the cell whose box comes closest, however far."""
    monkeypatch.setattr(instance_losses, "FALLBACK", 0.0)
    rng = np.random.default_rng(1)
    examples = []
    for _ in range(12):
        pixels, mask = scene(rng)
        examples.append(Example(pixels, (cut(mask, 17),), exact=False))  # nothing is pasted
    torch.manual_seed(0)
    detector, network = CompactDetector(), MaskBranch(prototype_width=16).train()
    loss_of = Loss(detector, torch.device("cpu"))
    before = [p.clone() for p in loss_of.detector.parameters()]
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    maker = InstanceBatchMaker(examples, 0, 96)
    seen = []
    for _ in range(80):
        loss, figures = loss_of(network, maker.batch(6, 64))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append((float(loss.detach()), figures["iou"]))
    first, last = np.mean(seen[:10], 0), np.mean(seen[-10:], 0)
    assert last[0] < 0.7 * first[0], (first, last)
    assert last[1] > 0.8
    assert all(torch.equal(a, b) for a, b in zip(before, loss_of.detector.parameters()))
    assert not loss_of.detector.training


def test_a_batch_without_objects_changes_nothing():
    network = MaskBranch()
    empty = InstanceBatch(np.zeros((2, 64, 64, 3), np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int64),
                          np.zeros((0, 4), np.float32), np.zeros((0, 32, 32), np.uint8))  # fmt: skip
    loss, figures = Loss(CompactDetector(), torch.device("cpu"))(network, empty)
    loss.backward()
    assert float(loss.detach()) == 0
    assert figures == {}
    assert all(float(p.grad.abs().sum()) == 0 for p in network.parameters())


def checkpoint_of(folder: Path) -> dict:
    return torch.load(folder / "checkpoint.pt", weights_only=True)


def test_a_run_leaves_a_checkpoint_and_the_branch_alone(first_run):
    clock = checkpoint_of(first_run)["clock"]
    assert clock["step"] >= 1
    assert clock["pictures"] == 2 * clock["step"]
    shipped = first_run / "compact_instances.safetensors"
    state = weights.load_state(shipped)
    MaskBranch().load_state_dict(state, strict=True)
    assert not any(name.startswith("detector") for name in state)
    assert shipped.stat().st_size < 2_000_000


def test_the_same_command_goes_on_and_another_starts_from_the_weights(first_run, command, tmp_path, capsys):
    before = checkpoint_of(first_run)
    (tmp_path / "checkpoint.pt").write_bytes((first_run / "checkpoint.pt").read_bytes())
    minutes = str(before["clock"]["elapsed"] / 60 + 0.003)
    train_instances.main([*command, "--out", str(tmp_path), "--minutes", minutes])
    after = checkpoint_of(tmp_path)
    assert "horses: 4 pictures, 4 objects" in capsys.readouterr().err
    assert after["clock"]["step"] > before["clock"]["step"]
    shipped = first_run / "compact_instances.safetensors"
    train_instances.main([*command, "--out", str(tmp_path / "new"), "--minutes", "0.0001", "--rate", "0", "--from",
                          str(shipped)])  # fmt: skip
    again = weights.load_state(tmp_path / "new" / "compact_instances.safetensors")
    name = "prototypes.maps.weight"
    torch.testing.assert_close(again[name], weights.load_state(shipped)[name], atol=1e-3, rtol=1e-3)


def test_what_is_missing_ends_the_run_with_a_sentence(folder, command, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="usable mask"):
        train_instances.main([*command, "--clothing", f"{folder}/masks:{folder}", "--out", str(tmp_path)])
    monkeypatch.setenv("CVDEMO_WEIGHTS", str(tmp_path))
    with pytest.raises(SystemExit, match="compact_detector"):
        train_instances.main(["--horses", f"{folder}/masks:{folder}", "--out", str(tmp_path), *OPTIONS])
    with pytest.raises(SystemExit):
        train_instances.main(["--out", str(tmp_path)])
    assert "--polygons" in capsys.readouterr().err


def test_sources_are_parsed(folder):
    assert parse_source("polygons")("a.json:b").ids is None
    source = parse_source("pseudo")(f"a.json:b:c:{folder}/ids.json#fit")
    assert (source.kind, source.teacher, source.ids) == ("pseudo", Path("c"), frozenset("0123"))
    (folder / "list.json").write_text("[7, 8]")
    assert parse_source("horses")(f"a:b:{folder}/list.json").ids == {"7", "8"}
    for kind, text in (("polygons", "a"), ("horses", "a:b:c:d"), ("pseudo", "a:b")):
        with pytest.raises(argparse.ArgumentTypeError):
            parse_source(kind)(text)


class Maker:
    """Stands in for ``InstanceBatchMaker``: hands back what is asked of it."""

    def batch(self, count, size):
        return count, size


@pytest.mark.parametrize(("batch", "size", "expected"), [(16, 320, 16), (16, 448, 8), (16, 256, 16), (2, 640, 2)])
def test_batches_shrink_as_crops_grow_but_never_exceed_what_was_asked(monkeypatch, batch, size, expected):
    monkeypatch.setattr(train_instances, "PHASES", (Phase(0.0, size),))
    assert make_next(Maker(), batch, 0.0) == (expected, size)
    assert math.isclose(phase_at(1.0).start, 0.0)
