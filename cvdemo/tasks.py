"""The list of tasks, and the one place that imports them all so that their models register."""

from __future__ import annotations

import importlib

TASKS: tuple[str, ...] = ("detection", "segmentation", "pose", "flow", "action", "faces", "classification")
PARTS: tuple[str, ...] = ("style",)
"""Packages with models but without a tab: several tasks stand on them, or the command line alone offers them so far."""


def load_all() -> None:
    """Import every package's ``models`` module; afterwards the registry is complete. Safe to call again."""
    for package in (*TASKS, *PARTS):
        importlib.import_module(f"cvdemo.{package}.models")
