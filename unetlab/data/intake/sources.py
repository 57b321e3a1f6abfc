"""What the user hands over (files, folders, archives, an upload) becomes one folder of plain files.

Nothing hostile gets through: names never leave the folder, archives are capped, links that lead out are not followed.
"""

import errno
import io
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Literal

from PIL import Image

from unetlab.data.in_threads import in_order
from unetlab.data.intake.archives import CHUNK, disk_is_full, safe_part, unpack
from unetlab.data.intake.copy_plan import UNREADABLE, Copy, Plan, plan_copies
from unetlab.data.intake.lists import is_list
from unetlab.data.labels.class_files import is_class_file
from unetlab.data.readers.images import FORMATS, is_picture
from unetlab.errors import DataError
from unetlab.files import size_text

__all__ = ["Needed", "Staged", "measure", "need_space", "safe_name", "save_upload", "stage"]

SPACE_MARGIN = 1.05  # file systems round up each file
SAMPLED_HEADERS = 64

Progress = Callable[[int, int], None]


@dataclass
class Staged:
    """Files now in the staging folder, as names relative to it; `masks` is None when all came in one heap.

    lists: csv, txt and json files. notes: sentences about ignored files that were perhaps meant to be used.
    """

    images: list[str] = field(default_factory=list)
    masks: list[str] | None = None
    class_files: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Needed:
    """What an import will write: files, the pictures (and masks) among them, their bytes, and the bytes decoded."""

    num_files: int
    num_pictures: int
    copy_bytes: int
    decoded_bytes: int


def measure(sources: Sequence[Path], *, masks: Path | None = None) -> Needed:
    """What `stage` will copy, from file sizes and archives' tables of contents; parameters and errors as `stage`.

    10,000 files take well under a second. Only a tar.gz has to be read through.
    """
    return _needed(plan_copies(sources, masks=masks))


def need_space(folder: Path, bytes_needed: int) -> None:
    """Raises DataError, with both figures, unless the disk of `folder` has `bytes_needed` and 5 % more free."""
    there = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    free = shutil.disk_usage(there).free
    if bytes_needed * SPACE_MARGIN > free:
        raise DataError(
            f"This needs about {size_text(bytes_needed)} on the disk of {folder}, where {size_text(free)} are free. "
            "Free some space, or set UNETLAB_HOME to a folder on another disk."
        )


def stage(
    sources: Sequence[Path], *, masks: Path | None = None, into: Path, progress: Progress | None = None
) -> Staged:
    """Copies pictures, class-name files and lists of all sources into the folder `into`, keeping relative paths.

    sources: folders, archives (zip, tar, tar.gz), single files. masks: a folder or archive with the masks; then
    pictures go to `into/images/` and masks to `into/masks/`. One of several folders keeps its name; archives in a
    folder are unpacked in place. Junk, hidden files and unknown files are listed in `ignored`.
    progress: (files written, files to write); what it raises ends the copying.
    Raises DataError for a source that does not exist, two files of one name or a disk that is too small,
    UnreadableFile for an archive that is damaged or must not be unpacked.
    """
    plan = plan_copies(sources, masks=masks)
    needed = _needed(plan)
    need_space(into, needed.copy_bytes + needed.decoded_bytes)
    for folder in {(into / copy.name).parent for copy in plan.copies}:
        folder.mkdir(parents=True, exist_ok=True)
    names: list[str] = []
    with closing(_written(plan, into)) as all_written:  # when progress raises, no thread writes any more
        for written in all_written:
            names.append(written)
            if progress:
                progress(len(names), needed.num_files)
    failed = set(plan.left_out.get(UNREADABLE, ()))
    names = sorted(name for name in names if name not in failed)
    pictures = [name for name in names if is_picture(name)]
    staged = Staged(
        images=[name for name in pictures if not masks or name.startswith("images/")],
        masks=[name for name in pictures if name.startswith("masks/")] if masks else None,
        class_files=[name for name in names if is_class_file(name)],
        lists=[name for name in names if is_list(name)],
        ignored=plan.ignored,
        notes=plan.notes(),
    )
    if not pictures and staged.notes:
        raise DataError("There are no pictures here. " + " ".join(staged.notes))
    return staged


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
                f"Two files are called {relative.removeprefix(f'{box}/')}. Drop pictures and masks into their own "
                "boxes, or upload the folder or a zip of it."
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
    kept = [safe_part(part) for part in parts]
    return "/".join([part for part in kept if part not in ("", ".", "..")][-8:]) or "file"


def _needed(plan: Plan) -> Needed:
    written = list(plan.written())
    num_pictures = sum(is_picture(name) for name, _ in written)
    return Needed(len(written), num_pictures, sum(size for _, size in written), num_pictures * _decoded_size(plan))


def _decoded_size(plan: Plan) -> int:
    """Mean bytes of a decoded picture or mask, from the headers of some of them."""
    found: list[tuple[Path, zipfile.ZipInfo | None]] = [
        (copy.path, None) for copy in plan.copies if is_picture(copy.name)
    ]
    for contents, _ in plan.archives:
        entries = (member.entry for member in contents.kept if is_picture(member.name))
        found += [(contents.archive, entry) for entry in entries if isinstance(entry, zipfile.ZipInfo)]
    sizes = []
    for path, entry in found[:: -(-len(found) // SAMPLED_HEADERS)] if found else ():
        try:
            with Image.open(_head(path, entry) if entry else path, formats=FORMATS) as picture:
                sizes.append(picture.width * picture.height * len(picture.getbands()))
        except Exception:  # whatever is wrong with it is reported when it is decoded
            continue
    return sum(sizes) // len(sizes) if sizes else 0


def _head(archive: Path, entry: zipfile.ZipInfo) -> IO[bytes]:
    with zipfile.ZipFile(archive) as opened, opened.open(entry) as member:
        return io.BytesIO(member.read(CHUNK))


def _written(plan: Plan, into: Path) -> Generator[str, None, None]:
    """Names of files as they are written, in the plan's order, on two cores."""
    for copy, is_copied in zip(plan.copies, in_order(partial(_copy, into), plan.copies, chunk=16), strict=True):
        if not is_copied:
            plan.leave_out(copy.name, UNREADABLE)
        yield copy.name
    for contents, folder in plan.archives:
        yield from (folder + name for name in unpack(contents, into / folder))


def _copy(into: Path, copy: Copy) -> bool:
    """True when the file was copied; False when it cannot be read, and then nothing is left of it."""
    target = into / copy.name
    try:
        copy_content(copy.path, target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_is_full(into) from error
        target.unlink(missing_ok=True)
        return False
    return True


def copy_content(source: Path, target: Path) -> None:
    """Like shutil.copyfile, which takes up to twice as long on ext4: there the file grows write by write."""
    if not (hasattr(os, "posix_fallocate") and hasattr(os, "sendfile")):
        shutil.copyfile(source, target)
        return
    with open(source, "rb") as read, open(target, "wb") as written:
        size, done = os.fstat(read.fileno()).st_size, 0
        if size:
            os.posix_fallocate(written.fileno(), 0, size)
        while sent := os.sendfile(written.fileno(), read.fileno(), done, CHUNK):
            done += sent
        written.truncate(done)  # it may have shrunk meanwhile
