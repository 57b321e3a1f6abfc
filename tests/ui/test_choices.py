"""Choices and forms as a session sees them; what a browser does with them: tests/browser/test_choices.py."""

import shutil
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests import tiny
from tests.ui.test_pages import box, open_page, put_into, words
from unetlab.files import read_json, write_atomic
from unetlab.runs import launching
from unetlab.runs.store import Notes, Run
from unetlab.ui import choices, drafts
from unetlab.ui.text import plain


@pytest.fixture
def home(workspace: Path, trained: Run, no_process: None) -> Path:
    """A workspace of the test's own with the data set and a finished training in it; opening a page starts nothing."""
    tiny.copy_trained(trained, workspace)
    return workspace


def field(app: AppTest, key: str):
    return app.number_input(key=f"train:{tiny.NAME}:{key}")


def test_a_hostile_link_is_shown_letter_by_letter(home: Path):
    app = open_page("home", dataset="![x](http://evil.example/x.png)")
    assert not app.exception
    (warning,) = app.warning
    assert "!\\[x\\](http" in warning.value
    assert f"The newest, **{tiny.NAME}**, is shown instead." in warning.value


def test_a_link_to_a_data_set_that_is_gone_keeps_it_only_for_a_run_of_its_own(home: Path, trained: Run):
    app = open_page("home", dataset="gone", run=trained.id)
    assert "This workspace has no data set **gone** (any more)." in words(app)
    assert app.session_state["dataset"] == tiny.NAME
    shutil.move(home / "datasets" / tiny.NAME, home / "datasets" / "new")
    assert open_page("home", dataset=tiny.NAME, run=trained.id).session_state["dataset"] == tiny.NAME


def test_what_was_said_to_be_gone_is_said_until_something_is_picked(home: Path, trained: Run):
    older = Run(Path(shutil.copytree(trained.folder, home / "runs" / "2020-01-02T00-00-00_tiny_aaaa")))
    app = open_page("home", dataset=tiny.NAME, run="2020-01-01T00-00-00_tiny_ffff").run()
    assert "has no training run" in words(app)
    assert app.session_state["run"] == trained.id
    box(app, "Training run").set_value(older.id).run()
    assert "has no training run" not in words(app)
    assert (app.session_state["run"], app.query_params["run"]) == (older.id, older.id)


def test_a_run_stays_chosen_while_its_name_and_its_state_change(home: Path, trained: Run):
    """A browser answers with the title that it was shown, also when the run is called otherwise by now."""
    older = Run(Path(shutil.copytree(trained.folder, home / "runs" / "2020-01-02T00-00-00_tiny_aaaa")))
    app = open_page("home", dataset=tiny.NAME, run=older.id)
    for notes in ({"name": "renamed"}, {"name": "renamed again"}):
        older.write_notes(older.notes.model_copy(update=notes))
        app.run()
        assert not app.exception
        assert app.session_state["run"] == older.id
        assert not app.warning
        assert notes["name"] in box(app, "Training run").options[1]


def test_runs_that_are_called_the_same_can_be_told_apart_and_chosen(home: Path, trained: Run):
    twins = [
        Run(Path(shutil.copytree(trained.folder, home / "runs" / f"2020-01-02T00-00-00_tiny_{end}")))
        for end in ("aaaa", "bbbb")
    ]
    app = open_page("home", dataset=tiny.NAME)
    assert len(set(box(app, "Training run").options)) == 3
    for run in twins:
        box(app, "Training run").set_value(run.id).run()
        assert app.session_state["run"] == run.id


def test_a_draft_with_a_value_out_of_bounds_or_no_json_is_passed_over(home: Path):
    folder = home / "datasets" / tiny.NAME
    drafts.write(folder, "train", {"train.epochs": -3, "train.batch_size": 5})
    app = open_page("train", dataset=tiny.NAME)
    assert not app.exception
    assert (field(app, "train.epochs").value, field(app, "train.batch_size").value) == (400, 5)  # as proposed
    write_atomic(folder / "drafts" / "train.json", "{ half")
    assert not open_page("train", dataset=tiny.NAME).exception


def test_a_draft_holds_only_what_was_set(home: Path):
    app = open_page("train", dataset=tiny.NAME)
    assert not (home / "datasets" / tiny.NAME / "drafts").exists()
    field(app, "train.epochs").set_value(7).run()
    assert read_json(home / "datasets" / tiny.NAME / "drafts" / "train.json") == {"train.epochs": 7}


def test_a_set_of_the_name_of_a_deleted_one_starts_with_a_fresh_form(home: Path):
    app = open_page("train", dataset=tiny.NAME)
    field(app, "train.epochs").set_value(7).run()
    kept = home / "kept"
    shutil.copytree(home / "datasets" / tiny.NAME, kept, ignore=shutil.ignore_patterns("drafts"))
    app.switch_page("pages/lab/data.py").run()
    app.button(key="delete-data").click().run()
    assert not app.exception
    kept.rename(home / "datasets" / tiny.NAME)
    app.switch_page("pages/lab/train.py").run()
    assert field(app, "train.epochs").value == 400  # as proposed


def test_a_form_is_not_started_again_while_its_run_is_live(home: Path, monkeypatch: pytest.MonkeyPatch):
    handed: list[Run] = []
    monkeypatch.setattr(launching, "hand_over", lambda run, **_: handed.append(run))
    app = open_page("train", dataset=tiny.NAME)

    def open_form() -> AppTest:
        app.session_state["train-view"] = "New training"
        return app.run()

    def press() -> None:
        open_form()
        next(button for button in app.button if button.label == "Start training").click().run()
        assert not app.exception

    press()
    assert [toast.value for toast in app.toast] == []
    press()  # the second half of a double-click, on the redrawn button
    assert [toast.value for toast in app.toast] == ["This run is started already. Change an option to start another."]
    assert app.session_state["run"] == handed[0].id
    assert len(handed) == 1
    field(open_form(), "train.epochs").set_value(7).run()
    press()
    assert [run.config.train.epochs for run in handed] == [400, 7]
    put_into(handed[1], "stopped")
    press()
    assert [run.config.train.epochs for run in handed] == [400, 7, 7]


def test_a_title_that_is_no_option_any_more_is_no_choice_and_brings_a_new_box(monkeypatch: pytest.MonkeyPatch):
    session = {"run": "a", "run-shown": ("a", 3), "run-box-3": "what a was called before"}
    monkeypatch.setattr(st, "session_state", session)
    choices.take_over("run", "run-box-3", ["a", "b"])
    assert session["run"] == "a"
    assert choices.box_key("run") == "run-box-4"
    session["run-box-3"] = "b"  # the box before, put away late
    choices.take_over("run", "run-box-3", ["a", "b"])
    assert (session["run"], choices.box_key("run")) == ("a", "run-box-4")
    session["run-box-4"] = "b"
    choices.take_over("run", "run-box-4", ["a", "b"])
    assert session["run"] == "b"
    assert choices.box_key("run") == "run-box-4"


def test_a_new_name_brings_a_new_box_wherever_the_run_was_renamed(home: Path, trained: Run):
    """A browser keeps the old title in a box that stays."""
    run = Run(home / "runs" / trained.id)
    app = open_page("home", dataset=tiny.NAME, run=run.id)
    before = box(app, "Training run")
    assert box(app.run(), "Training run").key == before.key
    run.write_notes(Notes(name="renamed"))
    after = box(app.run(), "Training run")
    assert (after.value, after.key == before.key) == (run.id, False)
    assert after.options[0].startswith("renamed · ")
    assert box(app.run(), "Training run").key == after.key


def test_a_title_too_long_for_its_box_stands_below_it(home: Path, trained: Run):
    def captions() -> list[str]:
        app = open_page("home", dataset=tiny.NAME)
        assert not app.exception
        return [caption.value for caption in app.sidebar.caption if trained.when[:5] in caption.value]

    assert captions() == []
    run = Run(home / "runs" / trained.id)
    run.write_notes(run.notes.model_copy(update={"name": "the *third* with a smaller rate"}))
    assert captions() == [plain(f"the *third* with a smaller rate · {run.when}")]
