"""What a size does to objects: counted by hand on drawn masks, against a slow flood fill, and fast on large ones."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unetlab.data.checks.shrinking import effect
from unetlab.data.geometry import fit_size, resize_mask


def drawn(height: int, width: int, *boxes: tuple[int, int, int, int, int]) -> np.ndarray:
    """A mask of background 0 with boxes (top, left, height, width, class)."""
    mask = np.zeros((height, width), np.uint8)
    for top, left, rows, columns, class_id in boxes:
        mask[top : top + rows, left : left + columns] = class_id
    return mask


def flooded(mask: np.ndarray, is_object: np.ndarray, *, corners: bool) -> list[set[tuple[int, int]]]:
    """Connected areas of equal value by a flood fill, pixel by pixel: the slow reference."""
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0), *([(1, 1), (1, -1), (-1, 1), (-1, -1)] if corners else [])]
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(is_object), strict=True)}
    areas = []
    while left:
        waiting = [left.pop()]
        area = set(waiting)
        while waiting:
            y, x = waiting.pop()
            near = {(y + dy, x + dx) for dy, dx in steps} & left
            near = {place for place in near if mask[place] == mask[y, x]}
            left -= near
            area |= near
            waiting += near
        areas.append(area)
    return areas


def test_small_objects_vanish_and_large_ones_stay():
    mask = drawn(64, 64, (0, 0, 1, 1, 1), (20, 20, 16, 16, 1), (40, 0, 1, 1, 2), (1, 40, 8, 8, 2))
    shrunk = effect([mask], image_size=16, size_mode="resize", background=0)
    assert (shrunk.num_objects, shrunk.num_vanished, shrunk.num_broken) == (4, 2, 0)
    assert shrunk.sentence == "Resizing to 16 px: 2 of 4 objects vanish."


def test_a_slanting_line_breaks_into_as_many_pieces_as_the_scaled_mask_shows():
    mask = np.zeros((64, 64), np.uint8)
    for row in range(64):
        mask[row, max(0, row - 1) : row + 1] = 1  # two wide, joined by sides
    small = resize_mask(mask, fit_size(64, 64, 16))
    pieces = len(flooded(small, small == 1, corners=False))
    shrunk = effect([mask], image_size=16, size_mode="resize", background=0)
    assert pieces > 1
    assert (shrunk.num_broken, shrunk.mean_pieces) == (1, pieces)
    assert shrunk.sentence == f"Resizing to 16 px: 1 of 1 object breaks into {pieces}.0 pieces on average."


def test_a_line_of_single_slanting_pixels_is_one_object_when_corners_join():
    mask = np.eye(32, dtype=np.uint8)
    for shown in (mask, mask[:, ::-1]):
        by_sides = effect([shown], image_size=32, size_mode="resize", background=0)
        by_corners = effect([shown], image_size=32, size_mode="resize", background=0, neighbours=8)
        assert (by_sides.num_objects, by_corners.num_objects) == (32, 1)


def test_touching_classes_are_two_objects_and_ignored_pixels_none():
    mask = drawn(8, 8, (0, 0, 4, 4, 1), (0, 4, 4, 4, 2), (5, 0, 3, 8, 255))
    assert effect([mask], image_size=8, size_mode="resize", background=0).num_objects == 2
    assert effect([mask], image_size=8, size_mode="resize", background=None).num_objects == 3
    assert effect([mask], image_size=8, size_mode="resize", background=0, ignore=7).num_objects == 3


def test_rows_do_not_join_at_the_edges_of_the_mask():
    mask = drawn(4, 6, (0, 5, 1, 1, 1), (1, 0, 1, 1, 1), (2, 5, 1, 1, 1), (3, 0, 1, 1, 1))
    assert effect([mask], image_size=6, size_mode="resize", background=0, neighbours=8).num_objects == 4


@pytest.mark.parametrize(("box", "width"), [((3, 3, 5, 20, 1), 5), ((3, 3, 20, 2, 1), 2), ((3, 3, 7, 7, 1), 7)])
def test_widths_are_those_across_and_shrink_with_the_mask(box, width):
    shrunk = effect([drawn(64, 48, box)], image_size=16, size_mode="resize", background=0)
    assert shrunk.width_before_px == width
    assert shrunk.width_after_px == width / 4


@pytest.mark.parametrize("size_mode", ["crop", "tile"])
def test_crop_and_tile_keep_every_pixel(size_mode):
    shrunk = effect([drawn(64, 64, (1, 1, 1, 1, 1))], image_size=16, size_mode=size_mode, background=0)
    assert (shrunk.num_objects, shrunk.num_vanished, shrunk.width_after_px) == (1, 0, 1)
    assert shrunk.sentence == f"Size mode {size_mode} keeps every pixel of 1 object."


def test_masks_that_are_small_already_keep_their_size():
    shrunk = effect([drawn(16, 16, (1, 1, 1, 1, 1))], image_size=16, size_mode="resize", background=0)
    assert shrunk.num_vanished == 0
    assert shrunk.sentence == "No mask is larger than 16 px: nothing shrinks."


def test_masks_without_objects_say_so():
    for masks in ([], [np.zeros((9, 9), np.uint8)]):
        shrunk = effect(masks, image_size=4, size_mode="resize", background=0)
        assert (shrunk.num_objects, shrunk.width_before_px, shrunk.sentence) == (0, 0, "These masks hold no objects.")


@given(data=st.data(), height=st.integers(1, 12), width=st.integers(1, 12), corners=st.booleans())
@settings(deadline=None, max_examples=150)
def test_objects_and_pieces_agree_with_a_flood_fill(data, height, width, corners):
    flat = data.draw(st.lists(st.sampled_from([0, 0, 1, 1, 2, 255]), min_size=height * width, max_size=height * width))
    mask = np.array(flat, np.uint8).reshape(height, width)
    image_size = data.draw(st.integers(1, 12))
    shrunk = effect([mask], image_size=image_size, size_mode="resize", background=0, neighbours=8 if corners else 4)
    objects = flooded(mask, (mask == 1) | (mask == 2), corners=corners)
    labels = np.zeros((height, width), np.int32)
    for number, area in enumerate(objects, start=1):
        labels[tuple(np.array(sorted(area)).T)] = number
    new_height, new_width = fit_size(height, width, image_size)
    small = np.asarray(Image.fromarray(labels).resize((new_width, new_height), Image.Resampling.NEAREST))
    pieces = [len(flooded(small, small == number, corners=corners)) for number in range(1, len(objects) + 1)]
    assert shrunk.num_objects == len(objects)
    assert shrunk.num_vanished == pieces.count(0)
    assert shrunk.num_broken == sum(count > 1 for count in pieces)


@given(height=st.integers(1, 60), width=st.integers(1, 60), image_size=st.integers(1, 40))
@settings(deadline=None)
def test_objects_are_sampled_just_as_training_samples_masks(height, width, image_size):
    """An object is what resize_mask leaves of it: a mask of many single pixels keeps as many as training sees."""
    y, x = np.mgrid[:height, :width]
    mask = ((y + x) % 2).astype(np.uint8)  # a chessboard: each 1 is an object of its own
    shrunk = effect([mask], image_size=image_size, size_mode="resize", background=0)
    seen = int(resize_mask(mask, fit_size(height, width, image_size)).sum())
    assert shrunk.num_objects - shrunk.num_vanished == seen


def test_a_dozen_large_masks_take_less_than_a_second():
    rng = np.random.default_rng(0)
    masks = [
        drawn(
            1024,
            1024,
            *((int(y), int(x), int(s), int(s), 1) for y, x, s in rng.integers(1, 1000, (80, 3)) // (1, 1, 30)),
        )
        for _ in range(12)
    ]
    started = time.process_time()
    effect(masks, image_size=256, size_mode="resize", background=0)
    assert time.process_time() - started < 3  # measured 0.1 s on an idle core; others share this one
