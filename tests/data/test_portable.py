"""A data set travels as one zip: its files, and everything that was decided."""

import json
import shutil
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from unetlab.data import changes, portable
from unetlab.data.dataset import open_dataset
from unetlab.data.importing import import_dataset
from unetlab.data.intake import sources
from unetlab.errors import DataError, UnreadableFile
from unetlab.workspace import own_workspace


@pytest.fixture
def packed(binary_set, tmp_path):
    """The zip of a set with renamed classes, another split and a pair left out."""
    import_dataset(own_workspace(), [binary_set], name="cells")
    folder = open_dataset(own_workspace(), "cells").folder
    changes.update_classes(folder, names={1: "nucleus"})
    changes.revise(folder, {"seed": 4, "excluded": ["images/2.png"]})
    portable.export_zip(open_dataset(own_workspace(), "cells"), tmp_path / "cells.zip")
    return tmp_path / "cells.zip"


def rewritten(path, change):
    """The zip with a changed manifest."""
    target = path.with_name("changed.zip")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == portable.MANIFEST:
                content = json.dumps(change(json.loads(content))).encode()
            new.writestr(name, content)
    return target


def test_what_was_decided_arrives_with_the_files(packed):
    before = open_dataset(own_workspace(), "cells")
    manifest = import_dataset(own_workspace(), [packed], name="again")
    after = open_dataset(own_workspace(), "again")
    same = {"pairs", "classes", "choices", "content_hash", "low", "high", "reading"}
    assert manifest.model_dump(include=same) == before.manifest.model_dump(include=same)
    assert manifest.name == "again"
    assert all(np.array_equal(after.mask(index), before.mask(index)) for index in range(9))


@pytest.fixture
def deep(binary_set, tmp_path):
    """The zip of a 16-bit set to which brighter pictures were added: its range is still that of the first ones."""
    for number, path in enumerate(sorted((binary_set / "images").iterdir())):
        deep = np.random.default_rng(number).integers(100, 900, (12, 10)).astype(np.uint16)
        Image.fromarray(deep).save(path)
        Image.fromarray(deep * np.uint16(3)).save(save_beside(tmp_path / "new" / "images", f"1{path.name}"))
        shutil.copy(binary_set / "masks" / path.name, save_beside(tmp_path / "new" / "masks", f"1{path.name}"))
    import_dataset(own_workspace(), [binary_set], name="cells")
    changes.add_files(open_dataset(own_workspace(), "cells").folder, [tmp_path / "new"])
    portable.export_zip(open_dataset(own_workspace(), "cells"), tmp_path / "cells.zip")
    return tmp_path / "cells.zip"


def save_beside(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def test_the_intensities_that_models_were_trained_with_arrive_too(deep):
    before = open_dataset(own_workspace(), "cells").manifest
    assert before.high[0] < 1000
    manifest = import_dataset(own_workspace(), [deep], name="again")
    same = {"channels", "bits", "low", "high", "mean", "std", "content_hash"}
    assert manifest.model_dump(include=same) == before.model_dump(include=same)


@pytest.mark.parametrize(
    "numbers",
    [{"low": []}, {"high": [1.0, 2.0]}, {"high": [-9.0]}, {"std": [0.0]}, {"mean": [float("nan")]}, {"low": [-1e300]}],
)
def test_intensities_of_a_stranger_that_make_no_picture_are_not_taken(deep, numbers):
    manifest = import_dataset(own_workspace(), [rewritten(deep, lambda manifest: manifest | numbers)], name="again")
    assert 2000 < manifest.high[0] < 2700
    assert manifest.high[0] > manifest.low[0] > 0


def test_masks_dropped_in_a_box_of_their_own_travel_too(binary_set, tmp_path):
    import_dataset(own_workspace(), [binary_set / "images"], masks=binary_set / "masks", name="cells")
    portable.export_zip(open_dataset(own_workspace(), "cells"), tmp_path / "cells.zip")
    assert len(import_dataset(own_workspace(), [tmp_path / "cells.zip"], name="again").pairs) == 10


def test_progress_reaches_the_end_and_no_half_zip_is_left(packed, tmp_path):
    told = []
    portable.export_zip(
        open_dataset(own_workspace(), "cells"), tmp_path / "two.zip", progress=lambda *event: told.append(event)
    )
    assert told[-1] == (20, 20)

    def fail(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        portable.export_zip(open_dataset(own_workspace(), "cells"), tmp_path / "three.zip", progress=fail)
    assert sorted(path.name for path in tmp_path.glob("*.zip*")) == ["cells.zip", "two.zip"]
    assert not list(tmp_path.glob(".three*"))


def test_a_strangers_manifest_opens_no_file_outside(packed, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes((open_dataset(own_workspace(), "cells").folder / "originals" / "images" / "0.png").read_bytes())

    def point_outside(manifest):
        manifest["choices"]["pairs"] = [[str(secret), "masks/1.png"], ["../../secret.png", "masks/1.png"]]
        manifest["pairs"][0]["image"] = str(secret)
        return manifest

    manifest = import_dataset(own_workspace(), [rewritten(packed, point_outside)], name="again")
    assert all(not pair.image.startswith(("/", "..")) for pair in manifest.pairs)
    assert len(manifest.pairs) == 9


def planted(path, files, change=lambda manifest: manifest):
    """The zip with a changed manifest and with more files in it."""
    target = rewritten(path, change)
    with zipfile.ZipFile(target, "a") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target


def test_only_originals_and_decisions_are_taken_from_a_zip(packed, tmp_path):
    data = open_dataset(own_workspace(), "cells")
    clean = import_dataset(own_workspace(), [packed], name="clean")
    shard = next((data.folder / "cache").glob("*/index.json")).parent
    files = {f"cache/{shard.name}/{name}": (shard / name).read_bytes() for name in ("index.json", "facts.json")}
    files |= {"cache/files.json": b"{}", f"versions/{clean.content_hash}.json": b"{}", "replaced/0.png": b""}
    files |= {"drafts/x.json": b"{}", "made/x/made.json": b"{}", "made/x/0.png": b"", "originals.png": b""}

    def with_lies(manifest):
        for pair in manifest["pairs"]:
            pair |= {"image_key": "../../x", "mask_key": "0.mask0", "class_pixels": [9, 9], "renumbered": {"0": 255}}
        manifest["classes"][0]["name"] = "a lie"
        lies = {"version": 99, "note": "a lie", "layout": "a lie", "decisions": ["a lie"], "content_hash": "../../x"}
        findings = [{"code": "x", "message": "a lie", "fixes": [{"label": "a lie", "change": {"seed": 9}}]}]
        return manifest | lies | {"findings": findings, "ignored_files": ["../../../a lie"], "created": "2020"}

    manifest = import_dataset(own_workspace(), [planted(packed, files, with_lies)], name="again")
    again = open_dataset(own_workspace(), "again")
    assert "a lie" not in manifest.model_dump_json()
    same = {"pairs", "classes", "choices", "content_hash", "version", "decisions"}
    assert manifest.model_dump(include=same) == clean.model_dump(include=same)
    found = {path.name for path in again.folder.iterdir()}
    assert found == {"originals", "cache", "versions", "manifest.json", "arrival.json"}
    assert [path.stem for path in (again.folder / "versions").iterdir()] == [clean.content_hash]
    assert shard.name not in {path.name for path in (again.folder / "cache").iterdir()}
    assert manifest.ignored_files == sorted(files)


def test_masks_that_a_stranger_drew_do_not_pass_for_those_of_the_outlines(tmp_path):
    for number in range(4):
        Image.fromarray(np.full((10, 12), 50 * number, np.uint8)).save(save_beside(tmp_path / "drop", f"{number}.png"))
        shape = {"label": "cell", "points": [[1, 1], [3 + number, 6]], "shape_type": "rectangle"}
        content = {"shapes": [shape], "imagePath": f"{number}.png", "imageHeight": 10, "imageWidth": 12}
        (tmp_path / "drop" / f"{number}.json").write_text(json.dumps(content))
    before = import_dataset(own_workspace(), [tmp_path / "drop"], name="cells")
    data = open_dataset(own_workspace(), "cells")
    portable.export_zip(data, tmp_path / "cells.zip")
    (record,) = (data.folder / "made").glob("*/made.json")
    drawn = json.loads(record.read_text())
    drawn["masks"] = dict.fromkeys(drawn["masks"], "../../../../secret.png")
    name = f"made/{record.parent.name}/made.json"
    manifest = import_dataset(
        own_workspace(), [planted(tmp_path / "cells.zip", {name: json.dumps(drawn)})], name="again"
    )
    assert (manifest.pairs, manifest.content_hash) == (before.pairs, before.content_hash)


@pytest.mark.parametrize(
    "path", ["../planted.png", "/tmp/planted.png", "originals/../../planted.png", "C:\\planted.png"]
)
def test_a_path_that_leads_out_of_a_handed_on_set_refuses_all_of_it(packed, path, tmp_path):
    with pytest.raises(UnreadableFile, match="leads out of the folder"):
        import_dataset(own_workspace(), [planted(packed, {path: b""})], name="again")
    assert {path.name for path in own_workspace().datasets.iterdir()} == {"cells"}
    assert not list(tmp_path.rglob("planted.png"))


@pytest.mark.parametrize(
    "lie",
    [
        {"part": "colour", "groups": [{"name": "a", "values": [-5]}, {"name": "b", "values": [1 << 40]}]},
        {"kind": "threshold", "threshold": None},
        {"kind": "nearest", "groups": [{"name": "a"}, {"name": "b"}]},
        {"groups": [{"name": "a", "values": [0]}]},
        {"groups": [{"name": str(number), "values": [number]} for number in range(300)]},
    ],
)
def test_a_reading_that_no_mask_can_have_is_proposed_anew(packed, lie):
    def with_lie(manifest):
        manifest["choices"]["reading"] |= lie
        return manifest

    manifest = import_dataset(own_workspace(), [rewritten(packed, with_lie)], name="again")
    assert manifest.reading
    assert manifest.reading.key == "values"
    assert [info.name for info in manifest.classes] == ["background", "foreground"]


@pytest.mark.parametrize("damage", [lambda m: {"schema_version": 2}, lambda m: {**m, "pairs": "none"}, lambda m: []])
def test_a_damaged_manifest_is_refused_in_words(packed, damage):
    with pytest.raises((UnreadableFile, DataError), match="not a data set exported"):
        import_dataset(own_workspace(), [rewritten(packed, damage)], name="again")


def test_a_disk_that_is_too_small_is_noticed_before_a_zip_is_unpacked(packed, monkeypatch):
    monkeypatch.setattr(sources.shutil, "disk_usage", lambda path: SimpleNamespace(free=3000))
    monkeypatch.setattr(portable, "unpack_archive", lambda *_: pytest.fail("something was written"))
    with pytest.raises(DataError, match=r"This needs about .* are free"):
        import_dataset(own_workspace(), [packed], name="again")


def test_an_ordinary_zip_is_no_exported_set(binary_set, tmp_path):
    with zipfile.ZipFile(tmp_path / "plain.zip", "w") as archive:
        for path in binary_set.rglob("*.png"):
            archive.write(path, path.relative_to(binary_set))
    assert not portable.is_exported(tmp_path / "plain.zip")
    assert not portable.is_exported(binary_set)
    assert len(import_dataset(own_workspace(), [tmp_path / "plain.zip"], name="plain").pairs) == 10


@pytest.mark.parametrize(("name", "taken"), [("cells-2", "cells-2"), ("../out", ".staging-a"), ("", ".staging-a")])
def test_the_name_of_a_set_comes_with_it_unless_it_can_be_no_folders_name(packed, name, taken):
    folder = own_workspace().datasets / ".staging-a"
    folder.mkdir(parents=True)
    portable.unpack(rewritten(packed, lambda manifest: manifest | {"name": name}), folder)
    assert json.loads((folder / portable.MANIFEST).read_text())["name"] == taken
