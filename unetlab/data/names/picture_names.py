"""Names of pictures: finding the one that a list, a table or an annotation file means, and telling a few of many."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from unetlab.data.names.file_names import fold, stem_of
from unetlab.data.readers.images import is_picture


class PictureNames:
    """The pictures of a drop by file name and by stem."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for name in filter(is_picture, names):
            self._by_name[fold(name.rsplit("/", 1)[-1])].append(name)
            self._by_stem[stem_of(name)].append(name)

    def find(self, name: str, *, beside: str = "") -> list[str]:
        """The pictures that `name` (stem, file name or path) can mean: those that share most of its path.

        Another extension than the picture has is forgiven, and so is `\\`. beside: the file that says the name; of
        several pictures the one that lies nearest to it is meant.
        """
        name = fold(name.replace("\\", "/"))
        base = name.rsplit("/", 1)[-1]
        found = self._by_name.get(base) or self._by_stem.get(stem_of(base) if is_picture(base) else base, [])
        if len(found) > 1:
            ending = _folders(name)[::-1]
            found = _best(found, [_num_shared(_folders(fold(each))[::-1], ending) for each in found])
        if len(found) > 1 and beside:
            found = _best(found, [_num_shared(_folders(each), _folders(beside)) for each in found])
        return found


def some_of(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _folders(path: str) -> list[str]:
    return path.split("/")[:-1]


def _num_shared(first: list[str], second: list[str]) -> int:
    """How many parts are equal from the start."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count


def _best(found: list[str], scores: list[int]) -> list[str]:
    return [name for name, score in zip(found, scores, strict=True) if score == max(scores)]
