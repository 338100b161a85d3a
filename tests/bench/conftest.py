"""What the tests of several benchmarks share."""

import pytest


@pytest.fixture
def no_weights(tmp_path, monkeypatch):
    """No weights file is found, and none is fetched: networks are measured with arbitrary ones."""
    monkeypatch.setenv("CVDEMO_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("CVDEMO_OFFLINE", "1")
