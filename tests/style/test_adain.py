"""Adaptive instance normalisation against numpy, its blends, and the split for the slider."""

import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.style import adain, predict
from cvdemo.style.raw import Encoded, agree_features, agree_pictures
from cvdemo.style.raw import adain as normalised
from cvdemo.style.settings import StyleSettings


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def encoded(rng, spread=1.0, height=6):
    """Two layers, the deeper one with five channels of half the size."""
    features = tuple((rng.random(shape) * spread).astype(np.float32) for shape in ((3, 2 * height, 14), (5, height, 7)))
    return Encoded(
        features, tuple(value.mean((1, 2)) for value in features), tuple(value.std((1, 2)) for value in features)
    )


def deepest(seen):
    """Features, mean and deviation of the deeper layer."""
    return seen.features[-1], seen.mean[-1], seen.deviation[-1]


def test_the_result_has_the_styles_statistics(rng):
    (content, *_), (_, mean, deviation) = deepest(encoded(rng)), deepest(encoded(rng, 4.0, 9))
    found = normalised(content, mean, deviation)
    assert np.allclose(found.mean((1, 2)), mean, atol=1e-4)
    assert np.allclose(found.std((1, 2)), deviation, atol=1e-3)
    for channel in range(5):  # and is the content, filter by filter
        one, other = content[channel].ravel(), found[channel].ravel()
        assert np.corrcoef(one, other)[0, 1] == pytest.approx(1, abs=1e-5)


def test_against_the_papers_equation(rng):
    (content, own_mean, own_deviation), (_, mean, deviation) = deepest(encoded(rng)), deepest(encoded(rng, 3.0))
    x = content.astype(np.float64)
    expected = np.stack([deviation[c] * (x[c] - x[c].mean()) / np.sqrt(x[c].var() + 1e-5) + mean[c] for c in range(5)])
    assert np.allclose(normalised(content, mean, deviation), expected, atol=1e-4)
    assert np.allclose(normalised(content, mean, deviation, own=(own_mean, own_deviation)), expected, atol=1e-4)
    half = normalised(content, mean, deviation, 0.5)
    assert np.allclose(half, 0.5 * x + 0.5 * expected, atol=1e-4)
    assert np.allclose(normalised(content, mean, deviation, 0.0), x, atol=1e-6)


def test_blended_statistics_give_the_blend_of_the_results(rng):
    content, styles = encoded(rng), [encoded(rng, spread) for spread in (1, 2, 5)]
    weights = [1, 2, 5]
    found = adain.mix(content, styles, weights, 1.0)
    assert [value.shape for value in found] == [(3, 12, 14), (5, 6, 7)]
    for layer, value in enumerate(found):
        each = [normalised(content.features[layer], style.mean[layer], style.deviation[layer]) for style in styles]
        assert np.allclose(value, sum(w / 8 * one for w, one in zip(weights, each)), atol=1e-4)


@pytest.mark.parametrize("weights", [[0, 0], [1], [-1, 2]])
def test_unusable_blends(rng, weights):
    with pytest.raises(InputError, match="blended"):
        adain.mix(encoded(rng), [encoded(rng), encoded(rng)], weights, 1.0)


def test_a_flat_filter_stays_finite(rng):
    flat = np.zeros((5, 4, 4), np.float32)
    _, mean, deviation = deepest(encoded(rng))
    assert np.allclose(normalised(flat, mean, deviation), mean[:, None, None])


def test_the_slider_runs_the_decoder_only(engine, content, style):
    settings = StyleSettings(size=64)
    inference = predict.infer(content, [style, style[::-1]], predict.ADAIN, settings, engine, names=("a", "b"))
    assert set(inference.stages) >= {"encoder"}
    result = predict.decode(inference, settings, [3, 1], engine)
    assert "encoder" not in result.stages
    assert "decoder" in result.stages
    assert result.pixels.shape == inference.content.shape == (56, 64, 3)
    assert result.styles == (("a", 0.75), ("b", 0.25))
    assert "75 %" in result.sentence()
    other = predict.decode(inference, StyleSettings(size=64, strength=0.2), [3, 1], engine)
    assert (other.pixels != result.pixels).any()


def test_strength_zero_forgets_the_style(engine, content, style):
    settings = StyleSettings(size=64, strength=0.0)
    pictures = [
        predict.decode(predict.infer(content, [one], predict.ADAIN, settings, engine), settings, None, engine).pixels
        for one in (style, style[:, ::-1] // 2)
    ]
    assert (pictures[0] == pictures[1]).all()


@pytest.mark.parametrize("count", [0, 5])
def test_one_to_four_styles(engine, content, style, count):
    with pytest.raises(InputError, match="one to 4"):
        predict.infer(content, [style] * count, predict.ADAIN, StyleSettings(size=64), engine)


def test_an_encoder_does_not_stylise(engine, content, style):
    with pytest.raises(InputError, match="one pass"):
        predict.infer(content, [style], predict.COMPACT_ENCODER, StyleSettings(size=64), engine)


def test_feed_forward_and_its_strength(engine, content):
    settings = StyleSettings(size=65)
    inference = predict.infer(content, [], predict.fast_name("waves"), settings, engine)
    assert inference.stylised.shape == inference.content.shape == (54, 65, 3)  # not multiples of 4
    whole = predict.decode(inference, settings)
    assert (whole.pixels == inference.stylised).all()
    assert whole.styles == (("waves", 1.0),)
    none = predict.decode(inference, StyleSettings(size=65, strength=0.0))
    assert (none.pixels == inference.content).all()
    half = predict.decode(inference, StyleSettings(size=65, strength=0.5)).pixels.astype(int)
    assert np.abs(2 * half - whole.pixels.astype(int) - none.pixels).max() <= 1
    with pytest.raises(InputError, match="luminance"):
        predict.infer(content, [], "fast-waves", StyleSettings(preserve_colour="covariance"), engine)


def test_draw_keeps_the_contents_colours(engine, content, style):
    settings = StyleSettings(size=64, preserve_colour="luminance")
    inference = predict.infer(content, [style], predict.ADAIN, settings, engine)
    result = predict.decode(inference, settings, None, engine)
    shown = predict.draw(inference, result, settings)
    assert shown.shape == result.pixels.shape
    assert (shown != result.pixels).any()
    assert (predict.draw(inference, result, StyleSettings()) == result.pixels).all()


def test_results_are_data(engine, content, style):
    result = predict.optimise(content, [style], StyleSettings(size=64, steps=2), engine=engine)
    facts = result.to_dict("a.png")
    assert facts["image"] == {"name": "a.png", "width": 64, "height": 53}
    assert facts["steps"] == 2
    assert set(facts["losses"]) == {"content", "style", "variation"}
    assert "2 steps" in result.sentence()


def test_agreement_of_precisions(rng):
    features = {"relu1_1": rng.random((3, 4, 4))}
    assert agree_features(features, {"relu1_1": features["relu1_1"] * 1.01})
    assert not agree_features(features, {"relu1_1": features["relu1_1"] * 1.1})
    picture = rng.integers(0, 200, (5, 5, 3), np.uint8)
    assert agree_pictures(picture, picture + np.uint8(2))
    assert not agree_pictures(picture, picture + np.uint8(9))
    assert not agree_pictures(picture, picture[:4])
