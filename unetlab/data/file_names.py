"""What file and folder names say about pictures and masks. Pure text; nothing is opened.

Names are compared in Unicode NFC and without case, so that a file copied from a Mac still matches.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Role = Literal["image", "mask"]
Split = Literal["train", "valid", "test"]

# Words that may stand before or after a file's stem, set off by one of SEPARATORS.
# fmt: off
MASK_AFFIXES = frozenset({
    "mask", "masks", "label", "labels", "gt", "seg", "segmentation", "annot", "annotation",
    "manual", "manual1", "p", "l",
})
# fmt: on
IMAGE_AFFIXES = frozenset({"training", "test", "image", "img"})
# `cell_L` may be the left cell: these two letters make a mask only where its picture `cell` is there as well.
WEAK_AFFIXES = frozenset({"p", "l"})
SEPARATORS = r"[_\-. ]+"

# fmt: off
IMAGE_FOLDERS = frozenset({
    "image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "input", "inputs",
    "jpegimages",
})
MASK_FOLDERS = frozenset({
    "mask", "masks", "label", "labels", "gt", "groundtruth", "seg", "segs", "segmentation",
    "segmentations", "segmentationclass", "annot", "annots", "annotation", "annotations", "manual",
    "target", "targets", "trimap", "trimaps",
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
JUNK_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx"})

_ROLE_WORDS = "|".join(sorted(IMAGE_FOLDERS | MASK_FOLDERS, key=len, reverse=True))
_GLUED = (  # trainannot, valimages; imagesTr, labelsTs
    re.compile(rf"(?P<split>train|training|val|valid|validation|test)(?P<role>{_ROLE_WORDS})"),
    re.compile(rf"(?P<role>{_ROLE_WORDS})(?P<split>tr|ts|train|val|test)"),
)
_ANY_AFFIX = "|".join(sorted(MASK_AFFIXES | IMAGE_AFFIXES, key=len, reverse=True))
_PREFIX = re.compile(rf"({_ANY_AFFIX}){SEPARATORS}(.+)", re.DOTALL)
_SUFFIX = re.compile(rf"(.+?){SEPARATORS}({_ANY_AFFIX})", re.DOTALL)


@dataclass(frozen=True)
class Stripped:
    """How a shorter stem came about: the affixes taken away, and those of them that speak of a mask."""

    affixes: tuple[str, ...] = ()

    @property
    def mask_affixes(self) -> set[str]:
        return {affix for affix in self.affixes if affix in MASK_AFFIXES}

    @property
    def num_mask_affixes(self) -> int:
        return sum(affix in MASK_AFFIXES for affix in self.affixes)


@dataclass(frozen=True)
class FolderWords:
    """What one folder name says: whose files it holds, the split, and the words that are left."""

    role: Role | None
    split: Split | None
    rest: str
    is_without_masks: bool


def fold(name: str) -> str:
    """The name as it is compared: Unicode NFC, case folded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def is_junk(path: str) -> bool:
    """True for what operating systems leave behind: Thumbs.db, .DS_Store, __MACOSX, any hidden file."""
    return any(part.startswith(".") or fold(part) in JUNK_NAMES for part in path.split("/"))


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key in which 2 comes before 10."""
    parts = re.split(r"([0-9]+)", fold(name))
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts if part], name


def stem_of(path: str) -> str:
    """The folded file name without its extension: `ds/A.Mask.PNG` gives `a.mask`."""
    name = path.rsplit("/", 1)[-1]
    return fold(name.rsplit(".", 1)[0] if "." in name else name)


def shorter_stems(stem: str) -> dict[str, Stripped]:
    """Each stem that remains when affixes are taken away, the stem itself first, with what was taken.

    `21_training_mask` gives itself, `21_training` and `21`; `mask` alone gives the empty stem too, since in
    `007/image.png` and `007/mask.png` the folder carries the name.
    """
    found = {stem: Stripped()}
    waiting = [stem]
    while waiting:
        current = waiting.pop(0)  # breadth first: the fewest affixes win
        steps = [(match[2], match[1]) for match in [_PREFIX.fullmatch(current)] if match]
        steps += [(match[1], match[2]) for match in [_SUFFIX.fullmatch(current)] if match]
        if current in MASK_AFFIXES | IMAGE_AFFIXES and current not in WEAK_AFFIXES:
            steps.append(("", current))
        for shorter, affix in steps:
            if shorter not in found:
                found[shorter] = Stripped((*found[current].affixes, affix))
                waiting.append(shorter)
    return found


def folder_words(folder: str) -> FolderWords:
    """What a single folder name says.

    A word for pictures wins over one for masks (`test_images_no_masks` holds pictures), unless the name
    joins the two (`images and masks`): then it says nothing.
    """
    words: list[str] = []
    for word in re.split(r"[\W_]+", fold(folder)):
        glued = next((match for pattern in _GLUED if (match := pattern.fullmatch(word))), None)
        words += [glued["split"], glued["role"]] if glued else [word]
    has_image = any(word in IMAGE_FOLDERS for word in words)
    has_mask = any(word in MASK_FOLDERS for word in words)
    is_without = has_mask and any(word in ("no", "without") for word in words)
    is_both = has_image and has_mask and any(word in ("and", "with") for word in words)
    role: Role | None = None
    if not is_both and (has_image or is_without):
        role = "image"
    elif not is_both and has_mask:
        role = "mask"
    split: Split | None = next((SPLIT_FOLDERS[word] for word in words if word in SPLIT_FOLDERS), None)
    # DRIVE's `1st_manual` beside `mask`: both are masks of the same pictures, which must be noticed.
    silent = [word for word in words if word in IMAGE_FOLDERS | MASK_FOLDERS or (has_mask and _is_ordinal(word))]
    rest = " ".join(SPLIT_FOLDERS.get(word, word) for word in words if word and word not in silent)
    return FolderWords(role, split, rest, is_without)


def _is_ordinal(word: str) -> bool:
    return re.fullmatch(r"[0-9]+(st|nd|rd|th)", word) is not None
