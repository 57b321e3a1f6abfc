"""Masks that are swapped beside the others. Oracle: made-up objects of which some masks are turned round; and the like
of them that are right: objects that fill their pictures."""

import numpy as np
import pytest

from unetlab.data.checks import polarity

SIDE = 48
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]


def disc(radius: float, centre: tuple[float, float] = (SIDE / 2, SIDE / 2)) -> np.ndarray:
    return (np.hypot(ROWS - centre[0], COLUMNS - centre[1]) < radius).astype(np.uint8)


def picture(mask: np.ndarray, contrast: float) -> np.ndarray:
    noise = np.random.default_rng(int(mask.sum())).normal(100, 20, mask.shape)
    return (noise + contrast * mask.astype(float))[:, :, None]


def swapped(masks: list[np.ndarray], pictures: list[np.ndarray]) -> list[int]:
    counts = np.array([[np.count_nonzero(mask == 0), np.count_nonzero(mask == 1)] for mask in masks])
    return polarity.swapped_places(counts, lambda place: polarity.look_at(masks[place], pictures[place]))


FREE = [disc(radius) for radius in np.linspace(7, 14, 10)]
CUT = [disc(12 + place % 3, (SIDE / 2, 3.0 * place)) for place in range(10)]  # some lie across the border


@pytest.mark.parametrize("is_inverted", [False, True])
@pytest.mark.parametrize(("masks", "contrast"), [(FREE, 0), (FREE, 60), (CUT, 60), (CUT, -60)])
def test_swapped_masks_are_told_whatever_the_rest_is(masks, contrast, is_inverted):
    pictures = [picture(mask, contrast) for mask in masks]
    turned = [1 - mask if (place in (2, 7)) != is_inverted else mask for place, mask in enumerate(masks)]
    assert swapped(turned, pictures) == [2, 7]
    assert swapped([1 - mask if is_inverted else mask for mask in masks], pictures) == []


@pytest.mark.parametrize("contrast", [0, 60])
def test_objects_that_fill_their_pictures_are_no_swapped_masks(contrast):
    for radius in (22, 28, 33, 40):
        masks = [*FREE, disc(radius)]
        assert swapped(masks, [picture(mask, contrast) for mask in masks]) == []


def test_a_mask_that_differs_in_contrast_only_is_not_swapped():
    assert swapped(FREE, [picture(mask, -60 if place == 3 else 60) for place, mask in enumerate(FREE)]) == []


def test_a_ring_around_everything_is_not_swapped_where_it_is_as_bright_as_the_other_objects():
    masks = [*FREE, 1 - disc(11)]
    assert swapped(masks, [picture(mask, 60) for mask in masks]) == []
    assert swapped(masks, [picture(mask, 0) for mask in masks]) == [10], "where nothing speaks against it"


def test_few_masks_and_masks_of_one_class_tell_nothing():
    few = [FREE[0], FREE[3], FREE[6], 1 - FREE[9]]
    assert swapped(few, [picture(mask, 60) for mask in few]) == []
    alone = [*FREE, np.ones((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)]
    assert swapped(alone, [picture(mask, 60) for mask in alone]) == []


def test_pixels_are_read_only_where_the_counts_give_reason_to():
    counts = np.array([[900, 100], [880, 120], [850, 150], [600, 400], [930, 70], [500, 500]])
    assert polarity.swapped_places(counts, lambda place: pytest.fail("a mask was read")) == []


def test_ignored_pixels_and_gaps_do_not_count_in_a_look():
    mask, image = disc(10), np.full((SIDE, SIDE, 1), 5.0)
    image[mask == 1] = 7
    wanted = polarity.look_at(mask[:40], image[:40])
    image[40:] = np.nan
    mask[40:] = 255
    share, border, contrast = polarity.look_at(mask, image)
    assert (share, contrast) == (pytest.approx(wanted.share), pytest.approx(wanted.contrast, rel=1e-5))
    assert border == 0
