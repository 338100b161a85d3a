"""The recipe end to end on stick figures: it learns within seconds, resumes, and leaves weights that load."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cvdemo.core import weights
from cvdemo.pose import train
from cvdemo.pose.crops import CROP_HEIGHT, CROP_WIDTH
from cvdemo.pose.metrics import pck
from cvdemo.pose.nets.pose_regression import Cascade
from cvdemo.pose.skeleton import COCO_EDGES
from cvdemo.pose.train import RECIPES, Phase, make_next, phase_at, terms_of
from cvdemo.pose.training_data import PLAIN, BatchMaker, load_source

COLOURS = np.random.default_rng(1).integers(60, 256, (17, 3)).tolist()


def stick_figure(rng: np.random.Generator, standing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A (160, 120, 3) picture of coloured joints and white limbs, and the joints (17, 2) in its pixels."""
    joints = standing * rng.uniform(0.75, 1.0, 2) + rng.normal(0, 0.02, (17, 2))
    joints = np.clip(joints, 0.02, 0.98) * (100, 140) + 10
    picture = rng.integers(0, 40, (160, 120, 3), np.uint8)
    for a, b in COCO_EDGES:
        cv2.line(picture, joints[a].astype(int).tolist(), joints[b].astype(int).tolist(), (200, 200, 200), 2)
    for (x, y), colour in zip(joints, COLOURS):
        cv2.circle(picture, (int(x), int(y)), 4, colour, -1)
    return picture, joints


@pytest.fixture(scope="module")
def source(tmp_path_factory, standing) -> str:
    """A COCO keypoints file with 24 stick figures; ids 0 to 19 are "fit"."""
    folder = tmp_path_factory.mktemp("figures")
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for index in range(24):
        picture, joints = stick_figure(rng, standing)
        assert cv2.imwrite(str(folder / f"{index}.png"), picture)
        images.append({"id": index, "file_name": f"{index}.png", "width": 120, "height": 160})
        keypoints = np.concatenate([joints, np.full((17, 1), 2)], axis=1).ravel().round(1).tolist()
        entry = {"id": index, "image_id": index, "category_id": 1, "bbox": [8, 8, 104, 144], "iscrowd": 0}
        annotations.append(entry | {"keypoints": keypoints, "num_keypoints": 17, "area": 104 * 144})
    (folder / "labels.json").write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    (folder / "split.json").write_text(json.dumps({"fit": list(range(20)), "check": list(range(20, 24))}))
    return f"{folder / 'labels.json'}:{folder}:{folder / 'split.json'}#fit"


@pytest.fixture(autouse=True)
def _small_crops(monkeypatch):
    small = {
        name: train.Recipe(
            recipe.build, recipe.filename, recipe.phases if name == "regression" else (Phase(0, 64, 64),)
        )
        for name, recipe in RECIPES.items()
    }
    monkeypatch.setattr(train, "RECIPES", small)


def run(source: str, out: Path, net: str, minutes: float, *more: str) -> dict:
    """Train; the checkpoint's clock."""
    train.main(["--net", net, "--source", source, "--out", str(out), "--minutes", str(minutes), "--batch", "2",
                "--device", "cpu", *more])  # fmt: skip
    clock: dict = torch.load(out / "checkpoint.pt", weights_only=True)["clock"]
    return clock


@pytest.mark.parametrize("net", tuple(RECIPES))
def test_a_run_leaves_weights_that_load_strictly_and_goes_on_where_it_stopped(net, source, tmp_path, capsys):
    first = run(source, tmp_path, net, 0.004)
    assert first["step"] >= 1
    recipe = train.RECIPES[net]
    network = recipe.build()
    weights.apply_state(network, weights.load_state(tmp_path / recipe.filename), recipe.filename)
    assert (tmp_path / recipe.filename).stat().st_size < 4_000_000
    capsys.readouterr()
    second = run(source, tmp_path, net, first["elapsed"] / 60 + 0.002)
    assert second["step"] > first["step"]
    assert f"from step {first['step']}" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.tmp"))


def accuracy(maps_or_points: torch.Tensor, joints: np.ndarray) -> float:
    """PCK at 0.15 of the crop's side, from heatmaps (B, 17, h, w) or places (B, 17, 2)."""
    points = maps_or_points.float()
    if points.ndim == 4:
        height, width = points.shape[2:]
        best = points.flatten(2).argmax(2)
        points = torch.stack([(best % width + 0.5) / width, (best // width + 0.5) / height], 2)
    return pck(points.numpy(), joints, np.ones(len(joints)), 0.15).mean


@pytest.mark.parametrize(("net", "size"), [("heatmap", (64, 64)), ("hourglass", (64, 64)), ("regression", (192, 256))])
def test_it_learns_stick_figures_within_seconds(net, size, source, tmp_path):
    torch.manual_seed(0)
    labels, root, ids = train.parse_source(source)
    maker = BatchMaker(load_source(tmp_path, (labels, root, ids)), 0, PLAIN)
    network = RECIPES[net].build().train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    crops, joints = maker.batch(4, *size)
    steps = 60 if net != "regression" else 40

    def measured() -> float:
        x = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            out = network(x)
        last = out.second if isinstance(out, Cascade) else out if isinstance(out, torch.Tensor) else out[-1]
        return accuracy(last, joints)

    before = measured()
    for _ in range(steps):
        loss, figures = train.loss_of(network, (crops, joints))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert all(np.isfinite(value) for value in figures.values())
    assert before < 0.5
    assert measured() > 0.8


def test_phases_follow_the_clock_and_small_crops_come_in_larger_batches(source, tmp_path):
    phases = RECIPES["heatmap"].phases
    assert (phase_at(phases, 0.0).width, phase_at(phases, 1.0)) == (96, phases[-1])
    assert (phases[-1].width, phases[-1].height) == (CROP_WIDTH, CROP_HEIGHT)
    for recipe in RECIPES.values():
        assert all(phase.width % 32 == 0 and phase.height % 32 == 0 for phase in recipe.phases)
    assert all(phase.width % 64 == 0 and phase.height % 64 == 0 for phase in RECIPES["hourglass"].phases)
    maker = BatchMaker(load_source(tmp_path, train.parse_source(source)), 0)
    crops, joints = make_next(maker, phases, 3, 0.0)
    assert crops.shape == (6, 128, 96, 3)
    assert joints.shape == (6, 17, 3)
    assert make_next(maker, phases, 3, 0.99)[0].shape == (3, 256, 192, 3)


def test_the_terms_of_each_net():
    joints = torch.rand(2, 17, 3)
    maps, points = torch.rand(2, 17, 16, 12), torch.rand(2, 17, 2)
    assert list(terms_of(maps, joints, 0.75)) == ["heatmap"]
    assert list(terms_of((maps, maps), joints, 0.75)) == ["stack 1", "stack 2"]
    assert list(terms_of(Cascade(points, points, torch.rand(2, 17)), joints, 0.75)) == ["first", "second", "score"]


def test_a_wrong_folder_ends_with_a_sentence(source, tmp_path):
    labels = source.split(":")[0]
    with pytest.raises(SystemExit, match="could be read"):
        run(f"{labels}:{tmp_path}", tmp_path / "out", "heatmap", 0.001)
