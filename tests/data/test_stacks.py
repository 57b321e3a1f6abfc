"""Files of several pages whose mask has other pages than the picture. Oracle: the class ids that they were made of."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.data import drops
from unetlab.data import changes
from unetlab.data.dataset import open_dataset
from unetlab.data.importing import discard, examine, import_dataset, stage_into, staging_folder
from unetlab.data.readers.images import read_mask
from unetlab.data.readers.planes import EVERY_PAGE, MAX_PLANES, class_numbers
from unetlab.errors import DataError, UnreadableFile
from unetlab.workspace import own_workspace

COUNT, CLASSES = 5, 3


def one_hot(number: int) -> np.ndarray:
    ids = drops.disc(number, classes=CLASSES)
    return (ids == np.arange(CLASSES)[:, None, None]).astype(np.uint8)


def bring(folder: Path, planes: Callable[[int], np.ndarray], *, pages: int = 1) -> Path:
    """Pairs of a picture of `pages` pages and a mask of the pages that `planes` gives for its number."""
    for number in range(COUNT):
        pixels = np.stack([drops.grey(number + 10 * page) for page in range(pages)])
        for part, array in (("images", pixels), ("masks", planes(number))):
            (folder / part).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / part / f"{number}.tif", array, photometric="minisblack")
    return folder


ENCODINGS = [
    lambda planes: planes,
    lambda planes: planes * np.uint8(255),
    lambda planes: planes.astype(bool),
    lambda planes: planes.astype(np.float32),
    lambda planes: planes.astype(np.uint16) * np.uint16(65535),
]


@pytest.mark.parametrize("encode", ENCODINGS)
def test_masks_of_one_page_a_class_hold_the_numbers_of_the_pages(encode, tmp_path):
    folder = bring(tmp_path, lambda number: encode(one_hot(number)))
    manifest = import_dataset(own_workspace(), [folder], name="stacks")
    data = open_dataset(own_workspace(), "stacks")
    assert [info.values for info in manifest.classes] == [[0], [1], [2]]
    assert manifest.classes[0].is_background
    for index in range(COUNT):
        assert np.array_equal(data.mask(index), drops.disc(index, classes=CLASSES))
    (told,) = (finding for finding in manifest.findings if "pages" in finding.code)
    assert (told.severity, told.code) == ("info", "pages-are-classes")
    assert told.message.startswith("5 of 5 masks have one page for each class")
    (first,) = told.fixes
    manifest = changes.revise(data.folder, first.change)
    assert "pages-are-classes" not in {finding.code for finding in manifest.findings}
    assert np.array_equal(open_dataset(own_workspace(), "stacks").mask(0) == 1, one_hot(0)[0] == 1)


def none_set(number: int) -> np.ndarray:
    planes = one_hot(number)
    planes[0, 0, 0] = 0
    return planes


def two_set(number: int) -> np.ndarray:
    planes = one_hot(number)
    planes[:2, 0, 0] = 1
    return planes


OTHERS = [
    (1, lambda number: one_hot(number)[1:], "1 in the picture, 2 in the mask"),  # the background has no page
    (1, none_set, "1 in the picture, 3 in the mask"),
    (1, two_set, "1 in the picture, 3 in the mask"),
    (1, lambda number: one_hot(number) * np.array([1, 2, 3], np.uint8)[:, None, None], "3 in the mask"),
    (1, lambda number: np.stack([drops.binary(number)] * 4), "1 in the picture, 4 in the mask"),
    (3, lambda number: drops.binary(number)[None], "3 in the picture, 1 in the mask"),
    (2, one_hot, "2 in the picture, 3 in the mask"),
]


@pytest.mark.parametrize(("pages", "planes", "words"), OTHERS)
def test_other_numbers_of_pages_are_a_question_that_a_click_answers(pages, planes, words, tmp_path):
    folder = staging_folder(own_workspace())
    stage_into(folder, [bring(tmp_path, planes, pages=pages)])
    (told,) = (finding for finding in examine(folder).findings if finding.code == "pages")
    assert told.severity == "error"
    assert words in told.message
    assert [fix.change for fix in told.fixes] == [{"pages": "first"}, {"pages": "each"}]
    for fix in told.fixes:
        manifest = changes.revise(folder, fix.change)
        assert not [finding.code for finding in manifest.findings if finding.severity == "error"]
        wanted = COUNT * (min(pages, planes(0).shape[0]) if fix.change["pages"] == "each" else 1)
        assert len(manifest.pairs) == wanted
    discard(folder)
    with pytest.raises(DataError, match=r"another number of pages than the picture.*--pages first or each"):
        import_dataset(own_workspace(), [tmp_path], name="stacks")


def test_one_odd_pair_among_stacks_of_classes_is_asked_about_and_can_be_left_out(tmp_path):
    folder = bring(tmp_path, lambda number: none_set(number) if number == 3 else one_hot(number))
    staging = staging_folder(own_workspace())
    stage_into(staging, [folder])
    (told,) = (finding for finding in examine(staging).findings if finding.code == "pages")
    assert told.message.startswith("A mask has another number of pages than the picture (3: 1 in the picture")
    assert told.fixes[-1].change == {"excluded": ["images/3.tif"]}
    manifest = changes.revise(staging, told.fixes[-1].change)
    assert not [finding for finding in manifest.findings if finding.severity == "error"]
    assert [info.values for info in manifest.classes] == [[0], [1], [2]]


def test_as_many_pages_in_the_mask_as_in_the_picture_belong_together_page_by_page(tmp_path):
    manifest = import_dataset(own_workspace(), [bring(tmp_path, one_hot, pages=CLASSES)], name="stacks")
    assert len(manifest.pairs) == COUNT * CLASSES


def test_a_lost_cache_of_stacked_masks_is_filled_again(tmp_path):
    import_dataset(own_workspace(), [bring(tmp_path, one_hot)], name="stacks")
    data = open_dataset(own_workspace(), "stacks")
    for path in (data.folder / "cache").glob("*/index.json"):
        path.unlink()
    assert np.array_equal(data.mask(2), drops.disc(2, classes=CLASSES))


def test_channels_that_are_one_a_class_become_classes_too_and_other_ones_are_refused(tmp_path):
    ids = drops.disc(0, classes=4)
    planes = (ids[:, :, None] == np.arange(4)).astype(np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, planes, photometric="minisblack", planarconfig="contig")
    assert np.array_equal(read_mask(path).pixels[:, :, 0], ids)
    planes[0, 0, :2] = 1
    tifffile.imwrite(path, planes, photometric="minisblack", planarconfig="contig")
    with pytest.raises(UnreadableFile, match=r"^a\.tif has 4 channels; a mask has one"):
        read_mask(path)


def test_more_planes_than_numbers_and_pages_in_colour_are_no_classes(tmp_path):
    planes = np.eye(MAX_PLANES + 1, dtype=np.uint8)
    assert class_numbers(planes[:-1, None, :-1], "a.tif").ravel().tolist() == list(range(MAX_PLANES))
    with pytest.raises(UnreadableFile, match="not one a class"):
        class_numbers(planes[:, None], "a.tif")
    colours = np.zeros((2, 8, 8, 3), np.uint8)
    colours[0, :4] = colours[1, 4:] = 255
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    with pytest.raises(UnreadableFile, match="3 channels each"):
        read_mask(tmp_path / "a.tif", page=EVERY_PAGE)
