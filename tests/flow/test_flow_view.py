"""The Flow view: every look, words, charts, downloads."""

import io
import json

import numpy as np
import pytest

from cvdemo.core.media import read_picture
from cvdemo.flow import flow_view as view
from cvdemo.flow.files import read_flow
from cvdemo.flow.flow_view import KINDS, LOOKS, FlowViewSettings
from cvdemo.flow.predict import FlowInference
from cvdemo.flow.raw import RawFlow
from cvdemo.flow.tab_shared import Look


@pytest.fixture(scope="module")
def refined(pair):
    """Three refinements of an iterative method, each half as far from (4, 2)."""
    steps = np.stack([np.tile(np.float32([4, 2]) * (1 - 0.5**k), (96, 128, 1)) for k in (1, 2, 3)])
    raw = RawFlow(steps, 96, 128, "dis-medium")
    return Look(pair, FlowInference(raw, None, {"network": 5.0}, "cpu", "float32", "dis-medium"))


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize("projector", [False, True])
def test_every_look_is_drawn(look, truth, name, projector):
    made = view.render(look, FlowViewSettings(view=name), truth, projector=projector)
    assert made.pixels.dtype == np.uint8
    assert made.pixels.ndim == 3
    assert (made.other is not None) == (name in ("frames", "warped"))
    assert "EPE 0." in made.sentence
    assert " ms" in made.timing


def test_the_warped_frame_is_the_first_one_again(look):
    made = view.render(look, FlowViewSettings(view="warped"))
    inner = np.abs(made.pixels.astype(int) - made.other)[12:-12, 12:-12]
    plain = np.abs(look.pair.first.astype(int) - look.pair.second)[12:-12, 12:-12]
    assert inner.mean() < 0.25 * plain.mean()
    assert "Warp error" in made.sentence


def test_the_scrubber_walks_through_what_is_kept(refined, truth):
    for number, speed in ((1, 0.5), (2, 0.75), (3, 0.875), (0, 0.875)):
        made = view.render(refined, FlowViewSettings(iteration=number), truth)
        assert made.field.flow[0, 0] == pytest.approx(np.array([4, 2]) * speed)
    rows = view.refinements_of(refined, truth)
    assert [row[0] for row in rows] == [1, 2, 3]
    assert [row[2] for row in rows] == pytest.approx([np.hypot(4, 2) * part for part in (0.5, 0.25, 0.125)])
    assert "Refinement 2 of 3" in view.refinements_html(rows, 2)
    assert "endpoint error" in view.refinements_html(rows, 2)
    assert "mean change" in view.refinements_html(view.refinements_of(refined, None), 1)
    assert "one step" in view.refinements_html([], 1)


def test_the_maximum_can_be_fixed(look):
    assert view.render(look, FlowViewSettings(maximum=40)).maximum == 40
    automatic = view.render(look, FlowViewSettings()).maximum
    assert automatic in (5.0, 7.0)
    a, b = (view.render(look, FlowViewSettings(maximum=m)).pixels for m in (5, 50))
    assert (a != b).any()


def test_charts_name_what_they_show(look):
    flow = view.render(look, FlowViewSettings()).field.flow
    text = view.charts_html(flow, 7.0)
    assert text.count("<svg") == 2
    assert "Histogram of directions" in text
    assert "nan" not in text


def test_numbers_escape_and_state_the_truth(look, truth):
    made = view.render(look, FlowViewSettings(), truth)
    text = view.numbers_html(look, made, type(truth)(truth.flow, "<b>.flo"))
    assert "&lt;b&gt;.flo" in text
    assert "Endpoint error" in text
    assert "Endpoint error" not in view.numbers_html(look, made, None)


@pytest.mark.parametrize("kind", KINDS)
def test_downloads(look, truth, kind, tmp_path):
    settings = FlowViewSettings()
    name, content = view.export(look, settings, kind, truth)
    path = tmp_path / name
    path.write_bytes(content)
    flow = view.render(look, settings).field.flow
    if kind in ("flo", "kitti", "npy"):
        found, valid = read_flow(path)
        assert valid.all()
        assert found == pytest.approx(flow, abs=1 / 64 if kind == "kitti" else 1e-6)
    elif kind == "png":
        assert read_picture(path).width >= 128
    elif kind == "json":
        document = json.loads(content)
        assert document["epe"] == pytest.approx(0.1, abs=0.4)
        assert document["full_colour_px"] > 0
    else:
        assert content.decode().splitlines()[0] == "histogram,from,to,share"


def test_flow_files_have_the_size_of_the_pictures(look, tmp_path):
    from dataclasses import replace

    large = Look(replace(look.pair, original=(192, 256)), look.inference)
    content = view.export(large, FlowViewSettings(), "npy")[1]
    found = np.load(io.BytesIO(content))
    assert found.shape == (192, 256, 2)
    assert np.median(found.reshape(-1, 2), axis=0) == pytest.approx([8, 4], abs=0.4)


def test_an_unknown_download_is_a_mistake(look):
    with pytest.raises(KeyError):
        view.export(look, FlowViewSettings(), "exe")
