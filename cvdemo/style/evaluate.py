"""``python -m cvdemo evaluate style``: how close one forward pass comes to the optimisation.

For every pair of a content and a style: the content itself, the picture of AdaIN (or of a feed-forward network, which
has its style built in) and that of some steps of optimisation, all measured with the same network. A method's
*reduction* is the share of the content's style loss that it takes away. Reported are the reduction beside the
optimisation's and the ratio of their content losses, as means over the pairs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cvdemo.core import registry
from cvdemo.core.engine import Engine
from cvdemo.core.errors import InputError
from cvdemo.core.media import read_picture
from cvdemo.core.report import hand_over
from cvdemo.style.measure import measure
from cvdemo.style.models import ADAIN, COMPACT_ENCODER
from cvdemo.style.predict import decode, infer, optimise
from cvdemo.style.settings import StyleSettings
from cvdemo.style.styles import STYLES, load_style

BAR_REDUCTION, BAR_CONTENT = 0.6, 1.5
Named = tuple[str, np.ndarray]


class _Subparsers(Protocol):
    def add_parser(self, name: str, **kwargs: Any) -> argparse.ArgumentParser: ...


def evaluate(
    contents: Sequence[Named],
    styles: Sequence[Named],
    settings: StyleSettings | None = None,
    *,
    model: str = COMPACT_ENCODER,
    judge: str = COMPACT_ENCODER,
    one_pass: str = ADAIN,
    engine: Engine | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Every content with every style.

    Args:
        contents, styles: names and (H, W, 3) uint8 pictures.   model: the optimisation's encoder.
        judge: the encoder that measures.   one_pass: the model that is compared, of the kind "adain" or "fast".
    Returns:
        "reduction_gatys", "reduction_adain" or "reduction_fast" (means over the pairs), "reduction_ratio" (of these
        means), "content_ratio" (mean content loss of the one pass by that of the optimisation), "passed", "pairs".
    """
    kind = str(registry.get(one_pass).extras.get("kind"))
    settings = settings or StyleSettings(steps=100)
    rows = []
    total = len(contents) * len(styles)
    for content_name, content in contents:
        for style_name, style in styles:
            inference = infer(content, [style], one_pass, settings, engine)
            fast = decode(inference, settings, None, engine).pixels
            slow = optimise(content, [style], settings, model=model, engine=engine).pixels
            pictures = [inference.content, slow, fast]
            start, *found = measure(pictures, content, style, settings, model=judge, engine=engine)
            names = {"content": content_name, "style": style_name}
            rows.append(names | _losses(kind, start.style, *found))
            if progress is not None:
                progress(len(rows), total)
    means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if key not in ("content", "style")}
    ratio = means[f"reduction_{kind}"] / max(means["reduction_gatys"], 1e-9)
    content_ratio = means[f"content_{kind}"] / max(means["content_gatys"], 1e-9)
    return {
        **{key: round(value, 4) for key, value in means.items()},
        "reduction_ratio": round(ratio, 4),
        "content_ratio": round(content_ratio, 4),
        "passed": bool(ratio >= BAR_REDUCTION and content_ratio <= BAR_CONTENT),
        "steps": settings.steps, "size": settings.size, "judge": judge, "model": one_pass, "kind": kind, "pairs": rows,
    }  # fmt: skip


def _losses(kind: str, start: float, slow: Any, fast: Any) -> dict[str, float]:
    found = {"gatys": slow, kind: fast}
    return {
        "style_start": start,
        **{f"style_{name}": loss.style for name, loss in found.items()},
        **{f"reduction_{name}": 1 - loss.style / max(start, 1e-9) for name, loss in found.items()},
        **{f"content_{name}": loss.content for name, loss in found.items()},
    }


def read_some(folder: Path, count: int) -> list[Named]:
    """The first pictures of a folder by name; InputError when it holds none."""
    from cvdemo.commands.shared import pictures_in

    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.", hint="Name a folder with pictures.")
    return [(path.name, read_picture(path).pixels) for path in pictures_in(folder)[:count]]


def add_parser(subparsers: _Subparsers) -> None:
    """Add ``style`` to the tasks of ``python -m cvdemo evaluate``; the parsed arguments carry ``run``."""
    parser = subparsers.add_parser("style", help="one forward pass beside the optimisation, by style and content loss")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder with content pictures")
    parser.add_argument("--styles", type=Path, metavar="DIR", help="folder with styles (default: the program's own)")
    parser.add_argument("--contents", type=int, default=20, metavar="N", help="how many contents (default: 20)")
    parser.add_argument("--style-count", type=int, default=10, metavar="N", help="how many styles (default: 10)")
    parser.add_argument(
        "--model", default=ADAIN, metavar="NAME", help="AdaIN, or a feed-forward network, with its style alone"
    )
    parser.add_argument("--judge", default=COMPACT_ENCODER, metavar="NAME", help="encoder (default: %(default)s)")
    parser.add_argument("--encoder", default=COMPACT_ENCODER, metavar="NAME", help="the optimisation's encoder")
    parser.add_argument("--json", metavar="FILE", help="write JSON to a file, or to the output with -")
    StyleSettings.add_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate as the parsed arguments say and print the result; 0, or InputError and its like."""
    from cvdemo import tasks

    tasks.load_all()
    contents = read_some(args.images, args.contents)
    own = registry.get(args.model).extras.get("style")
    if own is not None:
        styles = [(own, load_style(own))]
    elif args.styles is not None:
        styles = read_some(args.styles, args.style_count)
    else:
        styles = [(name, load_style(name)) for name in list(STYLES)[: args.style_count]]
    settings = StyleSettings.from_arguments(args)
    report = evaluate(
        contents, styles, settings,
        model=args.encoder, judge=args.judge, one_pass=args.model, progress=_progress,
    )  # fmt: skip
    hand_over(report, args.json, table(report))
    return 0


def _progress(done: int, total: int) -> None:
    if done == total or done % 5 == 0:
        print(f"{done} of {total} pairs", file=sys.stderr, flush=True)


def table(report: Mapping[str, Any]) -> str:
    """The report for people."""
    kind = report["kind"]
    return "\n".join((
        f"{len(report['pairs'])} pairs at {report['size']} pixels, measured with {report['judge']}",
        f"  {'':24s} style loss taken away   content loss",
        f"  {'optimisation':24s} {100 * report['reduction_gatys']:19.1f} %   {report['content_gatys']:12.3f}"
        f"   ({report['steps']} steps)",
        f"  {report['model']:24s} {100 * report['reduction_' + kind]:19.1f} %   {report['content_' + kind]:12.3f}",
        f"  ratio {report['reduction_ratio']:.2f} (bar {BAR_REDUCTION}), content {report['content_ratio']:.2f} "
        f"(bar {BAR_CONTENT}): {'passed' if report['passed'] else 'not passed'}",
    ))  # fmt: skip
