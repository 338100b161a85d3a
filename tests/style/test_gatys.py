"""The optimisation: that it lowers its losses, obeys while it runs, and is the same for the same seed."""

import itertools
import threading

import numpy as np
import pytest

from cvdemo.core.errors import Cancelled, InputError
from cvdemo.style.gatys import GatysRun
from cvdemo.style.settings import StyleSettings, preset

SMALL = {"size": 64, "content_layers": ("relu2_1",), "style_layers": ("relu1_1", "relu2_1"), "tv_weight": 0.0}


def job(engine, content, styles, *, settings=None, **more):
    base = StyleSettings.from_mapping({**SMALL, "steps": 8, **(settings or {})})
    return GatysRun(content, styles, base, engine=engine, **more)


@pytest.mark.parametrize("optimiser", ["L-BFGS", "Adam"])
@pytest.mark.parametrize("init", ["content", "noise"])
def test_the_loss_falls(engine, content, style, optimiser, init):
    run = job(engine, content, [style], settings={"optimiser": optimiser, "init": init, "steps": 12})
    steps = list(run.run())
    assert [step.number for step in steps] == list(range(1, 13))
    assert steps[-1].best < 0.8 * steps[0].total
    assert all(later.best <= earlier.best for earlier, later in itertools.pairwise(steps))
    for step in steps:
        terms = step.losses
        assert step.total == pytest.approx(terms.content + 10 * terms.style)
    result = run.result()
    assert result.losses.total(1, 10, 0) <= steps[-1].best + 1e-9
    assert result.steps == 12
    assert result.pixels.shape == (53, 64, 3)


def test_content_as_the_start_has_no_content_loss(engine, content, style):
    assert job(engine, content, [style]).step().losses.content == pytest.approx(0, abs=1e-6)


def test_the_style_itself_has_no_style_loss(engine, style):
    run = job(engine, style, [style], settings={"init": "content"})
    first = run.step()
    assert first.losses.style == pytest.approx(0, abs=1e-6)
    assert first.losses.content == pytest.approx(0, abs=1e-6)


def test_feature_inversion_needs_no_style_and_texture_synthesis_no_content(engine, content, style):
    base = StyleSettings.from_mapping({**SMALL, "steps": 10})
    inversion = GatysRun(content, [], preset("feature inversion", base), engine=engine)
    steps = list(inversion.run())
    assert steps[-1].best < 0.7 * steps[0].total
    assert steps[0].losses.style == 0
    assert inversion.result().styles == ()
    texture = GatysRun(None, [style], preset("texture synthesis", base), engine=engine)
    steps = list(texture.run())
    assert steps[-1].best < 0.7 * steps[0].total
    assert steps[0].losses.content == 0
    assert texture.result().pixels.shape == (64, 64, 3)


def test_the_same_seed_gives_the_same_picture(engine, content, style):
    def made(seed):
        run = job(engine, content, [style], settings={"init": "noise", "steps": 3, "seed": seed})
        list(run.run())
        return run.preview()

    assert (made(1) == made(1)).all()
    assert (made(1) != made(2)).any()


def test_a_changed_weight_counts_from_the_next_step(engine, content, style):
    run = job(engine, content, [style])
    first = run.step()
    run.change(style_weight=20.0)
    assert run.weights()["style_weight"] == 20
    second = run.step()
    assert second.total == pytest.approx(second.losses.content + 20 * second.losses.style)
    assert first.total == pytest.approx(10 * first.losses.style, abs=1e-6)
    assert second.best == second.total  # the best of the old weights was the best of another question


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"style_weight": -1.0}, "Style weight"),
        ({"style_weight": 0.0, "content_weight": 0.0}, "nothing would be optimised"),
        ({"size": 64.0}, "cannot be changed"),
        ({"blend": [0.0]}, "blended"),
    ],
)
def test_unusable_changes_are_refused_and_nothing_is_lost(engine, content, style, change, message):
    run = job(engine, content, [style])
    run.step()
    with pytest.raises(InputError, match=message):
        run.change(**change)
    assert run.weights()["style_weight"] == 10
    assert run.step().number == 2


def test_blends_lie_between_their_styles(engine, content, style):
    other = np.full_like(style, 230)

    def style_losses(blend):
        run = job(engine, content, [style, other], blend=blend)
        return run.step().losses.style

    assert style_losses([1, 0]) != pytest.approx(style_losses([0, 1]))
    alone = job(engine, content, [style]).step().losses.style
    assert style_losses([5, 0]) == pytest.approx(alone, rel=1e-5)
    run = job(engine, content, [style, other], blend=[1, 0])
    run.step()
    run.change(blend=[1, 1])
    run.step()
    assert run.result().styles == (("style 1", 0.5), ("style 2", 0.5))


def test_pause_resume_and_stop(engine, content, style):
    run = job(engine, content, [style], settings={"steps": 500})
    run.pause()
    seen, began = [], threading.Event()

    def work():
        began.set()
        seen.extend(run.run())

    thread = threading.Thread(target=work)
    thread.start()
    began.wait(5)
    thread.join(0.3)
    assert seen == []
    assert run.number == 0
    run.resume()
    while run.number < 3:
        thread.join(0.01)
    run.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert 3 <= run.number < 500
    assert run.finished
    assert run.result().steps == run.number


def test_cancelling_ends_within_one_step_and_keeps_what_was_reached(engine, content, style):
    run = job(engine, content, [style])
    cancel = threading.Event()
    with pytest.raises(Cancelled):  # noqa: PT012
        for step in run.run(cancel):
            if step.number == 2:
                cancel.set()
    assert run.number == 2
    assert run.result().losses is not None
    assert run.step().number == 3


def test_other_users_get_their_turn_between_steps(engine, content, style):
    mine, theirs = job(engine, content, [style], user="me"), job(engine, content, [style], user="them")
    alone = job(engine, content, [style])
    interleaved = []
    for _ in range(4):
        interleaved.append(mine.step().total)
        theirs.step()
    assert interleaved == pytest.approx([alone.step().total for _ in range(4)])


def test_previews_come_at_the_first_step_and_every_few(engine, content, style):
    run = job(engine, content, [style], preview_every=3)
    with_preview = [step.number for step in run.run() if step.preview is not None]
    assert with_preview == [1, 3, 6]


@pytest.mark.parametrize("way", ["luminance", "covariance"])
def test_colours_can_be_preserved(engine, content, style, way):
    run = job(engine, content, [style], settings={"preserve_colour": way, "steps": 6})
    list(run.run())
    small = run._content.astype(float)
    shown = run.best().astype(float)
    assert shown.shape == small.shape
    if way == "luminance":
        differences = np.abs((shown - shown.mean(2, keepdims=True)) - (small - small.mean(2, keepdims=True)))
        assert np.median(differences) < 3


@pytest.mark.parametrize(
    ("content_given", "style_count", "settings", "message"),
    [
        (False, 0, {}, "neither"),
        (False, 1, {}, "no content"),
        (True, 0, {}, "no style"),
        (True, 5, {}, "too many"),
        (True, 1, {"content_weight": 0.0, "style_weight": 0.0}, "Both weights"),
        (True, 1, {"style_layers": ()}, "No layer"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(engine, content, style, content_given, style_count, settings, message):
    with pytest.raises(InputError, match=message):
        job(engine, content if content_given else None, [style] * style_count, settings=settings)


def test_a_layer_that_only_vgg19_has_is_refused(engine, content, style):
    with pytest.raises(InputError, match="relu4_4"):
        job(engine, content, [style], settings={"content_layers": ("relu4_4",)}).step()


def test_a_style_of_one_pixel(engine, content):
    run = job(engine, content, [np.full((1, 1, 3), 90, np.uint8)], settings={"steps": 3})
    assert len(list(run.run())) == 3
    assert run.best().shape == (53, 64, 3)


@pytest.mark.parametrize("optimiser", ["L-BFGS", "Adam"])
def test_a_run_whose_memory_was_released_goes_on(engine, content, style, optimiser):
    run = job(engine, content, [style], settings={"optimiser": optimiser})
    first = run.step()
    run.step()
    run.release()
    for _ in range(4):
        last = run.step()
    assert last.best < first.total
    assert last.number == 6
