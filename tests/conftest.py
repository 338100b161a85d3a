"""What several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Measured choices and downloads of a test run stay out of the developer's own cache folder.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["CVDEMO_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def crowd() -> object:
    """The composed crowd picture, (H, W, 3) uint8; skips where matplotlib's sample portrait is missing."""
    from cvdemo.ui import examples

    portrait = examples._portrait()
    if portrait is None:
        pytest.skip("matplotlib ships no sample portrait here")
    return examples.compose_crowd(portrait)
