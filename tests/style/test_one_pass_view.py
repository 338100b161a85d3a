"""The One pass view: the networks run once, sliders run a decoder or none, frames and words."""

import numpy as np
import pytest

from cvdemo.core.engine import set_default_engine
from cvdemo.core.media import Picture
from cvdemo.style import one_pass_view as view
from cvdemo.style.one_pass_view import NETWORKS, OnePassSettings
from cvdemo.style.predict import StyleSettings
from cvdemo.style.tab_shared import Styles

SIZE = 64


@pytest.fixture
def picture(content):
    return Picture(content, "tower.jpg")


@pytest.fixture
def styles(style):
    return Styles((style, 255 - style), ("waves", "own style"), (1.0, 0.0), ("a", "b"))


@pytest.fixture
def counted(engine, monkeypatch):
    """How often networks were asked, by kind of question."""
    asked, run = [], engine.run

    def noted(model, what, **options):
        asked.append(type(what).__name__)
        return run(model, what, **options)

    monkeypatch.setattr(engine, "run", noted)
    set_default_engine(engine)
    yield asked
    set_default_engine(None)


def test_the_slider_asks_the_decoder_only(counted, picture, styles):
    settings = OnePassSettings(size=SIZE)
    seen = view.look(picture, styles, settings, "")
    assert counted == ["Encode"] * 3
    whole = view.render(seen, settings, (1.0, 0.0))
    other = view.render(seen, settings, (0.0, 1.0))
    none = view.render(seen, OnePassSettings(size=SIZE, strength=0.0), (1.0, 0.0))
    assert counted == ["Encode"] * 3 + ["Decode"] * 3
    assert (whole.pixels != other.pixels).any()
    assert (whole.pixels != none.pixels).any()
    assert whole.content.shape == whole.pixels.shape
    assert "decoder" in view.timing(seen, whole)
    assert "once for 3 pictures" in view.timing(seen, whole)
    assert view.sentence(whole, settings).endswith("style: waves")
    assert "strength 50%" in view.sentence(whole, OnePassSettings(strength=0.5))
    assert "Strength 0" in view.sentence(none, OnePassSettings(strength=0.0))
    assert whole.file_name() == "tower-waves.png"


def test_a_feed_forward_network_runs_once_and_no_slider_runs_it(counted, picture):
    settings = OnePassSettings(size=SIZE, network="mosaic")
    seen = view.look(picture, None, settings, "")
    assert len(counted) == 1
    none = view.render(seen, OnePassSettings(size=SIZE, network="mosaic", strength=0.0), None)
    view.render(seen, settings, None)
    assert len(counted) == 1
    assert (none.pixels == seen.inference.content).all()
    assert "no network" in view.timing(seen, none)
    assert "trained for its one style" in view.statistics_html(seen, settings, None)
    assert "mosaic" in view.numbers_html(seen, none).lower()


def test_what_adain_changes_is_drawn_of_every_channel(counted, picture, styles):
    settings = OnePassSettings(size=SIZE)
    seen = view.look(picture, styles, settings, "")
    text = view.statistics_html(seen, settings, (1.0, 1.0))
    assert text.count("<polyline") == 3
    assert f"all {len(seen.inference.encoded.mean[-1])}" in text


def test_what_the_networks_are_asked_for_decides_what_is_remembered(picture, styles):
    base = OnePassSettings()
    same = OnePassSettings(strength=0.2, smoothing=0.1, steady=False)
    assert view.key_of(picture, styles, base) == view.key_of(picture, styles, same)
    for other in (
        OnePassSettings(size=256), OnePassSettings(preserve_colour="luminance"), OnePassSettings(style_scale=2.0)
    ):  # fmt: skip
        assert view.key_of(picture, styles, base) != view.key_of(picture, styles, other)
    fast = OnePassSettings(network="waves")
    assert view.key_of(picture, None, fast) == view.key_of(
        picture, None, OnePassSettings(network="waves", style_scale=2.0)
    )


def test_captures_are_smoothed_unless_that_is_off(counted, picture, styles):
    smooth, plain = OnePassSettings(size=SIZE), OnePassSettings(size=SIZE, steady=False)
    assert plain.moving().smoothing == 0
    assert isinstance(smooth.moving(), StyleSettings)
    try:
        first = view.live("me", picture, styles, smooth)
        flickering = Styles(styles.pictures, styles.names, (0.0, 1.0), styles.key)
        second = view.live("me", picture, flickering, smooth)
        assert counted.count("Encode") == 4  # two styles once, and the two captures
        third = view.live("me", picture, flickering, plain)
        before, after = (np.abs(made.pixels.astype(int) - first.pixels).mean() for made in (second, third))
        assert before < after
        assert second.result.styles == (("waves", 0.0), ("own style", 1.0))
        fast = view.live("me", picture, None, OnePassSettings(size=SIZE, network="waves"))
        assert fast.result.styles == (("waves", 1.0),)
    finally:
        view.forget("me")


def test_every_network_is_registered(random_models):
    from cvdemo.core import registry

    assert [registry.get(name).extras["kind"] for name in NETWORKS.values()] == ["adain", "fast", "fast", "fast"]
