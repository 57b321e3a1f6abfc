"""The chain of image file directories (IFDs) of a TIFF, walked before anything else believes it.

tifffile follows some circles for ever and reads every tag at the size it claims. Here the whole chain costs no more
than the file is long. Source of the layout: TIFF 6.0, section 2; BigTIFF as in libtiff.
"""

from collections.abc import Iterator
from struct import Struct, unpack_from
from typing import BinaryIO, NamedTuple

MAX_TAGS = 4096  # in one directory; tifffile's limit too
TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
SIGNATURE = (256, 257, 277, 284, 258, 339)  # width, height, samples, planar, bits, sample format
SUBFILE_TYPE = 254


class Directory(NamedTuple):
    """One image file directory (IFD): where it lies, what makes it alike to others, and its area in px."""

    offset: int
    signature: tuple[int, ...]
    area: int
    is_secondary: bool  # a reduced copy or a transparency mask


def size_of(source: BinaryIO) -> int:
    """Bytes in an open file."""
    return source.seek(0, 2)


def walk(source: BinaryIO) -> Iterator[Directory]:
    """All directories of the main chain; ValueError where it is cut off, runs in a circle or overlaps itself."""
    size = size_of(source)
    source.seek(0)
    start = source.read(16)
    order = "<" if start[:2] == b"II" else ">"
    is_big = 43 in start[2:4]
    count, tag, link = (Struct(order + form) for form in (("Q", "HHQ8s", "Q") if is_big else ("H", "HHI4s", "I")))
    (offset,) = link.unpack_from(start, 8 if is_big else 4)
    claimed = 0
    while True:
        source.seek(offset)
        (num_tags,) = count.unpack(source.read(count.size))
        if not 0 < num_tags <= MAX_TAGS:
            raise ValueError(f"{num_tags} tags in a directory")
        content = source.read(num_tags * tag.size + link.size)
        claimed += count.size + len(content)
        if claimed > size:  # directories that overlap, or a chain that comes back to itself
            raise ValueError("its directories run in a circle")
        yield _directory(source, offset, list(tag.iter_unpack(content[: -link.size])), order, size)
        (offset,) = link.unpack_from(content, num_tags * tag.size)
        if offset == 0:
            return


def _directory(source: BinaryIO, offset: int, tags: list[tuple], order: str, size: int) -> Directory:
    values = dict.fromkeys(SIGNATURE, 1)
    flags = claimed = 0
    for code, kind, count, field in tags:
        num_bytes = TYPE_SIZES.get(kind, 0) * count
        claimed += num_bytes if num_bytes <= size else 0  # tifffile skips what cannot be in the file
        if code not in values and code != SUBFILE_TYPE:
            continue
        form = {1: "B", 3: "H", 4: "I", 16: "Q"}[kind]
        if num_bytes > len(field):
            source.seek(int.from_bytes(field, "little" if order == "<" else "big"))
            field = source.read(8)
        (value,) = unpack_from(order + form, field)
        if code == SUBFILE_TYPE:
            flags = value
        else:
            values[code] = value
    if claimed > 2 * size + 65536:  # values may be shared, but not thousands of times
        raise ValueError("its tags claim more bytes than the file has")
    return Directory(offset, tuple(values.values()), values[256] * values[257], bool(flags & 0b101))
