"""Several masks for a picture, told apart by words we do not know: IDRiD's `x.jpg` has `x_MA`, `x_HE` and `x_EX`."""

import re
from collections import Counter, defaultdict

from unetlab.data.names.file_names import bare_stem, fold
from unetlab.data.names.mask_kinds import Candidate, Family
from unetlab.data.names.matching import MIN_PAIRS, Matcher
from unetlab.data.names.named_files import NamedFile


def match_by_unknown_words(matcher: Matcher) -> None:
    """Where no other rule found anything: masks called like one picture and a word behind it, in any folder.

    Only where there are several such words, and each comes with several pictures.
    """
    if not matcher.has_nothing:
        return
    images: dict[str, list[NamedFile]] = defaultdict(list)
    for image in matcher.images_left.values():
        images[image.stem].append(image)
    found: list[tuple[NamedFile, NamedFile, str]] = []
    for mask in matcher.masks_left.values():
        stem, word = _without_last_word(mask)
        if word and len(images.get(stem, [])) == 1 and matcher.may_join(images[stem][0], mask):
            found.append((images[stem][0], mask, word))
    times = Counter(fold(word) for _, _, word in found)
    is_once = len({(image, fold(word)) for image, _, word in found}) == len(found)
    if len(times) < 2 or min(times.values()) < MIN_PAIRS or not is_once:
        return
    families: dict[NamedFile, list[Candidate]] = defaultdict(list)
    for image, mask, word in found:
        families[image].append(Candidate(mask, word, f"same name before '{word}'"))
    for image, candidates in families.items():
        matcher.set_aside(Family(image, tuple(candidates)))


def _without_last_word(mask: NamedFile) -> tuple[str, str]:
    """`x_MA` gives x and MA, the word as written; a name without such a word gives no word."""
    match = re.fullmatch(r"(.+)[_\-. ]([^\W0-9_]+)", bare_stem(mask.path))
    return (fold(match[1]), match[2]) if match else (mask.stem, "")
