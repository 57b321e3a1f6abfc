"""Pairs by what all names of one side have in common: `scan_007` and `ann_007`, `0001_rgb_v2` and `0001_annot`."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from unetlab.data.names.file_names import numbers_of, tokens_of
from unetlab.data.names.matching import ELSEWHERE, MIN_PAIRS, Matcher
from unetlab.data.names.named_files import NamedFile

MOST = 0.9  # of the names of a side share its beginning, or all but one: strays must not hide the rule
FEWEST = 0.5  # of the smaller side find a partner, or the rule fits by chance

_Scope = tuple[list[NamedFile], list[NamedFile], str]  # pictures, masks, words that say where


def match_by_common_parts(matcher: Matcher) -> None:
    """Pairs files of one folder, then of all folders, by what is left of their names, then by their first part."""
    for rule in (_without_common_parts, _by_first_part):
        if matcher.is_done:
            return
        for images, masks, where in _scopes(matcher):
            pairs = [(image, mask, how) for image, mask, how in rule(images, masks) if matcher.may_join(image, mask)]
            num_open = min(
                sum(file.path in matcher.images_left for file in images),
                sum(file.path in matcher.masks_left for file in masks),
            )
            if len(pairs) >= max(MIN_PAIRS, FEWEST * num_open):
                for image, mask, how in pairs:
                    matcher.take(image, [mask], how + where)


def _scopes(matcher: Matcher) -> Iterator[_Scope]:
    images: dict[tuple[str, ...], list[NamedFile]] = defaultdict(list)
    masks: dict[tuple[str, ...], list[NamedFile]] = defaultdict(list)
    for image in matcher.images:
        images[image.key].append(image)
    for mask in matcher.masks:
        masks[mask.key].append(mask)
    for key in sorted(images.keys() & masks.keys()):
        yield images[key], masks[key], ""
    is_without_splits = not any(file.split for file in [*matcher.images, *matcher.masks])
    if is_without_splits and (len(images) > 1 or len(masks) > 1 or images.keys() != masks.keys()):
        yield matcher.images, matcher.masks, ELSEWHERE


def _without_common_parts(
    images: Sequence[NamedFile], masks: Sequence[NamedFile]
) -> Iterator[tuple[NamedFile, NamedFile, str]]:
    ends = [common_ends([file.stem for file in box]) for box in (images, masks)]
    (image_prefix, image_suffix), (mask_prefix, mask_suffix) = ends
    numbers = numbers_of(image_prefix), numbers_of(mask_prefix)
    if ends[0] == ends[1] or (all(numbers) and numbers[0] != numbers[1]):  # slide_1_004 is not slide_2_004
        return
    how = _how((image_prefix, mask_prefix), (image_suffix, mask_suffix))
    rests = [_rests(images, *ends[0]), _rests(masks, *ends[1])]
    for rest, image_files in rests[0].items():
        mask_files = rests[1].get(rest, [])
        if len(image_files) == len(mask_files) == 1:
            yield image_files[0], mask_files[0], how


def _how(prefixes: tuple[str, str], suffixes: tuple[str, str]) -> str:
    words = []
    for place, (of_image, of_mask) in (("after", prefixes), ("before", suffixes)):
        if of_image != of_mask:
            named = [f"'{end}'" for end in (of_image, of_mask) if end]
            words.append(f"{place} {' and '.join(named)}")
    return "same name " + " and ".join(words)


def _rests(files: Sequence[NamedFile], prefix: str, suffix: str) -> dict[str, list[NamedFile]]:
    rests: dict[str, list[NamedFile]] = defaultdict(list)
    for file in files:
        is_long_enough = len(file.stem) > len(prefix) + len(suffix)
        if is_long_enough and file.stem.startswith(prefix) and file.stem.endswith(suffix):
            rests[file.stem.removeprefix(prefix).removesuffix(suffix)].append(file)
    return rests


def common_ends(stems: Sequence[str]) -> tuple[str, str]:
    """The beginning and the end that nearly all names share, in whole words and numbers, so that 1 is never 11."""
    if len(stems) < MIN_PAIRS:
        return "", ""
    prefix = _common_start([tokens_of(stem) for stem in stems])
    inner = [tokens_of(stem)[len(prefix) :] for stem in stems if tokens_of(stem)[: len(prefix)] == prefix]
    suffix = _common_start([tokens[::-1] for tokens in inner])[::-1]
    return "".join(prefix), "".join(suffix)


def _common_start(names: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The first tokens of all names; few strays may differ from the very first on."""
    needed = max(MIN_PAIRS, min(MOST * len(names), len(names) - 1))
    start: tuple[str, ...] = ()
    while True:
        depth = len(start)
        following = Counter(tokens[depth] for tokens in names if len(tokens) > depth + 1)
        token, count = following.most_common(1)[0] if following else ("", 0)
        if count < needed:
            return start
        start = (*start, token)
        names = [tokens for tokens in names if len(tokens) > depth and tokens[depth] == token]
        needed = max(MIN_PAIRS, len(names))


def _by_first_part(
    images: Sequence[NamedFile], masks: Sequence[NamedFile]
) -> Iterator[tuple[NamedFile, NamedFile, str]]:
    """0001_rgb and 0001_annot_final, where no other file begins with 0001 and the rests number nothing."""
    parts = [[_first_part(file.stem) for file in box] for box in (images, masks)]
    counts = [Counter(first for first, _ in box) for box in parts]
    # Numbers behind the first part may tell files apart, unless all files of a side have the same.
    is_constant = any(len({numbers_of(rest) for _, rest in box}) == 1 for box in parts)
    places = {first: place for place, (first, _) in enumerate(parts[1])}
    for image, (first, rest) in zip(images, parts[0], strict=True):
        if first and counts[0][first] == counts[1][first] == 1:
            mask, mask_rest = masks[places[first]], parts[1][places[first]][1]
            if is_constant or not (numbers_of(rest) and numbers_of(mask_rest)):
                yield image, mask, f"same first part '{first}'"


def _first_part(stem: str) -> tuple[str, str]:
    tokens = tokens_of(stem)
    end = next((place for place, token in enumerate(tokens) if place and not token[0].isalnum()), len(tokens))
    return "".join(tokens[:end]), "".join(tokens[end:])
