"""Small JSON facts remembered between starts in the user's cache folder, such as measured precisions.

Losing or damaging them costs a little time, never an error: an unreadable file counts as empty and a folder that
cannot be written is left alone.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

_lock = threading.Lock()


def cache_folder() -> Path:
    """The folder for remembered facts: the variable CVDEMO_CACHE, else the system's cache folder for this user."""
    override = os.environ.get("CVDEMO_CACHE", "").strip()
    if override:
        return Path(override).expanduser()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "cvdemo"


def recall(name: str, key: str) -> Any:
    """The value remembered under ``key`` in the file ``name``.json, or None."""
    return _read(cache_folder() / f"{name}.json").get(key)


def remember(name: str, key: str, value: Any, *, limit: int = 500) -> bool:
    """Store a JSON value under ``key`` in the file ``name``.json, replacing the file atomically.

    Beyond ``limit`` entries the oldest are dropped. Returns False when the folder cannot be written.
    """
    path = cache_folder() / f"{name}.json"
    with _lock:
        entries = _read(path)
        entries.pop(key, None)
        entries[key] = value
        for old in list(entries)[:-limit]:
            del entries[old]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(entries, indent=1).encode())
        except OSError:
            return False
    return True


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that other readers see the old or the new content and never a part of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _read(path: Path) -> dict[str, Any]:
    try:
        entries = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return entries if isinstance(entries, dict) else {}
