"""Training data and the two recipes, for a few steps on tiny pictures."""

import json

import numpy as np
import pytest
import torch

from cvdemo.core import weights
from cvdemo.core.errors import InputError
from cvdemo.core.media import save_picture
from cvdemo.flow import train
from cvdemo.flow.training_data import BatchMaker, Phase, Source, load_photos, parse_source, phase_at, photo_files
from tests.flow.conftest import textured

PHASE = Phase(0.0, 128, 192, 12.0, 1, 2)


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    for number, size in enumerate([(300, 500), (500, 300), (100, 120), (288, 384)]):
        save_picture(folder / ("deeper" if number % 2 else ".") / f"{number}.png", textured(*size, seed=number))
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("not one either")
    return folder


def test_photographs_are_cut_to_one_size_and_kept(photographs, tmp_path):
    cache = tmp_path / "cache"
    pixels = load_photos([Source(photographs)], cache)
    assert pixels.shape == (4, 288, 384, 3)
    again = load_photos([Source(photographs)], cache)
    assert np.array_equal(pixels, again)
    assert len(list(cache.iterdir())) == 1
    first = photo_files(Source(photographs))[0]
    assert first.name == "0.png"
    # the cut is the middle of the scaled picture, in RGB: its mean colour is that of the original's middle
    assert np.abs(pixels[0].mean((0, 1)) - textured(300, 500, 0)[:, 50:450].mean((0, 1))).max() < 3


def test_sources_can_be_limited(photographs, tmp_path):
    assert parse_source("a/b#30").limit == 30
    assert len(photo_files(Source(photographs, 2))) == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no photographs"):
        photo_files(Source(tmp_path / "empty"))


def test_phases_follow_each_other():
    phases = (PHASE, Phase(0.5, 192, 256, 24.0, 1))
    assert [phase_at(phases, progress).height for progress in (0.0, 0.49, 0.5, 1.0)] == [128, 128, 192, 192]


def test_mirrored_batches_keep_their_truth():
    maker = BatchMaker(np.stack([textured(288, 384, seed) for seed in range(3)]), seed=1)
    batch = maker.batch(Phase(0.0, 96, 128, 8.0, 12))
    again = BatchMaker(maker.photos, seed=1).batch(Phase(0.0, 96, 128, 8.0, 12))
    assert np.array_equal(batch.first, again.first)
    assert len(batch) == 12
    from tests.flow.test_synthetic import lookup

    for first, second, flow, visible in zip(batch.first, batch.second, batch.flow, batch.visible):
        if np.hypot(*flow[visible].T).mean() < 1.5:
            continue
        right, still, wrong = (
            np.abs(lookup(second, candidate).astype(float) - first)[visible].mean()
            for candidate in (np.ascontiguousarray(flow), np.zeros_like(flow), -np.ascontiguousarray(flow))
        )
        assert right < still
        assert right < wrong


@pytest.mark.parametrize("net", ["flownet", "raft"])
def test_a_few_steps_train_and_go_on(net, photographs, tmp_path, monkeypatch):
    recipe = train.RECIPES[net]
    monkeypatch.setitem(train.RECIPES, net, train.Recipe(recipe.build, recipe.filename, (PHASE, PHASE), recipe.rate))
    out = tmp_path / "out"
    arguments = ["--net", net, "--photos", str(photographs), "--out", str(out), "--device", "cpu"]
    train.main([*arguments, "--minutes", "0.002"])
    state = weights.load_state(out / recipe.filename)
    weights.apply_state(recipe.build(), state, "trained")
    assert all(torch.isfinite(value.float()).all() for value in state.values())
    clock = torch.load(out / "checkpoint.pt", weights_only=True)["clock"]
    assert clock["step"] >= 1
    train.main([*arguments, "--minutes", str(clock["elapsed"] / 60 + 0.002)])
    assert torch.load(out / "checkpoint.pt", weights_only=True)["clock"]["step"] > clock["step"]
    train.main([*arguments[:-4], "--device", "cpu", "--out", str(tmp_path / "more"), "--minutes", "0.002", "--from",
                str(out / recipe.filename)])  # fmt: skip
    assert (tmp_path / "more" / recipe.filename).exists()


def test_the_loss_falls_on_one_batch():
    torch.manual_seed(0)
    maker = BatchMaker(np.stack([textured(288, 384, seed) for seed in range(2)]), seed=0)
    batch = maker.batch(Phase(0.0, 64, 128, 8.0, 2))
    network = train.RECIPES["flownet"].build()
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for _ in range(12):
        loss, figures = train.flownet_loss(network, batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    assert json.dumps(figures)


def test_raft_learns_what_to_match():
    torch.manual_seed(0)
    maker = BatchMaker(np.stack([textured(288, 384, seed) for seed in range(2)]), seed=0)
    batch = maker.batch(Phase(0.0, 128, 128, 8.0, 1, 2))
    network = train.RECIPES["raft"].build().train()
    optimiser = torch.optim.Adam(network.parameters(), 5e-4)
    matches = []
    for _ in range(6):
        loss, figures = train.raft_loss(network, batch, 0.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        matches.append(figures["match"])
    assert matches[-1] < 0.5 * matches[0]
    assert network.corr_block.corr_pyramid == []


def test_smaller_batches_on_request():
    phases = train.scaled(train.RECIPES["raft"].phases, 0.5)
    assert [phase.batch for phase in phases] == [3, 2, 2, 1]


def test_training_that_goes_on_begins_where_the_last_one_ended():
    phases = train.continued(train.RECIPES["raft"].phases)
    assert [phase.start for phase in phases] == [0.0, 0.5]
    assert [phase.height for phase in phases] == [256, 320]
    assert phases[1].motion > phases[0].motion == 48.0
