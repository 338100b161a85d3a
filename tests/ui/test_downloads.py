"""A pressed button makes its file, hands it over by the hidden link, and says why where there is nothing to make."""

import errno
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from cvdemo.core.errors import InputError
from cvdemo.ui import downloads
from cvdemo.ui.sessions import SessionFiles

ADA = SimpleNamespace(session_hash="ada")


@pytest.fixture
def files(tmp_path, monkeypatch) -> SessionFiles:
    own = SessionFiles(tmp_path / "root")
    monkeypatch.setattr(downloads, "files", own)
    return own


def wired(make: downloads.Make) -> list:
    """The events of two buttons: for each, what makes its file and what presses the link."""
    with gr.Blocks() as page:
        buttons = {kind: gr.Button(kind) for kind in ("csv", "json")}
        number = gr.Number(3)
        downloads.wire_downloads(buttons, downloads.hidden_link("some-download"), [number], make)
    return list(page.fns.values())


def makers(make: downloads.Make) -> list[Callable]:
    return [event.fn for event in wired(make)[::2]]


def table(user: str, kind: str, number: int) -> tuple[str, bytes]:
    if number < 0:
        raise InputError("There is nothing to download yet.", hint="Choose a picture first.")
    return f"{user}-table.{kind}", b"%d rows" % number


def test_each_button_hands_over_its_own_file(files):
    handed = [Path(press(ADA, number)) for press, number in zip(makers(table), (3, 5))]
    assert [path.name for path in handed] == ["ada-table.csv", "ada-table.json"]
    assert [path.read_bytes() for path in handed] == [b"3 rows", b"5 rows"]
    assert [list(path.parent.iterdir()) for path in handed] == [[path] for path in handed]  # nothing half-written


def test_files_belong_to_the_session_and_go_with_it(files):
    press = makers(table)[0]
    adas, bobs = (Path(press(SimpleNamespace(session_hash=name), 3)) for name in ("ada", "bob"))
    assert files.root in adas.parents
    files.leave("ada")
    assert not adas.parent.exists()
    assert bobs.read_bytes() == b"3 rows"


def test_what_is_wrong_is_said_without_a_stack_trace(files):
    with pytest.raises(gr.Error) as caught:
        makers(table)[0](ADA, -1)
    assert caught.value.message == "There is nothing to download yet. Choose a picture first."
    assert caught.value.print_exception is False
    assert not files.root.exists()


def test_a_full_disk_is_explained(files, monkeypatch):
    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(gr.Error, match="disk is full") as caught:
        makers(table)[0](ADA, 3)
    assert caught.value.print_exception is False


def test_a_mistake_of_ours_is_not_dressed_up(files):
    def broken(user: str, kind: str, number: int) -> tuple[str, bytes]:
        raise KeyError(kind)

    with pytest.raises(KeyError):
        makers(broken)[0](ADA, 3)


def test_the_link_is_off_the_screen_and_pressed_only_when_there_is_a_file(files):
    events = wired(table)
    made, pressed = events[::2], events[1::2]
    link = made[0].outputs[0]
    assert link.elem_id == "some-download"
    assert "off-screen" in link.elem_classes
    assert all(event.js and f"'{link.elem_id}'" in event.js and event.fn is None for event in pressed)
    assert all(event.trigger_only_on_success for event in pressed)
    assert [event.trigger_after for event in pressed] == [event._id for event in made]
    assert not any(event.queue for event in events)
