"""A set whose files are read otherwise today than when it was imported (docs/decisions/0015).

Oracle: what the code of then gave for the set that it stored (tests/stored/make_tiffs.py).
"""

import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from unetlab.data import changes
from unetlab.data.dataset import IGNORE, open_folder

STORED = Path(__file__).parents[1] / "stored" / "tiffs_first.zip"
COUNT = 5


@pytest.fixture
def stored(home: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """The folder of the set that an older unetlab stored, and what it gave for it."""
    with zipfile.ZipFile(STORED) as archive:
        archive.extractall(home, [name for name in archive.namelist() if name.startswith("datasets/")])
        seen = dict(np.load(io.BytesIO(archive.read("seen.npz"))))
    return home / "datasets" / "heights", seen


@pytest.mark.parametrize("is_cache_kept", [True, False])
def test_a_stored_set_gives_what_its_runs_saw_until_it_is_examined_again(stored, is_cache_kept):
    folder, seen = stored
    if not is_cache_kept:
        shutil.rmtree(folder / "cache")
    before = open_folder(folder)
    for index in range(COUNT):
        assert np.array_equal(before.image(index), seen["images"][index])
        assert np.array_equal(before.mask(index), seen["masks"][index])


@pytest.mark.parametrize("is_cache_kept", [True, False])
def test_a_stored_set_that_is_examined_again_is_read_as_today_and_its_runs_keep_their_version(stored, is_cache_kept):
    folder, seen = stored
    before = open_folder(folder).manifest
    if not is_cache_kept:
        shutil.rmtree(folder / "cache")
    manifest = changes.revise(folder, {})
    assert (manifest.version, manifest.content_hash != before.content_hash) == (2, True)
    assert [pair.split for pair in manifest.pairs] == [pair.split for pair in before.pairs]
    assert manifest.low[0] >= 100, "the range of the values that were measured"
    data = open_folder(folder)
    assert [(data.mask(index) == IGNORE).sum() for index in range(COUNT)] == [0, 144, 0, 144, 0]
    assert [info.values for info in manifest.classes] == [[0], [1]], "as stored, though marked white-is-zero"
    assert [np.count_nonzero(data.mask(index) == 1) for index in (0, 2, 4)] == [80, 100, 120]
    assert np.isfinite([data.image(index) for index in range(COUNT)]).all()
    old = open_folder(folder, version=before.content_hash)
    assert all(np.array_equal(old.image(index), seen["images"][index]) for index in range(COUNT))
    assert all(np.array_equal(old.mask(index), seen["masks"][index]) for index in range(COUNT))
    cached = {path.name for path in (folder / "cache").iterdir()}
    assert changes.revise(folder, {}).version == 2
    assert {path.name for path in (folder / "cache").iterdir()} == cached, "nothing is decoded twice"
