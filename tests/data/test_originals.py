"""Of the text files in a drop those are kept that something was read from; the rest is nobody's business."""

import json
import zipfile

import numpy as np

from tests.data.drops import binary, photo, save
from unetlab.data import changes, portable
from unetlab.data.dataset import open_dataset
from unetlab.data.importing import commit, examine, import_dataset, stage_into, staging_folder
from unetlab.workspace import own_workspace

STRAYS = {
    "notes.txt": "password: 1234",
    "patients.csv": "patient,born\nA. Smith,1950\nB. Jones,1962\n",
    "masks/other.json": json.dumps({"key": "secret"}),
    "config.json": json.dumps({"token": "secret"}),
    "measured.tsv": "image\tmask\nelsewhere/a.png\telsewhere/b.png\n",
    "labels.csv": "name\n" + "".join(f"person {number}\n" for number in range(90_000)),
}
USED = {
    "classes.txt": "background\nnucleus\n",
    "val.txt": "1\n2\n",
    "train.txt": "0\n3\n4\n5\n",
    "pairs.csv": "image,mask\nimages/0.png,masks/m0.png\nimages/1.png,masks/m1.png\n",
}


def drop(folder, numbers=range(6), *, texts=None):
    for number in numbers:
        save(folder / "images" / f"{number}.png", photo(number))
        save(folder / "masks" / f"m{number}.png", binary(number))
    for name, text in (texts or {}).items():
        (folder / name).write_text(text)
    return folder


def texts_of(folder):
    originals = folder / "originals"
    return {p.relative_to(originals).as_posix() for p in originals.rglob("*") if p.is_file() and p.suffix != ".png"}


def labelme(folder, stem, label):
    shape = {"label": label, "points": [[4, 5], [20, 30]], "shape_type": "rectangle"}
    content = {"shapes": [shape], "imagePath": f"{stem}.png", "imageHeight": 48, "imageWidth": 40}
    (folder / f"{stem}.json").write_text(json.dumps(content))


def test_stray_text_files_are_neither_kept_nor_handed_out(tmp_path):
    manifest = import_dataset(own_workspace(), [drop(tmp_path / "drop", texts=STRAYS | USED)], name="cells")
    data = open_dataset(own_workspace(), "cells")
    assert texts_of(data.folder) == USED.keys()
    assert STRAYS.keys() <= {*manifest.ignored_files}
    portable.export_zip(data, tmp_path / "cells.zip")
    with zipfile.ZipFile(tmp_path / "cells.zip") as archive:
        packed = {name.removeprefix("originals/") for name in archive.namelist() if not name.endswith(".png")}
        assert packed == {"manifest.json", "arrival.json", *USED}
    again = changes.revise(data.folder, {"seed": 7})
    assert STRAYS.keys() <= {*again.ignored_files}, "they are still told"
    assert [pair.split for pair in again.pairs] == [pair.split for pair in manifest.pairs]


def test_a_set_of_an_earlier_unetlab_hands_out_no_strays_either(tmp_path):
    import_dataset(own_workspace(), [drop(tmp_path / "drop")], name="cells")
    folder = open_dataset(own_workspace(), "cells").folder
    (folder / "originals" / "notes.txt").write_text("password: 1234")
    changes.revise(folder, {})
    portable.export_zip(open_dataset(own_workspace(), "cells"), tmp_path / "cells.zip")
    assert "originals/notes.txt" not in zipfile.ZipFile(tmp_path / "cells.zip").namelist()


def test_drawn_masks_stay_the_same_when_other_annotations_go(tmp_path):
    """The other file outlines pictures that are not there, and has more classes than those in use."""
    for number in range(4):
        save(tmp_path / "drop" / f"{number}.png", photo(number))
        labelme(tmp_path / "drop", number, "cell")
    categories = [{"id": number, "name": f"a thing {number}"} for number in range(5)]
    outline = {"image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]}
    other = {"images": [{"id": 1, "file_name": "gone.png"}], "categories": categories, "annotations": [outline]}
    (tmp_path / "drop" / "other.json").write_text(json.dumps(other))
    first = import_dataset(own_workspace(), [tmp_path / "drop"], name="cells")
    data = open_dataset(own_workspace(), "cells")
    assert texts_of(data.folder) == {f"{number}.json" for number in range(4)}
    written = {path: path.stat().st_mtime_ns for path in (data.folder / "made").rglob("*.png")}
    assert changes.revise(data.folder, {}).pairs == first.pairs
    assert {path: path.stat().st_mtime_ns for path in (data.folder / "made").rglob("*.png")} == written
    portable.export_zip(data, tmp_path / "cells.zip")
    again = import_dataset(own_workspace(), [tmp_path / "cells.zip"], name="again")
    assert (again.pairs, again.content_hash) == (first.pairs, first.content_hash)
    assert np.array_equal(np.unique(open_dataset(own_workspace(), "again").mask(0)), [0, 1])


def test_until_a_set_is_kept_files_wait_for_the_pictures_that_they_speak_of(tmp_path):
    for number in range(4):
        save(tmp_path / "later" / f"{number}.png", photo(number))
    drop(tmp_path / "first", range(10, 12))
    (tmp_path / "then").mkdir()
    labelme(tmp_path / "then", 1, "cell")
    staging = staging_folder(own_workspace())
    stage_into(staging, [tmp_path / "first"])
    examine(staging)
    assert "1.json" in changes.add_files(staging, [tmp_path / "then"]).ignored_files
    manifest = changes.add_files(staging, [tmp_path / "later"])
    assert "1.json" not in manifest.ignored_files
    assert len(commit(staging, name="cells").pairs) == 3


def test_what_is_added_later_leaves_no_strays_and_takes_nothing_away(tmp_path):
    import_dataset(own_workspace(), [drop(tmp_path / "drop", texts=USED | {"test.txt": "20\n"})], name="cells")
    folder = open_dataset(own_workspace(), "cells").folder
    assert "test.txt" not in texts_of(folder)  # it named nothing
    manifest = changes.add_files(
        folder, [drop(tmp_path / "new", range(20, 21), texts={"test.txt": "20\n", "notes.txt": "secret"})]
    )
    assert texts_of(folder) == {*USED, "test.txt"}
    assert manifest.ignored_files == ["notes.txt"]
    assert next(pair.split for pair in manifest.pairs if pair.image.endswith("20.png")) == "test"
