"""Pictures for people: colours lie where classes are, ignored pixels and background stay untinted."""

import io

import numpy as np
import pytest
from PIL import Image

from unetlab.data import drawing
from unetlab.data.dataset import IGNORE
from unetlab.data.labels.classes import BACKGROUND_COLOR, PALETTE

IMAGE = np.full((8, 8, 1), 0.5, np.float32)
COLORS = ["#404040", "#ff0000"]


def mask_with_square():
    mask = np.zeros((8, 8), np.uint8)
    mask[2:6, 2:6] = 1
    return mask


def test_an_overlay_tints_classes_but_neither_background_nor_ignored_pixels():
    mask = mask_with_square()
    mask[0] = IGNORE
    picture = drawing.overlay(IMAGE, mask, COLORS, opacity=0.5, background=0)
    assert picture.dtype == np.uint8
    assert picture.shape == (8, 8, 3)
    assert picture[3, 3].tolist() == [192, 64, 64]
    assert picture[7, 7].tolist() == picture[0, 0].tolist() == [128, 128, 128]


def test_a_class_without_background_is_tinted_too():
    picture = drawing.overlay(IMAGE, mask_with_square(), COLORS, opacity=1)
    assert picture[7, 7].tolist() == [64, 64, 64]


def test_the_truth_is_outlined_in_two_tones():
    picture = drawing.overlay(IMAGE, np.zeros((8, 8), np.uint8), COLORS, truth=mask_with_square(), background=0)
    colours = {tuple(pixel) for pixel in picture.reshape(-1, 3).tolist()}
    assert {(255, 255, 255), (0, 0, 0), (128, 128, 128)} == colours
    assert picture[4, 4].tolist() == [128, 128, 128]


@pytest.mark.parametrize("width", [128, 200, 256, 384, 512, 1024, 2048])
def test_the_outline_of_the_truth_can_be_seen_in_a_thumbnail_of_a_picture_of_any_size(width):
    truth = np.zeros((64, width), np.uint8)
    truth[:, width // 2 :] = 1
    grey = np.full((64, width, 1), 0.5, np.float32)
    row = drawing.overlay(grey, np.zeros_like(truth), COLORS, truth=truth, background=0)[32, :, 0]
    assert 1 <= (row == 255).sum() * 144 / width <= 2.5
    assert 0.5 <= (row == 0).sum() * 144 / width <= 2.5


def test_an_error_map_tells_missed_from_false_and_leaves_ignored_pixels_out():
    truth = mask_with_square()
    truth[7] = IGNORE
    prediction = np.roll(mask_with_square(), 1, axis=1)
    picture = drawing.error_map(IMAGE, prediction, truth, background=0)
    assert picture[3, 2].tolist() == drawing.rgb(drawing.MISSED_COLOR).tolist()
    assert picture[3, 6].tolist() == drawing.rgb(drawing.FALSE_COLOR).tolist()
    assert picture[3, 4].tolist() == picture[0, 0].tolist()
    errors = {tuple(drawing.rgb(color)) for color in (drawing.MISSED_COLOR, drawing.FALSE_COLOR)}
    assert not errors & {tuple(pixel) for pixel in picture[7].tolist()}


def test_without_background_every_error_is_a_wrong_class():
    picture = drawing.error_map(IMAGE, np.ones((8, 8), np.uint8), mask_with_square())
    assert picture[0, 0].tolist() == drawing.rgb(drawing.WRONG_CLASS_COLOR).tolist()


def test_any_number_of_channels_can_be_shown():
    for channels in (1, 2, 3, 5):
        assert drawing.to_rgb(np.ones((4, 5, channels), np.float32)).shape == (4, 5, 3)


def test_class_ids_survive_their_png():
    mask = np.random.default_rng(0).integers(0, 256, (9, 7)).astype(np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(drawing.class_ids_png(mask)))), mask)


def test_pictures_are_tiled_thumbed_and_saved():
    pictures = [[np.zeros((4, 5, 3), np.uint8)] * 2, [np.zeros((3, 9, 3), np.uint8)]]
    sheet = drawing.tiled(pictures, gap_px=1)
    assert sheet.shape == (8, 11, 3)
    assert drawing.thumbnail(np.zeros((400, 200, 3), np.uint8), 100).shape == (100, 50, 3)
    assert Image.open(io.BytesIO(drawing.jpeg(sheet))).size == (11, 8)


def test_each_class_has_a_colour_of_its_own():
    assert len({*PALETTE, BACKGROUND_COLOR}) == 33
