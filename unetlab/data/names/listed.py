"""Finds files by the names that lists use for them: full paths, the ends of paths, bare names or stems."""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from unetlab.data.names.file_names import fold
from unetlab.data.names.name_words import Split
from unetlab.data.names.named_files import NamedFile
from unetlab.data.readers.images import is_picture


def endings(name: str) -> list[str]:
    """Every way to end the path, folded and without extension, the longest first: a/b/1.png gives a/b/1, b/1, 1."""
    path = fold(name.replace("\\", "/").strip().strip("/"))
    if is_picture(path):
        path = str(PurePosixPath(path).with_suffix(""))
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ["/".join(parts[place:]) for place in range(len(parts))]


class FileIndex:
    """Files by every ending of their paths; an ending that several files share finds none of them."""

    def __init__(self, files: Iterable[NamedFile]) -> None:
        self._files: dict[str, list[NamedFile]] = {}
        for file in files:
            for ending in endings(file.path):
                self._files.setdefault(ending, []).append(file)

    def find(self, name: str) -> NamedFile | None:
        """The one file that the name can mean: by its whole path, else by as many of its last folders as fit."""
        for ending in endings(name):
            found = self._files.get(ending, [])
            same_suffix = [file for file in found if fold(file.path).endswith(PurePosixPath(fold(name)).suffix)]
            for files in (found, same_suffix):
                if len(files) == 1:
                    return files[0]
        return None


def split_lookup(splits: Mapping[str, Split]) -> dict[str, Split | None]:
    """Splits by every ending of the listed names; None for an ending that two splits claim."""
    found: dict[str, Split | None] = {}
    for name, split in splits.items():
        for ending in endings(name):
            found[ending] = split if found.get(ending, split) == split else None
    return found


def listed_split(file: NamedFile, lookup: Mapping[str, Split | None]) -> Split | None:
    """The split that a list gives to a picture: by its path, else by its stem, else by its stem without affixes."""
    for ending in [*endings(file.path), *file.stems]:
        split = lookup.get(ending)
        if split is not None:
            return split
    return None
