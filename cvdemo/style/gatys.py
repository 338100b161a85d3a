"""Style transfer by optimising the pixels of one picture (Gatys et al. 2016, Image Style Transfer Using CNNs, CVPR).

``GatysRun`` is one optimisation that can be looked at, changed, paused and gone on with at any step; it knows no
interface. Every step is one run of the encoder through the engine, so the encoder is held for one step only and is
dealt fairly between several optimisations and everybody else who uses it: the pixels, the optimiser and the targets
belong to the run, nothing of it is left in the network. (A private copy of the network would avoid waiting, at a copy's
memory per visitor, and two optimisations would still share the processor.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cvdemo import tasks
from cvdemo.core.context import RunContext
from cvdemo.core.engine import Engine, default_engine
from cvdemo.core.errors import InputError
from cvdemo.style import colour, losses
from cvdemo.style.features import activations, fitted, to_pixels, to_tensor
from cvdemo.style.losses import shares_of
from cvdemo.style.models import COMPACT_ENCODER
from cvdemo.style.optimisers import new_optimiser, rein_in
from cvdemo.style.result import Losses, StyleResult
from cvdemo.style.settings import StyleSettings, check_inputs

PREVIEW_EVERY = 5
WEIGHTS = ("content_weight", "style_weight", "tv_weight")
_RUNAWAY = 3.0
_PAUSE_POLL_S = 0.1


@dataclass(frozen=True, eq=False)
class Step:
    """One step. number: from 1.   losses, total: of the picture that the step started from, total weighted.

    weights: that total was made with, by name.   best: the lowest total under them.   preview: the picture after the
    step, (H, W, 3) uint8, every few steps and at the first, else None.   milliseconds: the whole step, waiting for the
    encoder included.
    """

    number: int
    losses: Losses
    total: float
    weights: dict[str, float]
    best: float
    milliseconds: float
    preview: np.ndarray | None


class GatysRun:
    """One optimisation.

    Args:
        content: a picture, or None for texture synthesis (the result then has the first style's shape).
        styles: up to four pictures; may be empty when the style weight is 0.
        blend: the styles' weights, equal ones by default; names: what the styles are called in the result.
        model: an encoder from the registry.   preview_every: steps between previews.
    Raises InputError when the settings ask for what is not there.
    Thread-safe: ``change``, ``pause``, ``resume`` and ``stop`` may be called while another thread steps.
    """

    def __init__(
        self,
        content: Any | None,
        styles: Sequence[Any],
        settings: StyleSettings | None = None,
        *,
        blend: Sequence[float] | None = None,
        names: Sequence[str] = (),
        model: str = COMPACT_ENCODER,
        engine: Engine | None = None,
        user: str = "",
        preview_every: int = PREVIEW_EVERY,
    ) -> None:
        tasks.load_all()
        self.settings = settings or StyleSettings()
        self.model, self.user, self.preview_every = model, user, max(1, preview_every)
        self._engine = engine or default_engine()
        check_inputs(self.settings, content is not None, len(styles))
        size = self.settings.size
        style_size = max(32, round(size * self.settings.style_scale))
        self._styles = [fitted(style, style_size) for style in styles]
        self._content = fitted(content if content is not None else styles[0], size)
        self._has_content = content is not None
        if self._has_content and self._styles:
            ready = colour.prepared(self._content, self._styles, self.settings.preserve_colour)
            self._target_content, self._styles = ready
        else:
            self._target_content = self._content
        self._names = tuple(names) or tuple(f"style {index + 1}" for index in range(len(styles)))
        self._blend = shares_of(blend or [1.0] * len(styles), len(styles)) if styles else ()
        self._weights = {name: float(getattr(self.settings, name)) for name in WEIGHTS}
        self._changed = False
        self._lock = threading.Lock()
        self._paused, self._stopped = threading.Event(), threading.Event()
        self._picture: Tensor | None = None
        self._optimiser: Any = None
        self._rate = 1.0 if self.settings.optimiser == "L-BFGS" else self.settings.rate
        self._content_targets: dict[str, Tensor] = {}
        self._grams: list[dict[str, Tensor]] = []
        self._style_target: dict[str, Tensor] = {}
        self._best: tuple[float, Tensor, Losses] | None = None
        self._stages: dict[str, float] = {}
        self.number = 0
        self.history: list[Step] = []  # without previews

    # ------------------------------------------------------------------ control

    def change(self, *, blend: Sequence[float] | None = None, **weights: float) -> None:
        """New weights (content_weight, style_weight, tv_weight, blend) from the next step on.

        The best picture so far was the best of another question, so keeping starts anew. InputError for unusable ones.
        """
        unknown = set(weights) - set(WEIGHTS)
        if unknown:
            raise InputError(f"{unknown.pop()} cannot be changed while it runs.", hint="Stop and start anew.")
        new = StyleSettings.from_mapping(weights, base=self.settings)  # checks the ranges
        with self._lock:
            merged = self._weights | {name: float(getattr(new, name)) for name in weights}
            if merged["style_weight"] > 0 and not self._styles:
                raise InputError("There is no style picture.", hint="Start anew with one.")
            if merged["content_weight"] > 0 and not self._has_content:
                raise InputError("There is no content picture.", hint="Start anew with one.")
            if merged["content_weight"] <= 0 and merged["style_weight"] <= 0:
                raise InputError("Both weights are 0, so nothing would be optimised.", hint="Raise one of them.")
            if blend is not None:
                try:
                    self._blend = shares_of(blend, len(self._styles))
                except ValueError as error:
                    raise InputError(f"The styles cannot be blended like that: {error}.") from error
            self._changed |= merged != self._weights or blend is not None
            self._weights = merged

    def pause(self) -> None:
        """Let ``run`` wait after the step under way."""
        self._paused.set()

    def resume(self) -> None:
        """Let ``run`` go on."""
        self._paused.clear()

    def stop(self) -> None:
        """Let ``run`` end after the step under way; ``result`` keeps the best so far."""
        self._stopped.set()

    @property
    def paused(self) -> bool:
        return self._paused.is_set()

    @property
    def finished(self) -> bool:
        """Whether all steps are done or it was stopped."""
        return self._stopped.is_set() or self.number >= self.settings.steps

    def weights(self) -> dict[str, float]:
        """The present weights by name."""
        with self._lock:
            return dict(self._weights)

    def release(self) -> None:
        """Let go of what L-BFGS remembers, twenty times the picture; a further step learns it anew."""
        self._optimiser = None

    # ------------------------------------------------------------------ steps

    def run(self, cancel: threading.Event | None = None) -> Iterator[Step]:
        """The remaining steps, waiting while paused. Cancelled when ``cancel`` is set, within one step; what was
        reached stays, and ``run`` may be called again to go on."""
        while not self.finished:
            while self.paused and not self._stopped.is_set():
                if cancel is not None and cancel.wait(_PAUSE_POLL_S):
                    break
                if cancel is None:
                    self._stopped.wait(_PAUSE_POLL_S)
            if self._stopped.is_set():
                return
            yield self.step(cancel)

    def step(self, cancel: threading.Event | None = None) -> Step:
        """One step of the optimisation. Errors as in ``Engine.run``; after one the run is as before the step."""
        started = perf_counter()
        found, best = self._leased(self._one_step, cancel)
        self.number += 1
        total = found.total(**self._weights_used)
        shown = self.preview() if self.number == 1 or self.number % self.preview_every == 0 else None
        weights = dict(self._weights_used)
        step = Step(self.number, found, total, weights, best, (perf_counter() - started) * 1e3, shown)
        self.history.append(replace(step, preview=None))  # thousands of large pictures would fill the memory
        return step

    def _leased(self, work: Callable[[Any, RunContext], Any], cancel: threading.Event | None) -> Any:
        ran = self._engine.run(
            self.model, None, user=self.user, cancel=cancel, operation=lambda module, _, context: work(module, context)
        )
        for stage, milliseconds in ran.stages.items():
            self._stages[stage] = self._stages.get(stage, 0.0) + milliseconds
        return ran.output

    def _one_step(self, network: Any, context: RunContext) -> tuple[Losses, float]:
        self._begin(network, context)
        self._take_changes()
        assert self._picture is not None
        if self._optimiser is None:
            self._new_optimiser()
        latest: list[Losses] = []

        def closure() -> Tensor:
            self._optimiser.zero_grad(set_to_none=True)
            total, found = self._objective(network)
            latest.append(found)
            # The optimisers' thresholds are absolute: per-pixel gradients of a mean would fall below them.
            scaled = total * self._picture.numel()  # type: ignore[union-attr]
            scaled.backward()
            return scaled.detach()

        with context.stage("network"), torch.enable_grad():
            before = self._picture.detach().clone()
            self._optimiser.step(closure)
        with torch.no_grad():
            if self.settings.optimiser == "L-BFGS":
                rein_in(self._optimiser, self._picture, before, self._rate)
            self._keep(latest[0], before)
            total = latest[0].total(**self._weights_used)
            assert self._best is not None
            runaway = not np.isfinite(total) or total > _RUNAWAY * self._best[0] + 1e-6
            if runaway or not torch.isfinite(self._picture).all():
                self._go_back()
            self._picture.clamp_(0, 1)
        return latest[0], self._best[0]

    def _begin(self, network: Any, context: RunContext) -> None:
        """Targets and the first picture, at the first step."""
        if self._picture is not None:
            return
        s = self.settings
        with context.stage("targets"), torch.no_grad():
            if self._has_content:
                x = context.tensor(to_tensor(self._target_content))
                self._content_targets = activations(network, x, s.content_layers)
            self._grams = []
            for style in self._styles:
                found = activations(network, context.tensor(to_tensor(style)), s.style_layers)
                self._grams.append({name: losses.gram(value) for name, value in found.items()})
        if s.init == "content":
            picture = to_tensor(self._target_content)
        else:
            generator = torch.Generator().manual_seed(s.seed)
            picture = 0.5 + 0.2 * torch.randn((1, 3, *self._content.shape[:2]), generator=generator)
        self._changed = True
        # L-BFGS looks at gradients as one row of numbers, so the picture keeps the plain memory layout.
        self._picture = picture.clamp(0, 1).contiguous().to(context.device).detach().requires_grad_(True)

    def _take_changes(self) -> None:
        with self._lock:
            if self._changed:
                self._changed, self._best = False, None
                if self._grams:
                    self._style_target = losses.blended(self._grams, self._blend)
                if self.number:  # what was learnt of the old objective's curvature is wrong for the new one
                    self.release()
            self._weights_used = dict(self._weights)

    def _new_optimiser(self) -> None:
        assert self._picture is not None
        self._optimiser = new_optimiser(self.settings.optimiser, self._picture, self._rate)

    def _objective(self, network: Any) -> tuple[Tensor, Losses]:
        """The weighted loss of the picture; a term of weight 0 is not computed, and reported as 0."""
        weights = self._weights_used
        assert self._picture is not None
        content_targets = self._content_targets if weights["content_weight"] > 0 else {}
        style_targets = self._style_target if weights["style_weight"] > 0 else {}
        found = activations(network, self._picture, tuple(dict.fromkeys((*content_targets, *style_targets))))
        zero = self._picture.new_zeros(())
        content = losses.content_loss(found, content_targets) if content_targets else zero
        style = losses.style_loss(found, style_targets) if style_targets else zero
        variation = losses.total_variation(self._picture)
        total = weights["content_weight"] * content + weights["style_weight"] * style + weights["tv_weight"] * variation
        return total, Losses(float(content.detach()), float(style.detach()), float(variation.detach()))

    def _keep(self, found: Losses, picture: Tensor) -> None:
        total = found.total(**self._weights_used)
        if self._best is None or total < self._best[0]:
            self._best = (total, picture, found)

    def _go_back(self) -> None:
        """A step made it much worse: from the best picture, with half of the step."""
        assert self._best is not None
        assert self._picture is not None
        self._picture.copy_(self._best[1])
        self._rate *= 0.5
        self._new_optimiser()

    # ------------------------------------------------------------------ results

    def preview(self) -> np.ndarray:
        """The present picture, (H, W, 3) uint8, with the content's colours where they are preserved."""
        return self._shown(self._content if self._picture is None else to_pixels(self._picture))

    def best(self) -> np.ndarray:
        """The picture with the lowest loss under the present weights, as ``preview``."""
        return self.preview() if self._best is None else self._shown(to_pixels(self._best[1]))

    def _shown(self, pixels: np.ndarray) -> np.ndarray:
        if not self._has_content or not self._styles:
            return pixels
        return colour.finished(pixels, self._content, self.settings.preserve_colour)

    def result(self) -> StyleResult:
        """The best so far as a result; may be asked at any time after the first step."""
        if self._picture is not None:
            self._leased(self._measure_last, None)
        found = None if self._best is None else self._best[2]
        styles = tuple(zip(self._names, self._blend)) if self.weights()["style_weight"] > 0 else ()
        return StyleResult(self.best(), "gatys", self.model, styles, dict(self._stages), self.number, found)

    def _measure_last(self, network: Any, context: RunContext) -> None:
        """The last step's picture has not been judged yet."""
        self._take_changes()
        assert self._picture is not None
        with context.stage("network"), torch.no_grad():
            self._keep(self._objective(network)[1], self._picture.detach().clone())
