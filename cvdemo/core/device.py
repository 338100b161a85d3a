"""Where networks run and in which number format: the device, its name, its memory, the thread count, ``Precision``."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from cvdemo.core.errors import CvDemoError, SettingsError

DTypeName = Literal["float32", "bfloat16", "float16"]
_SHORT = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True)
class Precision:
    """One way to run a network: arithmetic, memory layout, and whether it is traced into a frozen graph.

    dtype: arithmetic inside ``RunContext.autocast()``; weights stay float32.
    channels_last: parameters (and tensors from ``RunContext.tensor``) are stored NHWC.
    traced: the engine runs ``spec.extras["trace"](module, precision)`` instead of the module itself.
    """

    dtype: DTypeName = "float32"
    channels_last: bool = False
    traced: bool = False

    @property
    def torch_dtype(self) -> torch.dtype:
        """The torch dtype of that name."""
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[self.dtype]

    @property
    def label(self) -> str:
        """Short text for the status line: ``"bf16 channels_last traced"``."""
        words = [_SHORT[self.dtype]]
        words += ["channels_last"] if self.channels_last else []
        words += ["traced"] if self.traced else []
        return " ".join(words)


def available_devices() -> tuple[str, ...]:
    """Names of the devices this machine has, fastest first; ``"cpu"`` is always the last."""
    names = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        names.append("mps")
    return (*names, "cpu")


def pick_device(name: str | None = None) -> torch.device:
    """Choose a device: the argument, else the variable CVDEMO_DEVICE, else the first of cuda, mps, cpu.

    name: ``"cuda"``, ``"cuda:1"``, ``"mps"``, ``"cpu"``, or None, empty or ``"auto"`` to choose.
    Raises CvDemoError, naming the devices that exist, when the name is unknown or not on this machine.
    """
    wanted = (name or os.environ.get("CVDEMO_DEVICE", "")).strip().lower()
    existing = available_devices()
    if wanted in ("", "auto"):
        return torch.device(existing[0])
    full = "cuda:0" if wanted == "cuda" else wanted
    if full not in existing:
        raise CvDemoError(
            f"The device {wanted!r} is not available on this machine.",
            hint=f"Choose one of: {', '.join(existing)}, or auto.",
        )
    return torch.device(full)


@functools.lru_cache(maxsize=8)
def device_title(device: torch.device) -> str:
    """The name of the hardware, such as the GPU's or the processor's product name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Processor cores this process may use: its CPU affinity, cut to a container's quota where there is one."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity call
        cores = os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        if quota != "max":
            cores = min(cores, max(1, round(int(quota) / int(period))))
    return max(1, cores)


def configure_threads(n: int | None = None) -> int:
    """Set torch's intra-op thread count and return it.

    n: the count (at least 1), else the variable CVDEMO_THREADS, else the physical share of ``usable_cores()``:
    torch counts the cores of the whole host, which inside a container starts far more threads than may run.
    """
    if n is None:
        text = os.environ.get("CVDEMO_THREADS", "").strip()
        if text:
            try:
                n = int(text)
            except ValueError:
                n = 0
        else:
            n = min(usable_cores(), torch.get_num_threads())
    if n < 1:
        raise SettingsError("The thread count must be a whole number of at least 1.", hint="Check CVDEMO_THREADS.")
    torch.set_num_threads(n)  # even when it is n already: threads started later follow only an explicit setting
    return n


def keep_freed_memory() -> bool:
    """Have the C library keep freed blocks of up to 32 MB instead of handing them back to the system; whether it does.

    A training step frees and asks for the same blocks every time, and the system clears each of their pages anew:
    measured 5 to 12 % of a step on a CPU. Only glibc can be told so.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        return bool(libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20) and libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
    except (OSError, AttributeError):
        return False


def total_memory(device: torch.device) -> int:
    """Bytes of memory the device has; for the processor the machine's RAM, cut to a container's limit."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return min(_ram_limits(), default=8 << 30)


def _ram_limits() -> Iterator[int]:
    with suppress(OSError, ValueError, AttributeError):
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        yield int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))


def default_memory_budget(device: torch.device) -> int:
    """Bytes the model pool may fill: half of the device's memory on a GPU, a quarter of the RAM otherwise.

    The rest is left to activations, pictures and the other programs on the machine.
    """
    return total_memory(device) // (2 if device.type == "cuda" else 4)


def parse_bytes(text: str) -> int:
    """``"800 MB"``, ``"2G"``, ``"1.5 GiB"`` or ``"123456"`` to bytes (binary units); SettingsError otherwise."""
    cleaned = text.strip().upper().removesuffix("B").removesuffix("I").strip()
    unit = cleaned[-1:] if cleaned[-1:] in ("K", "M", "G", "T") else ""
    try:
        value = float(cleaned.removesuffix(unit)) * _UNITS[unit]
    except ValueError:
        value = -1.0
    if not 0 < value < float(1 << 50):
        raise SettingsError(f"{text!r} is not an amount of memory.", hint="Write for example 800M or 2G.")
    return int(value)
