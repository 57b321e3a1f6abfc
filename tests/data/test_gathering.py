"""What an examination says of drops whose masks are drawn, numbered by a tool, or in files that are not read."""

import json

import numpy as np
import pytest
from PIL import Image

from unetlab.data.importing import examine, import_dataset, stage_into, staging_folder
from unetlab.workspace import own_workspace

SHAPE = (10, 12)


def pictures(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in names:
        Image.fromarray(rng.integers(0, 256, SHAPE, np.uint8)).save(folder / name)


def masks(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.repeat([[0] * 6 + [1] * 6], 10, axis=0).astype(np.uint8)).save(folder / name)


def report(folder):
    staging = staging_folder(own_workspace())
    stage_into(staging, [folder])
    return examine(staging)


def codes(manifest):
    return [finding.code for finding in manifest.findings]


def rectangle(label):
    return {"label": label, "points": [[1, 1], [7, 6]], "shape_type": "rectangle"}


def labelme(folder, stem, *labels):
    content = {"shapes": [rectangle(label) for label in labels], "imagePath": f"{stem}.png", "imageHeight": 10}
    (folder / f"{stem}.json").write_text(json.dumps(content | {"imageWidth": 12}))


def coco(folder, stems):
    content = {
        "images": [{"id": n, "file_name": f"{stem}.png", "height": 10, "width": 12} for n, stem in enumerate(stems)],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [
            {"image_id": n, "category_id": 1, "segmentation": [[1, 1, 7, 1, 7, 6, 1, 6]]} for n in range(len(stems))
        ],
    }
    (folder / "instances.json").write_text(json.dumps(content))


def test_a_set_of_coco_outlines_names_the_file_and_finds_nothing_unused(tmp_path):
    pictures(tmp_path, "a.png", "b.png", "c.png")
    coco(tmp_path, ["a", "b", "c"])
    found = import_dataset(own_workspace(), [tmp_path], name="cells")
    assert {pair.matched_by for pair in found.pairs} == {"outlined in instances.json"}
    assert found.layout == "outlined in instances.json"
    assert found.ignored_files == []
    assert "ignored-files" not in codes(found)


def test_pictures_outlined_by_files_of_their_own_name_each_its_own(tmp_path):
    pictures(tmp_path, "a.png", "b.png", "c.png")
    for stem in "abc":
        labelme(tmp_path, stem, "cell")
    found = import_dataset(own_workspace(), [tmp_path], name="cells")
    assert [pair.matched_by for pair in found.pairs] == [f"outlined in {stem}.json" for stem in "abc"]
    assert found.layout == "outlined in 3 files such as a.json"


def test_a_file_not_used_beside_outlines_is_told_alone(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    coco(tmp_path, ["a", "b"])
    (tmp_path / "notes.txt").write_text("taken in May with the old microscope by the lake\n")
    assert import_dataset(own_workspace(), [tmp_path], name="cells").ignored_files == ["notes.txt"]


@pytest.mark.parametrize(
    ("ending", "folder"),
    [(".nii.gz", "masks"), (".npy", "masks"), (".txt", "labels"), (".dcm", "ct"), (".ppm.gz", "m")],
)
def test_without_pairs_the_endings_that_are_not_read_are_named(ending, folder, tmp_path):
    pictures(tmp_path / "images", *(f"case{number}.png" for number in range(4)))
    (tmp_path / folder).mkdir()
    for number in range(4):
        (tmp_path / folder / f"case{number}{ending}").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    (error,) = (finding for finding in report(tmp_path).findings if finding.code == "no-pairs")
    assert f"4 files ending in {ending} are not read: export them as PNG or TIFF." in error.message


def test_the_commonest_endings_come_first_and_hidden_files_are_not_counted(tmp_path):
    pictures(tmp_path, "1.png", "2.png")
    for name in ("1.npy", "2.npy", "1.xml", "a.md", "b.md", "c.md", ".a.swp", ".b.swp", ".c.swp", "Makefile"):
        (tmp_path / name).write_text("x")
    (error,) = (finding for finding in report(tmp_path).findings if finding.code == "no-pairs")
    assert "2 files ending in .npy and 1 file ending in .xml are not read: export them" in error.message
    assert "swp" not in error.message
    assert ".md" not in error.message


def test_a_table_of_run_lengths_is_named_and_a_lone_text_is_not(tmp_path):
    pictures(tmp_path / "train", "0abc.png", "1abc.png")
    (tmp_path / "train.csv").write_text("id,encoding\n0abc,296084587 4 296115835 6\n1abc,296084587 4 296115835 6\n")
    (tmp_path / "notes.txt").write_text("taken in May with the old microscope by the lake\n")
    (error,) = (finding for finding in report(tmp_path).findings if finding.code == "no-pairs")
    assert error.message.endswith("1 file ending in .csv is not read: export it as PNG or TIFF.")


def test_where_all_files_are_read_no_ending_is_named(tmp_path):
    pictures(tmp_path, "1.png", "2.png")
    (error,) = (finding for finding in report(tmp_path).findings if finding.code == "no-pairs")
    assert "ending in" not in error.message


def test_masks_that_a_labeller_numbered_warn_that_their_order_may_be_another(tmp_path):
    numbers = range(1, 5)
    pictures(tmp_path, *(f"img{number}.png" for number in numbers))
    masks(tmp_path / "PixelLabelData", *(f"Label_{number}.png" for number in numbers))
    found = report(tmp_path)
    (told,) = (finding for finding in found.findings if finding.code == "labeller-order")
    assert told.severity == "warning"
    assert "PixelLabelData/Label_1.png counts in the labeller's order" in told.message
    assert len(told.files) == len(found.pairs) == 4


def test_labels_named_as_their_pictures_need_no_such_warning(tmp_path):
    names = [f"Label_{number}.png" for number in range(1, 5)]
    pictures(tmp_path / "images", *names)
    masks(tmp_path / "PixelLabelData", *names)
    found = report(tmp_path)
    assert len(found.pairs) == 4
    assert "labeller-order" not in codes(found)


def test_numbered_labels_in_any_other_folder_need_no_such_warning(tmp_path):
    pictures(tmp_path / "images", *(f"img{number}.png" for number in range(1, 5)))
    masks(tmp_path / "masks", *(f"Label_{number}.png" for number in range(1, 5)))
    assert "labeller-order" not in codes(report(tmp_path))


def test_a_second_class_file_that_says_the_same_is_passed_over(tmp_path):
    pictures(tmp_path / "images", "1.png", "2.png")
    masks(tmp_path / "masks", "1.png", "2.png")
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    (tmp_path / "labels.txt").write_text("0 sky\n1 road\n")
    found = report(tmp_path)
    assert "class-file" not in codes(found)
    assert found.ignored_files == []
    (tmp_path / "labels.txt").write_text("road\nsky\n")
    found = report(tmp_path)
    assert "class-file" in codes(found)
    assert found.ignored_files == ["labels.txt"]


@pytest.mark.parametrize("stem", ["x" * 240, "\u4e16" * 80], ids=["Latin", "Chinese"])
def test_pictures_with_long_names_get_their_masks(stem, tmp_path):
    names = [f"{stem}{number}.png" for number in range(2)]
    pictures(tmp_path / "drawn", *names)
    coco(tmp_path / "drawn", [name.removesuffix(".png") for name in names])
    assert [pair.name for pair in report(tmp_path / "drawn").pairs] == [name[:-4] for name in names]
