"""Masks whose values stand for others: a class has one number in one folder and another one in the next.

`renumbered` says which value of a mask stands for which value of the set; every other value stands for itself. The
pixels stay as they are: their reading is turned round, and what was measured of them is counted under the other values.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from unetlab.data.labels.masks import Group, Reading
from unetlab.data.labels.surveys import Part, counts_of
from unetlab.data.readers.facts import MaskFacts

PARTS: tuple[Part, ...] = ("value", "colour", "grey")  # alpha has no names


def reading_of(reading: Reading, renumbered: Mapping[int, int]) -> Reading:
    """The reading of a set (no threshold) as it is to be applied to the pixels of a renumbered mask."""
    if not renumbered:
        return reading

    def own(values: Sequence[int]) -> list[int]:
        kept = [value for value in values if value not in renumbered]
        return [*kept, *(value for value, meant in renumbered.items() if meant in values)]

    def own_group(group: Group) -> Group:
        return Group(name=group.name, values=own(group.values))

    return reading.model_copy(
        update={
            "groups": [own_group(group) for group in reading.groups],
            "ignored": own_group(reading.ignored) if reading.ignored else None,
            "strays": own(reading.strays),
        }
    )


def facts_of(facts: MaskFacts, renumbered: Mapping[int, int], part: Part) -> MaskFacts:
    """The facts of a mask as if its pixels held the values of the set; `part`: what `renumbered` speaks of."""
    if not renumbered:
        return facts
    values: Counter[int] = Counter()
    for value, count in counts_of(facts, part).items():
        values[renumbered.get(value, value)] += count
    changed = {"values": dict(values), "mode": "colour" if part == "colour" else "grey", "palette": {}}
    is_complete = facts.num_values == len(facts.values)
    return facts.model_copy(update=changed | ({"num_values": len(values)} if is_complete else {}))
