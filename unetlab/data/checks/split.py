"""Which pairs train and which validate: decided once, by name, and then kept."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from unetlab.data.names.file_names import Split
from unetlab.errors import DataError


def assign(
    names: Sequence[str],
    *,
    valid_fraction: float,
    seed: int = 0,
    given: Sequence[Split | None] | None = None,
    existing: Mapping[str, Split] | None = None,
    groups: Mapping[str, str] | None = None,
) -> list[Split]:
    """The split of each name, in their order; at least one for training and one for validation.

    given: what the folders say (train, valid, test); kept. When they name training pictures but none for
    validation, training pictures give up some. Without any folders all names are divided. Names without a
    folder among given validation pictures train; test exists only when given.
    existing: splits stored earlier; they never move, so files added later leave them as they are.
    groups: names of one group (a film, a stack) stand on one side, and a new name joins the stored or given
    ones of its group. Names without a group stand alone. A single group that holds every name is divided.

    What is new goes to validation by a hash of (seed, group or name), lowest first, as long as that brings
    validation nearer to `valid_fraction` of training and validation together. Only where a side would be empty
    and nothing new is there does a stored name move. Raises DataError for fewer than two names to divide and
    for a fraction outside 0..1.
    """
    if not 0 < valid_fraction < 1:
        raise DataError(
            f"valid_fraction is {valid_fraction}; it is a share between 0 and 1. Use 0.2 for one picture in five."
        )
    existing, groups = existing or {}, groups or {}
    given = given or [None] * len(names)
    has_given_valid = "valid" in given
    splits: dict[str, Split] = {}
    new: dict[str, list[str]] = defaultdict(list)  # by group
    for name, given_split in zip(names, given, strict=True):
        if name in existing:
            splits[name] = existing[name]
        elif given_split in ("valid", "test"):
            splits[name] = given_split
        elif has_given_valid and given_split == "train":
            splits[name] = "train"
        else:
            new[groups.get(name, name)].append(name)
    sides = _sides(splits, groups)
    for group in list(new):
        if group in sides or has_given_valid:
            splits |= dict.fromkeys(new.pop(group), sides.get(group, "train"))
    num_divided = sum(split != "test" for split in splits.values()) + sum(map(len, new.values()))
    if num_divided < 2:
        raise DataError(
            f"{num_divided} pair is left to train and validate on besides the test pictures; at least 2 are needed."
        )
    if len(new) == 1 and not {"train", "valid"} & set(splits.values()):
        new = {name: [name] for members in new.values() for name in members}
    _divide(new, splits, wanted=min(max(1, round(valid_fraction * num_divided)), num_divided - 1), seed=seed)
    _fill_empty_side(splits, existing, seed)
    return [splits[name] for name in names]


def to_keep(given: Sequence[Split | None]) -> list[Split | None]:
    """The splits that folders or lists give, as far as they can be kept.

    Where there are only validation pictures (one part of a large set was downloaded), they are divided anew.
    """
    if "train" in given or None in given:
        return list(given)
    return [None if side == "valid" else side for side in given]


def share_in_words(splits: Sequence[Split], wanted: float, *, is_grouped: bool) -> str:
    """How many pictures validate: "20% for validation", and why it is not the share that was chosen, where it is not.

    is_grouped: neighbouring frames are on one side.
    """
    counts = Counter(splits)
    total = max(counts["train"] + counts["valid"], 1)
    share, chosen = f"{counts['valid'] / total:.0%}", f"{wanted:.0%}"
    if counts["valid"] != max(round(wanted * total), 1):
        why = "neighbouring frames stay together" if is_grouped else "pictures keep their side when others come or go"
        return f"{share} for validation ({chosen} were chosen; {why})"
    return f"{share} for validation" + ("" if share == chosen else f" (the nearest to {chosen} of {total} pictures)")


def _sides(splits: Mapping[str, Split], groups: Mapping[str, str]) -> dict[str, Split]:
    """The side of each group that has settled names: that of most of them."""
    counts: dict[str, Counter[Split]] = defaultdict(Counter)
    for name, split in splits.items():
        if name in groups:
            counts[groups[name]][split] += 1
    return {group: max(sorted(count), key=count.__getitem__) for group, count in counts.items()}


def _divide(new: Mapping[str, list[str]], splits: dict[str, Split], *, wanted: int, seed: int) -> None:
    """Gives each group a side, so that validation comes near `wanted` names; both sides get one where possible."""
    num_valid = sum(split == "valid" for split in splits.values())
    num_train = sum(split == "train" for split in splits.values()) + sum(map(len, new.values()))
    ranked = sorted(new, key=lambda group: _rank(group, seed))
    chosen: set[str] = set()
    for group in ranked:
        size = len(new[group])
        if size < num_train and abs(num_valid + size - wanted) < abs(num_valid - wanted):
            chosen.add(group)
            num_valid, num_train = num_valid + size, num_train - size
    if ranked and not num_valid:  # even the smallest group is more than twice what was wanted
        chosen.add(min(ranked, key=lambda group: len(new[group])))
    for group, members in new.items():
        splits |= dict.fromkeys(members, "valid" if group in chosen else "train")


def _fill_empty_side(splits: dict[str, Split], existing: Mapping[str, Split], seed: int) -> None:
    """One name crosses to a side that has none: only validation folders were given, or stored pictures were lost."""
    sides: list[tuple[Split, Split]] = [("train", "valid"), ("valid", "train")]
    for empty, full in sides:
        if empty not in splits.values():
            movable = [name for name, split in splits.items() if split == full]
            movable = [name for name in movable if name not in existing] or movable
            splits[max(movable, key=lambda name: _rank(name, seed))] = empty


def _rank(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
