"""Real data sets, outside the repository: imported right at the first try."""

import numpy as np
import pytest

from tests.conftest import TEST_DATA
from unetlab.data import changes
from unetlab.data.dataset import IGNORE, open_dataset
from unetlab.data.importing import import_dataset
from unetlab.workspace import own_workspace

pytestmark = pytest.mark.acceptance


def test_isbi_membranes_are_scored_and_the_white_majority_is_background():
    manifest = import_dataset(own_workspace(), [TEST_DATA / "isbi_membrane"], name="isbi")
    assert len(manifest.pairs) == 30
    assert len(manifest.unmatched_images) == 6
    assert [(info.values, info.is_background) for info in manifest.classes] == [([0], False), ([255], True)]
    assert manifest.classes[1].pixels / sum(info.pixels for info in manifest.classes) == pytest.approx(0.78, abs=0.005)
    assert manifest.channels == 1


def test_camvid_keeps_its_split_and_names_and_ignores_void():
    manifest = import_dataset(own_workspace(), [TEST_DATA / "camvid"], name="camvid")
    data = open_dataset(own_workspace(), "camvid")
    assert [len(data.indices(split)) for split in ("train", "valid", "test")] == [110, 30, 30]
    assert data.class_names[:2] == ["Sky", "Building"]
    assert data.num_classes == 11
    assert data.background is None
    assert manifest.reading.ignored.name == "Unlabelled"
    assert manifest.ignored_pixels / (170 * 360 * 480) == pytest.approx(0.036, abs=0.001)
    assert (data.mask(0) == IGNORE).any()


def test_crackforest_has_its_3_and_4_found_explained_and_one_click_from_binary():
    manifest = import_dataset(own_workspace(), [TEST_DATA / "crackforest"], name="cracks")
    assert len(manifest.pairs) == 118
    assert [info.values for info in manifest.classes] == [[0], [255]]
    assert manifest.ignored_values == [3, 4]
    (told,) = (finding for finding in manifest.findings if finding.code == "reading")
    assert "in 22 of 118 masks" in told.message
    assert "in 5 of 118 masks" in told.message
    (binary,) = (fix for fix in told.fixes if fix.change["reading"]["key"] == "binary")
    manifest = changes.revise(open_dataset(own_workspace(), "cracks").folder, binary.change)
    assert [info.values for info in manifest.classes] == [[0, 3, 4], [255]]
    assert set(np.unique(open_dataset(own_workspace(), "cracks").mask(92))) == {0, 1}
