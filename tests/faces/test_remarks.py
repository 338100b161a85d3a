"""What speaks against trusting a face: size, profile, doubt."""

import numpy as np
import pytest

from cvdemo.faces.remarks import nobody, remarks, turned
from tests.faces.makers import FRONT, faces_of


def test_a_frontal_face_is_not_turned_whatever_its_tilt():
    for angle in np.linspace(0, 2 * np.pi, 7):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        assert turned(80 * FRONT @ turn.T + 13) == pytest.approx(0, abs=1e-5)


def test_a_profile_is():
    side = FRONT.copy()
    side[2] = [0.9, 0.6]
    assert turned(100 * side) == pytest.approx(1.0, abs=1e-5)
    side[1] = side[0]
    assert turned(side) == np.inf


def test_remarks():
    assert remarks(faces_of((80,)), 0) == []
    assert "24 px" in remarks(faces_of((24,)), 0)[0]
    assert "not sure" in remarks(faces_of((80,), [0.4]), 0)[0]
    faces = faces_of((80,))
    faces.landmarks[0, 2, 0] += 40
    assert "from the side" in remarks(faces, 0)[0]


def test_why_nobody_is_there():
    assert nobody(0).startswith("No face was found. Use")
    assert nobody(1).startswith("The only face is not sure")
    assert nobody(3).startswith("None of the 3 faces is sure")
