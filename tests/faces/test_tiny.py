"""Digits the program draws, the tiny embedding that learns them, and its drawing; Adam against torch's own."""

import re
import threading

import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import KNeighborsClassifier

from cvdemo.core.errors import Cancelled
from cvdemo.faces import tiny_view
from cvdemo.faces.digits import CLASSES, SIDE, VIEWS, draw_digits
from cvdemo.faces.losses_room import LossRoom
from cvdemo.faces.tiny import (
    Adam,
    Snapshot,
    TinyRun,
    TinySettings,
    balanced_contrastive,
    neighbour_accuracy,
)


def test_digits_repeat_and_can_be_told_apart():
    digits = draw_digits(6, seed=5)
    assert digits.images.shape == (60, VIEWS, SIDE, SIDE)
    assert digits.images.dtype == np.float32
    assert 0 <= digits.images.min() < digits.images.max() <= 1
    assert np.array_equal(digits.images, draw_digits(6, seed=5).images)
    assert np.bincount(digits.labels).tolist() == [6] * CLASSES
    assert not np.array_equal(digits.images[0, 0], digits.images[0, 1])
    rows = digits.images.reshape(60 * VIEWS, -1)
    labels = np.repeat(digits.labels, VIEWS)
    held_back = np.arange(len(rows)) % VIEWS == 0
    known = KNeighborsClassifier(1).fit(rows[~held_back], labels[~held_back])
    assert known.score(rows[held_back], labels[held_back]) > 0.6


def test_adam_against_torch():
    torch.manual_seed(0)
    start = [torch.randn(4, 3), torch.randn(3)]
    mine, theirs = ([weight.clone().requires_grad_() for weight in start] for _ in range(2))
    own, reference = Adam(mine, 0.01), torch.optim.Adam(theirs, lr=0.01)
    for _ in range(20):
        own.step(torch.autograd.grad(((mine[0] @ mine[1]) ** 2).sum(), mine))
        reference.zero_grad()
        ((theirs[0] @ theirs[1]) ** 2).sum().backward()
        reference.step()
    for one, other in zip(mine, theirs):
        assert torch.allclose(one, other, atol=1e-6)
    before = mine[0].clone()
    own.step([None, None])
    assert torch.equal(mine[0], before)


def test_contrastive_over_pairs_by_hand():
    places = np.random.default_rng(0).normal(0, 1, (8, 2))
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    distances = pairwise_distances(places)
    same, other = [], []
    for i in range(8):
        for j in range(i + 1, 8):
            if labels[i] == labels[j]:
                same.append(distances[i, j] ** 2)
            else:
                other.append(max(0, 1.2 - distances[i, j]) ** 2)
    found = balanced_contrastive(torch.from_numpy(places), torch.from_numpy(labels), 1.2)
    assert float(found) == pytest.approx(np.mean(same) + np.mean(other))


def test_neighbour_accuracy_against_scikit_learn():
    rng = np.random.default_rng(1)
    places, labels = rng.normal(0, 1, (50, 2)), rng.integers(0, 4, 50)
    nearest = KNeighborsClassifier(2).fit(places, labels).kneighbors(places, return_distance=False)[:, 1]
    assert neighbour_accuracy(places, labels) == pytest.approx((labels[nearest] == labels).mean())


@pytest.mark.parametrize("loss", ["contrastive", "triplet", "nt-xent", "angular"])
def test_a_few_steps_learn_and_repeat(loss):
    chosen = TinySettings(tiny_loss=loss, tiny_margin=0.2 if loss == "angular" else 1.0)
    runs = [TinyRun(loss, seed=3) for _ in range(2)]
    for run in runs:
        for _ in range(5):
            run.step(chosen)
    assert runs[0].snapshot().losses == runs[1].snapshot().losses
    for _ in range(25):
        runs[0].step(chosen)
    first = runs[0].snapshot()
    assert np.mean(first.losses[-5:]) < np.mean(first.losses[:5])
    assert max(first.accuracies) > 1.2 / CLASSES
    assert (first.steps, len(first.accuracies)) == (30, 4)
    assert first.places.shape == (200, 2)
    if loss in ("nt-xent", "angular"):
        assert np.allclose(np.linalg.norm(first.places, axis=1), 1, atol=1e-5)


def test_hardest_negatives_from_random_weights_collapse():
    """With squared distances, always the hardest negative draws everything into one point: the loss stays at m."""
    run, chosen = TinyRun("triplet"), TinySettings(tiny_mining="hard")
    for _ in range(40):
        run.step(chosen)
    snapshot = run.snapshot()
    assert snapshot.losses[-1] == pytest.approx(1.0, abs=0.05)
    assert "collapsed" in tiny_view.details(snapshot, 1.0)


def test_the_room_trains_until_told_to_stop_and_starts_anew_for_another_loss():
    room, cancel = LossRoom(), threading.Event()
    first = room.run(TinySettings())
    told = []
    room.train(3, lambda share, words: told.append(share))
    assert first.snapshot().steps == 3
    assert told[-1] == 1.0
    cancel.set()
    with pytest.raises(Cancelled):
        room.train(3, cancel=cancel)
    assert room.run(TinySettings(tiny_margin=0.3)) is first
    other = room.run(TinySettings(tiny_loss="contrastive"))
    assert other is not first
    again = room.run(TinySettings(tiny_loss="contrastive"), fresh=True)
    assert again is not other
    assert not np.array_equal(again.snapshot().places, other.snapshot().places)


def test_the_map_holds_every_digit_inside_its_frame():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 2)
    snapshot = Snapshot(rng.normal(0, 40, (20, 2)), labels, (1.0, 0.5), (0.1,), None, "triplet")
    svg = tiny_view.map_svg(snapshot)
    assert re.findall(r">(\d)</text>", svg)[:20] == [str(label) for label in labels]
    scale = tiny_view.scale_of(snapshot.places, False)
    assert np.ptp(snapshot.places, axis=0).max() / 2 * scale <= tiny_view.HEIGHT / 2
    round_ = Snapshot(rng.normal(0, 1, (20, 2)), labels, (), (0.1,), None, "angular")
    assert "<circle" in tiny_view.map_svg(round_)
    assert "random weights" in tiny_view.curves_html(round_)
    assert "chance" in tiny_view.curves_html(snapshot)
    assert "data set" in tiny_view.sheet_html()


def test_long_curves_are_thinned_by_means():
    values = np.random.default_rng(0).random(1000)
    thin, every = tiny_view.thinned(values.tolist())
    assert every == 4
    assert np.allclose(thin, values.reshape(250, 4).mean(1))
    assert tiny_view.thinned([]) == ([], 1)
