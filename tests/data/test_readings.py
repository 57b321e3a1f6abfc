"""Oracles: a random label map encoded in each way comes back; real traps ask, and each answer does what it says."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from unetlab.data.class_files import read_class_file
from unetlab.data.masks import IGNORE, apply, read_values, survey
from unetlab.data.readings import choices, propose, read_as
from unetlab.errors import DataError, NeedsReading

COLOURS = np.array([(0, 0, 0), (255, 0, 0), (0, 128, 255), (64, 64, 0)], np.uint8)


def save_palette(labels, path):
    picture = Image.fromarray(labels).convert("P")
    picture.putpalette(COLOURS.ravel().tolist())
    picture.save(path)


def save_alpha(labels, path):
    pixels = np.full((*labels.shape, 4), 200, np.uint8)
    pixels[:, :, 3] = labels * 60
    Image.fromarray(pixels).save(path)


def as_array(encode):
    return lambda labels, path: Image.fromarray(encode(labels)).save(path)


# Number of classes, and how labels uint8 (H,W) are written.
ENCODINGS = {
    "0 and 255": (2, as_array(lambda labels: labels * 255)),
    "0 and 1": (2, as_array(lambda labels: labels)),
    "black and white": (2, as_array(lambda labels: labels == 1)),
    "class ids": (4, as_array(lambda labels: labels)),
    "class ids from 1": (4, as_array(lambda labels: labels + 1)),
    "16 bit ids": (4, as_array(lambda labels: labels.astype(np.uint16))),
    "even greys": (4, as_array(lambda labels: labels * 85)),
    "palette": (4, save_palette),
    "colours": (4, as_array(lambda labels: COLOURS[labels])),
    "greys saved as RGB": (2, as_array(lambda labels: np.dstack([labels * 255] * 3))),
    "class in alpha": (4, save_alpha),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_label_map_comes_back_from_each_encoding(encoding, seed, tmp_path):
    num_classes, save = ENCODINGS[encoding]
    rng = np.random.default_rng(seed)
    maps = [rng.integers(0, num_classes, (9, 7), np.uint8) for _ in range(3)]
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for labels, path in zip(maps, paths, strict=True):
        save(labels, path)
    reading = propose(survey(paths))
    # Colours have no order of their own: classes are numbered by colour.
    order = np.argsort(COLOURS @ np.array([65536, 256, 1])) if encoding == "colours" else np.arange(num_classes)
    for labels, path in zip(maps, paths, strict=True):
        decoded = apply(reading, read_values(path, reading.part))
        assert decoded.dtype == np.uint8
        assert np.array_equal(decoded, np.argsort(order)[labels])


def write_masks(folder: Path, masks: list[np.ndarray], *, suffix: str = ".png") -> list[Path]:
    paths = [folder / f"{number}{suffix}" for number in range(len(masks))]
    for mask, path in zip(masks, paths, strict=True):
        Image.fromarray(mask).save(path)
    return paths


def decoded(reading, paths):
    return [apply(reading, read_values(path, reading.part)) for path in paths]


@pytest.fixture
def crack_masks(tmp_path):
    """Ten masks of 0 and 255; one holds a 3, one a 4, as in CrackForest."""
    masks = [np.zeros((20, 20), np.uint8) for _ in range(10)]
    for mask in masks:
        mask[:, 3] = 255
    masks[2][0, 10:14] = 3
    masks[5][1, 10] = 4
    return masks


def test_stray_values_ask_and_name_what_was_found(crack_masks, tmp_path):
    with pytest.raises(NeedsReading) as asked:
        propose(survey(write_masks(tmp_path, crack_masks)))
    assert "3 and 4 may be" in str(asked.value)
    assert "in 10 of 10 masks" in str(asked.value)
    keys = [key for key, _ in asked.value.choices]
    assert keys == ["binary", "nonzero", "threshold:127", "values", "ignore-strays"]
    assert "3 (4 pixels), 4 (1 pixels) become background" in dict(asked.value.choices)["binary"]


@pytest.mark.parametrize(
    ("key", "classes_of"),
    [
        ("binary", {0: 0, 3: 0, 4: 0, 255: 1}),
        ("nonzero", {0: 0, 3: 1, 4: 1, 255: 1}),
        ("threshold:127", {0: 0, 3: 0, 4: 0, 255: 1}),
        ("threshold:3", {0: 0, 3: 0, 4: 1, 255: 1}),
        ("values", {0: 0, 3: 1, 4: 2, 255: 3}),
        ("ignore-strays", {0: 0, 3: IGNORE, 4: IGNORE, 255: 1}),
    ],
)
def test_each_answer_does_what_it_says(key, classes_of, crack_masks, tmp_path):
    paths = write_masks(tmp_path, crack_masks)
    reading = read_as(survey(paths), key)
    for mask, classes in zip(crack_masks, decoded(reading, paths), strict=True):
        expected = np.zeros_like(mask)
        for value, class_id in classes_of.items():
            expected[mask == value] = class_id
        assert np.array_equal(classes, expected)


def test_an_unknown_answer_names_the_known_ones(crack_masks, tmp_path):
    with pytest.raises(DataError, match=r"'bynary' is not one of .* binary, nonzero"):
        read_as(survey(write_masks(tmp_path, crack_masks)), "bynary")


def test_a_threshold_that_leaves_one_class_empty_is_refused(crack_masks, tmp_path):
    with pytest.raises(DataError, match="same side of 255"):
        read_as(survey(write_masks(tmp_path, crack_masks)), "threshold:255")


def test_three_hundred_values_ask_with_a_threshold(tmp_path):
    ramp = np.linspace(0, 600, 300).astype(np.uint16).reshape(15, 20)
    found = survey(write_masks(tmp_path, [ramp, ramp]))
    with pytest.raises(NeedsReading, match="300 different values") as asked:
        propose(found)
    keys = [key for key, _ in asked.value.choices]
    assert "nonzero" in keys
    assert any(key.startswith("threshold:") for key in keys)


def test_a_jpeg_smeared_colour_mask_asks_and_a_threshold_restores_it(tmp_path):
    labels = np.zeros((64, 64), np.uint8)
    labels[16:48, 8:40] = 1
    colours = np.array([(0, 0, 0), (250, 40, 40)], np.uint8)
    paths = write_masks(tmp_path, [colours[labels], colours[labels]], suffix=".jpg")
    found = survey(paths)
    with pytest.raises(NeedsReading) as asked:
        propose(found)
    reading = read_as(found, asked.value.choices[0][0])
    assert (decoded(reading, paths)[0] == labels).mean() > 0.98


def test_classes_are_taken_over_the_whole_set(tmp_path):
    """CamVid: no single mask holds all classes."""
    masks = [np.array([[0, 1]], np.uint8), np.array([[2, 0]], np.uint8), np.array([[3, 1]], np.uint8)]
    paths = write_masks(tmp_path, masks)
    reading = propose(survey(paths))
    assert [group.values for group in reading.groups] == [[0], [1], [2], [3]]
    assert np.array_equal(decoded(reading, paths)[2], masks[2])


def test_rare_class_ids_do_not_ask(tmp_path):
    masks = [np.zeros((40, 40), np.uint8) for _ in range(10)]
    for value in range(12):
        masks[value % 10][value, :3] = value
    assert len(propose(survey(write_masks(tmp_path, masks))).groups) == 12


def test_softened_edges_ask(tmp_path):
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 255
    mask[10, 10:14] = [40, 90, 160, 220]
    with pytest.raises(NeedsReading):
        propose(survey(write_masks(tmp_path, [mask, mask])))


def test_0_1_and_255_ask(tmp_path):
    mask = np.array([[0, 1, 255, 0]] * 4, np.uint8)
    with pytest.raises(NeedsReading) as asked:
        propose(survey(write_masks(tmp_path, [mask, mask])))
    assert "ignore-255" in dict(asked.value.choices)


def test_the_border_of_voc_palettes_is_ignored(tmp_path):
    labels = np.array([[0, 1, 2, 255]] * 4, np.uint8)
    paths = []
    for number in range(2):
        picture = Image.fromarray(labels).convert("P")
        picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [0] * 756 + [224, 224, 192])
        paths.append(tmp_path / f"{number}.png")
        picture.save(paths[-1])
    reading = propose(survey(paths))
    assert np.array_equal(decoded(reading, paths)[0], [[0, 1, 2, IGNORE]] * 4)


def test_palettes_that_differ_from_file_to_file_are_read_by_colour(tmp_path):
    """Picture editors number colours by their own taste: index 0 may be white in one file and black in the next."""
    paths = []
    for number, palette in enumerate([[0, 0, 0, 255, 255, 255], [255, 255, 255, 0, 0, 0]]):
        picture = Image.fromarray(np.array([[0, 1]] * 3, np.uint8)).convert("P")
        picture.putpalette(palette)
        paths.append(tmp_path / f"{number}.png")
        picture.save(paths[-1])
    first, second = decoded(propose(survey(paths)), paths)
    assert np.array_equal(first, 1 - second)


def test_a_set_of_one_value_has_nothing_to_learn(tmp_path):
    found = survey(write_masks(tmp_path, [np.zeros((5, 5), np.uint8)] * 3))
    with pytest.raises(DataError, match="All 3 masks have only the value 0"):
        propose(found)


def test_an_unreadable_mask_is_told_apart_from_the_rest(tmp_path):
    paths = write_masks(tmp_path, [np.array([[0, 255]], np.uint8)] * 2)
    paths[1].write_text("not a picture")
    found = survey(paths)
    assert list(found.unreadable) == [paths[1]]
    assert found.num_masks == 1


def test_names_come_from_a_table_and_void_is_ignored(tmp_path):
    (tmp_path / "classes.csv").write_text("id,name,r,g,b\n0,Sky,1,2,3\n1,Road,4,5,6\n2,Unlabelled,0,0,0\n")
    paths = write_masks(tmp_path, [np.array([[0, 1, 2]], np.uint8)] * 2)
    reading = propose(survey(paths), read_class_file(tmp_path / "classes.csv"))
    assert [group.name for group in reading.groups] == ["Sky", "Road"]
    assert reading.ignored.name == "Unlabelled"
    assert decoded(reading, paths)[0].tolist() == [[0, 1, IGNORE]]


def test_names_come_from_a_table_of_colours(tmp_path):
    (tmp_path / "classes.csv").write_text("name,r,g,b\nroad,255,0,0\nsky,0,0,255\n")
    mask = np.array([[(0, 0, 255), (255, 0, 0)]], np.uint8)
    reading = propose(survey(write_masks(tmp_path, [mask] * 2)), read_class_file(tmp_path / "classes.csv"))
    assert [(group.name, group.values) for group in reading.groups] == [("road", [0xFF0000]), ("sky", [0x0000FF])]


@pytest.mark.parametrize("text", ["background\ncell\n", "0 background\n1 cell\n", "# names\n0: background\n1: cell"])
def test_names_come_from_lines_also_for_0_and_255(text, tmp_path):
    (tmp_path / "class_names.txt").write_text(text)
    paths = write_masks(tmp_path, [np.array([[0, 255]], np.uint8)] * 2)
    reading = propose(survey(paths), read_class_file(tmp_path / "class_names.txt"))
    assert [group.name for group in reading.groups] == ["background", "cell"]


def test_a_value_that_the_class_file_does_not_know_asks(tmp_path):
    (tmp_path / "codes.txt").write_text("sky\nroad\ntree\n")
    mask = np.array([[0, 1, 2, 9]], np.uint8)
    found = survey(write_masks(tmp_path, [mask] * 2))
    with pytest.raises(NeedsReading, match="9 may be"):
        propose(found, read_class_file(tmp_path / "codes.txt"))


def test_choices_of_a_plain_set_can_be_listed(tmp_path):
    found = survey(write_masks(tmp_path, [np.array([[0, 255]], np.uint8)] * 2))
    assert [key for key, _ in choices(found)] == ["values"]
