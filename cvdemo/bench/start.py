"""How long the app takes to answer, and how much memory it holds before and after its first model.

The real program is started in a process of its own, as ``python app.py`` starts it, several times. "answer" is the
time from starting the process to the first complete page; memory is what the operating system counts as resident:
"page" with the page built and no model asked for, "model" once the model of the first screen is loaded.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from cvdemo.core.errors import CvDemoError

ANSWER_BAR_S, MEMORY_BAR_MB = 8.0, 700.0
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def resident_mb(pid: int) -> float | None:
    """Resident memory of a process in MB (1e6 bytes); None where the system has no /proc."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def wait_until_answered(address: str, process: subprocess.Popen[bytes]) -> None:
    """Return when the page came whole; CvDemoError when the program ended or took two minutes."""
    limit = time.monotonic() + PATIENCE_S
    while time.monotonic() < limit:
        if process.poll() is not None:
            raise CvDemoError(f"The app ended with code {process.returncode}.", hint="Start it by hand to see why.")
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                if answer.status == 200 and answer.read():
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise CvDemoError(f"The app did not answer within {PATIENCE_S:.0f} s.", hint="Start it by hand to see why.")


@contextlib.contextmanager
def running_app(*options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address and the process of an app of our own, offline, that has answered once; stopped afterwards."""
    port = free_port()
    command = [sys.executable, "app.py", "--port", str(port), "--offline", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_answered(f"http://127.0.0.1:{port}/", process)
        yield f"http://127.0.0.1:{port}/", process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def start_once(preload: bool, settle: float = 8.0) -> dict[str, Any]:
    """Start the app, wait for its page and for its memory to settle, stop it."""
    started = time.monotonic()
    with running_app(*([] if preload else ["--no-preload"])) as (_, process):
        answered = time.monotonic() - started
        time.sleep(settle)
        return {"answer_s": answered, "resident_mb": resident_mb(process.pid)}


def measure(rounds: int) -> dict[str, Any]:
    """Medians over ``rounds`` starts without a model, and the memory of one start with the first screen's model."""
    plain = [start_once(preload=False, settle=2.0) for _ in range(rounds)]
    memory = [run["resident_mb"] for run in plain if run["resident_mb"] is not None]
    return {
        "answer_s": [round(run["answer_s"], 2) for run in plain],
        "answer_s_median": round(median(run["answer_s"] for run in plain), 2),
        "page_mb": round(median(memory), 1) if memory else None,
        "model_mb": start_once(preload=True)["resident_mb"],
        "bars": {"answer_s": ANSWER_BAR_S, "page_mb": MEMORY_BAR_MB},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m cvdemo.bench start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args(arguments)
    if args.rounds < 1:
        raise CvDemoError("--rounds must be at least 1.")
    result = measure(args.rounds)
    if args.json:
        print(json.dumps(result, indent=1))
    else:
        print(f"answer   {result['answer_s_median']:6.2f} s   {result['answer_s']} (bar {ANSWER_BAR_S:g} s)")
        for name, words in (("page_mb", "page built, no model"), ("model_mb", "first model loaded")):
            value = result[name]
            print(f"{words:22s}" + ("not measured: no /proc here" if value is None else f"{value:7.0f} MB"))
    missed = result["answer_s_median"] > ANSWER_BAR_S or (result["page_mb"] or 0) > MEMORY_BAR_MB
    return int(missed)
