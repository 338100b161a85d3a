"""The system panel and the header's status pill: what runs where, what is in memory, how long things took."""

from __future__ import annotations

import functools
import html
import platform
from contextlib import suppress
from importlib import metadata

from cvdemo import __version__
from cvdemo.core.engine import Engine, EngineStatistics

PACKAGES = ("gradio", "torch", "torchvision", "opencv-python", "numpy", "av")


def pill(statistics: EngineStatistics) -> str:
    """One line for the header: device, loaded models, memory."""
    count = len(statistics.models)
    models = "no model loaded" if not count else f"{count} model{'s' if count > 1 else ''}"
    precision = f" {statistics.models[-1].precision.split()[0]}" if count else ""
    return f"● {statistics.device}{precision} · {models} · {statistics.used / 1e6:.0f} MB"


def panel(statistics: EngineStatistics) -> str:
    """The whole panel as HTML tables."""
    budget = f"{statistics.used / 1e6:,.1f} of {statistics.budget / 1e6:,.0f} MB"
    facts = [
        ("Device", f"{statistics.device} ({statistics.device_title})"),
        ("Model memory", budget),
        ("Loaded, reused, evicted", f"{statistics.loads}, {statistics.hits}, {statistics.evictions}"),
        ("Failed runs", str(statistics.failures)),
        ("Had to wait", f"{statistics.queue_waits}, longest {statistics.wait_ms_longest:,.0f} ms"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions())),
    ]
    models = [
        (
            model.name,
            f"{model.megabytes:.1f} MB",
            f"loaded {_age(model.age)} ago, used {_age(model.idle)} ago",
            f"{model.runs} runs, {model.mean_ms:.1f} ms on average" if model.runs else "not run yet",
            model.precision,
        )
        for model in statistics.models
    ]
    runs = [
        (run.model, ", ".join(f"{stage} {ms:.1f}" for stage, ms in run.stages.items()), run.precision)
        for run in statistics.last_runs[:6]
    ]
    return (
        '<div class="numbers">'
        + _table(("", ""), facts)
        + "<h3>Models in memory</h3>"
        + (_table(("Model", "Memory", "Age", "Runs", "Precision"), models) if models else "<p>None yet.</p>")
        + "<h3>Last runs, milliseconds per stage</h3>"
        + (_table(("Model", "Stages", "Precision"), runs) if runs else "<p>None yet.</p>")
        + "</div>"
    )


@functools.lru_cache(maxsize=1)
def versions() -> tuple[tuple[str, str], ...]:
    """Names and versions of cvdemo, Python and the packages that matter."""
    rows = [("cvdemo", __version__), ("Python", platform.python_version())]
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):  # such as a headless build under another distribution name
            rows.append((name, metadata.version(name)))
    return tuple(rows)


def snapshot(engine: Engine) -> tuple[str, str]:
    """(pill, panel) of an engine now."""
    statistics = engine.statistics()
    return pill(statistics), panel(statistics)


def _age(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _table(header: tuple[str, ...], rows: list) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header) if any(header) else ""
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{f'<tr>{head}</tr>' if head else ''}{body}</table>"
