"""Which mask belongs to which picture, from file names alone.

Pure: takes relative names, opens nothing. A pair is made only where one picture and one mask find each other
and nobody else does; what is ambiguous is told, not guessed.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from unetlab.data.file_names import (
    WEAK_AFFIXES,
    Role,
    Split,
    Stripped,
    fold,
    folder_words,
    is_junk,
    natural_key,
    shorter_stems,
    stem_of,
)
from unetlab.data.images import JPEG_SUFFIXES, is_picture


@dataclass(frozen=True)
class Match:
    """A picture, its mask, how they found each other in plain words, and the split their folders name."""

    name: str
    image: str
    mask: str
    how: str
    split: Split | None


@dataclass
class Pairing:
    """Pairs in natural order, and every file that is in no pair."""

    pairs: list[Match] = field(default_factory=list)
    unmatched_images: list[str] = field(default_factory=list)
    unmatched_masks: list[str] = field(default_factory=list)
    ignored_files: list[str] = field(default_factory=list)
    ambiguous: list[tuple[list[str], list[str]]] = field(default_factory=list)  # pictures and masks of a tangle


@dataclass(frozen=True)
class _File:
    path: str
    name: str  # for people: without extension and folders that say nothing
    key: tuple[str, ...]  # folders without their role words
    stems: dict[str, Stripped]
    role: Role | None
    split: Split | None
    is_without_mask: bool

    @property
    def stem(self) -> str:
        return next(iter(self.stems))


_Spot = tuple[tuple[str, ...], str]  # a folder key and a stem: files of both boxes that share one belong together


def pair_files(images: Iterable[str], masks: Iterable[str] | None = None) -> Pairing:
    """The pairs among relative file names (`/` between folders); the same for any order of the names.

    images, masks: what came in the box for pictures and in the box for masks. With `masks=None` everything
    came in one heap: folder names, then affixes of file names, say which are masks.
    """
    ignored: list[str] = []
    boxes: list[list[_File]] = []
    for box in [images] if masks is None else [images, masks]:
        names = sorted(set(box), key=natural_key)
        ignored += [name for name in names if is_junk(name) or not is_picture(name)]
        boxes.append(_look_at([name for name in names if not is_junk(name) and is_picture(name)]))
    pairing = _match(*(_tell_apart(boxes[0]) if masks is None else boxes))
    return replace(pairing, ignored_files=ignored)


def _look_at(names: list[str]) -> list[_File]:
    """Reads folder names and stems. Folders that all files share say nothing about any of them."""
    folders = [name.split("/")[:-1] for name in names]
    shared = 0
    while folders and all(len(parts) > shared and parts[shared] == folders[0][shared] for parts in folders):
        shared += 1
    files = []
    for path, parts in zip(names, folders, strict=True):
        words = [(part, folder_words(part)) for part in parts[shared:]]
        telling = [part for part, word in words if word.rest]
        stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        files.append(
            _File(
                path=path,
                name=unicodedata.normalize("NFC", "/".join([*telling, stem])),
                key=tuple(word.rest for _, word in words if word.rest),
                stems=shorter_stems(stem_of(path)),
                role=next((word.role for _, word in reversed(words) if word.role), None),
                split=next((word.split for _, word in words if word.split), None),
                is_without_mask=any(word.is_without_masks for _, word in words),
            )
        )
    return files


def _tell_apart(files: list[_File]) -> tuple[list[_File], list[_File]]:
    """Pictures and masks of one heap: by folder names, or by file names where folders do not separate them."""
    images, masks = _by_role(files)
    if not images or not masks:  # `images/a.png` beside `images/a_mask.png`
        images, masks = _by_role([replace(file, role=None) for file in files])
    return images, masks


def _by_role(files: list[_File]) -> tuple[list[_File], list[_File]]:
    relatives: dict[_Spot, list[_File]] = defaultdict(list)
    for file in files:
        if file.role is None:
            for stem in file.stems:
                relatives[file.key, stem].append(file)
    has_mask_folder = any(file.role == "mask" for file in files)
    images, masks = [], []
    for file in files:
        role = file.role or _role_from_affixes(file, relatives, has_mask_folder=has_mask_folder)
        (masks if role == "mask" else images).append(file)
    return images, masks


def _role_from_affixes(file: _File, relatives: dict[_Spot, list[_File]], *, has_mask_folder: bool) -> Role:
    """Of two files that differ by mask affixes, the one with more of them is the mask."""
    surplus = [
        file.stems[stem].num_mask_affixes - other.stems[stem].num_mask_affixes
        for stem in file.stems
        for other in relatives[file.key, stem]
        if other is not file
    ]
    if any(count > 0 for count in surplus):
        return "mask"
    if any(count < 0 for count in surplus):
        return "image"
    twins = [other for other in relatives[file.key, file.stem] if other.stem == file.stem and other is not file]
    if len(twins) == 1 and _is_jpeg(twins[0]) and not _is_jpeg(file):
        return "mask"  # a.jpg beside a.png: the photograph is the JPEG
    # An orphan called a_mask is a mask, but in `a_mask.png` beside `masks/` the folders have already spoken.
    affixes = {affix for stripped in file.stems.values() for affix in stripped.mask_affixes}
    return "mask" if affixes - WEAK_AFFIXES and not has_mask_folder else "image"


def _is_jpeg(file: _File) -> bool:
    return PurePosixPath(file.path).suffix.lower() in JPEG_SUFFIXES


def _match(images: list[_File], masks: list[_File]) -> Pairing:
    """Pairs files folder by folder, exact stems before shortened ones, then across folders."""
    images_left = {file.path: file for file in images if not file.is_without_mask}
    masks_left = {file.path: file for file in masks}
    pairs: list[tuple[_File, _File, str]] = []
    ambiguous: list[tuple[list[str], list[str]]] = []

    def take(image: _File, mask: _File, where: str) -> None:
        del images_left[image.path], masks_left[mask.path]
        pairs.append((image, mask, _how(image, mask) + where))

    for is_exact in (True, False):
        for tied_images, tied_masks in _groups([*images_left.values()], [*masks_left.values()], is_exact=is_exact):
            if len(tied_images) == len(tied_masks) == 1:
                take(tied_images[0], tied_masks[0], "")
            elif not is_exact:
                ambiguous.append(([file.path for file in tied_images], [file.path for file in tied_masks]))
    # Across folders a name counts only when it is the only one of its kind among all files.
    everywhere = [[replace(file, key=()) for file in box] for box in (images, masks)]
    for tied_images, tied_masks in _groups(*everywhere):
        image, mask = tied_images[0], tied_masks[0]
        is_alone = len(tied_images) == len(tied_masks) == 1
        is_free = image.path in images_left and mask.path in masks_left
        if is_alone and is_free and (image.split == mask.split or None in (image.split, mask.split)):
            take(image, mask, ", in another folder")
    return Pairing(
        pairs=_named(pairs),
        unmatched_images=[file.path for file in images if file.path in images_left or file.is_without_mask],
        unmatched_masks=[file.path for file in masks if file.path in masks_left],
        ambiguous=ambiguous,
    )


def _groups(
    images: list[_File], masks: list[_File], *, is_exact: bool = False
) -> list[tuple[list[_File], list[_File]]]:
    """Pictures and masks tied together by shared stems within a folder; only groups with both kinds."""
    owners = [_owners(box, is_exact=is_exact) for box in (images, masks)]
    shared = owners[0].keys() & owners[1].keys()
    spots_of: dict[tuple[int, str], list[_Spot]] = defaultdict(list)
    for box in (0, 1):
        for spot in shared:
            for file in owners[box][spot]:
                spots_of[box, file.path].append(spot)
    groups = []
    seen: set[_Spot] = set()
    for image in images:
        tied: tuple[dict[str, _File], dict[str, _File]] = ({}, {})
        waiting = [spot for spot in spots_of[0, image.path] if spot not in seen]
        while waiting:
            spot = waiting.pop()
            if spot in seen:
                continue
            seen.add(spot)
            for box in (0, 1):
                for file in owners[box][spot]:
                    tied[box][file.path] = file
                    waiting += spots_of[box, file.path]
        if tied[0]:
            groups.append(([*tied[0].values()], [*tied[1].values()]))
    return groups


def _owners(box: list[_File], *, is_exact: bool) -> dict[_Spot, list[_File]]:
    """For each stem in each folder the files of one box that it can mean: those with fewest affixes taken away.

    Where `1` and `img_1` are both pictures, `1` is not a short form of `img_1`.
    """
    owners: dict[_Spot, list[_File]] = {}
    for file in box:
        for stem, stripped in file.stems.items():
            if is_exact and stripped.affixes:
                continue
            rivals = owners.get((file.key, stem), [])
            fewest = len(rivals[0].stems[stem].affixes) if rivals else len(stripped.affixes)
            if len(stripped.affixes) < fewest:
                rivals = []
            if len(stripped.affixes) <= fewest:
                owners[file.key, stem] = [*rivals, file]
    return owners


def _how(image: _File, mask: _File) -> str:
    shared = [stem for stem in image.stems if stem in mask.stems]
    stem = min(shared, key=lambda stem: len(image.stems[stem].affixes) + len(mask.stems[stem].affixes))
    taken = [*image.stems[stem].affixes, *mask.stems[stem].affixes]
    if not taken:
        return "same name"
    return "same name without " + " and ".join(f"'{affix}'" for affix in dict.fromkeys(taken))


def _named(pairs: list[tuple[_File, _File, str]]) -> list[Match]:
    counts = Counter(fold(image.name) for image, _, _ in pairs)
    matches = [
        Match(
            name=image.name if counts[fold(image.name)] == 1 else image.path,
            image=image.path,
            mask=mask.path,
            how=how,
            split=image.split or mask.split,
        )
        for image, mask, how in pairs
    ]
    return sorted(matches, key=lambda match: natural_key(match.name))
