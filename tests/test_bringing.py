"""Bringing pictures on the Data page: each way in, what is left over, the question, and refusals."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from tests import tiny
from tests.test_pages import open_page, words
from unetlab import files
from unetlab.data.dataset import list_datasets, open_dataset


def png(pixels: np.ndarray) -> bytes:
    """The picture as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def boxes(count: int = 6, values: tuple[int, ...] = (0, 255)) -> dict[str, tuple[bytes, bytes]]:
    """Pictures and masks by stem; each value of `values` fills a stripe of the mask."""
    rng, found = np.random.default_rng(0), {}
    for number in range(count):
        mask = np.zeros((24, 24), np.uint8)
        for place, value in enumerate(values):
            mask[4 * place : 4 * place + 4] = value
        found[f"cell{number}"] = (png(rng.integers(0, 255, (24, 24), dtype=np.uint8)), png(mask))
    return found


def drop(app: AppTest, box: int, named: dict[str, bytes], kind: str = "image/png") -> AppTest:
    """Puts files into the page's uploader number `box`."""
    app.file_uploader[box].set_value([(name, content, kind) for name, content in named.items()]).run()
    assert not app.exception
    return app


def test_pictures_and_masks_in_two_boxes_become_a_data_set(workspace):
    app, pairs = open_page("data"), boxes()
    drop(app, 0, {f"{stem}.png": image for stem, (image, _) in pairs.items()})
    assert "Now drop their masks" in words(app)
    drop(app, 1, {f"{stem}_mask.png": mask for stem, (_, mask) in pairs.items()})
    assert "6 pairs found" in words(app)
    app.text_input(key="new-name").set_value("cells").run()
    app.button(key="use-data").click().run()
    assert not app.exception
    assert len(open_dataset("cells").manifest.pairs) == 6
    assert app.session_state["dataset"] == "cells"
    assert "Find its learning rate" in words(app)
    assert list((workspace / "incoming").iterdir()) == []  # what was dropped is not kept twice


def test_new_pictures_are_chosen_beside_an_older_set(tiny_set):
    app, pairs = open_page("data", dataset=tiny.NAME), boxes()
    app.segmented_control(key="data-view").set_value("Bring pictures").run()
    drop(app, 0, {f"{stem}.png": image for stem, (image, _) in pairs.items()})
    drop(app, 1, {f"{stem}.png": mask for stem, (_, mask) in pairs.items()})
    app.button(key="use-data").click().run()
    assert not app.exception
    assert app.session_state["dataset"] == "pictures"
    assert "6 pairs, 2 classes" in words(app)


def test_one_box_is_enough_when_names_tell_pictures_from_masks(workspace):
    app, pairs = open_page("data"), boxes()
    both = {f"{stem}.png": image for stem, (image, _) in pairs.items()}
    both |= {f"{stem}_mask.png": mask for stem, (_, mask) in pairs.items()}
    drop(app, 0, both)
    assert "6 pairs found" in words(app)


def test_a_zip_is_unpacked_and_orphans_are_listed(workspace):
    buffer, pairs = io.BytesIO(), boxes()
    with zipfile.ZipFile(buffer, "w") as archive:
        for stem, (image, mask) in pairs.items():
            archive.writestr(f"set/images/{stem}.png", image)
            if stem != "cell3":
                archive.writestr(f"set/masks/{stem}.png", mask)
    app = open_page("data")
    drop(app, 3, {"set.zip": buffer.getvalue()}, "application/zip")
    assert "5 pairs found" in words(app)
    assert "1 pictures without a mask" in words(app)


def test_a_path_on_the_server_is_taken_where_it_is_allowed(workspace, tmp_path, monkeypatch):
    tiny.write_pairs(tmp_path / "pairs")
    app = open_page("data")
    app.text_input(key="path-images").set_value(str(tmp_path / "pairs"))
    app.button(key="FormSubmitter:path-form-Look at it").click().run()
    assert not app.exception
    assert "8 pairs found" in words(app)
    monkeypatch.setenv("UNETLAB_ALLOW_PATHS", "0")
    with pytest.raises(KeyError):
        open_page("data").text_input(key="path-images")


def test_stray_values_are_asked_about_and_one_answer_is_enough(workspace, tmp_path):
    folder = tmp_path / "cracks"
    tiny.write_pairs(folder)
    mask = np.array(Image.open(folder / "0_mask.png"))
    mask[0, :3] = 3
    Image.fromarray(mask).save(folder / "0_mask.png")
    app = open_page("data")
    app.text_input(key="path-images").set_value(str(folder))
    app.button(key="FormSubmitter:path-form-Look at it").click().run()
    assert "How are these masks to be read?" in words(app)
    assert len(app.get("vega_lite_chart")) >= 1
    app.radio(key="reading").set_value("binary").run()
    app.button(key="use-data").click().run()
    assert not app.exception
    (manifest,) = list_datasets()
    assert [entry.name for entry in manifest.classes] == ["background", "foreground"]
    assert manifest.reading.key == "binary"


def test_hostile_names_stay_in_the_folder(workspace):
    app, pairs = open_page("data"), boxes()
    drop(app, 0, {f"../../../{stem}.png": image for stem, (image, _) in pairs.items()})
    outside = [path for path in workspace.parent.rglob("cell*.png") if files.home() / "incoming" not in path.parents]
    assert outside == []


def test_two_files_of_one_name_are_refused_with_the_way_out(workspace):
    app, pairs = open_page("data"), boxes(1)
    image = pairs["cell0"][0]
    app.file_uploader[0].set_value([("a.png", image, "image/png"), ("a.png", image, "image/png")]).run()
    assert not app.exception
    assert any("Two files are called" in error.value for error in app.error)


def test_one_pair_and_text_named_png_are_refused_in_words(workspace):
    app = open_page("data")
    drop(app, 0, {"a.png": boxes(1)["cell0"][0], "b.png": b"this is text"})
    drop(app, 1, {"a.png": boxes(1)["cell0"][1], "b.png": boxes(1)["cell0"][1]})
    said = words(app)
    assert "at least 2 are needed" in said
    assert "b.png" in said
    app.button(key="start-over-problem").click().run()
    assert not app.exception
    assert not Path(workspace / "incoming").exists() or list((workspace / "incoming").iterdir()) == []


def test_a_data_set_is_deleted_from_its_page(tiny_set):
    app = open_page("data", dataset=tiny.NAME)
    app.button(key="delete-data").click().run()
    assert not app.exception
    assert list_datasets() == []
