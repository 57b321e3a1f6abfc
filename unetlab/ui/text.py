"""Text from files and people (names, tags, remarks, reasons, errors) as Markdown that shows it literally."""

import itertools
import re
from collections.abc import Sequence

from unetlab.ui import hosting

# Streamlit reads these in finished text, where a backslash is gone already: addresses, emoji and icon codes, arrows
# like ->. One character of each is put into a directive of its own, which draws only it and cuts the text there.
_READ_LATE = re.compile(r":(?!\s)|@|(?<=[wW]{3})\.|[-<>~](?=[-=>])")
_MARKUP = re.compile(r"[\\`*_$~\[\]{}<>&#|]")
_BLOCK = re.compile(r"[-+=]|\d+[.)](?!\S)")  # a list, or the line under a heading
_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")  # they would also reverse what follows the text


def plain(text: str) -> str:
    """`text` as Markdown that shows the text itself and nothing else: no link, picture, formula, icon or format.

    Lines stay lines, empty ones are left out. Characters that change the writing direction are shown by their code.
    On a page for others the paths of its server are cut down to file names. Source of what is read: Streamlit 1.67,
    frontend/lib, StreamlitMarkdown.tsx.
    """
    shown = text if hosting.is_own_machine() else hosting.without_paths(text)
    shown = _DIRECTION.sub(lambda found: f"[U+{ord(found[0]):04X}]", shown)
    lines = (line.strip() for line in re.split(r"[\r\n]+", shown))
    return "  \n".join(_line(line) for line in lines if line)


def shortened(text: str, limit: int = 32) -> str:
    """`text` with its middle left out where it is longer than `limit`: its ends tell names apart."""
    kept = limit - 1
    return text if len(text) <= limit else f"{text[: kept - kept // 2]}…{text[-(kept // 2) :]}"


def told_apart(names: Sequence[str], limit: int = 32) -> list[str]:
    """Names shown together, each `shortened`; where that makes some the same, cut down to what differs between them."""
    short = [shortened(name, limit) for name in names]
    if len({*short}) == len({*names}):
        return short
    start = _num_alike(names)
    end = _num_alike([name[start:][::-1] for name in names])
    return [_around(name, start, len(name) - end, limit) for name in names]


def _num_alike(names: Sequence[str]) -> int:
    """The number of letters with which all names begin."""
    return len([*itertools.takewhile(lambda letters: len({*letters}) == 1, zip(*names, strict=False))])


def _around(name: str, first: int, last: int, limit: int) -> str:
    """`name` cut down to its part from `first` to `last` and what stands beside it; of a longer part the ends."""
    width = limit - 2
    if len(name) <= limit:
        return name
    if last - first > width:
        return f"…{shortened(name[first:last], width)}…"
    left = min(max((first + last - width) // 2, 0), len(name) - width)
    right = left + width
    return f"{'…' if left else ''}{name[left:right]}{'…' if right < len(name) else ''}"


def _line(line: str) -> str:
    cuts = {found.start() for found in _READ_LATE.finditer(line)}
    escaped = [_MARKUP.sub(r"\\\g<0>", character) for character in line]
    if start := _BLOCK.match(line):
        escaped[start.end() - 1] = f"\\{line[start.end() - 1]}"
    return "".join(f":color[{shown}]" if place in cuts else shown for place, shown in enumerate(escaped))
