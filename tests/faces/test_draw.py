"""Drawn faces: the landmarks' colours are where the landmarks are, and the input stays as it was."""

import numpy as np
import pytest

from cvdemo.faces.draw import LANDMARK_COLOURS, contact_sheet, draw_faces
from cvdemo.faces.result import Faces

POINTS = np.array([[80, 70], [120, 70], [100, 90], [85, 115], [115, 115]], np.float32)


def one_face(points=POINTS) -> Faces:
    box, score = np.array([[50, 30, 150, 150]], np.float32), np.array([0.87], np.float32)
    return Faces(box, score, np.asarray(points, np.float32)[None], 200, 200)


def test_landmarks_are_discs_of_their_colours():
    pixels = np.full((200, 200, 3), 128, np.uint8)
    drawn = draw_faces(pixels, one_face())
    for (x, y), colour in zip(POINTS.astype(int), LANDMARK_COLOURS):
        assert drawn[y, x].tolist() == list(colour)
        assert (drawn[y - 5 : y + 6, x - 5 : x + 6].max(axis=2) < 60).any(), "a dark rim"
    assert (pixels == 128).all()
    assert LANDMARK_COLOURS[0] == LANDMARK_COLOURS[3] != LANDMARK_COLOURS[1] == LANDMARK_COLOURS[4]
    assert (draw_faces(pixels, one_face(), show_landmarks=False)[90, 100] == 128).all()


def test_without_faces_or_opacity_the_picture_stays():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    np.testing.assert_array_equal(draw_faces(pixels, Faces.none(60, 80)), pixels)
    np.testing.assert_array_equal(draw_faces(pixels, one_face(), opacity=0.0), pixels)


def test_landmarks_far_outside_do_no_harm():
    pixels = np.zeros((200, 200, 3), np.uint8)
    wild = np.array([[1e9, 0], [-1e9, 0], [np.nan, 5], [np.inf, 5], [-30, 400]], np.float32)
    assert draw_faces(pixels, one_face(wild)).shape == pixels.shape


def test_texts_replace_scores():
    pixels = np.full((200, 200, 3), 128, np.uint8)
    plain = draw_faces(pixels, one_face(), show_scores=False)
    np.testing.assert_array_equal(draw_faces(pixels, one_face(), texts=[""]), plain)
    assert (draw_faces(pixels, one_face(), texts=["happy"]) != plain).any()
    with pytest.raises(ValueError, match="2 texts for 1 faces"):
        draw_faces(pixels, one_face(), texts=["a", "b"])


@pytest.mark.parametrize(("count", "columns", "shape"), [(1, 8, (18, 18)), (5, 2, (46, 32)), (3, 3, (18, 46))])
def test_contact_sheets(count, columns, shape):
    crops = np.stack([np.full((10, 10, 3), value, np.uint8) for value in range(count)])
    sheet = contact_sheet(crops, columns)
    assert sheet.shape == (*shape, 3)
    for value in range(count):
        assert (sheet[..., 0] == value).sum() == 100
    assert (contact_sheet(crops[:0]) == 255).all()
