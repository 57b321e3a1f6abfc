"""Oracles: masks whose numbers or colours count objects, beside masks whose ids only look like it."""

import numpy as np
import pytest

from tests.data.mask_sets import COLOURS, decoded, raster, squares, surveyed
from unetlab.data.labels.masks import IGNORE
from unetlab.data.labels.palettes import voc_colour
from unetlab.data.labels.readings import alternatives, propose, read_as
from unetlab.data.labels.surveys import channels_of

VOC_COLOURS = [voc_colour(index) for index in range(256)]
CHANNELS = np.array([channels_of(colour) for colour in VOC_COLOURS], np.uint8)


def in_random_colours(ids):
    rng = np.random.default_rng(int(ids.sum()))
    return raster(np.vstack([[0, 0, 0], rng.integers(1, 256, (ids.max(), 3))]).astype(np.uint8)[ids])


@pytest.mark.parametrize(
    ("numbers", "encode"),
    [
        ((3, 9, 14, 20), lambda ids: raster(ids.astype(np.uint8))),
        ((2, 3, 5, 4, 1, 8), lambda ids: raster(ids.astype(np.uint8))),
        ((30, 50, 80, 200), lambda ids: raster(ids.astype(np.uint8))),
        ((3, 9, 14, 20), raster),
        ((300, 420, 500), raster),
        ((40, 55), raster),
        ((2, 3, 5, 4, 1, 8), in_random_colours),
        ((30, 50, 80, 200), in_random_colours),
        ((300, 420, 500), in_random_colours),
    ],
)
def test_instance_ids_are_one_class(numbers, encode):
    maps = [squares(number, size=160) for number in numbers]
    rasters = [encode(ids) for ids in maps]
    found = surveyed(rasters)
    proposal = propose(found)
    assert proposal.reading.key == "instances"
    assert proposal.is_certain == (len(found.pixels) > 32)
    assert np.array_equal(decoded(proposal.reading, rasters), [ids > 0 for ids in maps])
    assert "instances+boundary" in [reading.key for reading in alternatives(found)]


def test_objects_that_touch_get_a_boundary_two_pixels_wide():
    ids = np.zeros((6, 8), np.uint8)
    ids[1:5, 1:4] = 1
    ids[1:5, 4:7] = 2
    other = np.zeros((6, 8), np.uint8)
    other[:2, :2] = 3
    rasters = [raster(ids), raster(other)]
    boundary = decoded(read_as(surveyed(rasters), "instances+boundary"), rasters)
    expected = (ids > 0).astype(np.uint8)
    expected[1:5, 3:5] = 2
    assert np.array_equal(boundary[0], expected)
    assert np.array_equal(boundary[1], other > 0)  # nothing touches: the background is no instance


@pytest.mark.parametrize("num_masks", [2, 5, 30])
def test_semantic_ids_that_are_in_most_masks_are_no_instances(num_masks):
    rng = np.random.default_rng(0)
    maps = [rng.integers(0, 21, (40, 40), np.uint8) for _ in range(num_masks)]
    for number, labels in enumerate(maps):
        labels[labels == 20 - number % 4] = 0
    proposal = propose(surveyed([raster(labels) for labels in maps]))
    assert proposal.reading.key == "values"
    assert len(proposal.reading.groups) == 21


def test_more_classes_than_can_be_learnt_keep_the_commonest():
    rng = np.random.default_rng(0)
    maps = [rng.choice(150, 8, replace=False).astype(np.uint8)[rng.integers(0, 8, (40, 40))] for _ in range(20)]
    found = surveyed([raster(labels) for labels in maps])
    proposal = propose(found)
    assert proposal.reading.key == "commonest:32"
    assert len(proposal.reading.groups) == 32
    headline, detail = proposal.doubt.split("\n")
    assert headline == f"The masks hold {len(found.pixels)} values, too many to be classes."
    assert detail.startswith(f"The commonest: {found.common[0]} (")
    assert "more than the 32 that can be learned" in proposal.doubt
    assert {group.values[0] for group in proposal.reading.groups} == set(found.common[:32])


@pytest.mark.parametrize("encode", [raster, lambda ids: raster(CHANNELS[ids])])
@pytest.mark.parametrize(("num_masks", "power"), [(150, 0), (150, 1), (30, 1.2)])
def test_a_hundred_classes_on_a_background_are_no_instances(num_masks, power, encode):
    """ADE20K and FoodSeg103: a few of 103 to 150 classes in each, some much commoner than others."""
    rng = np.random.default_rng(0)
    chances = np.arange(1, 151) ** -float(power)
    maps = []
    for _ in range(num_masks):
        classes = np.concatenate([[0], 1 + rng.choice(150, 8, replace=False, p=chances / chances.sum())])
        maps.append(np.kron(rng.permutation(classes).reshape(3, 3), np.ones((8, 8), int)).astype(np.uint8))
    found = surveyed([encode(labels) for labels in maps])
    proposal = propose(found)
    assert proposal.reading.key == "commonest:32"
    assert proposal.doubt
    assert {group.values[0] for group in proposal.reading.groups} == set(found.common[:32])


@pytest.mark.parametrize("kind", ["random numbers", "one list of colours"])
def test_numbers_or_colours_of_objects_may_come_back_by_chance(kind):
    rng = np.random.default_rng(0)
    colours = np.vstack([[0, 0, 0], rng.integers(1, 256, (100, 3))]).astype(np.uint8)
    rasters = []
    for place in range(40):
        is_random = kind == "random numbers"
        ids = squares(int(rng.integers(10, 60)) if is_random or place % 10 == 0 else 3, size=64).astype(np.uint8)
        numbers = np.concatenate([[0], rng.permutation(254) + 1]).astype(np.uint8)
        rasters.append(raster(numbers[ids] if is_random else colours[ids]))
    assert propose(surveyed(rasters)).reading.key == "instances"


def test_the_line_around_instances_of_voc_is_left_out():
    maps = [np.pad(squares(number, size=60).astype(np.uint8), 2, constant_values=255) for number in (2, 7, 3, 9, 12)]
    rasters = [raster(labels, palette=VOC_COLOURS) for labels in maps]
    reading = propose(surveyed(rasters)).reading
    assert reading.key == "instances"
    for labels, ids in zip(maps, decoded(reading, rasters), strict=True):
        assert np.array_equal(ids == IGNORE, labels == 255)
        assert np.array_equal(ids == 1, (labels > 0) & (labels < 255))


def test_ids_of_which_the_last_are_rare_are_no_instances():
    maps = [np.resize(np.arange(count, dtype=np.uint8), (12, 12)) for count in (10, 11, 12, 12)]
    assert propose(surveyed([raster(labels) for labels in maps])).reading.key == "values"


def test_a_few_colours_are_classes_though_each_is_in_one_mask():
    maps = [np.array([[0, 0, 2 * number + 1, 2 * number + 2]] * 9, np.uint8) for number in range(2)]
    maps.append(np.array([[0, 0, 0, 5]] * 9, np.uint8))
    reading = propose(surveyed([raster(COLOURS[labels]) for labels in maps])).reading
    assert reading.key == "values"
    assert len(reading.groups) == 6
