"""True masks from files: grey, palettes, colours, COCO; and a sentence for each that cannot be used."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as reference

from cvdemo.core.errors import InputError
from cvdemo.segmentation.export import index_png
from cvdemo.segmentation.ground_truth import known_palettes, paint, read_truth, voc_palette
from cvdemo.segmentation.labels import CAMVID_CLASSES, IGNORE, VOC_CLASSES

SIZE = (23, 31)


def indices(seed=0, classes=21, ignored=True):
    labels = np.random.default_rng(seed).integers(0, classes, SIZE).astype(np.uint8)
    if ignored:
        labels[:2] = IGNORE
    return labels


def read(path, categories=VOC_CLASSES, size=SIZE, **options):
    return read_truth(path, categories, *size, **options)


def test_vocs_palette_is_the_published_one():
    palette = voc_palette()
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 7: (128, 128, 128), 8: (64, 0, 0), 12: (64, 0, 128),
             15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}  # fmt: skip
    for index, colour in known.items():
        assert tuple(palette[index].tolist()) == colour


def test_grey_indices(tmp_path):
    labels = indices()
    Image.fromarray(labels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png"), labels)
    Image.fromarray(labels.astype(np.uint16)).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read(tmp_path / "deep.png"), labels)
    Image.fromarray(np.dstack([labels] * 3)).save(tmp_path / "three.png")
    np.testing.assert_array_equal(read(tmp_path / "three.png"), labels)


def test_palettes_of_voc_of_ours_and_renumbered(tmp_path):
    labels = indices()
    image = Image.fromarray(labels)
    image.putpalette(voc_palette().ravel().tolist())
    image.save(tmp_path / "voc.png")
    np.testing.assert_array_equal(read(tmp_path / "voc.png"), labels)
    (tmp_path / "ours.png").write_bytes(index_png(labels, VOC_CLASSES))
    np.testing.assert_array_equal(read(tmp_path / "ours.png"), labels)
    order = np.random.default_rng(1).permutation(21)
    palette = np.zeros((256, 3), np.uint8)
    palette[order] = voc_palette(21)
    shuffled = Image.fromarray(np.where(labels == IGNORE, 0, order[np.minimum(labels, 20)]).astype(np.uint8))
    shuffled.putpalette(palette.ravel().tolist())
    shuffled.save(tmp_path / "renumbered.png")
    expected = np.where(labels == IGNORE, int(np.flatnonzero(order == 0)[0]), labels)
    expected[:2] = voc_class_of(palette, 0)
    np.testing.assert_array_equal(read(tmp_path / "renumbered.png"), expected)


def voc_class_of(palette, number):
    return int(np.flatnonzero((voc_palette(21) == palette[number]).all(axis=1))[0])


def test_a_palette_of_other_colours_leaves_the_indices(tmp_path):
    labels = indices()
    image = Image.fromarray(labels)
    image.putpalette(np.random.default_rng(3).integers(1, 250, (256, 3)).ravel().tolist())
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png"), labels)


def test_colours_of_voc_and_camvid(tmp_path):
    labels = indices()
    Image.fromarray(voc_palette()[labels]).save(tmp_path / "voc.png")
    np.testing.assert_array_equal(read(tmp_path / "voc.png"), labels)
    streets = np.zeros((*SIZE, 3), np.uint8)
    streets[:10], streets[10:20], streets[20:, :9] = (64, 0, 128), (128, 128, 128), (60, 40, 222)
    Image.fromarray(streets).save(tmp_path / "camvid.png")
    found = read(tmp_path / "camvid.png", CAMVID_CLASSES)
    assert (found[0, 0], found[15, 0], found[22, 3]) == tuple(map(CAMVID_CLASSES.index, ("car", "sky", "pavement")))
    assert (found[20:, 9:] == IGNORE).all(), "black is void"


def test_all_colours_of_camvid_are_counted_in_the_eleven_classes(tmp_path):
    published = {
        (64, 192, 0): "building", (0, 128, 64): "building", (0, 0, 64): "pole", (128, 0, 192): "road",
        (128, 128, 192): "pavement", (192, 192, 0): "tree", (0, 64, 64): "sign", (64, 64, 128): "fence",
        (192, 128, 192): "car", (64, 128, 192): "car", (192, 128, 64): "pedestrian", (192, 0, 192): "cyclist",
        (0, 128, 192): "cyclist",
    }  # fmt: skip
    streets = np.resize(np.array(list(published), np.uint8), (*SIZE, 3))
    Image.fromarray(streets).save(tmp_path / "camvid.png")
    found = read(tmp_path / "camvid.png", CAMVID_CLASSES)
    names = np.resize(np.array([CAMVID_CLASSES.index(name) for name in published.values()]), SIZE)
    np.testing.assert_array_equal(found, names)
    palette = known_palettes(CAMVID_CLASSES)[0]
    assert len(palette) == 33, "32 classes, and SegNet's other colour of the pavement"


def test_masks_that_cannot_be_used_say_why(tmp_path):
    labels = indices()
    Image.fromarray(labels).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"31 x 23 pixels, the picture 32 x 23"):
        read(tmp_path / "a.png", size=(23, 32))
    strange = voc_palette()[labels]
    strange[5, :4] = (1, 2, 3)
    Image.fromarray(strange).save(tmp_path / "strange.png")
    with pytest.raises(InputError, match=r"no class: rgb\(1, 2, 3\)"):
        read(tmp_path / "strange.png")
    Image.fromarray(np.full(SIZE, 77, np.uint8)).save(tmp_path / "high.png")
    with pytest.raises(InputError, match=r"77.*not classes \(100.0 %"):
        read(tmp_path / "high.png")
    frames = [Image.fromarray(labels), Image.fromarray(labels[::-1])]
    frames[0].save(tmp_path / "two.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="holds 2 pictures"):
        read(tmp_path / "two.tif")
    Image.fromarray(voc_palette()[labels]).save(tmp_path / "lossy.jpg")
    with pytest.raises(InputError, match="JPEG blurs"):
        read(tmp_path / "lossy.jpg")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    with pytest.raises(InputError, match="not a mask that can be read"):
        read(tmp_path / "cut.png")


# ------------------------------------------------------------------ COCO


def annotation(mask, category, **facts):
    coded = reference.encode(np.asfortranarray(mask.astype(np.uint8)))
    text = {"size": list(mask.shape), "counts": coded["counts"].decode()}
    return {"image_id": 1, "category_id": category, "segmentation": text, **facts}


def box(x, y, width, height):
    mask = np.zeros(SIZE, bool)
    mask[y : y + height, x : x + width] = True
    return mask


NAMES = {1: "person", 18: "dog", 27: "backpack", 72: "tv"}


def test_objects_are_painted_small_over_large():
    rows = [
        annotation(box(2, 2, 8, 8), 18),
        annotation(box(0, 0, 20, 20), 1),
        annotation(box(5, 15, 3, 3), 27),
        annotation(box(25, 0, 4, 4), 72),
        annotation(box(0, 21, 31, 2), 1, iscrowd=1),
        {"image_id": 1, "category_id": 18, "bbox": [21.5, 10, 3, 5]},
    ]
    found = paint(rows, NAMES, VOC_CLASSES, *SIZE)
    person, dog, screen = (VOC_CLASSES.index(name) for name in ("person", "dog", "tv monitor"))
    assert (found[3, 3], found[0, 0], found[16, 6], found[1, 26]) == (dog, person, person, screen)
    assert (found[21:] == IGNORE).all(), "a crowd is not judged"
    assert (found[10:15, 21:25] == IGNORE).all(), "nor is a box without an outline"
    assert found[12, 30] == 0


def coco_file(path, images=1, **facts):
    polygon = [2.0, 2.0, 20.0, 3.0, 12.0, 18.0]
    row = {"id": 5, "image_id": 1, "category_id": 1, "segmentation": [polygon], **facts}
    records = [{"id": k + 1, "file_name": f"dir/{k}.jpg", "width": 31, "height": 23} for k in range(images)]
    content = {"images": records, "annotations": [row], "categories": [{"id": 1, "name": "person"}]}
    path.write_text(json.dumps(content))
    return reference.decode(reference.frPyObjects([polygon], *SIZE))[:, :, 0].astype(bool)


def test_a_coco_file_of_one_picture_or_by_name(tmp_path):
    mask = coco_file(tmp_path / "one.json")
    np.testing.assert_array_equal(read(tmp_path / "one.json") == VOC_CLASSES.index("person"), mask)
    coco_file(tmp_path / "three.json", 3)
    assert read(tmp_path / "three.json", picture_name="0.jpg").max() == 15
    assert read(tmp_path / "three.json", picture_name="2.jpg").max() == 0
    with pytest.raises(InputError, match=r"describes 3 pictures, and none called 9.jpg"):
        read(tmp_path / "three.json", picture_name="9.jpg")
    with pytest.raises(InputError, match="describes a picture of 31 x 23"):
        read(tmp_path / "one.json", size=(46, 62))
    coco_file(tmp_path / "bad.json", segmentation=[[1, 2]])
    with pytest.raises(InputError, match="x y pairs"):
        read(tmp_path / "bad.json")
    (tmp_path / "not.json").write_text("[1, 2")
    with pytest.raises(InputError, match="not valid JSON"):
        read(tmp_path / "not.json")
    (tmp_path / "other.json").write_text('{"images": []}')
    with pytest.raises(InputError, match="not a COCO"):
        read(tmp_path / "other.json")


def test_a_smooth_photograph_is_no_mask(tmp_path):
    photo = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8), (0, 0), 2)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    with pytest.raises(InputError, match=r"stand for no class.*more"):
        read(tmp_path / "photo.png")
