"""Pictures with pixels that were not measured. Oracles: the same pictures without gaps; counts by hand."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from unetlab.data.dataset import IGNORE, open_dataset
from unetlab.data.importing import import_dataset
from unetlab.workspace import own_workspace

SIDE, COUNT = 24, 5
GAP = 6  # rows
TAG = (42113, "s", 0)  # GDAL's name for the value of missing data


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(100, 240, (SIDE, SIDE)).astype(np.float32) for _ in range(COUNT)]


def masks() -> list[np.ndarray]:
    ids = np.zeros((SIDE, SIDE), np.uint8)
    ids[2:12, :10] = 1
    return [np.roll(ids, number, axis=1) for number in range(COUNT)]


def bring(folder: Path, fill: float | None, *, dtype: type = np.float32, tag: str = "") -> Path:
    """Pairs of TIFFs; `fill` lies in the first GAP rows of pictures 1 and 3."""
    tags = [(*TAG, tag, True)] if tag else []
    for number, (picture, mask) in enumerate(zip(pictures(), masks(), strict=True)):
        if fill is not None and number in (1, 3):
            picture[:GAP] = fill
        for part, pixels, extra in (("images", picture.astype(dtype), tags), ("masks", mask, [])):
            (folder / part).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / part / f"{number}.tif", pixels, extratags=extra)
    return folder


GAPS = [
    (np.nan, np.float32, ""),
    (-9999, np.float32, ""),
    (-9999, np.float32, "-9999"),
    (-3.4e38, np.float32, ""),
    (-9999, np.int16, ""),
    (-7777, np.int16, "-7777"),
    (0, np.uint16, "0"),
    (65535, np.uint16, "65535"),
]


@pytest.mark.parametrize(("fill", "dtype", "tag"), GAPS)
def test_pixels_that_were_not_measured_set_no_range_and_count_nowhere(fill, dtype, tag, tmp_path):
    whole = import_dataset(own_workspace(), [bring(tmp_path / "whole", None, dtype=dtype)], name="whole")
    manifest = import_dataset(own_workspace(), [bring(tmp_path / "gaps", fill, dtype=dtype, tag=tag)], name="gaps")
    data = open_dataset(own_workspace(), "gaps")
    assert (manifest.low, manifest.high) == (pytest.approx(whole.low, abs=2), pytest.approx(whole.high, abs=2))
    assert (manifest.mean, manifest.std) == (pytest.approx(whole.mean, abs=0.02), pytest.approx(whole.std, abs=0.02))
    for index, (picture, mask) in enumerate(zip(pictures(), masks(), strict=True)):
        is_gap = np.zeros((SIDE, SIDE), bool)
        is_gap[:GAP] = index in (1, 3)
        image, ids = data.image(index), data.mask(index)
        wanted = np.clip((picture - manifest.low[0]) / (manifest.high[0] - manifest.low[0]), 0, 1)
        assert np.allclose(image[~is_gap][:, 0], wanted[~is_gap], atol=1e-5)
        assert np.allclose(image[is_gap], manifest.mean)
        assert np.array_equal(ids, np.where(is_gap, IGNORE, mask))
        assert manifest.pairs[index].class_pixels == [np.count_nonzero(ids == 0), np.count_nonzero(ids == 1)]
    assert sum(info.pixels for info in manifest.classes) == COUNT * SIDE**2 - 2 * GAP * SIDE
    assert manifest.ignored_pixels == 0, "no mask asks for it"
    (told,) = (finding for finding in manifest.findings if finding.code == "invalid-pixels")
    assert f"2 of 5 pictures hold pixels without a measurement, {2 * GAP * SIDE} in all (25 % of them)" in told.message
    assert told.files == ["images/1.tif", "images/3.tif"]


def test_a_set_of_eight_bits_keeps_its_range_and_leaves_out_what_its_files_name(tmp_path):
    manifest = import_dataset(own_workspace(), [bring(tmp_path, 255, dtype=np.uint8, tag="255")], name="gaps")
    assert (manifest.bits, manifest.low, manifest.high) == (8, [0], [255])
    measured = np.concatenate([each[GAP * (place in (1, 3)) :].ravel() for place, each in enumerate(pictures())])
    assert manifest.mean[0] == pytest.approx(measured.mean() / 255, abs=0.02)
    assert (open_dataset(own_workspace(), "gaps").mask(3) == IGNORE).sum() == GAP * SIDE


def test_black_and_saturated_areas_of_ordinary_pictures_count(tmp_path):
    for number, (fill, dtype) in enumerate([(0, np.uint8), (255, np.uint8), (0, np.uint16), (65535, np.uint16)]):
        bring(tmp_path / str(number), fill, dtype=dtype)
        manifest = import_dataset(own_workspace(), [tmp_path / str(number)], name=f"set{number}")
        assert "invalid-pixels" not in {finding.code for finding in manifest.findings}
        assert sum(info.pixels for info in manifest.classes) == COUNT * SIDE**2


def test_a_picture_in_which_nothing_was_measured_is_named_and_breaks_nothing(tmp_path):
    folder = bring(tmp_path, None)
    tifffile.imwrite(folder / "images" / "2.tif", np.full((SIDE, SIDE), -9999, np.float32))
    manifest = import_dataset(own_workspace(), [folder], name="gaps")
    found = {finding.code: finding for finding in manifest.findings}
    assert {found[code].files[0] for code in ("invalid-pixels", "constant-image", "all-ignored")} == {"images/2.tif"}
    assert manifest.low[0] > 90
    data = open_dataset(own_workspace(), "gaps")
    assert (data.mask(2) == IGNORE).all()
    assert np.isfinite(data.image(2)).all()
    for path in (folder / "images").iterdir():
        tifffile.imwrite(path, np.full((SIDE, SIDE), np.nan, np.float32))
    nothing = import_dataset(own_workspace(), [folder], name="nothing")
    assert np.isfinite([*nothing.low, *nothing.high, *nothing.mean, *nothing.std]).all()
