"""Which of several kinds of mask is the one: named by what tells them apart, chosen only where it is well known."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from unetlab.data.names.file_names import bare_stem, fold, natural_key, squeeze
from unetlab.data.names.matches import MaskKind
from unetlab.data.names.name_words import COMPANIONS, OUTRANKED
from unetlab.data.names.named_files import Level, NamedFile, taken_away

DOMINANT = 10  # times as many files of one kind as of any other: the others are leftovers
SAME_NAME = "same name"  # the kind of a mask that is called exactly like its picture


@dataclass(frozen=True, eq=False)
class Candidate:
    """A mask that fits a picture, and what its name has that the picture's lacks."""

    mask: NamedFile
    affix: str  # as the file's name spells it, `gtFine_labelIds`
    how: str  # how the two found each other, should they become a pair


@dataclass(frozen=True, eq=False)
class Family:
    """A picture and every mask that fits it."""

    image: NamedFile
    candidates: tuple[Candidate, ...]


Namer = Callable[[Candidate], str]
# Files by kind -> the kind that holds the pictures by its pixels, None where they do not tell.
Look = Callable[[Mapping[str, Sequence[str]]], str | None]


def by_folder(candidate: Candidate) -> str:
    """The folder that says what the mask is."""
    return candidate.mask.role_folder


def by_affix(candidate: Candidate) -> str:
    """The words that the mask's name adds to the picture's."""
    return candidate.affix or SAME_NAME


def _by_ending(candidate: Candidate) -> str:
    return PurePosixPath(candidate.mask.path).suffix.lower()


def find_namer(families: Sequence[Family]) -> Namer | None:
    """What tells the masks of the most pictures apart: their folders, affixes or endings. None where nothing does."""

    def num_told_apart(namer: Namer) -> int:
        return sum(is_told_apart(family, namer) for family in families)

    best = max((by_folder, by_affix, _by_ending), key=num_told_apart)  # of equals the plainest
    return best if num_told_apart(best) else None


def is_told_apart(family: Family, namer: Namer) -> bool:
    """True when no two masks of the picture are of one kind."""
    return len({fold(namer(candidate)) for candidate in family.candidates}) == len(family.candidates)


def list_kinds(candidates: Sequence[Candidate], namer: Namer) -> list[MaskKind]:
    """The kinds among all candidates, each with its first example and its number of files, in natural order."""
    members: dict[str, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda candidate: natural_key(candidate.mask.path)):
        members.setdefault(fold(namer(candidate)), []).append(candidate)
    kinds = [MaskKind(namer(files[0]), files[0].mask.path, len(files)) for files in members.values()]
    return sorted(kinds, key=lambda kind: natural_key(kind.name))


def choose(kinds: Sequence[MaskKind], wanted: str | None) -> str | None:
    """The wanted kind, else the only one that is no well-known companion of another, else that of nearly all files.

    None: a person must say. A wanted kind that is not among them counts as not chosen.
    """
    for kind in kinds:
        if wanted is not None and fold(kind.name) == fold(wanted):
            return kind.name
    if len(kinds) == 1:
        return kinds[0].name
    left = [kind for kind in kinds if squeeze(kind.name) not in COMPANIONS]
    outranked = {word for kind in left for word in OUTRANKED.get(squeeze(kind.name), ())}
    left = [kind for kind in left if squeeze(kind.name) not in outranked]
    if len(left) < 2:
        return left[0].name if left else None
    most = max(left, key=lambda kind: kind.count)
    is_dominant = all(kind is most or kind.count * DOMINANT <= most.count for kind in left)
    return most.name if is_dominant else None


def affix_of(image: NamedFile, mask: NamedFile, level: Level) -> str:
    """What the mask's name has that the picture's lacks, as written."""
    affixes = taken_away(image, mask, level)[1].affixes
    return "_".join(_as_written(affix, mask.path) for affix in affixes)


def names_by_folder(masks_of: Mapping[str, Sequence[NamedFile]]) -> bool:
    """True when the masks in each picture's folder are called alike in words, as kinds are and objects are not."""
    names = [frozenset(mask.stem for mask in masks) for masks in masks_of.values()]
    shared = frozenset.intersection(*names)
    return len(shared) > 1 and not any(re.search(r"[0-9]", name) for name in shared)


def _as_written(affix: str, path: str) -> str:
    stem = bare_stem(path)
    place = stem.lower().rfind(affix)
    return stem[place : place + len(affix)] if place >= 0 else affix
