"""Which class file speaks of which mask, where a drop has several: the nearest one."""

from collections import defaultdict
from collections.abc import Sequence

from unetlab.data.labels.class_files import ClassFile


class ClassFolders:
    """Class files by folder; `ClassFile.file` is the path in the drop. Of files that say the same the first counts."""

    def __init__(self, files: Sequence[ClassFile]) -> None:
        self._in: dict[tuple[str, ...], list[ClassFile]] = defaultdict(list)
        self._below: dict[tuple[str, ...], list[ClassFile]] = defaultdict(list)
        kept: list[ClassFile] = []
        for file in files:
            first = next((other for other in kept if says_the_same(file, other)), None)
            kept += [] if first else [file]
            folders = _folders(file.file)
            for depth in range(len(folders) + 1):
                _add(self._below[folders[:depth]], first or file)
            _add(self._in[folders], first or file)

    def nearest(self, mask: str, image: str) -> list[ClassFile]:
        """The class files that may speak of the mask; several where folders do not tell which.

        Nearest is what shares most folders with the mask, or with its picture where that is nearer: first a file above
        it, then one in a folder beside it. None where there is no class file at all.
        """
        by_mask, by_image = self._nearest(mask), self._nearest(image)
        return max(by_mask, by_image, key=lambda found: found[0])[1]  # of two that are as near, the mask's

    def _nearest(self, path: str) -> tuple[tuple[int, bool], list[ClassFile]]:
        folders = _folders(path)
        for depth in range(len(folders), -1, -1):
            for is_above, files in ((True, self._in), (False, self._below)):
                if found := files.get(folders[:depth]):
                    return (depth, is_above), found
        return (-1, False), []


def says_the_same(file: ClassFile, other: ClassFile) -> bool:
    """Whether two class files give the same names to the same values and colours."""
    return (file.names, file.colours) == (other.names, other.colours)


def _folders(path: str) -> tuple[str, ...]:
    return tuple(path.split("/")[:-1])


def _add(files: list[ClassFile], file: ClassFile) -> None:
    if not any(file is other for other in files):
        files.append(file)
