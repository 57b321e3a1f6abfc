"""Oracle: layouts of published and home-made sets, by names alone, each with the pairs a person would make."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetlab.data.names.pairing import Pairing, pair_files


class Layout(NamedTuple):
    """`pairs`: picture + mask & mask of another object | ... ; # stands for the numbers 1 to 3.

    `beside`: files in no pair. `layout` and `how`: what is said, where given. `kinds`: all kinds, the chosen first.
    """

    pairs: str
    beside: str = ""
    layout: str | None = None
    how: str | None = None
    kinds: str = ""


def each(line: str) -> list[str]:
    """The parts of a line, once for each number."""
    parts = [part for part in line.split(" | ") if part]
    return [part.replace("#", str(number)) for number in (1, 2, 3) for part in parts if "#" in part or number == 1]


def expected(layout: Layout) -> set[tuple[str, tuple[str, ...]]]:
    pairs = [part.split(" + ") for part in each(layout.pairs)]
    return {(image, tuple(masks.split(" & "))) for image, masks in pairs}


def files(layout: Layout) -> tuple[list[str], list[str]]:
    """Pictures, masks; what stands beside counts as masks where its folder or name says so."""
    pairs = expected(layout)
    return [image for image, _ in pairs], [mask for _, masks in pairs for mask in masks]


def made(pairing: Pairing) -> set[tuple[str, tuple[str, ...]]]:
    return {(pair.image, pair.masks) for pair in pairing.pairs}


# fmt: off
HEAPS = {
    "Cityscapes": Layout(
        "leftImg8bit/train/ulm/ulm_0#_leftImg8bit.png + gtFine/train/ulm/ulm_0#_gtFine_labelIds.png",
        "gtFine/train/ulm/ulm_0#_gtFine_color.png | gtFine/train/ulm/ulm_0#_gtFine_instanceIds.png",
        "Cityscapes", "same name without 'leftimg8bit' and 'gtfine_labelids'",
        "gtFine_labelIds gtFine_color gtFine_instanceIds",
    ),
    "Cityscapes with train ids": Layout(
        "u#_leftImg8bit.png + u#_gtFine_labelIds.png", "u#_gtFine_labelTrainIds.png", "Cityscapes",
        kinds="gtFine_labelIds gtFine_labelTrainIds",
    ),
    "PASCAL VOC": Layout(
        "V/JPEGImages/7_#.jpg + V/SegmentationClass/7_#.png",
        "V/SegmentationObject/7_#.png | V/JPEGImages/8_#.jpg | V/Annotations/7_#.xml | V/ImageSets/train.txt",
        "PASCAL VOC", "same name", "SegmentationClass SegmentationObject",
    ),
    "DeepGlobe": Layout("1#_sat.jpg + 1#_mask.png", layout="one folder, masks called *_mask",
                        how="same name without 'sat' and 'mask'"),
    "DRIVE": Layout(
        "t/images/2#_training.tif + t/1st_manual/2#_manual1.gif", "t/mask/2#_training_mask.gif", "DRIVE",
        kinds="1st_manual mask",
    ),
    "DRIVE in one folder": Layout("2#_training.tif + 2#_manual1.gif", "2#_training_mask.gif", kinds="manual1 mask"),
    "DRIVE with a test half without vessels": Layout(
        "training/images/2#_training.tif + training/1st_manual/2#_manual1.gif",
        "training/mask/2#_training_mask.gif | test/images/0#_test.tif | test/mask/0#_test_mask.gif",
        kinds="1st_manual mask",
    ),
    "HRF": Layout("images/#_dr.JPG + manual1/#_dr.tif", "mask/#_dr_mask.tif", kinds="manual1 mask"),
    "CHASE_DB1": Layout("Image_0#L.jpg + Image_0#L_1stHO.png", "Image_0#L_2ndHO.png", kinds="1stHO 2ndHO"),
    "ISIC": Layout("ISIC_#.jpg + ISIC_#_segmentation.png", how="same name without 'segmentation'"),
    "ISIC 2017 in folders": Layout(
        "I_Training_Data/ISIC_#.jpg + I_Training_Part1_GroundTruth/ISIC_#_segmentation.png",
        "I_Training_Data/ISIC_#_superpixels.png",
    ),
    "nnU-Net with channel numbers": Layout("imagesTr/c_0#_0000.png + labelsTr/c_0#.png", layout="nnU-Net",
                                           how="same name before '_0000'"),
    "Cell Tracking Challenge": Layout(
        "0#/t001.tif + 0#_GT/SEG/man_seg001.tif | 0#/t002.tif + 0#_GT/SEG/man_seg002.tif",
        "0#/t003.tif | 0#_GT/TRA/man_track001.tif", how="same name after 't' and 'man_seg'",
    ),
    "DSB 2018": Layout("a#/images/a#.png + a#/masks/e1#.png & a#/masks/f2#.png",
                       layout="one folder per picture with one mask per object"),
    "objects numbered like the pictures": Layout("#/images/#.png + #/masks/1.png & #/masks/2.png & #/masks/10.png"),
    "masks below a folder per picture": Layout("images/c#.png + masks/c#/1.png & masks/c#/2.png",
                                               how="2 masks, one per object, in folder masks/c1"),
    "such folders with a role word": Layout("images/img_#.png + masks/img_#/1.png & masks/img_#/2.png"),
    "a picture beside its folder of masks": Layout("s#/pic.png + s#/masks/1.png & s#/masks/2.png"),
    "classes, not objects, in a folder": Layout("", "s#/images/p.png | s#/masks/cyto.png | s#/masks/nuclei.png",
                                                kinds="? cyto nuclei"),
    "BUSI": Layout("b/benign (#).png + b/benign (#)_mask.png & b/benign (#)_mask_1.png"),
    "masks numbered from 0": Layout("a#.png + a#_mask_0.png & a#_mask_1.png",
                                    layout="one folder, several numbered masks for a picture, one per object"),
    "NuInsSeg": Layout("", "h/tissue images/h_#.png | h/label masks/h_#.tif | h/mask binary/h_#.png",
                       kinds="? label masks;mask binary"),
    "Supervisely": Layout("img/x#.jpg + masks_machine/x#.png", "masks_human/x#.png",
                          kinds="masks_machine masks_human"),
    "KITTI": Layout("image_2/0#_10.png + semantic/0#_10.png", "semantic_rgb/0#_10.png | instance/0#_10.png",
                    kinds="semantic instance semantic_rgb"),
    "Mapillary Vistas": Layout("training/images/a#.jpg + training/v1.2/labels/a#.png",
                               "training/v1.2/instances/a#.png", kinds="labels instances"),
    "LoveDA": Layout("Train/Rural/images_png/#.png + Train/Rural/masks_png/#.png | "
                     "Val/Urban/images_png/#.png + Val/Urban/masks_png/#.png", layout="images_png/ and masks_png/"),
    "Potsdam": Layout("2_Ortho_RGB/top_2_1#_RGB.tif + 5_Labels_all/top_2_1#_label.tif"),
    "CVC-ClinicDB": Layout("Original/#.tif + Ground Truth/#.tif", layout="Original/ and Ground Truth/"),
    "Montgomery": Layout("", "CXR_png/M_#_0.png | ManualMask/leftMask/M_#_0.png | ManualMask/rightMask/M_#_0.png",
                         kinds="? leftMask rightMask"),
    "Roboflow": Layout("train/x#_jpg.rf.ab#.jpg + train/x#_jpg.rf.ab#_mask.png"),
    "COCO-Stuff": Layout("images/train2017/0#.jpg + annotations/train2017/0#.png | "
                         "images/val2017/1#.jpg + annotations/val2017/1#.png", layout="images/ and annotations/"),
    "PH2": Layout("im0#/im0#_Dermoscopic_Image/im0#.bmp + im0#/im0#_lesion/im0#_lesion.bmp",
                  kinds="lesion/*_lesion dermoscopic_image"),
    "glued words": Layout("img00#.png + img00#mask.png", layout="one folder, masks called *mask"),
    "glued to a word": Layout("cat.png + catmask.png | dog.png + dogmask.png"),
    "capitals for separators": Layout("imgA.png + maskA.png | imgB.png + maskB.png",
                                      layout="one folder, masks called mask*"),
    "image and label": Layout("imageA.png + labelA.png | imageB.png + labelB.png"),
    "brackets": Layout("cell (#).png + cell (#) mask.png", layout="one folder, masks called * mask"),
    "a mask word inside": Layout("frame_#.png + frame_mask_#.png", layout="one folder, masks called *_mask_*"),
    "OME-TIFF": Layout("x#.ome.tif + x#_mask.tif"),
    "seg before": Layout("#.png + seg-#.png", how="same name without 'seg'"),
    "alpha mattes": Layout("p#.jpg + p#_matte.png"),
    "ground truth in two words": Layout("p#.jpg + p#_ground_truth.png"),
    "pictures with a weak word alone": Layout("", "cell_L.png | cell_R.png | a_color.png"),
    "three files a name": Layout("", "a#.jpg | a#_annotation.png | a#_mask.png", "", kinds="? annotation mask"),
    "three files in a folder per picture": Layout("", "#/image.jpg | #/mask.png | #/label.png", kinds="? label mask"),
    "a coloured view beside the mask": Layout("a#.jpg + a#_mask.png", "a#_color.png", kinds="mask color"),
    "a PNG and a mask beside a JPEG": Layout("", "a#.jpg | a#.png | a#_mask.png", kinds="? mask;same name"),
    "unknown words, one speaks of masks": Layout(
        "000#_rgb_v2.png + 000#_annot_final.png", layout="one folder, masks called *_annot_final",
        how="same name but for 'rgb_v2' and 'annot_final'", kinds="annot_final rgb_v2"),
    "unknown words, a JPEG and a PNG": Layout("0#_foo.jpg + 0#_bar.png", kinds="bar foo"),
    "unknown words": Layout("", "0#_foo.png | 0#_bar.png", kinds="? bar foo"),
    "unknown folders, a JPEG and a PNG": Layout("a/#.jpg + b/#.png", layout="a/ and b/", kinds="b a"),
    "unknown folders": Layout("", "a/#.png | b/#.png", kinds="? a b"),
    "unknown folders below splits": Layout("", "train/a/#.png | train/b/#.png | val/a/1#.png | val/b/1#.png",
                                           kinds="? a b"),
    "a folder per picture with unknown words": Layout("Patient #/scan.jpg + Patient #/tumor.png", kinds="tumor scan"),
    "many series are not many kinds": Layout("", "a_#.png | b_#.png | c_#.png | d_#.png"),
    "splits are no kinds": Layout("", "train_#.png | val_#.png"),
    "one picture and other masks in a split": Layout(
        "", "train/images/a.png | train/masks/b.png | train/masks/c.png | "
            "val/images/d.png | val/masks/e.png | val/masks/f.png"),
    "kinds in a folder per picture": Layout("", "p#/images/p#.png | p#/masks/p#_mask.png | p#/masks/p#_label.png",
                                            kinds="? label mask"),
    "a numbered mask beside one of another kind": Layout("a#.png + a#_gt.png", "a#_mask_1.png"),
    "a project called masks": Layout("my_masks/#.png + my_masks/#_mask.png", "stray.png"),
    "results beside": Layout("images/#.png + masks/#.png", "results/#.png"),
    "IDRiD": Layout(
        "", "1. Images/a. Training Set/I_0#.jpg | 2. Groundtruths/a. Training Set/1. Microaneurysms/I_0#_MA.tif | "
        "2. Groundtruths/a. Training Set/2. Haemorrhages/I_0#_HE.tif", kinds="? MA HE"),
    "a volume is not surely the picture": Layout("raw/#.tif + volume/#.tif", kinds="volume raw"),
    "all masks named after the stain, too": Layout("train/images/#.png + masks/#_HE.png"),
    "Label Studio without pictures": Layout(
        "", "task-#-annotation-7-by-1-tag-Cat-0.png | task-#-annotation-7-by-1-tag-Dog-0.png"),
    "CelebAMask-HQ without pictures": Layout(
        "", "CelebAMask-HQ-mask-anno/0/0000#_hair.png | CelebAMask-HQ-mask-anno/0/0000#_skin.png"),
    "MVTec AD without pictures": Layout("", "ground_truth/broken/00#_mask.png | ground_truth/bent/00#_mask.png"),
    "CVAT without pictures": Layout("", "SegmentationClass/#.png | SegmentationObject/#.png"),
    "a project called masks, unknown folders": Layout("", "my_masks/a/#.png | my_masks/b/#.png", kinds="? a b"),
    "GlaS": Layout("train_#.bmp + train_#_anno.bmp | testA_#.bmp + testA_#_anno.bmp"),
    "QuPath": Layout("c#.png + c#-labelled.png", how="same name without 'labelled'"),
    "ISBI 2012": Layout("train-volume.tif + train-labels.tif", "test-volume.tif"),
    "EPFL mitochondria": Layout("training_mito_images.tif + training_mito_masks.tif"),
    "single stacks": Layout("sandstone_images.tif + sandstone_masks.tif"),
    "DeepCrack": Layout("train_img/#.jpg + train_lab/#.png | test_img/#.jpg + test_lab/#.png"),
    "a laboratory": Layout("lab/#.png + lab/#_mask.png | ward/#.png + ward/#_mask.png"),
    "FloodNet": Layout("train/train-org-img/1#.jpg + train/train-label-img/1#_lab.png | "
                       "val/val-org-img/2#.jpg + val/val-label-img/2#_lab.png"),
    "CamVid as published": Layout("701_StillsRaw_full/0TP_#.png + LabeledApproved_full/0TP_#_L.png"),
    "MVTec AD": Layout("b/test/broken/00#.png + b/ground_truth/broken/00#_mask.png | "
                       "b/test/bent/00#.png + b/ground_truth/bent/00#_mask.png",
                       "b/test/good/00#.png | b/train/good/00#.png"),
    "splits on one side, and a name in two of them": Layout("", "train/#.png | test/#.png | masks/#_mask.png"),
    "a TIFF and a PNG of one name": Layout("", "a#.tif | a#.png", kinds="? .tif .png"),
    "a BMP and a PNG of one name in a folder": Layout("", "s/a#.bmp | s/a#.png", kinds="? .bmp .png"),
}
# Boxes for pictures and for masks.
BOXES = {
    "hyphens and underscores": Layout("a-b-#.png + a_b_#_mask.png",
                                      how="same name without 'mask', written differently"),
    "leading zeros": Layout("img_#.png + mask_00#.png", how="same name without 'img' and 'mask', leading zeros aside"),
    "numbers with zeros only": Layout("00#.png + #.png", how="same name, leading zeros aside"),
    "a common beginning": Layout("scan_00#.png + ann_00#.png", how="same name after 'scan_' and 'ann_'",
                                 layout="pictures in one box, masks in the other, masks called ann_*"),
    "a common end": Layout("tile_#_x.png + tile_#_y.png", how="same name before '_x' and '_y'"),
    "a common beginning and end": Layout("s#x.png + m#y.png", how="same name after 's' and 'm' and before 'x' and 'y'"),
    "a common beginning and a stray": Layout("scan_#.png + ann_#.png", "notes.png"),
    "one first part": Layout("000#_rgb_v2.png + 000#_annot_final_#.png", how="same first part '0001'"),
    "one first part, other numbers behind": Layout("", "a_5.png | b_6.png | a_7_mask.png | b_8_mask.png"),
    "slides that differ": Layout("", "slide_1_00#.png | region_2_00#_mask.png"),
    "two patients, half of each missing": Layout("c_#.png + c_#_mask.png", "a_#.png | b_#_mask.png"),
    "one mask more for one picture": Layout("#.png + #.png", "2_mask.png"),
    "a colour view in the box for masks": Layout("#.png + #.png", "#_color.png", kinds="same name;color"),
}
# fmt: on


def check(layout: Layout, pairing: Pairing) -> None:
    assert made(pairing) == expected(layout)
    if layout.layout is not None:
        assert pairing.layout == layout.layout
    if layout.how is not None:
        assert layout.how in {pair.how for pair in pairing.pairs}
    chosen, _, others = layout.kinds.partition(";" if ";" in layout.kinds and "?" not in layout.kinds else " ")
    kinds = others.split(";" if ";" in others else " ") if others else []
    assert pairing.chosen_kind == (chosen if chosen not in ("?", "") else None)
    assert {kind.name for kind in pairing.mask_kinds} == {*kinds, *([chosen] if chosen not in ("?", "") else [])}


@pytest.mark.parametrize("layout", HEAPS.values(), ids=HEAPS.keys())
def test_a_heap_is_paired_as_a_person_would(layout):
    images, masks = files(layout)
    check(layout, pair_files([*images, *masks, *each(layout.beside)]))


@pytest.mark.parametrize("layout", BOXES.values(), ids=BOXES.keys())
def test_two_boxes_are_paired_as_a_person_would(layout):
    images, masks = files(layout)
    beside = each(layout.beside)
    mask_words = ("_mask", "_color")
    images += [name for name in beside if not any(word in name for word in mask_words)]
    masks += [name for name in beside if any(word in name for word in mask_words)]
    check(layout, pair_files(images, masks))


@given(st.sampled_from(sorted(HEAPS)), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_any_order_gives_the_same_answer(name, random):
    images, masks = files(HEAPS[name])
    names = [*images, *masks, *each(HEAPS[name].beside)]
    shuffled = random.sample(names, len(names))
    assert pair_files(shuffled) == pair_files(sorted(names))


UNRELATED = ["Qx77.png", "elsewhere/Zw905.jpg", "elsewhere/deeper/Vk31.tif", "readme.txt"]


@given(st.sampled_from(sorted(HEAPS)), st.sets(st.sampled_from(UNRELATED), min_size=1))
@settings(max_examples=100, deadline=None)
def test_unrelated_files_change_no_pair(name, unrelated):
    images, masks = files(HEAPS[name])
    names = [*images, *masks, *each(HEAPS[name].beside)]
    alone, together = pair_files(names), pair_files([*names, *unrelated])
    assert made(together) == made(alone)
    assert together.chosen_kind == alone.chosen_kind


TEMPLATES = [
    ("{n}.png", "{n}_mask.png"),
    ("img{n}.png", "img{n}mask.png"),
    ("img_{n}.png", "mask_{n:03}.png"),
    ("scan_{n}.png", "ann_{n}.png"),
    ("s{n}x.png", "m{n}y.png"),
    ("{n}_rgb_v2.png", "{n}_annot_final.png"),
    ("f_{n}.png", "f_mask_{n}.png"),
    ("cell ({n}).png", "cell-{n}-gt.png"),
    ("t{n:03}.png", "man_seg{n}.png"),
]
NUMBERS = st.sets(st.sampled_from([0, 1, 2, 3, 10, 11, 12, 21, 100, 101, 110, 111, 112]), min_size=1)


@given(st.sampled_from(TEMPLATES), NUMBERS, NUMBERS, st.booleans())
@settings(max_examples=400, deadline=None)
def test_1_is_never_paired_with_11_nor_any_number_with_another(templates, image_numbers, mask_numbers, is_heap):
    number_of = {templates[0].format(n=n): n for n in image_numbers}
    mask_number_of = {templates[1].format(n=n): n for n in mask_numbers}
    boxes = ([*number_of, *mask_number_of], None) if is_heap else (number_of, mask_number_of)
    pairing = pair_files(*boxes)
    for pair in pairing.pairs:
        assert number_of[pair.image] == mask_number_of[pair.mask]
    for miss in pairing.near_misses:
        assert number_of[miss.image] == mask_number_of[miss.mask]
