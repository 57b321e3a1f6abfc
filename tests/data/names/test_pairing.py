"""Oracle: a table of layouts as real sets use them, each with the pairs a person would make."""

import random
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetlab.data.names.pairing import pair_files

# Each line lists the pairs to be found; the drop is all their files in one heap.
HEAPS = {
    "CamVid folders": "train/a.png + trainannot/a.png | val/b.png + valannot/b.png",
    "CrackForest": "Images/001.jpg + Masks/001_label.PNG",
    "Carvana": "abc_01.jpg + abc_01_mask.gif | abc_02.jpg + abc_02_mask.gif",
    "DRIVE": "21_training.tif + 21_manual1.gif",
    "DRIVE in folders": "training/images/21_training.tif + training/1st_manual/21_manual1.gif",
    "CamVid raw L": "0001.png + 0001_L.png",
    "CamVid raw P": "images/Seq05VD_f00060.png + labels/Seq05VD_f00060_P.png",
    "Oxford pets": "images/a_1.jpg + annotations/trimaps/a_1.png",
    "a JPEG and a PNG of one name": "a_1.jpg + a_1.png",
    "prefixes": "image_01.png + mask_01.png",
    "brackets and a space": "img (3).png + mask (3).png",
    "a folder per sample": "1/image.png + 1/mask.png | 2/image.png + 2/mask.png",
    "role folders below split folders": "train/img/1.png + train/gt/1.png | test/img/1.png + test/gt/1.png",
    "split folders below role folders": "images/train/1.png + masks/train/1.png | "
    "images/val/1.png + masks/val/1.png",
    "nnU-Net": "imagesTr/1.png + labelsTr/1.png",
    "VOC": "JPEGImages/1.jpg + SegmentationClass/1.png",
    "masks in a folder below the pictures": "1.png + masks/1.png | 2.png + masks/2.png",
    "one folder for all, called images": "images/a.png + images/a_mask.png",
    "a top folder with a misleading name": "cell_segmentation/images/1.png + cell_segmentation/masks/1.png",
    "several dots": "a.b.png + a.b.mask.png",
    "dashes": "x-1.png + x-1-seg.png",
    "case": "CELL_1.PNG + cell_1_MASK.tif",
    "two affixes": "a_img.png + gt_a_label.png",
    "an affix word that is part of every stem": "seg_1.png + seg_1_mask.png",
    "stems that contain affix words": "maskedball.png + maskedball_mask.png",
    "annotation": "images/7.png + annot/7_annotation.png",
}  # fmt: skip


def pairs_in(line):
    return {tuple(pair.split(" + ")) for pair in line.split(" | ")}


def pairs_of(pairing):
    return {(pair.image, pair.mask) for pair in pairing.pairs}


@pytest.mark.parametrize("line", HEAPS.values(), ids=HEAPS.keys())
def test_a_heap_of_files_is_paired_as_a_person_would(line):
    pairing = pair_files({name for pair in pairs_in(line) for name in pair})
    assert pairs_of(pairing) == pairs_in(line)
    assert not pairing.unmatched_images
    assert not pairing.unmatched_masks


# Box for pictures, box for masks, pairs.
BOXES = {
    "same names": ("1.png 2.png", "1.png 2.png", "1.png + 1.png | 2.png + 2.png"),
    "1 is not 11": ("1.png 11.png", "1_mask.png 11_mask.png", "1.png + 1_mask.png | 11.png + 11_mask.png"),
    "1 never goes with 11_mask": ("1.png", "11_mask.png", ""),
    "IMG1 is not IMG10": ("IMG1.png IMG10.png", "IMG10.png", "IMG10.png + IMG10.png"),
    "IMG1 is not 1": ("IMG1.png", "1.png", ""),
    "001 is not 1": ("001.png", "1.png", ""),
    "img_1 beside 1": ("img_1.png 1.png", "1_mask.png", "1.png + 1_mask.png"),
    "img_1 and 1 twice": ("img_1.png 1.png", "gt_1.png img_1_gt.png", "1.png + gt_1.png | img_1.png + img_1_gt.png"),
    "cell_L beside cell": ("cell.png cell_L.png", "cell_mask.png", "cell.png + cell_mask.png"),
    "exact before stripped": ("a.png a_L.png", "a_L.png", "a_L.png + a_L.png"),
    "other folders, unique names": ("x/1.png y/2.png", "z/1.png z/2.png", "x/1.png + z/1.png | y/2.png + z/2.png"),
    "other folders, not unique": ("x/1.png y/1.png", "z/1.png w/2.png", ""),
}  # fmt: skip


@pytest.mark.parametrize(("images", "masks", "line"), BOXES.values(), ids=BOXES.keys())
def test_two_boxes_are_paired_exactly(images, masks, line):
    assert pairs_of(pair_files(images.split(), masks.split())) == (pairs_in(line) if line else set())


def test_two_masks_for_one_picture_are_a_question_not_a_guess():
    pairing = pair_files(["1.png"], ["1_mask.png", "1_label.png"])
    assert not pairing.pairs
    assert pairing.ambiguous == [(["1.png"], ["1_label.png", "1_mask.png"])]
    assert pairing.unmatched_images == ["1.png"]


def test_two_pictures_for_one_mask_are_a_question_not_a_guess():
    pairing = pair_files(["a.jpg", "a.png"], ["a.png"])
    assert not pairing.pairs
    assert len(pairing.ambiguous) == 1


def test_the_field_of_view_masks_of_drive_are_not_taken_for_its_vessels():
    names = ["images/21_training.tif", "1st_manual/21_manual1.gif", "mask/21_training_mask.gif"]
    pairing = pair_files(names)
    assert pairs_of(pairing) == {(names[0], names[1])}
    assert pairing.chosen_kind == "1st_manual"
    assert pairing.other_masks == [names[2]]
    assert pairs_of(pair_files(names, mask_kind="mask")) == {(names[0], names[2])}


def test_pictures_of_a_folder_without_masks_stay_unmatched():
    names = ["images/0.png", "masks/0.png", "masks/1.png", "test_images_no_masks/0.png", "test_images_no_masks/1.png"]
    pairing = pair_files(names)
    assert pairs_of(pairing) == {("images/0.png", "masks/0.png")}
    assert pairing.unmatched_images == ["test_images_no_masks/0.png", "test_images_no_masks/1.png"]
    assert pairing.unmatched_masks == ["masks/1.png"]


def test_the_same_name_in_train_and_test_is_never_mixed():
    pairing = pair_files(["train/images/1.png", "test/masks/1.png"])
    assert not pairing.pairs


def test_masks_that_fit_no_picture_are_still_told_from_pictures():
    pairing = pair_files(["images/7.png", "masks/8.png"])
    assert (pairing.unmatched_images, pairing.unmatched_masks) == (["images/7.png"], ["masks/8.png"])


def test_masks_of_one_name_in_two_splits_are_no_choice_for_a_picture_in_none():
    pairing = pair_files(["x/1.png", "x/2.png"], ["train/1.png", "test/1.png"])
    assert not pairing.pairs
    assert not pairing.ambiguous
    assert not pairing.mask_kinds


def test_folders_of_unknown_meaning_are_not_guessed():
    pairing = pair_files(["a/1.png", "b/1.png"])
    assert not pairing.pairs


def test_junk_and_texts_are_ignored_and_listed():
    junk = ["Thumbs.db", ".DS_Store", "__MACOSX/images/._1.png", "images/._1.png", "desktop.ini", "README", "a.csv"]
    pairing = pair_files(["images/1.png", "masks/1.png", *junk])
    assert len(pairing.pairs) == 1
    assert sorted(pairing.ignored_files) == sorted(junk)


def test_both_unicode_forms_of_a_name_are_one_name():
    composed = unicodedata.normalize("NFC", "Zürich.png")
    decomposed = unicodedata.normalize("NFD", "zürich_mask.png")
    assert len(pair_files([composed], [decomposed]).pairs) == 1


def test_folders_give_the_split():
    pairing = pair_files(
        ["train/1.png", "trainannot/1.png", "val/2.png", "valannot/2.png", "test/3.png", "testannot/3.png"]
    )
    assert {pair.name: pair.split for pair in pairing.pairs} == {"train/1": "train", "val/2": "valid", "test/3": "test"}


def test_how_a_pair_was_found_is_told():
    assert pair_files(["a.png"], ["a.png"]).pairs[0].how == "same name"
    assert pair_files(["a.png"], ["a_mask.png"]).pairs[0].how == "same name without 'mask'"
    assert pair_files(["x/a.png", "x/c.png"], ["y/a.png", "z/b.png"]).pairs[0].how.endswith("in another folder")


def test_pairs_come_in_natural_order_with_unique_names():
    pairing = pair_files([f"images/{n}.png" for n in range(12)] + [f"masks/{n}.png" for n in range(12)])
    assert [pair.name for pair in pairing.pairs] == [str(n) for n in range(12)]
    twice = pair_files(["a/images/1.png", "b/images/1.png", "a/masks/1.png", "b/masks/1.png"])
    assert [pair.name for pair in twice.pairs] == ["a/1", "b/1"]


@given(st.sampled_from(list(HEAPS)), st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_the_order_of_a_drop_does_not_matter(layout, seed):
    names = [name for pair in sorted(pairs_in(HEAPS[layout])) for name in pair]
    names += ["stray.png", "images/extra.png", "masks/1_mask.png"]
    shuffled = random.Random(seed).sample(names, len(names))
    assert pair_files(shuffled) == pair_files(names)


STEMS = st.text("aB1_- .(L", min_size=1, max_size=6).map(lambda stem: f"{stem}.png")
WORDS = st.sampled_from(["a", "cell", "img", "mask", "label", "gt", "color", "L", "1", "2", "01", "11", "foo", "Mask"])
FOLDERS = st.sampled_from(["images/", "masks/", "train/", "x/"])
JOINED = st.lists(st.tuples(WORDS | FOLDERS, st.sampled_from(["_", "-", " ", ""])), min_size=1, max_size=4)
NAMES = JOINED.map(lambda parts: "".join(word + joint for word, joint in parts) + "z.png")


@given(st.lists(STEMS | NAMES, max_size=8), st.lists(STEMS | NAMES, max_size=8), st.sampled_from([None, "mask"]))
@settings(max_examples=300, deadline=None)
def test_every_file_is_accounted_for_once(images, masks, kind):
    pairing = pair_files(images, masks, mask_kind=kind)
    hidden = {name for name in (*images, *masks) if any(part.startswith(".") for part in name.split("/"))}
    seen = [pair.image for pair in pairing.pairs] + pairing.unmatched_images
    assert len(seen) == len(set(seen))
    assert set(seen) == set(images) - hidden
    seen_masks = [mask for pair in pairing.pairs for mask in pair.masks]
    seen_masks += pairing.unmatched_masks + pairing.other_masks
    assert len(seen_masks) == len(set(seen_masks))
    assert set(seen_masks) == set(masks) - hidden
    assert {miss.image for miss in pairing.near_misses} <= set(pairing.unmatched_images)
    assert {miss.mask for miss in pairing.near_misses} <= set(pairing.unmatched_masks)
    assert len({pair.name for pair in pairing.pairs}) == len(pairing.pairs)
