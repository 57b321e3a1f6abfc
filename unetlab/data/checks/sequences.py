"""Numbered pictures: frames of a film and slices of a stack, told from their names alone."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from unetlab.data.names.file_names import fold

MIN_RUN = 4  # fewer numbered pictures say nothing
MIN_BLOCK = 4  # neighbours at the ends of a block stay parted from those in the next one: blocks must not be tiny
BLOCKS = 10  # a block holds about a tenth of all pictures, so that any usual share can be met
MIN_EVEN = 0.8  # this share of steps must lie within half and twice the usual one: CamVid cuts a frame every 90 or 120


class Run(NamedTuple):
    """Names that differ in one number only, which grows in nearly even steps; in the order of that number."""

    names: list[str]
    numbers: list[int]


def group_by_sequence(names: Sequence[str]) -> dict[str, str]:
    """The group of each numbered name, "FIRST to LAST": blocks of neighbours that belong on one side of a split.

    A film or stack is cut into nearly equal blocks of about a tenth of all names, and of at least MIN_BLOCK
    unless that would leave one group only. Names outside any run are not in it. Empty when fewer than half of the names
    are numbered in nearly even steps. The order of names does not matter.
    """
    runs = _runs(names)
    if 2 * sum(len(run.names) for run in runs) < len(set(names)):
        return {}
    size = max(MIN_BLOCK, -(-len(set(names)) // BLOCKS))
    groups = {}
    for run in runs:
        num_blocks = max(len(run.names) // size, 2 if len(runs) == 1 else 1)
        for block in range(num_blocks):
            start, end = (len(run.names) * place // num_blocks for place in (block, block + 1))
            members = run.names[start:end]
            groups |= dict.fromkeys(members, f"{members[0]} to {members[-1]}")
    return groups


def looks_consecutive(names: Sequence[str]) -> str:
    """A part of a sentence such as "30 pictures numbered 0 to 29"; empty when the names do not look it."""
    runs = _runs(names)
    num_pictures = sum(len(run.names) for run in runs)
    if 2 * num_pictures < len(set(names)) or not runs:
        return ""
    if len(runs) == 1:
        return f"{num_pictures} pictures numbered {runs[0].numbers[0]} to {runs[0].numbers[-1]}"
    return f"{num_pictures} pictures numbered in {len(runs)} series"


def neighbours(names: Sequence[str]) -> list[tuple[str, str]]:
    """Names that follow one another in a film or stack. Empty when the names do not look consecutive."""
    if not looks_consecutive(names):
        return []
    return [pair for run in _runs(names) for pair in pairwise(run.names)]


def _runs(names: Iterable[str]) -> list[Run]:
    """Every run among the names. The number that counts is a name's last one that other names differ in."""
    templates = {name: _templates(name) for name in sorted(set(names))}
    members = Counter(template for of_name in templates.values() for template, _ in of_name)
    films: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name, of_name in templates.items():
        counting = next(((template, number) for template, number in of_name if members[template] >= MIN_RUN), None)
        if counting:
            films[counting[0]].append((counting[1], name))
    runs = []
    for film in films.values():
        numbers = [number for number, _ in sorted(film)]
        if len(numbers) >= MIN_RUN and _is_even(numbers):
            runs.append(Run([name for _, name in sorted(film)], numbers))
    return runs


def _templates(name: str) -> list[tuple[str, int]]:
    """(the folded name with one number cut out, that number) for each number in it, the last first."""
    folded = fold(name)
    return [
        (f"{folded[: found.start()]}\0{folded[found.end() :]}", int(found[0]))
        for found in reversed(list(re.finditer("[0-9]+", folded)))
    ]


def _is_even(numbers: list[int]) -> bool:
    """True when most steps of the growing numbers are about as long as the usual one; never for equal numbers."""
    steps = [after - before for before, after in pairwise(numbers)]
    usual = sorted(steps)[len(steps) // 2]
    num_even = sum(usual <= 2 * step and step <= 2 * usual for step in steps)
    return usual > 0 and num_even >= MIN_EVEN * len(steps)
