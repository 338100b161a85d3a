"""infer and decode: what is handed over, what settings change, and that decoding runs no network."""

import numpy as np
import pytest

from cvdemo.action import predict
from cvdemo.action.clips import Clip
from cvdemo.action.predict import ActionSettings, decode, infer, smooth
from cvdemo.action.raw import ClipFacts, RawScores, agree
from cvdemo.core.engine import default_engine
from cvdemo.core.errors import CvDemoError
from tests.action.helpers import CATEGORIES, STAND_IN, coloured


def raw(logits, note=""):
    return RawScores(np.array(logits, np.float32), CATEGORIES, "m", ClipFacts(4, 0.0, 0.75, 24, 32, "clip.mp4", note))


def clip_of(colour, count=4):
    return Clip(coloured(colour, count), np.arange(count) / 4, "clip.mp4")


def test_a_clip_goes_through_the_engine(stand_in):
    inference = infer(clip_of((10, 240, 10)), STAND_IN)
    actions = decode(inference, ActionSettings())
    assert actions.top[0][:2] == (1, "green")
    assert inference.model == STAND_IN
    assert {"wait", "load"} <= set(inference.stages)
    assert actions.clip.frames == 4
    assert actions.clip.source == "clip.mp4"


def test_clips_of_another_length_are_sampled_again(stand_in):
    long = Clip(coloured((240, 0, 0), 30), np.arange(30) / 10)
    assert infer(long, STAND_IN).raw.clip.frames == 4
    assert infer(coloured((240, 0, 0), 1)[0], STAND_IN).raw.clip.frames == 4


def test_unknown_models_are_refused(stand_in):
    with pytest.raises(CvDemoError, match="does not recognise actions"):
        infer(clip_of((0, 0, 0)), "compact-classifier")
    with pytest.raises(CvDemoError, match="no model named"):
        predict.clip_spec("nonsense")


def test_decoding_runs_no_network(stand_in):
    inference = infer(clip_of((10, 240, 10)), STAND_IN)
    before = [model.runs for model in default_engine().statistics().models]
    for temperature in (0.1, 1.0, 10.0):
        decode(inference, ActionSettings(temperature=temperature, top_k=2))
    assert [model.runs for model in default_engine().statistics().models] == before


def test_temperature_and_top_k():
    one = raw([3, 2, 1, 0, -1, -2])
    sharp, flat = (decode(one, ActionSettings(temperature=t)).probabilities for t in (0.5, 5.0))
    assert sharp[0] > flat[0]
    np.testing.assert_allclose([sharp.sum(), flat.sum()], 1)
    expected = np.exp(np.arange(3, -3, -1) / 0.5)
    np.testing.assert_allclose(sharp, expected / expected.sum())
    assert [name for _, name, _ in decode(one, ActionSettings(top_k=2)).top] == ["red", "green"]


def test_an_improbable_action_is_not_claimed():
    actions = decode(raw([0, 0, 0, 0, 0, 0.1]), ActionSettings(threshold=0.5))
    assert not actions.sure
    assert actions.sentence().startswith("Not sure; the best guess is other (")
    sure = decode(raw([9, 0, 0, 0, 0, 0], "a note"), ActionSettings(threshold=0.5))
    assert sure.sentence().startswith("red (")
    answer = sure.to_dict()
    assert answer["sure"] is True
    assert answer["clip"] == {
        "name": "clip.mp4", "start": 0.0, "end": 0.75, "frames": 4, "width": 32, "height": 24, "note": "a note",
    }  # fmt: skip
    assert answer["predictions"][0]["label"] == "red"
    assert answer["predictions"][0]["probability"] == pytest.approx(sure.top[0][2], abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_smoothing_against_a_loop(seed):
    rng = np.random.default_rng(seed)
    values, times = rng.random((12, 4)), np.cumsum(rng.uniform(0.01, 1, 12))
    expected = [values[0]]
    for row in range(1, 12):
        share = 1 - np.exp(-(times[row] - times[row - 1]) / 0.7)
        expected.append(expected[-1] + share * (values[row] - expected[-1]))
    np.testing.assert_allclose(smooth(values, times, 0.7), expected)


def test_smoothing_keeps_sums_steps_and_zero():
    step = np.repeat([[1.0, 0.0], [0.0, 1.0]], [1, 20], axis=0)
    times = np.arange(21) / 10
    smoothed = smooth(step, times, 1.0)
    np.testing.assert_allclose(smoothed.sum(axis=1), 1)
    assert smoothed[10, 1] == pytest.approx(1 - np.exp(-1))  # 63 % after the time constant
    np.testing.assert_array_equal(smooth(step, times, 0.0), step)
    # Twice as many samples of the same signal are smoothed alike: it goes by time, not by count.
    finer = smooth(np.repeat([[1.0, 0.0], [0.0, 1.0]], [1, 40], axis=0), np.arange(41) / 20, 1.0)
    np.testing.assert_allclose(finer[::2], smoothed)


def test_agreement_of_precisions():
    one = raw([3, 2, 1, 0, -1, -2])
    assert agree(one, raw([3.01, 2, 1, 0, -1, -2]))
    assert not agree(one, raw([2, 3, 1, 0, -1, -2]))
    assert not agree(one, raw([np.nan, 2, 1, 0, -1, -2]))


def test_scores_must_fit_the_categories():
    with pytest.raises(ValueError, match="logits"):
        RawScores(np.zeros(3, np.float32), CATEGORIES, "m", ClipFacts(1, 0, 0, 1, 1))


def test_settings_of_every_model(stand_in):
    from cvdemo.core import registry

    for spec in registry.models(task="action"):
        assert isinstance(predict.settings_for(spec.name), ActionSettings)
        assert predict.clip_spec(spec.name).frames >= 1
