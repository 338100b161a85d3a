"""What a visitor brought or made is gone when the visitor is, and nothing else is."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from cvdemo.ui.sessions import SessionFiles, session_of


@pytest.fixture
def files(tmp_path) -> SessionFiles:
    return SessionFiles(tmp_path / "root")


def upload(files: SessionFiles, digest: str, name: str) -> Path:
    """A file as gradio stores it: in a folder named by its content."""
    path = files.root / digest / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(digest.encode())
    return path


def test_files_are_gone_after_leaving(files):
    brought = files.claim("ada", upload(files, "abc", "photo.jpg"))
    made = files.make("ada", "result.png")
    made.write_bytes(b"drawn")
    files.leave("ada")
    assert not brought.exists()
    assert not brought.parent.exists()
    assert not made.parent.exists()
    assert files.root.is_dir()


def test_a_result_has_a_folder_of_its_own(files):
    first, second = files.make("ada", "result.png"), files.make("ada", "result.png")
    assert first != second
    assert first.name == second.name == "result.png"
    assert first.parent.is_dir()
    assert files.root in first.parents


def test_a_shared_upload_stays_until_the_last_owner_leaves(files):
    path = upload(files, "abc", "photo.jpg")
    for session in ("ada", "bob", "ada"):
        assert files.claim(session, str(path)) == path
    files.leave("ada")
    assert path.exists()
    files.leave("bob")
    assert not path.exists()


def test_the_same_picture_under_another_name_stays(files):
    """Gradio's folder is named by the content, so two names of one picture lie in one folder."""
    adas, bobs = upload(files, "abc", "mine.jpg"), upload(files, "abc", "yours.jpg")
    files.claim("ada", adas)
    files.claim("bob", bobs)
    files.leave("ada")
    assert not adas.exists()
    assert bobs.exists()
    files.leave("bob")
    assert not bobs.parent.exists()


def test_examples_belong_to_everybody(files):
    example = files.examples / "crowd.png"
    example.parent.mkdir(parents=True)
    example.write_bytes(b"picture")
    assert files.claim("ada", example) == example
    files.leave("ada")
    assert example.exists()


def test_files_elsewhere_are_never_touched(files, tmp_path):
    foreign = tmp_path / "documents" / "thesis.tex"
    foreign.parent.mkdir()
    foreign.write_text("years of work")
    loose = files.root / "loose.png"
    loose.parent.mkdir(parents=True, exist_ok=True)
    loose.write_bytes(b"beside the folders")
    files.claim("ada", foreign)
    files.claim("ada", loose)
    files.leave("ada")
    assert foreign.exists()
    assert loose.exists()


def test_leaving_twice_or_without_having_come_is_harmless(files):
    path = files.claim("ada", upload(files, "abc", "photo.jpg"))
    files.leave("bob")
    assert path.exists()
    path.unlink()
    files.leave("ada")
    files.leave("ada")
    assert not path.parent.exists()


def test_whose_session_it_is():
    assert session_of(SimpleNamespace(session_hash="s1")) == "s1"
    assert session_of(SimpleNamespace(session_hash=None)) == ""
    assert session_of(SimpleNamespace()) == ""
    assert session_of(None) == ""
