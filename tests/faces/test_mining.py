"""Mining of triplets on the page's batches against loops in plain Python, and how a batch is drawn."""

import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.faces import mining_view
from cvdemo.faces.losses_room import LossRoom, forget, room_of
from cvdemo.faces.mining import (
    MiningSettings,
    drawn_batch,
    gallery_batch,
    mine,
    mine_all,
    sentence,
)


def by_hand(vectors, labels, margin, rule):
    """Sorted (a, p, n) of the deterministic rules, by three loops."""
    found = []
    for a in range(len(labels)):
        for p in range(len(labels)):
            if p == a or labels[p] != labels[a]:
                continue
            near = ((vectors[a] - vectors[p]) ** 2).sum()
            others = [(((vectors[a] - vectors[n]) ** 2).sum(), n) for n in range(len(labels)) if labels[n] != labels[a]]
            if rule == "all":
                found += [(a, p, n) for _, n in others]
            elif rule == "hard":
                found.append((a, p, min(others)[1]))
            else:
                within = [(far, n) for far, n in others if near < far < near + margin]
                found += [(a, p, min(within)[1])] if within else []
    return sorted(found)


@pytest.mark.parametrize("draw", range(4))
@pytest.mark.parametrize("rule", ["all", "hard", "semi-hard"])
def test_rules_against_loops(draw, rule):
    batch = drawn_batch(MiningSettings(draw=draw, spread=0.6))
    mined = mine(batch, rule, 0.5)
    assert sorted(map(tuple, mined.triplets.tolist())) == by_hand(batch.vectors, batch.labels, 0.5, rule)


@pytest.mark.parametrize("draw", range(3))
def test_kinds_losses_and_what_is_active(draw):
    batch = drawn_batch(MiningSettings(draw=draw))
    for mined in mine_all(batch, 0.5, seed=draw).values():
        kinds = {"hard": 0, "semi-hard": 0, "easy": 0}
        active = 0
        for a, p, n in mined.triplets:
            near = ((batch.vectors[a] - batch.vectors[p]) ** 2).sum()
            far = ((batch.vectors[a] - batch.vectors[n]) ** 2).sum()
            kinds["hard" if far <= near else "semi-hard" if far < near + 0.5 else "easy"] += 1
            active += near + 0.5 > far
        assert {kind: mined.count(kind) for kind in kinds} == kinds
        assert mined.active == active == kinds["hard"] + kinds["semi-hard"]
        assert mined.to_dict()["triplets"] == len(mined.triplets)
    assert mine(batch, "semi-hard", 0.5).count("semi-hard") == len(mine(batch, "semi-hard", 0.5).triplets)


def test_tight_classes_leave_nothing_to_learn_but_hard_mining_still_picks():
    batch = drawn_batch(MiningSettings(spread=0.05))
    rules = mine_all(batch, 0.2)
    assert rules["all"].active == 0
    assert len(rules["hard"].triplets) == 3 * 4 * 3
    assert rules["hard"].mean == 0.0
    assert "no triplet" in sentence(rules["semi-hard"])
    assert "36 triplets, 0 of them active" in sentence(rules["hard"])


def test_batches_repeat_and_differ():
    same = [drawn_batch(MiningSettings(draw=3)).vectors for _ in range(2)]
    assert np.array_equal(*same)
    assert not np.array_equal(same[0], drawn_batch(MiningSettings(draw=4)).vectors)
    assert (np.abs(drawn_batch(MiningSettings(draw=5, spread=1.0)).vectors) <= [2.85, 1.85]).all()


def test_a_gallery_is_mined_in_its_own_space_and_drawn_flat():
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 1, (7, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    owners = ["Ann", "Ann", "Ann", "Bea", "Bea", "Cy", "Cy"]
    batch = gallery_batch(vectors, owners)
    assert sorted(map(tuple, mine(batch, "hard", 0.2).triplets.tolist())) == by_hand(
        vectors, np.array([0, 0, 0, 1, 1, 2, 2]), 0.2, "hard"
    )
    assert (np.abs(batch.places) <= [2.61, 1.61]).all()
    assert "16 dimensions" in batch.note.replace("\n", " ")
    for few in (["Ann", "Bea"], ["Ann", "Ann"], []):
        with pytest.raises(InputError, match="two people"):
            gallery_batch(vectors[: len(few)], few)


def test_the_drawing_shows_an_anchors_triplets_alone():
    batch = drawn_batch(MiningSettings())
    mined = mine(batch, "hard", 0.5)
    one = mining_view.picture(batch, mined, 0, 0.5, movable=True)
    everything = mining_view.picture(batch, mined, None, 0.5, movable=True)
    assert one.count("<line") - 2 == 3 + 1  # three positives, one nearest negative, without the axes
    assert everything.count("<line") > one.count("<line")
    assert "plus the margin" in one
    assert "plus the margin" not in everything
    assert one.count("data-point=") == 12
    assert mining_view.table(mine_all(batch, 0.5), "hard").count("aria-current") == 1


def test_names_are_escaped():
    owners = ["<b>", "<b>", "Ann"]
    batch = gallery_batch(np.eye(3), owners)
    shown = mining_view.picture(batch, mine(batch, "hard", 0.2), None, 0.2, movable=False) + mining_view.legend(batch)
    assert "<b>" not in shown


def test_a_visitors_points_stay_moved_until_another_batch():
    room, chosen = LossRoom(), MiningSettings()
    room.batch(chosen)
    room.move(2, np.array([1.0, 1.0]))
    room.move(99, np.zeros(2))
    assert room.batch(chosen).vectors[2].tolist() == [1.0, 1.0]
    assert room.batch(MiningSettings(draw=1)).vectors[2].tolist() != [1.0, 1.0]


def test_rooms_are_apart_and_forgotten():
    mine_, other = room_of("losses-a"), room_of("losses-b")
    assert mine_ is not other
    assert room_of("losses-a") is mine_
    assert room_of("") is not room_of("")
    forget("losses-a")
    assert room_of("losses-a") is not mine_
    forget("losses-a")
    forget("losses-b")
