"""Modules that are imported when they are first used."""

import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest

from cvdemo.core import lazy


def test_what_it_gives_is_what_the_module_has():
    assert lazy.cv2.INTER_AREA == cv2.INTER_AREA
    assert lazy.cv2.resize is cv2.resize
    assert lazy.cv2.resize(np.zeros((4, 4), np.uint8), (2, 2)).shape == (2, 2)


def test_a_name_that_the_module_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_thing"):
        lazy.cv2.no_such_thing  # noqa: B018


def test_the_module_is_imported_whole_however_many_threads_ask_first(tmp_path, monkeypatch):
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(0.2)\nanswer = 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    slow, found = lazy.LazyModule("slow_to_import"), []
    threads = [threading.Thread(target=lambda: found.append(slow.answer)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [42] * 8


def test_the_page_is_built_without_opencv_and_pyav(tmp_path):
    code = (
        "import os, sys; os.environ['GRADIO_TEMP_DIR'] = sys.argv[1]; from cvdemo.ui.shell import build_app; "
        "build_app(); print(sorted({'cv2', 'av', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
