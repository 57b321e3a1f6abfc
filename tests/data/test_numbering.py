"""Class files that number the classes differently from folder to folder: mapped by name, or asked about."""

import json

import numpy as np
import pytest
from PIL import Image

from tests import tiny
from tests.data.drops import disc, photo, save
from unetlab.data import changes, portable
from unetlab.data.dataset import open_dataset, open_folder
from unetlab.data.importing import examine, import_dataset, stage_into, staging_folder
from unetlab.data.labels.class_files import ClassFile
from unetlab.data.labels.class_folders import ClassFolders
from unetlab.errors import DataError
from unetlab.workspace import own_workspace

CAT_DOG, DOG_CAT = ("background", "cat", "dog"), ("background", "dog", "cat")
COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)
LEVELS = np.array([0, 100, 200], np.uint8)


def pets(number):
    """Class ids: background, more of cat, less of dog."""
    ids = disc(number, classes=3)
    ids[-2:] = 1
    return ids


def as_palette(ids):
    picture = Image.fromarray(ids)
    picture.putpalette(COLOURS.tobytes())
    return picture


def folder_of(folder, names, numbers, *, encode=lambda ids: ids, written="classes.txt", order=(0, 1, 2)):
    """Pairs whose masks number background, cat and dog in this order of values, and a class file that says so."""
    for number in numbers:
        save(folder / "images" / f"{number}.png", photo(number))
        mask = encode(np.array(order, np.uint8)[pets(number)])
        (folder / "masks").mkdir(exist_ok=True)
        (mask if isinstance(mask, Image.Image) else Image.fromarray(mask)).save(folder / "masks" / f"{number}.png")
    rows = [f"{name},{' '.join(map(str, COLOURS[value]))}" for value, name in enumerate(names)]
    text = "\n".join(["name,color", *rows] if written.endswith(".csv") else names)
    (folder / written).write_text(text)


@pytest.fixture
def swapped(tmp_path):
    """train and valid that number cat and dog the other way round; class ids of the truth are those of train."""
    folder_of(tmp_path / "drop" / "train", CAT_DOG, range(6))
    folder_of(tmp_path / "drop" / "valid", DOG_CAT, range(6, 9), order=(0, 2, 1))
    return tmp_path / "drop"


def are_true(data):
    """Whether each mask is that of its picture, with cat as class 1 and dog as class 2."""
    assert data.class_names == ["background", "cat", "dog"]
    return all(
        np.array_equal(data.mask(index), pets(int(pair.name.rpartition("/")[2])))
        for index, pair in enumerate(data.manifest.pairs)
    )


def only(manifest, code):
    (found,) = (finding for finding in manifest.findings if finding.code == code)
    return found


def report(folder):
    staging = staging_folder(own_workspace())
    stage_into(staging, [folder])
    return staging, examine(staging)


def test_numbers_that_are_swapped_between_folders_are_mapped_by_name(swapped):
    manifest = import_dataset(own_workspace(), [swapped], name="pets")
    data = open_dataset(own_workspace(), "pets")
    assert are_true(data)
    counted = [np.bincount(data.mask(index).ravel(), minlength=3).tolist() for index in range(9)]
    assert [pair.class_pixels for pair in manifest.pairs] == counted
    assert changes.survey_of(data).pixels == dict(enumerate(np.sum(counted, axis=0).tolist()))
    told = only(manifest, "class-numbers")
    assert told.severity == "info"
    assert "valid/classes.txt numbers the classes of its 3 masks otherwise: 1 is 'dog' there" in told.message


@pytest.mark.parametrize(
    ("encode", "written"),
    [
        (as_palette, "classes.txt"),
        (lambda ids: COLOURS[ids], "classes.csv"),
        (lambda ids: np.repeat(ids[:, :, None], 3, axis=2), "classes.txt"),
        (lambda ids: ids.astype(np.uint16), "classes.txt"),
    ],
    ids=["palette", "colours", "greys saved as RGB", "16 bits"],
)
def test_masks_of_any_encoding_are_mapped_by_name(tmp_path, encode, written):
    folder_of(tmp_path / "train", CAT_DOG, range(6), encode=encode, written=written)
    folder_of(tmp_path / "valid", DOG_CAT, range(6, 9), encode=encode, written=written, order=(0, 2, 1))
    import_dataset(own_workspace(), [tmp_path], name="pets")
    assert are_true(open_dataset(own_workspace(), "pets"))


def test_lists_without_the_background_are_mapped_by_name(tmp_path):
    folder_of(tmp_path / "train", CAT_DOG[1:], range(6))
    folder_of(tmp_path / "valid", DOG_CAT[1:], range(6, 9), order=(0, 2, 1))
    import_dataset(own_workspace(), [tmp_path], name="pets")
    assert are_true(open_dataset(own_workspace(), "pets"))


def test_a_file_that_lists_fewer_classes_is_mapped_by_name(tmp_path):
    folder_of(tmp_path / "train", CAT_DOG, range(6))
    folder_of(tmp_path / "valid", ("background", "Dog"), range(6, 9), order=(0, 0, 1))
    import_dataset(own_workspace(), [tmp_path], name="pets")
    data = open_dataset(own_workspace(), "pets")
    truth = pets(7)
    assert np.array_equal(data.mask(7), np.where(truth == 2, 2, 0))


def test_a_set_that_was_mapped_by_name_is_the_same_when_it_is_brought_again(swapped, tmp_path):
    before = import_dataset(own_workspace(), [swapped], name="pets")
    portable.export_zip(open_dataset(own_workspace(), "pets"), tmp_path / "pets.zip")
    after = import_dataset(own_workspace(), [tmp_path / "pets.zip"], name="again")
    assert (after.content_hash, after.pairs) == (before.content_hash, before.pairs)
    assert are_true(open_dataset(own_workspace(), "again"))


def test_other_names_are_a_question_that_one_click_answers(tmp_path):
    folder_of(tmp_path / "drop" / "train", CAT_DOG, range(6))
    folder_of(tmp_path / "drop" / "valid", ("background", "Hund", "Katze"), range(6, 9), order=(0, 2, 1))
    with pytest.raises(DataError, match=r"valid/classes.txt has 'hund', 'katze', which train/classes.txt has not"):
        import_dataset(own_workspace(), [tmp_path / "drop"], name="pets")
    staging, manifest = report(tmp_path / "drop")
    question = only(manifest, "class-file")
    assert question.severity == "error"
    assert [fix.label for fix in question.fixes] == [
        "train/classes.txt holds for all masks",
        "valid/classes.txt holds for all masks",
    ]
    answered = changes.revise(staging, question.fixes[1].change)
    assert open_folder(staging).class_names == ["background", "Hund", "Katze"]
    assert not [finding for finding in answered.findings if finding.severity == "error"]
    assert answered.ignored_files == ["train/classes.txt"]
    (back,) = only(answered, "class-file").fixes
    assert only(changes.revise(staging, back.change), "class-file").severity == "error"


def test_masks_between_two_class_files_are_a_question(swapped):
    for part, name in (("images", "9.png"), ("masks", "9.png")):
        (swapped / part).mkdir()
        (swapped / "valid" / part / "8.png").rename(swapped / part / name)
    _, manifest = report(swapped)
    assert (
        "1 mask such as masks/9.png may mean any of train/classes.txt, valid/classes.txt"
        in only(manifest, "class-file").message
    )


def test_a_value_without_a_name_of_its_own_does_not_get_that_of_another_folder(swapped):
    (swapped / "valid" / "classes.txt").write_text("background\ndog\n")  # 2 is cat, but nobody says so
    _, manifest = report(swapped)
    assert (
        "the value 2 in the masks of valid/classes.txt has no name there, and is 'dog'"
        in only(manifest, "class-file").message
    )


def test_a_threshold_cannot_be_mapped_and_says_so(swapped):
    staging, _ = report(swapped)
    error = only(examine(staging, reading="threshold:1"), "class-file")
    assert (error.severity, len(error.fixes)) == ("error", 2)
    assert "masks read as threshold:1 have no numbers" in error.message
    both = examine(staging, reading="nonzero")  # cats and dogs on one side of the threshold are no matter
    assert not [finding for finding in both.findings if finding.severity == "error"]
    assert np.array_equal(open_folder(staging).mask(7), pets(7) > 0)


def test_a_set_that_is_kept_stays_in_use_when_its_class_files_disagree(swapped):
    """Sets of an earlier unetlab may hold such files; a person can still change something else."""
    (swapped / "valid" / "classes.txt").unlink()
    old = import_dataset(own_workspace(), [swapped], name="pets")
    folder = open_dataset(own_workspace(), "pets").folder
    (folder / "originals" / "valid" / "classes.txt").write_text("background\nHund\nKatze")
    manifest = changes.revise(folder, {})
    assert only(manifest, "class-file").severity == "warning"
    assert manifest.content_hash == old.content_hash
    answer = tiny.told("data", "change", "pets", "--class-file", "valid/classes.txt")
    assert answer["classes"][1]["name"] == "Hund"


def test_masks_that_are_drawn_keep_the_names_of_their_outlines(tmp_path):
    """labels.txt of labelme has an order of its own; drawn masks are numbered by name."""
    for number in range(4):
        save(tmp_path / f"{number}.png", photo(number))
        shapes = [
            {"label": label, "points": [[left, 5], [left + 8, 30]], "shape_type": "rectangle"}
            for label, left in (("dog", 4), ("cat", 20))
        ]
        content = {"shapes": shapes, "imagePath": f"{number}.png", "imageHeight": 48, "imageWidth": 40}
        (tmp_path / f"{number}.json").write_text(json.dumps(content))
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\ndog\ncat\n")
    import_dataset(own_workspace(), [tmp_path], name="pets")
    data = open_dataset(own_workspace(), "pets")
    assert data.class_names[data.mask(0)[10, 8]] == "dog"
    assert data.class_names[data.mask(0)[10, 24]] == "cat"


@pytest.mark.parametrize(
    ("files", "mask", "image", "found"),
    [
        (["a.txt", "train/b.txt"], "train/masks/1.png", "train/images/1.png", ["train/b.txt"]),
        (["a.txt", "train/b.txt"], "valid/1_mask.png", "valid/1.png", ["a.txt"]),
        (["train/about/a.txt", "valid/about/b.txt"], "valid/masks/1.png", "valid/1.png", ["valid/about/b.txt"]),
        (
            ["images/train/a.txt", "images/valid/b.txt"],
            "masks/valid/1.png",
            "images/valid/1.png",
            ["images/valid/b.txt"],
        ),
        (["images/a.txt", "masks/b.txt"], "masks/1.png", "images/1.png", ["masks/b.txt"]),
        (["train/a.txt", "valid/b.txt"], "test/1_mask.png", "test/1.png", ["train/a.txt", "valid/b.txt"]),
        ([], "masks/1.png", "images/1.png", []),
    ],
)
def test_the_nearest_class_file_speaks_of_a_mask(files, mask, image, found):
    folders = ClassFolders([ClassFile(file, {0: file}) for file in files])
    assert [file.file for file in folders.nearest(mask, image)] == found
