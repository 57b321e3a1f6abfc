"""What a person hands over (files, folders, zips, an upload) becomes one folder of plain files.

Nothing hostile gets through: names never leave the folder, archives are capped, links are not followed.
"""

import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from unetlab.data.class_files import is_class_file
from unetlab.data.file_names import is_junk
from unetlab.data.images import is_picture
from unetlab.errors import DataError, UnreadableFile

MAX_MEMBERS = 20_000
MAX_BYTES = 8 * 2**30
MAX_RATIO = 200  # unpacked to packed, of members over RATIO_FROM bytes; flat masks reach about 100
RATIO_FROM = 2**20
CHUNK = 2**20

Progress = Callable[[int, int], None]


@dataclass
class Staged:
    """Files now in the staging folder, as names relative to it; `masks` is None when all came in one heap."""

    images: list[str] = field(default_factory=list)
    masks: list[str] | None = None
    class_files: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def stage(sources: list[Path], *, masks: Path | None = None, into: Path, progress: Progress | None = None) -> Staged:
    """Copies pictures and class-name files of all sources into the folder `into`, keeping relative paths.

    sources: folders, zips, single files. masks: a folder or zip with the masks; then pictures go to
    `into/images/` and masks to `into/masks/`. A folder of several keeps its name, zips lying in a folder are
    unpacked where they lie, hidden files are skipped. progress: (files copied, files to copy).
    Raises DataError for a source that does not exist or two files of one name, UnreadableFile for an archive
    that is damaged or must not be unpacked.
    """
    staged = Staged()
    plans: list[tuple[Path, str]] = []  # (file, its name below `into`)
    for source in sources:
        prefix = "images/" if masks else ""
        if source.is_dir() and len(sources) > 1:
            prefix += f"{source.resolve().name}/"
        plans += _plan(source, prefix, leave_out=masks)
    if masks:
        plans += _plan(masks, "masks/", leave_out=None)
    names: set[str] = set()
    for done, (path, name) in enumerate(plans, start=1):
        if path.suffix.lower() == ".zip":
            folder = name.rpartition("/")[0]
            written, ignored = extract(path, into / folder)
            names |= {_free(f"{folder}/{member}".lstrip("/"), names) for member in written}
            staged.ignored += [f"{folder}/{member}".lstrip("/") for member in ignored]
        elif is_picture(name) or is_class_file(name):
            target = into / _free(name, names)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            names.add(name)
        else:
            staged.ignored.append(name)
        if progress:
            progress(done, len(plans))
    staged.class_files = sorted(name for name in names if is_class_file(name))
    pictures = sorted(name for name in names if is_picture(name))
    staged.images = [name for name in pictures if not masks or name.startswith("images/")]
    staged.masks = [name for name in pictures if name.startswith("masks/")] if masks else None
    return staged


def extract(archive: Path, into: Path) -> tuple[list[str], list[str]]:
    """Unpacks pictures and class-name files of a zip; (names written, names ignored), relative to `into`.

    Everything is checked before the first byte is written. Raises UnreadableFile for absolute paths, `..`,
    links, passwords, too many members or bytes, and ratios of a zip bomb.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            _check(archive, members)
            written, ignored = [], []
            for member in members:
                name = member.filename.replace("\\", "/")
                if is_junk(name) or not (is_picture(name) or is_class_file(name)):
                    ignored.append(name)
                    continue
                target = into / name
                if target.exists():
                    raise DataError(f"{archive.name}: {name} is there twice. Give the files different names.")
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file, CHUNK)
                written.append(name)
            return written, ignored
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        raise UnreadableFile(f"{archive.name} cannot be unpacked ({error}). Make the zip again.") from error


def save_upload(
    files: Iterable[tuple[str, bytes | IO[bytes]]], *, into: Path, box: Literal["images", "masks", "all"]
) -> list[str]:
    """Writes uploaded files below `into` (in `images/` or `masks/` for those boxes); the names written.

    A name keeps its folders (`ds/masks/0.png`) but can never leave `into`. Raises DataError when two files of
    one box have the same name: a browser drops their folders.
    """
    written: list[str] = []
    for name, content in files:
        relative = safe_name(name) if box == "all" else f"{box}/{safe_name(name)}"
        target = into / relative
        if relative in written or target.exists():
            raise DataError(
                f"Two files are called {relative}. Drop pictures and masks into their own boxes, "
                "or a zip of the folder."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "wb") as file:
            if isinstance(content, (bytes, bytearray, memoryview)):
                file.write(content)
            else:
                shutil.copyfileobj(content, file, CHUNK)
        written.append(relative)
    return written


def safe_name(name: str) -> str:
    """A relative file name from a stranger, without drive, root, `..` and odd characters; never empty."""
    parts = re.sub(r"^[A-Za-z]:", "", name.replace("\\", "/")).split("/")
    kept = [re.sub(r'[\x00-\x1f\x7f:*?"<>|]', "_", part).strip() for part in parts]
    kept = [_shortened(part) for part in kept if part not in ("", ".", "..")]
    return "/".join(kept[-8:]) or "file"


def _shortened(part: str) -> str:
    """At most 200 bytes, the extension kept: file systems allow 255."""
    if len(part.encode()) <= 200:
        return part
    stem, dot, extension = part.rpartition(".")
    ending = (dot + extension)[-20:]
    return (stem or part).encode()[:160].decode(errors="ignore") + ending


def _plan(source: Path, prefix: str, *, leave_out: Path | None) -> list[tuple[Path, str]]:
    if not source.exists():
        raise DataError(f"{source} does not exist. Give a folder, a zip, or picture files.")
    if source.is_file():
        return [(source, prefix + source.name)]
    left_out = leave_out.resolve() if leave_out else None
    found = []
    for folder, subfolders, names in os.walk(source):
        subfolders[:] = sorted(
            name for name in subfolders if not name.startswith(".") and (Path(folder) / name).resolve() != left_out
        )
        for name in sorted(names):
            path = Path(folder) / name
            if not name.startswith(".") and path.is_file() and path.resolve() != left_out:
                found.append((path, prefix + path.relative_to(source).as_posix()))
    return found


def _free(name: str, taken: set[str]) -> str:
    if name in taken:
        raise DataError(f"Two sources hold a file {name}. Import the folder that holds both, or rename one.")
    return name


def _check(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    def refuse(reason: str) -> UnreadableFile:
        return UnreadableFile(f"{archive.name} is not unpacked: {reason}.")

    if len(members) > MAX_MEMBERS:
        raise refuse(f"it holds {len(members):,} files, at most {MAX_MEMBERS:,} are allowed; import the folder instead")
    total = sum(member.file_size for member in members)
    if total > MAX_BYTES:
        raise refuse(f"it unpacks to {total / 2**30:.1f} GB, at most {MAX_BYTES / 2**30:.0f} GB are allowed")
    for member in members:
        name = member.filename.replace("\\", "/")
        if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/") or "\0" in name:
            raise refuse(f"the path {member.filename!r} leads out of the folder")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise refuse(f"{member.filename!r} is a link")
        if member.flag_bits & 1:
            raise refuse(f"{member.filename!r} is protected with a password")
        if member.file_size > RATIO_FROM and member.file_size > MAX_RATIO * max(1, member.compress_size):
            raise refuse(f"{member.filename!r} unpacks to {member.file_size / 2**20:.0f} MB from next to nothing")
