"""The face loss: zero where it should be, its terms by hand, and a tiny network that learns one face."""

import numpy as np
import pytest
import torch

from cvdemo.detection.losses import Targets
from cvdemo.faces.losses import BOX_WEIGHT, LANDMARK_WEIGHT, FaceTargets, face_loss
from cvdemo.faces.nets.face_detector import OUTPUTS, TYPICAL_SIDE, cell_centres, decode_boxes, decode_landmarks

SIZE = 64
CENTRES, STRIDES = cell_centres(SIZE, SIZE)


def targets_of(*faces, batch=0) -> FaceTargets:
    """Faces as (picture, box, landmarks (5, 2), ignored)."""
    count = len(faces)
    image = torch.tensor([face[0] for face in faces], dtype=torch.long)
    boxes = torch.tensor([face[1] for face in faces], dtype=torch.float32).reshape(count, 4)
    ignored = torch.tensor([face[3] for face in faces], dtype=torch.bool)
    landmarks = torch.tensor(np.array([face[2] for face in faces], np.float32)).reshape(count, 5, 2)
    ones = torch.ones(count)
    return FaceTargets(Targets(image, boxes, torch.zeros(count, dtype=torch.long), ones, ignored), landmarks)


def perfect(box, points) -> torch.Tensor:
    """Predictions (1, N, 15) in which every cell names this one face, and cells inside it are certain."""
    box, points = np.asarray(box, np.float32), np.asarray(points, np.float32)
    values = np.zeros((1, len(CENTRES), OUTPUTS), np.float32)
    centres, strides = CENTRES.numpy(), STRIDES.numpy()[:, None]
    values[0, :, 1:3] = ((box[:2] + box[2:]) / 2 - centres) / strides
    values[0, :, 3:5] = np.log((box[2:] - box[:2]) / (strides * TYPICAL_SIDE))
    values[0, :, 5:] = ((points[None] - centres[:, None]) / strides[:, None]).reshape(-1, 10)
    inside = ((centres >= box[:2]) & (centres <= box[2:])).all(1)
    values[0, :, 0] = np.where(inside, 12, -12)
    return torch.from_numpy(values)


POINTS = np.array([[24, 28], [36, 28], [30, 34], [25, 40], [35, 40]], np.float32)
BOX = [18.0, 16.0, 42.0, 48.0]


def test_a_perfect_prediction_pays_almost_nothing_for_place():
    terms = face_loss(perfect(BOX, POINTS), targets_of((0, BOX, POINTS, False)), CENTRES, STRIDES)
    assert float(terms.box) == pytest.approx(0, abs=1e-4)
    assert float(terms.landmark) == pytest.approx(0, abs=1e-4)
    assert terms.positives == 10, "the ten best cells answer"


def test_a_shift_of_the_landmarks_costs_its_share_of_the_face():
    moved = POINTS + np.array([3, 0], np.float32)
    terms = face_loss(perfect(BOX, moved), targets_of((0, BOX, POINTS, False)), CENTRES, STRIDES)
    side = np.sqrt(24 * 32)
    # Half of the coordinates are three pixels off; the weights of the cells add up to the normaliser.
    assert float(terms.landmark) == pytest.approx(1.5 / side, rel=1e-4)
    assert float(terms.box) == pytest.approx(0, abs=1e-4)


def test_the_total_is_the_weighted_sum():
    torch.manual_seed(0)
    values = torch.randn(2, len(CENTRES), OUTPUTS)
    targets = targets_of((0, BOX, POINTS, False), (1, [5.0, 5, 20, 30], POINTS - 12, False))
    terms = face_loss(values, targets, CENTRES, STRIDES)
    total = terms.score + BOX_WEIGHT * terms.box + LANDMARK_WEIGHT * terms.landmark
    assert float(terms.total) == pytest.approx(float(total), rel=1e-5)


def test_a_doubtful_face_costs_nothing():
    values = perfect(BOX, POINTS)
    ignored = face_loss(values, targets_of((0, BOX, POINTS, True)), CENTRES, STRIDES)
    assert float(ignored.total) == pytest.approx(0, abs=0.05)
    assert ignored.positives == 0
    nothing = face_loss(values, targets_of(), CENTRES, STRIDES)
    assert float(nothing.score) > 100, "without the doubtful label the same answer is a false alarm"
    assert float(nothing.box) == float(nothing.landmark) == 0


def test_a_batch_without_faces_still_has_gradients():
    values = torch.zeros(2, len(CENTRES), OUTPUTS, requires_grad=True)
    terms = face_loss(values, targets_of(), CENTRES, STRIDES)
    terms.total.backward()
    assert torch.isfinite(values.grad).all()
    assert (values.grad[..., 0] > 0).all(), "every score is pushed down"
    assert (values.grad[..., 1:] == 0).all()


def test_descending_the_loss_finds_the_face():
    torch.manual_seed(0)
    values = torch.zeros(1, len(CENTRES), OUTPUTS)
    values[..., 0] = -4.6
    values.requires_grad_()
    targets = targets_of((0, BOX, POINTS, False))
    optimiser = torch.optim.Adam([values], lr=0.05)
    for _ in range(250):
        optimiser.zero_grad()
        terms = face_loss(values, targets, CENTRES, STRIDES)
        terms.total.backward()
        optimiser.step()
    best = int(values[0, :, 0].argmax())
    found = decode_boxes(values, CENTRES, STRIDES)[0, best].detach().numpy()
    points = decode_landmarks(values, CENTRES, STRIDES)[0, best].detach().numpy()
    np.testing.assert_allclose(found, BOX, atol=1.0)
    np.testing.assert_allclose(points, POINTS, atol=1.0)
    assert float(values[0, best, 0].detach()) > 1
