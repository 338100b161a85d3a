"""Weights files: where they are, whether they are whole, how to get them, and loading them into a network.

A file is looked for in ``weights/`` (the compact models, or an official file dropped in under its published name),
then in torch's hub cache, then fetched from its official address into that cache. Nothing unverified is loaded: a
known size and hash must match, and only safetensors or torch's ``weights_only`` reader touch the bytes.
"""

from __future__ import annotations

import os
import pickle
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import nn

from cvdemo.core import disk_cache
from cvdemo.core.download import ProgressFn, download, hash_fits
from cvdemo.core.errors import Cancelled, ResourceError, WeightsError

_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+$")
_REPOSITORY_WEIGHTS = Path(__file__).resolve().parents[2] / "weights"
_FAILURE_MEMORY_S = 120.0

_forced_offline: bool | None = None
_failures: dict[str, tuple[float, str]] = {}


@dataclass(frozen=True)
class WeightsFile:
    """A file with trained parameters.

    filename: its published name.   url: its official address, "" when it only ships in ``weights/``.
    size: exact number of bytes, 0 when unknown.
    sha256: hex digest or its first 8 or more digits, "" when unknown; torchvision's file names end in the first 8
    digits, which count when ``sha256`` is empty.
    """

    filename: str
    url: str = ""
    size: int = 0
    sha256: str = ""

    @classmethod
    def from_url(cls, url: str, size: int = 0) -> WeightsFile:
        """The file at an address, named like the last part of it."""
        return cls(filename=url.rsplit("/", 1)[-1], url=url, size=size)

    @property
    def digest(self) -> str:
        """The hex digits the file's SHA-256 must start with, "" when unknown."""
        if self.sha256:
            return self.sha256.lower()
        found = _HASH_IN_NAME.search(self.filename)
        return found.group(1) if found else ""


def set_offline(offline: bool | None) -> None:
    """Forbid (True) or allow (False) downloads; None goes back to the variable CVDEMO_OFFLINE."""
    global _forced_offline
    _forced_offline = offline


def is_offline() -> bool:
    """Whether downloads are forbidden, by ``set_offline`` or by CVDEMO_OFFLINE=1."""
    if _forced_offline is not None:
        return _forced_offline
    return os.environ.get("CVDEMO_OFFLINE", "").strip().lower() in ("1", "true", "yes", "on")


def weights_folder() -> Path:
    """The folder of the weights that ship with the program, and for files dropped in by hand (CVDEMO_WEIGHTS)."""
    override = os.environ.get("CVDEMO_WEIGHTS", "").strip()
    return Path(override).expanduser() if override else _REPOSITORY_WEIGHTS


def hub_folder() -> Path:
    """The folder downloads go to, shared with every other program that uses torch's hub."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def find(file: WeightsFile) -> Path | None:
    """The file on this machine, or None. A file of the wrong size does not count; hashes are not computed here."""
    for path, size in _existing(file):
        if size and size == (file.size or size):
            return path
    return None


def find_damaged(file: WeightsFile) -> Path | None:
    """A file of that name whose size is wrong, or None: to explain why ``find`` does not see it."""
    for path, size in _existing(file):
        if not size or size != (file.size or size):
            return path
    return None


def _existing(file: WeightsFile) -> list[tuple[Path, int]]:
    paths = [folder / file.filename for folder in (weights_folder(), hub_folder())]
    return [(path, path.stat().st_size) for path in paths if path.is_file()]


def remedy(file: WeightsFile) -> str:
    """One sentence on how to get the file by hand."""
    if not file.url:
        return (
            f"Put {file.filename} into {weights_folder()}: from the weights folder of the project's repository or, "
            "where that has none yet, trained with the recipe of its task."
        )
    return (
        f"On a machine with network fetch {file.url} and put it under the name {file.filename} into {weights_folder()}."
    )


def recent_failure(file: WeightsFile) -> str:
    """Why the last download failed in a few words, "" when it did not within the last two minutes."""
    when, why = _failures.get(file.filename, (0.0, ""))
    return why if why and monotonic() - when < _FAILURE_MEMORY_S else ""


def ensure(
    file: WeightsFile,
    *,
    progress: ProgressFn | None = None,
    cancel: threading.Event | None = None,
    offline: bool | None = None,
) -> Path:
    """The verified file on this machine, downloaded first when it is missing.

    progress(done, total) in bytes, total 0 when unknown.   cancel: raises Cancelled when set, keeping the part.
    offline: overrides ``is_offline()``.
    Raises WeightsError (missing and offline, unreachable, wrong content) or ResourceError (disk full).
    """
    path = find(file)
    if path is not None and _is_intact(file, path):
        return path
    damaged = path or find_damaged(file)
    if damaged is not None and damaged.parent == weights_folder():
        # Put there by a person or by the repository: theirs to replace, not ours to delete.
        raise WeightsError(f"{damaged} is damaged: its size or its hash is not the published one.", hint=remedy(file))
    state = "is damaged" if damaged else "is not on this machine"
    if not file.url:
        raise WeightsError(f"The weights file {file.filename} {state}.", hint=remedy(file))
    if is_offline() if offline is None else offline:
        raise WeightsError(
            f"The weights file {file.filename} {state}, and downloads are switched off.", hint=remedy(file)
        )
    target = hub_folder() / file.filename
    try:  # a damaged target is replaced there, behind the lock: somebody else may have fetched it since we looked
        download(file.url, target, size=file.size, sha256=file.digest, progress=progress, cancel=cancel)
    except Cancelled:
        raise
    except (WeightsError, ResourceError) as error:
        _failures[file.filename] = (monotonic(), "the last download failed")
        raise type(error)(error.message, hint=f"{error.hint} {remedy(file)}") from error
    _failures.pop(file.filename, None)
    _remember_intact(file, target)
    return target


def _is_intact(file: WeightsFile, path: Path) -> bool:
    """Compare the hash, reading the file only when its size or time changed since it was last found right."""
    if not file.digest:
        return True
    if disk_cache.recall("verified", str(path)) == _identity(file, path):
        return True
    if not hash_fits(path, file.digest):
        return False
    _remember_intact(file, path)
    return True


def _remember_intact(file: WeightsFile, path: Path) -> None:
    if file.digest:
        disk_cache.remember("verified", str(path), _identity(file, path))


def _identity(file: WeightsFile, path: Path) -> list[Any]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, file.digest]


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict onto the CPU: safetensors, or torch's own format with ``weights_only=True``.

    16-bit floating-point tensors come back as float32. A dict holding the state under "state_dict" or "model" is
    unwrapped. Raises WeightsError when the file is not such a file or is cut short.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"The weights file {path} is gone.", hint="Put it back or download it again.") from error
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path.name} is damaged, or holds more than tensors and was not opened, because such a file can run code.",
            hint="Use the publisher's own file or a safetensors file.",
        ) from error
    except Exception as error:  # each reader has its own set of errors for damaged bytes
        raise WeightsError(
            f"{path.name} cannot be read as a weights file ({type(error).__name__}).",
            hint="Delete it and get it again.",
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise WeightsError(f"{path.name} holds no state dict of tensors.", hint="Use the publisher's own file.")
    return {
        str(name): value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
        for name, value in content.items()
    }


def joined_state(parts: Mapping[str, Path]) -> dict[str, torch.Tensor]:
    """One state dict from several files, each file's names under its prefix ("" adds none).

    A file that has names under its prefix already gives those only: two networks with the same part share it.
    Raises WeightsError as ``load_state``, and when two files hold the same parameter.
    """
    joined: dict[str, torch.Tensor] = {}
    for prefix, path in parts.items():
        state = load_state(path)
        shared = {name: value for name, value in state.items() if prefix and name.startswith(prefix)}
        state = shared or {prefix + name: value for name, value in state.items()}
        if twice := sorted(joined.keys() & state.keys()):
            raise WeightsError(
                f"{path.name} holds {len(twice)} parameters that another file has too, such as {twice[0]}.",
                hint="Check that each file has the name it was published under.",
            )
        joined |= state
    return joined


def apply_state(module: nn.Module, state: Mapping[str, torch.Tensor], filename: str) -> None:
    """Load a state dict strictly; WeightsError with counts and one example when it belongs to another network."""
    try:
        # First, because layers may translate the names of older files while loading (torchvision's do).
        module.load_state_dict(dict(state), strict=True)
        return
    except (RuntimeError, TypeError) as error:
        cause = error
    own = module.state_dict()
    missing = sorted(own.keys() - state.keys())
    unexpected = sorted(state.keys() - own.keys())
    shapes = sorted(name for name in own.keys() & state.keys() if own[name].shape != state[name].shape)
    complaints = [
        f"{len(names)} {what} (such as {names[0]})"
        for names, what in ((missing, "missing"), (unexpected, "unknown"), (shapes, "of another shape"))
        if names
    ]
    raise WeightsError(
        f"{filename} belongs to another network: parameters {', '.join(complaints) or 'do not fit'}.",
        hint="Check that the file has the name it was published under.",
    ) from cause
