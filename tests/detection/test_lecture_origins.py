"""Where boxes come from: grids against the anchors the detectors really use, numbers against loops."""

import numpy as np
import pytest
import torch

from cvdemo.detection.candidates import Candidates
from cvdemo.detection.draw import PALETTE
from cvdemo.detection.lecture_origins import (
    best_rows,
    cell_scores,
    draw_grid,
    draw_origins,
    draw_proposals,
    grid_of,
    level_style,
    origin_word,
    per_level,
    refinement,
)
from cvdemo.detection.raw import RawDetections

LEVELS = ((30, 40, 8.0), (15, 20, 16.0), (8, 10, 32.0))


def raw_of(
    boxes, scores, labels, level, origins, *, proposals=None, levels=LEVELS, size=(240, 320), picture=(240, 320)
):
    candidates = Candidates.from_arrays(
        boxes, scores, labels, level=level, origins=origins, height=picture[0], width=picture[1]
    )
    objectness = None if proposals is None else np.linspace(0.9, 0.1, len(proposals)).astype(np.float32)
    return RawDetections(candidates, proposals, objectness, levels, size)


CELLS = raw_of(
    [[10, 10, 90, 110], [200, 40, 240, 100], [0, 0, 40, 40]], [0.9, 0.6, 0.3], [1, 18, 1], [2, 1, 0],
    [[32, 64, 64, 96], [208, 64, 224, 80], [16, 16, 24, 24]],
)  # fmt: skip
PROPOSALS = raw_of(
    [[10, 10, 90, 110]], [0.9], [1], [0], [[20, 20, 90, 110]],
    proposals=np.array([[20, 20, 90, 110], [100, 100, 200, 200], [5, 5, 9, 9]], np.float32),
)  # fmt: skip


@pytest.mark.parametrize("size", [(800, 1066), (800, 800), (333, 1333), (801, 1201), (64, 97)])
def test_the_grid_gives_every_anchor_of_torchvision_its_own_cell(size):
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    from cvdemo.detection.torchvision_raw import NetworkInput, anchor_boxes, pyramid, to_picture

    height, width = (-(-side // 32) * 32 for side in size)
    features, shape = [], (height // 4, width // 4)
    for _ in range(6):  # maps P2 to P7, sizes rounded up as by convolutions of stride two
        shape = tuple(-(-side // 2) for side in shape)
        features.append(torch.zeros(1, 1, *shape))
    given = NetworkInput(torch.zeros(1, 3, height, width), size, (size[0] * 2, size[1] * 3))
    generator = AnchorGenerator(tuple((32,) for _ in features), tuple((0.5, 1.0) for _ in features))
    anchors = to_picture(anchor_boxes(generator, given, features), given).numpy()
    levels, start = pyramid(given, features), 0
    for index, (rows, columns, _) in enumerate(levels):
        mine = anchors[start : start + rows * columns * 2]
        start += len(mine)
        raw = raw_of(mine[:1], [0.5], [1], [index], mine[:1], levels=levels, size=size, picture=given.picture)
        row, column = grid_of(raw, index).cells_of(mine)
        np.testing.assert_array_equal(row, np.repeat(np.arange(rows), columns * 2))
        np.testing.assert_array_equal(column, np.tile(np.repeat(np.arange(columns), 2), rows))


@pytest.mark.parametrize("picture", [(600, 1000), (1000, 600), (37, 411)])
def test_the_grid_gives_every_cell_of_the_compact_detector_itself(picture):
    from cvdemo.detection.compact import letterbox
    from cvdemo.detection.nets.compact_detector import STRIDES, cell_centres

    padded, (scale_x, scale_y) = letterbox(np.zeros((*picture, 3), np.uint8))
    centres, strides = cell_centres(*padded.shape[:2], torch.device("cpu"))
    half = strides[:, None] / 2
    origins = (torch.cat([centres - half, centres + half], 1) / torch.tensor([scale_x, scale_y] * 2)).numpy()
    levels = tuple((padded.shape[0] // s, padded.shape[1] // s, float(s)) for s in STRIDES)
    size = (round(picture[0] * scale_y), round(picture[1] * scale_x))
    start = 0
    for index, (rows, columns, _) in enumerate(levels):
        mine = origins[start : start + rows * columns]
        start += len(mine)
        raw = raw_of(mine[:1], [0.5], [1], [index], mine[:1], levels=levels, size=size, picture=picture)
        grid = grid_of(raw, index)
        np.testing.assert_allclose([grid.across, grid.down], mine[0, 2:] - mine[0, :2], rtol=1e-5)
        row, column = grid.cells_of(mine)
        np.testing.assert_array_equal(row * columns + column, np.arange(rows * columns))


def test_levels_that_do_not_exist():
    with pytest.raises(IndexError):
        grid_of(CELLS, 3)


def test_scores_of_cells():
    scores = cell_scores(CELLS, 2)
    assert scores.shape == (8, 10)
    assert scores[2, 1] == pytest.approx(0.9)
    assert np.count_nonzero(scores) == 1
    twice = raw_of([[0, 0, 9, 9]] * 3, [0.2, 0.7, 0.4], [1] * 3, [1] * 3, [[32, 64, 48, 80]] * 3)
    assert cell_scores(twice, 1)[4, 2] == pytest.approx(0.7), "the best of a cell"
    assert not cell_scores(twice, 0).any()


def test_refinement_against_loops():
    rng = np.random.default_rng(0)
    start, shifted = rng.uniform(0, 100, (2, 20, 2))
    boxes, origins = (np.concatenate([p, p + rng.uniform(5, 60, (20, 2))], 1) for p in (start, (start + shifted) / 2))
    raw = raw_of(boxes, np.full(20, 0.5), [1] * 20, [0] * 20, origins)
    rows = np.array([3, 17, 0])
    moved = refinement(raw.candidates, rows)
    for position, row in enumerate(rows):
        (ax, ay, bx, by), (cx, cy, dx, dy) = origins[row], boxes[row]
        inter = max(0, min(bx, dx) - max(ax, cx)) * max(0, min(by, dy) - max(ay, cy))
        before, after = (bx - ax) * (by - ay), (dx - cx) * (dy - cy)
        assert moved.iou[position] == pytest.approx(inter / (before + after - inter), abs=1e-5)
        assert moved.growth[position] == pytest.approx(after / before, rel=1e-4)
        distance = (((ax + bx - cx - dx) / 2) ** 2 + ((ay + by - cy - dy) / 2) ** 2) ** 0.5
        assert moved.shift[position] == pytest.approx(distance, rel=1e-4)


def test_levels_and_best_rows():
    assert per_level(CELLS.candidates, np.array([0, 1, 2]), 3).tolist() == [1, 1, 1]
    assert per_level(CELLS.candidates, np.array([1]), 3).tolist() == [0, 1, 0]
    none = Candidates.from_arrays([[0, 0, 1, 1]], [0.5], [1], height=5, width=5)
    assert per_level(none, np.array([0]), 3).tolist() == [0, 0, 0], "a detector without a pyramid"
    assert best_rows(CELLS.candidates, 2).tolist() == [0, 1]
    assert best_rows(CELLS.candidates, 9, frozenset({1})).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("raw", "family", "word"),
    [
        (CELLS, "one-stage, anchor-free", "cell"), (CELLS, "one-stage, anchors", "anchor"), (CELLS, "", "anchor"),
        (PROPOSALS, "two-stage, anchors", "proposal"),
    ],
)  # fmt: skip
def test_words(raw, family, word):
    assert origin_word(raw, family) == word


def test_every_registered_detector_has_the_right_word():
    from cvdemo import tasks
    from cvdemo.core import registry

    tasks.load_all()
    words = {spec.name: origin_word(CELLS, spec.family) for spec in registry.models(task="detection")}
    assert words["compact-detector"] == words["fcos_resnet50_fpn"] == "cell"
    assert words["retinanet_resnet50_fpn_v2"] == words["ssdlite320_mobilenet_v3_large"] == "anchor"


def is_colour(picture, colour):
    return (picture == np.array(colour, np.uint8)).all(2)


def test_before_is_dashed_after_is_solid_and_levels_have_their_colours():
    pixels = np.full((240, 320, 3), 90, np.uint8)
    strides = tuple(stride for *_, stride in LEVELS)
    picture = draw_origins(pixels, CELLS.candidates, np.array([0, 1]), strides, line_width=1, text_scale=0.8)
    assert (pixels == 90).all()
    for level, box in ((2, (10, 10, 90, 110)), (1, (200, 40, 240, 100))):
        colour = is_colour(picture, level_style(level).colour)
        assert colour[box[3] - 4, box[0] : box[0] + 1].any() or colour[box[3] - 4, box[0] - 1 : box[0] + 2].any()
    assert level_style(0).pattern == ()
    assert level_style(0, before=True).pattern != ()
    assert len({level_style(level).colour for level in range(6)}) == 6
    only_origins = draw_origins(pixels, CELLS.candidates, np.array([0]), strides, arrows=False)
    assert (only_origins[105:112, 8:92] == 90).all(), "no refined box"
    assert not is_colour(picture, level_style(0).colour).any(), "the third box was not asked for"


def test_an_arrow_leads_from_the_cell_to_the_middle_of_the_box():
    far = raw_of([[200, 20, 300, 40]], [0.9], [1], [2], [[0, 128, 32, 160]])
    picture = draw_origins(np.full((240, 320, 3), 90, np.uint8), far.candidates, np.array([0]), (8.0, 16.0, 32.0))
    colour = is_colour(picture, level_style(2).colour)
    for share in (0.3, 0.5, 0.7):  # between the middles (16, 144) and (250, 30)
        x, y = round(16 + share * 234), round(144 - share * 114)
        assert colour[y - 2 : y + 3, x - 2 : x + 3].any()


def test_proposals_are_drawn_best_on_top_and_only_so_many():
    pixels = np.full((240, 320, 3), 90, np.uint8)
    one, two = (draw_proposals(pixels, PROPOSALS, most) for most in (1, 2))
    assert is_colour(one, PALETTE[1])[15:120, 15:100].any()
    assert not is_colour(one, PALETTE[1])[195:205].any()
    assert is_colour(two, PALETTE[1])[195:205].any()
    np.testing.assert_array_equal(draw_proposals(pixels, PROPOSALS, 99).shape, pixels.shape)
    with pytest.raises(ValueError, match="one-stage"):
        draw_proposals(pixels, CELLS, 1)


def test_the_grid_lights_up_the_cells_that_fired():
    pixels = np.full((240, 320, 3), 200, np.uint8)
    picture = draw_grid(pixels, CELLS, 2).astype(int)
    assert (pixels == 200).all()
    lit, dark = picture[80, 48], picture[80, 112]
    assert np.ptp(lit) > 20, "coloured"
    assert np.ptp(dark) == 0
    assert (picture[80, 64] > dark).all(), "the line between two cells"
    half = draw_grid(np.full((120, 160, 3), 200, np.uint8), CELLS, 2, scale=0.5).astype(int)
    np.testing.assert_array_equal(half[40, 24], lit)
    plain = draw_grid(pixels, PROPOSALS, 2).astype(int)
    assert (np.ptp(plain, axis=2) == 0).all(), "proposals belong to no cell"


def test_without_origins_nothing_can_be_drawn():
    none = Candidates.from_arrays([[0, 0, 5, 5]], [0.5], [1], height=20, width=20)
    with pytest.raises(ValueError, match="no origins"):
        draw_origins(np.zeros((20, 20, 3), np.uint8), none, np.array([0]), ())
    with pytest.raises(ValueError, match="no origins"):
        refinement(none, np.array([0]))


def test_the_grid_gives_every_default_box_of_ssd_its_own_cell():
    from torchvision.models.detection.anchor_utils import DefaultBoxGenerator

    from cvdemo.detection.torchvision_raw import NetworkInput, anchor_boxes, pyramid, to_picture

    generator = DefaultBoxGenerator([[2]] * 6, scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05], clip=False,
                                    steps=[8, 16, 32, 64, 100, 300])  # fmt: skip
    features = [torch.zeros(1, 1, side, side) for side in (38, 19, 10, 5, 3, 1)]
    given = NetworkInput(torch.zeros(1, 3, 300, 300), (300, 300), (450, 900))
    boxes = to_picture(anchor_boxes(generator, given, features), given).numpy()
    levels, start = pyramid(given, features, generator.steps), 0
    per_cell = generator.num_anchors_per_location()
    for index, (rows, columns, _) in enumerate(levels):
        mine = boxes[start : start + rows * columns * per_cell[index]]
        start += len(mine)
        raw = raw_of(mine[:1], [0.5], [1], [index], mine[:1], levels=levels, size=(300, 300), picture=(450, 900))
        row, column = grid_of(raw, index).cells_of(mine)
        np.testing.assert_array_equal(row * columns + column, np.repeat(np.arange(rows * columns), per_cell[index]))
