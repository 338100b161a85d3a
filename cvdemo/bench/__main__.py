"""``python -m cvdemo.bench NAME [options]`` runs the benchmark ``cvdemo/bench/NAME.py``; without a name lists them.

A benchmark is a module with a docstring, whose first line is shown in the list, and ``main(arguments) -> exit code``.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from cvdemo.core.errors import CvDemoError


def benchmarks() -> dict[str, str]:
    """Name and one-line description of every benchmark, read without importing them."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[path.stem] = docstring.partition("\n")[0]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark named first with the remaining arguments; returns an exit code."""
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or [""]
    known = benchmarks()
    if name in ("", "-h", "--help"):
        print("usage: python -m cvdemo.bench NAME [options]\n")
        print("\n".join(f"  {known_name:12s} {description}" for known_name, description in known.items()))
        return 0
    if name not in known:
        print(f"There is no benchmark named {name!r}. Choose one of: {', '.join(known)}.", file=sys.stderr)
        return 2
    try:
        return int(importlib.import_module(f"cvdemo.bench.{name}").main(rest) or 0)
    except CvDemoError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
