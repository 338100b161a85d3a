"""Modules that are imported when something of them is first used.

The page starts without them, and is smaller until the first picture: OpenCV alone is 26 MB.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any


class LazyModule:
    """Stands for a module and imports it at the first use of one of its names.

    Python imports a module once however many threads ask for it, and makes all of them wait until it is complete; the
    standard library's ``LazyLoader`` gives no such promise before Python 3.12.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._module: Any = None

    def __getattr__(self, attribute: str) -> Any:
        # Asking for a module that is there already takes longer than many a drawing call.
        if self._module is None:
            self._module = importlib.import_module(self._name)
        return getattr(self._module, attribute)


if TYPE_CHECKING:
    import cv2
else:
    cv2 = LazyModule("cv2")

__all__ = ["LazyModule", "cv2"]
