"""The file of rasters reserves space in steps, but never asks for more than the disk can spare."""

import errno
import os
from types import SimpleNamespace

import numpy as np
import pytest

from tests.data.drops import binary, photo, save
from unetlab.data import raster_file
from unetlab.data.dataset import open_dataset
from unetlab.data.importing import import_dataset
from unetlab.data.raster_file import ALIGNMENT, GROWTH, RasterFile
from unetlab.errors import DataError
from unetlab.workspace import own_workspace

MIB = 2**20
RASTERS = [np.full(5000, number, np.uint8) for number in range(40)]


@pytest.fixture
def disk(monkeypatch):
    """disk(free, seen=...): one with this many bytes, of which the system says that `seen` are free."""

    def of(free, *, seen=None, error=errno.ENOSPC):
        asked = []

        def reserve(file, offset, size):
            asked.append(size)
            if offset + size > free:
                os.ftruncate(file, free)  # as ext4 does
                raise OSError(error, os.strerror(error))
            assert os.fstat(file).st_size <= offset, "what a failed step could get was given back"
            os.ftruncate(file, max(os.fstat(file).st_size, offset + size))

        room = SimpleNamespace(f_bavail=(free if seen is None else seen) // 512, f_frsize=512)
        monkeypatch.setattr(raster_file.os, "posix_fallocate", reserve, raising=False)
        monkeypatch.setattr(raster_file.os, "fstatvfs", lambda file: room, raising=False)
        return asked

    return of


def written(path):
    """The rasters as they lie in the file, after it was closed."""
    file = RasterFile(path)
    try:
        offsets = [file.append(raster.data) for raster in RASTERS]
    finally:
        file.close()
    content = np.fromfile(path, np.uint8)
    assert len(content) == offsets[-1] + len(RASTERS[-1])
    assert all(offset % ALIGNMENT == 0 for offset in offsets)
    return [content[offset : offset + 5000] for offset in offsets]


@pytest.mark.parametrize(
    ("free", "seen", "error"),
    [
        (MIB, None, errno.ENOSPC),
        (MIB, 10 * GROWTH, errno.ENOSPC),
        (MIB, 10 * GROWTH, errno.EDQUOT),
        (MIB, 10 * GROWTH, errno.EFBIG),
    ],
    ids=["a small disk", "filled by others meanwhile", "a quota", "a limit of file sizes"],
)
def test_on_a_small_disk_rasters_take_what_they_need(tmp_path, disk, free, seen, error):
    asked = disk(free, seen=seen, error=error)
    assert all(map(np.array_equal, written(tmp_path / "pixels.bin"), RASTERS))
    assert asked.count(GROWTH) == (seen is not None), "a step that failed is not tried again"


@pytest.mark.parametrize(("seen", "steps"), [(2 * GROWTH - 512, 0), (2 * GROWTH, 1)])
def test_half_of_what_is_free_stays_for_others(tmp_path, disk, seen, steps):
    asked = disk(10 * GROWTH, seen=seen)
    written(tmp_path / "pixels.bin")
    assert asked.count(GROWTH) == steps


def test_a_small_import_needs_a_small_disk(tmp_path, disk):
    for number in range(6):
        save(tmp_path / "drop" / "images" / f"{number}.png", photo(number))
        save(tmp_path / "drop" / "masks" / f"{number}.png", binary(number))
    disk(MIB // 4)
    assert len(import_dataset(own_workspace(), [tmp_path / "drop"], name="cells").pairs) == 6
    assert np.array_equal(open_dataset(own_workspace(), "cells").mask(5), binary(5) // 255)


def test_a_disk_that_fills_up_while_files_are_decoded_is_said_in_a_sentence(tmp_path, disk):
    for number in range(6):
        save(tmp_path / "drop" / "images" / f"{number}.png", photo(number))
        save(tmp_path / "drop" / "masks" / f"{number}.png", binary(number))
    disk(20_000)
    with pytest.raises(DataError, match=r"The disk of .* is full\. Free some space"):
        import_dataset(own_workspace(), [tmp_path / "drop"], name="cells")
    assert list(own_workspace().datasets.iterdir()) == []
