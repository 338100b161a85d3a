"""The cache gives back what was read, labels follow their rules, and boxes stay with their pixels."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from cvdemo.core.errors import InputError
from cvdemo.detection import training_data
from cvdemo.detection.labels import COCO_CATEGORIES
from cvdemo.detection.training_data import TINY_SHARE, BatchMaker, PictureCache

RED = (255, 0, 0)
CAR, DOG = COCO_CATEGORIES[2], COCO_CATEGORIES[16]


def write_source(folder: Path, pictures: dict[str, np.ndarray], boxes: list[dict], name: str = "labels.json") -> Path:
    """A COCO file and its pictures; ids count from 10 in the order given."""
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for id_, (file, pixels) in enumerate(pictures.items(), 10):
        assert cv2.imwrite(str(folder / file), pixels[:, :, ::-1])
        images.append({"id": id_, "file_name": file, "width": pixels.shape[1], "height": pixels.shape[0]})
    annotations = [{"id": i, "iscrowd": 0, **box} for i, box in enumerate(boxes)]
    categories = [{"id": c.id, "name": c.name} for c in COCO_CATEGORIES]
    (folder / name).write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return folder / name


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def red_rectangle(height: int, width: int, x: int, y: int, w: int, h: int) -> np.ndarray:
    pixels = np.full((height, width, 3), 60, np.uint8)
    pixels[y : y + h, x : x + w] = RED
    return pixels


@pytest.fixture
def rectangles(tmp_path) -> PictureCache:
    """Five pictures of different shape, one red rectangle each, labelled as a car."""
    sizes = [
        (120, 200, 30, 20, 80, 60),
        (200, 120, 10, 100, 90, 70),
        (160, 160, 0, 0, 60, 160),
        (90, 240, 150, 5, 85, 80),
        (300, 300, 100, 120, 150, 90),
    ]  # height, width, x, y, w, h
    pictures = {f"{i}.png": red_rectangle(*row) for i, row in enumerate(sizes)}
    boxes = [
        {"image_id": 10 + i, "category_id": CAR.id, "bbox": [x, y, w, h]} for i, (_, _, x, y, w, h) in enumerate(sizes)
    ]
    labels = write_source(tmp_path / "src", pictures, boxes)
    return PictureCache(tmp_path / "cache", [(labels, tmp_path / "src", None)], 400)


def test_the_cache_holds_the_pixels_and_is_read_again_not_made_again(tmp_path, monkeypatch):
    pictures = {"a.png": noise(40, 70), "b.png": noise(25, 33, 1), "c.png": noise(64, 48, 2)}
    boxes = [{"image_id": 11, "category_id": DOG.id, "bbox": [3, 4, 10, 12]}]
    source = (write_source(tmp_path / "src", pictures, boxes), tmp_path / "src", None)
    first = PictureCache(tmp_path / "cache", [source], 100)
    for example, pixels in zip(first.examples, pictures.values()):
        np.testing.assert_array_equal(first.pixels(example), pixels)
    np.testing.assert_allclose(first.examples[1].boxes, [[3 / 33, 4 / 25, 13 / 33, 16 / 25]], rtol=1e-6)
    assert first.examples[1].classes.tolist() == [16]
    assert len(first.examples[0].boxes) == 0

    def refuse(*_):
        raise AssertionError("the pictures were decoded again")

    monkeypatch.setattr(training_data, "_read_small", refuse)
    second = PictureCache(tmp_path / "cache", [source], 100)
    for ours, theirs in zip(second.examples, first.examples):
        np.testing.assert_array_equal(second.pixels(ours), first.pixels(theirs))
        np.testing.assert_array_equal(ours.boxes, theirs.boxes)


def test_several_sources_do_not_mix_up_their_pixels(tmp_path):
    sets = [{f"{s}{i}.png": noise(20 + 7 * i, 50 - 9 * s, 10 * s + i) for i in range(3)} for s in range(3)]
    sources = [
        (write_source(tmp_path / f"s{i}", pictures, [], f"l{i}.json"), tmp_path / f"s{i}", None)
        for i, pictures in enumerate(sets)
    ]
    cache = PictureCache(tmp_path / "cache", sources, 100)
    expected = [pixels for pictures in sets for pixels in pictures.values()]
    assert len(cache.examples) == 9
    for example, pixels in zip(cache.examples, expected):
        np.testing.assert_array_equal(cache.pixels(example), pixels)


def test_large_pictures_are_shrunk_and_unreadable_ones_left_out(tmp_path):
    pictures = {"large.png": noise(300, 600), "broken.png": noise(30, 30), "small.png": noise(30, 40, 1)}
    boxes = [{"image_id": 12, "category_id": DOG.id, "bbox": [0, 0, 20, 30]}]
    labels = write_source(tmp_path / "src", pictures, boxes)
    (tmp_path / "src" / "broken.png").write_bytes(b"no picture")
    cache = PictureCache(tmp_path / "cache", [(labels, tmp_path / "src", None)], 200)
    assert [(e.height, e.width) for e in cache.examples] == [(100, 200), (30, 40)]
    np.testing.assert_array_equal(cache.pixels(cache.examples[1]), pictures["small.png"])
    np.testing.assert_allclose(cache.examples[1].boxes, [[0, 0, 0.5, 1]])


def test_a_folder_without_the_pictures_is_refused_and_not_remembered(tmp_path):
    labels = write_source(tmp_path / "src", {"a.png": noise(30, 30)}, [])
    (tmp_path / "src" / "a.png").rename(tmp_path / "a.png")
    source = (labels, tmp_path / "src", None)
    with pytest.raises(InputError, match=r"labels\.json"):
        PictureCache(tmp_path / "cache", [source], 100)
    (tmp_path / "a.png").rename(tmp_path / "src" / "a.png")
    assert len(PictureCache(tmp_path / "cache", [source], 100).examples) == 1


def test_ids_restrict_a_source(tmp_path):
    pictures = {f"{i}.png": noise(20, 20, i) for i in range(4)}
    labels = write_source(tmp_path / "src", pictures, [{"image_id": 12, "category_id": DOG.id, "bbox": [0, 0, 9, 9]}])
    cache = PictureCache(tmp_path / "cache", [(labels, tmp_path / "src", {10, 12})], 100)
    assert len(cache.examples) == 2
    np.testing.assert_array_equal(cache.pixels(cache.examples[1]), pictures["2.png"])
    assert cache.examples[1].classes.tolist() == [16]
    everything = PictureCache(tmp_path / "cache", [(labels, tmp_path / "src", None)], 100)
    assert len(everything.examples) == 4, "another choice of ids must not find the first one's cache"


@pytest.mark.parametrize(
    ("about", "box", "confidence", "ignored"),
    [
        ("made by a person", {}, 1.0, False),
        ("a crowd", {"iscrowd": 1}, 1.0, True),
        ("a sure pseudo-label", {"score": 0.9}, 0.99, False),
        ("a fair pseudo-label", {"score": 0.35}, 0.5, False),
        ("just sure enough", {"score": 0.32}, 0.32 / 0.7, False),
        ("a doubtful pseudo-label", {"score": 0.2}, 0.2 / 0.7, True),
    ],
)
def test_what_a_label_is_worth(tmp_path, about, box, confidence, ignored):
    row = {"image_id": 10, "category_id": DOG.id, "bbox": [0, 0, 20, 20], **box}
    other = {"image_id": 10, "category_id": 12, "bbox": [0, 0, 20, 20]}  # 12 is no COCO category
    stray = {"image_id": 99, "category_id": DOG.id, "bbox": [0, 0, 20, 20]}
    labels = write_source(tmp_path / "src", {"a.png": noise(30, 30)}, [other, row, stray])
    (example,) = PictureCache(tmp_path / "cache", [(labels, tmp_path / "src", None)], 100).examples
    assert example.confidence == pytest.approx([confidence])
    assert example.ignored.tolist() == [ignored]


def test_rare_classes_and_peoples_labels_are_drawn_more_often(tmp_path):
    pictures = {f"{i}.png": noise(70, 90, i) for i in range(100)}
    common = [{"image_id": 10 + i, "category_id": CAR.id, "bbox": [0, 0, 20, 20], "score": 0.5} for i in range(1, 98)]
    rare = {"image_id": 10, "category_id": DOG.id, "bbox": [0, 0, 20, 20], "score": 0.5}
    by_hand = {"image_id": 108, "category_id": CAR.id, "bbox": [0, 0, 20, 20]}
    labels = write_source(tmp_path / "src", pictures, [rare, *common, by_hand])  # the last picture holds nothing
    cache = PictureCache(tmp_path / "cache", [(labels, tmp_path / "src", None)], 100)
    weights = cache.sampling_weights(rare_share=0.04)
    assert weights[0] == pytest.approx(np.sqrt(0.04 / 0.01)), "one picture in a hundred holds a dog"
    assert weights[1:98] == pytest.approx(1.0)
    assert weights[98] == pytest.approx(3.0)
    assert weights[99] == pytest.approx(0.33)


def test_tiny_pictures_share_a_fixed_part_of_the_draws(tmp_path):
    pictures = {f"t{i}.png": noise(64, 64, i) for i in range(12)} | {f"n{i}.png": noise(80, 90, i) for i in range(3)}
    boxes = [
        {"image_id": 10 + i, "category_id": CAR.id, "bbox": [0, 0, 60, 60], "score": 0.5} for i in range(len(pictures))
    ]
    labels = write_source(tmp_path / "src", pictures, boxes)
    cache = PictureCache(tmp_path / "cache", [(labels, tmp_path / "src", None)], 100)
    weights, tiny = cache.sampling_weights(), np.array([e.tiny for e in cache.examples])
    assert tiny.sum() == 12
    assert weights[tiny].sum() / weights.sum() == pytest.approx(TINY_SHARE)
    maker = BatchMaker(cache, 0)
    drawn = np.array([maker._draw().tiny for _ in range(4000)])
    assert drawn.mean() == pytest.approx(TINY_SHARE, abs=0.03)


# ---------------------------------------------------------------- boxes and pixels


def is_red(pixels: np.ndarray) -> np.ndarray:
    """Where a picture without colour jitter is red, (H, W) bool."""
    return (pixels[:, :, 0] > 150) & (pixels[:, :, 1] < 60) & (pixels[:, :, 2] < 60)


def plain_batch(cache, monkeypatch, mosaic_share, seed=0, count=12, size=192):
    monkeypatch.setattr(training_data, "_jitter_colour", lambda picture, rng: picture)
    return BatchMaker(cache, seed).batch(count, size, mosaic_share)


def check_rows_match_pixels(pixels, rows, edge=3):
    """Every box is full of red, and red lies in boxes only, up to ``edge`` pixels that resizing blurs."""
    compared, strays = 0, []
    for index, picture in enumerate(pixels):
        red, covered = is_red(picture), np.zeros(picture.shape[:2], bool)
        for x1, y1, x2, y2 in rows[rows[:, 0] == index, 1:5].round().astype(int):
            inner = red[y1 + edge : y2 - edge, x1 + edge : x2 - edge]
            if inner.size:
                assert inner.all(), f"picture {index}: the box {x1, y1, x2, y2} is not full of red"
                compared += 1
            covered[max(0, y1 - edge) : y2 + edge, max(0, x1 - edge) : x2 + edge] = True
        strays.append(int((red & ~covered).sum()))
    # Less than a tenth of an object may stay unlabelled; more would not be rare.
    assert sum(count > 0 for count in strays) <= len(pixels) / 3, strays
    return compared


@pytest.mark.parametrize("share", [0.0, 1.0, 0.5])
def test_boxes_stay_with_their_pixels(rectangles, monkeypatch, share):
    pixels, rows = plain_batch(rectangles, monkeypatch, share, seed=int(share * 10))
    assert pixels.shape == (12, 192, 192, 3)
    assert pixels.dtype == np.uint8
    assert rows.dtype == np.float32
    assert rows.shape[1] == 8
    assert (rows[:, 5] == 2).all(), "the class index of car"
    assert (rows[:, 6] == 1).all()
    assert ((rows[:, 1:5] >= 0) & (rows[:, 1:5] <= 192)).all()
    assert (rows[:, 3:5] > rows[:, 1:3]).all()
    assert check_rows_match_pixels(pixels, rows) >= 6


def test_half_of_the_pictures_are_mirrored(tmp_path, monkeypatch):
    labels = write_source(
        tmp_path / "src", {"a.png": red_rectangle(200, 200, 0, 0, 60, 200)},
        [{"image_id": 10, "category_id": CAR.id, "bbox": [0, 0, 60, 200]}],
    )  # fmt: skip
    cache = PictureCache(tmp_path / "cache", [(labels, tmp_path / "src", None)], 400)
    monkeypatch.setattr(training_data.BatchMaker, "_single", lambda self, size: _upright(self, size))
    pixels, rows = plain_batch(cache, monkeypatch, 0.0, count=40)
    left = rows[:, 1] == 0
    assert 8 <= left.sum() <= 32
    for picture, row in zip(pixels, rows):
        y, x = np.nonzero(is_red(picture))
        assert np.abs(np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) - row[1:5]).max() <= 1


def _upright(maker: BatchMaker, size: int):
    canvas = np.zeros((size, size, 3), np.uint8)
    example = maker.cache.examples[0]
    scale = size / example.width
    return canvas, training_data._place(canvas, maker.cache.pixels(example), example, scale, 0, 0, (0, 0, size, size))


def test_tiny_pictures_become_contact_sheets(tmp_path, monkeypatch):
    labels = write_source(
        tmp_path / "src", {"a.png": red_rectangle(64, 64, 16, 16, 32, 32)},
        [{"image_id": 10, "category_id": CAR.id, "bbox": [16, 16, 32, 32]}],
    )  # fmt: skip
    cache = PictureCache(tmp_path / "cache", [(labels, tmp_path / "src", None)], 100)
    pixels, rows = plain_batch(cache, monkeypatch, 0.5, count=6)
    assert check_rows_match_pixels(pixels, rows) > 6 * 3
    assert (np.bincount(rows[:, 0].astype(int), minlength=6) >= 3).all()


def test_a_sliver_of_an_object_is_ignored_and_a_trace_is_dropped(rectangles):
    example = rectangles.examples[4]  # x from 100 to 250 of 300
    pixels = rectangles.pixels(example)
    for visible, kept, ignored in ((0.5, 1, False), (0.2, 1, True), (0.05, 0, None)):
        canvas = np.zeros((300, 300, 3), np.uint8)
        right = round(100 + 150 * visible)
        rows = training_data._place(canvas, pixels, example, 1.0, 0, 0, (0, 0, right, 300))
        assert len(rows) == kept
        if kept:
            assert rows[0, :4].tolist() == [100, 120, right, 210]
            assert bool(rows[0, 6]) is ignored
        assert (canvas[:, right:] == 0).all()


def test_colour_jitter_keeps_shape_and_is_reproducible(rectangles):
    pixels, rows = BatchMaker(rectangles, 5).batch(4, 96, 0.5)
    again, same_rows = BatchMaker(rectangles, 5).batch(4, 96, 0.5)
    np.testing.assert_array_equal(pixels, again)
    np.testing.assert_array_equal(rows, same_rows)
    other, _ = BatchMaker(rectangles, 6).batch(4, 96, 0.5)
    assert (other != pixels).any()
    rng = np.random.default_rng(0)
    flat = np.full((4, 4, 3), 120, np.uint8)
    shades = {tuple(training_data._jitter_colour(flat, rng)[0, 0].tolist()) for _ in range(20)}
    assert len(shades) == 20


def test_pictures_without_objects_give_no_rows(tmp_path):
    labels = write_source(tmp_path / "src", {"a.png": noise(90, 90)}, [])
    maker = BatchMaker(PictureCache(tmp_path / "cache", [(labels, tmp_path / "src", None)], 100), 0)
    pixels, rows = maker.batch(2, 64, 0.5)
    assert pixels.shape == (2, 64, 64, 3)
    assert rows.shape == (0, 8)
