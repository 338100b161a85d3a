"""Our answers equal the numbers printed on the slides, which stand here and nowhere in the package."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision import ops

from cvdemo.segmentation import slide_examples
from cvdemo.segmentation.slide_examples import BinExample, GridExample, MatrixExample, RoiExample, example

PRINTED_GRIDS = {
    "nearest": [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]],
    "bed-of-nails": [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]],
    "max-pooling": [[5, 6], [7, 8]],
    "max-unpooling": [[0, 0, 2, 0], [0, 1, 0, 0], [0, 0, 0, 0], [3, 0, 0, 4]],
}
PRINTED_MATRICES = {
    "matrix-1": (
        ["x y z 0 0 0", "0 x y z 0 0", "0 0 x y z 0", "0 0 0 x y z"],
        ["0", "a", "b", "c", "d", "0"],
        ["ay + bz", "ax + by + cz", "bx + cy + dz", "cx + dy"],
    ),
    "matrix-1-transposed": (
        ["x 0 0 0", "y x 0 0", "z y x 0", "0 z y x", "0 0 z y", "0 0 0 z"],
        ["a", "b", "c", "d"],
        ["ax", "ay + bx", "az + by + cx", "bz + cy + dx", "cz + dy", "dz"],
    ),
    "matrix-2": (
        ["x y z 0 0 0", "0 0 x y z 0"],
        ["0", "a", "b", "c", "d", "0"],
        ["ay + bz", "bx + cy + dz"],
    ),
    "matrix-2-transposed": (
        ["x 0", "y 0", "z x", "0 y", "0 z", "0 0"],
        ["a", "b"],
        ["ax", "ay", "az + bx", "by", "bz", "0"],
    ),
}


@pytest.mark.parametrize("key", PRINTED_GRIDS)
def test_grids_are_the_slides(key):
    result = example(key).compute()
    np.testing.assert_array_equal(result.values, PRINTED_GRIDS[key])
    assert not example(key).ours


@pytest.mark.parametrize("key", PRINTED_MATRICES)
def test_matrices_in_letters_are_the_slides(key):
    shown = example(key)
    rows, column, product = PRINTED_MATRICES[key]
    assert [" ".join(row) for row in shown.matrix()] == rows
    assert shown.column() == column
    assert shown.product() == product


@pytest.mark.parametrize("key", PRINTED_MATRICES)
def test_letters_and_numbers_agree(key):
    shown = example(key)
    rng = np.random.default_rng(0)
    numbers = {letter: float(value) for letter, value in zip("abcdxyz", rng.normal(size=7))}
    vector = torch.tensor([numbers[letter] for letter in shown.vector], dtype=torch.float64)[None, None]
    kernel = torch.tensor([numbers[letter] for letter in shown.kernel], dtype=torch.float64)[None, None]
    if shown.transposed:
        expected = functional.conv_transpose1d(vector, kernel, stride=shown.stride)[0, 0].numpy()
        expected = np.pad(expected, (0, len(shown.product()) - len(expected)))
    else:
        expected = functional.conv1d(vector, kernel, stride=shown.stride, padding=shown.padding)[0, 0].numpy()
    sums = [sum(numbers[t[0]] * numbers[t[1]] for t in row.split(" + ") if t != "0") for row in shown.product()]
    np.testing.assert_allclose(sums, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("key", "shape"), [("convolution-1", (4, 4)), ("convolution-2", (2, 2)), ("transpose-convolution", (4, 4))]
)
def test_sizes_are_the_slides_where_it_prints_no_numbers(key, shape):
    shown = example(key)
    result = shown.compute()
    assert result.values.shape == shape
    assert shown.ours
    np.testing.assert_allclose(result.map.apply(result.input), result.values)


def test_roi_pooling_of_deck_002():
    shown = example("roi-8x8")
    pooled = shown.pool()
    # The largest number of each of the four sections the slide draws: 3 and 4 columns, 2 and 3 rows.
    np.testing.assert_array_equal(pooled.values, [[0.85, 0.84], [0.97, 0.96]])
    np.testing.assert_array_equal(pooled.column_bins, [[0, 3], [3, 7]])
    np.testing.assert_array_equal(pooled.row_bins, [[3, 5], [5, 8]])
    x1, y1, x2, y2 = pooled.quantised
    assert (y2 - y1, x2 - x1) == (5, 7)  # "5 x 7" on the RoIAlign slide


def test_the_same_region_through_torchvision():
    shown = example("roi-8x8")
    features = torch.tensor(shown.features, dtype=torch.float64)[None, None]
    x1, y1, x2, y2 = shown.region
    box = torch.tensor([[0, x1, y1, x2 - 1, y2 - 1]], dtype=torch.float64)
    overlapping = ops.roi_pool(features, box, (2, 2))[0, 0].numpy()
    np.testing.assert_array_equal(shown.pool("overlapping").values, overlapping)
    assert (overlapping != shown.pool().values).any()  # why the slide's way of dividing is kept apart
    box = torch.tensor([[0, x1, y1, x2, y2]], dtype=torch.float64)
    aligned = ops.roi_align(features, box, (2, 2), 1.0, 2, True)[0, 0].numpy()
    np.testing.assert_allclose(shown.align().values, aligned, atol=1e-12)
    assert (shown.align(maximum=True).values >= aligned).all()


@pytest.mark.parametrize(("key", "sizes"), [("roi-bins-3x2", (3, 2)), ("roi-bins-5x6", (5, 6))])
def test_bin_sizes_of_deck_003(key, sizes):
    first, second = example(key).bin_sizes()
    assert (set(first), set(second)) == ({sizes[0]}, {sizes[1]})
    assert (len(first), len(second)) == (7, 7)


def test_every_example_says_where_it_stands():
    keys = [shown.key for shown in slide_examples.EXAMPLES]
    assert len(set(keys)) == len(keys)
    assert {type(shown) for shown in slide_examples.EXAMPLES} == {GridExample, MatrixExample, RoiExample, BinExample}
    for shown in slide_examples.EXAMPLES:
        assert shown.source.words().startswith(f"Deck {shown.source.deck}")
    assert example("nearest").source.words() == (
        "Deck 001, slide 136, “In-Network upsampling: Unpooling”; also decks 000, 003, 004"
    )
    with pytest.raises(KeyError, match="no slide example"):
        example("other")
