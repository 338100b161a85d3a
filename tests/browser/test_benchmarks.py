"""The benchmarks that look at the real page; how long things take is for them to say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import chromium_or_skip
from tests.browser.driving import skip_without

pytestmark = pytest.mark.browser


def run_benchmark(repository: Path, *arguments: str) -> Any:
    """What it prints as JSON; an exit code of 1 only says that a bar is missed."""
    chromium_or_skip()
    command = [sys.executable, "-m", "cvdemo.bench", *arguments, "--json"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=400)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def test_the_benchmark_reads_the_clock_off_the_page(repository: Path) -> None:
    skip_without(repository, "compact_detector", "compact_action")
    (figures,) = run_benchmark(repository, "live", "--seconds", "4")
    assert figures["pictures_a_second"] > 0
    assert figures["result_lag_s"] > -0.2, "the result cannot be ahead of the camera"
    assert figures["clip_lag_s"] > figures["result_lag_s"] - 0.2, "a clip's answer is no newer than the frame shown"


def test_the_first_picture_is_waited_for_and_what_came_is_counted(repository: Path) -> None:
    skip_without(repository, "compact_classifier")
    found = run_benchmark(repository, "page", "--task", "classification", "--rounds", "1")
    figures = found["classification"]
    assert figures["seconds"] == [figures["seconds_median"]]
    assert figures["seconds_median"] > 0.2
    page = sum(file.stat().st_size for file in (repository / "cvdemo" / "ui" / "static").iterdir())
    assert figures["megabytes"] * 1e6 > page / 10, "Gradio's scripts and the picture are more than our own page"
