import subprocess
import sys

import pytest
import torch

from cvdemo.core import device
from cvdemo.core.device import Precision, configure_threads, parse_bytes, pick_device, usable_cores
from cvdemo.core.errors import CvDemoError, SettingsError


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    monkeypatch.delenv("CVDEMO_DEVICE", raising=False)
    monkeypatch.delenv("CVDEMO_THREADS", raising=False)


@pytest.mark.parametrize(
    ("existing", "name", "variable", "expected"),
    [
        (("cpu",), None, "", "cpu"),
        (("cuda:0", "cpu"), None, "", "cuda:0"),
        (("mps", "cpu"), "auto", "", "mps"),
        (("cuda:0", "cuda:1", "cpu"), "cuda", "", "cuda:0"),
        (("cuda:0", "cuda:1", "cpu"), "cuda:1", "cpu", "cuda:1"),
        (("cuda:0", "cpu"), None, "cpu", "cpu"),
        (("cuda:0", "cpu"), " CPU ", "", "cpu"),
    ],
)
def test_pick_device(monkeypatch, existing, name, variable, expected):
    monkeypatch.setattr(device, "available_devices", lambda: existing)
    monkeypatch.setenv("CVDEMO_DEVICE", variable)
    assert pick_device(name) == torch.device(expected)


@pytest.mark.parametrize("name", ["tpu", "cuda:7", "gpu", "cpu0"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(monkeypatch, name):
    monkeypatch.setattr(device, "available_devices", lambda: ("cuda:0", "cpu"))
    with pytest.raises(CvDemoError, match="cuda:0, cpu"):
        pick_device(name)


def test_this_machine_has_a_processor():
    assert device.available_devices()[-1] == "cpu"
    assert device.device_title(torch.device("cpu"))
    assert 0 < device.default_memory_budget(torch.device("cpu")) < device.total_memory(torch.device("cpu"))


def test_precision_labels():
    assert Precision().label == "fp32"
    assert Precision("bfloat16", channels_last=True).label == "bf16 channels_last"
    assert Precision("float16", traced=True).label == "fp16 traced"
    assert Precision("bfloat16").torch_dtype is torch.bfloat16


def test_configure_threads(monkeypatch):
    before = torch.get_num_threads()
    try:
        assert configure_threads(1) == torch.get_num_threads() == 1
        monkeypatch.setenv("CVDEMO_THREADS", "2")
        assert configure_threads() == torch.get_num_threads() == 2
        monkeypatch.delenv("CVDEMO_THREADS")
        assert 1 <= configure_threads() <= usable_cores()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("text", ["0", "-2", "many"])
def test_bad_thread_counts(monkeypatch, text):
    monkeypatch.setenv("CVDEMO_THREADS", text)
    with pytest.raises(SettingsError, match="CVDEMO_THREADS"):
        configure_threads()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("123456", 123456), ("800M", 800 << 20), ("800 MB", 800 << 20), ("2g", 2 << 30), ("1.5 GiB", 3 << 29)],
)
def test_parse_bytes(text, expected):
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "much", "-1G", "0", "nan", "inf", "3 PB"])
def test_parse_bytes_refuses(text):
    with pytest.raises(SettingsError):
        parse_bytes(text)


def test_kept_memory_is_not_cleared_again_by_the_system():
    script = """
import resource, torch
from cvdemo.core.device import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        del_me = [torch.ones(5_000_000) for _ in range(4)]
        del del_me
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = faults()
kept = keep_freed_memory()
faults()
print(int(kept), given_back, faults())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    if done.returncode != 0 and "resource" in done.stderr:
        pytest.skip("this system does not count page faults")
    kept, before, after = map(int, done.stdout.split())
    if not kept:
        pytest.skip("the C library is not glibc")
    assert after < before / 10


def test_memory_is_left_alone_where_the_c_library_is_another(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(device.ctypes, "CDLL", missing)
    assert not device.keep_freed_memory()
