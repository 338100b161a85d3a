"""The live benchmark on the real page; how long things take is for the benchmark to say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.conftest import chromium_or_skip
from tests.browser.driving import skip_without

pytestmark = pytest.mark.browser


def test_the_benchmark_reads_the_clock_off_the_page(repository: Path) -> None:
    chromium_or_skip()
    skip_without(repository, "compact_detector", "compact_action")
    command = [sys.executable, "-m", "cvdemo.bench", "live", "--seconds", "4", "--json"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=400)
    assert done.returncode in (0, 1), done.stderr
    (figures,) = json.loads(done.stdout)
    assert figures["pictures_a_second"] > 0
    assert figures["result_lag_s"] > -0.2, "the result cannot be ahead of the camera"
    assert figures["clip_lag_s"] > figures["result_lag_s"] - 0.2, "a clip's answer is no newer than the frame shown"
