"""Flow files: round trips, OpenCV as the other program, and files that are not what they should be."""

import struct

import cv2
import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.flow.files import read_flow, write_flow

FLOW = (np.random.default_rng(9).normal(size=(13, 17, 2)) * 20).astype(np.float32)
KNOWN = np.random.default_rng(10).random((13, 17)) < 0.7


@pytest.mark.parametrize(("name", "step"), [("a.flo", 0), ("a.npy", 0), ("a.png", 1 / 64)])
def test_round_trips(name, step, tmp_path):
    write_flow(tmp_path / name, FLOW, KNOWN)
    flow, known = read_flow(tmp_path / name)
    assert np.array_equal(known, KNOWN)
    assert np.abs(flow - FLOW)[KNOWN].max() <= step / 2 + 1e-6
    assert flow.dtype == np.float32
    write_flow(tmp_path / name, FLOW)
    assert read_flow(tmp_path / name)[1].all()


def test_opencv_reads_ours_and_we_read_opencvs(tmp_path):
    write_flow(tmp_path / "ours.flo", FLOW)
    assert np.array_equal(cv2.readOpticalFlow(str(tmp_path / "ours.flo")), FLOW)
    cv2.writeOpticalFlow(str(tmp_path / "theirs.flo"), FLOW)
    assert np.array_equal(read_flow(tmp_path / "theirs.flo")[0], FLOW)


def test_a_kitti_file_written_by_the_book_is_read(tmp_path):
    coded = np.zeros((13, 17, 3), np.uint16)  # OpenCV's order: known, v, u
    coded[..., 2], coded[..., 1] = np.rint(FLOW[..., 0] * 64 + 2**15), np.rint(FLOW[..., 1] * 64 + 2**15)
    coded[..., 0] = KNOWN
    cv2.imwrite(str(tmp_path / "k.png"), coded)
    flow, known = read_flow(tmp_path / "k.png")
    assert np.array_equal(known, KNOWN)
    assert np.abs(flow - FLOW)[KNOWN].max() <= 1 / 128
    assert np.isnan(flow[~KNOWN]).all()


def test_kitti_cannot_hold_long_vectors_and_says_so(tmp_path):
    flow = FLOW.copy()
    flow[2, 3] = 600, 0
    write_flow(tmp_path / "k.png", flow)
    known = read_flow(tmp_path / "k.png")[1]
    assert not known[2, 3]
    assert known.sum() == known.size - 1


def flo(width, height, payload):
    return struct.pack("<fii", 202021.25, width, height) + payload


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.flo", b"", "empty"),
        ("a.flo", b"PIEH", "within its header"),
        ("a.flo", flo(17, 13, b"\0" * 100), "cut short: 112 of 1780 bytes"),
        ("a.flo", flo(-4, 13, b""), "claims -4 x 13"),
        ("a.flo", flo(2**30, 2**30, b""), "at most 50 million"),
        ("a.flo", b"hello, I am text", "not a flow file"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 8 + struct.pack(">II", 20, 20) + b"\0" * 40, "cannot be decoded"),
        (
            "a.png",
            b"\x89PNG\r\n\x1a\n" + b"\0" * 8 + struct.pack(">II", 10**6, 10**6) + b"\0" * 40,
            "at most 50 million",
        ),
        ("a.npy", b"\x93NUMPYgarbage", "cannot be read as an array"),
    ],
)
def test_bad_files_are_explained(name, data, words, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=words) as caught:
        read_flow(tmp_path / name)
    assert caught.value.hint


@pytest.mark.parametrize("array", [np.zeros((4, 5)), np.zeros((4, 5, 3)), np.zeros((4, 5, 2), int)])
def test_other_arrays_are_refused(array, tmp_path):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match="holds"):
        read_flow(tmp_path / "a.npy")


def test_pickled_arrays_are_never_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read"):
        read_flow(tmp_path / "a.npy")


def test_an_ordinary_png_is_no_flow(tmp_path):
    cv2.imwrite(str(tmp_path / "p.png"), np.zeros((5, 6, 3), np.uint8))
    with pytest.raises(InputError, match="picture, not a flow PNG"):
        read_flow(tmp_path / "p.png")


@pytest.mark.parametrize(
    ("name", "flow", "known", "words"),
    [("a.txt", FLOW, None, "cannot be written"), ("a.flo", FLOW[..., 0], None, "no flow field"),
     ("a.flo", FLOW, KNOWN[:4], "does not fit"), ("no/where/a.flo", FLOW, None, "does not exist")],
)  # fmt: skip
def test_what_cannot_be_written_is_explained(name, flow, known, words, tmp_path):
    with pytest.raises(InputError, match=words):
        write_flow(tmp_path / name, flow, known)
    assert not list(tmp_path.iterdir())
