"""Class names that come with the masks: classes.csv, codes.txt or class_names.txt."""

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path

from unetlab.data.file_names import fold

FILE_NAMES = ("classes.csv", "codes.txt", "class_names.txt")
BACKGROUND_NAMES = frozenset(["background", "bg", "_background_"])
IGNORED_NAMES = frozenset(
    ["void", "unlabelled", "unlabeled", "ignore", "ignored", "don't care", "dont care", "dontcare"]
)


@dataclass(frozen=True)
class ClassFile:
    """Class names by mask value and by colour (0xRRGGBB), in the file's order. Either may be empty."""

    file: str
    names: dict[int, str] = field(default_factory=dict)
    colours: dict[int, str] = field(default_factory=dict)


def is_class_file(name: str) -> bool:
    """True for a file name that is known to hold class names."""
    return fold(name.rsplit("/", 1)[-1]) in FILE_NAMES


def is_ignored_name(name: str) -> bool:
    """True for names that mean "leave these pixels out", such as void or unlabelled."""
    return fold(name).strip() in IGNORED_NAMES


def read_class_file(path: Path) -> ClassFile | None:
    """The classes in `path`: a table with a `name` column (id, r, g, b optional), or one name a line.

    A line may begin with the class id (`3 road`, `3: road`, `3,road`); without ids the lines count from 0.
    Returns None when the file holds no names.
    """
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found = (_from_table if path.suffix.lower() == ".csv" else _from_lines)(path.name, lines)
    return found if found.names else None


def _from_table(file: str, lines: list[str]) -> ClassFile:
    rows = list(csv.DictReader(lines, skipinitialspace=True))
    names: dict[int, str] = {}
    colours: dict[int, str] = {}
    for number, row in enumerate(rows):
        cells = {fold(key): (cell or "").strip() for key, cell in row.items() if isinstance(cell, str) and key}
        if not cells.get("name"):
            continue
        identity = cells.get("id", "")
        names[int(identity) if identity.isdecimal() else number] = cells["name"]
        channels = [cells.get(channel, "") for channel in "rgb"]
        if all(channel.isdecimal() and int(channel) < 256 for channel in channels):
            red, green, blue = map(int, channels)
            colours[red << 16 | green << 8 | blue] = cells["name"]
    return ClassFile(file, names, colours)


def _from_lines(file: str, lines: list[str]) -> ClassFile:
    with_ids = [re.fullmatch(r"([0-9]+)\s*[:,;\s]\s*(.+)", line) for line in lines]
    if lines and all(with_ids):
        return ClassFile(file, {int(match[1]): match[2].strip() for match in with_ids if match})
    return ClassFile(file, dict(enumerate(lines)))
