"""Settles pictures that have several kinds of mask: one kind for the whole set, or a question for a person."""

from collections.abc import Sequence

from unetlab.data.names.file_names import fold
from unetlab.data.names.mask_kinds import (
    Candidate,
    Family,
    Namer,
    affix_of,
    by_affix,
    choose,
    find_namer,
    is_told_apart,
    list_kinds,
)
from unetlab.data.names.matches import MaskKind
from unetlab.data.names.matching import Found, Matcher

MAX_KINDS = 12  # more are no kinds, but names that happen to differ


def settle_kinds(
    matcher: Matcher, wanted: str | None, listed: Sequence[MaskKind] = ()
) -> tuple[list[MaskKind], str | None]:
    """Pairs each picture that has several masks with the one of the chosen kind; the kinds, and which is chosen.

    Without a choice the pictures concerned become ambiguous. Masks of other kinds become `other_masks`. listed:
    all kinds of a heap, those of its pictures too, where `heap_kinds` named them.
    """
    namer = by_affix if listed else find_namer(matcher.families)
    told = [family for family in matcher.families if namer and is_told_apart(family, namer)]
    candidates = [candidate for family in told for candidate in family.candidates]
    if not namer or len(list_kinds(candidates, namer)) > MAX_KINDS:
        _ask(matcher, matcher.families)
        return [], None
    names = {fold(namer(candidate)) for candidate in candidates}
    singles = [single for single in _singles(matcher.found) if fold(namer(single[1])) in names]
    kinds = list_kinds([*candidates, *(candidate for _, candidate in singles)], namer)
    chosen = choose(kinds, wanted)
    if chosen is None:
        _ask(matcher, matcher.families)
        return kinds, None
    _ask(matcher, [family for family in matcher.families if not is_told_apart(family, namer)])
    unwanted = [pair for pair, candidate in singles if fold(namer(candidate)) != fold(chosen)]
    matcher.release(unwanted)
    matcher.other_masks += [mask for pair in unwanted for mask in pair.masks]
    for family in told:
        _take(matcher, family, namer, chosen)
    return [*listed] if len(kinds) == 1 else kinds, chosen


def _singles(found: Sequence[Found]) -> list[tuple[Found, Candidate]]:
    """Pairs that names alone made, where the picture has no second mask: they must be of the chosen kind, too."""
    return [
        (pair, Candidate(pair.masks[0], affix_of(pair.image, pair.masks[0], pair.level), pair.how))
        for pair in found
        if pair.level and len(pair.masks) == 1
    ]


def _ask(matcher: Matcher, families: Sequence[Family]) -> None:
    matcher.ambiguous += [([family.image], [candidate.mask for candidate in family.candidates]) for family in families]


def _take(matcher: Matcher, family: Family, namer: Namer, chosen: str) -> None:
    for candidate in family.candidates:
        if fold(namer(candidate)) == fold(chosen):
            matcher.found.append(Found(family.image, [candidate.mask], candidate.how))
        else:
            matcher.other_masks.append(candidate.mask)
