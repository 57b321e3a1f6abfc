"""Oracle: numpy's reductions of the same array, and means of areas computed one by one."""

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unetlab.data.readers.facts import Raster
from unetlab.data.readers.measures import MAX_MEASURED, measure_image


@given(arrays.arrays(st.sampled_from(["u1", "u2", "f4"]), st.tuples(*[st.integers(1, 20)] * 2, st.integers(1, 5)),
                     elements={"min_value": 0, "max_value": 250}))  # fmt: skip
def test_measures_are_those_of_numpy(pixels):
    facts = measure_image(Raster(pixels, "L"))
    flat = pixels.reshape(-1, pixels.shape[2]).astype(np.float64)
    assert facts.low == flat.min(0).tolist()
    assert facts.high == flat.max(0).tolist()
    assert np.allclose(facts.mean, flat.mean(0))
    assert np.allclose(facts.std, flat.std(0), atol=1e-6)
    assert facts.num_levels == max(len(np.unique(channel)) for channel in flat.T)
    assert facts.bits == 8 * pixels.itemsize
    assert len(base64.b64decode(facts.thumb)) == 256


def thumb_of(pixels):
    return np.frombuffer(base64.b64decode(measure_image(Raster(pixels, "L")).thumb), np.uint8).reshape(16, 16)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(16, 16), (64, 48), (37, 1000), (3, 5), (8000, 20)])
def test_thumbs_are_averages_of_areas_stretched_to_the_pictures_own_range(dtype, shape):
    rng = np.random.default_rng(0)
    pixels = (rng.integers(10, 240, (*shape, 3)) // 2).astype(dtype)
    lines = pixels[:: -(-shape[0] * shape[1] // MAX_MEASURED)]  # those that are measured of a large picture
    rows, columns = [np.arange(16) * size // 16 for size in lines.shape[:2]]
    sides = zip((rows, columns), lines.shape[:2], strict=True)
    ends = [np.maximum(np.append(starts[1:], size), starts + 1) for starts, size in sides]
    wanted = [
        [lines[top:bottom, left:right].mean() for left, right in zip(columns, ends[1], strict=True)]
        for top, bottom in zip(rows, ends[0], strict=True)
    ]
    low, high = float(lines.min()), float(lines.max())
    stretched = (np.array(wanted) - low) * 255 / (high - low)
    is_even = all(size % 16 == 0 for size in lines.shape[:2])
    tolerance = 0.51 if dtype != np.uint8 else 2 if is_even else 30  # Pillow shares lines between uneven areas
    assert np.abs(thumb_of(pixels) - stretched).max() <= tolerance


def test_of_a_large_picture_every_nth_line_is_measured_but_constant_is_said_only_of_all():
    pixels = np.full((1024, 512, 1), 7, np.uint8)
    assert measure_image(Raster(pixels, "L")).high == [7]
    pixels[1] = 9  # a line that is passed over
    facts = measure_image(Raster(pixels, "L"))
    assert (facts.low, facts.high) == ([7], [9])
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (1024, 512, 1), np.uint8)
    facts = measure_image(Raster(pixels, "L"))
    assert facts.mean[0] == pytest.approx(pixels.mean(), abs=1)
    assert facts.std[0] == pytest.approx(pixels.std(), abs=1)


def test_bright_areas_of_many_lines_do_not_overflow():
    pixels = np.full((16 * 300, 20, 1), 255, np.uint8)
    pixels[0, 0] = 0
    assert thumb_of(pixels)[1:].min() == 255


def test_a_constant_picture_has_a_thumb_of_zeros():
    assert not thumb_of(np.full((40, 40, 3), 7, np.uint8)).any()


def test_pixels_without_a_measurement_count_in_none_of_the_facts():
    floats = np.array([[np.nan, 100.0, 102.0]], np.float32)[:, :, None]
    greys = np.array([[255, 100, 102]], np.uint8)[:, :, None]
    for pixels, fill in ((floats, np.nan), (greys, 255), (greys.astype(np.uint16), 255)):
        facts = measure_image(Raster(pixels, "F", num_invalid=1, fill=fill, marks=("NaN",)))
        assert (facts.low, facts.high, facts.mean, facts.num_levels) == ([100.0], [102.0], [101.0], 2)
        assert (facts.num_invalid, facts.marks, facts.bits) == (1, ["NaN"], 8 * pixels.itemsize)
    nothing = measure_image(Raster(np.full((20, 20, 2), np.nan, np.float32), "F", num_invalid=400, fill=np.nan))
    assert (nothing.low, nothing.high, nothing.num_levels) == ([0.0, 0.0], [0.0, 0.0], 1)


def test_the_thumb_of_a_picture_with_gaps_is_that_of_the_rest():
    pixels = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))[:, :, None]
    filled = pixels.copy()
    filled[:16] = np.nan
    thumbs = [
        np.frombuffer(base64.b64decode(measure_image(Raster(each, "F", fill=fill)).thumb), np.uint8).reshape(16, 16)
        for each, fill in ((pixels, None), (filled, np.nan))
    ]
    assert np.array_equal(thumbs[1][4:], thumbs[0][4:])
    assert np.ptp(thumbs[1][:4]) == 0
