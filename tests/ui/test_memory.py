"""What a session remembers, and that it forgets."""

import os
import threading
from dataclasses import dataclass

import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.core.media import save_picture
from cvdemo.ui.memory import Memory, array_bytes, forget, memory_of, picture_of


@dataclass
class Holder:
    array: np.ndarray
    name: str
    parts: tuple


def test_what_is_known_is_not_made_again():
    memory, made = Memory(), []

    def make():
        made.append(1)
        return "answer"

    assert memory.recall("key", make) == memory.recall("key", make) == "answer"
    assert len(made) == 1
    assert "key" in memory
    assert memory.get("other") is None


def test_two_who_ask_at_once_get_what_one_makes():
    memory, made, begun, go = Memory(), [], threading.Event(), threading.Event()

    def make():
        begun.set()
        assert go.wait(10)
        made.append(1)
        return object()

    answers = []
    askers = [threading.Thread(target=lambda: answers.append(memory.recall("key", make))) for _ in range(3)]
    for asker in askers:
        asker.start()
    assert begun.wait(10)
    assert memory.recall("other", lambda: "at once") == "at once", "other questions do not wait"
    go.set()
    for asker in askers:
        asker.join(10)
    assert len(made) == 1
    assert len(answers) == 3
    assert len(set(map(id, answers))) == 1
    assert not memory._making


def test_who_waited_for_a_failure_makes_it_again():
    memory, begun, go = Memory(), threading.Event(), threading.Event()

    def fail():
        begun.set()
        assert go.wait(10)
        raise InputError("stopped")

    def failing():
        with pytest.raises(InputError):
            memory.recall("key", fail)

    first = threading.Thread(target=failing)
    first.start()
    assert begun.wait(10)
    answers = []
    second = threading.Thread(target=lambda: answers.append(memory.recall("key", lambda: "made")))
    second.start()
    go.set()
    first.join(10)
    second.join(10)
    assert answers == ["made"]
    assert not memory._making


def test_the_oldest_goes_when_the_arrays_outgrow_the_budget():
    memory = Memory(budget=2500)
    for key in "abc":
        memory.put(key, np.zeros(1000, np.uint8))
        memory.get("a")  # looked at all the time
    assert "a" in memory
    assert "b" not in memory
    assert "c" in memory
    memory.put("large", np.zeros(9000, np.uint8))
    assert [key for key in ("a", "c", "large") if key in memory] == ["large"], "the newest stays, however large"


def test_bytes_are_counted_wherever_the_arrays_are():
    array = np.zeros((3, 4), np.float32)
    assert array_bytes(array) == 48
    assert array_bytes(Holder(array, "x", ({"y": array}, [array, "z"], 3))) == 3 * 48
    assert array_bytes(("many", "names", 1.5)) == 0
    assert array_bytes(None) == 0


def test_sessions_are_apart_and_forgotten():
    memory_of("one").put("key", 1)
    assert memory_of("two").get("key") is None
    forget("one")
    assert memory_of("one").get("key") is None
    forget("one")
    forget("two")
    forget("never seen")


def test_many_threads_may_use_one_memory():
    memory = Memory(budget=10_000)

    def work(seed: int) -> None:
        for step in range(300):
            memory.recall((seed, step % 7), lambda: np.zeros(500, np.uint8))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [key for seed in range(4) for key in ((seed, step) for step in range(7)) if key in memory]
    assert 1 <= len(kept) <= 20


def test_a_file_is_decoded_once_until_it_changes(tmp_path):
    path = tmp_path / "a.png"
    save_picture(path, np.full((4, 5, 3), 9, np.uint8))
    first = picture_of("visitor", str(path))
    assert picture_of("visitor", str(path)) is first
    assert first.name == "a.png"
    save_picture(path, np.full((4, 5, 3), 10, np.uint8))
    os.utime(path, ns=(1, 1))
    assert (picture_of("visitor", str(path)).pixels == 10).all()
    forget("visitor")
    assert picture_of("visitor", str(path)) is not first
    forget("visitor")


def test_a_bad_file_is_explained(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"a\.png"):
        picture_of("visitor", str(path))
    with pytest.raises(InputError):
        picture_of("visitor", str(tmp_path / "missing.png"))
    with pytest.raises(InputError, match="no picture"):
        picture_of("visitor", None)
    forget("visitor")
