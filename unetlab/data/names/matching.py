"""Finds the mask of each picture, rule by rule, the surest first. What is ambiguous is told, not guessed."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from unetlab.data.names.mask_kinds import Candidate, Family, affix_of
from unetlab.data.names.name_words import SPLIT_FOLDERS
from unetlab.data.names.named_files import Level, NamedFile, Tie, owners, taken_away, ties

MIN_PAIRS = 2  # a rule that could fit by chance must fit at least twice
ELSEWHERE = ", in another folder"


@dataclass(eq=False)
class Found:
    """A pair, or a picture with one mask for each object."""

    image: NamedFile
    masks: list[NamedFile]
    how: str
    level: Level | None = None


@dataclass
class Matcher:
    """Pictures and masks of a drop, what has been found, and what is left. `apart`: pairs never to be made."""

    images: list[NamedFile]
    masks: list[NamedFile]
    apart: frozenset[tuple[str, str]] = frozenset()
    found: list[Found] = field(default_factory=list)
    families: list[Family] = field(default_factory=list)
    ambiguous: list[Tie] = field(default_factory=list)
    other_masks: list[NamedFile] = field(default_factory=list)  # of kinds that were not chosen
    images_left: dict[str, NamedFile] = field(init=False)
    masks_left: dict[str, NamedFile] = field(init=False)

    def __post_init__(self) -> None:
        self.images_left = {file.path: file for file in self.images if not file.is_without_mask}
        self.masks_left = {file.path: file for file in self.masks}

    @property
    def is_done(self) -> bool:
        return not (self.images_left and self.masks_left)

    @property
    def has_nothing(self) -> bool:
        """True when no rule has found anything, not even a question."""
        return not (self.found or self.families or self.ambiguous)

    def may_join(self, image: NamedFile, mask: NamedFile) -> bool:
        """True when both are still free and nobody has said that they are no pair."""
        is_free = image.path in self.images_left and mask.path in self.masks_left
        return is_free and (image.path, mask.path) not in self.apart

    def take(self, image: NamedFile, masks: Sequence[NamedFile], how: str, level: Level | None = None) -> None:
        """Makes a pair; its files are no longer left."""
        del self.images_left[image.path]
        for mask in masks:
            del self.masks_left[mask.path]
        self.found.append(Found(image, list(masks), how, level))

    def release(self, pairs: Sequence[Found]) -> None:
        """Takes pairs apart again; their files are left over."""
        released = set(pairs)
        self.found = [pair for pair in self.found if pair not in released]
        for pair in pairs:
            self.images_left[pair.image.path] = pair.image
            self.masks_left.update({mask.path: mask for mask in pair.masks})

    def set_aside(self, family: Family) -> None:
        """Keeps a picture with several masks, and these, from every later rule."""
        self.families.append(family)
        self.images_left.pop(family.image.path, None)
        for candidate in family.candidates:
            self.masks_left.pop(candidate.mask.path, None)


def match_by_stem(matcher: Matcher) -> None:
    """Pairs files folder by folder, exact stems before shortened ones, then across folders, then by looser names."""
    _match_within(matcher, "exact")
    _match_within(matcher, "affix")
    _add_rivals(matcher)
    _match_across(matcher, "affix")
    _match_without_splits(matcher)
    for level in ("loose", "unpadded", "around"):
        _match_loosely(matcher, level, is_across=False)
        if any(file.key for file in (*matcher.images, *matcher.masks)):
            _match_loosely(matcher, level, is_across=True)


def describe(image: NamedFile, mask: NamedFile, level: Level) -> str:
    """How two files found each other, in plain words."""
    of_image, of_mask = taken_away(image, mask, level)
    affixes = dict.fromkeys([*of_image.affixes, *of_mask.affixes])
    how = "same name" + (" without " + " and ".join(f"'{affix}'" for affix in affixes) if affixes else "")
    return how + {"loose": ", written differently", "unpadded": ", leading zeros aside"}.get(level, "")


def _match_within(matcher: Matcher, level: Level) -> None:
    if matcher.is_done:
        return
    for tie in ties([*matcher.images_left.values()], [*matcher.masks_left.values()], level):
        images, masks = tie
        if len(images) == 1:
            masks = [mask for mask in masks if (images[0].path, mask.path) not in matcher.apart]
        if len(images) == len(masks) == 1:
            if matcher.may_join(images[0], masks[0]):
                matcher.take(images[0], masks, describe(images[0], masks[0], level), level)
        elif masks and level == "affix":
            if len(images) == 1:
                matcher.set_aside(_family(images[0], masks, level))
            else:
                _set_tangle_aside(matcher, (images, masks))


def _set_tangle_aside(matcher: Matcher, tie: Tie) -> None:
    matcher.ambiguous.append(tie)
    for image in tie[0]:
        matcher.images_left.pop(image.path, None)
    for mask in tie[1]:
        matcher.masks_left.pop(mask.path, None)


def _family(image: NamedFile, masks: Iterable[NamedFile], level: Level, where: str = "") -> Family:
    candidates = [Candidate(mask, affix_of(image, mask, level), describe(image, mask, level) + where) for mask in masks]
    return Family(image, tuple(candidates))


def _add_rivals(matcher: Matcher) -> None:
    """`masks/1.png` and `masks/1_color.png` are two kinds of mask, where most pictures that have the one have both."""
    exact = {pair.image.path: pair for pair in matcher.found if pair.level == "exact"}
    if not exact or not matcher.masks_left:
        return
    rivals: dict[str, list[NamedFile]] = defaultdict(list)
    owned = owners([pair.image for pair in exact.values()], "affix", "image")
    for mask in matcher.masks_left.values():
        tied = {image.path for stem in mask.stems for image in owned.get((mask.key, stem), ())}
        if len(tied) == 1 and (path := tied.pop(), mask.path) not in matcher.apart:
            rivals[path].append(mask)
    if len(rivals) < len(exact) / 2:
        return
    matcher.release([exact[path] for path in rivals])
    for path, masks in rivals.items():
        matcher.set_aside(_family(exact[path].image, [*exact[path].masks, *masks], "affix"))


def _match_across(matcher: Matcher, level: Level) -> None:
    """Across folders a name counts only when it is the only one of its kind among all files."""
    if matcher.is_done:
        return
    for images, masks in ties(matcher.images, matcher.masks, level, is_across=True):
        if len(images) > 1:
            continue
        image = images[0]
        # One mask a split is no choice of kinds: the splits hold different pictures of one name.
        free = [mask for mask in masks if matcher.may_join(image, mask) and _splits_agree(image, mask)]
        if len(masks) == 1 and free:
            matcher.take(image, free, describe(image, free[0], level) + ELSEWHERE, level)
        elif len(free) > 1 and len(free) == len(masks) and len({mask.split for mask in free}) == 1:
            matcher.set_aside(_family(image, free, level, ELSEWHERE))


def _match_without_splits(matcher: Matcher) -> None:
    """MVTec's `test/broken/0.png` gets `ground_truth/broken/0_mask.png`: one side has no folders for splits at all."""
    have_splits = [any(file.split for file in box) for box in (matcher.images, matcher.masks)]
    if matcher.is_done or have_splits[0] == have_splits[1]:
        return
    images, masks = ({_without_split(file): file for file in box} for box in (matcher.images, matcher.masks))
    for tie in ties([*images], [*masks], "affix"):
        if len(tie[0]) == len(tie[1]) == 1:
            image, mask = images[tie[0][0]], masks[tie[1][0]]
            if matcher.may_join(image, mask):
                matcher.take(image, [mask], describe(image, mask, "affix") + ELSEWHERE, "affix")


def _without_split(file: NamedFile) -> NamedFile:
    rests = [" ".join(word for word in rest.split(" ") if word not in SPLIT_FOLDERS) for rest in file.key]
    return replace(file, key=tuple(rest for rest in rests if rest))


def _splits_agree(image: NamedFile, mask: NamedFile) -> bool:
    return image.split == mask.split or None in (image.split, mask.split)


def _match_loosely(matcher: Matcher, level: Level, *, is_across: bool) -> None:
    """Pairs that are alone on both sides among all files of their folder, or of the whole drop."""
    if matcher.is_done:
        return
    where = ELSEWHERE if is_across else ""
    pairs = []
    for images, masks in ties(matcher.images, matcher.masks, level, is_across=is_across):
        if len(images) != 1:
            continue
        image = images[0]
        free = [mask for mask in masks if matcher.may_join(image, mask) and _splits_agree(image, mask)]
        if len(free) != len(masks) or not all(_is_loose_pair(image, mask, level) for mask in free):
            continue
        if len(free) == 1:
            pairs.append((image, free[0]))
        elif level == "loose" and not is_across:
            matcher.set_aside(_family(image, free, level, where))
    if level == "unpadded" and len(pairs) < MIN_PAIRS:  # 001 is not 1, unless the whole set is written so
        return
    for image, mask in pairs:
        matcher.take(image, [mask], describe(image, mask, level) + where, level)


def _is_loose_pair(image: NamedFile, mask: NamedFile, level: Level) -> bool:
    """IMG1 is not 1: a word taken from the picture alone proves nothing."""
    if level == "around":
        return True
    of_image, of_mask = taken_away(image, mask, level)
    return bool(of_mask.affixes) or not of_image.affixes
