"""Kinds of file in a heap whose names use words we do not know: `0001_rgb_v2` beside `0001_annot_final`.

Each name is cut in a key and a rest. Two rests that come with the same keys are two kinds of file.
"""

import itertools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from unetlab.data.names.file_names import (
    bare_stem,
    fold,
    folder_words,
    has_image_word,
    has_strong_mask_word,
    natural_key,
)
from unetlab.data.names.mask_kinds import Candidate, Family, Look
from unetlab.data.names.matches import MaskKind
from unetlab.data.names.matching import MIN_PAIRS
from unetlab.data.names.name_words import SPLIT_FOLDERS
from unetlab.data.names.named_files import NamedFile, Tie

MAX_PARTS = 7  # longer names are cut at their ends only
MAX_KINDS = 6
MAX_ASKED = 3  # kinds of which none is known by its words or its format
MAX_TRIED = 50  # rests with most keys
SHARED_KEYS = 0.8  # of the keys of two kinds are the same; a few files may be missing
SHARED_WITH_BARE = 0.5  # any stray has a bare name, and a picture without a mask, too

_Rest = tuple[str, str]  # what stands before and behind the key
BARE: _Rest = ("", "")
NOTHING_ADDED = "nothing added"  # the name of the kind whose files have bare names
_SEPARATED = re.compile(r"([_\-. /]+)")
_GLUED = re.compile(r"([_\-. /]+|(?<=[0-9])(?=[^\W0-9_])|(?<=[^\W0-9_])(?=[0-9])|(?<=[a-z])(?=[A-Z]))")  # 0a, im0Edge
# task-7-annotation-3-by-1-tag-Cat-0.png, as its brush export has them.
_LABEL_STUDIO = re.compile(r"task-[0-9]+-annotation-[0-9]+-by-[0-9]+-tag-")
_Members = dict[str, NamedFile]  # by key


@dataclass(frozen=True)
class HeapKinds:
    """All kinds of a heap. Where it is clear which are the pictures: families; else all files are ambiguous.

    others: files of kinds that are neither the pictures nor can be the masks.
    """

    kinds: list[MaskKind]
    images: list[NamedFile]
    masks: list[NamedFile]
    families: list[Family]
    ambiguous: list[Tie]
    others: list[NamedFile] = field(default_factory=list)
    picture: str | None = None
    is_seen: bool = False  # the pixels told which kind holds the pictures


def find_kinds(
    files: Sequence[NamedFile],
    wanted: str | None,
    apart: Collection[tuple[str, str]],
    look: Look | None = None,
    *,
    wanted_picture: str | None = None,
) -> HeapKinds:
    """Kinds in a heap where no other rule found a mask. wanted, wanted_picture: what a person calls mask and picture.

    look: asked which kind holds the pictures where no name tells.
    """
    members = _kinds_by_name(files, _SEPARATED) or _kinds_by_ending(files) or _glued_kinds(files, look)
    names = sorted(members, key=natural_key)
    kinds = [MaskKind(name, members[name][min(members[name])].path, len(members[name])) for name in names]
    picture, masks, is_seen = _roles(members, wanted, wanted_picture, look)
    keys = sorted({key for found in members.values() for key in found}, key=natural_key)
    is_all_masks = all(_are_masks(found) or has_strong_mask_word(name) for name, found in members.items())
    if is_all_masks or (picture is None and len(kinds) > MAX_ASKED):  # rather many series than many kinds
        return HeapKinds([], [], [], [], [])
    if picture is None:
        together = [[members[name][key] for name in names if key in members[name]] for key in keys]
        ambiguous = [(alike[:1], alike[1:]) for alike in together if len(alike) > 1]
        return HeapKinds(kinds, list(files), [], [], ambiguous)
    families = []
    for key, image in members[picture].items():
        candidates = [
            Candidate(mask, name, f"same name but for '{picture}' and '{name}'")
            for name in masks
            if (mask := members[name].get(key)) and (image.path, mask.path) not in apart
        ]
        if candidates:
            families.append(Family(image, tuple(candidates)))
    mask_files = [file for name in masks for file in members[name].values()]
    others = [file for name in names if name not in (picture, *masks) for file in members[name].values()]
    taken = {*mask_files, *others}
    images = [file for file in files if file not in taken]
    return HeapKinds(kinds, images, mask_files, families, [], others, picture, is_seen)


def _roles(
    kinds: dict[str, _Members], wanted: str | None, wanted_picture: str | None, look: Look | None
) -> tuple[str | None, list[str], bool]:
    """The kind that holds the pictures, if that is clear, those that can be masks, and whether the pixels told it.

    A choice of the mask that leaves no kind for the pictures, or several, counts as not made.
    """
    chosen = [name for name in kinds if wanted is not None and fold(name) == fold(wanted)]
    sure = [name for name in kinds if _are_masks(kinds[name])]
    masks = chosen or [name for name in kinds if name in sure or has_strong_mask_word(name)]
    others = [name for name in kinds if name not in masks and name not in sure]
    if chosen and not others:
        return _roles(kinds, None, wanted_picture, look)
    named = [name for name in others if wanted_picture is not None and fold(name) == fold(wanted_picture)]
    with_image_word = [name for name in others if has_image_word(name)]
    photographs = [name for name in others if all(file.is_jpeg for file in kinds[name].values())]
    for certain in (named, others, with_image_word, photographs):
        if len(certain) == 1 and (masks or certain is not others):
            picture = certain[0]
            return picture, masks if masks and not chosen else [name for name in kinds if name != picture], False
    seen = look({name: [file.path for file in kinds[name].values()] for name in kinds}) if look else None
    if seen in others:
        return seen, masks if masks and not chosen else [name for name in kinds if name != seen], True
    return None, [], False


def _are_masks(kind: _Members) -> bool:
    """True when all files of a kind are masks by their folders, or by the name that Label Studio gives to masks."""
    return all(
        file.role == "mask" or _is_in_folder_of_masks(file) or _LABEL_STUDIO.match(file.stem) for file in kind.values()
    )


def _is_in_folder_of_masks(file: NamedFile) -> bool:
    """Of the folders that all files share: `ground_truth` or `mask-anno`; `cell_masks` may be a whole project."""
    shared = file.path.split("/")[: -1 - len(file.folders)]
    return any(
        (words := folder_words(folder)).role == "mask" and (not words.rest or "mask-anno" in fold(folder))
        for folder in shared
    )


def _kinds_by_ending(files: Sequence[NamedFile]) -> dict[str, _Members]:
    """a.tif beside a.png: two kinds, of which no name tells which is the mask."""
    members: dict[str, _Members] = defaultdict(dict)
    for file in files:
        members[PurePosixPath(file.path).suffix.lower()]["/".join((*map(fold, file.folders), file.stem))] = file
    first = max(members.values(), key=len, default={})
    is_usable = 2 <= len(members) <= MAX_ASKED and all(_shares_keys(first, found) for found in members.values())
    return dict(members) if is_usable and sum(map(len, members.values())) == len(files) else {}


def _glued_kinds(files: Sequence[NamedFile], look: Look | None) -> dict[str, _Members]:
    """Kinds without a separator, `0a` beside `0b`: only where the pixels tell one from another.

    Plain pictures are called so as well: a1 and b1, cat1 and dog1.
    """
    found = _kinds_by_name(files, _GLUED) if look else {}
    paths = {name: [file.path for file in members.values()] for name, members in found.items()}
    is_told = look and any(
        look({one: paths[one], other: paths[other]}) for one, other in itertools.combinations(paths, 2)
    )
    return found if is_told else {}


def _kinds_by_name(files: Sequence[NamedFile], between: re.Pattern[str]) -> dict[str, _Members]:
    """between: where a name may be cut."""
    members: dict[_Rest, _Members] = defaultdict(dict)
    doubled: set[_Rest] = set()
    for file in files:
        for rest, key in _cuts(file, between):
            if members[rest].setdefault(key, file) is not file:
                doubled.add(rest)
    _keep_bare_names(members)
    usable = {
        rest: found
        for rest, found in members.items()
        if len(found) >= MIN_PAIRS and rest not in doubled and _can_name_a_kind(rest)
    }
    best: list[_Rest] = []
    best_score = (0, 0)
    for first in sorted(usable, key=lambda rest: (-len(usable[rest]), rest))[:MAX_TRIED]:
        group = [rest for rest in usable if _shares_keys(usable[first], usable[rest], _share(first, rest))]
        paths = [file.path for rest in group for file in usable[rest].values()]
        score = (len(paths), -sum(len("".join(rest)) for rest in group))
        if 2 <= len(group) <= MAX_KINDS and len(paths) == len(set(paths)) and score > best_score:
            best, best_score = group, score
    return {_name(rest): usable[rest] for rest in best}


def _keep_bare_names(members: dict[_Rest, _Members]) -> None:
    """In `a` beside `a_zones` the second is no bare name, though the cut with its whole stem makes it one."""
    bare = members.get(BARE, {})
    longer = {
        file
        for rest, found in members.items()
        if rest != BARE
        for key, file in found.items()
        if bare.get(key, file) is not file
    }
    members[BARE] = {key: file for key, file in bare.items() if file not in longer}


def _cuts(file: NamedFile, between: re.Pattern[str]) -> Iterator[tuple[_Rest, str]]:
    name = "/".join([*file.folders, bare_stem(file.path).removesuffix(".ome")])
    parts = [fold(part) for part in between.split(unicodedata.normalize("NFC", name))]
    last = len(parts)
    for start in range(0, last, 2):
        for end in range(start + 1, last + 1, 2):
            key = "".join(parts[start:end])
            if (last <= 2 * MAX_PARTS or start == 0 or end == last) and key not in parts[:start]:
                yield ("".join(parts[:start]), "".join(parts[end:])), key
                if key in parts[end:]:  # In PH2 the key comes again: im01/im01_lesion/im01_lesion.
                    yield ("".join(parts[:start]), "".join("*" if part == key else part for part in parts[end:])), key
    for depth in range(1, len(file.folders)):  # train/a/1 beside train/b/1
        around = [*file.folders[:depth], "*", *file.folders[depth + 1 :], file.stem]
        yield (f"{fold(file.folders[depth])}/", ""), "/".join(map(fold, around))


def _can_name_a_kind(rest: _Rest) -> bool:
    text = "".join(rest)
    is_split = any(part in SPLIT_FOLDERS for part in re.split(r"[\W_]+", text))
    return not is_split and (not text or re.search(r"[^\W0-9_]", text) is not None)


def _share(one: _Rest, other: _Rest) -> float:
    return SHARED_WITH_BARE if BARE in (one, other) else SHARED_KEYS


def _shares_keys(one: _Members, other: _Members, share: float = SHARED_KEYS) -> bool:
    return len(one.keys() & other.keys()) >= share * max(len(one), len(other))


def _name(rest: _Rest) -> str:
    return " ... ".join(part.strip("_-. /*") for part in rest if part) or NOTHING_ADDED
