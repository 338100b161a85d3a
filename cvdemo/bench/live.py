"""How old what the Live mode shows is, and whether it gets older: the real app driven by a headless Chromium.

Chromium plays a film as its webcam, a pan over the example picture whose bottom edge is a grey that tells the time:
one level brighter with every frame, dark again after the brightest. The page notes twenty times a second which grey
the camera shows and which the result shows; the difference is the lag. For actions the last frame of the newest
clip that was classified is read as well. All visitors are pages of one browser on the same machine as the app. It
needs playwright (requirements-dev.txt) and a Chromium, found on the path or named by CVDEMO_CHROMIUM.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cvdemo.bench._browser import browser, camera_flags
from cvdemo.bench.start import running_app
from cvdemo.core.errors import CvDemoError
from cvdemo.core.lazy import cv2

TASKS = ("action", "detection", "pose", "segmentation")
DARKEST, BRIGHTEST = 20, 235
LEVELS = BRIGHTEST - DARKEST + 1
BAND = 60  # of 480 rows
RATE_BAR, GROWTH_BAR_S = 10.0, 0.5  # pictures a second of one visitor; lag of the last third minus that of the first
PATIENCE_MS = 90_000
FIRST_PICTURES = 5  # are not counted: the model loads, the engine chooses a format

_WATCH = """
([camera, result, strip]) => {
  const canvas = document.createElement("canvas"), ink = canvas.getContext("2d", { willReadFrequently: true });
  canvas.width = canvas.height = 4;
  const grey = (source, width, height) => {
    if (!source || !width) return -1;
    try { ink.drawImage(source, 0.78 * width, 0.93 * height, 0.1 * width, 0.05 * height, 0, 0, 4, 4); }
    catch (_) { return -1; }
    const [r, g, b] = ink.getImageData(2, 2, 1, 1).data;
    return (r + g + b) / 3;
  };
  const picture = (img) => img && img.complete ? grey(img, img.naturalWidth, img.naturalHeight) : -1;
  window.noted = [];
  setInterval(() => {
    const video = document.querySelector(camera + " video"), figure = document.querySelector(result + " .viewer");
    const strips = document.querySelectorAll(strip + " img");
    window.noted.push([
      performance.now() / 1000, video ? grey(video, video.videoWidth, video.videoHeight) : -1,
      picture(figure && figure.querySelector("img")), picture(strips[strips.length - 1]),
      Number(figure && figure.dataset.shown || 0),
    ]);
  }, 50);
}
"""


def film(path: Path) -> None:
    """Write the film, one JPEG after the other, 640x480."""
    from cvdemo.ui import examples

    portrait = examples.load_portrait()
    wide = np.random.default_rng(0).integers(0, 256, (480, 1000, 3), np.uint8)
    scene = cv2.resize(wide if portrait is None else examples.compose_crowd(portrait), (1000, 480))
    with path.open("wb") as out:
        for frame in range(LEVELS):
            shift = round(180 + 180 * np.sin(2 * np.pi * frame / LEVELS))
            view = scene[:, shift : shift + 640].copy()
            view[-BAND:] = DARKEST + frame
            out.write(cv2.imencode(".jpg", view[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())


def levels_behind(camera: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """How many levels the result is behind the camera, (N,) each, in [-0.1, 0.9) of a cycle; NaN where one is missing.

    A little less than nothing is the noise of two compressions.
    """
    behind = (camera - shown + 0.1 * LEVELS) % LEVELS - 0.1 * LEVELS
    return np.where((camera < 0) | (shown < 0), np.nan, behind)


def levels_a_second(times: np.ndarray, camera: np.ndarray) -> float:
    """How fast the camera's grey rises: the mean slope between neighbouring notes but those across the jump to dark."""
    seen = camera >= 0
    times, camera = times[seen], camera[seen]
    steps = np.diff(camera)
    even = np.abs(steps) < LEVELS / 4
    return float(steps[even].sum() / np.diff(times)[even].sum()) if even.any() else float("nan")


def summary(notes: Sequence[Sequence[float]]) -> dict[str, float]:
    """pictures_a_second, and for result and clip the median lag, its 95th percentile and its growth, in seconds.

    notes: (seconds, grey of the camera, of the result, of the newest clip's last frame, pictures shown) each; grey -1
    where there is none. growth: median of the last third minus median of the first.
    """
    times, camera, result, clip, count = np.asarray(notes, np.float64).T
    rate = levels_a_second(times, camera)
    found: dict[str, float] = {"pictures_a_second": float((count[-1] - count[0]) / (times[-1] - times[0]))}
    for name, shown in (("result", result), ("clip", clip)):
        lag = levels_behind(camera, shown) / rate
        if np.isnan(lag).all():
            continue
        third = len(lag) // 3
        found[f"{name}_lag_s"] = float(np.nanmedian(lag))
        found[f"{name}_lag_p95_s"] = float(np.nanpercentile(lag, 95))
        found[f"{name}_growth_s"] = float(np.nanmedian(lag[-third:]) - np.nanmedian(lag[:third]))
    return {name: round(value, 3) for name, value in found.items()}


def _film_in(page: Any, address: str, task: str) -> None:
    """Open the task's Live mode and wait until it shows something."""
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{address}?tab={task}")
    page.wait_for_selector(f"#{task}-result .viewer.full")
    page.locator("button[role=tab]:visible", has_text=re.compile("^Live$")).click()
    page.locator(f"#{task}-camera").get_by_text("Click to Access Webcam").click()
    before = int(page.get_attribute(f"#{task}-result .viewer", "data-shown") or 0)
    page.click(f"#{task}-camera .capture-button")
    page.wait_for_function(
        "([id, n]) => Number(document.querySelector(id + ' .viewer').dataset.shown || 0) > n",
        arg=[f"#{task}-result", before + FIRST_PICTURES],
    )
    page.evaluate(_WATCH, [f"#{task}-camera", f"#{task}-result", f"#{task}-strip"])


def measure(task: str, seconds: float, visitors: int) -> list[dict[str, float]]:
    """One summary for each of the visitors, who look at the same task at the same time."""
    with tempfile.TemporaryDirectory() as folder:
        clock = Path(folder) / "clock.mjpeg"
        film(clock)
        with running_app() as (address, _), browser(*camera_flags(clock)) as program:
            pages = [program.new_context(permissions=["camera"]).new_page() for _ in range(visitors)]
            for page in pages:
                _film_in(page, address, task)
            for page in pages:
                page.evaluate("window.noted.length = 0")
            pages[0].wait_for_timeout(seconds * 1000)
            return [summary(page.evaluate("window.noted")) for page in pages]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a visitor's lag grew, or one visitor alone got fewer pictures than the bar."""
    parser = argparse.ArgumentParser(prog="python -m cvdemo.bench live", description=__doc__)
    parser.add_argument("--task", choices=TASKS, default=TASKS[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--visitors", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(arguments)
    if args.seconds < 3 or args.visitors < 1:
        raise CvDemoError("At least three seconds and one visitor are needed.")
    found = measure(args.task, args.seconds, args.visitors)
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        for visitor, figures in enumerate(found, 1):
            print(f"visitor {visitor}: {figures['pictures_a_second']:5.1f} pictures a second")
            for name in ("result", "clip"):
                if f"{name}_lag_s" in figures:
                    print(
                        f"  {name:6s} {figures[f'{name}_lag_s']:6.2f} s behind the camera (95 % within"
                        f" {figures[f'{name}_lag_p95_s']:.2f} s), {figures[f'{name}_growth_s']:+.2f} s over the time"
                    )
    grew = any(figures.get(f"{name}_growth_s", 0.0) > GROWTH_BAR_S for figures in found for name in ("result", "clip"))
    slow = args.visitors == 1 and found[0]["pictures_a_second"] < RATE_BAR
    return int(grew or slow)
