"""A headless Chromium for the benchmarks that look at the real page."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cvdemo.core.errors import CvDemoError


def chromium() -> str:
    """The program's path; CvDemoError where there is none."""
    found = os.environ.get("CVDEMO_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        raise CvDemoError("There is no Chromium on this machine.", hint="Set CVDEMO_CHROMIUM to its path.")
    return found


def camera_flags(film_file: Path) -> list[str]:
    """What has Chromium play an MJPEG file as its webcam, without asking for permission."""
    return [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film_file}",
    ]


@contextlib.contextmanager
def browser(*flags: str) -> Iterator[Any]:
    """A playwright ``Browser``, closed afterwards. CvDemoError without one, or when a page does not do what it should.

    flags: of Chromium, besides those it needs on a machine without a screen.
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise CvDemoError(
            "This benchmark drives a browser with playwright, which is not installed.",
            hint="pip install -r requirements-dev.txt",
        ) from error
    program = chromium()
    with sync_playwright() as control:
        opened = control.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu", *flags])
        try:
            yield opened
        except Error as error:
            raise CvDemoError(f"The page did not do what it should: {error.message}") from error
        finally:
            opened.close()
