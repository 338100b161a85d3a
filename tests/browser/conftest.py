"""Starts the real app and a real headless Chromium for the browser tests."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from cvdemo.bench._browser import camera_flags, chromium
from cvdemo.core.errors import CvDemoError

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-features=Translate,OptimizationHints",
    "--host-resolver-rules=MAP classroom.test 127.0.0.1",
]  # fmt: skip


def chromium_or_skip() -> str:
    """The path of the browser that drives the page."""
    try:
        return chromium()
    except CvDemoError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running app, offline."""
    chromium_or_skip()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port), "--offline"], cwd=repository, stdout=out, stderr=out
        )
    address = f"http://127.0.0.1:{port}/"
    for _ in range(240):
        if process.poll() is not None:
            pytest.fail(f"the app ended at once:\n{log.read_text()}")
        try:
            urllib.request.urlopen(address, timeout=5).close()
            break
        except OSError:
            time.sleep(0.5)
    else:
        process.kill()
        pytest.fail(f"the app did not answer:\n{log.read_text()}")
    yield address
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="session")
def webcam_clip(crowd: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera panning over the crowd, as the MJPEG file Chromium plays as its webcam."""
    path = tmp_path_factory.mktemp("webcam") / "pan.mjpeg"
    with path.open("wb") as out:
        for shift in [*range(0, 360, 8), *range(360, 0, -8)]:
            view = cv2.resize(crowd[120:600, shift : shift + 640], (640, 480))
            out.write(cv2.imencode(".jpg", view[:, :, ::-1])[1].tobytes())
    return path


@dataclass
class Visit:
    """An open page and everything it complained about or asked for elsewhere."""

    page: playwright.Page
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def browser(webcam_clip: Path) -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as control:
        chromium = control.chromium.launch(
            executable_path=chromium_or_skip(), args=[*QUIET, *camera_flags(webcam_clip)]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def newcomer(browser: playwright.Browser, server: str) -> Iterator[Visit]:
    """A fresh visitor who has not opened any page yet; whatever a page complains about is collected from then on."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, permissions=["camera"])
    page = context.new_page()
    seen = Visit(page)

    def complain(response: playwright.Response) -> None:
        if response.status >= 400:  # the console's own message leaves out which address failed
            seen.errors.append(f"{response.status} {response.request.method} {response.url}")

    page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("response", complain)
    own = (server, server.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(own) else seen.foreign.append(request.url))
    page.set_default_timeout(90_000)
    yield seen
    context.close()


@pytest.fixture
def visit(newcomer: Visit, server: str) -> Visit:
    """A fresh visitor on the page; the example of the first tab is already computed."""
    newcomer.page.goto(server)
    newcomer.page.wait_for_selector("#detection-result .viewer.full")
    return newcomer
