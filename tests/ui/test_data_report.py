"""The parts of the data report: what each shows of a real set, and what a click on it changes."""

import base64
import shutil
import time
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from tests.ui.test_pages import ROOT, words
from unetlab.config import RunConfig
from unetlab.data import changes, drawing, examples
from unetlab.data.dataset import DataSet, open_dataset, store_version
from unetlab.data.importing import import_dataset, working_on
from unetlab.data.labels import readings
from unetlab.data.labels.masks import IGNORE, apply, measure_mask, survey
from unetlab.data.manifest import ClassInfo, Finding, Manifest, Pair
from unetlab.data.names.name_words import SPLIT_WORDS
from unetlab.data.readers.facts import Raster
from unetlab.errors import DataError
from unetlab.runs import jobs, store
from unetlab.runs.status import StatusKeeper
from unetlab.ui import augmenting, charts, class_table, gallery, living, mask_reading, sizing, state
from unetlab.ui.text import plain
from unetlab.workspace import Workspace, own_workspace

pytestmark = pytest.mark.usefixtures("no_process")
STRAY = 3


def write_set(folder: Path, *, count: int = 14, size: int = 40) -> Path:
    """images/N.png and masks/N.png: 255 in a box, in every fifth mask a few pixels of 3, in the first a line."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    rng = np.random.default_rng(1)
    for number in range(count):
        mask = np.zeros((size, size), np.uint8)
        mask[4:20, 4:20] = 255
        if number % 5 == 0:
            mask[30, 30:32] = STRAY
        picture = rng.integers(0, 255, (size, size, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    return folder


@pytest.fixture
def cells(workspace: Path, tmp_path: Path) -> DataSet:
    """A stored set whose masks hold 0, 255 and, in a few, 3."""
    import_dataset(own_workspace(), [write_set(tmp_path / "cells")], name="cells")
    return open_dataset(own_workspace(), "cells")


def manifest_of(count: int) -> Manifest:
    """A made-up set of `count` pairs; every hundredth holds class 1 and has a problem."""
    pairs = [
        Pair(
            name=f"slide_{number:05}",
            image=f"images/slide_{number:05}.png",
            mask=f"masks/slide_{number:05}.png",
            matched_by="name",
            split="valid" if number % 5 == 0 else "train",
            height=64,
            width=64,
            class_pixels=[4000, 96 if number % 100 == 0 else 0],
        )
        for number in range(count)
    ]
    rare = [pair.image for pair in pairs if pair.class_pixels[1]]
    return Manifest(name="large", created="2026", pairs=pairs, findings=[Finding(code="odd", message="x", files=rare)])


def run_page(**state: object) -> AppTest:
    """The Data page on the set `cells`, run with `state` in its session."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30)
    app.query_params["dataset"] = "cells"
    app.run()
    for key, value in state.items():
        app.session_state[key] = value
    return app.switch_page("pages/lab/data.py").run()


# --- gallery ---


def captions(app: AppTest) -> list[str]:
    """The words under the pictures of the page."""
    return [caption for image in app.get("image") for caption in image.captions]


def alts(app: AppTest) -> list[str]:
    """What a screen reader says of the pictures of the page."""
    return [shown.alt for image in app.get("image") for shown in image.proto.imgs]


def test_the_gallery_shows_twelve_a_page_with_their_splits(cells):
    app = run_page()
    assert not app.exception
    shown = [caption for caption in captions(app) if " · " in caption]
    assert len(shown) == gallery.PER_PAGE == 12
    sides = {pair.name: SPLIT_WORDS[pair.split] for pair in cells.manifest.pairs}
    assert shown[0] == f"0 · {sides['0']}"


def test_the_gallery_filters_by_name_and_says_when_nothing_matches(cells):
    app = run_page()
    app.text_input(key="gallery-name").set_value("13").run()
    assert next(caption for caption in captions(app) if " · " in caption).startswith("13 · ")
    app.text_input(key="gallery-name").set_value("nowhere").run()
    assert "No picture matches these filters." in words(app)
    app.button(key="gallery-all").click().run()
    assert not app.exception
    assert "14 of 14 pictures" in words(app)


def copies_of(data: DataSet, count: int) -> None:
    """Gives the set `count` times as many pairs, which differ in name only: "3 0", "3 1" and so on."""
    pairs = [
        pair.model_copy(update={"name": f"{pair.name} {number}", "page": number})
        for number in range(count)
        for pair in data.manifest.pairs
    ]
    store_version(data.folder, data.manifest.model_copy(update={"pairs": pairs}))


def test_a_filter_on_the_last_page_falls_back_to_a_page_that_exists(cells):
    copies_of(cells, 3)
    app = run_page(**{"gallery-page-cells": 4})
    assert len([caption for caption in captions(app) if " · " in caption]) == 42 - 36
    app.text_input(key="gallery-name").set_value("1").run()
    assert not app.exception
    assert len([caption for caption in captions(app) if " · " in caption]) == 12
    assert app.session_state["gallery-page-cells"] == 1


def test_leaving_pictures_out_makes_a_new_version_without_them(cells):
    app = run_page()
    app.multiselect(key="leave-out-cells").set_value(["images/2.png", "images/7.png"]).run()
    app.button(key="leave-out").click().run()
    assert not app.exception
    after = open_dataset(own_workspace(), "cells").manifest
    assert {pair.name for pair in cells.manifest.pairs} - {pair.name for pair in after.pairs} == {"2", "7"}
    assert after.version == cells.manifest.version + 1
    assert "12 of 12 pictures" in words(app)


def test_ten_thousand_pictures_are_filtered_in_a_fifth_of_a_second():
    manifest = manifest_of(10_000)
    start = time.process_time()
    found = gallery.matching(manifest, finding=manifest.findings[0], class_id=1, split="valid", text="SLIDE_0")
    assert time.process_time() - start < 0.2
    assert found == list(range(0, 10_000, 100))


@given(
    text=st.sampled_from(["", "1", "slide_0001", "nothing"]),
    split=st.sampled_from([None, "train", "valid", "test"]),
    class_id=st.sampled_from([None, 0, 1, 2]),
    has_finding=st.booleans(),
)
def test_every_filter_only_takes_away(text, split, class_id, has_finding):
    manifest = MANIFEST_OF_300
    finding = manifest.findings[0] if has_finding else None
    found = gallery.matching(manifest, finding=finding, class_id=class_id, split=split, text=text)
    for index, pair in enumerate(manifest.pairs):
        is_wanted = text in pair.name and split in (None, pair.split)
        is_wanted &= class_id is None or (class_id < 2 and pair.class_pixels[class_id] > 0)
        is_wanted &= not has_finding or index % 100 == 0
        assert (index in found) == is_wanted


MANIFEST_OF_300 = manifest_of(300)


def test_a_page_of_ten_thousand_pairs_is_drawn_again_within_a_second(cells):
    copies_of(cells, 715)
    app = run_page()
    assert "10,010 of 10,010 pictures" in words(app)
    start = time.process_time()
    app.text_input(key="gallery-name").set_value("3 7").run()
    assert time.process_time() - start < 1.5  # measured 0.5 s, on a machine with other work too
    assert not app.exception


def test_a_thin_line_keeps_half_of_its_colour_in_a_thumbnail():
    picture, tint = np.full((2, 2, 3), 100, np.uint8), np.zeros((2, 2, 4), np.uint8)
    tint[0, 0] = (230, 159, 0, 85)  # a third of the pixel is covered
    drawn = gallery._blended(picture, tint, 0.5)
    assert drawn[0, 0].tolist() == [165, 130, 50]
    assert drawn[1, 1].tolist() == [100, 100, 100]


def test_pictures_that_cannot_be_read_any_more_leave_the_rest_of_the_page(cells):
    shutil.rmtree(cells.folder / "cache")
    (cells.folder / "originals" / "images" / "3.png").write_bytes(b"gone")
    app = run_page(sizing=True)
    assert not app.exception
    said = words(app)
    assert said.count("This part cannot be shown") >= 2
    assert "images/3.png" in said
    assert "Add them" in said


def test_a_problem_leads_to_its_pictures(cells):
    finding = Finding(code="odd", message="Two are odd. Look at them.", files=["images/3.png", "masks/8.png"])
    store_version(cells.folder, cells.manifest.model_copy(update={"findings": [finding]}))
    app = run_page()
    app.selectbox(key="gallery-finding").set_value(finding.message).run()
    assert not app.exception
    assert [caption.split(" · ")[0] for caption in captions(app)] == ["images/3.png", "masks/8.png", "3", "8"]
    app.text_input(key="gallery-name").set_value("8").run()
    assert "1 of 14 pictures" in words(app)


# --- how masks are read ---


def test_the_reading_is_told_in_words_and_opens_where_it_is_doubted(cells):
    app = run_page()
    assert "How the masks are read" in words(app)
    radio = app.radio(key="reading-key-cells")
    assert radio.value == cells.reading.key == "ignore-strays"
    assert cells.manifest.decisions[0] == f"Masks: {cells.reading.meaning}."  # no key
    assert len(radio.options) >= 3


def test_another_reading_is_shown_beside_the_present_one_and_applied_by_a_click(cells):
    app = run_page()
    assert not [button for button in app.button if button.label == "Use this reading"]
    app.radio(key="reading-key-cells").set_value("binary").run()
    assert len([caption for caption in captions(app) if caption.endswith(" · then")]) == 3
    next(button for button in app.button if button.label == "Use this reading").click().run()
    assert not app.exception
    after = open_dataset(own_workspace(), "cells")
    assert after.reading.key == "binary"
    assert after.manifest.ignored_pixels == 0
    assert after.background == 0
    assert not [button for button in app.button if button.label == "Use this reading"]


def test_the_question_of_the_reading_shows_a_picture_of_each_answer_and_takes_it(cells):
    app = run_page()
    answers = [button for button in app.button if button.key and button.key.startswith("answer-")]
    assert [button.label for button in answers] == ["Keep", "Use this", "Use this", "Use this"]
    assert len([alt for alt in alts(app) if alt.startswith(("0, 2 classes: ", "0, 3 classes: "))]) == 4
    assert "3 classes: each of the 3 values is its own class (0)" in words(app)
    app.button(key="answer-cells-binary").click().run()
    assert not app.exception
    assert open_dataset(own_workspace(), "cells").reading.key == "binary"


def test_a_reading_that_is_kept_is_asked_about_no_more(cells):
    app = run_page()
    app.button(key="answer-cells-ignore-strays").click().run()
    after = open_dataset(own_workspace(), "cells").manifest
    assert len(after.choices.acknowledged) == 1
    assert after.version == cells.manifest.version
    assert not [button for button in app.button if button.key and button.key.startswith("answer-")]
    assert "Dismissed warnings (1)" in [fold.label for fold in app.expander]


def test_after_a_fix_the_chosen_reading_is_the_selected_one(cells):
    app = run_page(**{"reading-cells": True})
    app.radio(key="reading-key-cells").set_value("threshold:127").run()
    app.slider(key="threshold-cells-threshold:127").set_value(200).run()
    next(button for button in app.button if button.label == "Use this reading").click().run()
    assert app.radio(key="reading-key-cells").value == "threshold:200"
    app.multiselect(key="leave-out-cells").set_value(["images/2.png"]).run()
    app.button(key="leave-out").click().run()
    assert app.radio(key="reading-key-cells").value == "threshold:200"
    assert open_dataset(own_workspace(), "cells").reading.key == "threshold:200"
    changes.revise(cells.folder, reading="binary")  # as by a fix of a finding
    assert app.run().radio(key="reading-key-cells").value == "binary"


def test_long_names_are_shortened_under_pictures(cells):
    name = f"{'a' * 40}{'b' * 24}"
    pairs = [pair.model_copy(update={"name": name}) for pair in cells.manifest.pairs]
    store_version(cells.folder, cells.manifest.model_copy(update={"pairs": pairs}))
    app = run_page()
    shown = [caption for caption in captions(app) if "…" in caption]
    assert shown
    assert all(len(caption.split(" · ")[0]) <= 32 for caption in captions(app))
    assert any(alt.startswith(name) for alt in alts(app))


def test_a_mask_file_is_shown_in_colours_that_can_be_seen(tmp_path):
    ids = np.repeat(np.arange(2, dtype=np.uint8), 50).reshape(10, 10)
    Image.fromarray(ids).save(tmp_path / "few.png")
    assert {*examples.of_file(tmp_path / "few.png").ravel().tolist()} == {0, 255}
    Image.fromarray(np.repeat(np.arange(4, dtype=np.uint8), 25).reshape(10, 10)).save(tmp_path / "four.png")
    assert len(np.unique(examples.of_file(tmp_path / "four.png").reshape(-1, 3), axis=0)) == 4
    deep = np.arange(10_000, dtype=np.uint16).reshape(100, 100)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    shown = examples.of_file(tmp_path / "deep.png")
    assert (int(shown.min()), int(shown.max())) == (0, 255)
    assert shown.shape == (100, 100, 3)


def test_a_background_chosen_for_other_classes_does_not_outlive_a_new_reading(cells):
    changes.update_classes(cells.folder, background=1)
    app = run_page(**{"reading-cells": True})
    app.radio(key="reading-key-cells").set_value("binary").run()
    next(button for button in app.button if button.label == "Use this reading").click().run()
    assert open_dataset(own_workspace(), "cells").background == 0


def test_a_threshold_can_be_moved_and_one_that_leaves_a_class_empty_is_explained(cells):
    app = run_page()
    app.radio(key="reading-key-cells").set_value("threshold:127").run()
    slider = app.slider(key="threshold-cells-threshold:127")
    slider.set_value(200).run()
    assert not app.exception
    app.slider(key="threshold-cells-threshold:127").set_value(0).run()
    next(button for button in app.button if button.label == "Use this reading").click().run()
    after = open_dataset(own_workspace(), "cells").reading
    assert (after.kind, after.threshold) == ("threshold", 0)


def survey_of(*masks: np.ndarray):
    """The survey of uint8 masks (H,W)."""
    return survey(measure_mask(Raster(mask[:, :, None] if mask.ndim == 2 else mask, "L")) for mask in masks)


def test_bars_tell_what_each_value_becomes():
    mask = np.zeros((20, 20), np.uint8)
    mask[:10], mask[0, :2] = 255, STRAY
    found = survey_of(mask, np.where(mask == STRAY, 0, mask), np.where(mask == STRAY, 0, mask))
    reading = next(r for r in readings.alternatives(found) if r.key == "ignore-strays")
    rows = mask_reading.bars_of(found, reading, examples.classes_of(reading, found))
    assert rows["value"].tolist() == ["0", "3", "255"]
    assert rows["becomes"].tolist()[1] == mask_reading.LEFT_OUT
    assert rows["pixels"].tolist() == [604, 2, 594]
    assert rows["share"].sum() == pytest.approx(1)
    assert rows["masks"].tolist() == [3, 1, 3]


def test_bars_of_very_many_values_are_few_and_hold_every_pixel():
    mask = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
    found = survey_of(mask, mask)
    halves = next(r for r in readings.alternatives(found) if r.kind == "threshold" and r.threshold == 127)
    rows = mask_reading.bars_of(found, halves, examples.classes_of(halves, found))
    assert len(rows) == 16
    assert rows["pixels"].sum() == found.num_pixels
    assert rows["becomes"].tolist() == ["background"] * 8 + ["foreground"] * 8
    uneven = halves.model_copy(update={"threshold": 130})
    assert mask_reading.bars_of(found, uneven, examples.classes_of(uneven, found))["becomes"].tolist()[8] == "various"
    each = readings.read_as(found, "listed:0,1,2")
    rows = mask_reading.bars_of(found, each, examples.classes_of(each, found))
    assert len(rows) == mask_reading.MAX_BARS + 1
    assert rows["pixels"].sum() == found.num_pixels


@given(st.lists(st.integers(0, 255), min_size=2, max_size=20, unique=True))
def test_the_fate_of_a_value_is_what_reading_a_mask_makes_of_it(values):
    mask = np.array([values], np.uint8)
    found = survey_of(mask, mask)
    for reading in readings.alternatives(found):
        fates = examples.fates(reading, values, found.part)
        if reading.key != "instances+boundary":  # there neighbours decide
            assert fates.tolist() == apply(reading, mask[:, :, None])[0].tolist(), reading.key


def test_fates_of_colours_are_told_by_colour():
    mask = np.zeros((4, 4, 3), np.uint8)
    mask[:2] = (255, 0, 0)
    mask[3, 3] = (0, 0, 255)
    found = survey_of(mask, mask)
    reading = readings.read_as(found, "colours:000000,ff0000")
    assert examples.fates(reading, [0x000000, 0xFF0000, 0x0000FF], "colour").tolist() == [0, 1, IGNORE]


def test_examples_show_the_masks_with_ignored_pixels_first(cells):
    other = readings.read_as(changes.survey_of(cells), "values")
    classes = examples.classes_of(other, changes.survey_of(cells))
    found = examples.compare(cells, other, classes)
    assert [example.name for example in found] == ["0", "5", "10"]
    for example in found:
        assert not np.array_equal(example.now, example.then)
    stray = np.array(drawing.rgb(classes[1].color))
    drawn = found[0].then[30, 30].astype(float)
    assert np.abs(drawn - stray).max() < np.abs(found[0].now[30, 30].astype(float) - stray).max() + 1


def test_a_mask_with_ignored_pixels_tells_more_than_one_with_more_classes(cells):
    def most_telling(*shares: list[int]) -> int:
        """Which of so many masks, with these percentages of classes, is shown where there is room for one."""
        pairs = [
            pair.model_copy(update={"class_pixels": [share * pair.height * pair.width // 100 for share in given]})
            for pair, given in zip(cells.manifest.pairs, shares, strict=False)
        ]
        data = DataSet(cells.folder, cells.manifest.model_copy(update={"pairs": pairs}))
        (example,) = examples.compare(data, data.manifest.reading, data.manifest.classes, count=1)
        return [pair.name for pair in pairs].index(example.name)

    assert most_telling([50, 50], [99, 0]) == 1
    assert most_telling([99, 0], [50, 50]) == 0
    assert most_telling([90, 10], [100, 0]) == 0
    assert most_telling([90, 10], [50, 50]) == 1


# --- classes ---

CLASSES = [
    ClassInfo(id=0, name="background", color="#404040", pixels=90, is_background=True, values=[0]),
    ClassInfo(id=1, name="cell", color="#e69f00", pixels=9, values=[255]),
    ClassInfo(id=2, name="dirt", color="#009e73", pixels=1, values=[3, 4]),
]


def edited(**cells: object) -> pd.DataFrame:
    """The table of CLASSES with cells changed: `name_1="x"` changes the name of class 1."""
    table = class_table.table_of(CLASSES)
    for place, value in cells.items():
        column, _, row = place.rpartition("_")
        table.loc[int(row), column] = value
    return table


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({}, {}),
        ({"name_1": "nucleus"}, {"names": {1: "nucleus"}}),
        ({"background_1": True}, {"background": 1}),
        ({"background_0": False}, {"background": None}),
        ({"background_0": False, "background_2": True}, {"background": 2}),
        ({"ignore_2": True, "name_0": "rest"}, {"names": {0: "rest"}, "ignored": 2}),
    ],
)
def test_what_was_edited_is_what_is_changed(cells, expected):
    assert class_table.changes_of(class_table.table_of(CLASSES), edited(**cells)) == expected


def test_two_classes_to_ignore_are_refused_in_words():
    with pytest.raises(DataError, match="2 classes are ticked"):
        class_table.changes_of(class_table.table_of(CLASSES), edited(ignore_1=True, ignore_2=True))


def test_the_table_tells_shares_values_and_colours():
    table = class_table.table_of(CLASSES)
    assert table["share (%)"].tolist() == [90, 9, 1]
    assert table["mask values"].tolist() == ["0", "255", "3, 4"]
    assert table["colour"].str.startswith("data:image/svg+xml;base64,").all()


# --- sizes ---


def test_the_window_with_most_lost_pixels_is_found():
    lost = np.zeros((60, 90), bool)
    lost[41, 70] = lost[44, 73] = lost[3, 3] = True
    window = sizing.worst_window(lost, 10)
    assert lost[window.area].sum() == 2
    assert window.side == 10


@given(st.integers(1, 200), st.integers(1, 40), st.integers(1, 40))
def test_a_window_never_leaves_the_picture(side, height, width):
    window = sizing.worst_window(np.ones((height, width), bool), side)
    assert window.side == min(side, height, width)
    assert window.top + window.side <= height
    assert window.left + window.side <= width


def test_a_size_tried_here_is_where_both_forms_start(cells):
    app = run_page(sizing=True)
    app.number_input(key="train:cells:data.image_size").set_value(32).run()
    assert "Resizing to 32 px" in words(app)
    app.selectbox(key="train:cells:data.size_mode").set_value("crop").run()
    assert "keeps every pixel" in words(app)
    assert "What one step sees: 32×32 px, nothing scaled" in captions(app)
    for page, form in (("train", "train"), ("learning_rate", "lr")):
        app.switch_page(f"pages/lab/{page}.py").run()
        assert not app.exception
        assert app.number_input(key=f"{form}:cells:data.image_size").value == 32
        assert app.selectbox(key=f"{form}:cells:data.size_mode").value == "crop"
    app.number_input(key="lr:cells:data.image_size").set_value(64).run()
    app.switch_page("pages/lab/train.py").run()
    app.switch_page("pages/lab/learning_rate.py").run()
    assert app.number_input(key="lr:cells:data.image_size").value == 64


# --- augmentation ---


def finished(config: RunConfig, *, name: str = "") -> store.Run:
    """A preview as a worker leaves it: one grey picture for each place."""
    run = store.create_run(own_workspace(), config, name=name, device="cpu lane")
    (run.folder / "augmented").mkdir()
    for row in range(len(config.preview.indices)):
        for column in range(config.preview.draws + 1):
            path = run.folder / "augmented" / f"{row}_{column}.jpg"
            path.write_bytes(drawing.jpeg(np.full((8, 8, 3), 90, np.uint8)))
    StatusKeeper(run.folder).end("finished")
    return run


def test_nothing_is_started_before_somebody_asks(cells, monkeypatch):
    started = []
    monkeypatch.setattr(jobs, "start", lambda workspace, config, **_: started.append(config) or finished(config))
    app = run_page()
    assert started == []
    app.session_state["augmenting"] = True
    app.run()
    assert not app.exception
    assert [config.kind for config in started] == ["preview"]
    app.run()
    assert len(started) == 1
    assert len([alt for alt in alts(app) if ", draw " in alt]) == 16
    assert len([alt for alt in alts(app) if ", unchanged" in alt]) == 4


def test_a_new_draw_and_another_strength_start_another_preview(cells, monkeypatch):
    started = []
    monkeypatch.setattr(jobs, "start", lambda workspace, config, **_: started.append(config) or finished(config))
    app = run_page(augmenting=True)
    app.button(key="augment-again").click().run()
    app.segmented_control(key="augment-strength").set_value("strong").run()
    assert [config.preview.seed for config in started] == [0, 1, 1]
    assert [config.train.augment for config in started] == ["standard", "standard", "strong"]
    training = cells.indices("train")
    assert set(started[0].preview.indices) <= set(training)
    assert len(started[0].preview.indices) == 4
    assert (started[0].preview.indices[0], started[0].preview.indices[-1]) == (training[0], training[-1])


def test_a_preview_that_fails_says_why_and_keeps_the_page(cells, monkeypatch):
    def fail(workspace: Workspace, config: RunConfig, **_: object) -> store.Run:
        run = store.create_run(workspace, config, device="cpu lane")
        StatusKeeper(run.folder).end("failed", "The disk is full.")
        return run

    monkeypatch.setattr(jobs, "start", fail)
    app = run_page(augmenting=True)
    assert not app.exception
    assert "The disk is full. Press New draw to try again." in words(app)
    assert "Find its learning rate" in words(app)


def test_while_it_is_drawn_empty_pictures_hold_the_place(cells, monkeypatch):
    start = lambda workspace, config, **_: store.create_run(workspace, config, device="cpu lane")  # noqa: E731
    monkeypatch.setattr(jobs, "start", start)
    app = run_page(augmenting=True)
    assert not app.exception
    assert "Drawing" in words(app)
    config = augmenting.config_of(cells, "standard", 0)
    assert [blank.shape for blank in augmenting._blanks(cells, config)] == [(40, 40, 3)] * 5


# --- colours ---


def test_the_colour_of_a_class_has_an_outline_that_is_seen_in_both_themes(cells):
    themes = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]

    def luminance(color: str) -> float:
        channels = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue  # WCAG 2.1

    for theme in ("light", "dark"):
        for ground in ("backgroundColor", "secondaryBackgroundColor"):
            low, high = sorted((luminance(charts.OUTLINE), luminance(themes[theme][ground])))
            assert (high + 0.05) / (low + 0.05) >= 3, (theme, ground)
    app = run_page()
    legend = next(html for html in app.get("html") if "background" in html.proto.body and "span" in html.proto.body)
    assert legend.proto.body.count(f"border:1px solid {charts.OUTLINE}") == cells.num_classes
    assert f'stroke="{charts.OUTLINE}"' in base64.b64decode(table_colour(CLASSES[0])).decode()
    assert charts.share_bar(pd.DataFrame([("a", 1.0, "#404040")], columns=["name", "share", "color"])).mark.stroke


def table_colour(info: ClassInfo) -> str:
    """The picture of a class's colour in the table of classes, base64."""
    return class_table.table_of([info])["colour"][0].partition(",")[2]


# --- the split ---


def test_the_split_of_a_stored_set_is_changed_by_its_button_and_older_runs_keep_theirs(cells):
    app = run_page()
    assert "Runs keep the split that they saw." in words(app)
    app.slider(key="share-cells").set_value(50)
    app.button(key="change-split").click().run()
    assert not app.exception
    after = open_dataset(own_workspace(), "cells")
    assert (len(cells.indices("valid")), len(after.indices("valid"))) == (3, 7)
    assert after.manifest.version == 2
    assert "7 training · 7 validation · 50% for validation" in words(app)
    assert len(open_dataset(own_workspace(), "cells", version=cells.manifest.content_hash).indices("valid")) == 3


def test_moving_the_slider_of_a_stored_set_changes_nothing(cells):
    run_page().slider(key="share-cells").set_value(50).run()
    assert open_dataset(own_workspace(), "cells").manifest.version == 1


def test_a_share_beyond_the_slider_stands_at_its_end(cells):
    changes.revise(cells.folder, {"valid_fraction": 0.7})
    app = run_page()
    assert not app.exception
    assert app.slider(key="share-cells").value == 50
    assert "71% for validation (the nearest to 70% of 14 pictures)" in words(app)


def test_a_given_split_says_how_it_is_changed_and_has_no_slider(cells):
    store_version(cells.folder, cells.manifest.model_copy(update={"is_given_split": True}))
    app = run_page()
    assert "sort the pictures into other folders, or edit the lists" in words(app)
    assert "change-split" not in [button.key for button in app.button]
    assert "share-cells" not in [slider.key for slider in app.slider]


# --- a living set ---


def test_dropped_files_go_where_the_file_of_their_name_is_or_beside_its_like():
    manifest = manifest_of(3)
    places = living.places_of(["slide_00001.png", "new.png"], manifest, box="images")
    assert places == {"slide_00001.png": "images/slide_00001.png", "new.png": "images/new.png"}
    assert living.places_of(["new.png"], manifest, box="masks") == {"new.png": "masks/new.png"}
    manifest.pairs[0].image = "old/moved.png"
    assert living.places_of(["moved.png"], manifest, box="images") == {"moved.png": "old/moved.png"}
    heap = Manifest(name="x", created="", pairs=[Pair(name="1", image="1.png", mask="1_mask.png", matched_by="")])
    assert living.places_of(["2_mask.png"], heap, box="masks") == {"2_mask.png": "2_mask.png"}
    drawn = Manifest(name="x", created="", pairs=[Pair(name="1", image="a/1.png", mask="../made/1.png", matched_by="")])
    assert living.places_of(["1.png"], drawn, box="masks") == {"1.png": "masks/1.png"}


def test_a_picture_dropped_again_replaces_the_old_one_in_a_new_version(cells, tmp_path, monkeypatch):
    freed = []
    monkeypatch.setattr(state, "let_go", lambda uploaded: freed.extend(file.name for file in uploaded))
    app = run_page()
    uploaders = {uploader.label: uploader for uploader in app.get("file_uploader")}
    path = tmp_path / "3.png"
    Image.fromarray(np.full((40, 40, 3), 7, np.uint8)).save(path)
    uploaders["More pictures"].set_value([("3.png", path.read_bytes(), "image/png")])
    next(button for button in app.button if button.label == "Add them").click().run()
    assert not app.exception
    after = open_dataset(own_workspace(), "cells")
    assert after.manifest.version == 2
    assert len(after.manifest.pairs) == 14
    place = [pair.name for pair in after.manifest.pairs].index("3")
    assert after.image(place).max() == pytest.approx(7 / 255)
    assert "1 replaced: version 2. Runs that saw version 1 keep it." in words(app)
    assert open_dataset(own_workspace(), "cells", version=cells.manifest.content_hash).image(place).max() > 0.9
    assert freed == ["3.png"]
    assert not list(cells.folder.parents[1].glob(".adding-*"))


def test_pictures_come_in_by_a_path_and_nothing_given_is_said(cells, tmp_path):
    more = write_set(tmp_path / "more", count=16)
    app = run_page()
    next(button for button in app.button if button.label == "Add them").click().run()
    assert "There is nothing to add yet" in words(app)
    box = next(box for box in app.text_input if box.label.startswith("Or a folder"))
    box.set_value(str(more))
    next(button for button in app.button if button.label == "Add them").click().run()
    assert not app.exception
    assert "2 pairs added: version 2." in words(app)
    before = {pair.name: pair.split for pair in cells.manifest.pairs}
    after = {pair.name: pair.split for pair in open_dataset(own_workspace(), "cells").manifest.pairs}
    assert {name: after[name] for name in before} == before


def test_what_was_left_out_comes_back_one_by_one(cells):
    changes.revise(cells.folder, {"excluded": ["images/1.png", "images/2.png", "images/3.png"]})
    app = run_page()
    app.multiselect(key="bring-back-cells").set_value(["images/2.png"]).run()
    app.button(key="bring-back").click().run()
    assert not app.exception
    after = open_dataset(own_workspace(), "cells").manifest
    assert after.choices.excluded == ["images/1.png", "images/3.png"]
    assert "2" in {pair.name for pair in after.pairs}
    app.button(key="bring-back").click().run()
    assert open_dataset(own_workspace(), "cells").manifest.content_hash == cells.manifest.content_hash


def test_the_zip_holds_the_set_and_leaves_nothing_behind(cells, tmp_path):
    path = tmp_path / "taken.zip"
    path.write_bytes(living._zipped(cells, own_workspace().exports))
    with zipfile.ZipFile(path) as archive:
        assert {"manifest.json", "originals/images/0.png", "originals/masks/13.png"} <= set(archive.namelist())
    assert list((cells.folder.parents[1] / "exports").iterdir()) == []
    again = import_dataset(own_workspace(), [path], name="again")
    assert again.content_hash == cells.manifest.content_hash


def test_a_set_too_large_for_a_browser_is_written_to_the_server(cells, monkeypatch):
    monkeypatch.setattr(living, "MAX_DOWNLOAD", 100)
    app = run_page()
    app.button(key="export-data").click().run()
    assert not app.exception
    target = cells.folder.parents[1] / "exports" / "cells-v1.zip"
    assert f"Written to {plain(str(target))}" in words(app)
    assert zipfile.is_zipfile(target)


def test_a_deleted_set_is_gone_and_the_page_asks_for_pictures(cells):
    app = run_page()
    app.button(key="delete-data").click().run()
    assert not app.exception
    assert not cells.folder.exists()
    assert len(app.get("file_uploader")) >= 2


def test_a_set_in_use_by_another_job_is_left_alone_and_that_is_said(cells):
    app = run_page()
    app.multiselect(key="leave-out-cells").set_value(["images/2.png"]).run()
    with working_on(cells.folder):
        app.button(key="leave-out").click().run()
    assert not app.exception
    assert "is being changed by another job" in words(app)
    assert open_dataset(own_workspace(), "cells").manifest.version == 1
