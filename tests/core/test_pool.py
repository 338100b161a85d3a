import threading
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from cvdemo.core.device import Precision
from cvdemo.core.errors import Cancelled
from cvdemo.core.pool import Pool, Resident, module_bytes


def spec_of(name):
    return SimpleNamespace(name=name)


def put(pool, name, size, keep_pinned=False):
    resident = Resident(spec_of(name), object(), Precision(), size)
    pool.reserve(name, size)
    pool.add(resident)
    if not keep_pinned:
        pool.unpin(resident)
    return resident


def names(pool):
    return [resident.spec.name for resident in pool.residents()]


def test_module_bytes_counts_parameters_and_buffers_once():
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    module.append(module[0])
    assert module_bytes(module) == 4 * (12 + 4 + 4 * 4) + 8  # float32, and one int64 counter
    assert module_bytes(lambda value: value) == 0


def test_the_least_recently_used_leaves():
    pool = Pool(100)
    a, _, _ = put(pool, "a", 40), put(pool, "b", 40), put(pool, "c", 20)
    pool.unpin(pool.pin(a.spec))
    put(pool, "d", 30)
    assert names(pool) == ["c", "a", "d"]
    assert (pool.used(), pool.evictions) == (90, 1)


def test_pinned_models_stay_and_a_too_large_one_waits_for_them():
    pool = Pool(100)
    a = put(pool, "a", 60, keep_pinned=True)
    done = threading.Event()

    def load():
        put(pool, "b", 70)
        done.set()

    thread = threading.Thread(target=load)
    thread.start()
    assert not done.wait(0.1)
    assert names(pool) == ["a"]
    pool.unpin(a)
    thread.join(10)
    assert names(pool) == ["b"]


def test_a_model_larger_than_the_budget_is_alone_and_stays():
    pool = Pool(100)
    put(pool, "a", 60)
    big = put(pool, "big", 500)
    assert names(pool) == ["big"]
    for _ in range(2):
        pool.unpin(pool.pin(big.spec))
    assert names(pool) == ["big"]
    put(pool, "a", 60)
    assert names(pool) == ["a"]


def test_a_model_larger_than_announced_pushes_idle_ones_out():
    pool = Pool(100)
    put(pool, "a", 60)
    pool.reserve("b", 10)
    b = Resident(spec_of("b"), object(), Precision(), 80)
    pool.add(b)
    assert names(pool) == ["b"]
    assert pool.used() == 80


def test_reservations_count():
    pool = Pool(100)
    pool.reserve("a", 60)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        pool.reserve("b", 60, cancel)
    pool.release("a")
    pool.release("never reserved")
    pool.reserve("b", 60, cancel)
    assert pool.used() == 60


def test_small_models_do_not_keep_a_large_one_out():
    pool = Pool(100)
    small = [put(pool, "s1", 30), put(pool, "s2", 30)]
    stop, done = threading.Event(), threading.Event()

    def keep_using(resident):
        while not stop.is_set():
            pinned = pool.pin(resident.spec)
            if pinned is None:
                return
            stop.wait(0.002)
            pool.unpin(pinned)

    users = [threading.Thread(target=keep_using, args=(resident,)) for resident in small]
    for thread in users:
        thread.start()
    loader = threading.Thread(target=lambda: (put(pool, "large", 90), done.set()))
    loader.start()
    assert done.wait(20)
    stop.set()
    for thread in (*users, loader):
        thread.join(10)
    assert names(pool) == ["large"]


def test_evicting_a_model_in_use_happens_at_the_end_of_the_use():
    pool = Pool(100)
    a = put(pool, "a", 60, keep_pinned=True)
    assert pool.evict("a")
    assert pool.pin(a.spec) is None
    assert pool.used() == 60
    pool.unpin(a)
    assert pool.used() == 0
    assert not pool.evict("a")


def test_evict_idle_keeps_what_is_named_or_in_use():
    pool = Pool(100)
    put(pool, "a", 10)
    put(pool, "b", 10, keep_pinned=True)
    put(pool, "c", 10)
    assert pool.evict_idle(keep="c") == 1
    assert names(pool) == ["b", "c"]


def test_another_spec_of_the_same_name_is_not_the_resident():
    pool = Pool(100)
    a = put(pool, "a", 10)
    assert pool.holds(a.spec)
    assert not pool.holds(spec_of("a"))
    assert pool.pin(spec_of("a")) is None


def test_torch_tensors_are_measured_in_their_own_dtype():
    assert module_bytes(nn.Linear(8, 8, bias=False).to(torch.bfloat16)) == 128
