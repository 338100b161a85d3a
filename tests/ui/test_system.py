"""The status pill and the system panel, from statistics made by hand and from a real engine."""

import dataclasses
import re

import pytest

from cvdemo.core.engine import Engine
from cvdemo.core.statistics import EngineStatistics, ModelStatistics, RunRecord
from cvdemo.ui import system

MODEL = ModelStatistics(
    name="compact-detector", megabytes=9.2, age=4000, idle=75, runs=12, mean_ms=31.26, precision="bf16 channels_last",
    in_use=False, stages={"network": 30.0}, notes={},
)  # fmt: skip
BUSY = EngineStatistics(
    device="cuda:0", device_title="A <card>", budget=2_000_000_000, used=123_400_000, waiting=0, loads=3, hits=40,
    evictions=1, failures=2, queue_waits=5, wait_ms=900.0, wait_ms_longest=1234.5, models=(MODEL,),
    last_runs=tuple(RunRecord(0.0, f"model-{i}", "fp32", {"network": 10.0 + i, "decode": 1.0}) for i in range(9)),
)  # fmt: skip


def text_of(html: str) -> str:
    return re.sub(r"<[^>]+>", "|", html)


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ((), "● cuda:0 · no model loaded · 123 MB"),
        ((MODEL,), "● cuda:0 bf16 · 1 model · 123 MB"),
        ((MODEL, dataclasses.replace(MODEL, precision="fp32")), "● cuda:0 fp32 · 2 models · 123 MB"),
    ],
)
def test_the_pill(models, expected):
    assert system.pill(dataclasses.replace(BUSY, models=models)) == expected


def test_the_panel_tells_all():
    html = system.panel(BUSY)
    text = text_of(html)
    for words in (
        "cuda:0 (A &lt;card&gt;)", "123.4 of 2,000 MB", "3, 40, 1", "Failed runs||2", "5, longest 1,234 ms",
        "compact-detector", "9.2 MB", "loaded 67 min ago, used 75 s ago", "12 runs, 31.3 ms on average",
        "bf16 channels_last", "model-0", "network 10.0, decode 1.0",
    ):  # fmt: skip
        assert words in text, words
    assert "model-5" in text
    assert "model-6" not in text, "only the last few runs"
    assert html.count("<table>") == html.count("</table>") == 3


def test_a_model_that_has_not_run_yet_and_an_old_one():
    waiting = dataclasses.replace(MODEL, runs=0, age=10_000)
    text = text_of(system.panel(dataclasses.replace(BUSY, models=(waiting,))))
    assert "not run yet" in text
    assert "loaded 2.8 h ago" in text


def test_a_fresh_engine():
    pill, panel = system.snapshot(Engine(device="cpu", tune=False))
    assert pill == "● cpu · no model loaded · 0 MB"
    assert text_of(panel).count("None yet.") == 2


def test_versions():
    found = dict(system.versions())
    assert list(found)[:2] == ["cvdemo", "Python"]
    assert {"gradio", "torch", "torchvision", "numpy"} <= set(found)
    assert all(re.match(r"\d", version) for version in found.values())
