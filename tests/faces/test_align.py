"""Similarities from landmarks against least squares and OpenCV, and what the warp does to pixels."""

import cv2
import numpy as np
import pytest

from cvdemo.faces import align
from cvdemo.faces.align import TEMPLATE, apply, invert, matrix_of, template, umeyama
from cvdemo.faces.result import Faces


def similarity(scale: float, angle: float, shift) -> np.ndarray:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, shift[0]], [s, c, shift[1]]])


def by_least_squares(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The same optimum by a linear system in (a, b, tx, ty): x' = ax - by + tx, y' = bx + ay + ty."""
    rows, wanted = [], []
    for (x, y), (u, v) in zip(source, target):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        wanted += [u, v]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0]
    return np.array([[a, -b, tx], [b, a, ty]])


@pytest.mark.parametrize("seed", range(20))
def test_umeyama_is_the_least_squares_optimum(seed):
    rng = np.random.default_rng(seed)
    source = rng.uniform(-50, 50, (int(rng.integers(2, 12)), 2))
    target = apply(similarity(rng.uniform(0.1, 5), rng.uniform(-3, 3), rng.uniform(-90, 90, 2)), source)
    target += rng.normal(0, rng.choice([0.0, 0.5, 10.0]), target.shape)
    np.testing.assert_allclose(umeyama(source, target), by_least_squares(source, target), atol=1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_umeyama_agrees_with_opencv_on_exact_points(seed):
    rng = np.random.default_rng(seed)
    source = rng.uniform(0, 200, (5, 2))
    target = apply(similarity(rng.uniform(0.3, 3), rng.uniform(-1, 1), rng.uniform(0, 50, 2)), source)
    reference, inliers = cv2.estimateAffinePartial2D(source, target)
    assert inliers.all()
    np.testing.assert_allclose(umeyama(source, target), reference, atol=1e-3)  # OpenCV computes in single precision


def test_a_mirrored_target_is_met_by_a_rotation_never_a_reflection():
    source = TEMPLATE - TEMPLATE.mean(0)
    matrix = umeyama(source, source * [-1, 1])
    assert np.linalg.det(matrix[:, :2]) > 0
    np.testing.assert_allclose(matrix, by_least_squares(source, source * [-1, 1]), atol=1e-9)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (np.zeros((5, 2)), np.ones((5, 2))),
        (np.ones((1, 2)), np.ones((1, 2))),
        (np.ones((5, 2)), np.ones((4, 2))),
        (np.ones((5, 3)), np.ones((5, 3))),
        (np.full((5, 2), np.nan), np.ones((5, 2))),
    ],
    ids=["coincide", "one point", "different counts", "three dimensions", "not finite"],
)
def test_points_without_a_similarity(source, target):
    with pytest.raises(ValueError, match="point"):
        umeyama(source, target)


def test_the_inverse_undoes_the_map():
    rng = np.random.default_rng(1)
    matrix, points = similarity(0.37, 0.8, (12, -40)), rng.uniform(-99, 99, (50, 2))
    np.testing.assert_allclose(apply(invert(matrix), apply(matrix, points)), points, atol=1e-9)


def test_templates_of_every_size_show_the_same_part_of_the_face():
    np.testing.assert_allclose(template(112), TEMPLATE)
    for size in (1, 48, 224):
        np.testing.assert_allclose((template(size) + 0.5) / size, (TEMPLATE + 0.5) / 112)
    wide = template(200, margin=0.5)
    np.testing.assert_allclose(wide.mean(0) + 0.5 - 100, (TEMPLATE.mean(0) + 0.5 - 56) * 200 / 224, atol=1e-9)
    for wrong in ((0, 0.0), (112, -0.1)):
        with pytest.raises(ValueError, match="size"):
            template(*wrong)


def picture_of_spots(places: np.ndarray, height: int, width: int, radius: float) -> np.ndarray:
    """White discs of different channels at the five places, on black."""
    y, x = np.mgrid[:height, :width]
    pixels = np.zeros((height, width, 3), np.uint8)
    for index, (u, v) in enumerate(places):
        pixels[(x - u) ** 2 + (y - v) ** 2 <= radius**2, index % 3] = 255
    return pixels


@pytest.mark.parametrize(("scale", "angle"), [(0.5, 0.0), (1.0, 0.6), (3.0, -0.4), (9.0, 2.5), (9.3, 0.0)])
@pytest.mark.parametrize("size", [48, 112])
def test_landmarks_land_on_the_template(scale, angle, size):
    middle = np.array([700.0, 650.0])
    places = apply(similarity(scale, angle, (0, 0)), TEMPLATE - 56) + middle
    pixels = picture_of_spots(places, 1300, 1400, 5 * scale)
    crop = align.align(pixels, places, size)
    assert crop.shape == (size, size, 3)
    y, x = np.mgrid[:size, :size]
    for index, (u, v) in enumerate(template(size)):
        near = (x - u) ** 2 + (y - v) ** 2 <= (9 * size / 112) ** 2
        weight = crop[..., index % 3] * near
        centre = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
        np.testing.assert_allclose(centre, [u, v], atol=0.45)


def test_shrinking_averages_instead_of_picking_pixels():
    """A one-pixel checkerboard, shrunk seven times, is grey."""
    y, x = np.mgrid[:900, :900]
    pixels = np.repeat((((x + y) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)
    crop = align.align(pixels, (TEMPLATE - 56) * 7 + 450)
    assert crop[8:-8, 8:-8].min() > 110
    assert crop[8:-8, 8:-8].max() < 145


def test_outside_the_picture_is_the_border():
    pixels = np.full((60, 60, 3), 200, np.uint8)
    far = align.align(pixels, TEMPLATE + 1000, border=7)
    assert (far == 7).all()
    assert (align.align(pixels, TEMPLATE * 20 + 5000, border=9) == 9).all()
    half = align.align(pixels, TEMPLATE - 56)
    assert half[100, 100].tolist() == [200] * 3
    assert half[10, 10].tolist() == [0] * 3


def test_all_faces_of_a_picture():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (200, 300, 3), np.uint8)
    landmarks = np.stack([TEMPLATE, TEMPLATE + np.array([100, 40])]).astype(np.float32)
    faces = Faces(np.zeros((2, 4), np.float32), np.ones(2, np.float32), landmarks, 200, 300)
    crops = align.align_all(pixels, faces)
    np.testing.assert_array_equal(crops[0], pixels[:112, :112])
    assert np.abs(crops[1].astype(int) - pixels[40:152, 100:212]).max() <= 1
    assert align.align_all(pixels, Faces.none(200, 300), 64).shape == (0, 64, 64, 3)


def test_the_map_of_a_standard_face_is_the_identity():
    np.testing.assert_allclose(matrix_of(TEMPLATE), [[1, 0, 0], [0, 1, 0]], atol=1e-9)
