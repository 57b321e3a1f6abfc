"""What the audit says about the split: copies and neighbours on both sides, too few pictures to be sure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

from unetlab.data.checks import lookalikes
from unetlab.data.checks.findings import MIN_PAIRS, Material, counted
from unetlab.data.checks.sequences import looks_consecutive, neighbours
from unetlab.data.manifest import Finding, Fix
from unetlab.data.names.name_words import SPLIT_WORDS, Split

FEW_PAIRS = 10
MAX_COUPLES = 12  # of neighbours, shown as examples
# Measured: neighbouring slices of ISBI 0.5, CamVid frames three seconds apart 0.2, numbered photographs of
# CrackForest 0.02, made textures within 0.02 of 0 (`lookalikes.neighbour_likeness`).
NEIGHBOURS_ALIKE = 0.12
KEEP_FIRST: dict[Split, int] = {"train": 0, "test": 1, "valid": 2}  # of copies on two sides, which one stays
LEAK = "Scores will look better than on new pictures: training saw nearly the same ones."


def about_split(material: Material) -> list[Finding]:
    """Findings about numbers, copies and neighbours; empty when there is nothing to say."""
    sequence = _sequence(material)
    found = [
        _few(material),
        _given(material),
        _duplicates(material),
        _contradicting(material),
        _near_duplicates(material) if sequence is None or sequence.severity == "info" else None,  # else one cause
        sequence,
    ]
    return [finding for finding in found if finding]


def too_few(material: Material) -> Finding | None:
    """The error that there are not two pairs to split; None when there are."""
    usable = len(material.places("train", "valid"))
    if usable >= MIN_PAIRS:
        return None
    beside = " besides the test pictures" if len(material.pairs) > usable else ""
    found = "There is one usable pair" if usable else "There is no usable pair"
    return Finding(
        code="too-few",
        severity="error",
        message=f"{found} of picture and mask{beside}.",
        effect="At least 2 are needed, one to train on and one to validate.",
        advice="Add more pairs.",
        files=material.files(material.places("train", "valid")),
    )


def _few(material: Material) -> Finding | None:
    count = len(material.pairs)
    if count >= FEW_PAIRS:
        return None
    num_valid = len(material.places("valid"))
    return Finding(
        code="few-pairs",
        severity="info",
        message=f"{count} pairs are few, and scores come from {counted(num_valid, 'validation picture')}.",
        effect="Scores will be uncertain: another split or seed may give quite different ones.",
        advice="Train with several seeds before you trust a difference, or add pairs.",
    )


def _given(material: Material) -> Finding | None:
    if not material.is_given_split:
        return None
    counts = [f"{len(material.places(side))} {word}" for side, word in SPLIT_WORDS.items() if material.places(side)]
    return Finding(
        code="given-split",
        severity="info",
        message=f"The split that folders or lists give is kept: {', '.join(counts)} pictures.",
    )


def _duplicates(material: Material) -> Finding | None:
    same = [
        places
        for pictures in _equal(material, range(len(material.pairs)), "image")
        for places in _equal(material, pictures, "mask")
    ]
    if not same:
        return None
    copies = sorted(place for places in same for place in places if place != _first(material, places))
    is_leak = any(_is_across(material, places) for places in same)
    first = material.title(_first(material, same[0]))
    example = next(place for place in same[0] if place != _first(material, same[0]))
    return Finding(
        code="duplicate-images",
        message=f"{counted(len(copies), 'exact copy')} of other pictures, with the same mask: "
        f"{material.title(example)} is the same as {first}.",
        effect=LEAK if is_leak else "A copy counts twice in training or in scores.",
        advice="Leave the copies out.",
        files=material.files(sorted(place for places in same for place in places)),
        fixes=material.without(copies, "Leave out the copies"),
        together=[material.files(sorted(places, key=lambda place: place in copies)) for places in same],
    )


def _contradicting(material: Material) -> Finding | None:
    contradicting = [
        places
        for places in _equal(material, range(len(material.pairs)), "image")
        if len({(material.pairs[place].mask_key, material.pairs[place].mask_page) for place in places}) > 1
    ]
    if not contradicting:
        return None
    count = len(contradicting)
    return Finding(
        code="contradicting-masks",
        message=f"{counted(count, 'picture')} {'occurs' if count == 1 else 'occur'} more than once with different masks"
        f": {material.named(contradicting[0])}.",
        effect="The same pixels are taught as one class and as another."
        + (f" {LEAK}" if any(_is_across(material, places) for places in contradicting) else ""),
        advice="Keep the mask that is right and leave the other pair out.",
        files=material.files([place for places in contradicting for place in places]),
        together=[
            [file for place in places for file in (material.pairs[place].image, material.pairs[place].mask)]
            for places in contradicting
        ],
    )


def _near_duplicates(material: Material) -> Finding | None:
    pairs, matches = material.pairs, _near_matches(material)
    if not matches:
        return None
    originals, copies = (sorted(set(places)) for places in zip(*matches, strict=True))
    most_alike: dict[int, list[int]] = {}  # by copy; matches come in this order
    for match in matches:
        most_alike.setdefault(match[1], match)
    kept, copy = matches[0]
    example = " and ".join(f"{material.title(place)} ({SPLIT_WORDS[pairs[place].split]})" for place in (copy, kept))
    leaving = copies if set(material.places("valid")) - set(copies) else originals  # some must be left to validate
    sides = {pairs[place].split for place in leaving}
    leave_out = f"Leave out the {' and '.join(SPLIT_WORDS[side] for side in SPLIT_WORDS if side in sides)} copies"
    fixes = material.without(leaving, leave_out) if set(material.places("train")) - set(leaving) else []
    has = "has" if len(copies) == 1 else "have"
    return Finding(
        code="leak-across-given-split" if material.is_given_split else "near-duplicates-across-split",
        message=f"{counted(len(copies), 'picture')} {has} a near copy on the other side of the split: {example}.",
        effect=LEAK,
        advice=f"{leave_out}."
        if fixes
        else "Leave out all but one of each group of copies, or add pictures that are no copies.",
        files=material.files(sorted({place for match in matches for place in match})),
        fixes=fixes,
        together=[material.files(match) for match in most_alike.values()],
    )


def _near_matches(material: Material) -> list[list[int]]:
    """Places of near copies on two sides of the split, the most alike first; in each the one that stays comes first."""
    thumbs = [image.thumb for image in material.images]
    splits: list[Split] = [pair.split for pair in material.pairs]
    return [
        sorted(match[:2], key=lambda place: KEEP_FIRST[splits[place]])
        for match in lookalikes.near_duplicates(thumbs, sides=splits)
        if not _equal(material, match[:2], "image")
    ]


def _sequence(material: Material) -> Finding | None:
    if material.is_given_split or material.choices.grouping != "none":
        return None
    names = [pair.name for pair in material.pairs]
    place_of = {name: place for place, name in enumerate(names)}
    following = [(place_of[before], place_of[after]) for before, after in neighbours(names)]
    parted = [couple for couple in following if _is_across(material, couple)]
    if not parted:
        return None
    likeness = lookalikes.neighbour_likeness([image.thumb for image in material.images], following)
    is_alike = likeness > NEIGHBOURS_ALIKE
    told = looks_consecutive(names)
    return Finding(
        code="sequence",
        severity="warning" if is_alike else "info",
        message=f"{told}, and neighbours look alike, as frames of a film or slices of a stack do: "
        f"{counted(len(parted), 'time')} one of them trains and the next one validates."
        if is_alike
        else f"{told}. If they are frames of a film or slices of a stack, neighbours are on both sides of the split.",
        effect=LEAK if is_alike else f"If so: {LEAK[0].lower()}{LEAK[1:]}",
        advice="Keep neighbours on one side of the split.",
        files=material.files(sorted({place for couple in parted for place in couple})),
        together=[material.files(couple) for couple in [*_near_matches(material), *parted][:MAX_COUPLES]]
        if is_alike
        else [],
        fixes=[Fix(label="Keep neighbours together", change={"grouping": "sequence"})],
    )


def _equal(material: Material, places: Iterable[int], part: Literal["image", "mask"]) -> list[list[int]]:
    """Places whose picture (or mask) is the same, in groups of two or more. Constant pictures do not count."""
    same: dict[tuple[str, int], list[int]] = defaultdict(list)
    for place in places:
        pair = material.pairs[place]
        # The page is part of the key: a file's key may name the whole file.
        key = (pair.image_key, pair.page) if part == "image" else (pair.mask_key, pair.mask_page)
        if key[0] and place not in material.constant:
            same[key].append(place)
    return [equal for equal in same.values() if len(equal) > 1]


def _first(material: Material, places: Sequence[int]) -> int:
    """Which of several copies stays."""
    return min(places, key=lambda place: (KEEP_FIRST[material.pairs[place].split], place))


def _is_across(material: Material, places: Sequence[int]) -> bool:
    return len({material.pairs[place].split for place in places}) > 1
