"""Mask values in sentences and in keys."""

import re
from collections.abc import Sequence

from unetlab.data.labels.masks import MAX_VALUES, Part, Survey, label_of

MAX_LISTED = 8  # values named in one sentence
COUNTS = re.compile(r" \([\d,]+ pixels\)| \([\d.]+ % of the pixels\)|(?<=the )[\d,]+ (?=pixels of )")


def joined(values: Sequence[int], part: Part) -> str:
    """Values in a sentence: `0, 3 and 255`, at most MAX_LISTED of them by name."""
    labels = [label_of(value, part) for value in values[:MAX_LISTED]]
    if len(values) > MAX_LISTED:
        labels.append(f"{len(values) - MAX_LISTED} more")
    return labels[0] if len(labels) == 1 else ", ".join(labels[:-1]) + " and " + labels[-1]


def values_of(survey: Survey, *, before_list: str = ": ") -> str:
    """What the masks hold, in words: values with pixel share and number of masks, commonest first.

    before_list: stands between the number of values and their list, where they are too many to be classes.
    """
    number = len(survey.pixels)
    parts = [
        f"{label_of(value, survey.part)} ({percent(survey.share(value))}, "
        f"in {survey.files[value]} of {survey.num_masks} masks)"
        for value in survey.common[:MAX_LISTED]
    ]
    more = [f"{number - MAX_LISTED} more"] if number > MAX_LISTED else []
    if number <= MAX_VALUES and not survey.is_capped:
        return f"the {kind_of(survey.part)} " + ", ".join(parts + more)
    how_many = f"more than {number}" if survey.is_capped else str(number)
    return f"{how_many} {kind_of(survey.part)}, too many to be classes{before_list}" + ", ".join(parts + more)


def without_counts(meaning: str) -> str:
    """The words of a reading less its numbers of pixels, which change when pictures come or go."""
    return COUNTS.sub("", meaning)


def percent(share: float) -> str:
    """A share 0..1 as people read it, with two digits where it is small."""
    return f"{100 * share:.1f} %" if share >= 0.001 else f"{100 * share:.2g} %"


def kind_of(part: Part) -> str:
    """What mask values are called in a sentence."""
    return "colours" if part == "colour" else "values"


def key_of(value: int, part: Part) -> str:
    """A value as it stands in a key: `255` or `ff0000`."""
    return label_of(value, part).removeprefix("#")
