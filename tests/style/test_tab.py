"""The Style tab as a plan: views, style pictures, blends, its address and its lesson."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cvdemo.core import registry
from cvdemo.core.errors import InputError
from cvdemo.core.media import save_picture
from cvdemo.style import optimise_jobs as jobs
from cvdemo.style import tab_gan, tab_one_pass, tab_optimise, tab_race
from cvdemo.style.gan_table import GanViewSettings
from cvdemo.style.one_pass_view import OnePassSettings
from cvdemo.style.optimise_view import OptimiseSettings
from cvdemo.style.styles import STYLES, load_style
from cvdemo.style.tab import PLAN
from cvdemo.style.tab_shared import (
    BLEND,
    FIRST_STYLE,
    OWN,
    PARTNER,
    Blend,
    content_on_show,
    gallery_html,
    style_examples,
    style_name,
    styles_on_show,
)
from cvdemo.ui import lessons, memory
from cvdemo.ui.examples import Example, pictures
from cvdemo.ui.sessions import files
from cvdemo.ui.views import View
from cvdemo.ui.widgets import widget_values
from cvdemo.ui.workbench import Workbench

SESSION = "style-tab-test"
SETTINGS = {
    tab_optimise.PREFIX: OptimiseSettings, tab_race.PREFIX: OptimiseSettings, "blend_": Blend,
    tab_one_pass.PREFIX: OnePassSettings, tab_gan.PREFIX: GanViewSettings,
}  # fmt: skip


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "root", tmp_path / "root")
    yield
    memory.forget(SESSION)
    jobs.forget(SESSION)


def blend(**values):
    return widget_values(Blend.from_mapping(values), BLEND)


def test_every_style_has_a_thumbnail(tmp_path):
    found = style_examples(tmp_path)
    assert [example.name for example in found] == list(STYLES)
    assert all(example.path.is_file() for example in found)


def test_a_style_is_named_by_its_file_unless_it_was_brought(tmp_path):
    shipped = next(e.path for e in style_examples(files.examples) if e.name == "waves")
    assert style_name(str(shipped)) == "waves"
    assert style_name(str(tmp_path / "waves.jpg")) == OWN
    assert style_name(None) == OWN


def test_further_styles_join_the_style_picture_once():
    path = str(next(e.path for e in style_examples(files.examples) if e.name == "waves"))
    alone = styles_on_show(SESSION, path, *blend())
    assert (alone.names, alone.weights) == (("waves",), (1.0,))
    mixed = styles_on_show(SESSION, path, *blend(further=("mosaic", "waves", "circles"), second=0.5, third=0.0))
    assert (mixed.names, mixed.weights) == (("waves", "mosaic", "circles"), (1.0, 0.5, 0.0))
    assert (mixed.pictures[1] == load_style("mosaic")).all()
    assert mixed.key != alone.key
    with pytest.raises(InputError, match="all 0"):
        styles_on_show(SESSION, path, *blend(first=0.0))


def test_missing_pictures_are_asked_for():
    with pytest.raises(InputError, match="no style picture"):
        styles_on_show(SESSION, None, *blend())
    with pytest.raises(InputError, match="no content picture"):
        content_on_show(SESSION, None)


def test_an_address_opens_content_style_and_network(tmp_path):
    bench = Workbench(PLAN, [], [Example("tower", "", Path("t")), Example("lion", "", Path("l"))], [View("optimise")])
    model, content, _, view, style = bench.open({"example": "lion", "style": "mosaic", "view": "race", "model": "x"})
    assert (model.value, content, view) == ("compact-vgg", "l", "race")
    assert style_name(style) == "mosaic"
    assert [name for _, name in model.choices] == ["compact-vgg", "vgg19"]  # networks that losses look through
    _, content, _, view, style = bench.open({"style": "<script>", "view": "nowhere"})
    assert (content, view, style_name(style)) == ("t", "optimise", FIRST_STYLE)


def test_the_address_names_a_shipped_style_only():
    script = PARTNER.address_script()
    assert '"styles/waves.jpg": "waves"' in script
    assert f'["{FIRST_STYLE}"]' in script


@pytest.mark.parametrize("attempt", lessons.load("style").tries, ids=lambda attempt: attempt.label)
def test_lesson_buttons_name_what_there_is(attempt, tmp_path):
    for name, value in attempt.query.items():
        if name == "view":
            assert value in PLAN.names
        elif name == "example":
            assert value in [example.name for example in pictures(tmp_path)]
        elif name == "style":
            assert value in STYLES
        elif name == "model":
            assert registry.get(value).extras["kind"] == "encoder"
        else:
            prefix = next(prefix for prefix in SETTINGS if name.startswith(prefix))
            fields = {field.name: field for field in SETTINGS[prefix].fields_of()}
            fields[name.removeprefix(prefix)].parse(value)  # raises for a value that cannot be


@pytest.fixture
def pair(tmp_path, content, style):
    paths = []
    for name, pixels in (("content.png", content), ("style.png", style)):
        save_picture(tmp_path / name, pixels)
        paths.append(str(tmp_path / name))
    return paths


def asked(**values):
    small = {"size": 64, "steps": 3, "content_layers": ("relu2_1",), "style_layers": ("relu1_1",)}
    return (*widget_values(OptimiseSettings.from_mapping(small | values), tab_optimise.NAMES), *blend())


@pytest.fixture
def visitor(engine, monkeypatch):
    """A request of the session, with the engine of arbitrary weights behind the page."""
    monkeypatch.setattr(jobs, "default_engine", lambda: engine)
    monkeypatch.setattr("cvdemo.style.gatys.default_engine", lambda: engine)
    return SimpleNamespace(session_hash=SESSION)


def test_start_shows_every_step_on_the_way_and_ends_with_the_best(visitor, pair):
    answers = list(tab_optimise._start(visitor, *pair, "compact-vgg", *asked()))
    picture, line, curves, numbers, start, pause, resume, stop = answers[-1]
    assert picture["src"].startswith("data:image/jpeg")
    assert "Finished at step 3 of 3" in line
    assert curves.split("</div>")[1].count("<polyline") == 3  # behind the key
    assert "relu2_1" in numbers
    assert start.value == "Start anew"
    assert [button.interactive for button in (pause, resume, stop)] == [False] * 3
    assert answers[0][5].interactive  # pause, while it runs


def test_the_same_question_is_not_asked_again(visitor, pair):
    list(tab_optimise._on_new_pictures(visitor, *pair, "compact-vgg", *asked()))
    first = jobs.job_of(SESSION)
    list(tab_optimise._on_new_pictures(visitor, *pair, "compact-vgg", *asked()))
    assert jobs.job_of(SESSION) is first
    list(tab_optimise._on_new_pictures(visitor, *pair, "compact-vgg", *asked(seed=1)))
    assert jobs.job_of(SESSION) is not first


def test_a_run_is_paused_gone_on_with_and_stopped(visitor, pair):
    running = tab_optimise._start(visitor, *pair, "compact-vgg", *asked(steps=2000))
    answers = []
    for found in running:
        answers.append(found)
        job = jobs.job_of(SESSION)
        if job.run.number >= 1:
            tab_optimise._pause(visitor)
    answer = answers[-1]
    reached = job.run.number
    assert f"Paused at step {reached} of 2000" in answer[1]
    assert [button.interactive for button in answer[5:]] == [False, True, True]
    for found in tab_optimise._resume(visitor):
        answers.append(found)
        if job.run.number > reached:
            tab_optimise._stop(visitor)
    assert f"Stopped at step {job.run.number} of 2000" in answers[-1][1]
    assert job.run.number > reached
    assert next(tab_optimise._resume(visitor))[0]["__type__"] == "update"  # a stopped run stays stopped


def test_stopping_a_paused_run_answers_itself(visitor, pair):
    for _ in tab_optimise._start(visitor, *pair, "compact-vgg", *asked(steps=2000)):
        if jobs.job_of(SESSION).run.number >= 1:
            tab_optimise._pause(visitor)
    answer = tab_optimise._stop(visitor)
    assert "Stopped at step" in answer[1]


def test_texture_synthesis_needs_no_content_and_inversion_no_style(visitor, pair):
    job = tab_optimise.job_for(SESSION, None, pair[1], "compact-vgg", asked(content_power=-3.0, init="noise"))
    assert job.run.weights()["content_weight"] == 0
    assert job.name == "texture"
    job = tab_optimise.job_for(SESSION, pair[0], None, "compact-vgg", asked(style_power=-3.0))
    assert job.run.weights()["style_weight"] == 0
    with pytest.raises(InputError, match="no style picture"):
        tab_optimise.job_for(SESSION, pair[0], None, "compact-vgg", asked())


def test_problems_are_told_under_the_result(visitor, pair):
    (answer,) = tab_optimise._start(visitor, pair[0], None, "compact-vgg", *asked())
    assert "There is no style picture." in answer[1]
    *_, answer = tab_optimise._start(visitor, *pair, "compact-vgg", *asked(content_layers=("relu4_4",)))
    assert "relu4_4" in answer[1]
    assert 'role="alert"' in answer[1]


def test_the_race_lists_what_could_not_start(visitor, pair, monkeypatch, engine):
    monkeypatch.setattr("cvdemo.style.race.default_engine", lambda: engine)
    monkeypatch.setattr("cvdemo.style.predict.default_engine", lambda: engine)
    values = widget_values(OptimiseSettings(size=64, steps=2), tab_race.NAMES)
    *_, (panels, line, table) = tab_race._run(visitor, *pair, "compact-vgg", *values)
    assert panels.count("<img") == 3  # content, optimisation, AdaIN
    assert "Fastest" in line
    assert "unavailable: A feed-forward network knows one style" in table
    assert memory.memory_of(SESSION).get(tab_race.LAST) is not None


def test_pictures_in_a_row_are_described():
    shown = gallery_html([(np.zeros((4, 4, 3), np.uint8), "A & B", "loss 0.1")])
    assert 'alt="A &amp; B, loss 0.1"' in shown
