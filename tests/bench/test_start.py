"""The start-up benchmark, without starting the whole app."""

import subprocess
import sys

import pytest

from cvdemo.bench import start
from cvdemo.core.errors import CvDemoError

SERVER = "import http.server, sys; http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), " \
         "http.server.SimpleHTTPRequestHandler).serve_forever()"  # fmt: skip


def test_a_page_that_comes_ends_the_wait():
    port = start.free_port()
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(port)], stderr=subprocess.DEVNULL)
    try:
        start.wait_until_answered(f"http://127.0.0.1:{port}/", process)
        memory = start.resident_mb(process.pid)
        assert memory is None or 1 < memory < 1000
    finally:
        process.kill()
        process.wait()


def test_a_program_that_ends_is_reported():
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(CvDemoError, match="code 3"):
        start.wait_until_answered(f"http://127.0.0.1:{start.free_port()}/", process)


def test_medians_and_bars(monkeypatch, capsys):
    answers = iter([3.0, 9.0, 4.0])

    def once(preload, settle=8.0):
        return {"answer_s": 0.0 if preload else next(answers), "resident_mb": 800.0 if preload else 650.0}

    monkeypatch.setattr(start, "start_once", once)
    assert start.main(["--rounds", "3"]) == 0
    shown = capsys.readouterr().out
    assert "4.00 s" in shown
    assert "650 MB" in shown
    assert "800 MB" in shown
    answers = iter([9.0])
    assert start.main(["--rounds", "1"]) == 1, "a missed bar is an exit code"
    with pytest.raises(CvDemoError, match="rounds"):
        start.main(["--rounds", "0"])


def test_memory_of_no_process_is_unknown():
    assert start.resident_mb(2**22 + 5) is None
