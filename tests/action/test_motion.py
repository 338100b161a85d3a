"""The motion test: what is compared, and what is concluded from the scores."""

import numpy as np
import pytest

from cvdemo.action import motion
from cvdemo.action.clips import Clip
from cvdemo.action.motion import FASTER, FROZEN, HELD, ORIGINAL, REVERSED, SHUFFLED, MotionControls, MotionTest, Variant
from cvdemo.action.predict import ActionInference, ActionSettings
from cvdemo.action.raw import RawScores, facts_of

NAMES = ("run", "sit", "jump")


def clip(count=8, moving=True):
    values = np.arange(count) * 10 if moving else np.full(count, 50)
    frames = np.repeat(np.repeat(np.repeat(values[:, None, None, None], 6, 1), 8, 2), 3, 3).astype(np.uint8)
    return Clip(frames, np.arange(count) / 4.0, "clip")


def inference(given, logits):
    raw = RawScores(np.asarray(logits, np.float32), NAMES, "model", facts_of(given))
    return ActionInference(raw, {"network": 2.0}, "cpu", "float32", "model")


def scored(scores, given=None):
    given = given or clip()
    clips = motion.variants_of(given, MotionControls())
    variants = tuple(Variant(kind, each, inference(each, scores.get(kind, scores[ORIGINAL]))) for kind, each in clips)
    return MotionTest(variants, 2, 4.0)


def test_the_variants_keep_or_lose_what_they_say():
    given = clip()
    faster = Clip(given.frames[::-1], given.times, "fast")
    made = dict(motion.variants_of(given, MotionControls(factor=4), faster))
    assert list(made) == [ORIGINAL, SHUFFLED, FROZEN, REVERSED, HELD, FASTER]
    first = [each.frames[:, 0, 0, 0].tolist() for each in made.values()]
    assert first[0] == list(range(0, 80, 10))
    assert sorted(first[1]) == first[0]
    assert first[1] != first[0]
    assert len(set(first[2])) == 1
    assert first[3] == first[0][::-1]
    assert first[4] == [0, 0, 0, 0, 40, 40, 40, 40]
    assert made[FASTER] is faster
    assert FASTER not in dict(motion.variants_of(given, MotionControls()))


def test_changes_are_total_variation_distances():
    rng = np.random.default_rng(0)
    scores = {kind: rng.normal(0, 2, 3) for kind in (ORIGINAL, SHUFFLED, FROZEN, REVERSED, HELD)}
    test = scored(scores)
    for temperature in (0.5, 1.0, 4.0):
        rows = motion.rows_of(test, ActionSettings(temperature=temperature))
        powers = {kind: np.exp(np.asarray(value, np.float32) / temperature) for kind, value in scores.items()}
        shares = {kind: value / value.sum() for kind, value in powers.items()}
        best = int(np.argmax(scores[ORIGINAL]))
        for row in rows:
            assert row.change == pytest.approx(0.5 * np.abs(shares[row.kind] - shares[ORIGINAL]).sum(), abs=1e-5)
            assert row.original == pytest.approx(shares[row.kind][best], abs=1e-5)
            assert row.best == NAMES[int(np.argmax(scores[row.kind]))]
        assert rows[0].change == 0


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ({ORIGINAL: (3, 0, 0)}, "by appearance"),
        ({ORIGINAL: (3, 0, 0), FROZEN: (0, 3, 0)}, "not at their order"),
        ({ORIGINAL: (3, 0, 0), FROZEN: (0, 3, 0), SHUFFLED: (0, 3, 0)}, "its direction does not"),
        ({ORIGINAL: (3, 0, 0), FROZEN: (0, 3, 0), SHUFFLED: (0, 3, 0), REVERSED: (0, 0, 3)}, "order of the frames"),
        ({ORIGINAL: (3, 0, 0), REVERSED: (0, 0, 3)}, "order of the frames"),
    ],
)
def test_the_verdict_follows_from_the_changes(scores, says):
    test = scored(scores)
    assert says in motion.verdict(test, motion.rows_of(test, ActionSettings()))


def test_of_a_picture_nothing_is_concluded():
    test = scored({ORIGINAL: (3, 0, 0), FROZEN: (0, 3, 0)}, clip(moving=False))
    assert test.still
    assert "Nothing moves" in motion.verdict(test, motion.rows_of(test, ActionSettings()))
    assert not scored({ORIGINAL: (3, 0, 0)}).still


def test_the_network_runs_once_per_variant_and_known_ones_are_spared(monkeypatch):
    ran, told = [], []

    def fake(given, model, engine, **watch):
        ran.append(given)
        return inference(given, (1, 2, 3))

    monkeypatch.setattr(motion, "infer", fake)
    clips = motion.variants_of(clip(), MotionControls())
    known = {ORIGINAL: inference(clip(), (3, 2, 1))}
    test = motion.run_test(
        clips, "model", MotionControls(factor=3), 4.0, known=lambda kind, _: known.get(kind),
        progress=lambda share, text: told.append((share, text)),
    )  # fmt: skip
    assert len(ran) == 4
    assert test.variants[0].inference is known[ORIGINAL]
    assert test.factor == 3
    assert told[0] == (0.0, "As it is")
    assert len(told) == 5


def test_the_table_names_everything_and_escapes():
    test = scored({ORIGINAL: (3, 0, 0), FROZEN: (0, 3, 0)})
    rows = motion.rows_of(test, ActionSettings())
    text = motion.table_html(test, rows)
    assert text.count("<tr data-kind=") == 5
    assert "every 2nd frame, held until the next" in text
    assert text.count('class="bar change"') == 4
    strips = motion.strips_html(test)
    assert strips.count("<ol") == 5
    assert strips.count("<img") == 40
