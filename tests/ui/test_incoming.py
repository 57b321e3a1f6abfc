"""A report on the Data page before it is a data set: mended, kept, found again by another session."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit
from streamlit.testing.v1 import AppTest

from tests import tiny
from tests.ui.drops import boxes, drop, drop_both, dropped, give_path, press, staged, start_here, zipped
from tests.ui.test_pages import open_page, words
from unetlab.data import importing
from unetlab.data.dataset import list_datasets, open_dataset, open_folder
from unetlab.data.inspection import stored_report
from unetlab.runs import jobs
from unetlab.ui import incoming
from unetlab.workspace import own_workspace


@pytest.fixture(autouse=True)
def at_once(request: pytest.FixtureRequest, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports are done when they are started, by the code of a worker; a test asks for `real_worker` otherwise."""
    if "real_worker" not in request.fixturenames:
        monkeypatch.setattr(jobs, "start", start_here)


@pytest.fixture
def real_worker() -> None:
    """Asks for imports by a worker process."""


# mending


def messy() -> dict[str, bytes]:
    """Eight pairs in a zip: one mask with a typo in its name, and a file that nobody needs."""
    named = {"set/Thumbs.db": b"x"}
    for stem, (image, mask) in boxes(8, values=(0, 255)).items():
        named[f"set/images/{stem}.png"] = image
        named[f"set/masks/{stem.replace('cell5', 'cel5')}.png"] = mask
    return named


def test_a_near_miss_is_paired_by_one_click(workspace):
    app = drop(open_page("data"), 3, {"messy.zip": zipped(messy())}, "application/zip")
    assert "7 pairs" in words(app)
    press(app, "Pair them")
    assert "8 pairs" in words(app)
    press(app, "Use this data set")
    (manifest,) = list_datasets(own_workspace())
    assert manifest.choices.pairs == [("set/images/cell5.png", "set/masks/cel5.png")]


def test_files_without_a_partner_are_paired_by_hand(workspace):
    named = messy()
    named["set/masks/something else.png"] = named.pop("set/masks/cel5.png")
    app = drop(open_page("data"), 3, {"messy.zip": zipped(named)}, "application/zip")
    assert app.selectbox(key="orphan-image").value == "set/images/cell5.png"
    press(app, "Pair these two")
    assert "8 pairs" in words(app)


def test_the_validation_share_moves_the_split_at_once_until_the_set_is_stored(workspace):
    app = drop_both(open_page("data"), boxes(10))
    assert "8 training · 2 validation" in words(app)
    next(slider for slider in app.slider if "validation" in slider.label).set_value(50).run()
    assert not app.exception
    assert "5 training · 5 validation" in words(app)
    press(app, "Use this data set")
    assert len(open_dataset(own_workspace(), "pictures").indices("valid")) == 5
    (slider,) = (slider for slider in app.slider if "validation" in slider.label)
    slider.set_value(20).run()
    assert len(open_dataset(own_workspace(), "pictures").indices("valid")) == 5  # only a click changes it now


def test_an_edited_table_is_applied_to_the_report(workspace, monkeypatch):
    shown = streamlit.data_editor

    def untick_the_first(table, **more):
        edited = shown(table, **more)
        if "use" in edited and len(edited) == 6:
            edited.loc[0, "use"] = False
        return edited

    monkeypatch.setattr(streamlit, "data_editor", untick_the_first)
    app = drop_both(open_page("data"), boxes())
    press(app, "Apply 1 change")
    assert "5 pairs" in words(app)
    assert open_folder(staged()[0]).manifest.choices.excluded == ["images/cell0.png"]


# over sessions and processes


def test_a_report_waits_for_the_next_session_with_its_files(workspace):
    pairs = boxes(8)
    drop_both(open_page("data"), dict(list(pairs.items())[:5]))
    app = open_page("data")  # a refresh is a new session
    assert "waits for your decision: 5 pairs" in words(app)
    press(app, "Continue")
    assert "5 pairs, 2 classes" in words(app)
    drop_both(app, dict(list(pairs.items())[5:]))
    assert "8 pairs" in words(app)
    press(app, "Use this data set")
    assert dropped() == staged() == []


def test_a_waiting_report_can_be_discarded(workspace):
    drop_both(open_page("data"), boxes())
    app = press(open_page("data"), "Discard")
    assert staged() == []
    assert "waits for your decision" not in words(app)


def test_a_report_that_was_kept_in_another_tab_is_not_kept_twice(workspace):
    first = drop_both(open_page("data"), boxes())
    other = press(press(open_page("data"), "Continue"), "Use this data set")
    assert other.session_state["dataset"] == "pictures"
    first.run()
    assert not first.exception
    first.segmented_control(key="data-view").set_value(incoming.BRING).run()
    assert "kept or discarded elsewhere" in words(first)
    press(first, "Start over")
    assert len(list_datasets(own_workspace())) == 1


def wait_for(app: AppTest, is_there: Callable[[str], bool]) -> str:
    """What the page says once that is there; each turn is a tick of its polling."""
    deadline = time.monotonic() + tiny.PATIENCE_S
    while not is_there(said := words(app.run())):
        assert not app.exception
        assert time.monotonic() < deadline, said
        time.sleep(0.05)
    return said


def test_a_worker_looks_at_the_files_and_the_page_follows(workspace, tmp_path, real_worker):
    tiny.write_pairs(tmp_path / "pairs")
    app = give_path(open_page("data"), tmp_path / "pairs")
    assert "Cancel" in words(app)
    wait_for(app, lambda said: "8 pairs, 2 classes" in said)
    press(app, "Use this data set")
    assert [manifest.name for manifest in list_datasets(own_workspace())] == ["pairs"]


def test_a_cancelled_import_leaves_nothing_staged_and_can_be_begun_again(workspace, tmp_path, real_worker):
    tiny.write_pairs(tmp_path / "pairs", count=300)
    app = press(give_path(open_page("data"), tmp_path / "pairs"), "Cancel")
    wait_for(app, lambda said: "Check again" in said)
    assert staged() == [] or stored_report(staged()[0]) is None
    press(app, "Check again")
    wait_for(app, lambda said: "300 pairs" in said)


def test_leftovers_of_killed_imports_are_swept_once_at_the_start(workspace):
    incoming.sweep.clear()
    folder = importing.staging_folder(own_workspace())
    (folder / "originals").mkdir()
    long_ago = time.time() - 100
    os.utime(folder, (long_ago, long_ago))
    open_page("data")
    assert staged() == []
