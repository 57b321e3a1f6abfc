"""What an import will copy and unpack, and where to: decided before the first byte is written."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from unetlab.data.intake.archives import (
    SUFFIXES,
    Contents,
    decoded,
    is_archive,
    is_unknown_archive,
    is_wanted,
    look_into,
)
from unetlab.data.intake.lists import MAX_LIST_BYTES, is_list
from unetlab.data.labels.class_files import is_class_file
from unetlab.data.names.file_names import is_junk
from unetlab.data.names.picture_names import some_of
from unetlab.errors import DataError, UnreadableFile

# What a person is told about files that are left out; {names} are a few of them.
LINK = "{names}: links to folders, and links that lead out of the folder, are not followed. Copy the files themselves."
UNKNOWN_ARCHIVE = "{names}: this kind of archive is not read here. Unpack it first and give the folder, or make a zip."
NESTED = "{names}: an archive in an archive is not unpacked. Unpack it yourself and give the folder."
UNPACKED_ALREADY = "{names}: not unpacked, because what it holds lies beside it already."
LARGE = f"{{names}}: text files above {MAX_LIST_BYTES >> 20} MB are not read."
UNREADABLE = "{names}: cannot be read. Look at who may read it, and whether it is still there."


class Copy(NamedTuple):
    """One file to be copied."""

    path: Path
    name: str  # below the staging folder
    num_bytes: int


@dataclass
class Plan:
    """Copies, archives and what is left out, of all sources together. left_out: sentence -> names it is about."""

    copies: list[Copy] = field(default_factory=list)
    archives: list[tuple[Contents, str]] = field(default_factory=list)  # with the folder it is unpacked into
    ignored: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def leave_out(self, name: str, sentence: str) -> None:
        """Lists a file as ignored, and for `notes` why."""
        self.ignored.append(name)
        self.left_out[sentence].append(name)

    def written(self) -> Iterator[tuple[str, int]]:
        """Name and bytes of every file that will be there."""
        yield from ((copy.name, copy.num_bytes) for copy in self.copies)
        for contents, folder in self.archives:
            yield from ((f"{folder}{member.name}", member.num_bytes) for member in contents.kept)

    def notes(self) -> list[str]:
        """One sentence for each reason why files are left out, with a few of their names."""
        return [sentence.format(names=some_of(names)) for sentence, names in self.left_out.items()]


def plan_copies(sources: Sequence[Path], *, masks: Path | None = None) -> Plan:
    """What `sources.stage` will write; parameters and errors as there."""
    plan = Plan()
    for source in sources:
        prefix = "images/" if masks else ""
        if source.is_dir() and len(sources) > 1:
            prefix += f"{source.resolve().name}/"
        _add_source(plan, source, prefix, leave_out=[masks] if masks else [])
    if masks:
        _add_source(plan, masks, "masks/", leave_out=sources)
    _settle_archives(plan)
    names: set[str] = set()
    for name, _ in plan.written():
        if name in names:
            raise DataError(f"Two sources hold a file {name}. Import the folder that holds both, or rename one.")
        names.add(name)
    return plan


def _add_source(plan: Plan, source: Path, prefix: str, *, leave_out: Sequence[Path]) -> None:
    if source.is_dir():
        _add_folder(plan, source, prefix, {os.path.realpath(path) for path in leave_out} - {os.path.realpath(source)})
    elif not source.is_file():
        raise DataError(f"{source} does not exist. Give a folder, a zip, or picture files.")
    elif is_unknown_archive(source.name):
        raise UnreadableFile(UNKNOWN_ARCHIVE.format(names=source.name))
    else:
        _add_file(plan, source, prefix + source.name, source.stat().st_size)


def _add_folder(plan: Plan, source: Path, prefix: str, left_out: set[str]) -> None:
    root = os.path.realpath(source)
    waiting = [(root, prefix)]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            plan.leave_out(prefix or root, UNREADABLE)
            continue
        for entry in entries:
            name = prefix + decoded(entry.name)
            if entry.path in left_out:
                continue
            if entry.is_dir(follow_symlinks=False):
                if entry.name.startswith("."):
                    plan.ignored.append(f"{name}/")
                else:
                    waiting.append((entry.path, f"{name}/"))
            elif entry.is_symlink() and not (entry.is_file() and _is_inside(entry.path, root)):
                plan.leave_out(name, LINK)
            elif entry.is_file():
                _add_file(plan, Path(entry.path), name, entry.stat().st_size)
            else:
                plan.ignored.append(name)  # a pipe, a socket or a device: reading it may never end


def _is_inside(path: str, root: str) -> bool:
    return os.path.realpath(path).startswith(root.rstrip(os.sep) + os.sep)


def _add_file(plan: Plan, path: Path, name: str, num_bytes: int) -> None:
    if is_junk(name):
        plan.ignored.append(name)
    elif is_archive(name):
        contents, folder = look_into(path), name.rpartition("/")[0]
        plan.archives.append((contents, f"{folder}/" if folder else ""))
    elif is_wanted(name, num_bytes):
        plan.copies.append(Copy(path, name, num_bytes))
    elif is_unknown_archive(name):
        plan.leave_out(name, UNKNOWN_ARCHIVE)
    elif is_list(name) or is_class_file(name):
        plan.leave_out(name, LARGE)
    else:
        plan.ignored.append(name)


def _settle_archives(plan: Plan) -> None:
    """Drops archives whose contents lie beside them, and gives each its own folder where their names clash."""
    there = {copy.name: copy.num_bytes for copy in plan.copies}
    holders: dict[str, int] = defaultdict(int)
    kept = []
    for contents, folder in plan.archives:
        suffix = next(suffix for suffix in SUFFIXES if contents.archive.name.lower().endswith(suffix))
        own_folder = f"{folder}{contents.archive.name[: -len(suffix)]}/"
        for member in contents.kept:
            holders[folder + member.name] += 1
        is_there = any(
            all(there.get(base + member.name) == member.num_bytes for member in contents.kept)
            for base in (folder, own_folder)
        )
        if contents.kept and is_there:
            plan.leave_out(folder + contents.archive.name, UNPACKED_ALREADY)
        else:
            kept.append((contents, folder, own_folder))
    plan.archives = []
    for contents, folder, own_folder in kept:
        clashes = any(holders[folder + member.name] > 1 for member in contents.kept)
        base = own_folder if clashes else folder
        plan.archives.append((contents, base))
        for name in contents.ignored:
            if is_archive(name) or is_unknown_archive(name):
                plan.leave_out(base + name, NESTED)
            else:
                plan.ignored.append(base + name)
