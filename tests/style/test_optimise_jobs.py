"""A visitor's optimisation: stepped, paused, overtaken and forgotten."""

import threading

import pytest

from cvdemo.style import optimise_jobs as jobs
from cvdemo.style.gatys import GatysRun
from cvdemo.style.optimise_jobs import Job
from cvdemo.style.settings import StyleSettings

SESSION = "style-job-test"
SMALL = StyleSettings(size=64, content_layers=("relu2_1",), style_layers=("relu1_1",), steps=5)


@pytest.fixture(autouse=True)
def own_engine(engine, monkeypatch):
    monkeypatch.setattr(jobs, "default_engine", lambda: engine)
    yield
    jobs.forget(SESSION)


def job(engine, content, style, **more):
    run = GatysRun(content, [style], SMALL, engine=engine, preview_every=1, **more)
    return Job(run, ("content.png", "style.png", "compact-vgg"), (), "content.png")


def advance(made, after=None):
    """Step a job; ``after`` is called with the progress of each step. Returns the words it was told."""
    told = []

    def progress(fraction, text):
        told.append((fraction, text))
        if after is not None:
            after(made)

    made.advance(progress, threading.Event())
    return told


def test_a_job_runs_to_its_end_and_keeps_the_best(engine, content, style):
    made = job(engine, content, style)
    told = advance(made)
    assert told[-1] == (1.0, "Step 5 of 5")
    assert (made.picture == made.run.best()).all()
    assert [step.preview for step in made.run.history] == [None] * 5  # pictures are not kept by the hundred
    assert not made.busy


def test_a_paused_job_ends_after_its_step_and_goes_on_later(engine, content, style):
    made = job(engine, content, style)
    advance(made, after=lambda job: job.run.pause() if job.run.number == 2 else None)
    assert made.run.number == 2
    assert (made.picture == made.run.preview()).all()
    made.run.resume()
    advance(made)
    assert [step.number for step in made.run.history] == [1, 2, 3, 4, 5]


def test_stopping_keeps_the_best_so_far(engine, content, style):
    made = job(engine, content, style)
    advance(made, after=lambda job: job.run.stop() if job.run.number == 3 else None)
    assert made.run.number == 3
    assert (made.picture == made.run.best()).all()


def test_a_new_job_stops_the_one_before_and_leaving_stops_the_last(engine, content, style):
    first, second = job(engine, content, style), job(engine, content, style)
    assert jobs.job_of(SESSION) is None
    jobs.begin(SESSION, first)
    jobs.begin(SESSION, second)
    assert first.run.finished
    assert jobs.job_of(SESSION) is second
    jobs.forget(SESSION)
    assert second.run.finished
    assert jobs.job_of(SESSION) is None
