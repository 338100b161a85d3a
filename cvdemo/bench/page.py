"""How long the page takes to its first picture, tab by tab: the real app opened by a headless Chromium.

Every visit is one of a newcomer: a context of its own, without anything in its cache. The server has shown the tab
before, so no model is loaded while the clock runs; it runs from the request to the moment when the tab's first picture
stands on the page. Beside it, what came over the wire (after compression). Browser and server share the machine. It
needs playwright (requirements-dev.txt) and a Chromium, found on the path or named by CVDEMO_CHROMIUM.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from cvdemo import tasks
from cvdemo.bench._browser import browser
from cvdemo.bench.start import running_app
from cvdemo.core.errors import CvDemoError

PATIENCE_MS = 120_000

_SHOWN = "() => [...document.querySelectorAll('.viewer.full, .side .picture img')].some(viewer => viewer.offsetParent)"
_BYTES = """
() => performance.getEntriesByType("navigation").concat(performance.getEntriesByType("resource"))
  .reduce((sum, entry) => sum + entry.transferSize, 0)
"""


def visit(program: Any, address: str, task: str) -> dict[str, float]:
    """seconds to the first picture and megabytes (1e6 bytes) transferred until then, of one newcomer."""
    context = program.new_context()
    try:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        started = time.monotonic()
        page.goto(f"{address}?tab={task}", wait_until="commit")
        page.wait_for_function(_SHOWN)
        return {"seconds": time.monotonic() - started, "megabytes": page.evaluate(_BYTES) / 1e6}
    finally:
        context.close()


def measure(chosen: Sequence[str], rounds: int) -> dict[str, dict[str, Any]]:
    """For each tab the seconds of ``rounds`` visits, their median, and the megabytes of the last one."""
    with running_app() as (address, _), browser() as program:
        for task in chosen:
            visit(program, address, task)
        runs = [{task: visit(program, address, task) for task in chosen} for _ in range(rounds)]
    found = {}
    for task in chosen:
        seconds = [round(run[task]["seconds"], 2) for run in runs]
        found[task] = {
            "seconds": seconds,
            "seconds_median": round(median(seconds), 2),
            "megabytes": round(runs[-1][task]["megabytes"], 2),
        }
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; there is no bar to miss."""
    parser = argparse.ArgumentParser(prog="python -m cvdemo.bench page", description=__doc__)
    parser.add_argument("--task", action="append", choices=tasks.TASKS, help="a tab; again for more (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args(arguments)
    if args.rounds < 1:
        raise CvDemoError("--rounds must be at least 1.")
    found = measure(args.task or tasks.TASKS, args.rounds)
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        for task, figures in found.items():
            print(f"{task:15s}{figures['seconds_median']:6.2f} s {figures['megabytes']:6.2f} MB   {figures['seconds']}")
    return 0
