"""Archives (zip, tar, tar.gz) to plain files: everything is checked before the first byte is written.

Nothing hostile gets through: names never leave the folder, links are refused, members, bytes and ratios are capped.
"""

import errno
import lzma
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from unetlab.data.in_threads import in_order
from unetlab.data.intake.lists import MAX_LIST_BYTES, is_list
from unetlab.data.labels.class_files import is_class_file
from unetlab.data.names.file_names import is_junk
from unetlab.data.readers.images import is_picture
from unetlab.errors import DataError, UnetlabError, UnreadableFile
from unetlab.files import size_text

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
UNKNOWN_SUFFIXES = (".7z", ".rar", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".zipx")
MAX_MEMBERS = 100_000
MAX_BYTES = 64 * 2**30
MAX_RATIO = 200  # unpacked to packed; flat masks as PNG reach about 100
MAX_PLAIN_RATIO = 1_100  # of formats without compression of their own: an empty mask; deflate's limit is 1,032 (zlib)
PLAIN_SUFFIXES = (".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm")
RATIO_FROM = 2**20  # bytes of a member
TOTAL_RATIO_FROM = 8 * 2**30  # bytes of an archive: small files of plain formats may all be nearly empty
MAX_DEPTH = 32
MAX_NAME_BYTES = 1_000
MAX_TAR_HEADER = 2**20  # long names and attributes, which tarfile reads into memory
CHUNK = 2**20
# Names that Windows keeps for devices, with any extension (Microsoft, "Naming Files, Paths, and Namespaces").
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(?=\.|$)", re.IGNORECASE)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
# What the readers of the standard library raise on damaged bytes, found by mutating archives.
DAMAGES = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, OverflowError, MemoryError, RuntimeError, ValueError),
)


class Member(NamedTuple):
    """A file in an archive. name: where it is written, relative; packed_bytes: of the whole archive for a tar."""

    name: str
    num_bytes: int
    packed_bytes: int
    entry: zipfile.ZipInfo | tarfile.TarInfo


@dataclass(frozen=True)
class Contents:
    """What an archive holds, checked: the members that are unpacked, and the names of those that are not."""

    archive: Path
    kept: list[Member]
    ignored: list[str]


def is_archive(name: str) -> bool:
    """True for a file name of an archive that can be unpacked here."""
    return name.lower().endswith(SUFFIXES)


def is_unknown_archive(name: str) -> bool:
    """True for archives that the user has to unpack: 7z, rar and rarer kinds of tar."""
    return name.lower().endswith(UNKNOWN_SUFFIXES)


def is_wanted(name: str, num_bytes: int) -> bool:
    """True for files that an import understands: pictures, class names, and lists of at most MAX_LIST_BYTES."""
    if is_junk(name):
        return False
    return is_picture(name) or (num_bytes <= MAX_LIST_BYTES and (is_class_file(name) or is_list(name)))


def look_into(archive: Path) -> Contents:
    """The checked members of a zip, tar or tar.gz; nothing is written. A tar.gz has to be read through for it.

    Raises UnreadableFile for damaged archives, absolute paths, `..`, links, passwords, overlapping entries, too
    many members or bytes, and ratios of a zip bomb; DataError for two members of one name.
    """
    is_zip = archive.name.lower().endswith(".zip")
    with _explained(archive):
        members = list(_checked(archive, _zip_members(archive) if is_zip else _tar_members(archive)))
        kept = [member for member in members if is_wanted(member.name, member.num_bytes)]
        _refuse_clashes(archive, [member.name for member in kept])
        taken = {id(member) for member in kept}
        return Contents(archive, kept, [member.name for member in members if id(member) not in taken])


def unpack(contents: Contents, into: Path) -> Iterator[str]:
    """Writes the kept members below `into`, on two cores from a zip; yields each name when it is written.

    Raises UnreadableFile for damaged bytes, and for members that hold more or less than they announce; DataError
    when a file is there already or the disk is full.
    """
    archive = contents.archive
    with _explained(archive):
        for folder in {(into / member.name).parent for member in contents.kept}:
            folder.mkdir(parents=True, exist_ok=True)
        if archive.name.lower().endswith(".zip"):
            # A file that was opened here is not closed when zipfile's count of readers, which has no lock, is off.
            with open(archive, "rb") as file, zipfile.ZipFile(file) as opened:
                yield from in_order(partial(_write, archive, into, opened.open), contents.kept)
        else:
            with _open_tar(archive) as opened:
                yield from map(partial(_write, archive, into, opened.extractfile), contents.kept)


def safe_part(part: str) -> str:
    """One part of a path, fit for every file system: no odd characters, no device names, at most 200 bytes."""
    part = re.sub(r'[\x00-\x1f\x7f:*?"<>|]', "_", decoded(part)).strip()
    part = RESERVED.sub(r"\1_", part, count=1) if RESERVED.match(part) else part
    if len(part.encode()) <= 200:  # file systems allow 255
        return part
    stem, dot, extension = part.rpartition(".")
    ending = (dot + extension)[-20:]
    return (stem or part).encode()[:160].decode(errors="ignore") + ending


def decoded(name: str) -> str:
    """The name, read as Latin-1 if it is not UTF-8: such names cannot be written to a manifest."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("latin-1")
    return name


def disk_is_full(folder: Path) -> DataError:
    """The error for a disk that filled up while files were written."""
    return DataError(f"The disk of {folder} is full. Free some space, or set UNETLAB_HOME to a folder on another disk.")


@contextmanager
def _explained(archive: Path) -> Iterator[None]:
    try:
        yield
    except UnetlabError:
        raise
    except DAMAGES as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise disk_is_full(Path(error.filename or archive)) from error
        reason = str(error) or "it ends too early"
        raise UnreadableFile(f"{archive.name} cannot be unpacked ({reason}). Make the archive again.") from error


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        entries = [entry for entry in opened.infolist() if not entry.filename.endswith(("/", "\\"))]
    if len(entries) > MAX_MEMBERS:
        raise _too_many(archive, f"{len(entries):,}")
    _refuse_overlaps(archive, entries)
    for entry in entries:
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise _refused(archive, f"{entry.filename!r} is a link")
        if entry.flag_bits & 1:
            raise _refused(archive, f"{entry.filename!r} is protected with a password")
        if entry.compress_type not in METHODS:
            raise _refused(archive, f"{entry.filename!r} is packed by a rare method; make the zip again with Deflate")
        yield Member(_zip_name(entry), entry.file_size, entry.compress_size, entry)


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """The name as its maker wrote it: many zips hold UTF-8 without saying so, which zipfile reads as cp437."""
    if not entry.flag_bits & 0x800:
        try:
            return entry.filename.encode("cp437").decode()
        except UnicodeError:
            pass
    return entry.filename


def _refuse_overlaps(archive: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Entries that share bytes make a small file unpack to any size (Fifield 2019, "A better zip bomb")."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise _refused(archive, f"{entry.filename!r} overlaps with another entry")
        end = entry.header_offset + zipfile.sizeFileHeader + entry.compress_size  # type: ignore[attr-defined]


class _TarInfo(tarfile.TarInfo):
    """A tar header; those with long names are refused before tarfile reads megabytes of name into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_TarInfo":
        found = super().frombuf(buf, encoding, errors)
        if found.size > MAX_TAR_HEADER and found.type not in (*tarfile.REGULAR_TYPES, tarfile.DIRTYPE):
            raise UnreadableFile("The archive is not unpacked: one of its headers is too long.")
        return found


def _open_tar(archive: Path) -> tarfile.TarFile:
    with open(archive, "rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return tarfile.open(archive, "r:gz" if is_gzip else "r:", tarinfo=_TarInfo)


def _tar_members(archive: Path) -> Iterator[Member]:
    packed_bytes = archive.stat().st_size
    with _open_tar(archive) as opened:
        for number, entry in enumerate(opened):
            if entry.isdir():
                continue
            if number >= MAX_MEMBERS:
                raise _too_many(archive, f"more than {MAX_MEMBERS:,}")
            if entry.islnk() or entry.issym():
                raise _refused(archive, f"{entry.name!r} is a link")
            if not entry.isreg() or entry.issparse():
                raise _refused(archive, f"{entry.name!r} is no ordinary file")
            yield Member(entry.name, entry.size, packed_bytes, entry)
            tarfile.data_filter(entry, str(archive.parent))
        # tarfile takes a damaged header for the end of the archive.
        opened.fileobj.seek(opened.offset)  # type: ignore[union-attr]
        if opened.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):  # type: ignore[union-attr]
            raise _refused(archive, "it is damaged; make it again")


def _checked(archive: Path, members: Iterable[Member]) -> Iterator[Member]:
    """The members under names that are safe on this disk. Stops at the first that must not be unpacked."""
    total = packed = 0
    for member in members:
        name = member.name.replace("\\", "/")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in parts or not parts:
            raise _refused(archive, f"the path {member.name!r} leads out of the folder")
        if len(parts) > MAX_DEPTH or len(name.encode(errors="replace")) > MAX_NAME_BYTES:
            raise _refused(archive, f"the path {name[:60]!r}... is too long or too deep")
        size, is_plain = member.num_bytes, name.lower().endswith(PLAIN_SUFFIXES)
        if size > RATIO_FROM and size > (MAX_PLAIN_RATIO if is_plain else MAX_RATIO) * max(1, member.packed_bytes):
            raise _refused(archive, f"{member.name!r} unpacks to {size_text(size)} from next to nothing")
        total += size
        packed = packed + member.packed_bytes if isinstance(member.entry, zipfile.ZipInfo) else member.packed_bytes
        if total > MAX_BYTES:
            raise _refused(archive, f"it unpacks to more than {size_text(MAX_BYTES)}, which is the limit")
        if total > TOTAL_RATIO_FROM and total > MAX_RATIO * packed:
            raise _refused(archive, f"it unpacks to {size_text(total)} and more from next to nothing")
        yield member._replace(name="/".join(map(safe_part, parts)))


def _refuse_clashes(archive: Path, names: list[str]) -> None:
    folders: set[str] = set()
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"{archive.name}: {name} is there twice. Give the files different names.")
        seen.add(name)
        folder = name.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    for name in folders & seen:
        raise _refused(archive, f"{name!r} is both a file and a folder")


def _write(archive: Path, into: Path, opener: Callable[..., IO[bytes] | None], member: Member) -> str:
    source = opener(member.entry)
    if source is None:
        raise _refused(archive, f"{member.name!r} is no ordinary file")
    try:
        with source, open(into / member.name, "xb") as file:
            num_bytes = 0
            while chunk := source.read(CHUNK):
                num_bytes += len(chunk)
                if num_bytes > member.num_bytes:
                    break
                file.write(chunk)
    except FileExistsError:
        raise DataError(f"{archive.name}: {member.name} is there twice. Give the files different names.") from None
    if num_bytes != member.num_bytes:
        raise _refused(archive, f"{member.name!r} does not hold the {member.num_bytes:,} bytes it announces")
    return member.name


def _too_many(archive: Path, count: str) -> UnreadableFile:
    return _refused(archive, f"it holds {count} files, at most {MAX_MEMBERS:,} are allowed; import the folder instead")


def _refused(archive: Path, reason: str) -> UnreadableFile:
    return UnreadableFile(f"{archive.name} is not unpacked: {reason}.")
