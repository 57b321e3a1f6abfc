"""Text files beside the pictures: tables of pairs, lists of training and validation pictures.

Names come back with `/`, without drive, root and `..`; absolute ones lose the folder that all of them share.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unetlab.data.labels.class_files import is_class_file
from unetlab.data.names.file_names import fold, folder_words, shorter_stems, stem_of
from unetlab.data.names.name_words import SPLIT_FOLDERS, Split
from unetlab.data.readers.images import is_picture

SUFFIXES = (".csv", ".tsv", ".txt", ".json")
TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
MAX_LIST_BYTES = 200 * 2**20
NOT_LISTS = re.compile(r"(readme|licen[sc]e|copying|notice|changelog|requirements|sha\d+sums?|md5sums?)\b.*")
DELIMITERS = "\t;,| "
ROWS_TRIED = 200  # the columns of a table are told by its first rows

# fmt: off
IMAGE_WORDS = frozenset({
    "image", "images", "img", "imgs", "picture", "pictures", "photo", "file", "filename", "filenames", "name",
    "input", "sat", "x",
})
MASK_WORDS = frozenset({
    "mask", "masks", "label", "labels", "annotation", "annotations", "annot", "target", "targets", "gt", "truth",
    "groundtruth", "seg", "segmentation", "y",
})
# `label` may also be the class of a picture: without an extension only these say that a cell names a mask.
STEM_MASK_WORDS = frozenset({"mask", "masks", "seg", "segmentation"})
SPLIT_HEADERS = frozenset({"split", "set", "subset", "partition", "phase", "usage"})
VALID_HEADERS = frozenset({"isvalid", "isval", "isvalidation"})
# Words that may stand beside train, val or test in the name of a list: train_list.txt, val-images.txt.
LIST_WORDS = frozenset({
    "list", "lists", "id", "ids", "file", "files", "image", "images", "img", "imgs", "name", "names", "set",
    "split", "data", "pairs",
})
# fmt: on
TRAINVAL = "trainval"


@dataclass(frozen=True)
class _Table:
    header: list[str]  # empty when the first row is data already
    first_rows: list[list[str]]
    delimiter: str
    lines: list[str]  # without the header

    def column(self, index: int) -> list[str]:
        return [row[index].strip() for row in self.first_rows if len(row) > index and row[index].strip()]

    @property
    def num_columns(self) -> int:
        return max(len(row) for row in [self.header, *self.first_rows])

    def words(self, index: int) -> set[str]:
        """The words of a column's header: `imagePath` and `image_path` give image and path."""
        header = self.header[index] if index < len(self.header) else ""
        return {fold(word) for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|[^\W_]+", header)}

    def header_letters(self, index: int) -> str:
        """The header without case and separators: `Is_Valid` gives isvalid."""
        return "".join(re.findall(r"[a-z]+", fold(self.header[index]))) if index < len(self.header) else ""

    def holds_pictures(self, index: int) -> bool:
        cells = self.column(index)
        return bool(cells) and sum(map(is_picture, cells)) >= 0.9 * len(cells)

    def holds_stems(self, index: int) -> bool:
        """Whether the cells may be names without extension: all different, without spaces, not only numbers."""
        cells = self.column(index)
        return len(set(cells)) == len(cells) > 0 and not any(re.search(r"\s", cell) for cell in cells)


def is_list(name: str) -> bool:
    """True for file names that may hold a table, a list or annotations; their content decides."""
    base = fold(name.rsplit("/", 1)[-1])
    return base.endswith(SUFFIXES) and not NOT_LISTS.fullmatch(base) and not is_class_file(name)


def read_pair_table(path: Path) -> dict[str, str] | None:
    """Picture to mask, from a table with a column of pictures and one of masks; None for any other file.

    Columns are told by their headers (image and mask, or words like them) or, without headers, by two columns of
    picture names. Separators: tab, semicolon, comma, spaces. Rows without a mask are passed over, and so are
    pictures that stand there with two different masks.
    """
    table = _sniffed(path)
    columns = _pair_columns(table) if table else None
    if not table or not columns:
        return None
    pairs: dict[str, str] = {}
    doubtful: set[str] = set()
    for row in _rows(table):
        if len(row) > max(columns) and all(row[column].strip() for column in columns):
            image, mask = (row[column].strip() for column in columns)
            if pairs.setdefault(image, mask) != mask:
                doubtful.add(image)
    cleaned = _relative([*pairs, *pairs.values()])
    return {cleaned[image]: cleaned[mask] for image, mask in pairs.items() if image not in doubtful}


def read_split_list(name: str, text: str) -> tuple[Split, list[str]] | None:
    """The split that a list's name stands for and the pictures named in `text`; None when it is no such list.

    name: relative path, such as valid.txt, train_list.txt or ImageSets/Segmentation/val.txt. One picture a line:
    stem, file name or path; a second column (its mask, or 1 and -1) is left out. trainval counts as train.
    """
    split = split_of_list(name) if fold(name).endswith(".txt") else None
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if split is None or not lines:
        return None
    names = [_first_column(line) for line in lines]
    if sum(name.count(" ") > 3 and not is_picture(name) for name in names) * 2 > len(names):  # sentences
        return None
    cleaned = _relative(names)
    return split, list(dict.fromkeys(cleaned[name] for name in names))


def read_split_table(path: Path) -> dict[str, Split] | None:
    """Picture to split, from a table with a column of pictures and one called split, set, subset or is_valid.

    None for any other file. Pictures may be stems, file names or paths. A table without such a column, whose own
    name is that of a split (train.csv), gives it to all its pictures.
    """
    table = _sniffed(path)
    if not table:
        return None
    of_file = split_of_list(path.name)
    split_column = next((index for index in range(table.num_columns) if _is_split_column(table, index)), None)
    if split_column is None and of_file is None:
        return None
    name_column = _name_column(table, split_column)
    if name_column is None:
        return None
    found: dict[str, Split] = {}
    for row in _rows(table):
        name = row[name_column].strip() if len(row) > name_column else ""
        split = of_file
        if split_column is not None:
            cell = row[split_column] if len(row) > split_column else ""
            split = _split_of_cell(cell, table.header_letters(split_column))
        if name and split:
            found[name] = split
    cleaned = _relative(list(found))
    return {cleaned[name]: split for name, split in found.items()} or None


def split_of_list(name: str) -> Split | None:
    """The split that the name of a list or table stands for: `train_list.txt` gives train; None for other names."""
    if not fold(name).endswith(TABLE_SUFFIXES) or is_class_file(name):
        return None
    words = [word for word in re.split(r"[\W_]+", stem_of(name)) if word]
    words = [part for word in words for part in re.split(r"(?<=train|valid)(?=list|files|images|ids)", word)]
    splits: set[Split] = {
        "train" if word == TRAINVAL else SPLIT_FOLDERS[word] for word in words if _is_split_word(word)
    }
    others = [word for word in words if not _is_split_word(word) and word not in LIST_WORDS]
    return splits.pop() if len(splits) == 1 and not others else None


def read_text(path: Path) -> str:
    """The text of a file in UTF-8 (with or without BOM), UTF-16 with BOM, or else Latin-1; never fails on bytes."""
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _is_split_word(word: str) -> bool:
    return word == TRAINVAL or word in SPLIT_FOLDERS


def _first_column(line: str) -> str:
    """The picture of a line: all of it (names may hold spaces) unless a second column follows."""
    for delimiter in "\t;,":
        if delimiter in line:
            return line.split(delimiter)[0].strip().strip('"')
    words = line.split()
    has_second = len(words) > 1 and (
        is_picture(words[0]) or re.fullmatch(r"-?[01]", words[-1]) or (len(words) == 2 and all("/" in w for w in words))
    )
    return words[0] if has_second else line.strip('"')


def _sniffed(path: Path) -> _Table | None:
    """The first rows of a table of two columns or more, and its separator; None for any other file."""
    if not fold(path.name).endswith(TABLE_SUFFIXES) or is_class_file(path.name):
        return None
    lines = [line for line in read_text(path).splitlines() if line.strip() and not line.startswith("#")]
    for delimiter in DELIMITERS:
        try:
            rows = list(csv.reader(lines[:ROWS_TRIED], delimiter=delimiter, skipinitialspace=True))
        except csv.Error:
            return None
        widths = Counter(len(row) for row in rows)
        width, count = max(widths.items(), key=lambda item: item[1], default=(0, 0))
        if width >= 2 and count >= 0.9 * len(rows):
            is_header = len(rows) > 1 and not any(is_picture(cell.strip()) for cell in rows[0])
            return _Table(rows[0] if is_header else [], rows[is_header:], delimiter, lines[is_header:])
    return None


def _rows(table: _Table) -> Iterator[list[str]]:
    yield from csv.reader(table.lines, delimiter=table.delimiter, skipinitialspace=True)


def _pair_columns(table: _Table) -> tuple[int, int] | None:
    """Columns of pictures and of masks: by their headers, else the only two that hold picture names."""
    pictures = [index for index in range(table.num_columns) if table.holds_pictures(index)]
    masks = [index for index in range(table.num_columns) if table.words(index) & MASK_WORDS]
    images = [index for index in range(table.num_columns) if table.words(index) & IMAGE_WORDS and index not in masks]
    named = [[index for index in indices if index in pictures] for indices in (images, masks)]
    if all(named):
        return named[0][0], named[1][0]
    if len(pictures) == 2:
        first, second = pictures
        is_turned = bool(named[1]) and named[1][0] == first
        is_turned |= not table.header and _looks_like_masks(table, first) and not _looks_like_masks(table, second)
        return (second, first) if is_turned else (first, second)
    by_stem = [index for index in masks if table.words(index) & STEM_MASK_WORDS and table.holds_stems(index)]
    images = [index for index in images if table.holds_stems(index)]
    return (images[0], by_stem[0]) if images and by_stem else None


def _looks_like_masks(table: _Table, index: int) -> bool:
    def is_mask(name: str) -> bool:
        path = PurePosixPath(name.replace("\\", "/"))
        has_affix = any(stripped.mask_affixes for stripped in shorter_stems(stem_of(path.name)).values())
        return has_affix or folder_words(path.parent.name).role == "mask"

    cells = table.column(index)
    return sum(map(is_mask, cells)) * 2 > len(cells)


def _name_column(table: _Table, split_column: int | None) -> int | None:
    """The column that names pictures, rather than masks; those with a picture's extension first."""
    columns = [index for index in range(table.num_columns) if index != split_column]
    pictures = [index for index in columns if table.holds_pictures(index)]
    named = [index for index in columns if table.words(index) & (IMAGE_WORDS | {"id"}) and table.holds_stems(index)]
    return min([*pictures, *named], key=lambda i: (bool(table.words(i) & MASK_WORDS), i not in pictures), default=None)


def _is_split_column(table: _Table, index: int) -> bool:
    header, cells = table.header_letters(index), table.column(index)
    if header not in SPLIT_HEADERS | VALID_HEADERS or not cells:
        return False
    return sum(_split_of_cell(cell, header) is not None for cell in cells) >= 0.9 * len(cells)


def _split_of_cell(cell: str, header: str) -> Split | None:
    word = fold(cell.strip())
    if header in VALID_HEADERS:
        return "valid" if word in ("true", "1", "yes") else "train" if word in ("false", "0", "no") else None
    return SPLIT_FOLDERS.get(word)


def _relative(names: Sequence[str]) -> dict[str, str]:
    """Each name with `/`, without `.`, `..`, drive and root; absolute ones without the folder common to all."""
    parts = {name: [part for part in re.split(r"[\\/]+", name) if part not in ("", ".", "..")] for name in names}
    absolute = [name for name in parts if re.match(r"[\\/~]|[A-Za-z]:", name)]
    folders = [parts[name][:-1] for name in absolute]
    levels = list(zip(*folders, strict=False))
    shared = next((level for level, words in enumerate(levels) if len(set(words)) > 1), len(levels))
    for name in absolute:
        parts[name] = parts[name][shared:]
    return {name: "/".join(found) for name, found in parts.items()}
