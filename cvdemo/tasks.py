"""The list of tasks, and the one place that imports them all so that their models register."""

from __future__ import annotations

import importlib

TASKS: tuple[str, ...] = ("detection", "segmentation", "pose", "flow", "action", "style", "faces", "classification")


def load_all() -> None:
    """Import every package's ``models`` module; afterwards the registry is complete. Safe to call again."""
    for task in TASKS:
        importlib.import_module(f"cvdemo.{task}.models")
