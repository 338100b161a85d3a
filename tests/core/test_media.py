from __future__ import annotations

import errno
import struct
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvdemo.core import media
from cvdemo.core.errors import InputError, ResourceError
from cvdemo.core.media import Picture, encode_picture, read_picture, save_picture
from tests.corpus import CorpusCase, build_corpus
from tests.corpus_makers import encoded, exif_bytes, quadrants

# Pillow tells of damaged TIFF metadata by warnings, and the corpus is full of it.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> list[CorpusCase]:
    return build_corpus(tmp_path_factory.mktemp("corpus"))


def test_the_corpus_is_large_and_varied(corpus):
    assert len({case.path for case in corpus}) == len(corpus) >= 100
    assert sum(not case.ok for case in corpus) >= 40


def test_every_sound_picture_decodes_to_its_pixels(corpus):
    wrong = []
    for case in (case for case in corpus if case.kind == "picture" and case.ok):
        picture = read_picture(case.path)
        noted = any(case.says in note for note in picture.notes) if case.says else not picture.notes
        if not (noted and case.matches(picture.pixels) and picture.pixels.flags.c_contiguous):
            wrong.append((case.path.name, picture.pixels.shape, picture.notes))
        assert picture.name == case.path.name
    assert wrong == []


def test_every_other_file_is_explained(corpus):
    wrong = []
    for case in (case for case in corpus if case.kind != "video" and not case.ok):
        with pytest.raises((InputError, ResourceError)) as caught:
            read_picture(case.path)
        text = str(caught.value)
        if case.says not in text or case.path.stem[:20] not in text or not caught.value.hint:
            wrong.append((case.path.name, text))
    assert wrong == []


def test_videos_are_sent_to_the_video_input(corpus):
    clips = [case for case in corpus if case.kind == "video" and case.ok and case.path.suffix != ".gif"]
    for case in clips:
        with pytest.raises(InputError, match="is a video, not a picture"):
            read_picture(case.path)
    assert len(clips) > 10


def test_bytes_path_and_string_give_the_same(corpus):
    path = next(case.path for case in corpus if case.path.name == "orientation_6.jpg")
    pictures = [read_picture(path), read_picture(str(path)), read_picture(path.read_bytes(), name=path.name)]
    assert len({picture.fingerprint for picture in pictures}) == 1
    assert {picture.name for picture in pictures} == {"orientation_6.jpg"}


def test_many_threads_decode_as_one_does(corpus):
    cases = [case for case in corpus if case.kind == "picture" and case.ok]
    alone = [read_picture(case.path).fingerprint for case in cases]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda case: read_picture(case.path).fingerprint, cases * 3))
    assert together == alone * 3


@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes_never_raise_anything_else(corpus, seed):
    rng = np.random.default_rng(seed)
    files = [case.path.read_bytes() for case in corpus if case.kind == "picture" and case.ok]
    decoded = refused = 0
    for data in files:
        damaged = bytearray(data)
        for at in rng.integers(0, min(len(data), 600), size=4):
            damaged[at] = rng.integers(256)
        try:
            decoded += read_picture(bytes(damaged)).pixels.size > 0
        except (InputError, ResourceError):
            refused += 1
    assert decoded + refused == len(files)
    assert refused > 0


def test_hidden_colour_never_shows_over_any_background():
    rgba = np.dstack([quadrants(), np.zeros((32, 48), np.uint8)])
    for background in ((0, 0, 0), (10, 200, 30)):
        picture = read_picture(encoded(rgba, "PNG"), background=background)
        assert (picture.pixels == background).all()
        assert (read_picture(rgba, background=background).pixels == background).all()


def test_half_transparency_against_the_formula():
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (20, 30, 4), dtype=np.uint8)
    alpha = rgba[:, :, 3:] / 255
    expected = rgba[:, :, :3] * alpha + np.array((40, 90, 200)) * (1 - alpha)
    pixels = read_picture(rgba, background=(40, 90, 200)).pixels
    assert np.abs(pixels - expected).max() <= 1


def linear_light_profile() -> bytes:
    """A minimal ICC.1:2001 display profile with the primaries of sRGB (adapted to D50) and a gamma of 1."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    name = b"linear light\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + b"\0" * 78
    xyz = {b"rXYZ": (0.4360, 0.2225, 0.0139), b"gXYZ": (0.3851, 0.7169, 0.0971), b"bXYZ": (0.1431, 0.0606, 0.7141)}
    tags = {b"desc": text, b"cprt": b"text\0\0\0\0none\0", b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1.0, 0.8249)}
    tags |= {tag: b"XYZ \0\0\0\0" + fixed(*values) for tag, values in xyz.items()}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), b"curv" + b"\0" * 8)
    table, data, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for tag, value in tags.items():
        value += b"\0" * (-len(value) % 4)
        table += tag + struct.pack(">II", at + len(data), len(value))
        data += value
    header = struct.pack(">I4sI4s4s4s", at + len(data), b"\0" * 4, 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    header += b"\0" * 12 + b"acsp" + b"\0" * 28 + fixed(0.9642, 1.0, 0.8249)
    return header.ljust(128, b"\0") + table + data


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_an_embedded_profile_is_applied(mode):
    grey = np.repeat(np.arange(0, 256, 5, dtype=np.uint8)[None, :, None], 3, axis=2)
    image = Image.fromarray(grey).quantize(64) if mode == "P" else Image.fromarray(grey).convert(mode)
    picture = read_picture(encoded(image, "PNG", icc_profile=linear_light_profile()))
    light = grey / 255
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    assert np.abs(picture.pixels - expected).max() <= 1.5
    assert "colours converted from its embedded profile" in picture.notes


def test_a_profile_for_another_colour_space_is_left_alone():
    profile = linear_light_profile().replace(b"RGB ", b"GRAY", 1)
    picture = read_picture(encoded(np.full((4, 4, 3), 64, np.uint8), "PNG", icc_profile=profile))
    assert (picture.pixels == 64).all()
    assert picture.notes == ()


def test_pillow_images_are_turned_too():
    stored = np.rot90(quadrants(), 1).copy()
    image = Image.open(BytesIO(encoded(stored, "PNG", exif=exif_bytes(6))))
    picture = read_picture(image, name="from memory")
    assert np.array_equal(picture.pixels, quadrants())
    assert picture.name == "from memory"
    broken = Image.open(BytesIO(encoded(stored, "PNG")[:-60]))
    with pytest.raises(InputError, match="damaged or cut short"):
        read_picture(broken)


RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        pytest.param(GREY, np.dstack([GREY] * 3), id="grey"),
        pytest.param(GREY[:, :, None], np.dstack([GREY] * 3), id="grey with a channel axis"),
        pytest.param(COLOUR, COLOUR, id="colour"),
        pytest.param(COLOUR[:, ::-1], COLOUR[:, ::-1], id="not contiguous"),
        pytest.param(np.dstack([COLOUR, GREY * 0 + 255]), COLOUR, id="opaque alpha"),
        pytest.param(COLOUR / 255.0, COLOUR, id="float unit"),
        pytest.param((COLOUR / 255).astype(np.float32), COLOUR, id="float32 unit"),
        pytest.param(COLOUR.astype(np.float16), COLOUR, id="float16 to 255"),
        pytest.param(COLOUR / 255.0 * 1.0009 - 0.0004, COLOUR, id="float with overshoot"),
        pytest.param(COLOUR.astype(np.int64), COLOUR, id="int64"),
        pytest.param(COLOUR.astype(np.uint16) * 257, COLOUR, id="uint16"),
        pytest.param(GREY > 100, np.dstack([(GREY > 100) * 255] * 3), id="bool"),
        pytest.param(np.zeros((6, 9)), np.zeros((6, 9, 3)), id="float black"),
        pytest.param(np.ones((6, 9)), np.full((6, 9, 3), 255), id="float white"),
    ],
)
def test_arrays(array, expected):
    picture = read_picture(array)
    assert np.array_equal(picture.pixels, expected)
    assert (picture.height, picture.width) == (6, 9)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.full((4, 4), np.nan), "NaN"),
        (np.full((4, 4), np.inf), "NaN or infinity"),
        (np.full((4, 4), 256.0 * 4), "out of range"),
        (np.full((4, 4), -1.0), "out of range"),
        (np.full((4, 4), 300), "out of range"),
        (np.full((4, 4), -1), "out of range"),
        (np.zeros((4, 4), complex), "type complex128"),
        (np.array([["a", "b"]]), "type <U1"),
        (np.full((4, 4), None), "type object"),
        (np.zeros((3, 40, 40), np.uint8), "channels come first"),
        (np.zeros((4, 4, 2), np.uint8), "4x4x2"),
        (np.zeros(4, np.uint8), "not a picture"),
        (np.zeros((2, 4, 4, 3), np.uint8), "not a picture"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((), np.uint8), "not a picture"),
    ],
)
def test_arrays_that_are_refused(array, says):
    with pytest.raises(InputError, match=says) as caught:
        read_picture(array, name="frame 7")
    assert str(caught.value).startswith("frame 7")
    assert caught.value.hint


@pytest.mark.parametrize("source", [None, 7, [1, 2], {"path": "a.png"}])
def test_other_types_are_refused(source):
    with pytest.raises(InputError, match="is not a picture"):
        read_picture(source)


def test_the_pixel_limit_holds_for_every_source():
    pixels = np.zeros((20, 30, 3), np.uint8)
    for source in (pixels, encoded(pixels, "PNG"), Image.fromarray(pixels)):
        assert read_picture(source, max_pixels=600).width == 30
        with pytest.raises(InputError, match="30 x 20"):
            read_picture(source, max_pixels=599)


def test_memory_running_out_is_told(monkeypatch):
    def exhausted(*_args, **_options):
        raise MemoryError

    monkeypatch.setattr(media.Image, "open", exhausted)
    with pytest.raises(ResourceError, match=r"cat\.png"):
        read_picture(encoded(quadrants(), "PNG"), name="cat.png")


def test_fingerprint_depends_on_pixels_and_shape_only():
    pixels = np.zeros((4, 6, 3), np.uint8)
    first = Picture(pixels, "a")
    assert first.fingerprint == Picture(pixels.copy(), "b", ("noted",)).fingerprint
    assert first.fingerprint != Picture(pixels.reshape(6, 4, 3)).fingerprint
    changed = pixels.copy()
    changed[3, 5, 2] = 1
    assert first.fingerprint != Picture(changed).fingerprint
    assert len(first.fingerprint) == 32


def test_a_picture_does_not_change_with_the_array_it_came_from():
    array = np.zeros((4, 6, 3), np.uint8)
    picture = read_picture(array)
    array[:] = 9
    assert not picture.pixels.any()


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3)), np.zeros((0, 2, 3), np.uint8), None]
)
def test_picture_checks_its_pixels(pixels):
    with pytest.raises(InputError):
        Picture(pixels)


@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_png_and_webp_round_trip(channels):
    pixels = np.random.default_rng(2).integers(0, 256, (33, 17, channels) if channels else (33, 17), dtype=np.uint8)
    image = Image.open(BytesIO(encode_picture(pixels, "png")))
    assert image.format == "PNG"
    assert np.array_equal(np.asarray(image), pixels[:, :, 0] if channels == 1 else pixels)
    assert Image.open(BytesIO(encode_picture(pixels, "webp"))).size == (17, 33)


def test_jpeg_quality_and_alpha():
    pixels = np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert len(encode_picture(pixels, "jpeg", 50)) < len(encode_picture(pixels, "jpeg", 95))
    clear = np.dstack([quadrants(), np.zeros((32, 48), np.uint8)])
    assert (read_picture(encode_picture(clear, "jpeg")).pixels >= 254).all()
    smooth = read_picture(encode_picture(quadrants(), "jpeg")).pixels.astype(int)
    assert np.abs(smooth - quadrants())[4:12, 4:20].max() <= 4


@pytest.mark.parametrize(
    ("pixels", "format", "says"),
    [
        (np.zeros((4, 4, 3)), "png", "uint8"),
        (np.zeros((4, 4, 2), np.uint8), "png", "shape"),
        (np.zeros((0, 4, 3), np.uint8), "png", "shape"),
        (np.zeros((4, 4, 3), np.uint8), "gif", "png, jpeg or webp"),
        (np.zeros((1, 16384), np.uint8), "webp", "16383"),
        (np.zeros((1, 65501), np.uint8), "jpeg", "65500"),
    ],
)
def test_what_cannot_be_encoded(pixels, format, says):
    with pytest.raises(InputError, match=says):
        encode_picture(pixels, format)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.webp"])
def test_saved_pictures_can_be_read(tmp_path, name):
    save_picture(tmp_path / name, quadrants())
    picture = read_picture(tmp_path / name)
    assert np.abs(picture.pixels.astype(int) - quadrants())[4:12, 4:20].max() <= 6
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_saving_needs_a_known_suffix_and_a_folder(tmp_path):
    with pytest.raises(InputError, match="suffix"):
        save_picture(tmp_path / "a.xyz", quadrants())
    with pytest.raises(InputError, match="does not exist"):
        save_picture(tmp_path / "missing" / "a.png", quadrants())


def test_full_disk_while_saving(tmp_path, monkeypatch):
    save_picture(tmp_path / "a.png", quadrants())
    before = (tmp_path / "a.png").read_bytes()

    def full(self, data):
        with open(self, "wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ResourceError, match=r"a\.png could not be written: the disk is full"):
        save_picture(tmp_path / "a.png", quadrants(64, 64))
    assert (tmp_path / "a.png").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
