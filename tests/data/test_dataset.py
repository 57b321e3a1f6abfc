"""A stored data set: opening, rebuilding its cache, and editing its classes."""

import json
import shutil
import time
from functools import partial

import numpy as np
import pytest
from PIL import Image

from unetlab.data import changes
from unetlab.data.content_hash import content_hash
from unetlab.data.dataset import IGNORE, delete_dataset, list_datasets, open_dataset
from unetlab.data.importing import import_dataset
from unetlab.data.labels.masks import Group
from unetlab.errors import DataError
from unetlab.workspace import own_workspace


def update_classes(name, **changed):
    return changes.update_classes(open_dataset(own_workspace(), name).folder, **changed)


@pytest.fixture
def three_classes(make_set):
    """Five pairs whose masks hold classes 0 (half), 1 and 2 (a quarter each)."""
    mask = np.array([[0, 0, 1, 2]] * 4, np.uint8)
    return import_dataset(
        own_workspace(), [make_set({f"{number}.png": np.roll(mask, number, 1) for number in range(5)})], name="cells"
    )


def test_a_missing_set_names_the_nearest_ones(binary_set):
    for name in ("membrane", "cells"):
        import_dataset(own_workspace(), [binary_set], name=name)
    with pytest.raises(DataError, match=r"no data set 'membran'\. There are: membrane"):
        open_dataset(own_workspace(), "membran")


@pytest.mark.parametrize("name", ["..", "../datasets", "a/b", ""])
def test_a_name_cannot_leave_the_folder(name, binary_set):
    import_dataset(own_workspace(), [binary_set], name="cells")
    for action in (partial(open_dataset, own_workspace()), partial(delete_dataset, own_workspace()), update_classes):
        with pytest.raises(DataError, match="not a valid name"):
            action(name)
    assert len(list_datasets(own_workspace())) == 1


def test_a_newer_manifest_is_refused_readably(binary_set, home):
    import_dataset(own_workspace(), [binary_set], name="cells")
    path = home / "datasets" / "cells" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
    with pytest.raises(DataError, match="newer unetlab"):
        open_dataset(own_workspace(), "cells")


def test_a_damaged_manifest_is_refused_readably(binary_set, home):
    import_dataset(own_workspace(), [binary_set], name="cells")
    (home / "datasets" / "cells" / "manifest.json").write_text('{"schema_version": 2}')
    with pytest.raises(DataError, match="damaged"):
        open_dataset(own_workspace(), "cells")


def test_a_set_of_the_first_schema_is_read_with_its_splits_and_decisions(three_classes, home):
    folder = home / "datasets" / "cells"
    update_classes("cells", names={1: "rim"}, ignored=2)
    changes.revise(folder, {"seed": 5})
    before = open_dataset(own_workspace(), "cells").manifest
    old = before.model_dump(mode="json")
    for key in ("choices", "findings", "layout", "version", "class_file"):
        old.pop(key)
    for pair in old["pairs"]:
        for key in ("image_key", "mask_key", "class_pixels", "given_split", "page", "mask_page"):
            pair.pop(key)
    for pair in old["pairs"]:  # as no seed would have it
        pair["split"] = "valid" if pair["name"] in "02" else "train"
    old |= {"schema_version": 1, "valid_fraction": 0.2, "seed": 5, "problems": [], "pixels_hash": "x"}
    (folder / "manifest.json").write_text(json.dumps(old))
    shutil.rmtree(folder / "cache")
    after = open_dataset(own_workspace(), "cells").manifest
    assert [pair.split for pair in after.pairs] == ["valid", "train", "valid", "train", "train"]
    same = {"classes", "low", "high", "mean", "std", "created"}
    assert after.model_dump(include=same) == before.model_dump(include=same)
    assert open_dataset(own_workspace(), "cells").manifest == after


def test_opening_reads_the_manifest_only(binary_set, home):
    import_dataset(own_workspace(), [binary_set], name="cells")
    shutil.rmtree(home / "datasets" / "cells" / "cache")
    assert open_dataset(own_workspace(), "cells").num_classes == 2
    assert not (home / "datasets" / "cells" / "cache").exists()


@pytest.mark.parametrize("damage", ["the whole cache", "one file", "the index"])
def test_a_lost_cache_is_rebuilt_from_the_originals(damage, three_classes, home):
    before = open_dataset(own_workspace(), "cells")
    images = [before.image(index) for index in range(5)]
    masks = [before.mask(index) for index in range(5)]
    folder = home / "datasets" / "cells" / "cache"
    if damage == "the whole cache":
        shutil.rmtree(folder)
    elif damage == "one file":
        next(folder.glob("*/pixels.bin")).unlink()
    else:
        next(folder.glob("*/index.json")).write_text("{")
    data = open_dataset(own_workspace(), "cells")
    assert all(np.array_equal(data.image(index), images[index]) for index in range(5))
    assert all(np.array_equal(data.mask(index), masks[index]) for index in range(5))
    assert len(list(folder.glob("*/index.json"))) == 1


def test_changed_originals_are_noticed_when_the_cache_is_rebuilt(three_classes, home):
    folder = home / "datasets" / "cells"
    shutil.rmtree(folder / "cache")
    Image.new("L", (4, 4)).save(folder / "originals" / "images" / "2.png")
    with pytest.raises(DataError, match="changed since 'cells' was imported"):
        open_dataset(own_workspace(), "cells").image(0)


def test_newest_sets_are_listed_first_and_broken_folders_passed_over(binary_set):
    for name in ("first", "second"):
        import_dataset(own_workspace(), [binary_set], name=name)
        time.sleep(0.005)
    (own_workspace().datasets / "half").mkdir()
    (own_workspace().datasets / "broken").mkdir()
    (own_workspace().datasets / "broken" / "manifest.json").write_text("{")
    assert [manifest.name for manifest in list_datasets(own_workspace())] == ["second", "first"]


def test_deleting_takes_the_folder_away(three_classes, home):
    delete_dataset(own_workspace(), "cells")
    assert [path.name for path in (home / "datasets").iterdir()] == []
    with pytest.raises(DataError, match="There are none yet"):
        delete_dataset(own_workspace(), "cells")


def test_renaming_leaves_pixels_and_hash_alone(three_classes):
    manifest = update_classes("cells", names={1: "rim", 2: "core"})
    assert [info.name for info in manifest.classes] == ["value 0", "rim", "core"]
    assert manifest.content_hash == three_classes.content_hash
    assert open_dataset(own_workspace(), "cells").class_names == ["value 0", "rim", "core"]


def test_the_background_can_be_moved_and_taken_away(three_classes):
    assert three_classes.classes[0].is_background
    assert [info.is_background for info in update_classes("cells", background=2).classes] == [False, False, True]
    assert update_classes("cells", background=None)
    assert open_dataset(own_workspace(), "cells").background is None


def test_each_background_has_a_version_of_its_own(three_classes):
    manifest = update_classes("cells", background=2)
    assert (manifest.version, manifest.content_hash != three_classes.content_hash) == (2, True)
    assert open_dataset(own_workspace(), "cells", version=three_classes.content_hash).background == 0
    assert open_dataset(own_workspace(), "cells", version=manifest.content_hash).background == 2
    assert update_classes("cells", background=0).content_hash == three_classes.content_hash


def in_reading(**changed):
    return lambda manifest: {"reading": manifest.reading.model_copy(update=changed)}


def in_pair(**changed):
    return lambda manifest: {"pairs": [manifest.pairs[0].model_copy(update=changed), *manifest.pairs[1:]]}


def in_classes(**changed):
    return lambda manifest: {"classes": [info.model_copy(update=changed) for info in manifest.classes]}


CHANGES_A_SCORE = {
    "a picture's content": in_pair(image_key="0.image0"),
    "a mask's content": in_pair(mask_key="0.mask0"),
    "how a mask is turned": in_pair(mask_orientation=6),
    "how a mask is renumbered": in_pair(renumbered={1: 2, 2: 1}),
    "the split": in_pair(split="test"),
    "the order of pairs": lambda manifest: {"pairs": manifest.pairs[::-1]},
    "the order of classes": lambda m: in_reading(groups=m.reading.groups[::-1])(m),
    "the values of a class": lambda m: in_reading(groups=[Group(name="a", values=[0, 1]), *m.reading.groups[2:]])(m),
    "the kind of reading": in_reading(kind="nearest"),
    "the part of a pixel": in_reading(part="grey"),
    "a threshold": in_reading(threshold=3),
    "its direction": in_reading(is_inverted=True),
    "an ignored class": in_reading(ignored=Group(name="void", values=[9])),
    "stray values": in_reading(strays=[9]),
    "the background": in_classes(is_background=False),
    "channels": lambda _: {"channels": 3},
    "depth": lambda _: {"bits": 16},
    "what is black": lambda _: {"low": [1.0]},
    "what is white": lambda _: {"high": [254.0]},
    "the mean": lambda _: {"mean": [0.25]},
    "the deviation": lambda _: {"std": [0.25]},
}
CHANGES_NO_SCORE = {
    "names and colours of classes": in_classes(name="x", color="#000000"),
    "names of groups": lambda m: in_reading(
        groups=[group.model_copy(update={"name": "x"}) for group in m.reading.groups]
    )(m),
    "words about a reading": in_reading(key="x", meaning="x", reasons=["x"], palette_name="x"),
    "names of files": in_pair(name="x", image="x.png", mask="y.png", matched_by="x"),
    "the last bits of a mean": lambda manifest: {"mean": [mean * (1 + 1e-12) for mean in manifest.mean]},
    "words about the set": lambda _: {"name": "x", "note": "x", "created": "x", "version": 9, "findings": []},
}


@pytest.mark.parametrize("what", [*CHANGES_A_SCORE, *CHANGES_NO_SCORE])
def test_the_content_hash_covers_all_that_changes_a_score_and_nothing_else(what, three_classes):
    change = {**CHANGES_A_SCORE, **CHANGES_NO_SCORE}[what]
    changed = three_classes.model_copy(update=change(three_classes))
    assert changed != three_classes
    assert (content_hash(changed) != three_classes.content_hash) == (what in CHANGES_A_SCORE)


@pytest.mark.parametrize("size", [(12, 9), (4, 3), (40, 30)])
def test_pixels_are_counted_in_the_masks_in_use(make_set, size):
    """Masks of 12x9 px are scaled to pictures of another size."""
    mask = np.array([[0] * 5 + [1, 2, 2, 9]] * 12, np.uint8)
    folder = make_set({f"{number}.png": np.roll(mask, number, 1) for number in range(5)})
    for path in (folder / "images").iterdir():
        Image.open(path).resize(size[::-1]).save(path)
    import_dataset(own_workspace(), [folder], name="cells")
    manifest = update_classes("cells", ignored=3)
    data = open_dataset(own_workspace(), "cells")
    counted = np.array([np.bincount(data.mask(index).ravel(), minlength=256) for index in range(5)])
    assert counted.sum() == 5 * size[0] * size[1]
    assert [pair.class_pixels for pair in manifest.pairs] == counted[:, :3].tolist()
    assert [info.pixels for info in manifest.classes] == counted[:, :3].sum(axis=0).tolist()
    assert manifest.ignored_pixels == counted[:, IGNORE].sum() > 0
    assert data.class_pixels("train").tolist() == counted[data.indices("train"), :3].sum(axis=0).tolist()


def test_an_ignored_class_leaves_and_comes_back(three_classes):
    update_classes("cells", names={1: "rim"})
    manifest = update_classes("cells", ignored=1)
    assert [(info.id, info.values) for info in manifest.classes] == [(0, [0]), (1, [2])]
    assert manifest.ignored_pixels == 5 * 4
    assert manifest.ignored_values == [1]
    assert manifest.content_hash != three_classes.content_hash
    assert open_dataset(own_workspace(), "cells").mask(0)[0].tolist() == [0, 0, IGNORE, 1]
    assert open_dataset(own_workspace(), "cells").class_pixels("train").tolist() == [32, 16]
    back = update_classes("cells", ignored=None)
    assert [(info.name, info.values) for info in back.classes] == [("value 0", [0]), ("value 2", [2]), ("rim", [1])]
    assert back.ignored_pixels == 0
    assert open_dataset(own_workspace(), "cells").mask(0)[0].tolist() == [0, 0, 2, 1]


def test_another_ignored_class_takes_the_place_of_the_first(three_classes):
    update_classes("cells", ignored=1)
    manifest = update_classes("cells", ignored=1)
    assert [info.values for info in manifest.classes] == [[0], [1]]
    assert manifest.ignored_values == [2]


def test_another_reading_of_the_masks_decodes_nothing(three_classes, home):
    before = {path.name for path in (home / "datasets" / "cells" / "cache").glob("*")}
    update_classes("cells", ignored=1)
    assert {path.name for path in (home / "datasets" / "cells" / "cache").glob("*")} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": {7: "x"}}, "no class 7"),
        ({"names": {0: "value 1"}}, "must differ"),
        ({"names": {0: " "}}, "not be empty"),
        ({"background": 3}, "no class 3"),
        ({"background": 1, "ignored": 1}, "both the background and ignored"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(change, message, three_classes):
    with pytest.raises(DataError, match=message):
        update_classes("cells", **change)
    assert open_dataset(own_workspace(), "cells").manifest == three_classes


def test_two_classes_are_needed(binary_set):
    import_dataset(own_workspace(), [binary_set], name="cells")
    with pytest.raises(DataError, match="at least 2 are needed"):
        update_classes("cells", ignored=1)


def test_a_threshold_has_no_class_to_ignore(make_set):
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8)
    folder = make_set({"1.png": ramp, "2.png": ramp})
    import_dataset(own_workspace(), [folder], name="cells", reading="threshold:30")
    with pytest.raises(DataError, match="threshold"):
        update_classes("cells", ignored=1)
