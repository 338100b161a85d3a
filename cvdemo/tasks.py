"""The list of tasks, and the one place that imports them all so that their models register."""

from __future__ import annotations

import importlib

TASKS: tuple[str, ...] = ("detection", "segmentation", "pose", "classification", "style")
PARTS: tuple[str, ...] = ("faces",)
"""Packages with models that several tasks stand on; they have no tab of their own."""


def load_all() -> None:
    """Import every package's ``models`` module; afterwards the registry is complete. Safe to call again."""
    for package in (*TASKS, *PARTS):
        importlib.import_module(f"cvdemo.{package}.models")
