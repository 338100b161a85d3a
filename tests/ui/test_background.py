"""Work in a thread, followed by a generator: progress, the result, errors, and stopping."""

import threading
from types import SimpleNamespace

import pytest

from cvdemo.core.errors import Cancelled
from cvdemo.ui.background import Done, Progress, Stop, follow, stopping

PATIENCE = 30.0


def test_the_result_comes_last():
    events = list(follow(lambda progress, cancel: 42, every=0.01))
    assert events == [Done(42)]


def test_none_is_a_result_too():
    assert list(follow(lambda progress, cancel: None, every=0.01)) == [Done(None)]


def test_progress_is_shown_while_the_work_goes_on():
    seen = threading.Event()

    def work(progress, cancel):
        progress(0.25, "a quarter")
        assert seen.wait(PATIENCE)
        return "done"

    events = []
    for event in follow(work, every=0.01):
        events.append(event)
        seen.set()
    assert events == [Progress(0.25, "a quarter"), Done("done")]


def test_only_the_latest_progress_is_shown():
    shown = threading.Event()

    def work(progress, cancel):
        for step in range(200):
            progress(step / 200, str(step))
        assert shown.wait(PATIENCE)
        for step in range(200, 400):
            progress(step / 400, str(step))
        return "done"

    events = []
    for event in follow(work, every=0.05):
        events.append(event)
        shown.set()
    assert events[-1] == Done("done")
    steps = [int(event.text) for event in events[:-1]]
    assert steps == sorted(steps)
    assert 1 <= len(steps) < 100, "not one for each call"


def test_words_may_be_left_out():
    seen = threading.Event()

    def work(progress, cancel):
        progress(0.5)
        assert seen.wait(PATIENCE)

    events = []
    for event in follow(work, every=0.01):
        events.append(event)
        seen.set()
    assert events[0] == Progress(0.5, "")


@pytest.mark.parametrize("error", [ValueError("wrong"), Cancelled("Stopped."), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_of_the_work_is_raised_here(error):
    def work(progress, cancel):
        progress(0.1, "before the fall")
        raise error

    with pytest.raises(type(error)) as raised:
        list(follow(work, every=0.01))
    assert raised.value is error


def test_closing_the_generator_stops_the_work():
    stopped = threading.Event()

    def work(progress, cancel):
        progress(0.1, "working")
        assert cancel.wait(PATIENCE)
        stopped.set()

    events = follow(work, every=0.01)
    assert next(events) == Progress(0.1, "working")
    events.close()
    assert stopped.wait(PATIENCE)


def test_the_work_runs_in_another_thread_that_does_not_hold_up_the_exit():
    (event,) = follow(lambda progress, cancel: threading.current_thread(), every=0.01)
    assert event.value is not threading.current_thread()
    assert event.value.daemon


def test_cancel_is_not_set_while_the_work_runs():
    (event,) = follow(lambda progress, cancel: cancel.is_set(), every=0.01)
    assert event.value is False


def press(what, user):
    """What a press of a Stop button does for a visitor."""
    stopping(what)(SimpleNamespace(session_hash=user))


def test_a_stop_button_ends_the_work_of_its_own_visitor_only():
    begun, ended = threading.Event(), []

    def work(progress, cancel):
        begun.set()
        ended.append(cancel.wait(PATIENCE))

    other = follow(lambda progress, cancel: ended or begun.wait(PATIENCE), every=0.01, stop=Stop("b", "job"))
    running = follow(work, every=0.01, stop=Stop("a", "job", "Press again."))
    timer = threading.Timer(0.0, lambda: begun.wait(PATIENCE) and [press("else", "a"), press("job", "a")])
    timer.start()
    with pytest.raises(Cancelled) as caught:
        list(running)
    assert caught.value.hint == "Press again."
    timer.join()
    assert isinstance(list(other)[-1], Done)


def test_a_stop_button_without_work_does_nothing_later():
    press("job", "a")
    assert list(follow(lambda progress, cancel: 1, every=0.01, stop=Stop("a", "job"))) == [Done(1)]


def test_work_that_tells_its_progress_all_the_time_is_stopped_as_well():
    def work(progress, cancel):
        while not cancel.is_set():
            progress(0.5, "going on")
            cancel.wait(0.001)

    events = follow(work, every=0.01, stop=Stop("a", "job"))
    assert next(events) == Progress(0.5, "going on")
    press("job", "a")
    with pytest.raises(Cancelled):
        list(events)
