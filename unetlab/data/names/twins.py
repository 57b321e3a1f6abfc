"""Pictures and masks of one folder whose names differ by the ending alone: `a.jpg` beside `a.png`."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath

from unetlab.data.names.mask_kinds import Look
from unetlab.data.names.matches import MaskKind
from unetlab.data.names.matching import Found, Matcher


@dataclass(frozen=True)
class Twins:
    """The two kinds, which of them is the mask, and whether the pixels told it."""

    kinds: list[MaskKind]
    picture: MaskKind
    chosen: str
    is_seen: bool


def settle_twins(matcher: Matcher, wanted: str | None, look: Look) -> Twins | None:
    """Makes the masks of all twins those that a person wants or the pixels show, in `matcher.found`.

    None, and nothing changed, where there are no twins of just two endings, or neither person nor pixels say more
    than the names do.
    """
    if matcher.families or matcher.ambiguous or not matcher.found or not all(map(_are_twins, matcher.found)):
        return None
    files: dict[str, list[str]] = defaultdict(list)
    for pair in matcher.found:
        for file in (pair.image, pair.masks[0]):
            files[_ending(file.path)].append(file.path)
    masks = {_ending(pair.masks[0].path) for pair in matcher.found}
    if len(files) != 2 or len(masks) != 1:
        return None
    first, second = sorted(files)
    seen = None if wanted in files else look(files)
    if wanted not in files and seen is None:
        return None
    chosen = wanted if wanted in files else first if seen == second else second
    if chosen not in masks:
        matcher.found = [Found(pair.masks[0], [pair.image], pair.how, pair.level) for pair in matcher.found]
    kinds = {ending: MaskKind(ending, names[0], len(names)) for ending, names in sorted(files.items())}
    return Twins([*kinds.values()], kinds[first if chosen == second else second], str(chosen), seen is not None)


def _are_twins(pair: Found) -> bool:
    paths = [PurePosixPath(file.path) for file in (pair.image, pair.masks[0])]
    is_alone = len(pair.masks) == 1 and pair.level is not None
    return is_alone and paths[0].with_suffix("") == paths[1].with_suffix("") and paths[0].suffix != paths[1].suffix


def _ending(path: str) -> str:
    return PurePosixPath(path).suffix.lower()
