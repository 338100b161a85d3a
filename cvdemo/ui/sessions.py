"""Files that belong to a visitor: where they lie, and that they are gone when the page is closed."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import defaultdict
from pathlib import Path

import gradio as gr


class SessionFiles:
    """Keeps track of every file a session brought or made.

    Gradio stores an upload under a hash of its content, so two visitors with the same picture share one file: it is
    removed when the last of them leaves.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or Path(tempfile.gettempdir())
        self._owners: dict[Path, set[str]] = defaultdict(set)
        self._lock = threading.Lock()

    @property
    def examples(self) -> Path:
        """The folder of example files, which belong to everybody."""
        return self.root / "examples"

    def claim(self, session: str, path: str | Path) -> Path:
        """Note that a session uses a file; returns the path."""
        path = Path(path)
        if self.examples not in path.parents:
            with self._lock:
                self._owners[path].add(session)
        return path

    def make(self, session: str, name: str) -> Path:
        """A fresh path with the given file name, in a folder of the session's own."""
        folder = Path(tempfile.mkdtemp(prefix="result-", dir=self._folder()))
        return self.claim(session, folder / name)

    def leave(self, session: str) -> None:
        """Remove what only this session used."""
        with self._lock:
            orphans = []
            for path, owners in list(self._owners.items()):
                owners.discard(session)
                if not owners:
                    orphans.append(path)
                    del self._owners[path]
            in_use = {path.parent for path in self._owners}
        for path in orphans:
            # Uploads and results lie in a folder of theirs; anything else is not ours to remove.
            if self.root not in path.parents or path.parent == self.root:
                continue
            if path.parent in in_use:  # the same picture under another name, brought by somebody else
                path.unlink(missing_ok=True)
            else:
                shutil.rmtree(path.parent, ignore_errors=True)

    def _folder(self) -> Path:
        self.root.mkdir(parents=True, exist_ok=True)
        return self.root


files = SessionFiles()


def session_of(request: gr.Request | None) -> str:
    """The visitor's session, "" for calls without one."""
    return (getattr(request, "session_hash", None) or "") if request else ""
