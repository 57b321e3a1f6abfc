"""Oracles: the tables of PASCAL VOC, CamVid and Cityscapes, and masks in their colours and ids."""

import numpy as np
import pytest

from tests.data.mask_sets import decoded, raster, surveyed
from unetlab.data.labels import palettes
from unetlab.data.labels.masks import IGNORE
from unetlab.data.labels.palettes import CAMVID, CITYSCAPES, VOC, voc_colour
from unetlab.data.labels.readings import propose, read_as

VOC_COLOURS = [voc_colour(index) for index in range(256)]


@pytest.mark.parametrize("palette", [VOC, CAMVID, CITYSCAPES], ids=lambda palette: palette.name)
def test_colours_of_public_sets_are_named_and_void_is_ignored(palette):
    colours = list(palette.names)[:20] + [colour for colour, name in palette.names.items() if name == "void"]
    channels = np.array([(colour >> 16, colour >> 8 & 255, colour & 255) for colour in colours], np.uint8)
    maps = [np.random.default_rng(seed).integers(0, len(colours), (30, 30)) for seed in range(3)]
    reading = propose(surveyed([raster(channels[labels]) for labels in maps])).reading
    assert reading.palette_name == palette.name
    assert [group.name for group in reading.groups] == [palette.names[c] for c in colours[:20] if c != colours[-1]]
    assert reading.ignored is not None
    assert reading.ignored.name == "void"


def test_palette_images_of_voc_are_named_and_255_is_ignored():
    labels = np.array([[0, 15, 12, 255]] * 4, np.uint8)
    proposal = propose(surveyed([raster(labels, palette=VOC_COLOURS)] * 2))
    assert [group.name for group in proposal.reading.groups] == ["background", "dog", "person"]
    assert proposal.is_certain
    assert any("PASCAL VOC" in reason for reason in proposal.reasons)
    ids = decoded(proposal.reading, [raster(labels, palette=VOC_COLOURS)])[0]
    assert np.array_equal(ids[0], [0, 2, 1, IGNORE])


def test_cityscapes_label_ids_are_named_and_can_be_cut_to_the_evaluated_classes():
    ids = np.arange(34, dtype=np.uint8)
    maps = [np.append(np.random.default_rng(seed).permutation(ids), np.uint8(255)).reshape(5, 7) for seed in (0, 1)]
    found = surveyed([raster(labels) for labels in maps])
    reading = propose(found).reading
    assert [group.name for group in reading.groups][3:5] == ["road", "sidewalk"]
    assert reading.ignored is not None
    assert reading.ignored.values == [0, 1, 2, 3]
    evaluated = read_as(found, "cityscapes-19")
    assert [group.values[0] for group in evaluated.groups][:3] == [7, 8, 11]
    assert len(evaluated.groups) == 19
    assert (decoded(evaluated, [raster(maps[0])])[0] == IGNORE).sum() == 16


def test_cityscapes_train_ids_leave_255_out_and_can_be_named():
    labels = np.append(np.arange(19), [255]).astype(np.uint8).reshape(4, 5)
    found = surveyed([raster(labels)] * 2)
    proposal = propose(found)
    assert proposal.reading.key == "ignore-255"
    assert len(proposal.reading.groups) == 19
    assert read_as(found, "cityscapes-train").groups[13].name == "car"


def test_the_tables_are_those_that_were_published():
    """Spot checks against the VOC development kit, CamVid's label_colors.txt and Cityscapes' labels.py."""
    assert [f"{voc_colour(index):06x}" for index in (1, 2, 15, 20, 255)] == [
        "800000", "008000", "c08080", "004080", "e0e0c0",
    ]  # fmt: skip
    assert list(VOC.names.values())[15] == "person"
    assert len(VOC.names) == 22
    assert len(CAMVID.names) == 34
    assert CAMVID.names[0x804080] == "Road"
    labels = palettes.CITYSCAPES_LABELS
    assert [label.train_id for label in labels if label.train_id is not None] == list(range(19))
    assert (labels[7].name, labels[26].name, labels[33].name) == ("road", "car", "bicycle")
