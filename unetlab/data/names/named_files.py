"""One file of a drop and what its name says, and the ties between pictures and masks that share stems."""

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal

from unetlab.data.names.file_names import (
    FolderWords,
    Stripped,
    bare_stem,
    folder_words,
    loose_stems,
    numbers_of,
    shorter_stems,
    stem_of,
    stems_around_mask_word,
    without_leading_zeros,
)
from unetlab.data.names.name_words import STAIN, Role, Split
from unetlab.data.readers.images import JPEG_SUFFIXES

# exact: the same stem. affix: the same without affixes. loose: the same words. unpadded: the same with 007 as 7.
# around: a mask word inside the name goes. numbered: it goes with its number, for masks of single objects.
Level = Literal["exact", "affix", "loose", "unpadded", "around", "numbered"]
Spot = tuple[tuple[str, ...], str]  # a folder key and a stem: files of both boxes that share one belong together


@dataclass(frozen=True, eq=False)
class NamedFile:
    """A file name, read. Equal only to itself: two boxes may hold files of one name.

    What is costly and seldom needed is worked out at its first use.
    """

    path: str
    name: str  # for people: without extension and folders that say nothing
    folders: tuple[str, ...]  # as written, without those that all files of the box share
    key: tuple[str, ...]  # folders without their role words
    stems: dict[str, Stripped]
    role: Role | None
    split: Split | None
    is_without_mask: bool
    role_folder: str  # the innermost folder that says image or mask, else the innermost
    is_stain_a_kind: bool = False  # `_HE` says what the mask shows, not how the picture was stained

    @cached_property
    def stem(self) -> str:
        return next(iter(self.stems))

    @property
    def is_jpeg(self) -> bool:
        return PurePosixPath(self.path).suffix.lower() in JPEG_SUFFIXES

    @cached_property
    def loose(self) -> dict[str, Stripped]:
        stems = loose_stems(self.path)
        return _without_stain(stems) if self.is_stain_a_kind else stems

    @cached_property
    def unpadded(self) -> dict[str, Stripped]:
        return {without_leading_zeros(stem): stripped for stem, stripped in reversed(self.loose.items())}

    @cached_property
    def around(self) -> tuple[dict[str, Stripped], dict[str, Stripped]]:
        return stems_around_mask_word(self.path)

    def stems_at(self, level: Level, role: Role) -> dict[str, Stripped]:
        """The stems under which the file can be found, and what had to be taken away for each."""
        if level == "exact":
            return {self.stem: self.stems[self.stem]}
        if level == "affix":
            return self.stems
        if level in ("around", "numbered") and role == "mask":
            return self.around[0 if level == "around" else 1]
        if level == "unpadded":
            return self.unpadded
        return self.loose


def read_names(names: Sequence[str]) -> list[NamedFile]:
    """Folder names and stems of one box, read. Folders that all files share say nothing about any of them."""
    folders = [name.split("/")[:-1] for name in names]
    shared = 0
    while folders and all(len(parts) > shared and parts[shared] == folders[0][shared] for parts in folders):
        shared += 1
    files = []
    known = {part: folder_words(part) for part in {part for parts in folders for part in parts}}
    for path, parts in zip(names, folders, strict=True):
        words = [(part, known[part]) for part in parts[shared:]]
        telling = [part for part, word in words if word.rest]
        inmost = _telling_folder(words)
        files.append(
            NamedFile(
                path=path,
                name=unicodedata.normalize("NFC", "/".join([*telling, bare_stem(path)])),
                folders=tuple(parts[shared:]),
                key=tuple(word.rest for _, word in words if word.rest),
                stems=shorter_stems(stem_of(path)),
                role=inmost[1] if inmost else None,
                split=next((word.split for _, word in words if word.split), None),
                is_without_mask=any(word.is_without_masks for _, word in words),
                role_folder=inmost[0] if inmost else (parts[-1] if parts[shared:] else ""),
            )
        )
    return _tell_stain_from_kind(files)


def _without_stain(stems: dict[str, Stripped]) -> dict[str, Stripped]:
    return {stem: stripped for stem, stripped in stems.items() if STAIN not in stripped.affixes}


def _has_stain(file: NamedFile) -> bool:
    return any(STAIN in stripped.affixes for stripped in file.stems.values())


def _tell_stain_from_kind(files: list[NamedFile]) -> list[NamedFile]:
    """In folders of masks `_HE` is no stain where not all have it: IDRiD has MA, HE, EX and SE, HE for haemorrhages."""
    masks = [file for file in files if file.role == "mask"]
    if len({_has_stain(file) for file in masks}) < 2:
        return files
    return [
        replace(file, stems=_without_stain(file.stems), is_stain_a_kind=True) if file.role == "mask" else file
        for file in files
    ]


def _telling_folder(words: list[tuple[str, FolderWords]]) -> tuple[str, Role] | None:
    """The innermost folder with a role. One such as `img_01` below `masks` names a sample, not a role."""
    with_role: list[tuple[str, Role, str]] = [
        (part, word.role, word.rest) for part, word in reversed(words) if word.role
    ]
    unnumbered = [entry for entry in with_role if not numbers_of(entry[2])]
    return next(((part, role) for part, role, _ in unnumbered or with_role), None)


def owners(
    box: Sequence[NamedFile], level: Level, role: Role, *, is_across: bool = False
) -> dict[Spot, list[NamedFile]]:
    """For each stem in each folder the files of one box that it can mean: those with fewest affixes taken away.

    Where `1` and `img_1` are both pictures, `1` is not a short form of `img_1`. is_across: folders do not count.
    """
    found: dict[Spot, list[NamedFile]] = {}
    fewest: dict[Spot, int] = {}
    for file in box:
        key = () if is_across else file.key
        for stem, stripped in file.stems_at(level, role).items():
            spot, num_affixes = (key, stem), len(stripped.affixes)
            if num_affixes < fewest.get(spot, num_affixes + 1):
                found[spot], fewest[spot] = [file], num_affixes
            elif num_affixes == fewest[spot]:
                found[spot].append(file)
    return found


Tie = tuple[list[NamedFile], list[NamedFile]]


def ties(
    images: Sequence[NamedFile], masks: Sequence[NamedFile], level: Level, *, is_across: bool = False
) -> list[Tie]:
    """Pictures and masks tied together by shared stems within a folder; only groups with both kinds."""
    owned = (
        owners(images, level, "image", is_across=is_across),
        owners(masks, level, "mask", is_across=is_across),
    )
    shared = owned[0].keys() & owned[1].keys()
    spots_of: dict[tuple[int, str], list[Spot]] = defaultdict(list)
    for box in (0, 1):
        for spot in shared:
            for file in owned[box][spot]:
                spots_of[box, file.path].append(spot)
    groups = []
    seen: set[Spot] = set()
    for image in images:
        tied: tuple[dict[str, NamedFile], dict[str, NamedFile]] = ({}, {})
        waiting = [spot for spot in spots_of[0, image.path] if spot not in seen]
        while waiting:
            spot = waiting.pop()
            if spot in seen:
                continue
            seen.add(spot)
            for box in (0, 1):
                for file in owned[box][spot]:
                    tied[box][file.path] = file
                    waiting += spots_of[box, file.path]
        if tied[0]:
            groups.append(([*tied[0].values()], [*tied[1].values()]))
    return groups


def taken_away(image: NamedFile, mask: NamedFile, level: Level) -> tuple[Stripped, Stripped]:
    """What has to be taken from both names until they agree: as few affixes as possible. They must share a stem."""
    of_image, of_mask = image.stems_at(level, "image"), mask.stems_at(level, "mask")
    shared = [stem for stem in of_image if stem in of_mask]
    stem = min(shared, key=lambda stem: (len(of_image[stem].affixes) + len(of_mask[stem].affixes), stem))
    return of_image[stem], of_mask[stem]
