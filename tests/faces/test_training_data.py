"""Training crops: that faces stay with their pixels, and what counts as a face."""

import json

import cv2
import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.faces import training_data
from cvdemo.faces.training_data import BatchMaker, Example, load_labels, load_source, place

COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255]])
SPOTS = np.array([[80, 60], [120, 60], [100, 80], [85, 105], [115, 105]], np.float32)


def example(scores=(0.9,), height=200, width=240) -> Example:
    """A grey picture with one face: a dark box and a coloured disc at each landmark."""
    pixels = np.full((height, width, 3), 130, np.uint8)
    cv2.rectangle(pixels, (65, 40), (134, 124), (40, 40, 40), cv2.FILLED)
    for (x, y), colour in zip(SPOTS, COLOURS.tolist()):
        cv2.circle(pixels, (int(x), int(y)), 5, colour, cv2.FILLED)
    count = len(scores)
    boxes = np.tile(np.array([65, 40, 135, 125], np.float32) / [width, height, width, height], (count, 1))
    landmarks = np.tile(SPOTS / [width, height], (count, 1, 1))
    return Example(pixels, boxes.astype(np.float32), landmarks.astype(np.float32), np.array(scores, np.float32))


def centre_of(canvas: np.ndarray, colour: np.ndarray) -> np.ndarray:
    near = np.abs(canvas.astype(int) - colour).max(axis=2) < 70
    y, x = np.nonzero(near)
    assert len(x), "the spot is in the picture"
    return np.array([x.mean(), y.mean()])


def similarity(scale, angle, shift):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, shift[0]], [s, c, shift[1]]])


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(("scale", "angle"), [(1.0, 0.0), (0.9, 0.4), (0.45, -0.3), (1.6, 0.1)])
def test_landmarks_stay_on_their_pixels(scale, angle, mirror):
    face = example()
    canvas = np.zeros((256, 256, 3), np.uint8)
    middle = np.array([139.0 if mirror else 100.0, 80.0])
    matrix = similarity(scale, angle, (0, 0))
    matrix[:, 2] = [128, 128] - matrix[:, :2] @ middle
    (row,) = place(canvas, (0, 0, 256, 256), face, matrix, mirror)
    points = row[4:14].reshape(5, 2)
    # In a mirrored picture the person's right eye is the one that was drawn as the left.
    order = [1, 0, 2, 4, 3] if mirror else range(5)
    for point, colour in zip(points, COLOURS[list(order)]):
        np.testing.assert_allclose(point, centre_of(canvas, colour), atol=1.0)
    if abs(angle) < 0.2:
        assert points[0, 0] < points[1, 0], "the person's right eye is on the left"
        assert points[3, 0] < points[4, 0]
    np.testing.assert_allclose(row[2:4] - row[:2], [70 * scale, 85 * scale], rtol=0.02)
    assert row[14] == 0


def test_a_window_clips_pixels_and_faces():
    canvas = np.zeros((200, 200, 3), np.uint8)
    (row,) = place(canvas, (100, 20, 200, 120), example(), similarity(1, 0, (30, 0)), False)
    np.testing.assert_allclose(row[:4], [100, 40, 165, 120])
    assert (canvas[:20] == 0).all()
    assert (canvas[:, :100] == 0).all()
    np.testing.assert_array_equal(canvas[20:120, 100:200], example().pixels[20:120, 70:170])


def test_what_counts_as_a_face():
    canvas = np.zeros((200, 200, 3), np.uint8)
    whole = (0, 0, 200, 200)
    assert place(canvas, whole, example((0.9, 0.5)), similarity(1, 0, (0, 0)), False)[:, 14].tolist() == [0, 1]
    assert place(canvas, whole, example(), similarity(1, 0, (-105, 0)), False)[0, 14] == 1, "half cut off"
    assert len(place(canvas, whole, example(), similarity(1, 0, (-132, 0)), False)) == 0, "a sliver"
    assert place(canvas, whole, example(), similarity(0.09, 0, (50, 50)), False)[0, 14] == 1, "too small"
    assert len(place(canvas, whole, example(), similarity(1, 0, (500, 500)), False)) == 0
    assert (canvas == training_data.GREY).all(), "nothing but padding"


def test_batches():
    empty = Example(np.zeros((50, 60, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32),
                    np.zeros(0, np.float32))  # fmt: skip
    maker = BatchMaker([example(), empty], seed=0)
    pixels, rows = maker.batch(6, 128, 0.5)
    assert pixels.shape == (6, 128, 128, 3)
    assert pixels.dtype == np.uint8
    assert rows.shape[1] == 16
    assert set(rows[:, 0]) <= set(range(6))
    assert ((rows[:, 1:5] >= 0) & (rows[:, 1:5] <= 128)).all()
    again, same = BatchMaker([example(), empty], seed=0).batch(6, 128, 0.5)
    np.testing.assert_array_equal(pixels, again)
    np.testing.assert_array_equal(rows, same)


def test_faces_come_in_every_size_and_mostly_whole():
    maker = BatchMaker([example()], seed=1)
    rows = np.concatenate([maker.one(192, mosaic=False)[1] for _ in range(300)])
    sure = rows[rows[:, 14] == 0]
    sides = np.sqrt((sure[:, 2] - sure[:, 0]) * (sure[:, 3] - sure[:, 1]))
    assert len(sure) > 220
    assert sides.min() < 20
    assert sides.max() > 120
    counts, _ = np.histogram(np.log(sides), np.log([11, 22, 44, 88, 176]))
    assert (counts > 0.1 * len(sides)).all()


@pytest.mark.parametrize("seed", range(30))
def test_where_a_point_may_land(seed):
    rng = np.random.default_rng(seed)
    low, high = 10.0, 110.0
    extent = rng.uniform(20, 400)
    focus = rng.uniform(0, extent)
    reach = rng.uniform(0, 45)
    start, stop = training_data._where(low, high, focus, extent, reach)
    assert low + reach - 1e-9 <= start <= stop <= high - reach + 1e-9
    for aim in (start, stop):
        left, right = aim - focus, aim - focus + extent
        covers, within = left <= low + 1e-6 and right >= high - 1e-6, left >= low - 1e-6 and right <= high + 1e-6
        assert covers or within or (start, stop) == (low + reach, high - reach)


@pytest.fixture
def source(tmp_path):
    for name in ("a", "b"):
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), example().pixels[:, :, ::-1])
    keypoints = [value for x, y in SPOTS.tolist() for value in (x, y, 2)]
    face = {"id": 0, "image_id": 3, "category_id": 1, "bbox": [65, 40, 70, 85], "score": 0.9, "keypoints": keypoints}
    images = [
        {"id": i, "file_name": f"{n}.png", "width": 240, "height": 200} for i, n in ((3, "a"), (4, "b"), (5, "c"))
    ]
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"images": images, "annotations": [face], "categories": []}))
    return path


def test_labels_become_fractions(source):
    listed = dict(load_labels(source))
    assert list(listed) == ["a.png", "b.png", "c.png"]
    np.testing.assert_allclose(listed["a.png"][0, :4], [65 / 240, 40 / 200, 135 / 240, 125 / 200], rtol=1e-6)
    np.testing.assert_allclose(listed["a.png"][0, 4:14].reshape(5, 2), SPOTS / [240, 200], rtol=1e-6)
    assert listed["a.png"][0, 14] == pytest.approx(0.9)
    assert listed["b.png"].shape == (0, 15)
    assert [name for name, _ in load_labels(source, {4})] == ["b.png"]


def test_a_source_is_packed_once(source, tmp_path):
    cache = tmp_path / "cache"
    examples = load_source(cache, source, tmp_path, None, 120)
    assert [e.pixels.shape for e in examples] == [(100, 120, 3)] * 2, "the missing picture is left out"
    assert examples[0].pixels[30, 40].tolist() == [255, 0, 0], "red, green, blue"
    assert (len(examples[0].scores), len(examples[1].scores)) == (1, 0)
    (tmp_path / "a.png").unlink()
    again = load_source(cache, source, tmp_path, None, 120)
    np.testing.assert_array_equal(again[0].pixels, examples[0].pixels)


def test_a_wrong_folder_is_named_and_not_remembered(source, tmp_path):
    with pytest.raises(InputError, match="could be read"):
        load_source(tmp_path / "cache", source, tmp_path / "elsewhere", None, 120)
    assert not list((tmp_path / "cache").glob("*.json"))
    with pytest.raises(InputError, match="no pictures"):
        BatchMaker([], 0)
