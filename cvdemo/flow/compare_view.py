"""What the Compare view shows: the same pair through several methods, with their time and their error."""

from __future__ import annotations

import functools
import html
from dataclasses import dataclass

import numpy as np

from cvdemo.core import registry
from cvdemo.core.settings import Settings, setting
from cvdemo.flow import draw as drawing
from cvdemo.flow import models as models  # registers the methods that the settings name
from cvdemo.flow.colour import robust_maximum
from cvdemo.flow.metrics import endpoint_error, outliers
from cvdemo.flow.predict import BACKWARD, TASK, decode
from cvdemo.flow.tab_shared import Look, Pair, Truth, mean_error
from cvdemo.flow.warp import warp_error
from cvdemo.ui.viewer import display_copy, shown

FIELD, ERROR = "flow", "error"
ERROR_FULL = 10.0
"""Pixels of endpoint error that are drawn brightest."""
WARP_FULL = 60.0
_PANEL_SIDE = 480


def method_names() -> tuple[str, ...]:
    """All methods, the ones that ship first."""
    order = {"compact": 0, "classical": 1, "full": 2}
    return tuple(spec.name for spec in sorted(registry.models(task=TASK), key=lambda spec: order.get(spec.tier, 3)))


def ready_names() -> tuple[str, ...]:
    """Those that can run here without fetching anything."""
    return tuple(name for name in method_names() if registry.availability(registry.get(name)).ok)


@dataclass(frozen=True)
class CompareSettings(Settings):
    """Which methods, and what is drawn of each."""

    methods: tuple[str, ...] = setting(
        tuple(name for name in ready_names() if registry.get(name).tier != "full"), label="Methods",
        choices=method_names(), network=True, help="Each runs once on this pair, forwards and backwards.",
    )  # fmt: skip
    show: str = setting(
        FIELD, label="Draw", choices=(FIELD, ERROR),
        help="The flow in one colour code, or each pixel's endpoint error (its warp error where there is no truth).",
    )  # fmt: skip
    maximum: float = setting(
        0.0, label="Full colour at (px)", minimum=0.0, maximum=200.0, step=0.5,
        help="The same for all methods; 0 takes it from the truth, or from the first method.",
    )  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A method's figures: one run's milliseconds, and errors (NaN where the truth is not known)."""

    name: str
    title: str
    parameters: int
    milliseconds: float
    epe: float
    outliers: float
    warp: float


def run_ms(look: Look) -> float:
    """Milliseconds of one forward run, without loading, waiting and the backward flow."""
    stages = look.inference.stages.items()
    return sum(ms for name, ms in stages if name not in ("load", "wait") and not name.startswith(BACKWARD))


def outlier_share(flow: np.ndarray, truth: np.ndarray) -> float:
    """Fl-all in per cent, see ``metrics.outliers``; NaN where the truth is nowhere known."""
    error = endpoint_error(flow, truth)
    known = np.isfinite(error)
    return 100 * float(outliers(error, truth)[known].mean()) if known.any() else float("nan")


def row_of(look: Look, truth: Truth | None) -> Row:
    """The figures of one look."""
    spec, flow = registry.get(look.inference.model), decode(look.inference).flow
    wrong = warp_error(look.pair.first, look.pair.second, flow)
    warp = float(np.nanmean(wrong)) if np.isfinite(wrong).any() else float("nan")
    epe = mean_error(flow, truth.flow) if truth is not None else float("nan")
    outliers = outlier_share(flow, truth.flow) if truth is not None else float("nan")
    return Row(spec.name, spec.title, spec.parameters, run_ms(look), epe, outliers, warp)


def common_maximum(looks: list[Look], truth: Truth | None, settings: CompareSettings) -> float:
    """One maximum for all panels."""
    if settings.maximum:
        return settings.maximum
    if truth is not None:
        return robust_maximum(truth.flow)
    return robust_maximum(decode(looks[0].inference).flow) if looks else 1.0


def panel(look: Look, truth: Truth | None, settings: CompareSettings, maximum: float) -> np.ndarray:
    """One method's picture."""
    flow = decode(look.inference).flow
    if settings.show == FIELD:
        return drawing.draw_colour(look.pair.first, flow, maximum)
    if truth is None:
        return drawing.shaded(warp_error(look.pair.first, look.pair.second, flow), WARP_FULL)
    return drawing.shaded(endpoint_error(flow, truth.flow), ERROR_FULL)


def panels_html(looks: list[Look], pair: Pair, truth: Truth | None, settings: CompareSettings) -> str:
    """A grid of pictures with what each one is; the scale is on the first."""
    maximum = common_maximum(looks, truth, settings)
    figures: list[tuple[np.ndarray, str, str]] = []
    if truth is not None:
        figures.append((drawing.draw_colour(pair.first, truth.flow, maximum), "Ground truth", truth.source))
    for look in looks:
        row = row_of(look, truth)
        words = f"{row.milliseconds:.0f} ms" + (f" · EPE {row.epe:.2f} px" if truth is not None else "")
        figures.append((panel(look, truth, settings, maximum), row.title, words))
    cells = []
    for index, (pixels, title, words) in enumerate(figures):
        small = display_copy(pixels, _PANEL_SIDE)[0]
        if index == 0:
            small = drawing.add_wheel(small, maximum) if truth is not None or settings.show == FIELD else small
        if index == (1 if truth is not None else 0) and settings.show == ERROR:
            small = drawing.add_scale(small, WARP_FULL if truth is None else ERROR_FULL, "" if truth is None else "px")
        source = shown(small, "", 85)["src"]
        cells.append(
            f'<figure><img src="{source}" alt="{html.escape(title)}: {html.escape(words)}">'
            f"<figcaption><b>{html.escape(title)}</b><br>{html.escape(words)}</figcaption></figure>"
        )
    return f'<div class="flow-grid">{"".join(cells)}</div>'


def table_html(rows: list[Row], truth: Truth | None) -> str:
    """A line per method, fastest first, and how to get those that cannot run."""
    slowest = max((row.milliseconds for row in rows), default=0.0) or 1.0
    body = ""
    for row in sorted(rows, key=lambda row: row.milliseconds):
        errors = f"<td>{row.epe:.3f} px</td><td>{row.outliers:.1f} %</td>" if truth is not None else ""
        size = f"{row.parameters / 1e6:.2f} M" if row.parameters else "none"
        body += (
            f"<tr><td>{html.escape(row.title)}</td><td>{size}</td>{errors}<td>{row.warp:.2f}</td>"
            f"<td>{row.milliseconds:.0f} ms</td>"
            '<td style="width:110px" class="bar">'
            f'<div style="width:{100 * row.milliseconds / slowest:.1f}%"></div></td></tr>'
        )
    errors = "<th>EPE</th><th>Fl-all</th>" if truth is not None else ""
    head = f"<tr><th>Method</th><th>Parameters</th>{errors}<th>Warp error</th><th>One run</th><th></th></tr>"
    text = f'<div class="wide"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'
    text += (
        '<p class="caption">EPE: mean distance between the ends of the computed and the true displacement. Fl-all: '
        "share of pixels wrong by more than 3 px and 5 %. Warp error: grey levels between the first frame and the "
        "second one warped back; it needs no truth, and is fooled where nothing can be seen.</p>"
    )
    missing = [
        f"{registry.get(name).title}: {state.reason}"
        for name in method_names()
        if not (state := registry.availability(registry.get(name))).ok
    ]
    if missing:
        text += f'<p class="caption">Not ready here: {html.escape("; ".join(missing))}</p>'
    return f'<div class="numbers">{text}</div>'


def sentence(rows: list[Row], truth: Truth | None) -> str:
    """Which method is fastest, and which is most exact."""
    if not rows:
        return "No method was chosen"
    fastest = min(rows, key=lambda row: row.milliseconds)
    text = f"{fastest.title} is fastest ({fastest.milliseconds:.0f} ms)"
    judged = [row for row in rows if np.isfinite(row.epe)]
    if truth is not None and judged:
        best = min(judged, key=lambda row: row.epe)
        return f"{text}; {best.title} is most exact (EPE {best.epe:.2f} px)"
    best = min(rows, key=lambda row: row.warp)
    return f"{text}; {best.title} has the smallest warp error ({best.warp:.1f} grey levels)"


@functools.lru_cache(maxsize=1)
def menu() -> list[tuple[str, str]]:
    """(label, name) of all methods."""
    return [(registry.get(name).title, name) for name in method_names()]
