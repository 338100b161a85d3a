"""What several test files share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported: workers that share the cores mostly wait otherwise
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Measured choices and downloads of a test run stay out of the developer's own cache folder.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")


@pytest.hookimpl(optionalhook=True)  # there is no such hook where xdist is not installed
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several workers: a file stays with one of them, and so does everything that needs the running app."""
    from xdist.scheduler import LoadFileScheduling

    class OnePage(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return "browser" if nodeid.startswith("tests/browser/") else str(super()._split_scope(nodeid))

    return OnePage(config, log)


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

    portrait = examples.load_portrait()
    if portrait is None:
        pytest.skip("matplotlib ships no sample portrait here")
    return examples.compose_crowd(portrait)


@pytest.fixture(scope="session")
def _processor_engine() -> object:
    from cvdemo.core.engine import Engine

    return Engine(device="cpu", tune=False)


@pytest.fixture(scope="module")
def compact_engine(_processor_engine: object, repository: Path) -> Iterator[object]:
    """The default engine of a module: on the processor, in float32, with the compact weights that ship."""
    from cvdemo.core.engine import set_default_engine

    if not (repository / "weights" / "compact_detector.safetensors").is_file():
        pytest.skip("weights/compact_detector.safetensors is not there")
    set_default_engine(_processor_engine)  # type: ignore[arg-type]
    yield _processor_engine
    set_default_engine(None)
