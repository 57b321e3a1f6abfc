"""Which pixels count as not measured. Oracle: arrays made with and without a fill; both sides of the rule."""

import numpy as np
import pytest

from unetlab.data.readers import nodata
from unetlab.data.readers.pixels import picture_values

RNG = np.random.default_rng(0)
LOWEST = float(np.finfo(np.float32).min)


def made(fill, *, low=0.0, high=264.0, dtype=np.float32, number=64):
    """A picture (H,W,1) of noise in low..high, with `fill` in `number` of its pixels."""
    pixels = RNG.uniform(low, high, (32, 32, 1)).astype(dtype)
    pixels.reshape(-1)[:number] = fill
    return pixels


FILLS = [
    (-9999, {}),
    (-9999, {"dtype": np.int16}),
    (-9999, {"low": 0, "high": 8848}),  # heights of the earth
    (-9999, {"low": -60, "high": 15}),  # radar, in dB
    (-32768, {"dtype": np.int16}),
    (-32768, {"high": 0.5}),
    (-2147483648, {"dtype": np.int32}),
    (-999, {"low": 0, "high": 1}),
    (-99999, {"dtype": np.float64}),
    (LOWEST, {}),
    (-3.4e38, {}),
    (9.96921e36, {}),
    (1e20, {}),
    (np.nan, {}),
    (-np.inf, {}),
    (-9999, {"number": 1024}),  # a tile in which nothing was measured
]


@pytest.mark.parametrize(("fill", "options"), FILLS)
def test_what_programs_write_for_missing_data_is_found_without_a_tag(fill, options):
    samples = made(fill, **options)
    number = options.get("number", 64)
    pixels, kept_fill, num_invalid, marks = picture_values(samples)
    assert (num_invalid, len(marks)) == (number, 1)
    is_filled = nodata.is_filled(pixels, kept_fill).ravel()
    assert is_filled[:number].all()
    assert not is_filled[number:].any()
    assert np.array_equal(pixels.ravel()[number:], samples.ravel()[number:].astype(np.float32))


NO_FILLS = [
    (0, {}),  # black
    (0, {"low": 200, "dtype": np.uint16}),
    (65535, {"high": 900, "dtype": np.uint16}),  # saturated
    (65535, {"high": 900}),  # the same, saved as float
    (2147483647, {"dtype": np.int32}),
    (255, {"dtype": np.uint8}),
    (-1, {"low": 0, "high": 0.01}),
    (-128, {"dtype": np.int8, "high": 100}),
    (-1024, {"dtype": np.int16, "high": 80}),  # air in a computed tomography of a brain
    (-2000, {"dtype": np.int16, "low": -1024, "high": 3071}),
    (-23.02585, {"low": -2, "high": 1}),  # the logarithm of a black pixel and 1e-10
    (-100, {"low": -30, "high": 10}),  # the same in dB
    (-9999, {"low": -20_000, "high": 20_000}),  # among the values
    (-9999, {"low": 0, "high": 20_000}),  # no further away than they are from each other
    (-9999, {"number": 3}),
    (1e19, {}),
]


@pytest.mark.parametrize(("value", "options"), NO_FILLS)
def test_dark_saturated_and_rare_values_are_values(value, options):
    samples = made(value, **options)
    pixels, fill, num_invalid, marks = picture_values(samples)
    assert (fill, num_invalid, marks) == (None, 0, ())
    assert np.array_equal(pixels.astype(np.float32), samples.astype(np.float32))


def test_two_constants_may_fill_one_picture():
    samples = made(-9999)
    samples[-1] = LOWEST
    _, _, num_invalid, marks = picture_values(samples)
    assert (num_invalid, marks) == (96, ("-3.40282e+38", "-9999"))


def test_a_named_value_that_may_be_measured_counts_only_where_all_channels_hold_it():
    samples = np.full((4, 4, 3), 7, np.uint8)
    samples[0] = 0
    samples[1, :, 0] = 0  # black in one channel
    for dtype in (np.uint8, np.uint16, np.int32, np.float32):
        pixels, fill, num_invalid, marks = picture_values(samples.astype(dtype), nodata=0)
        assert (num_invalid, marks) == (4, ("0",))
        assert nodata.is_filled(pixels, fill).tolist() == [[True] * 4, *[[False] * 4] * 3]
        assert np.array_equal(pixels[1:].astype(int), samples[1:])


def test_a_pixel_without_a_value_in_one_channel_was_not_measured():
    for dtype in (np.int16, np.float32):
        samples = RNG.integers(0, 100, (8, 8, 3)).astype(dtype)
        samples[0, 0, 1] = -9999
        pixels, fill, num_invalid, _ = picture_values(samples, nodata=-9999)
        assert num_invalid == 1
        assert nodata.is_filled(pixels, fill).ravel().tolist() == [True] + [False] * 63


def test_no_value_that_was_measured_is_taken_for_the_fill_of_integers():
    samples = np.array([[-9999, 65535, 3]], np.int32)[:, :, None]
    pixels, fill, num_invalid, _ = picture_values(samples, nodata=-9999)
    assert (pixels.dtype, np.isnan(fill), num_invalid) == (np.float32, True, 1)
    assert pixels.ravel()[1:].tolist() == [65535, 3]
    below_zero = np.array([[-9999, -5, 3]], np.int16)[:, :, None]
    assert np.array_equal(picture_values(below_zero, nodata=-9999).pixels.ravel(), [np.nan, -5, 3], equal_nan=True)
