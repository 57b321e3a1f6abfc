"""Oracles: sets with known traps, what is proposed for them, and what each other answer does to their values."""

import numpy as np
import pytest
from pydantic import ValidationError

from tests.conftest import TEST_DATA
from tests.data.mask_sets import COLOURS, decoded, discs, jpeg, raster, surveyed
from unetlab.data.labels.class_files import ClassFile
from unetlab.data.labels.masks import IGNORE, Reading
from unetlab.data.labels.reading_words import without_counts
from unetlab.data.labels.readings import alternatives, known_names, propose, read_as
from unetlab.data.labels.surveys import Survey
from unetlab.errors import DataError


def keys(found: Survey, class_file: ClassFile | None = None) -> list[str]:
    return [reading.key for reading in alternatives(found, class_file)]


@pytest.fixture
def crack_masks() -> list[np.ndarray]:
    """Ten masks of 0 and 255; one holds a 3, one a 4, as in CrackForest."""
    masks = [np.zeros((20, 20), np.uint8) for _ in range(10)]
    for mask in masks:
        mask[:, 3] = 255
    masks[2][0, 10:14] = 3
    masks[5][1, 10] = 4
    return masks


@pytest.fixture
def cracks(crack_masks) -> Survey:
    return surveyed([raster(mask) for mask in crack_masks])


def test_stray_values_are_left_out_and_told(cracks):
    proposal = propose(cracks)
    assert proposal.reading.key == "ignore-strays"
    assert [group.values for group in proposal.reading.groups] == [[0], [255]]
    assert proposal.reading.strays == [3, 4]
    assert not proposal.is_certain
    assert "0 (94.9 %, in 10 of 10 masks)" in proposal.doubt
    assert "3 and 4 may be classes, or leftovers of an editor: left out of loss and scores until" in proposal.doubt
    assert keys(cracks) == ["ignore-strays", "binary", "values", "nonzero", "threshold:127", "invert"]
    assert "3 (4 pixels), 4 (1 pixels) become background" in read_as(cracks, "binary").meaning


def test_a_chosen_reading_says_the_same_of_more_masks(crack_masks, cracks):
    wide = crack_masks[2].copy()
    wide[:, 4:9] = 255
    more = surveyed([raster(mask) for mask in [*crack_masks, *crack_masks[3:7], wide]])
    offered = ["binary", "ignore-strays", "nonzero", "threshold:127", "threshold:3"]
    for key in offered:
        assert read_as(cracks, key).meaning != read_as(more, key).meaning, f"{key} counts pixels where it is offered"
    for key in [*offered, *keys(cracks)]:
        assert without_counts(read_as(cracks, key).meaning) == without_counts(read_as(more, key).meaning)
    many = [surveyed([raster(np.arange(64, dtype=np.uint8)[None].repeat(rows, 0))] * 8) for rows in (8, 9)]
    assert len({read_as(found, "commonest:32").meaning for found in many}) == 2
    assert len({without_counts(read_as(found, "commonest:32").meaning) for found in many}) == 1
    assert without_counts(read_as(cracks, "ignore-strays").meaning).endswith(
        "; the pixels of 3 and 4 are left out of loss and scores"
    )
    assert without_counts(read_as(cracks, "binary").meaning).endswith("the background; 3, 4 become background")


@pytest.mark.parametrize(
    ("key", "classes_of"),
    [
        ("binary", {0: 0, 3: 0, 4: 0, 255: 1}),
        ("nonzero", {0: 0, 3: 1, 4: 1, 255: 1}),
        ("threshold:127", {0: 0, 3: 0, 4: 0, 255: 1}),
        ("threshold:3", {0: 0, 3: 0, 4: 1, 255: 1}),
        ("values", {0: 0, 3: 1, 4: 2, 255: 3}),
        ("ignore-strays", {0: 0, 3: IGNORE, 4: IGNORE, 255: 1}),
        ("listed:0,3,255", {0: 0, 3: 1, 4: IGNORE, 255: 2}),
        ("foreground:255,4", {0: 0, 3: 0, 4: 1, 255: 1}),
        ("nearest:2", {0: 0, 3: 0, 4: 0, 255: 1}),
        ("nearest:0,4,255", {0: 0, 3: 1, 4: 1, 255: 2}),
        ("instances", {0: 0, 3: 1, 4: 1, 255: 1}),
        ("invert", {0: 1, 3: IGNORE, 4: IGNORE, 255: 0}),
        ("ignore:3", {0: 0, 3: IGNORE, 4: IGNORE, 255: 1}),
    ],
)
def test_each_answer_does_what_it_says(key, classes_of, crack_masks, cracks):
    reading = read_as(cracks, key)
    assert reading.key == key
    assert reading.meaning.startswith(f"{len(reading.groups)} classes: ")
    for mask, classes in zip(crack_masks, decoded(reading, [raster(mask) for mask in crack_masks]), strict=True):
        expected = np.zeros_like(mask)
        for value, class_id in classes_of.items():
            expected[mask == value] = class_id
        assert np.array_equal(classes, expected)


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("bynary", r"'bynary' is not one of .* ignore-strays, binary.*threshold:N, listed:A,B"),
        ("threshold:255", "same side of 255"),
        ("threshold:x", "is not one of"),
        ("listed:0", "names one class"),
        ("listed:0,7", "names values that no mask holds.*0 \\("),
        ("listed:red,blue", "whole numbers such as 0,3,255"),
        ("foreground:9", "names values that no mask holds"),
        ("foreground:0,3,4,255", "leaves no plain background"),
        ("colours:ff0000,00ff00", "whole numbers"),
        ("nearest:1", "names one class"),
        ("ignore:255", "fewer than 2 classes"),
        ("ignore:3,4", "more than one value"),
    ],
)
def test_an_answer_that_makes_no_sense_says_why(key, sentence, cracks):
    with pytest.raises(DataError, match=sentence):
        read_as(cracks, key)


def test_only_two_classes_can_be_inverted():
    with pytest.raises(DataError, match="swaps two classes, but values gives 4"):
        read_as(surveyed([raster(labels) for labels in discs(4)]), "invert")


@pytest.mark.parametrize("part", ["colour", "palette"])
def test_colours_can_be_listed_whatever_they_are_saved_as(part):
    maps = discs(4)
    packed = (COLOURS @ np.array([65536, 256, 1])).tolist()
    rasters = [raster(labels, palette=packed) if part == "palette" else raster(COLOURS[labels]) for labels in maps]
    reading = read_as(surveyed(rasters), "colours:ff0000,#00A0FF")
    expected = np.array([IGNORE, 0, 1, IGNORE], np.uint8)
    if part == "colour":
        expected[[1, 2]] = [0, 1] if [group.values for group in reading.groups] == [[0xFF0000], [0x00A0FF]] else [1, 0]
    for labels, ids in zip(maps, decoded(reading, rasters), strict=True):
        assert np.array_equal(ids, expected[labels])


def test_a_threshold_can_be_inverted():
    rasters = [jpeg(labels * 255, 60) for labels in discs(2)]
    found = surveyed(rasters)
    plain, inverted = propose(found).reading, read_as(found, "invert")
    assert np.array_equal(decoded(inverted, rasters), 1 - np.array(decoded(plain, rasters)))
    assert [group.name for group in inverted.groups] == ["background", "foreground"]


def test_a_value_can_be_left_out_of_a_threshold():
    rasters = [jpeg(labels * 255, 60) for labels in discs(2)]
    found = surveyed(rasters)
    plain, without = propose(found).reading, read_as(found, "ignore:254")
    is_left_out = np.array([mask.pixels[:, :, 0] == 254 for mask in rasters])
    assert is_left_out.any()
    assert np.array_equal(decoded(without, rasters), np.where(is_left_out, IGNORE, decoded(plain, rasters)))


def test_classes_are_taken_over_the_whole_set():
    """CamVid: no single mask holds all classes."""
    masks = [raster(np.array([[first, second]], np.uint8)) for first, second in ((0, 1), (2, 0), (3, 1))]
    reading = propose(surveyed(masks)).reading
    assert [group.values for group in reading.groups] == [[0], [1], [2], [3]]


def test_rare_class_ids_are_classes():
    masks = [np.zeros((40, 40), np.uint8) for _ in range(10)]
    for value in range(12):
        masks[value % 10][value, :3] = value
    proposal = propose(surveyed([raster(mask) for mask in masks]))
    assert proposal.is_certain
    assert len(proposal.reading.groups) == 12


def test_a_set_of_one_value_has_nothing_to_learn():
    found = surveyed([raster(np.zeros((5, 5), np.uint8))] * 3)
    for ask in (propose, alternatives, lambda survey: read_as(survey, "values")):
        with pytest.raises(DataError, match="All 3 masks have only the value 0"):
            ask(found)


def test_the_larger_class_may_be_white_and_the_names_then_stay_neutral():
    found = surveyed([raster((1 - labels) * 255) for labels in discs(2)])
    proposal = propose(found)
    assert [group.name for group in proposal.reading.groups] == ["value 0", "value 255"]
    assert keys(found) == ["values", "invert"]
    assert [(group.name, group.values) for group in read_as(found, "invert").groups] == [
        ("background", [255]),
        ("foreground", [0]),
    ]


def test_the_proposal_comes_first_and_no_key_twice():
    sets = [
        [raster(labels * 255) for labels in discs(2)],
        [raster(COLOURS[labels]) for labels in discs(6)],
        [jpeg(COLOURS[labels]) for labels in discs(5)],
        [jpeg(labels * 60) for labels in discs(5)],
        [raster(labels + 1) for labels in discs(3)],
    ]
    for rasters in sets:
        found = surveyed(rasters)
        first, *others = keys(found)
        assert first == propose(found).reading.key
        assert len({first, *others}) == len(others) + 1
        assert all(read_as(found, key).key == key for key in (first, *others))


def test_names_come_from_a_class_file_and_void_is_ignored():
    names = ClassFile("classes.csv", {0: "Sky", 1: "Road", 2: "Unlabelled"}, has_ids=True)
    rasters = [raster(np.array([[0, 1, 2]], np.uint8))] * 2
    reading = propose(surveyed(rasters), names).reading
    assert [group.name for group in reading.groups] == ["Sky", "Road"]
    assert reading.ignored is not None
    assert reading.ignored.name == "Unlabelled"
    assert decoded(reading, rasters)[0].tolist() == [[0, 1, IGNORE]]


def test_colours_follow_the_order_of_the_class_file():
    names = ClassFile("classes.csv", {0: "road", 1: "sky"}, {0xFF0000: "road", 0x0000FF: "sky"})
    mask = raster(np.array([[(0, 0, 255), (255, 0, 0)]], np.uint8))
    reading = propose(surveyed([mask] * 2), names).reading
    assert [(group.name, group.values) for group in reading.groups] == [("road", [0xFF0000]), ("sky", [0x0000FF])]


def test_palette_images_are_named_by_their_colours():
    names = ClassFile("labelmap.txt", {0: "tree", 1: "house"}, {0x00FF00: "tree", 0xFF0000: "house"})
    mask = raster(np.array([[0, 1, 2]], np.uint8), palette=[0, 0xFF0000, 0x00FF00])
    reading = propose(surveyed([mask] * 2), names).reading
    assert [group.name for group in reading.groups] == ["background", "house", "tree"]


@pytest.mark.parametrize(
    ("names", "values", "expected"),
    [
        ({0: "background", 1: "cell"}, [0, 255], ["background", "cell"]),
        ({0: "cell"}, [0, 255], ["background", "cell"]),
        ({0: "cat", 1: "dog"}, [0, 1, 2], ["background", "cat", "dog"]),
        ({0: "cat", 1: "dog"}, [0, 1, 2, 255], ["background", "cat", "dog"]),
        ({1: "cat", 2: "dog"}, [0, 1, 2], ["background", "cat", "dog"]),
    ],
)
def test_a_list_may_leave_out_the_background(names, values, expected):
    found = surveyed([raster(np.array([values * 2], np.uint8))] * 2)
    class_file = ClassFile("labels.txt", names, has_ids=0 not in names)
    assert [group.name for group in propose(found, class_file).reading.groups] == expected


def test_a_value_that_the_class_file_does_not_know_is_left_out_and_told():
    names = ClassFile("codes.txt", {0: "sky", 1: "road", 2: "tree"})
    found = surveyed([raster(np.array([[0, 1, 2, 9]], np.uint8))] * 2)
    proposal = propose(found, names)
    assert "9 may be a class" in proposal.doubt
    assert [group.name for group in proposal.reading.groups] == ["sky", "road", "tree"]
    assert proposal.reading.strays == [9]


def test_a_class_file_that_does_not_fit_is_not_used():
    names = ClassFile("codes.txt", {40: "sky", 41: "road", 42: "tree"})
    found = surveyed([raster(np.array([[0, 1, 2]], np.uint8))] * 2)
    assert known_names(found, names) == {}
    assert [group.name for group in propose(found, names).reading.groups] == ["value 0", "value 1", "value 2"]


def test_a_class_file_may_name_more_classes_than_are_taken_for_such_without_it():
    names = ClassFile("classes.txt", {value: f"thing {value}" for value in range(60)})
    rasters = [raster(np.arange(60, dtype=np.uint8).reshape(6, 10))] * 2
    reading = propose(surveyed(rasters), names).reading
    assert len(reading.groups) == 60
    assert np.array_equal(decoded(reading, rasters)[0], rasters[0].pixels[:, :, 0])


def test_jpeg_colours_take_rare_classes_from_the_class_file():
    maps = discs(4, radius=(10, 24))
    maps[0][64:76, 64:76] = 4  # too few pixels to be found without the file
    packed = (COLOURS @ np.array([65536, 256, 1])).tolist()
    names = ClassFile("class_dict.csv", {}, {packed[label]: f"thing {label}" for label in (3, 1, 0, 2, 4, 5)})
    rasters = [jpeg(COLOURS[labels], 95) for labels in maps]
    assert len(propose(surveyed(rasters)).reading.groups) == 4
    reading = propose(surveyed(rasters), names).reading
    assert [group.name for group in reading.groups] == ["thing 3", "thing 1", "thing 0", "thing 2", "thing 4"]
    order = np.argsort([3, 1, 0, 2, 4])
    assert (decoded(reading, rasters)[0] == order[maps[0]]).mean() > 0.97


def test_readings_that_were_stored_before_are_still_understood():
    stored = {
        "key": "nonzero",
        "meaning": "everything above 0 is the foreground (2.0 % of the pixels)",
        "part": "value",
        "kind": "threshold",
        "groups": [{"name": "background", "values": []}, {"name": "foreground", "values": []}],
        "threshold": 0,
        "ignored": None,
        "strays": [],
    }
    assert Reading.model_validate(stored).threshold == 0
    with pytest.raises(ValidationError):
        Reading.model_validate(stored | {"kind": "guess"})


@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("folder", "key", "values"),
    [
        ("isbi_membrane/masks/*.png", "values", [[0], [255]]),
        ("crackforest/Masks/*.PNG", "ignore-strays", [[0], [255]]),
        ("camvid/*annot/*.png", "values", [[value] for value in range(12)]),
    ],
)
def test_real_sets_are_read_as_they_are_meant(folder, key, values):
    from unetlab.data.readers.images import read_mask

    reading = propose(surveyed([read_mask(path) for path in sorted(TEST_DATA.glob(folder))])).reading
    assert reading.key == key
    assert [group.values for group in reading.groups] == values
