"""Likely pairs among the files that found no partner: suggestions for a person to accept, never taken."""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from unetlab.data.names.file_names import numbers_of
from unetlab.data.names.matches import NearMiss
from unetlab.data.names.named_files import NamedFile

MAX_NEAR_MISSES = 200
LETTERS_PER_TYPO = 4  # at most one differing letter for so many letters and digits
MAX_TYPOS = 2
MIN_TRUNCATED = 8  # letters that a name cut short must still have ...
MIN_TRUNCATED_SHARE = 0.5  # ... and the share of the longer name

_Suggestion = tuple[float, str]  # rank, the best first; why


def find_near_misses(
    images: Sequence[NamedFile], masks: Sequence[NamedFile], apart: Collection[tuple[str, str]] = ()
) -> list[NearMiss]:
    """At most one suggestion for each file, the likeliest first, only where both are each other's best.

    Names that differ in digits alone are different pictures and never suggested. apart: pairs a person parted.
    """
    suggestions: dict[tuple[int, int], _Suggestion] = {}
    for image, mask, suggestion in _candidates([_core(file) for file in images], [_core(file) for file in masks]):
        if (images[image].path, masks[mask].path) not in apart:
            suggestions[image, mask] = min(suggestion, suggestions.get((image, mask), suggestion))
    best = [_best(suggestions, side) for side in (0, 1)]
    mutual = sorted(
        (suggestion, image, mask)
        for (image, mask), suggestion in suggestions.items()
        if best[0].get(image) == best[1].get(mask) == (image, mask)
    )
    return [NearMiss(images[image].path, masks[mask].path, why) for (_, why), image, mask in mutual[:MAX_NEAR_MISSES]]


def _best(suggestions: dict[tuple[int, int], _Suggestion], side: int) -> dict[int, tuple[int, int]]:
    """The best partner of each file of one side; files with two equally good ones are left out."""
    ranked: dict[int, list[tuple[float, tuple[int, int]]]] = defaultdict(list)
    for pair, (rank, _) in suggestions.items():
        ranked[pair[side]].append((rank, pair))
    best = {}
    for file, options in ranked.items():
        options.sort()
        if len(options) == 1 or options[0][0] < options[1][0]:
            best[file] = options[0][1]
    return best


def _core(file: NamedFile) -> str:
    """The name without the words that only say picture or mask, as short as it gets."""
    return min(file.loose, key=lambda stem: (len(stem) if stem else 10**6, stem))


def _candidates(images: Sequence[str], masks: Sequence[str]) -> Iterator[tuple[int, int, _Suggestion]]:
    for find in (_same_name, _typos, _cut_short, _same_number):
        yield from find(images, masks)


def _by(keys: Sequence[object]) -> dict[object, list[int]]:
    places: dict[object, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    return places


def _alone_on_both_sides(images: Sequence[object], masks: Sequence[object]) -> Iterator[tuple[int, int, object]]:
    image_places, mask_places = _by(images), _by(masks)
    for key in image_places.keys() & mask_places.keys():
        if key and len(image_places[key]) == len(mask_places[key]) == 1:
            yield image_places[key][0], mask_places[key][0], key


def _same_name(images: Sequence[str], masks: Sequence[str]) -> Iterator[tuple[int, int, _Suggestion]]:
    for image, mask, _ in _alone_on_both_sides(images, masks):
        yield image, mask, (0.0, "same name, but folders or other words differ")


def _same_number(images: Sequence[str], masks: Sequence[str]) -> Iterator[tuple[int, int, _Suggestion]]:
    for image, mask, numbers in _alone_on_both_sides([*map(numbers_of, images)], [*map(numbers_of, masks)]):
        assert isinstance(numbers, tuple)
        if _is_lettered(images[image], masks[mask]):
            continue
        word = "same number" if len(numbers) == 1 else "same numbers"
        yield image, mask, (3.0, f"{word} {', '.join(map(str, numbers))}")


def _typos(images: Sequence[str], masks: Sequence[str]) -> Iterator[tuple[int, int, _Suggestion]]:
    """Names that become equal when one letter is dropped from either, with the same numbers; looked up by both."""
    places: dict[tuple[tuple[int, ...], str], set[int]] = defaultdict(set)
    for place, mask in enumerate(masks):
        numbers = numbers_of(mask)
        for shorter in _one_dropped(mask):
            places[numbers, shorter].add(place)
    seen = set()
    for image, name in enumerate(images):
        numbers = numbers_of(name)
        for shorter in _one_dropped(name):
            for mask in places.get((numbers, shorter), ()):
                if (image, mask) in seen:
                    continue
                seen.add((image, mask))
                count = num_typos(name, masks[mask])
                most_typos = min(MAX_TYPOS, min(len(name), len(masks[mask])) // LETTERS_PER_TYPO)
                if 0 < count <= most_typos and not _is_lettered(name, masks[mask]):
                    why = "one letter differs" if count == 1 else f"{count} letters differ"
                    yield image, mask, (1.0 + count / 10, why)


def _one_dropped(name: str) -> set[str]:
    return {name, *(name[:place] + name[place + 1 :] for place in range(len(name)))}


def _is_lettered(one: str, other: str) -> bool:
    """True when a word of one letter differs: a_1 and b_1 are as different as 1 and 2."""
    words, other_words = one.split("_"), other.split("_")
    differing = [word for pair in zip(words, other_words, strict=False) if pair[0] != pair[1] for word in pair]
    return len(words) == len(other_words) and any(len(word) == 1 and word.isalpha() for word in differing)


def num_typos(one: str, other: str) -> int:
    """Letters to insert, drop, replace or swap with their neighbour until two names agree (Damerau 1964)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, other_letter in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other_letter))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == other_letter:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]


def _cut_short(images: Sequence[str], masks: Sequence[str]) -> Iterator[tuple[int, int, _Suggestion]]:
    for pairs in (_starts(images, masks), ((image, mask) for mask, image in _starts(masks, images))):
        for image, mask in pairs:
            yield image, mask, (2.0, "one name is the beginning of the other")


def _starts(short: Sequence[str], long: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Places of names and of the one longer name that begins with each; 1 is no beginning of 11."""
    ordered = sorted((name, place) for place, name in enumerate(long))
    for place, name in enumerate(short):
        if len(name) < MIN_TRUNCATED:
            continue
        first = bisect_left(ordered, (name, -1))
        found = [entry for entry in ordered[first : first + 2] if entry[0].startswith(name) and entry[0] != name]
        if len(found) == 1 and len(name) >= MIN_TRUNCATED_SHARE * len(found[0][0]):
            rest = found[0][0][len(name) :]
            if re.search(r"[^\W0-9_]", rest) and not (name[-1].isdecimal() and rest[0].isdecimal()):
                yield place, found[0][1]
