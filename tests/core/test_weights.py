import errno
import hashlib
import http.server
import os
import pickle
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cvdemo.core import disk_cache, download, weights
from cvdemo.core.errors import Cancelled, ResourceError, WeightsError
from cvdemo.core.weights import WeightsFile

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SIZE = len(CONTENT)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """A file server with one switchable kind of misbehaviour; ``requests`` records the Range of each request."""

    def __init__(self):
        self.mode = "good"
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *arguments):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.release = threading.Event()
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/net.pth"

    def close(self):
        self.release.set()
        self.http.shutdown()
        self.http.server_close()

    def answer(self, handler):
        asked = handler.headers.get("Range", "")
        self.requests.append(asked)
        mode = self.mode.pop(0) if isinstance(self.mode, list) else self.mode
        if mode.isdigit():
            handler.send_error(int(mode))
            return
        body, start = (b"x" * len(CONTENT) if mode == "wrong" else CONTENT), 0
        if asked and mode != "no ranges":
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                handler.send_error(416)
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            handler.send_response(200)
        handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        if mode == "truncated":
            handler.wfile.write(body[start : start + 300_000])
        elif mode == "stalls":
            handler.wfile.write(body[start : start + 300_000])
            handler.wfile.flush()
            self.release.wait(20)
        else:
            handler.wfile.write(body[start:])


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("CVDEMO_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("CVDEMO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("CVDEMO_OFFLINE", raising=False)
    monkeypatch.setattr(weights, "_failures", {})
    monkeypatch.setattr(download, "_RETRY_AFTER_S", 0.01)
    (tmp_path / "weights").mkdir()
    weights.hub_folder().mkdir(parents=True)


def file_of(server, name="net.pth", size=SIZE, sha256=DIGEST):
    return WeightsFile(name, url=server.url, size=size, sha256=sha256)


def in_hub(name="net.pth"):
    return weights.hub_folder() / name


def leftovers():
    return sorted(path.name for path in weights.hub_folder().iterdir() if path.name != "net.pth")


# ---------------------------------------------------------------- finding


def test_find_prefers_the_weights_folder_and_ignores_wrong_sizes():
    file = WeightsFile("net.pth", size=4)
    assert weights.find(file) is None
    in_hub().write_bytes(b"1234")
    assert weights.find(file) == in_hub()
    ours = weights.weights_folder() / "net.pth"
    ours.write_bytes(b"12")
    assert weights.find(file) == in_hub()
    assert weights.find_damaged(file) == ours
    ours.write_bytes(b"4321")
    assert weights.find(file) == ours
    ours.write_bytes(b"")
    assert weights.find(WeightsFile("net.pth")) == in_hub()


def test_the_digest_comes_from_the_name_unless_given():
    assert WeightsFile.from_url("https://host.invalid/ssd300_vgg16_coco-b556d3b4.pth").digest == "b556d3b4"
    assert WeightsFile("ssd-b556d3b4.pth", sha256="ABCDEF0123").digest == "abcdef0123"
    assert WeightsFile("detector-compact.safetensors").digest == ""
    assert WeightsFile("plain.pth").digest == ""


# ---------------------------------------------------------------- downloading


def test_download_reports_progress_and_leaves_only_the_file(server):
    seen = []
    path = weights.ensure(file_of(server), progress=lambda done, total: seen.append((done, total)))
    assert path == in_hub()
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    assert leftovers() == []
    assert weights.ensure(file_of(server)) == path
    assert len(server.requests) == 1


def test_concurrent_callers_download_once(server):
    paths = []
    threads = [threading.Thread(target=lambda: paths.append(weights.ensure(file_of(server)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths == [in_hub()] * 8
    assert len(server.requests) == 1


def test_what_another_caller_fetched_since_one_looked_stays(server, monkeypatch):
    weights.ensure(file_of(server))
    before = in_hub().stat().st_ino
    monkeypatch.setattr(weights, "find", lambda file: None)  # as it was when this caller looked
    assert weights.ensure(file_of(server)) == in_hub()
    assert in_hub().stat().st_ino == before, "the other one may be reading it"
    assert len(server.requests) == 1


def test_a_part_is_continued(server):
    in_hub("net.pth.part").write_bytes(CONTENT[:400_000])
    weights.ensure(file_of(server))
    assert server.requests == ["bytes=400000-"]
    assert in_hub().read_bytes() == CONTENT


def test_a_part_of_something_else_leads_to_a_clean_restart(server):
    in_hub("net.pth.part").write_bytes(b"y" * 400_000)
    weights.ensure(file_of(server))
    assert server.requests == ["bytes=400000-", ""]
    assert in_hub().read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_dropped(server):
    in_hub("net.pth.part").write_bytes(CONTENT + b"more")
    weights.ensure(file_of(server, size=0))
    assert server.requests == [f"bytes={len(CONTENT) + 4}-", ""]
    assert in_hub().read_bytes() == CONTENT


def test_a_complete_part_is_only_checked(server):
    in_hub("net.pth.part").write_bytes(CONTENT)
    weights.ensure(file_of(server))
    assert server.requests == []
    assert in_hub().read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_of_it_again(server):
    server.mode = "no ranges"
    in_hub("net.pth.part").write_bytes(CONTENT[:400_000])
    weights.ensure(file_of(server))
    assert in_hub().read_bytes() == CONTENT


def test_without_a_hash_a_part_is_not_trusted(server):
    in_hub("net.pth.part").write_bytes(b"y" * 400_000)
    weights.ensure(file_of(server, sha256=""))
    assert server.requests == [""]
    assert in_hub().read_bytes() == CONTENT


def test_a_truncated_transfer_is_continued(server):
    server.mode = ["truncated", "truncated", "good"]
    weights.ensure(file_of(server))
    assert server.requests == ["", "bytes=300000-", "bytes=600000-"]
    assert in_hub().read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("403", "refuses access"),
        ("404", "no longer has it"),
        ("503", "503"),
        ("wrong", "hash differs"),
    ],
)
def test_failures_name_the_file_the_address_and_the_folder(server, mode, message):
    server.mode = mode
    with pytest.raises(WeightsError, match=message) as caught:
        weights.ensure(file_of(server))
    for part in ("net.pth", server.url, str(weights.weights_folder())):
        assert part in str(caught.value)
    assert not in_hub().exists()
    assert leftovers() == []
    assert weights.recent_failure(file_of(server))
    server.mode = "good"
    assert weights.ensure(file_of(server)).exists()
    assert weights.recent_failure(file_of(server)) == ""


def test_a_transfer_that_keeps_breaking_off_says_so_and_keeps_its_part(server, monkeypatch):
    monkeypatch.setattr(download, "_ATTEMPTS", 2)
    server.mode = "truncated"
    with pytest.raises(WeightsError, match="600000 of 1048576 bytes"):
        weights.ensure(file_of(server))
    assert leftovers() == ["net.pth.part"]
    assert weights.find(file_of(server)) is None


def test_a_silent_server_times_out(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_ATTEMPTS", 1)
    server.mode = "stalls"
    with pytest.raises(WeightsError, match="sent nothing for too long"):
        download.download(server.url, tmp_path / "net.pth", sha256=DIGEST, timeout=0.2)


def test_a_file_of_another_size_is_refused(server):
    with pytest.raises(WeightsError, match=f"offers {len(CONTENT)} bytes where the published file has 77"):
        weights.ensure(file_of(server, size=77))


def test_nobody_listens(server):
    server.close()
    with pytest.raises(WeightsError, match="cannot be reached"):
        weights.ensure(file_of(server))


def test_a_full_disk_is_explained_and_gives_its_space_back(server, monkeypatch):
    def full(part, needed):
        part.write_bytes(b"begun")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download, "_check_space", full)
    with pytest.raises(ResourceError, match="disk is full"):
        weights.ensure(file_of(server))
    assert leftovers() == []


def test_cancelling_keeps_the_part(server):
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        weights.ensure(file_of(server), progress=lambda done, total: cancel.set(), cancel=cancel)
    assert leftovers() == ["net.pth.part"]
    weights.ensure(file_of(server))
    assert server.requests[1].startswith("bytes=")
    assert in_hub().read_bytes() == CONTENT


def test_only_web_addresses_are_opened(tmp_path):
    with pytest.raises(WeightsError, match="not a web address"):
        download.download("file:///etc/hostname", tmp_path / "net.pth")


# ---------------------------------------------------------------- offline and damaged files


@pytest.mark.parametrize("how", ["argument", "variable", "switch"])
def test_offline_gives_one_clear_sentence(server, monkeypatch, how):
    if how == "variable":
        monkeypatch.setenv("CVDEMO_OFFLINE", "1")
    monkeypatch.setattr(weights, "_forced_offline", True if how == "switch" else None)
    with pytest.raises(WeightsError, match="switched off") as caught:
        weights.ensure(file_of(server), offline=True if how == "argument" else None)
    for part in (server.url, "net.pth", str(weights.weights_folder())):
        assert part in str(caught.value)
    assert server.requests == []


def test_set_offline_overrides_the_variable(monkeypatch):
    monkeypatch.setenv("CVDEMO_OFFLINE", "1")
    try:
        weights.set_offline(False)
        assert not weights.is_offline()
        weights.set_offline(None)
        assert weights.is_offline()
    finally:
        weights.set_offline(None)


def test_a_missing_file_without_an_address():
    with pytest.raises(WeightsError, match=r"compact\.safetensors"):
        weights.ensure(WeightsFile("compact.safetensors"))


def test_a_damaged_download_is_replaced(server):
    in_hub().write_bytes(b"x" * len(CONTENT))
    assert weights.ensure(file_of(server)).read_bytes() == CONTENT


def test_a_damaged_download_does_not_load_offline(server):
    in_hub().write_bytes(b"x" * len(CONTENT))
    with pytest.raises(WeightsError, match="damaged"):
        weights.ensure(file_of(server), offline=True)


def test_a_damaged_file_put_there_by_hand_is_named_and_not_deleted(server):
    ours = weights.weights_folder() / "net.pth"
    ours.write_bytes(b"x" * len(CONTENT))
    with pytest.raises(WeightsError, match="damaged") as caught:
        weights.ensure(file_of(server))
    assert str(ours) in str(caught.value)
    assert ours.exists()


def test_the_hash_is_computed_once_until_the_file_changes(server, monkeypatch):
    ours = weights.weights_folder() / "net.pth"
    ours.write_bytes(CONTENT)
    counted = []
    real = hashlib.sha256
    monkeypatch.setattr(hashlib, "sha256", lambda: counted.append(1) or real())
    weights.ensure(file_of(server))
    weights.ensure(file_of(server))
    assert len(counted) == 1
    os.utime(ours, (1, 1))
    weights.ensure(file_of(server))
    assert len(counted) == 2


# ---------------------------------------------------------------- loading


class Payload:
    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


def test_both_formats_load_and_16_bit_becomes_32_bit(tmp_path):
    state = {
        "weight": torch.randn(3, 2).half(),
        "bias": torch.randn(3).bfloat16(),
        "steps": torch.tensor(5),
        "scale": torch.randn(2),
    }
    save_file(state, tmp_path / "net.safetensors")
    torch.save(state, tmp_path / "net.pth")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "wrapped.pth")
    for name in ("net.safetensors", "net.pth", "wrapped.pth"):
        loaded = weights.load_state(tmp_path / name)
        assert loaded.keys() == state.keys()
        for key, value in loaded.items():
            assert value.dtype == (torch.int64 if key == "steps" else torch.float32)
            assert torch.equal(value, state[key].to(value.dtype))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x00" * 64, os.urandom(500)])
def test_bytes_that_are_no_weights(tmp_path, suffix, content):
    path = tmp_path / f"net.{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"net\."):
        weights.load_state(path)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_cut_short(tmp_path, suffix):
    path = tmp_path / f"net.{suffix}"
    if suffix == "pth":
        torch.save({"weight": torch.randn(100, 100)}, path)
    else:
        save_file({"weight": torch.randn(100, 100)}, path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(WeightsError, match=r"net\."):
        weights.load_state(path)


def test_a_pickle_with_code_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plain.pth").write_bytes(pickle.dumps(Payload()))
    torch.save({"weight": Payload()}, "net.pth")
    for name in ("plain.pth", "net.pth"):
        with pytest.raises(WeightsError, match="not opened"):
            weights.load_state(Path(name))
    assert not Path("ran").exists()


def test_a_state_that_is_no_dict_of_tensors(tmp_path):
    torch.save({"weight": [1, 2]}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="no state dict"):
        weights.load_state(tmp_path / "net.pth")


def test_apply_state_is_strict():
    module = nn.Linear(2, 3)
    state = {"weight": torch.ones(3, 2), "bias": torch.zeros(3)}
    weights.apply_state(module, state, "net.pth")
    assert torch.equal(module.weight, torch.ones(3, 2))
    wrong = {"weight": torch.zeros(2, 3), "other": torch.zeros(1)}
    with pytest.raises(WeightsError, match=r"1 missing .*bias.*1 unknown .*other.*1 of another shape .*weight"):
        weights.apply_state(module, wrong, "net.pth")
    assert torch.equal(module.weight, torch.ones(3, 2))


# ---------------------------------------------------------------- the cache of facts


def test_the_disk_cache_survives_damage_and_drops_the_oldest(tmp_path):
    for number in range(5):
        assert disk_cache.remember("facts", f"key {number}", [number], limit=3)
    assert disk_cache.recall("facts", "key 1") is None
    assert disk_cache.recall("facts", "key 4") == [4]
    for damage in (b"{", b"[1, 2]", b"\xff\xfe"):
        (tmp_path / "cache" / "facts.json").write_bytes(damage)
        assert disk_cache.recall("facts", "key 4") is None
    assert disk_cache.remember("facts", "again", 1)
    assert disk_cache.recall("facts", "again") == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["facts.json"]


def test_a_cache_folder_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CVDEMO_CACHE", str(tmp_path / "file"))
    assert disk_cache.remember("facts", "key", 1) is False
    assert disk_cache.recall("facts", "key") is None


def test_several_files_make_one_state(tmp_path):
    own, other = {"head.weight": torch.ones(2)}, {"weight": torch.zeros(3), "bias": torch.full((1,), 0.5).half()}
    save_file(own, str(tmp_path / "own.safetensors"))
    save_file(other, str(tmp_path / "other.safetensors"))
    joined = weights.joined_state({"": tmp_path / "own.safetensors", "body.": tmp_path / "other.safetensors"})
    assert sorted(joined) == ["body.bias", "body.weight", "head.weight"]
    assert joined["body.bias"].dtype == torch.float32
    assert weights.joined_state({}) == {}


def test_two_files_must_not_hold_the_same_parameter(tmp_path):
    save_file({"body.weight": torch.ones(2), "head.bias": torch.ones(1)}, str(tmp_path / "own.safetensors"))
    save_file({"weight": torch.zeros(2)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(WeightsError, match=r"other\.safetensors holds 1 parameters .* such as body\.weight"):
        weights.joined_state({"": tmp_path / "own.safetensors", "body.": tmp_path / "other.safetensors"})
