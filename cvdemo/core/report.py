"""How ``python -m cvdemo evaluate`` hands over what it measured: words, JSON, or both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cvdemo.core.files import written_whole


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
