"""What file and folder names say about pictures and masks. Pure text; nothing is opened.

Names are compared in Unicode NFC and without case, so that a file copied from a Mac still matches.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from unetlab.data.names.name_words import (
    FORM_WORDS,
    FORMAT_WORDS,
    IMAGE_AFFIXES,
    IMAGE_FOLDERS,
    JUNK_NAMES,
    MASK_AFFIXES,
    MASK_FOLDERS,
    SPLIT_FOLDERS,
    STRONG_MASK_AFFIXES,
    WEAK_AFFIXES,
    Role,
    Split,
)

SEPARATORS = r"[_\-. ]+"
_Stem = TypeVar("_Stem", str, tuple[str, ...])


def squeeze(text: str) -> str:
    """Letters and digits only, folded: `Ground_Truth` gives `groundtruth`, so that one word has one spelling."""
    return re.sub(r"[\W_]+", "", fold(text))


def fold(name: str) -> str:
    """The name as it is compared: Unicode NFC, case folded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


_MASK_SPELLINGS = frozenset(map(squeeze, MASK_AFFIXES))
_STRONG_SPELLINGS = frozenset(map(squeeze, STRONG_MASK_AFFIXES))
_SPELLINGS = _MASK_SPELLINGS | IMAGE_AFFIXES
_SINGLE_LETTERS = frozenset(word for word in WEAK_AFFIXES if len(word) == 1)
_LOOSE_SPELLINGS = _SPELLINGS - _SINGLE_LETTERS
MAX_AFFIX_WORDS = 5  # gt fine label train ids
# `catmask` is the mask of `cat`; shorter words end too many others ("target" ends in "get").
_GLUED_AFFIXES = tuple(sorted((word for word in _STRONG_SPELLINGS if len(word) >= 4 and word.isalpha()), reverse=True))

_ROLE_WORDS = "|".join(sorted(IMAGE_FOLDERS | MASK_FOLDERS, key=len, reverse=True))
_GLUED = (  # trainannot, valimages; imagesTr, labelsTs; train2017
    re.compile(rf"(?P<split>train|training|val|valid|validation|test)(?P<role>{_ROLE_WORDS})"),
    re.compile(rf"(?P<role>{_ROLE_WORDS})(?P<split>tr|ts|train|val|test)"),
    re.compile(r"(?P<split>train|val|test)(?P<role>(19|20)[0-9]{2})"),
)
_ANY_AFFIX = "|".join(
    word.replace(" ", "[_\\-. ]?") for word in sorted(MASK_AFFIXES | IMAGE_AFFIXES, key=len, reverse=True)
)
_PREFIX = re.compile(rf"({_ANY_AFFIX}){SEPARATORS}(.+)", re.DOTALL)
_SUFFIX = re.compile(rf"(.+?){SEPARATORS}({_ANY_AFFIX})", re.DOTALL)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class Stripped:
    """How a shorter stem came about: the affixes taken away, and those of them that speak of a mask."""

    affixes: tuple[str, ...] = ()

    @property
    def mask_affixes(self) -> set[str]:
        return {affix for affix in self.affixes if squeeze(affix) in _MASK_SPELLINGS}

    @property
    def num_mask_affixes(self) -> int:
        return sum(squeeze(affix) in _MASK_SPELLINGS for affix in self.affixes)


@dataclass(frozen=True)
class FolderWords:
    """What one folder name says: whose files it holds, the split, and the words that are left."""

    role: Role | None
    split: Split | None
    rest: str
    is_without_masks: bool


def is_junk(path: str) -> bool:
    """True for what operating systems leave behind: Thumbs.db, .DS_Store, __MACOSX, any hidden file."""
    parts = [part for part in path.split("/") if part != ".."]  # masks that were made lie in `../made/`
    return any(part.startswith(".") or fold(part) in JUNK_NAMES for part in parts)


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key in which 2 comes before 10."""
    parts = re.split(r"([0-9]+)", fold(name))
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts if part], name


def bare_stem(path: str) -> str:
    """The file name without folders and extension, as written."""
    name = path.rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[0] if "." in name else name


def stem_of(path: str) -> str:
    """The folded file name without its extension: `ds/A.Mask.PNG` gives `a.mask`."""
    stem = fold(bare_stem(path))
    return stem.removesuffix(".ome")  # x.ome.tif is x: the microscopists' TIFF


def words_of(text: str) -> tuple[str, ...]:
    """Words and numbers of a name, folded: `leftImg-08 (b)` gives left, img, 08, b."""
    spaced = _CAMEL.sub(" ", unicodedata.normalize("NFC", text))
    return tuple(re.findall(r"[0-9]+|[^\W0-9_]+", fold(spaced)))


def numbers_of(text: str) -> tuple[int, ...]:
    """Every number in a name: `s2_007` gives 2 and 7."""
    return tuple(int(number) for number in re.findall(r"[0-9]+", text))


def tokens_of(stem: str) -> tuple[str, ...]:
    """The stem cut where letters, digits and separators meet; joined again they give the stem."""
    return tuple(re.findall(r"[0-9]+|[^\W0-9_]+|[\W_]+", stem))


def cased_tokens_of(stem: str) -> tuple[str, ...]:
    """The same, cut also where a capital follows a small letter: `maskA` gives mask and A."""
    return tuple(part for token in tokens_of(stem) for part in _CAMEL.split(token))


def shorter_stems(stem: str) -> dict[str, Stripped]:
    """Each stem that remains when affixes are taken away, the stem itself first, with what was taken.

    `21_training_mask` gives itself, `21_training` and `21`; `mask` alone gives the empty stem too, since in
    `007/image.png` and `007/mask.png` the folder carries the name.
    """
    return _all_shorter(stem, _without_affix)


def loose_stems(path: str) -> dict[str, Stripped]:
    """The same, by words joined with `_`: `img001Mask` and `IMG-001 (mask)` both give img_001_mask, img_001, 001."""
    found = _all_shorter(words_of(bare_stem(path)), _without_words)
    return {"_".join(words): stripped for words, stripped in found.items()}


def stems_around_mask_word(path: str) -> tuple[dict[str, Stripped], dict[str, Stripped]]:
    """Stems left when a mask word inside the name goes: alone (`a_mask_1`: a_1), and with its number (`a`)."""
    words = words_of(bare_stem(path))
    inner: dict[str, Stripped] = {}
    numbered: dict[str, Stripped] = {}
    for place, word in enumerate(words):
        if word in _STRONG_SPELLINGS and place + 1 < len(words):
            if place > 0:
                inner["_".join(words[:place] + words[place + 1 :])] = Stripped((word,))
            if place + 2 == len(words) and words[-1].isdecimal():
                numbered["_".join(words[:place])] = Stripped((f"{word} {words[-1]}",))
    return inner, numbered


def has_strong_mask_word(text: str) -> bool:
    """True when one of the words of a name is one that only masks carry."""
    return any(word in _STRONG_SPELLINGS for word in words_of(text))


def has_image_word(text: str) -> bool:
    """True when one of the words of a name speaks of pictures."""
    return any(word in (IMAGE_AFFIXES - FORM_WORDS) | IMAGE_FOLDERS for word in words_of(text))


def is_strong(affix: str) -> bool:
    """True for an affix that makes a mask even where its picture is missing."""
    return squeeze(affix) in _STRONG_SPELLINGS


def without_leading_zeros(stem: str) -> str:
    """`img_007` gives `img_7`; 000 stays a single 0."""
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", stem)


def _all_shorter(stem: _Stem, steps_from: Callable[[_Stem], Iterable[tuple[_Stem, str]]]) -> dict[_Stem, Stripped]:
    found = {stem: Stripped()}
    waiting = [stem]
    while waiting:
        current = waiting.pop(0)  # breadth first: the fewest affixes win
        for shorter, affix in steps_from(current):
            if shorter not in found:
                found[shorter] = Stripped((*found[current].affixes, affix))
                waiting.append(shorter)
    return found


def _without_affix(stem: str) -> Iterable[tuple[str, str]]:
    if match := _PREFIX.fullmatch(stem):
        yield match[2], match[1]
    if match := _SUFFIX.fullmatch(stem):
        yield match[1], match[2]
    if squeeze(stem) in _SPELLINGS and stem not in _SINGLE_LETTERS:
        yield "", stem


def _without_words(words: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], str]]:
    for count in range(min(MAX_AFFIX_WORDS, len(words)), 0, -1):
        if (joined := "".join(words[:count])) in _LOOSE_SPELLINGS:
            yield words[count:], joined
        if (joined := "".join(words[-count:])) in _LOOSE_SPELLINGS:
            yield words[:-count], joined
    if words and (words[-1].endswith(_GLUED_AFFIXES) or words[0].startswith(_GLUED_AFFIXES)):
        for affix in _GLUED_AFFIXES:
            if words[-1].endswith(affix) and words[-1] != affix:
                yield (*words[:-1], words[-1].removesuffix(affix)), affix
            if words[0].startswith(affix) and words[0] != affix:
                yield (words[0].removeprefix(affix), *words[1:]), affix


def folder_words(folder: str) -> FolderWords:
    """What a single folder name says.

    A word for masks wins over one for pictures (`label_images` holds masks), unless the name says that there are
    none (`test_images_no_masks` holds pictures) or joins the two (`images and masks`): then it says nothing.
    """
    words: list[str] = []
    for word in re.split(r"[\W_]+", unicodedata.normalize("NFC", folder)):
        words += _words_in_folder(word)
    if ("ground", "truth") in pairwise(words):
        place = words.index("ground")
        words[place : place + 2] = ["groundtruth"]
    if any(word in SPLIT_FOLDERS for word in words):  # DeepCrack's `train_lab`; a `lab` alone may be a laboratory
        words = ["label" if word == "lab" else word for word in words]
    has_image = any(word in IMAGE_FOLDERS for word in words)
    has_mask = any(word in MASK_FOLDERS for word in words)
    is_without = has_mask and any(word in ("no", "without") for word in words)
    is_both = has_image and has_mask and any(word in ("and", "with", "for") for word in words)
    role: Role | None = None
    if not is_both and has_mask and not is_without:
        role = "mask"
    elif not is_both and (has_image or is_without):
        role = "image"
    split: Split | None = next((SPLIT_FOLDERS[word] for word in words if word in SPLIT_FOLDERS), None)
    # DRIVE's `1st_manual` beside `mask`: both are masks of the same pictures, which must be noticed.
    silent = [
        word
        for word in words
        if word in IMAGE_FOLDERS | MASK_FOLDERS
        or (has_mask and _is_ordinal(word))
        or ((has_mask or has_image) and word in FORMAT_WORDS)
    ]
    rest = " ".join(SPLIT_FOLDERS.get(word, word) for word in words if word and word not in silent)
    return FolderWords(role, split, rest, is_without)


def _words_in_folder(word: str) -> list[str]:
    """trainannot gives train and annot, ManualMask manual and mask; a known word stays whole."""
    folded = fold(word)
    if folded in IMAGE_FOLDERS | MASK_FOLDERS or folded in SPLIT_FOLDERS:
        return [folded]
    glued = next((match for pattern in _GLUED if (match := pattern.fullmatch(folded))), None)
    if glued:
        return [glued["split"], glued["role"]]
    parts = [fold(part) for part in _CAMEL.split(word)]
    is_telling = any(part in IMAGE_FOLDERS | MASK_FOLDERS or part in SPLIT_FOLDERS for part in parts)
    return parts if is_telling or parts == ["ground", "truth"] else [folded]


def _is_ordinal(word: str) -> bool:
    return re.fullmatch(r"[0-9]+(st|nd|rd|th)", word) is not None
