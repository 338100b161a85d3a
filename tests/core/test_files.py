from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cvdemo.core.errors import Cancelled, InputError, ResourceError
from cvdemo.core.files import existing_file, explain, read_bytes, written_whole


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("https://example.org/cat.jpg", "web address"),
        ("data:image/png;base64,AAAA", "web address"),
        ("nowhere/cat.jpg", "no file"),
        (".", "folder"),
        ("nul\0byte.jpg", "no file|null byte"),
        (os.devnull, "regular file"),
    ],
)
def test_what_is_not_a_file_is_explained(source, says):
    with pytest.raises(InputError, match=says):
        existing_file(source)


def test_existing_file_is_absolute(tmp_path, monkeypatch):
    (tmp_path / "concat:a.mp4").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    found = existing_file("concat:a.mp4")
    assert found.is_absolute()
    assert found.read_bytes() == b"x"


def test_a_file_over_the_limit_is_not_read(tmp_path):
    path = tmp_path / "big.bin"
    path.write_bytes(b"12345")
    assert read_bytes(path, limit=5) == b"12345"
    with pytest.raises(InputError, match=r"big\.bin.*at most"):
        read_bytes(path, limit=4)


def test_written_whole_appears_at_the_end(tmp_path):
    target = tmp_path / "result.txt"
    target.write_text("old")
    with written_whole(target) as part:
        part.write_text("new")
        assert target.read_text() == "old"
        assert part.suffix == ".txt"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("raised", "expected", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ResourceError, "disk is full"),
        (OSError(errno.EDQUOT, "Quota exceeded"), ResourceError, "disk is full"),
        (PermissionError(errno.EACCES, "Permission denied"), InputError, "may not be written"),
        (OSError(errno.EIO, "Input/output error"), InputError, "Input/output error"),
        (Cancelled(), Cancelled, "Stopped"),
        (ZeroDivisionError("mine"), ZeroDivisionError, "mine"),
    ],
)
def test_written_whole_leaves_nothing_behind(tmp_path, raised, expected, says):
    target = tmp_path / "result.txt"
    target.write_text("old")

    def interrupted():
        with written_whole(target) as part:
            part.write_text("half")
            raise raised

    with pytest.raises(expected, match=says):
        interrupted()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_written_whole_needs_a_folder(tmp_path):
    with pytest.raises(InputError, match="does not exist"), written_whole(tmp_path / "missing" / "a.txt"):
        pytest.fail("must not be entered")
    with pytest.raises(InputError, match="is a folder"), written_whole(tmp_path):
        pytest.fail("must not be entered")


def test_explain_shortens_names_and_hides_control_characters():
    text = str(explain(OSError(errno.ENAMETOOLONG, "x"), Path("\x1b[31m" + "n" * 400), "read"))
    assert "\x1b" not in text
    assert len(text) < 250
    assert "too long" in text
    assert isinstance(explain(MemoryError(), Path("a"), "read"), ResourceError)
    assert isinstance(explain(OSError(errno.EMFILE, "x"), Path("a"), "read"), ResourceError)
