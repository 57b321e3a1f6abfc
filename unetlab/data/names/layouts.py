"""How the files of a drop lie, in words that a person recognises: a known data set's layout, or what was seen."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from unetlab.data.names.file_names import bare_stem, cased_tokens_of, fold
from unetlab.data.names.matches import Match

BY_HAND = "paired by hand"
LISTED = "listed in the table"


def describe_layout(pairs: Sequence[Match], *, boxes: int) -> str:
    """A part of a sentence: "PASCAL VOC", "images/ and masks/", "one folder, masks called *_mask"; "" without pairs.

    boxes: 1 when everything came together, 2 when pictures and masks came apart.
    """
    if not pairs:
        return ""
    listed = _most([pair.how for pair in pairs if pair.how in (BY_HAND, LISTED)], len(pairs))
    if listed:
        return "pairs listed in a table" if listed == LISTED else BY_HAND
    return _known_layout(pairs) or _object_layout(pairs) or _seen_layout(pairs, boxes)


def _most(words: Sequence[str], out_of: int) -> str:
    """The commonest word, where it holds for more than half."""
    word, count = Counter(words).most_common(1)[0] if words else ("", 0)
    return word if count > out_of / 2 else ""


def _known_layout(pairs: Sequence[Match]) -> str:
    image_folders = {part for pair in pairs for part in fold(pair.image).split("/")[:-1]}
    mask_folders = {part for pair in pairs for part in fold(pair.mask).split("/")[:-1]}
    if "jpegimages" in image_folders and any(part.startswith("segmentation") for part in mask_folders):
        return "PASCAL VOC"
    if "imagestr" in image_folders and "labelstr" in mask_folders:
        return "nnU-Net"
    if "1st_manual" in mask_folders:
        return "DRIVE"
    if "trainannot" in mask_folders:
        return "CamVid"
    is_cityscapes = all(fold(bare_stem(pair.image)).endswith("_leftimg8bit") for pair in pairs)
    return "Cityscapes" if is_cityscapes else ""


def _object_layout(pairs: Sequence[Match]) -> str:
    if sum(len(pair.masks) > 1 for pair in pairs) <= len(pairs) / 2:
        return ""
    if all(_folder(pair.image) == _folder(pair.mask) for pair in pairs):
        return "one folder, several numbered masks for a picture, one per object"
    return "one folder per picture with one mask per object"


def _seen_layout(pairs: Sequence[Match], boxes: int) -> str:
    called = _most([_pattern(pair) for pair in pairs], len(pairs))
    if boxes == 2:
        return "pictures in one box, masks in the other" + (f", masks called {called}" if called else "")
    folders = [_differing_folders(pair) for pair in pairs]
    differing = [names for names in folders if names]
    if len(differing) > len(pairs) / 2:
        most_common = Counter(differing).most_common()
        return most_common[0][0] + (" and more folders" if len(most_common) > 1 else "")
    if len(pairs) > 1 and len({_folder(pair.image) for pair in pairs}) == len(pairs):
        return "one folder per picture"
    if called:
        return f"one folder, masks called {called}"
    endings = [f"{_suffix(pair.image)} pictures and {_suffix(pair.mask)} masks with the same names" for pair in pairs]
    ending = _most(endings, len(pairs))
    return f"one folder, {ending}" if ending else "one folder"


def _differing_folders(pair: Match) -> str:
    """images/train and masks/train differ in `images/ and masks/`; "" for one folder."""
    image, mask = (list(PurePosixPath(path).parent.parts) for path in (pair.image, pair.mask))
    while image and mask and image[0] == mask[0]:
        del image[0], mask[0]
    while len(image) > 1 and len(mask) > 1 and image[-1] == mask[-1]:
        del image[-1], mask[-1]
    if not image and not mask:
        return ""
    names = ["/".join(parts) + "/" if parts else "the folder above" for parts in (image, mask)]
    return " and ".join(names)


def _pattern(pair: Match) -> str:
    """What the mask is called beside its picture: `*_mask`, `mask_*`; "" where its name adds nothing."""
    image, mask = bare_stem(pair.image), bare_stem(pair.mask)
    if fold(mask).startswith(fold(image)):
        rest = mask[len(image) :]
        return f"*{rest}" if rest else ""
    image_words, mask_words = cased_tokens_of(image), cased_tokens_of(mask)
    start = _num_alike(image_words, mask_words)
    end = _num_alike(image_words[start:][::-1], mask_words[start:][::-1])
    rest = "".join(mask_words[start : len(mask_words) - end])
    # The separator that the picture has as well belongs to the word: a_rgb and a_mask give *_mask.
    lead = mask_words[start - 1] if start and mask_words[start - 1] in "_-. " else ""
    trail = mask_words[len(mask_words) - end] if end and mask_words[len(mask_words) - end] in "_-. " else ""
    return f"{'*' if start else ''}{lead}{rest}{trail}{'*' if end else ''}" if rest else ""


def _num_alike(one: Sequence[str], other: Sequence[str]) -> int:
    differing = [fold(left) != fold(right) for left, right in zip(one, other, strict=False)]
    return differing.index(True) if True in differing else len(differing)


def _folder(path: str) -> str:
    return path.rsplit("/", 1)[0] if "/" in path else ""


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()
