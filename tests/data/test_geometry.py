"""Sizes, resizing and step counts. Oracle for steps: counting the batches of a plain loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetlab.data.geometry import fit_size, resize, samples_per_epoch, steps_per_epoch


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(512, 512, (256, 256)), (360, 480, (192, 256)), (100, 50, (100, 50)), (1000, 1, (256, 1)), (256, 300, (218, 256))],
)
def test_the_long_side_fits_and_nothing_is_enlarged(height, width, expected):
    assert fit_size(height, width, 256) == expected


def test_resizing_averages_pictures_and_never_invents_a_class():
    rng = np.random.default_rng(0)
    image = rng.random((64, 48, 3), np.float32)
    mask = rng.choice(np.array([0, 3, 255], np.uint8), (64, 48))
    small_image, small_mask = resize(image, mask, (16, 12))
    assert small_image.shape == (16, 12, 3)
    assert small_image.dtype == np.float32
    assert small_mask.shape == (16, 12)
    assert set(np.unique(small_mask)) <= {0, 3, 255}
    assert small_image.mean() == pytest.approx(image.mean(), abs=0.01)
    assert small_image.std() < image.std() / 2  # antialiased: not a sample of single pixels


def test_picture_and_mask_stay_on_each_other():
    mask = np.zeros((40, 40), np.uint8)
    mask[8:24, 16:32] = 1
    image, small = resize(mask[:, :, None].astype(np.float32), mask, (20, 20))
    assert np.array_equal(image[:, :, 0] > 0.5, small == 1)


def test_the_same_size_changes_nothing():
    image, mask = np.ones((5, 6, 1), np.float32), np.ones((5, 6), np.uint8)
    assert resize(image, mask, (5, 6)) == (image, mask)


def test_tiles_cover_the_area():
    sizes = [(512, 512), (100, 100), (257, 256)]
    assert samples_per_epoch(sizes, image_size=256, size_mode="tile") == [0, 0, 0, 0, 1, 2, 2]
    assert samples_per_epoch(sizes, image_size=256, size_mode="crop") == [0, 1, 2]


@given(num_images=st.integers(1, 60), batch_size=st.integers(1, 20))
@settings(deadline=None)
def test_steps_are_the_batches_without_a_lonely_last_one(num_images, batch_size):
    batches = [min(batch_size, num_images - start) for start in range(0, num_images, batch_size)]
    if len(batches) > 1 and batches[-1] == 1 and batch_size > 1:
        batches.pop()
    sizes = [(64, 64)] * num_images
    assert steps_per_epoch(sizes, image_size=64, size_mode="resize", batch_size=batch_size) == len(batches)
