"""Oracle: the samples themselves; numpy's casts; turning back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unetlab.data.readers import nodata
from unetlab.data.readers.pixels import mask_values, picture_values, upright
from unetlab.errors import UnreadableFile


def test_values_of_masks_become_whole_numbers():
    def values(samples):
        kept, num_invalid = mask_values(np.array(samples)[None, :, None], "a.tif")
        return kept.dtype.name, kept.ravel().tolist(), num_invalid

    assert values(np.array([0, 3], np.int32)) == ("uint16", [0, 3], 0)
    assert values(np.array([0, 3], np.int8)) == ("uint8", [0, 3], 0)
    assert values(np.array([-1, 3], np.int16)) == ("uint16", [255, 3], 0)
    assert values(np.array([0.0, 7.0])) == ("uint16", [0, 7], 0)
    assert values(np.array([0.0, 0.5, 1.0])) == ("uint8", [0, 128, 255], 0)
    assert values(np.array([0.2, 2.6])) == ("uint16", [0, 3], 0)
    assert values(np.array([np.nan, 2.0, np.inf])) == ("uint16", [0, 2, 0], 2)
    assert values(np.array([True, False])) == ("uint8", [255, 0], 0)
    for wrong in ([-2, 3], [-1, 255], [0, 65536], [0.0, 1e9]):
        with pytest.raises(UnreadableFile, match=r"^a\.tif holds mask values from .* to "):
            values(np.array(wrong))


@given(arrays.arrays(st.sampled_from(["i1", "i2", "i4", "u4", "i8", "f2", "f4", "f8"]), (2, 3, 1)))
def test_picture_values_are_equal_to_the_samples_and_the_others_are_marked(samples):
    pixels, fill, num_invalid, _ = picture_values(samples)
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = samples.astype(np.float32)
    is_filled = np.zeros((2, 3), bool) if fill is None else nodata.is_filled(pixels, fill)
    is_valid = ~is_filled[:, :, None]
    assert pixels.dtype in (np.uint8, np.uint16, np.float32)
    assert num_invalid == np.count_nonzero(is_filled)
    assert np.array_equal(pixels[is_valid].astype(np.float32), wanted[is_valid])
    assert np.isfinite(wanted[is_valid]).all()
    is_true = np.isfinite(wanted) & (np.abs(wanted) < 999)  # no fill is as small
    assert is_valid[is_true].all()


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))), st.integers(1, 8))
def test_orientation_8_undoes_6_and_all_others_undo_themselves(pixels, orientation):
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    assert np.array_equal(upright(upright(pixels, orientation), inverse), pixels)
