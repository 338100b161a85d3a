"""What the evaluations of ``python -m cvdemo evaluate`` share.

Where the pictures of an annotation file lie, a line of progress, and how the figures are handed over: as words, as
JSON, or both.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from cvdemo.core.errors import InputError
from cvdemo.core.files import written_whole

K = TypeVar("K")


def hand_over(result: Mapping[str, Any], target: str | None, words: str) -> None:
    """Print ``words``, and write the result as JSON to the file ``target``; "-" prints the JSON alone.

    CvDemoError when the file cannot be written; an earlier file of that name is then as it was.
    """
    text = json.dumps(result, indent=1) + "\n"
    if target == "-":
        print(text, end="")
        return
    if target is not None:
        with written_whole(Path(target)) as part:
            part.write_text(text, encoding="utf-8")
    print(words)


class ProgressLine:
    """A line on the error output every few seconds: pictures done and time left."""

    def __init__(self, seconds: float = 5.0) -> None:
        self.seconds = seconds
        self.start = self.last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done < total and now - self.last < self.seconds:
            return
        self.last = now
        left = f", about {(now - self.start) / done * (total - done):.0f} s left" if 0 < done < total else ""
        print(f"{done} of {total} pictures{left}", file=sys.stderr, flush=True)


def locate(names: Mapping[K, str], folder: Path, skip_missing: bool) -> dict[K, Path]:
    """Where each picture of an annotation file lies: by its name under the folder, or by the last part of it.

    names: paths relative to some root, by picture. Those that are missing raise InputError, or are left out with
    ``skip_missing``, unless none is there.
    """
    found: dict[K, Path] = {}
    missing = []
    for key, name in names.items():
        places = [place for place in (folder / name, folder / Path(name).name) if place.is_file()]
        if places:
            found[key] = places[0]
        else:
            missing.append(name)
    if missing and (not skip_missing or not found):
        raise InputError(
            f"{len(missing)} of {len(names)} pictures are not in {folder}, the first: {', '.join(missing[:3])}.",
            hint="Check --images, or go on without them by --skip-missing." if found else "Check --images.",
        )
    return found
