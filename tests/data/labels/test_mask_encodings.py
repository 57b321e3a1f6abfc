"""Oracle: a generated label map, saved in each way that people and programs know, comes back as it was."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from tests.data.mask_sets import COLOURS, decoded, discs, jpeg, raster, scaled, surveyed
from unetlab.data.labels import heaps
from unetlab.data.labels.masks import IGNORE, class_pixels, measure_mask
from unetlab.data.labels.palettes import voc_colour
from unetlab.data.labels.readings import alternatives, propose, read_as

PACKED = (COLOURS @ np.array([65536, 256, 1])).tolist()
VOC_COLOURS = [voc_colour(index) for index in range(256)]


def spread(labels, num_classes):
    return (labels * (255 // (num_classes - 1))).astype(np.uint8)


def compact_palette(labels):
    """As an editor saves it that numbers the colours of each file anew, in the order in which they come."""
    used, firsts = np.unique(labels, return_index=True)
    used = used[np.argsort(firsts)]
    indices = np.zeros(len(COLOURS), np.uint8)
    indices[used] = np.arange(len(used))
    return raster(indices[labels], palette=[PACKED[label] for label in used])


def in_alpha(labels):
    return raster(np.dstack([np.full((*labels.shape, 3), 200, np.uint8), labels * 20]))


def opaque(pixels):
    return np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])


# How label maps of (2 to 12) classes are saved without loss.
EXACT = {
    "8-bit ids": lambda labels, k: raster(labels),
    "ids from 1": lambda labels, k: raster(labels + 1),
    "ids with gaps": lambda labels, k: raster(np.array([0, 1, 2, 4, 5, 7, 8, 9, 11, 12, 14, 15], np.uint8)[labels]),
    "spread evenly over 0 to 255": lambda labels, k: raster(spread(labels, k)),
    "16-bit ids": lambda labels, k: raster(labels.astype(np.uint16)),
    "16-bit, spread": lambda labels, k: raster(labels.astype(np.uint16) * (65535 // (k - 1))),
    "palette of its own": lambda labels, k: raster(labels, palette=PACKED),
    "palette of PASCAL VOC": lambda labels, k: raster(labels, palette=VOC_COLOURS),
    "palette that differs from file to file": lambda labels, k: compact_palette(labels),
    "RGB colours": lambda labels, k: raster(COLOURS[labels]),
    "RGB greys": lambda labels, k: raster(np.dstack([spread(labels, k)] * 3)),
    "RGBA colours": lambda labels, k: raster(opaque(COLOURS[labels])),
    "RGBA, class in alpha": lambda labels, k: in_alpha(labels),
    "grey and alpha": lambda labels, k: raster(opaque(labels)),
    "grey and alpha, class in alpha": lambda labels, k: raster(np.dstack([labels * 0 + 7, labels * 20])),
    "id in the red channel": lambda labels, k: raster(np.dstack([labels, labels * 0, labels * 0])),
}
COLOURED = {"palette that differs from file to file", "RGB colours", "RGBA colours"}


def random_maps(num_classes, seed):
    """Four maps; every class is in the first, and some lack in the others."""
    rng = np.random.default_rng(seed)
    maps = [rng.integers(0, num_classes, (13, 11), np.uint8) for _ in range(4)]
    maps[0].ravel()[:num_classes] = np.arange(num_classes)
    for number, labels in enumerate(maps[1:], start=1):
        labels[labels == (seed + number) % num_classes] = 0
    return maps


@pytest.mark.parametrize("encoding", EXACT)
@given(num_classes=st.integers(2, 12), seed=st.integers(0, 10**6))
@settings(max_examples=12, deadline=None)
def test_a_label_map_comes_back_from_each_lossless_encoding(encoding, num_classes, seed):
    maps = random_maps(num_classes, seed)
    rasters = [EXACT[encoding](labels, num_classes) for labels in maps]
    found = surveyed(rasters)
    proposal = propose(found)
    # Colours have no order of their own: classes are numbered by colour.
    order = np.argsort(np.argsort(PACKED[:num_classes])) if encoding in COLOURED else np.arange(num_classes)
    if encoding == "palette that differs from file to file" and proposal.reading.part == "value":
        order = np.array([PACKED.index(found.palette[index]) for index in sorted(found.palette)]).argsort()
    for labels, ids in zip(maps, decoded(proposal.reading, rasters), strict=True):
        assert ids.dtype == np.uint8
        assert np.array_equal(ids, order[labels])
    assert proposal.is_certain
    assert proposal.doubt == ""


@pytest.mark.parametrize("encoding", EXACT)
@given(num_classes=st.integers(2, 12), seed=st.integers(0, 10**6))
@settings(max_examples=4, deadline=None)
def test_counts_from_facts_are_those_of_the_pixels_in_every_alternative(encoding, num_classes, seed):
    rasters = [EXACT[encoding](labels, num_classes) for labels in random_maps(num_classes, seed)]
    found = surveyed(rasters)
    for reading in [*alternatives(found), read_as(found, "instances")]:
        for mask, ids in zip(rasters, decoded(reading, rasters), strict=True):
            counts = class_pixels(reading, measure_mask(mask))
            expected = np.bincount(ids.ravel(), minlength=256)[: len(reading.groups)]
            assert counts is None or counts == expected.tolist()
            assert counts is not None or reading.key == "instances+boundary"


BINARY = {
    "black and white": lambda labels: raster(labels * 255),
    "0 and 1": lambda labels: raster(labels),
    "1 and 2": lambda labels: raster(labels + 1),
    "254 and 255": lambda labels: raster(labels + 254),
    "16-bit 0 and 65535": lambda labels: raster(labels.astype(np.uint16) * 65535),
    "black and one colour": lambda labels: raster(COLOURS[labels]),
}


@pytest.mark.parametrize("encoding", BINARY)
def test_two_values_are_two_classes(encoding):
    maps = discs(2, size=64)
    rasters = [BINARY[encoding](labels) for labels in maps]
    proposal = propose(surveyed(rasters))
    assert proposal.is_certain
    assert proposal.reading.palette_name == ""
    assert np.array_equal(decoded(proposal.reading, rasters), maps)


SMEARED = {
    "JPEG, black and white": (2, lambda labels: jpeg(labels * 255, 60), "threshold:"),
    "JPEG, black and white saved as RGB": (2, lambda labels: jpeg(np.dstack([labels * 255] * 3), 60), "threshold:"),
    "JPEG, black and one colour": (2, lambda labels: jpeg(COLOURS[labels], 75), "nearest:2"),
    "JPEG, four greys": (4, lambda labels: jpeg(labels * 85, 75), "nearest:4"),
    "JPEG, four colours": (4, lambda labels: jpeg(COLOURS[labels], 75), "nearest:4"),
    "JPEG turned into PNG": (2, lambda labels: raster(jpeg(labels * 255, 60).pixels), "threshold:127"),
    "edges softened in many steps": (2, lambda labels: soft_edges(labels * 255, 192), "threshold:127"),
    "edges softened in few steps": (2, lambda labels: soft_edges(labels * 255, 64), "threshold:127"),
    "colours softened in many steps": (4, lambda labels: soft_edges(COLOURS[labels], 192), "nearest:4"),
    "two colours softened in few steps": (2, lambda labels: soft_edges(COLOURS[labels], 64), "nearest:2"),
    "four colours softened in few steps": (4, lambda labels: soft_edges(COLOURS[labels], 64), "nearest:4"),
}


def soft_edges(pixels, size):
    how = Image.Resampling.BOX if size < len(pixels) else Image.Resampling.BICUBIC
    return scaled(pixels, (size, size), how)


@pytest.mark.parametrize("encoding", SMEARED)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_label_map_comes_back_from_smeared_masks_but_for_its_edges(encoding, seed):
    num_classes, encode, key = SMEARED[encoding]
    maps = discs(num_classes, seed=seed)
    rasters = [encode(labels) for labels in maps]
    proposal = propose(surveyed(rasters))
    assert proposal.reading.key.startswith(key)
    assert proposal.is_certain
    order = np.argsort(np.argsort(PACKED[:num_classes])) if rasters[0].pixels.shape[2] == 3 else np.arange(4)
    for labels, ids in zip(maps, decoded(proposal.reading, rasters), strict=True):
        expected = np.array(Image.fromarray(labels).resize(ids.shape[::-1], Image.Resampling.NEAREST))
        assert (ids == order[expected]).mean() > 0.97


@pytest.mark.parametrize("scale", [1, 257])
def test_probabilities_are_cut_in_the_middle_and_told(scale):
    maps = discs(2)
    blurred = [np.array(Image.fromarray(labels * 255).filter(ImageFilter.GaussianBlur(6))) for labels in maps]
    dtype = np.uint8 if scale == 1 else np.uint16
    noise = np.random.default_rng(0).integers(0, scale, blurred[0].shape)
    rasters = [raster((pixels.astype(np.int64) * scale + (pixels > 0) * noise).astype(dtype)) for pixels in blurred]
    proposal = propose(surveyed(rasters))
    assert proposal.reading.threshold == (127 if scale == 1 else 32767)
    assert not proposal.is_certain
    assert "probabilities" in proposal.doubt
    for pixels, ids in zip(rasters, decoded(proposal.reading, rasters), strict=True):
        assert np.array_equal(ids, pixels.pixels[:, :, 0] > proposal.reading.threshold)


@pytest.mark.parametrize("ignored", [255, 65535])
def test_ids_and_the_highest_number_leave_that_number_out(ignored):
    labels = np.array([[0, 1, 2, 3, ignored]] * 5, np.uint8 if ignored == 255 else np.uint16)
    proposal = propose(surveyed([raster(labels)] * 2))
    assert proposal.is_certain
    assert np.array_equal(decoded(proposal.reading, [raster(labels)])[0][0], [0, 1, 2, 3, IGNORE])


def test_one_foreground_saved_as_1_and_as_255_is_one_class():
    maps = discs(2, size=32)
    rasters = [raster(labels * (255 if number % 2 else 1)) for number, labels in enumerate(maps)]
    proposal = propose(surveyed(rasters))
    assert np.array_equal(decoded(proposal.reading, rasters), maps)
    assert "No mask holds both 1 and 255" in proposal.doubt


def test_masks_that_hold_1_and_255_together_leave_255_out():
    masks = [raster(np.array([[0, 1, 255, 0]] * 4, np.uint8)), raster(np.array([[0, 1, 1, 0]] * 4, np.uint8))]
    proposal = propose(surveyed(masks))
    assert proposal.reading.key == "ignore-255"
    assert not proposal.is_certain
    assert "foreground:1,255" not in [reading.key for reading in alternatives(surveyed(masks))]


def test_trimaps_are_three_classes_and_the_border_can_be_left_out():
    found = surveyed([raster(labels + 1) for labels in discs(3, size=48)])
    proposal = propose(found)
    assert proposal.is_certain
    assert [group.values for group in proposal.reading.groups] == [[1], [2], [3]]
    assert "ignore:3" in [reading.key for reading in alternatives(found)]
    assert read_as(found, "ignore:3").strays == [3]


def test_thin_lines_that_jpeg_has_smeared_are_two_classes():
    rows, columns = np.indices((128, 128))
    labels = ((rows + columns) % 37 < 2).astype(np.uint8)
    rasters = [jpeg(labels * 255, 50)] * 3
    reading = propose(surveyed(rasters)).reading
    assert reading.kind == "threshold"
    assert (decoded(reading, rasters)[0] == labels).mean() > 0.97


def test_the_line_between_two_heaps_is_drawn_in_their_middle():
    histogram = np.zeros(256, np.int64)
    histogram[[0, 255]] = [900, 100]
    assert heaps.otsu(histogram) == 127


def test_a_few_values_of_a_jpeg_mask_are_no_strays():
    mask = np.zeros((20, 20), np.uint8)
    mask[4:16, 4:16] = 255
    ringing = mask.copy()
    ringing[0, 0] = 2
    rasters = [raster(pixels, is_lossy=True) for pixels in (mask, mask, ringing)]
    reading = propose(surveyed(rasters)).reading
    assert reading.kind == "threshold"
    assert np.array_equal(decoded(reading, rasters)[2], mask > 0)


def test_greys_that_jpeg_has_tinted_are_greys():
    labels = discs(2)[0]
    tint = np.random.default_rng(0).integers(-3, 4, (*labels.shape, 3))
    tinted = np.clip(labels[:, :, None] * 255 + tint, 0, 255).astype(np.uint8)
    assert surveyed([raster(tinted, is_lossy=True)] * 2).part == "grey"
    assert surveyed([raster(tinted)] * 2).part == "colour"


def test_sixteen_bit_white_and_rgb_white_are_one_class():
    maps = discs(2, size=32)
    rasters = [raster(labels.astype(np.uint16) * 1000) for labels in maps[:3]]
    rasters += [raster(np.dstack([labels * 255] * 3)) for labels in maps[3:]]
    assert np.array_equal(decoded(propose(surveyed(rasters)).reading, rasters), maps)


def test_the_nearest_colour_is_the_nearest():
    """Reference: distances computed one by one. Colours are compared at 7 bits, so that ties may fall otherwise."""
    pixels = np.random.default_rng(0).integers(0, 256, (80, 90, 3), np.uint8)
    reading = read_as(surveyed([raster(pixels)]), "nearest:000000,ff0000,00a0ff,3c3c0a,fafa5a,c8c8c8")
    centres = np.array([(v >> 16, v >> 8 & 255, v & 255) for group in reading.groups for v in group.values])
    expected = ((pixels[:, :, None].astype(np.int64) - centres) ** 2).sum(axis=3).argmin(axis=2)
    assert (decoded(reading, [raster(pixels)])[0] == expected).mean() > 0.98
    exactly = raster(centres[None].astype(np.uint8))
    assert decoded(reading, [exactly])[0].tolist() == [[0, 1, 2, 3, 4, 5]]


def test_one_thin_value_between_black_and_white_is_no_softened_edge():
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 255
    mask[10, 10:14] = 90
    proposal = propose(surveyed([raster(mask)] * 3))
    assert proposal.reading.key == "ignore-strays"
    assert proposal.reading.strays == [90]
