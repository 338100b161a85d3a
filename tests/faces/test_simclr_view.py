"""NT-Xent as the SimCLR view shows it, against a plain loop; the tables that show it."""

import math

import numpy as np
import pytest

from cvdemo.faces.augment import AugmentSettings, views
from cvdemo.faces.simclr_view import (
    AUGMENTATIONS,
    SimclrSettings,
    ViewBatch,
    agreement,
    augmentation_of,
    interleaved,
    matrix_html,
    views_html,
)


def batch_of(count=3, seed=0):
    rng = np.random.default_rng(seed)
    pictures = [rng.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(count)]
    made, draws = views(pictures, seed, size=32)
    features = rng.normal(0, 1, (2 * count, 8))
    names = tuple(f"<{number}>" for number in range(count))
    return ViewBatch(names, tuple(pictures), made, tuple(draws), features)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0])
def test_against_a_loop(temperature):
    batch = batch_of()
    found = agreement(batch.features, temperature)
    unit = batch.features / np.linalg.norm(batch.features, axis=1, keepdims=True)
    hits = 0
    for row in range(6):
        partner = (row + 3) % 6
        others = [other for other in range(6) if other != row]
        weights = {other: math.exp(unit[row] @ unit[other] / temperature) for other in others}
        share = weights[partner] / sum(weights.values())
        assert found.shares[row, partner] == pytest.approx(share)
        assert found.losses[row] == pytest.approx(-math.log(share))
        assert found.similarities[row, partner] == pytest.approx(unit[row] @ unit[partner])
        hits += max(weights, key=weights.get) == partner
    assert found.found == hits
    assert np.diag(found.shares).tolist() == [0.0] * 6
    assert found.loss == pytest.approx(found.losses.mean())


def test_views_that_agree_and_views_that_say_nothing():
    basis = np.eye(4)
    same = agreement(np.concatenate([basis, basis]), 0.1)
    assert same.found == 8
    assert same.loss < 0.01
    alike = agreement(np.ones((8, 4)), 0.1)
    assert alike.loss == pytest.approx(math.log(7))
    assert f"guessing gives {math.log(7):.2f}" in alike.sentence()
    assert same.to_dict()["found"] == 8


def test_rows_of_a_picture_follow_each_other():
    assert interleaved(3) == [0, 3, 1, 4, 2, 5]


def test_settings_hand_the_augmentations_on():
    chosen = SimclrSettings(temperature=0.3, sobel=0.5, smallest_crop=1.0)
    own = augmentation_of(chosen)
    assert type(own) is AugmentSettings
    assert (own.sobel, own.smallest_crop) == (0.5, 1.0)
    assert "temperature" not in AUGMENTATIONS


def test_tables_frame_partners_and_escape_names():
    batch = batch_of()
    found = agreement(batch.features, 0.2)
    table = matrix_html(batch, found)
    assert table.count('class="partner"') == 6
    assert table.count('class="self"') == 6
    assert table.count('class="loss"') == 6
    shown = views_html(batch, batch.originals)
    assert shown.count("<figure>") == 9
    assert "<0>" not in shown
    assert "Crop" in shown
