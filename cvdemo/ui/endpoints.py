"""What the endpoints of all tasks have in common: settings described, models listed, values checked in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from cvdemo.core import registry
from cvdemo.core.registry import ModelSpec
from cvdemo.core.settings import SettingField


def settings_of(fields: Iterable[SettingField]) -> dict[str, Any]:
    """What a ``…_settings`` endpoint answers: label, help, default and allowed values by the setting's name."""
    return {field.name: dataclasses.asdict(field) for field in fields}


def models_of(
    specs: Iterable[ModelSpec], further: Callable[[ModelSpec], dict[str, Any]] = lambda spec: {}
) -> list[dict[str, Any]]:
    """What a ``…_models`` endpoint answers: the models' facts, and whether each can be used now.

    further(spec): what this task tells of a model besides.
    Returns [{"name", "title", "tier", "family", "parameters", "gflops", …, "available", "reason", "remedy"}].
    """
    rows = []
    for spec in specs:
        state = registry.availability(spec)
        rows.append({
            "name": spec.name, "title": spec.title, "tier": spec.tier, "family": spec.family,
            "parameters": spec.parameters, "gflops": spec.gflops, **further(spec),
            "available": state.ok, "reason": state.reason, "remedy": state.remedy,
        })  # fmt: skip
    return rows


def unchecked(widget: Any) -> Any:
    """A widget as an endpoint's parameter, which leaves checking to the settings.

    Their message names the setting and its range, and they take None and text.
    """
    widget.preprocess = lambda payload: payload
    return widget
