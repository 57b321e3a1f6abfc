"""Oracle: what a person, a table or a list says about pairs is what comes out, whatever the names say."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetlab.data.names.name_words import Split
from unetlab.data.names.pairing import pair_files
from unetlab.errors import DataError


def pairs_of(pairing):
    return {(pair.image, pair.mask) for pair in pairing.pairs}


def test_a_pair_made_by_hand_wins_over_names():
    pairing = pair_files(["a.png", "b.png"], ["a.png", "c.png"], by_hand=[("b.png", "a.png")])
    assert [(pair.image, pair.mask, pair.how) for pair in pairing.pairs] == [("b.png", "a.png", "paired by hand")]
    assert pairing.unmatched_images == ["a.png"]
    assert pairing.unmatched_masks == ["c.png"]


def test_a_pair_made_by_hand_joins_files_of_any_box_and_of_no_folder():
    made = pair_files(["a.png", "b.png", "../made/a.png"], by_hand=[("a.png", "../made/a.png")])
    assert pairs_of(made) == {("a.png", "../made/a.png")}
    assert made.unmatched_images == ["b.png"]
    assert pairs_of(pair_files(["a.png", "b.png"], ["c.png"], by_hand=[("a.png", "b.png")])) == {("a.png", "b.png")}


def test_a_pair_made_by_hand_of_a_file_that_is_gone_is_told():
    with pytest.raises(DataError, match=r"gone\.png was paired by hand, but it is not among the files"):
        pair_files(["a.png"], ["a.png"], by_hand=[("a.png", "gone.png")])


def test_pairs_that_were_parted_are_not_made_and_not_suggested():
    pairing = pair_files(["1.png", "2.png"], ["1.png", "2.png"], apart=[("1.png", "1.png")])
    assert pairs_of(pairing) == {("2.png", "2.png")}
    assert not pairing.near_misses
    freed = pair_files(["1.png"], ["1_mask.png", "1_label.png"], apart=[("1.png", "1_mask.png")])
    assert pairs_of(freed) == {("1.png", "1_label.png")}


STEMS = st.sampled_from(["1", "2", "11", "a_1", "img1", "img_1", "1_mask", "mask_1", "1_gt", "a-1", "01", "s_1", "x"])
NAMES = st.sets(STEMS.map(lambda stem: f"{stem}.png"), min_size=1)


@given(NAMES, NAMES, st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_is_parted_is_never_made_nor_suggested(images, masks, data):
    apart = data.draw(st.lists(st.tuples(st.sampled_from(sorted(images)), st.sampled_from(sorted(masks)))))
    pairing = pair_files(images, masks, apart=apart)
    assert not {(pair.image, mask) for pair in pairing.pairs for mask in pair.masks} & set(apart)
    assert not {(miss.image, miss.mask) for miss in pairing.near_misses} & set(apart)


TABLES = {
    "full paths": {"p/q1.png": "r/z1.png", "p/q2.png": "r/z2.png"},
    "paths of another machine": {"/home/me/p/q1.png": "C:\\data\\r\\z1.png", "./q2.png": "/r/z2.png"},
    "bare names": {"q1.png": "z1.png", "q2.png": "z2.png"},
    "stems": {"q1": "z1", "q2": "z2"},
    "names that are not there": {"q1.png": "z1.png", "q2.png": "z2.png", "q3.png": "z3.png", "q4": "z1_mask"},
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_a_table_pairs_what_no_name_would(table):
    names = ["p/q1.png", "p/q2.png", "r/z1.png", "r/z2.png"]
    for pairing in (pair_files(names, table=table), pair_files(names[:2], names[2:], table=table)):
        assert pairs_of(pairing) == {("p/q1.png", "r/z1.png"), ("p/q2.png", "r/z2.png")}
        assert {pair.how for pair in pairing.pairs} == {"listed in the table"}
        assert pairing.layout == "pairs listed in a table"


def test_a_table_that_contradicts_itself_or_fits_two_files_pairs_nothing():
    assert not pair_files(["a.png", "b.png"], ["x.png"], table={"a": "x", "b": "x"}).pairs
    assert not pair_files(["1/a.png", "2/a.png"], ["x.png"], table={"a": "x"}).pairs


def test_a_list_of_splits_wins_over_folders():
    names = [f"train/images/{n}.png" for n in range(4)] + [f"train/masks/{n}.png" for n in range(4)]
    names += ["test/images/9.png", "test/masks/9.png"]
    splits: dict[str, Split] = {"0": "valid", "images/1.png": "valid", "/far/away/train/images/2.png": "test"}
    pairing = pair_files(names, splits=splits)
    assert [pair.split for pair in pairing.pairs] == ["test", "valid", "valid", "test", "train"]


def test_a_name_in_two_splits_gives_none():
    assert pair_files(["1.png"], ["1.png"], splits={"a/1": "train", "b/1": "valid"}).pairs[0].split is None


def test_a_list_that_names_a_stem_without_its_affix_gives_the_split():
    assert pair_files(["1_sat.jpg", "1_mask.png"], splits={"1": "valid"}).pairs[0].split == "valid"


def test_the_kind_that_a_person_chose_is_the_mask_for_all_pictures():
    names = ["a.jpg", "a_mask.png", "a_label.png", "b.jpg", "b_label.png", "c.jpg", "c_mask.png"]
    asked = pair_files(names)
    assert asked.chosen_kind is None
    assert {(kind.name, kind.count, kind.example) for kind in asked.mask_kinds} == {
        ("mask", 2, "a_mask.png"),
        ("label", 2, "a_label.png"),
    }
    assert asked.ambiguous == [(["a.jpg"], ["a_label.png", "a_mask.png"])]
    told = pair_files(names, mask_kind="mask")
    assert pairs_of(told) == {("a.jpg", "a_mask.png"), ("c.jpg", "c_mask.png")}
    assert told.unmatched_images == ["b.jpg"]
    assert told.other_masks == ["a_label.png", "b_label.png"]
    assert not told.ambiguous


def test_a_word_we_do_not_know_behind_the_name_pairs_a_jpeg_and_asks_otherwise():
    names = [f"wound{n}{end}" for n in range(4) for end in (".jpg", "_lesion.png")]
    assert pairs_of(pair_files(names)) == {(f"wound{n}.jpg", f"wound{n}_lesion.png") for n in range(4)}
    names = [f"wound_00{n}{end}" for n in range(4) for end in (".png", "_zones.png")]
    asked = pair_files([*names, "wound_009.png", "stray.png"])
    assert not asked.pairs
    assert {(kind.name, kind.count) for kind in asked.mask_kinds} == {("nothing added", 6), ("zones", 4)}
    told = pair_files(names, mask_kind="zones")
    assert pairs_of(told) == {(f"wound_00{n}.png", f"wound_00{n}_zones.png") for n in range(4)}


def test_the_ending_that_a_person_chose_is_the_mask():
    told = pair_files(["a.tif", "a.png", "b.tif", "b.png"], mask_kind=".png")
    assert pairs_of(told) == {("a.tif", "a.png"), ("b.tif", "b.png")}


@pytest.mark.parametrize("kind", ["MA", "HE"])
def test_of_masks_called_by_unknown_words_the_chosen_one_is_taken(kind):
    names = [f"images/r{n}.jpg" for n in range(3)] + [f"masks/{k}/r{n}_{k}.tif" for n in range(3) for k in ("MA", "HE")]
    assert pairs_of(pair_files(names)) == set()
    told = pair_files(names, mask_kind=kind)
    assert pairs_of(told) == {(f"images/r{n}.jpg", f"masks/{kind}/r{n}_{kind}.tif") for n in range(3)}


def test_no_choice_turns_a_kind_of_mask_into_pictures():
    names = [f"Segmentation{kind}/{n}.png" for kind in ("Class", "Object") for n in range(3)]
    told = pair_files(names, mask_kind="SegmentationClass")
    assert (told.pairs, told.mask_kinds) == ([], [])


def test_an_unknown_kind_counts_as_not_chosen():
    names = ["a.jpg", "a_mask.png", "a_label.png"]
    assert pair_files(names, mask_kind="gone") == pair_files(names)


def test_a_single_leftover_of_another_kind_is_no_question():
    names = [f"{folder}/{n}.png" for n in range(12) for folder in ("images", "masks")]
    pairing = pair_files([*names, "labels/3.png"])
    assert len(pairing.pairs) == 12
    assert (pairing.chosen_kind, pairing.other_masks) == ("masks", ["labels/3.png"])


def test_boxes_that_were_swapped_are_noticed():
    assert pair_files(["images/1_mask.png"], ["masks/1.png"]).looks_swapped
    assert pair_files(["1_mask.png", "2_mask.png"], ["1.png", "2.png"]).looks_swapped
    assert pair_files(["masks/1.png"], ["images/1.png"]).looks_swapped
    assert pair_files(["images/masks/1.png"], ["masks/images/1.png"]).looks_swapped  # as the two boxes are staged
    assert not pair_files(["1.png"], ["1_mask.png"]).looks_swapped
    assert not pair_files(["images/1.png"], ["masks/1.png"]).looks_swapped
    assert not pair_files(["1_mask.png"], ["1_gt.png"]).looks_swapped
