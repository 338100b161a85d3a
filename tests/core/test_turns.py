import threading
from time import sleep

import pytest

from cvdemo.core.errors import Cancelled, ResourceError, WeightsError
from cvdemo.core.turns import Turns, twin_error


class Crowd:
    """Threads that queue for turns one after the other and record the order in which they were served."""

    def __init__(self, turns):
        self.turns = turns
        self.served = []
        self.errors = []
        self.threads = []

    def ask(self, user, model, cancel=None):
        before = self.turns.waiting

        def wait_for_turn():
            try:
                with self.turns.turn(user, model, cancel):
                    self.served.append((user, model))
            except Exception as error:
                self.errors.append(error)

        thread = threading.Thread(target=wait_for_turn)
        self.threads.append(thread)
        thread.start()
        while self.turns.waiting == before and thread.is_alive():
            sleep(0.001)

    def finish(self):
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


def test_a_user_with_many_requests_does_not_starve_another():
    turns = Turns(at_once=1)
    crowd = Crowd(turns)
    with turns.turn("first", "net"):
        for _ in range(6):
            crowd.ask("greedy", "net")
        crowd.ask("modest", "net")
        crowd.ask("late", "other")
    crowd.finish()
    users = [user for user, _ in crowd.served]
    assert users[:3] == ["greedy", "modest", "late"]
    assert users[3:] == ["greedy"] * 5
    assert turns.waiting == 0


def test_one_user_keeps_the_order_of_arrival():
    turns = Turns(at_once=1)
    crowd = Crowd(turns)
    with turns.turn("", "net"):
        for model in "abcde":
            crowd.ask("", model)
    crowd.finish()
    assert [model for _, model in crowd.served] == list("abcde")


def test_a_busy_model_does_not_hold_up_a_free_one():
    turns = Turns(at_once=2)
    crowd = Crowd(turns)
    with turns.turn("one", "slow"):
        with turns.turn("two", "other"):
            crowd.ask("three", "slow")
            crowd.ask("three", "free")
        crowd.threads[1].join(10)
        assert crowd.served == [("three", "free")]
    crowd.finish()
    assert crowd.served[-1] == ("three", "slow")


def test_the_limits_hold_under_load():
    turns = Turns(at_once=3)
    guard = threading.Lock()
    running, seen = [], {"most": 0, "same": False, "runs": 0}

    def work(number):
        for step in range(30):
            model = f"net {(number + step) % 5}"
            with turns.turn(f"user {number % 4}", model):
                with guard:
                    seen["same"] |= model in running
                    running.append(model)
                    seen["most"] = max(seen["most"], len(running))
                    seen["runs"] += 1
                with guard:
                    running.remove(model)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen["runs"] == 16 * 30
    assert seen["most"] <= 3
    assert not seen["same"]


def test_cancelling_while_waiting():
    turns = Turns(at_once=1)
    crowd = Crowd(turns)
    cancel = threading.Event()
    with turns.turn("", "net"):
        crowd.ask("a", "net", cancel)
        crowd.ask("b", "net")
        cancel.set()
        crowd.threads[0].join(10)
        assert isinstance(crowd.errors[0], Cancelled)
        assert turns.waiting == 1
    crowd.finish()
    assert crowd.served == [("b", "net")]


def test_a_full_queue_refuses():
    turns = Turns(at_once=1, max_waiting=2)
    crowd = Crowd(turns)
    with turns.turn("", "net"):
        crowd.ask("a", "net")
        crowd.ask("b", "net")
        with pytest.raises(ResourceError, match="Too many"), turns.turn("c", "net"):
            pytest.fail("got a turn")
    crowd.finish()
    assert len(crowd.served) == 2


def test_a_failure_reaches_those_waiting_for_that_model_only():
    turns = Turns(at_once=1)
    crowd = Crowd(turns)
    with turns.turn("", "bad"):
        crowd.ask("a", "bad")
        crowd.ask("b", "good")
        crowd.ask("c", "bad")
        turns.fail_waiting("bad", WeightsError("broken", hint="mend it"))
    crowd.finish()
    assert [str(error) for error in crowd.errors] == ["broken mend it"] * 2
    assert crowd.errors[0] is not crowd.errors[1]
    assert crowd.served == [("b", "good")]


def test_an_error_inside_a_turn_ends_it():
    turns = Turns(at_once=1)
    with pytest.raises(KeyError), turns.turn("", "net"):
        raise KeyError
    with turns.turn("", "net"):
        assert turns.waiting == 0


def test_twin_error_falls_back_to_the_same_one():
    class Awkward(Exception):
        def __init__(self, one, two):
            super().__init__("text")

    error = Awkward(1, 2)
    assert twin_error(error) is error
    assert str(twin_error(WeightsError("a", hint="b"))) == "a b"
