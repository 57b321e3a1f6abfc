"""A living set: pictures added, replaced, left out; decisions changed; and what runs saw before stays."""

import shutil
import threading

import numpy as np
import pytest
from PIL import Image

from tests.data.drops import binary, photo, save
from unetlab.data import changes
from unetlab.data.dataset import open_dataset, open_folder
from unetlab.data.importing import commit, examine, import_dataset, stage_into, staging_folder, working_on
from unetlab.data.inspection import read_arrival
from unetlab.data.manifest import Finding
from unetlab.errors import DataError
from unetlab.workspace import own_workspace


@pytest.fixture
def cells(tmp_path):
    """Ten pairs imported as `cells`; the folder they came from."""
    for number in range(10):
        save(tmp_path / "drop" / "images" / f"{number}.png", photo(number))
        save(tmp_path / "drop" / "masks" / f"{number}.png", binary(number))
    import_dataset(own_workspace(), [tmp_path / "drop"], name="cells")
    return tmp_path / "drop"


def folder():
    return open_dataset(own_workspace(), "cells").folder


def more(path, numbers, *, label=binary):
    for number in numbers:
        save(path / "images" / f"{number}.png", photo(number + 100))
        save(path / "masks" / f"{number}.png", label(number + 1))
    return path


def splits():
    return {pair.name: pair.split for pair in open_dataset(own_workspace(), "cells").manifest.pairs}


def test_a_warning_is_called_right_and_taken_back_without_a_new_version(cells):
    warning = changes.revise(folder(), {"excluded": ["images/0.png"]}).findings[0]
    version = open_dataset(own_workspace(), "cells").manifest.version
    changes.acknowledge(folder(), [warning.key, "other"])
    changes.acknowledge(folder(), [warning.key])
    assert open_dataset(own_workspace(), "cells").manifest.choices.acknowledged == ["other", warning.key]
    kept = changes.revise(folder(), {"excluded": ["images/1.png"]})
    assert kept.choices.acknowledged == ["other", warning.key]
    changes.acknowledge(folder(), [warning.key], is_right=False)
    manifest = open_dataset(own_workspace(), "cells").manifest
    assert (manifest.choices.acknowledged, manifest.version) == (["other"], version + 1)
    assert manifest.content_hash == kept.content_hash


def test_another_number_or_file_is_another_warning():
    one = Finding(code="odd", message="2 are odd.", files=["a.png", "b.png"])
    assert one.key == one.model_copy(update={"advice": "Look."}).key
    assert one.key != one.model_copy(update={"message": "3 are odd."}).key
    assert one.key != one.model_copy(update={"files": ["a.png", "c.png"]}).key


def test_a_split_keeps_its_share_until_the_set_is_stored_and_then_tells_the_new_one(cells):
    staging = staging_folder(own_workspace())
    stage_into(staging, [cells])
    valid = [pair.image for pair in examine(staging).pairs if pair.split == "valid"]
    assert len(valid) == 2
    after = changes.revise(staging, {"excluded": valid})
    assert [pair.split for pair in after.pairs].count("valid") == 2
    assert "Split: 25% for validation (the nearest to 20% of 8 pictures), at random (seed 0)." in after.decisions

    stored = [pair.image for pair in open_dataset(own_workspace(), "cells").manifest.pairs if pair.split == "train"]
    after = changes.revise(folder(), {"excluded": stored[:5]})
    why = "20% were chosen; pictures keep their side when others come or go"
    assert f"Split: 40% for validation ({why}), at random (seed 0)." in after.decisions


def test_added_pictures_make_a_new_version_and_move_nobody(cells, tmp_path):
    before = splits()
    manifest = changes.add_files(folder(), [more(tmp_path / "new", range(10, 16))])
    assert (len(manifest.pairs), manifest.version) == (16, 2)
    assert {name: split for name, split in splits().items() if name in before} == before
    assert list(splits().values()).count("valid") == 3
    assert np.array_equal(open_dataset(own_workspace(), "cells").mask(12), binary(13) // 255)
    assert [path.name for path in own_workspace().datasets.glob(".staging*")] == []


def test_a_picture_of_the_same_name_replaces_the_old_one(cells, tmp_path):
    old = open_dataset(own_workspace(), "cells").manifest
    save(tmp_path / "new" / "images" / "3.png", photo(77))
    save(tmp_path / "new" / "masks" / "3.png", binary(9))
    manifest = changes.add_files(folder(), [tmp_path / "new"])
    assert (len(manifest.pairs), manifest.version) == (10, 2)
    data = open_dataset(own_workspace(), "cells")
    assert np.array_equal(np.round(data.image(3) * 255), photo(77))
    before = open_dataset(own_workspace(), "cells", version=old.content_hash)
    assert np.array_equal(np.round(before.image(3) * 255), photo(3))


def test_the_old_version_stands_even_when_the_cache_is_lost(cells, tmp_path):
    old = open_dataset(own_workspace(), "cells").manifest
    changes.add_files(folder(), [more(tmp_path / "new", [3])])
    shutil.rmtree(folder() / "cache")
    before = open_dataset(own_workspace(), "cells", version=old.content_hash)
    assert np.array_equal(np.round(before.image(3) * 255), photo(3))
    assert np.array_equal(before.mask(3), binary(3) // 255)
    assert np.array_equal(np.round(open_dataset(own_workspace(), "cells").image(3) * 255), photo(103))


def test_files_that_would_make_the_set_unusable_are_not_taken(cells, tmp_path):
    old = open_dataset(own_workspace(), "cells").manifest
    for number in range(10):
        save(tmp_path / "new" / "masks" / f"{number}.png", 0 * binary(number))
    with pytest.raises(DataError, match="only the value 0"):
        changes.add_files(folder(), [tmp_path / "new"])
    assert open_dataset(own_workspace(), "cells").manifest == old
    assert np.array_equal(np.asarray(Image.open(folder() / "originals" / "masks" / "4.png")), binary(4))
    shutil.rmtree(folder() / "cache")
    assert np.array_equal(open_dataset(own_workspace(), "cells").mask(4), binary(4) // 255)


def test_boxes_stay_boxes_when_what_was_added_is_not_taken(cells, tmp_path):
    import_dataset(own_workspace(), [cells / "images"], masks=cells / "masks", name="boxed")
    boxed = open_dataset(own_workspace(), "boxed").folder
    for number in range(10):
        save(tmp_path / "new" / "masks" / f"{number}.png", 0 * binary(number))
    with pytest.raises(DataError, match="only the value 0"):
        changes.add_files(boxed, [tmp_path / "new"])
    assert read_arrival(boxed).is_boxed


def test_values_that_the_reading_does_not_know_are_ignored_and_told(cells, tmp_path):
    import_dataset(own_workspace(), [cells], name="other")
    changes.update_classes(folder(), names={1: "nucleus"})  # an edited reading stays
    changes.add_files(folder(), [more(tmp_path / "new", [10, 11], label=lambda number: binary(number) // 255 * 7)])
    manifest = open_dataset(own_workspace(), "cells").manifest
    (told,) = (finding for finding in manifest.findings if finding.code == "unknown-values")
    assert "7" in told.message
    assert manifest.classes[1].name == "nucleus"
    assert set(np.unique(open_dataset(own_workspace(), "cells").mask(10))) == {0, 255}


def test_a_pair_is_left_out_and_brought_back_where_it_was(cells):
    before = splits()
    manifest = changes.revise(folder(), {"excluded": ["images/4.png"]})
    assert len(manifest.pairs) == 9
    assert "4" not in splits()
    assert [finding.files for finding in manifest.findings if finding.code == "excluded"] == [["images/4.png"]]
    assert {name: split for name, split in before.items() if name != "4"} == splits()
    (back,) = (finding.fixes[0] for finding in manifest.findings if finding.code == "excluded")
    assert len(changes.revise(folder(), back.change).pairs) == 10


def test_the_last_word_on_a_picture_counts(cells):
    names = {pair.image: pair.mask for pair in open_dataset(own_workspace(), "cells").manifest.pairs}

    def pairs_after(change):
        return {pair.image: pair.mask for pair in changes.revise(folder(), change).pairs}

    assert pairs_after({"apart": [("images/1.png", "masks/1.png")]}).keys() == names.keys() - {"images/1.png"}
    swapped = [("images/1.png", "masks/2.png"), ("images/2.png", "masks/1.png")]
    assert pairs_after({"pairs": swapped}) == names | dict(swapped)
    assert pairs_after({"pairs": [("images/1.png", "masks/1.png"), ("images/2.png", "masks/2.png")]}) == names
    assert "images/1.png" not in pairs_after({"apart": [("images/1.png", "masks/1.png")]})
    excluded = {"excluded": ["images/4.png", "images/5.png"]}
    assert not pairs_after(excluded).keys() & set(excluded["excluded"])
    assert "images/5.png" not in pairs_after({"included": ["images/4.png"]})


def test_swapped_boxes_are_found_and_swapped_by_one_click_pairs_by_hand_too(cells):
    staging = staging_folder(own_workspace())
    stage_into(staging, [cells / "masks"], masks=cells / "images")
    report = examine(staging)
    (told,) = report.findings  # photographs are not read as masks
    assert (told.code, told.severity) == ("swapped", "error")
    assert (report.reading, report.classes, len(report.pairs)) == (None, [], 10)
    manifest = changes.revise(staging, told.fixes[0].change)
    assert not [finding for finding in manifest.findings if finding.severity == "error"]
    by_hand = ("masks/1.png", "images/2.png")  # as they were dropped: pictures in the box for masks
    manifest = changes.revise(staging, {"pairs": [by_hand]})
    assert by_hand in {(pair.image, pair.mask) for pair in manifest.pairs}
    assert np.array_equal(np.round(open_folder(staging).image(0) * 255), photo(0))
    commit(staging, name="swapped")


def test_swapped_boxes_that_are_filled_anew_are_split_as_if_they_had_been_right_from_the_start(cells, tmp_path):
    staging = staging_folder(own_workspace())
    stage_into(staging, [cells / "masks"], masks=cells / "images")
    examine(staging)
    changes.add_files(staging, [cells / "images"], masks=cells / "masks")
    found = open_folder(staging).manifest
    assert not [finding for finding in found.findings if finding.severity == "error"]
    assert {pair.name: pair.split for pair in found.pairs} == splits()


def test_a_chosen_reading_counts_no_pixels_of_pictures_that_were_there_when_it_was_chosen(cells, tmp_path):
    def dotted(seed):
        label = binary(seed)
        label[0, :5] = 1
        return label

    changes.add_files(folder(), [more(tmp_path / "more", range(10, 14), label=dotted)])
    chosen = changes.revise(folder(), reading="binary")
    assert chosen.choices.reading is not None
    assert chosen.choices.reading.meaning.endswith("1 (20 pixels) becomes background")
    found = changes.add_files(folder(), [more(tmp_path / "others", range(14, 20), label=dotted)])
    words = "2 classes: 255 is the foreground, 0 the background; 1 becomes background"
    assert found.reading is not None
    assert (found.reading.key, found.reading.meaning, found.decisions[0]) == ("binary", words, f"Masks: {words}.")


def test_a_change_that_moves_no_pixel_keeps_the_version(cells):
    assert changes.revise(folder(), {"excluded": ["images/4.png"]}).version == 2
    assert changes.update_classes(folder(), names={1: "nucleus"}).version == 2
    assert changes.revise(folder(), {"seed": 9}).version == 3


def test_a_new_split_is_an_explicit_act(cells):
    before = splits()
    assert changes.revise(folder(), {}).version == 1
    assert splits() == before
    changes.revise(folder(), {"valid_fraction": 0.5})
    assert list(splits().values()).count("valid") == 5


def test_two_changes_at_once_do_not_meet(cells):
    held, go_on = threading.Event(), threading.Event()

    def hold():
        with working_on(folder()):
            held.set()
            go_on.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    with pytest.raises(DataError, match="being changed by another job"):
        changes.revise(folder(), {"seed": 3})
    go_on.set()
    holder.join()
    assert changes.revise(folder(), {"seed": 3}).choices.seed == 3


def test_changed_originals_are_named(cells):
    assert changes.changed_files(open_dataset(own_workspace(), "cells")) == []
    save(folder() / "originals" / "images" / "5.png", photo(55))
    (folder() / "originals" / "masks" / "6.png").unlink()
    assert changes.changed_files(open_dataset(own_workspace(), "cells")) == ["images/5.png", "masks/6.png"]


def test_a_version_that_is_gone_is_told(cells):
    with pytest.raises(DataError, match="has no version"):
        open_dataset(own_workspace(), "cells", version="0" * 32)
    with pytest.raises(DataError, match="not a valid name"):
        open_dataset(own_workspace(), "cells", version="../../manifest")


def test_nothing_lies_around(cells):
    assert [path.name for path in own_workspace().datasets.iterdir()] == ["cells"]
