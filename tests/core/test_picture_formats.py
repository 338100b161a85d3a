from __future__ import annotations

import pytest

from cvdemo.core.errors import CvDemoError
from cvdemo.core.picture_formats import is_video, refusal, sniff
from tests.corpus import build_corpus


def test_is_video_goes_by_content_before_suffix(tmp_path):
    corpus = build_corpus(tmp_path)
    wrong = [
        case.path.name
        for case in corpus
        if is_video(case.path)
        != (case.kind == "video" and case.path.name not in ("picture_named.mp4", "animation.gif"))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "empty"),
        (b"BMW is a car maker, this is text", "text"),
        (b"P5 is a road", "ppm"),
        (b"Perfectly ordinary prose", "text"),
        ("Größe: 3 äöü".encode(), "text"),
        (b"\xff\xfe\x00\x01", "unknown"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "mp4"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "avif"),
        (b"\0\0\0\x18ftypcrx \0\0\0\0crx isom", "raw"),
        (b"<svg xmlns='x'/>", "svg"),
        (b"\xef\xbb\xbf<!DOCTYPE HTML>", "html"),
    ],
)
def test_sniff(head, kind):
    assert sniff(head) == kind


def test_every_refusal_says_what_to_do():
    for kind in ("empty", "heic", "svg", "pdf", "text", "html", "zip", "raw", "psd", "audio", "mp4", "unknown", "new"):
        error = refusal(kind, "it.bin")
        assert isinstance(error, CvDemoError)
        assert str(error).startswith("it.bin")
        assert error.hint.endswith(".")
        assert len(str(error)) < 220
