"""The words that file and folder names use for pictures, masks and splits, as real data sets have them.

A space inside a word stands for any one separator or none: "ground truth" is also ground_truth and GroundTruth.
"""

from typing import Literal

Role = Literal["image", "mask"]
Split = Literal["train", "valid", "test"]
SPLIT_WORDS: dict[Split, str] = {"train": "training", "valid": "validation", "test": "test"}

FORM_WORDS = frozenset({"volume", "stack"})  # ISBI 2012: a picture beside labels, but the word alone proves nothing
STAIN = "he"  # haematoxylin and eosin: only pictures are stained

# Words that may stand before or after a file's stem, set off by a separator.
# fmt: off
STRONG_MASK_AFFIXES = frozenset({
    "mask", "masks", "label", "labels", "lbl", "gt", "seg", "segmentation", "annot", "annotation", "annotations",
    "manual", "manual1", "manual2", "groundtruth", "ground truth", "trimap",
    "anno",  # GlaS
    "1stho", "2ndho",  # CHASE_DB1: the first and the second human observer
    "labelids", "labeltrainids", "instanceids",  # Cityscapes
    "gtfine labelids", "gtfine labeltrainids", "gtfine instanceids", "gtfine color",
    "gtcoarse labelids", "gtcoarse labeltrainids", "gtcoarse instanceids", "gtcoarse color",
})
# `cell_L` may be the left cell: these mark a mask only if its picture `cell` is there as well.
WEAK_AFFIXES = frozenset({
    "p", "l",  # CamVid as published
    "lab",  # FloodNet
    "labelled", "labeled",  # QuPath
    "matte", "alpha", "roi", "annotated", "target", "truth", "binary", "class", "classes", "color", "colour",
    "overlay", "instance", "instances", "fov",
})
MASK_AFFIXES = STRONG_MASK_AFFIXES | WEAK_AFFIXES
IMAGE_AFFIXES = frozenset({
    "training", "test", "image", "images", "img", "imgs", "photo", "picture", "raw", "input",
    "original", "rgb",
    "sat",  # DeepGlobe
    STAIN,
    *FORM_WORDS,
    "leftimg8bit",  # Cityscapes
})

IMAGE_FOLDERS = frozenset({
    "image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "input", "inputs",
    "original", "originals", "jpegimages", "leftimg8bit",
    "stillsraw",  # CamVid as published
})
MASK_FOLDERS = frozenset({
    "mask", "masks", "label", "labels", "lbl", "lbls", "gt", "gts", "groundtruth", "groundtruths", "seg", "segs",
    "segmentation", "segmentations", "annot", "annots", "annotation", "annotations", "manual", "manual1", "manual2",
    "target", "targets", "trimap", "trimaps", "matte", "mattes", "gtfine", "gtcoarse",
    "semantic", "instance", "instances", "colormaps", "panoptic",
    "labeledapproved",  # CamVid as published
    "segmentationclass", "segmentationobject", "segmentationclassaug", "segmentationclasspng",
    "segmentationclassvisualization",
})
# fmt: on
SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "tr": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "test": "test",
    "testing": "test",
    "ts": "test",
}
# `images_jpg` and `masks_png`: the format says nothing about which file is which.
FORMAT_WORDS = frozenset({"png", "jpg", "jpeg", "tif", "tiff", "bmp", "gif"})
JUNK_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})

# Kinds of mask that stand beside the one to learn from: a coloured view of it, single objects, a preview.
# fmt: off
COMPANIONS = frozenset({
    "color", "colour", "gtfinecolor", "gtcoarsecolor", "colormaps", "semanticrgb", "segmentationclassvisualization",
    "instance", "instances", "instanceids", "gtfineinstanceids", "gtcoarseinstanceids", "segmentationobject",
    "masksinstances", "maskshuman", "panoptic", "overlay", "fov",
})
# A kind, and those that it outranks where it is present. In DRIVE and HRF `mask` is the camera's field of view.
OUTRANKED = {
    "1stmanual": frozenset({"mask", "2ndmanual"}),
    "manual1": frozenset({"mask", "manual2"}),
    "manual": frozenset({"mask"}),
    "1stho": frozenset({"2ndho"}),
    "labelids": frozenset({"labeltrainids"}),
    "gtfinelabelids": frozenset({"gtfinelabeltrainids"}),
    "gtcoarselabelids": frozenset({"gtcoarselabeltrainids"}),
    "gtfine": frozenset({"gtcoarse"}),
    "segmentationclass": frozenset({"segmentationclassaug"}),
    "segmentationclasspng": frozenset({"segmentationclass", "segmentationclassaug"}),
}
# fmt: on
