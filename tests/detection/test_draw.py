"""Drawing: palette and contrast by their own formulas, then what actually lands in the pixels."""

import itertools

import numpy as np
import pytest

from cvdemo.detection import draw
from cvdemo.detection.average_precision import GroundTruth, match_image
from cvdemo.detection.candidates import Detections
from cvdemo.detection.draw import MATCH_STYLES, PALETTE, draw_boxes, draw_detections, draw_match, make_style, style_of
from cvdemo.detection.labels import COCO_CATEGORIES

BACKGROUNDS = {
    "white": np.full((120, 160, 3), 255, np.uint8),
    "black": np.zeros((120, 160, 3), np.uint8),
    "grey": np.full((120, 160, 3), 128, np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8),
}


def detections(*rows, height=120, width=160) -> Detections:
    boxes, scores, labels = ([row[i] for row in rows] for i in range(3))
    return Detections.from_arrays(boxes, scores, np.array(labels, dtype=int), height=height, width=width)


ONE = detections(([40, 40, 110, 90], 0.87, 1))


def is_colour(picture, colour) -> np.ndarray:
    return (picture == np.array(colour, dtype=np.uint8)).all(axis=2)


# ---------------------------------------------------------------- palette


def srgb_to_linear(colours):
    c = np.asarray(colours, dtype=float) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(a, b) -> float:
    dark, light = sorted(float(srgb_to_linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b))
    return (light + 0.05) / (dark + 0.05)


def lab(colours, simulation):
    """CIELAB of RGB colours as seen with a colour vision deficiency (linear-light matrix)."""
    linear = np.clip(srgb_to_linear(colours) @ np.array(simulation).T, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratio = linear @ to_xyz.T / [0.9505, 1.0, 1.089]
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


# Machado, Oliveira and Fernandes (2009), severity 1.
SIMULATIONS = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


@pytest.mark.parametrize("vision", SIMULATIONS)
def test_palette_stays_apart_with_every_kind_of_colour_vision(vision):
    seen = lab(PALETTE, SIMULATIONS[vision])
    distances = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)]
    assert len(PALETTE) >= 12
    assert min(distances) > 14  # about 2 is just noticeable side by side


def test_text_and_halo_contrast_with_the_class_colour():
    for style in [*(style_of(c.id) for c in COCO_CATEGORIES), *MATCH_STYLES.values()]:
        assert contrast(style.colour, style.ink) >= 4.5


def test_luminance_is_wcags():
    assert draw.luminance((255, 255, 255)) == pytest.approx(1)
    assert draw.luminance((0, 0, 0)) == 0
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)
    grey = draw.luminance((119, 119, 119))
    assert 1.05 / (grey + 0.05) == pytest.approx(4.48, abs=0.01)


def test_every_class_has_its_own_style_and_keeps_it():
    styles = [style_of(c.id) for c in COCO_CATEGORIES]
    assert len(set(styles)) == 80
    assert style_of(1) == style_of(1) == make_style(PALETTE[0])
    assert style_of(18).pattern == ()  # a dog is common enough for a solid line
    assert style_of(1234).colour in PALETTE


# ---------------------------------------------------------------- pixels


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_draws_colour_and_ink_on_every_background_without_touching_the_input(name):
    background = BACKGROUNDS[name].copy()
    background.flags.writeable = False
    out = draw_detections(background, ONE)
    assert out.shape == background.shape
    assert out.dtype == np.uint8
    assert np.array_equal(background, BACKGROUNDS[name])
    assert not np.shares_memory(out, background)
    style = style_of(1)
    changed = (out != background).any(axis=2)
    assert (is_colour(out, style.colour) & changed).sum() > 500
    assert (is_colour(out, style.ink) & (changed | is_colour(background, style.ink))).sum() > 200


@pytest.mark.parametrize("label", [c.id for c in COCO_CATEGORIES[::9]])
def test_a_box_shows_even_on_its_own_colour_and_on_its_ink(label):
    style = style_of(label)
    for colour, other in ((style.colour, style.ink), (style.ink, style.colour)):
        background = np.full((120, 160, 3), colour, np.uint8)
        out = draw_detections(
            background, detections(([40, 40, 110, 90], 0.9, label)), show_labels=False, show_scores=False
        )
        rows, columns = np.nonzero(is_colour(out, other))
        assert rows.min() in range(36, 42)
        assert rows.max() in range(88, 94)
        assert columns.min() in range(36, 42)
        assert columns.max() in range(108, 114)


def test_nothing_to_draw_gives_a_copy():
    for background in BACKGROUNDS.values():
        out = draw_detections(background, Detections.empty(120, 160))
        assert np.array_equal(out, background)
        assert out is not background


def test_strided_input():
    background = BACKGROUNDS["noise"]
    flipped = background[:, ::-1]
    assert np.array_equal(draw_detections(flipped, ONE), draw_detections(np.ascontiguousarray(flipped), ONE))


@pytest.mark.parametrize("pixels", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5, 3))])
def test_wrong_pixels_are_refused(pixels):
    with pytest.raises(ValueError, match="uint8"):
        draw_detections(pixels, ONE)


@pytest.mark.parametrize(
    ("width", "side", "expected"), [(1, 400, 1), (2, 400, 2), (5, 400, 5), (2, 2000, 4), (3, 4000, 12)]
)
def test_line_width_is_literal_and_grows_with_large_pictures(width, side, expected):
    found = detections(([side / 4, side / 4, side / 2, side / 2], 0.5, 1), height=side, width=side)
    pixels = np.zeros((side, side, 3), np.uint8)
    out = draw_detections(pixels, found, line_width=width, show_labels=False, show_scores=False)
    column = is_colour(out, style_of(1).colour)[:, side * 3 // 8]
    assert column.sum() == 2 * expected


def test_patterns_have_gaps_of_ink_and_solid_lines_none():
    background = BACKGROUNDS["grey"]
    for label, gaps in ((1, False), (3, False), (24, True), (85, True)):
        style = style_of(label)
        assert bool(style.pattern) == gaps
        found = detections(([20, 40, 140, 90], 0.9, label))
        out = draw_detections(background, found, show_labels=False, show_scores=False)
        edge = out[39:41, 24:136]
        assert is_colour(edge, style.ink).any() == gaps
        assert is_colour(edge, style.colour).any()


def test_better_scores_lie_on_top():
    same = [30, 30, 100, 100]
    out = draw_detections(
        BACKGROUNDS["grey"], detections((same, 0.4, 1), (same, 0.9, 3)), show_labels=False, show_scores=False
    )
    assert is_colour(out, style_of(3).colour).any()
    assert not is_colour(out, style_of(1).colour).any()
    marked = draw_detections(
        BACKGROUNDS["grey"],
        detections((same, 0.4, 1), (same, 0.9, 3)),
        show_labels=False,
        show_scores=False,
        highlight=[0],
    )
    assert is_colour(marked, style_of(1).colour).sum() > is_colour(out, style_of(3).colour).sum()


def test_opacity_and_fill():
    background = BACKGROUNDS["grey"]
    assert np.array_equal(draw_detections(background, ONE, opacity=0.0), background)
    full, half = draw_detections(background, ONE), draw_detections(background, ONE, opacity=0.5)
    assert half.astype(float) == pytest.approx((full.astype(float) + background) / 2, abs=1)
    filled = draw_detections(background, ONE, fill=0.5)[70, 70]
    assert filled.astype(float) == pytest.approx((np.array(style_of(1).colour) + 128) / 2, abs=1)
    assert np.array_equal(full[70, 70], background[70, 70])
    assert not np.array_equal(draw_detections(background, ONE, highlight=[0])[70, 70], background[70, 70])


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 200), (200, 5), (12, 12)])
def test_tiny_pictures_and_boxes_on_and_beyond_the_border(size):
    height, width = size
    whole = [0, 0, width, height]
    rows = [(whole, 0.9, 10), ([-50, -50, 500, 500], 0.8, 1), ([width, height, width, height], 0.7, 3)]
    pixels = np.full((height, width, 3), 130, np.uint8)
    out = draw_detections(pixels, detections(*rows, height=height, width=width), line_width=4, highlight=[1])
    assert out.shape == (height, width, 3)
    assert (out != 130).any()


# ---------------------------------------------------------------- labels


def test_label_text_is_at_least_14_pixels_at_1080p():
    pixels = np.full((1080, 1920, 3), 128, np.uint8)
    found = detections(([500, 500, 900, 800], 0.9, 1), height=1080, width=1920)
    with_label = draw_detections(pixels, found, show_scores=False)
    without = draw_detections(pixels, found, show_labels=False, show_scores=False)
    rows, _ = np.nonzero((with_label != without).any(axis=2))
    plate = with_label[rows.min() : rows.max() + 1, 500:510]
    assert len(plate) >= 14 * 1.2
    # The lower-case letters alone (x-height, about half the font size) must be at least 7 px.
    glyph_rows = np.nonzero(is_colour(with_label[rows.min() + 3 : rows.max() - 2, 506:700], (0, 0, 0)).any(axis=1))[0]
    assert np.ptp(glyph_rows) + 1 >= 14


def test_text_scale_enlarges_the_plate():
    pixels = np.full((480, 640, 3), 128, np.uint8)
    found = detections(([100, 200, 300, 400], 0.9, 1), height=480, width=640)
    areas = [int((draw_detections(pixels, found, text_scale=s) != 128).any(axis=2).sum()) for s in (1.0, 2.0)]
    assert areas[1] > areas[0] * 1.3


@pytest.mark.parametrize(("labels", "scores"), [(True, False), (False, True), (True, True)])
def test_what_the_plate_says_decides_its_width(labels, scores):
    plain = draw_detections(BACKGROUNDS["grey"], ONE, show_labels=False, show_scores=False)
    out = draw_detections(BACKGROUNDS["grey"], ONE, show_labels=labels, show_scores=scores)
    _, columns = np.nonzero((out != plain).any(axis=2))
    whole = draw_detections(BACKGROUNDS["grey"], ONE)
    _, widest = np.nonzero((whole != plain).any(axis=2))
    assert 10 < np.ptp(columns) <= np.ptp(widest)
    assert (np.ptp(columns) == np.ptp(widest)) == (labels and scores)


@pytest.mark.parametrize("seed", range(10))
def test_plates_stay_inside_and_apart_where_there_is_room(seed):
    rng = np.random.default_rng(seed)
    height, width, n = 480, 640, 12
    start = np.stack([rng.integers(-20, 600, n), rng.integers(-20, 440, n)], axis=1)
    frames = np.concatenate([start, start + rng.integers(2, 200, (n, 2))], axis=1)
    frames = np.clip(frames, 0, [width, height, width, height])
    sizes = np.stack([np.full(n, 18), rng.integers(40, 120, n)], axis=1)
    places = draw._places(frames, sizes, height, width)
    covered = np.zeros((height, width), dtype=int)
    for (x, y), (h, w) in zip(places, sizes):
        assert 0 <= x <= width - w
        assert 0 <= y <= height - h
        covered[y : y + h, x : x + w] += 1
    assert (covered > 1).sum() <= 0.1 * sizes.prod(axis=1).sum()


def test_two_labels_of_one_place_do_not_cover_each_other():
    frames = np.array([[40, 60, 140, 110]] * 3)
    places = draw._places(frames, np.array([[18, 60]] * 3), 200, 200)
    assert len(set(places)) == 3
    assert all(abs(a[1] - b[1]) >= 18 or abs(a[0] - b[0]) >= 60 for a, b in itertools.combinations(places, 2))


def test_text_beyond_ascii_and_too_long_for_the_picture():
    pixels = np.full((60, 80, 3), 128, np.uint8)
    style = make_style(PALETTE[1])
    box = np.array([[10, 30, 70, 55]])
    exotic = draw_boxes(pixels, box, [style], ["caf\u00e9 \u72ac"])
    assert np.array_equal(exotic, draw_boxes(pixels, box, [style], ["caf? ?"]))
    long = draw_boxes(pixels, box, [style], ["a label far wider than this picture 0.99"])
    assert is_colour(long, style.colour).sum() > is_colour(exotic, style.colour).sum() * 0.8


def test_only_so_many_plates_and_the_best_have_them():
    n = draw.MOST_PLATES + 40
    pixels = np.full((900, 900, 3), 128, np.uint8)
    grid = np.stack([np.arange(n) % 15 * 60 + 4, np.arange(n) // 15 * 60 + 20], axis=1)
    boxes = np.concatenate([grid, grid + 30], axis=1)
    found = Detections.from_arrays(boxes, np.linspace(0.99, 0.2, n), np.full(n, 1), height=900, width=900)
    plain = draw_detections(pixels, found, show_labels=False, show_scores=False)
    changed = (draw_detections(pixels, found, show_labels=False) != plain).any(axis=2)
    first, last = grid[0], grid[-1]
    assert changed[first[1] - 20 : first[1] + 30, first[0] : first[0] + 30].any()
    assert not changed[last[1] - 10 : last[1] + 30, last[0] : last[0] + 30].any()


def test_text_is_antialiased():
    pixels = np.full((480, 640, 3), 128, np.uint8)
    found = detections(([100, 200, 300, 400], 0.9, 1), height=480, width=640)
    plain = draw_detections(pixels, found, show_labels=False, show_scores=False)
    out = draw_detections(pixels, found)
    shades = np.unique(out[(out != plain).any(axis=2)].reshape(-1, 3), axis=0)
    assert len(shades) > 8


# ---------------------------------------------------------------- matches


def test_matches_are_drawn_in_their_own_styles():
    truth = GroundTruth.from_coco(
        [
            {"bbox": [10, 30, 30, 30], "category_id": 1},
            {"bbox": [110, 30, 30, 30], "category_id": 1},
            {"bbox": [60, 80, 60, 30], "category_id": 3, "iscrowd": 1},
        ]
    )
    found = detections(([10, 30, 40, 60], 0.9, 1), ([60, 30, 90, 60], 0.8, 1), ([70, 85, 90, 105], 0.7, 3))
    match = match_image(truth, found)
    out = draw_match(BACKGROUNDS["grey"], truth, found, match)
    for kind, (x, y) in {"TP": (25, 60), "FP": (75, 60), "FN": (125, 60), "ignored": (80, 105)}.items():
        around = out[y - 2 : y + 3, x - 14 : x + 15]
        assert is_colour(around, MATCH_STYLES[kind].colour).any(), kind
    assert np.array_equal(BACKGROUNDS["grey"], np.full((120, 160, 3), 128, np.uint8))
    nothing = match_image(truth_of_nothing := GroundTruth.from_coco([]), Detections.empty(120, 160))
    empty = draw_match(BACKGROUNDS["grey"], truth_of_nothing, Detections.empty(120, 160), nothing)
    assert np.array_equal(empty, BACKGROUNDS["grey"])
