"""Which pairs train and which validate: decided once, by name, and then kept."""

import hashlib
from collections.abc import Mapping, Sequence

from unetlab.data.file_names import Split
from unetlab.errors import DataError


def assign(
    names: Sequence[str],
    *,
    valid_fraction: float,
    seed: int = 0,
    given: Sequence[Split | None] | None = None,
    existing: Mapping[str, Split] | None = None,
) -> list[Split]:
    """The split of each name, in their order; at least one for training and one for validation.

    given: what the folders say (train, valid, test); kept. When they name training pictures but none for
    validation, training pictures give up some. Without any folders all names are divided. Names without a
    folder among given validation pictures train; test exists only when given.
    existing: splits stored earlier; they never move, so files added later leave them as they are.

    New names go to validation by a hash of (seed, name), lowest first, until validation holds
    `valid_fraction` of training and validation together. Raises DataError for fewer than two names to divide
    and for a fraction outside 0..1.
    """
    if not 0 < valid_fraction < 1:
        raise DataError(
            f"valid_fraction is {valid_fraction}; it is a share between 0 and 1. Use 0.2 for one picture in five."
        )
    existing = existing or {}
    given = given or [None] * len(names)
    has_given_valid = "valid" in given
    splits: dict[str, Split] = {}
    movable: list[str] = []
    for name, given_split in zip(names, given, strict=True):
        if name in existing:
            splits[name] = existing[name]
        elif given_split in ("valid", "test"):
            splits[name] = given_split
        else:
            splits[name] = "train"
            if not (has_given_valid and given_split == "train"):
                movable.append(name)
    movable.sort(key=lambda name: _rank(name, seed))
    num_divided = sum(split != "test" for split in splits.values())
    if num_divided < 2:
        raise DataError(
            f"{num_divided} pair is left to train and validate on besides the test pictures; at least 2 are needed."
        )
    wanted = 0 if has_given_valid else min(max(1, round(valid_fraction * num_divided)), num_divided - 1)
    missing = wanted - sum(split == "valid" for split in splits.values())
    for name in movable[: max(0, missing)]:
        splits[name] = "valid"
    if "train" not in splits.values():
        # Only validation folders were given, or all training pictures were lost: the last rank moves over.
        free = [name for name in names if splits[name] == "valid" and name not in existing]
        splits[max(free or [name for name in names if splits[name] == "valid"], key=lambda n: _rank(n, seed))] = "train"
    return [splits[name] for name in names]


def _rank(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
