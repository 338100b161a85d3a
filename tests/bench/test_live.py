"""The live benchmark: greys that tell the time, read back from notes that were made by arithmetic."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cvdemo.bench import live
from cvdemo.core.errors import CvDemoError

RATE = 24.0  # levels a second


def grey_at(seconds: np.ndarray) -> np.ndarray:
    """What the camera shows, with the noise of a compression."""
    noise = np.random.default_rng(1).normal(0, 0.7, len(seconds))
    return live.DARKEST + np.floor(seconds * RATE) % live.LEVELS + noise


def notes(lag: np.ndarray, clip_lag: float | None = None) -> np.ndarray:
    times = 100 + np.arange(len(lag)) * 0.05
    clip = np.full(len(lag), -1.0) if clip_lag is None else grey_at(times - clip_lag)
    return np.stack([times, grey_at(times), grey_at(times - lag), clip, np.arange(len(lag)) // 2], 1)


def test_the_film_counts_in_greys(tmp_path) -> None:
    live.film(tmp_path / "clock.mjpeg")
    frames = [b"\xff\xd8" + part for part in (tmp_path / "clock.mjpeg").read_bytes().split(b"\xff\xd8")[1:]]
    assert len(frames) == live.LEVELS
    for index in (0, 57, live.LEVELS - 1):
        pixels = np.asarray(Image.open(io.BytesIO(frames[index])))
        assert pixels.shape == (480, 640, 3)
        assert np.abs(pixels[446:470, 300:600].astype(int) - (live.DARKEST + index)).max() <= 3


def test_the_rate_survives_the_jump_to_dark_and_missing_notes() -> None:
    rows = notes(np.zeros(600))
    rows[40:50, 1] = -1
    assert live.levels_a_second(rows[:, 0], rows[:, 1]) == pytest.approx(RATE, rel=0.03)


@pytest.mark.parametrize("lag", [0.0, 0.4, 2.5, 6.0])
def test_a_constant_lag_is_found(lag: float) -> None:
    found = live.summary(notes(np.full(600, lag), clip_lag=lag / 2))
    assert found["result_lag_s"] == pytest.approx(lag, abs=0.1)
    assert found["clip_lag_s"] == pytest.approx(lag / 2, abs=0.1)
    assert found["result_growth_s"] == pytest.approx(0, abs=0.1)
    assert found["pictures_a_second"] == pytest.approx(10, rel=0.01)


def test_a_growing_lag_is_seen_as_such() -> None:
    found = live.summary(notes(np.linspace(0.2, 3.2, 1200)))
    assert found["result_growth_s"] == pytest.approx(2.0, abs=0.15)
    assert "clip_lag_s" not in found


def test_options_and_exit_codes(monkeypatch, capsys) -> None:
    answers = {"pictures_a_second": 12.0, "result_lag_s": 0.2, "result_lag_p95_s": 0.3, "result_growth_s": 0.0}
    monkeypatch.setattr(live, "measure", lambda task, seconds, visitors: [answers] * visitors)
    assert live.main(["--visitors", "2"]) == 0
    assert capsys.readouterr().out.count("12.0 pictures a second") == 2
    answers["result_growth_s"] = 0.9
    assert live.main([]) == 1, "a lag that grows is an exit code"
    answers |= {"result_growth_s": 0.0, "pictures_a_second": 4.0}
    assert live.main([]) == 1, "too few pictures are one"
    assert live.main(["--visitors", "2"]) == 0, "but not where two share the machine"
    with pytest.raises(CvDemoError, match="three seconds"):
        live.main(["--seconds", "1"])
