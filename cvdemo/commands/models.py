"""The subcommands ``models`` (what is there, what is missing and why) and ``download`` (prepare a room)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, Protocol, TextIO

from cvdemo import tasks
from cvdemo.core import registry, weights
from cvdemo.core.errors import CvDemoError
from cvdemo.core.registry import ModelSpec


class _Subparsers(Protocol):
    def add_parser(self, name: str, **kwargs: Any) -> argparse.ArgumentParser: ...


def add_parser(subparsers: _Subparsers) -> None:
    """Add both subcommands; the parsed arguments carry the function to call as ``run``."""
    listing = subparsers.add_parser("models", help="list the models, and why one is not available")
    listing.add_argument("--task", help="only the models of this task")
    listing.add_argument("--tier", choices=("compact", "full", "classical"), help="only the models of this tier")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(run=run_models)
    fetching = subparsers.add_parser("download", help="fetch the weights of models ahead of time")
    fetching.add_argument("names", metavar="NAME", nargs="*", help="a model of the list that `models` prints")
    fetching.add_argument("--all", action="store_true", help="every model")
    fetching.set_defaults(run=run_download)


def run(args: argparse.Namespace) -> int:
    """Run whichever of the two subcommands was parsed; returns the exit code."""
    return int(args.run(args))


def run_models(args: argparse.Namespace) -> int:
    """Print the table of models (or JSON); always 0."""
    tasks.load_all()
    specs = registry.models(task=args.task, tier=args.tier)
    rows = [_row(spec) for spec in specs]
    if args.json:
        print(json.dumps(rows, indent=1))
        return 0
    if not rows:
        print("There are no such models.")
        return 0
    table = [("name", "task", "tier", "parameters", "MB", "available")]
    table += [
        (
            row["name"],
            row["task"],
            row["tier"],
            f"{row['parameters'] / 1e6:.1f} M",
            f"{row['megabytes']:.1f}",
            _state(row),
        )
        for row in rows
    ]
    _print_table(table, right={3, 4})
    remedies = dict.fromkeys(row["remedy"] for row in rows if row["remedy"])
    if remedies:
        print("\nTo get what is missing:")
        print("\n".join(f"- {remedy}" for remedy in remedies))
    return 0


def run_download(args: argparse.Namespace) -> int:
    """Fetch the named models, or all; 0 when every one is there afterwards, 1 when any failed, 2 on wrong usage."""
    tasks.load_all()
    if bool(args.names) == bool(args.all):
        print("Name the models to download, or give --all.", file=sys.stderr)
        return 2
    try:
        specs = registry.models() if args.all else tuple(registry.get(name) for name in dict.fromkeys(args.names))
    except CvDemoError as error:
        print(error, file=sys.stderr)
        return 2
    failed = [spec.name for spec in specs if not _download(spec)]
    if failed:
        print(f"Failed: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


def _row(spec: ModelSpec) -> dict[str, Any]:
    state = registry.availability(spec)
    return {
        "name": spec.name,
        "task": spec.task,
        "tier": spec.tier,
        "parameters": spec.parameters,
        "files": [file.filename for file in spec.files.values()],
        "megabytes": round(state.megabytes, 2),
        "available": state.ok,
        "local": state.local,
        "reason": state.reason,
        "remedy": state.remedy,
    }


def _state(row: dict[str, Any]) -> str:
    answer = "yes" if row["available"] else "no"
    if len(row["files"]) > 1 and not row["reason"]:
        return f"{answer}, with {' and '.join(row['files'])}"
    return f"{answer}, {row['reason']}" if row["reason"] else answer


def _print_table(table: Sequence[tuple[str, ...]], right: set[int]) -> None:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        cells = [
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths))
        ]
        print("  ".join(cells).rstrip())


def _download(spec: ModelSpec) -> bool:
    if not spec.files:
        print(f"{spec.name}: has no weights file", file=sys.stderr)
        return not spec.trained
    for file in spec.files.values():
        line = _ProgressLine(spec.name, sys.stderr)
        try:
            path = weights.ensure(file, progress=line.show)
        except CvDemoError as error:
            line.end()
            print(f"{spec.name}: {error}", file=sys.stderr)
            return False
        line.end()
        print(f"{spec.name}: {path}")
    return True


class _ProgressLine:
    """A percentage that overwrites itself on a terminal, and is printed every tenth of the way into a log."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self._name = name
        self._stream = stream
        self._shown = -1
        self._terminal = stream.isatty()

    def show(self, done: int, total: int) -> None:
        percent = 100 * done // total if total else 0
        step = percent if self._terminal else percent // 10 * 10
        if step == self._shown:
            return
        self._shown = step
        text = f"{self._name}: {step} % of {total / 1e6:.1f} MB" if total else f"{self._name}: {done / 1e6:.1f} MB"
        self._stream.write(f"\r{text}" if self._terminal else f"{text}\n")
        self._stream.flush()

    def end(self) -> None:
        if self._terminal and self._shown >= 0:
            self._stream.write("\n")
