"""A file that threads append rasters to, as fast as the disk takes them.

Two things cost a large import more than decoding does, measured on ext4 with 10,000 pairs: a file that grows write by
write (six times the time of one whose space is reserved), and the kernel's page cache, which copies ten gigabytes
twice. So space is reserved in steps, where the disk has plenty of it, and past DIRECT_FROM the bytes go straight to the
disk (docs/decisions/0008).
"""

import errno
import mmap
import os
import sys
import threading
from pathlib import Path

ALIGNMENT = 4096  # bytes, where each raster begins: what direct writing asks for, and whole pages to be mapped
GROWTH = 256 * 2**20  # bytes reserved at once
DIRECT_FROM = 2**30  # smaller sets stay in the page cache, where the page and the first epoch find them
TOO_MUCH = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a disk, a quota or a limit that a step does not fit in
SLICE = 8 * 2**20  # bytes that a thread hands over at once


class RasterFile:
    """`append` may be called by several threads at once; `close` cuts off what was reserved and not used."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0))
        self._direct = _open_direct(path)
        self._lock = threading.Lock()
        self._buffers = threading.local()
        self._end = self._reserved = 0
        self._grows = True

    def append(self, data: memoryview) -> int:
        """Writes bytes and returns where they begin. Raises OSError when the disk is full."""
        with self._lock:
            offset = -(-self._end // ALIGNMENT) * ALIGNMENT
            self._end = offset + len(data)
            self._reserve()
            if not hasattr(os, "pwrite"):  # Windows
                os.lseek(self._file, offset, os.SEEK_SET)
                os.write(self._file, data)
                return offset
        if self._direct is not None and offset >= DIRECT_FROM:
            self._write_direct(data, offset)
        else:
            _write(self._file, data, offset)
        return offset

    def close(self) -> None:
        """Ends the file after its last raster."""
        os.ftruncate(self._file, self._end)
        os.close(self._file)
        if self._direct is not None:
            os.close(self._direct)

    def _reserve(self) -> None:
        needed = self._end - self._reserved
        if needed <= 0:
            return
        # the first raster as it is, so that small sets stay small on the disk
        size = max(GROWTH, needed) if self._reserved and self._has_room() else needed
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self._file, self._reserved, size)
            except OSError as error:
                if error.errno not in TOO_MUCH or size == needed:
                    raise
                self._grows, size = False, needed
                os.ftruncate(self._file, self._reserved)  # ext4 keeps what it could get of it
                os.posix_fallocate(self._file, self._reserved, needed)
        self._reserved += size

    def _has_room(self) -> bool:
        """Whether space may be reserved in steps: half of what is free stays for others."""
        if not self._grows or not hasattr(os, "fstatvfs"):
            return self._grows
        disk = os.fstatvfs(self._file)
        return disk.f_bavail * disk.f_frsize >= 2 * GROWTH

    def _write_direct(self, data: memoryview, offset: int) -> None:
        """Through a buffer of whole pages; what is written behind the raster lies before the next one."""
        buffer = getattr(self._buffers, "pages", None)
        if buffer is None:
            buffer = self._buffers.pages = mmap.mmap(-1, SLICE)
        for start in range(0, len(data), SLICE):
            part = data[start : start + SLICE]
            buffer[: len(part)] = part
            size = -(-len(part) // ALIGNMENT) * ALIGNMENT
            _write(self._direct, memoryview(buffer)[:size], offset + start)  # type: ignore[arg-type]


def _write(file: int, data: memoryview, offset: int) -> None:
    done = 0
    while done < len(data):  # one call writes at most 2 GiB
        done += os.pwrite(file, data[done:], offset + done)


def _open_direct(path: Path) -> int | None:
    """The file opened for direct writing, or None where system or disk have no such thing."""
    if sys.platform != "linux":
        return None
    try:
        return os.open(path, os.O_WRONLY | os.O_DIRECT)
    except OSError:
        return None
