"""Filling the cache: files are read once, named by their content, decoded on all cores and written as they come."""

import errno
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from unetlab import files
from unetlab.data import cache
from unetlab.data.cache import Entry, Facts
from unetlab.data.in_threads import in_order
from unetlab.data.intake.archives import disk_is_full
from unetlab.data.labels.masks import measure_mask
from unetlab.data.raster_file import RasterFile
from unetlab.data.readers.facts import ImageFacts, MaskFacts, Raster
from unetlab.data.readers.images import read_image, read_mask
from unetlab.data.readers.measures import measure_image
from unetlab.errors import UnreadableFile

REPLACED = "replaced"  # folder of files that gave way to newer ones of the same name, by their digest
TIFF_SUFFIXES = (".tif", ".tiff")  # of the files that are read otherwise today than at first
CHUNK = 8  # files that a thread decodes in one go

Role = Literal["image", "mask"]


class Wanted(NamedTuple):
    """One page of a file relative to `originals/`, to be decoded as a picture or as a mask."""

    file: str
    role: Role
    page: int = 0


@dataclass
class Filled:
    """The key of each raster that was wanted, and why the others could not be decoded."""

    keys: dict[Wanted, str] = field(default_factory=dict)
    failures: dict[Wanted, str] = field(default_factory=dict)


def fill(
    folder: Path,
    wanted: Iterable[Wanted],
    *,
    progress: Callable[[int, int], None] | None = None,
    first: Collection[str] = (),
) -> Filled:
    """Decodes what is not in the cache yet into a new shard, on all cores, holding a few rasters in memory.

    progress: (files done, files to look at). Files that did not change since they were last looked at are not
    even opened. first: keys whose rasters are made as they were before files were read as today. Raises what `progress`
    raises; then nothing of this call is kept.
    """
    parent = folder / "cache"
    parent.mkdir(exist_ok=True)
    for leftover in parent.glob(".building-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    pages: dict[tuple[str, Role], list[int]] = {}
    for file, role, page in wanted:
        pages.setdefault((file, role), []).append(page)
    seen = _Seen(folder)
    known = cache.load(folder).entries
    filled = Filled()
    building = parent / f".building-{secrets.token_hex(4)}"
    building.mkdir()
    try:
        with closing(_Shard(building)) as shard:
            decode = partial(_decode_file, folder=folder, seen=seen, known=known, shard=shard, first=first)
            results = in_order(decode, pages.items(), chunk=CHUNK)
            with closing(results):  # its threads end before the shard closes
                for done, ((file, role), found) in enumerate(results, start=1):
                    for page, outcome in found.items():
                        target = filled.keys if outcome.is_key else filled.failures
                        target[Wanted(file, role, page)] = outcome.text
                    if progress:
                        progress(done, len(pages))
        if shard.index:
            os.rename(building, parent / secrets.token_hex(8))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_is_full(folder) from error
        raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    seen.save()
    return filled


class _Outcome(NamedTuple):
    text: str  # the key, or why there is none
    is_key: bool


def _decode_file(
    item: tuple[tuple[str, Role], list[int]],
    *,
    folder: Path,
    seen: "_Seen",
    known: dict[str, Entry],
    shard: "_Shard",
    first: Collection[str],
) -> tuple[tuple[str, Role], dict[int, _Outcome]]:
    (name, role), pages = item
    path = folder / "originals" / name
    content: bytes | None = None
    try:
        digest = seen.digest(name)
        keys = {page: _known_key(f"{digest}.{role}{page}", path, known, first) for page in pages}
        if None in keys.values():
            content = path.read_bytes()
            digest = seen.remember(name, content)
            keys = {page: _known_key(f"{digest}.{role}{page}", path, known, first) for page in pages}
    except OSError as error:
        reason = f"{path.name} cannot be read ({error.strerror})."
        return item[0], dict.fromkeys(pages, _Outcome(reason, is_key=False))
    outcomes = {}
    for page, key in keys.items():
        if key is not None or content is None:
            outcomes[page] = _Outcome(key or "", is_key=True)
        else:
            outcomes[page] = _decode_page(path, content, role, page, f"{digest}.{role}{page}", shard, first)
    return item[0], outcomes


def _known_key(key: str, path: Path, known: dict[str, Entry], first: Collection[str]) -> str | None:
    """The key of a raster in the cache that is what decoding would give; None where there is none."""
    if key + cache.REREAD in known and key not in first:
        return key + cache.REREAD
    is_valid = key in known and (known[key].is_current or key in first or path.suffix.lower() not in TIFF_SUFFIXES)
    return key if is_valid else None


def _decode_page(
    path: Path, content: bytes, role: Role, page: int, key: str, shard: "_Shard", first: Collection[str]
) -> _Outcome:
    try:
        read = read_image if role == "image" else read_mask
        raster = read(path, content=content, page=page, is_as_first=key in first)
    except UnreadableFile as error:
        return _Outcome(str(error), is_key=False)
    key += cache.REREAD if raster.is_reread else ""
    shard.add(key, raster, measure_image(raster) if role == "image" else measure_mask(raster))
    return _Outcome(key, is_key=True)


class _Shard:
    """One `pixels.bin` that threads append to, with its index and facts; `close` completes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index: dict[str, list[Any]] = {}
        self._facts: dict[str, dict[str, Any]] = {"images": {}, "masks": {}}
        self._lock = threading.Lock()
        self._pixels = RasterFile(folder / "pixels.bin")

    def add(self, key: str, raster: Raster, facts: Facts) -> None:
        pixels = np.ascontiguousarray(raster.pixels)
        palette = facts.palette if isinstance(facts, MaskFacts) else {}
        with self._lock:
            if key in self.index:  # two files of one content
                return
            self.index[key] = []
        offset = self._pixels.append(pixels.reshape(-1).view(np.uint8).data)
        filled = None if raster.fill is None else str(raster.fill)
        self.index[key] = [offset, *pixels.shape, pixels.dtype.str, palette, filled]
        self._facts["images" if isinstance(facts, ImageFacts) else "masks"][key] = facts.model_dump(mode="json")

    def close(self) -> None:
        self._pixels.close()
        files.write_json(self.folder / "index.json", self.index, is_compact=True)
        files.write_json(self.folder / "facts.json", self._facts, is_compact=True)


class _Seen:
    """The digests of files that were looked at before, valid while size and time of the file are what they were."""

    def __init__(self, folder: Path) -> None:
        self.originals, self.path = folder / "originals", folder / "cache" / "files.json"
        try:
            self.table: dict[str, list[Any]] = files.read_json(self.path)
        except (OSError, ValueError):
            self.table = {}

    def digest(self, name: str) -> str | None:
        size, time_ns, found = self.table.get(name, (None, None, None))
        status = (self.originals / name).stat()
        return found if (size, time_ns) == (status.st_size, status.st_mtime_ns) else None

    def remember(self, name: str, content: bytes) -> str:
        status = (self.originals / name).stat()
        self.table[name] = [status.st_size, status.st_mtime_ns, found := cache.digest(content)]
        return found

    def save(self) -> None:
        files.write_json(self.path, self.table, is_compact=True)


def refill(folder: Path, keys: Sequence[tuple[str, str]]) -> list[str]:
    """Decodes rasters that a manifest names and the cache lacks, from (file, key); the files that changed since.

    A file that gave way to a newer one of its name is taken from `replaced/`. Keys that were written before files were
    read as today get what they stood for then.
    """
    known = cache.load(folder).entries
    missing = [(file, key) for file, key in keys if key not in known]
    wanted, changed = {}, []
    for file, key in missing:
        kept = f"../{REPLACED}/{cache.digest_of(key)}{Path(file).suffix}"
        role, page = _role_and_page(key)
        wanted[Wanted(kept if (folder / "originals" / kept).exists() else file, role, page)] = (file, key)
    filled = fill(folder, wanted, first={key for _, key in missing})
    for raster, (file, key) in wanted.items():
        if filled.keys.get(raster) != key:
            changed.append(file)
    return changed


def _role_and_page(key: str) -> tuple[Role, int]:
    text = cache.first_key(key).partition(".")[2]
    role: Role = "image" if text.startswith("image") else "mask"
    return role, int(text.removeprefix(role))
