"""Oracle: what a person reads in single names of folders and files."""

import pytest

from unetlab.data.names.file_names import (
    FolderWords,
    cased_tokens_of,
    folder_words,
    is_junk,
    loose_stems,
    natural_key,
    shorter_stems,
    stem_of,
    stems_around_mask_word,
    without_leading_zeros,
    words_of,
)

FOLDERS = {
    "images": FolderWords("image", None, "", False),
    "TrainMasks": FolderWords("mask", "train", "train", False),
    "trainannot": FolderWords("mask", "train", "train", False),
    "labelsTs": FolderWords("mask", "test", "test", False),
    "val2017": FolderWords(None, "valid", "valid 2017", False),
    "1st_manual": FolderWords("mask", None, "", False),
    "Ground Truth": FolderWords("mask", None, "", False),
    "GroundTruth": FolderWords("mask", None, "", False),
    "ground_truth": FolderWords("mask", None, "", False),
    "masks_png": FolderWords("mask", None, "", False),
    "label_images": FolderWords("mask", None, "", False),
    "tissue images": FolderWords("image", None, "tissue", False),
    "image_2": FolderWords("image", None, "2", False),
    "test_images_no_masks": FolderWords("image", "test", "test no", True),
    "images and masks": FolderWords(None, None, "and", False),
    "SegmentationClass": FolderWords("mask", None, "", False),
    "leftImg8bit": FolderWords("image", None, "", False),
    "Patient 7": FolderWords(None, None, "patient 7", False),
}


@pytest.mark.parametrize(("folder", "words"), FOLDERS.items(), ids=FOLDERS.keys())
def test_a_folder_name_says_what_a_person_reads(folder, words):
    assert folder_words(folder) == words


def test_affixes_are_taken_away_one_by_one():
    assert list(shorter_stems("21_training_mask")) == ["21_training_mask", "21_training", "21"]
    assert shorter_stems("u_gtfine_labelids")["u"].affixes == ("gtfine_labelids",)
    assert list(shorter_stems("mask")) == ["mask", ""]
    assert list(shorter_stems("l")) == ["l"]


def test_loose_stems_see_words_in_any_spelling():
    assert {"img_001", "001"} <= loose_stems("img001Mask.png").keys()
    assert {"img_001", "001"} <= loose_stems("x/IMG-001 (mask).tif").keys()
    assert "cat" in loose_stems("catmask.png")
    assert "p" in loose_stems("p GroundTruth.png")
    assert loose_stems("target.png").keys() == {"target", ""}


def test_numbers_of_objects_and_inner_words_are_found():
    inner, numbered = stems_around_mask_word("a (1)_mask_2.png")
    assert inner.keys() == {"a_1_2"}
    assert numbered.keys() == {"a_1"}
    assert stems_around_mask_word("mask_1.png")[0] == {}


def test_words_and_tokens_are_cut_where_a_person_would():
    assert words_of("leftImg-08 (b)") == ("left", "img", "08", "b")
    assert cased_tokens_of("maskA_01") == ("mask", "A", "_", "01")


def test_zeros_are_dropped_from_numbers_only_at_their_front():
    assert without_leading_zeros("a_007_100_000_b0") == "a_7_100_0_b0"


def test_the_stem_is_folded_and_loses_its_extensions():
    assert stem_of("ds/A.Mask.PNG") == "a.mask"
    assert stem_of("x.ome.tif") == "x"


def test_two_comes_before_ten():
    assert sorted(["10", "2", "a10", "a9"], key=natural_key) == ["a9", "a10", "2", "10"]


def test_hidden_files_anywhere_in_a_path_are_junk():
    assert is_junk("a/.git/1.png")
    assert is_junk("__MACOSX/1.png")
    assert not is_junk("a/1.png")
