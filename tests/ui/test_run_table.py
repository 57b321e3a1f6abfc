"""The Runs page: what it shows, finds, opens, tags, deletes and brings back, and what a thousand runs cost."""

import shutil
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests import tiny
from tests.runs.test_listing import age
from tests.ui.test_pages import box, follow, home_with_run, open_page, put_into, words
from unetlab import files
from unetlab.config import RunConfig
from unetlab.data.dataset import delete_dataset
from unetlab.events import Batch, Epoch
from unetlab.files import write_json
from unetlab.runs import status, store, trash
from unetlab.runs.status import write_status
from unetlab.runs.store import Notes, Run
from unetlab.ui import run_rows, run_table, training
from unetlab.workspace import own_workspace

__all__ = ["home_with_run"]
pytestmark = pytest.mark.usefixtures("no_process")


def ended(name: str = "", *, kind: str = "train", state: str = "finished", tags: tuple[str, ...] = (), **top) -> Run:
    """A run folder as a worker leaves it, of some bytes."""
    run = store.create_run(own_workspace(), tiny.config(kind, **top))
    run.write_notes(Notes(name=name, tags=list(tags)))
    times = {"running_since": 1000.0, "ended": 1100.0}
    write_status(run.folder, run.status.model_copy(update={"state": state, **times}))
    return run


def table(app: AppTest) -> dict[str, list]:
    """The table by columns."""
    assert not app.exception
    (found,) = app.dataframe
    return found.value.to_dict("list")


def select(app: AppTest, *names: str) -> AppTest:
    """Selects the rows of runs, as a click in the table does."""
    places = [table(app)["name"].index(name) for name in names]
    app.session_state[str(app.dataframe[0].key)] = {"selection": {"rows": places, "columns": [], "cells": []}}
    return app.run()


def button(app: AppTest, label: str):
    return next(found for found in app.button if found.label.startswith(label))


def test_a_row_tells_what_a_training_was_and_how_far_it_came(tiny_set):
    run = ended("mine", tags=("a", "b"))
    write_json(run.folder / "best.json", {"valid": {"mean_dice": 0.75}})
    writer = store.EventWriter(run, attempt=1)
    for step in range(7):
        writer.write(Batch(step=step, epoch=step // 3, loss=1.0, lr=0.1, momentum=0.9))
    writer.close()
    (row,) = run_rows.rows([run])
    expected = {"id": run.id, "name": "mine", "dataset": tiny.NAME, "kind": "training", "state": "finished"}
    expected |= {"score": 0.75, "epochs": 2, "steps": 7, "lr": tiny.OPTIONS["train.max_lr"], "tags": ["a", "b"]}
    expected |= {"lasted": timedelta(seconds=100), "megabytes": files.size_of(run.folder) / 1e6}
    expected |= {"created": datetime.strptime(run.id[:19], "%Y-%m-%dT%H-%M-%S")}
    assert row._asdict() == expected


def test_epochs_are_those_that_ended_also_where_the_last_event_is_an_epoch(tiny_set):
    run = ended()
    writer = store.EventWriter(run, attempt=1)
    writer.write(Batch(step=5, epoch=1, loss=1.0, lr=0.1, momentum=0.9))
    none = dict.fromkeys(("train_loss", "valid_loss", "mean_dice", "mean_iou", "pixel_accuracy"))
    writer.write(Epoch(epoch=1, step=6, dice={}, iou={}, is_best=True, **none))
    writer.close()
    (row,) = run_rows.rows([run])
    assert (row.epochs, row.steps, row.score) == (2, 6, None)


def test_a_sweep_has_neither_score_nor_epochs_and_a_training_behind_it_its_rate(tiny_set):
    sweep = tiny.finished_sweep()
    waiting = ended(lr_from={"sweep": sweep.id, "pick": "min_gradient"})
    found = ended(lr_from={"sweep": sweep.id, "pick": "min_gradient"})
    write_json(found.folder / "environment.json", {"lr_from": {"sweep": sweep.id, "pick": "min_gradient", "lr": 0.5}})
    swept, without, with_rate = run_rows.rows([sweep, waiting, found])
    assert (swept.kind, swept.score, swept.epochs, swept.steps, swept.lr) == ("sweep", None, None, 30, None)
    assert (without.lr, with_rate.lr) == (None, 0.5)
    assert swept.name == sweep.when


def test_the_table_holds_the_runs_of_all_data_sets_and_no_import(tiny_set):
    ended("one")
    ended("two", dataset="other")
    ended("three", kind="lr_find")
    config = RunConfig.model_validate({"kind": "import", "dataset": "", "importing": {"folder": "x"}})
    brought = store.create_run(own_workspace(), config, name="brought")
    write_status(brought.folder, brought.status.model_copy(update={"state": "finished"}))
    app = open_page("runs")
    assert sorted(table(app)["name"]) == ["one", "three", "two"]
    assert "3 runs" in words(app)


@pytest.mark.parametrize(
    ("label", "value", "left"),
    [
        ("Search", "ONE", ["one"]),
        ("Search", "x", ["two"]),
        ("Search", "other", ["two"]),
        ("Search", "one x", []),
        ("Data set", "other", ["two"]),
        ("Kind", "sweep", ["three"]),
        ("State", "failed", ["two"]),
    ],
)
def test_runs_are_found_by_name_tag_data_set_kind_and_state(label, value, left, tiny_set):
    ended("one")
    ended("two", dataset="other", state="failed", tags=("x",))
    ended("three", kind="lr_find")
    ended()
    app = open_page("runs")
    field = next(field for field in [*app.text_input, *app.selectbox] if field.label == label)
    if label == "Data set":  # the sidebar has one too
        field = app.selectbox(key="runs-dataset")
    field.set_value(value).run()
    assert table(app)["name"] == left
    assert f"{len(left)} of 4 runs" in words(app)


def test_what_is_selected_is_deleted_and_undo_brings_it_back(tiny_set):
    runs = {name: ended(name) for name in ("one", "two", "three")}
    (runs["one"].folder / "best.safetensors").write_bytes(b"x" * 5_000_000)
    app = select(open_page("runs"), "one", "three")
    assert button(app, "Delete").label == "Delete 2 runs (5.0 MB)"
    button(app, "Delete").click().run()
    assert table(app)["name"] == ["two"]
    assert "2 runs deleted, 5.0 MB. Deleted runs are kept for 7 days." in words(app)
    assert button(app, "Delete").disabled  # nothing is selected any more
    button(app, "Undo").click().run()
    assert sorted(table(app)["name"]) == ["one", "three", "two"]
    assert (runs["one"].folder / "best.safetensors").stat().st_size == 5_000_000
    assert "deleted" not in words(app)


def test_a_deletion_of_what_is_chosen_shows_the_newest_instead_without_a_word(home_with_run):
    other = ended("other")
    app = select(open_page("runs", dataset=tiny.NAME, run=home_with_run.id), "tiny training")
    button(app, "Delete").click().run()
    assert not app.warning
    assert app.session_state["run"] == other.id


def test_undo_brings_back_the_last_deletion_and_the_trash_can_be_emptied(tiny_set):
    for name in ("one", "two", "three"):
        ended(name)
    app = select(open_page("runs"), "one")
    button(app, "Delete 1 run").click().run()
    select(app, "two")
    button(app, "Delete 1 run").click().run()
    assert "1 run deleted, 0.0 MB. 2 in the trash in all, 0.0 MB." in words(app)
    button(app, "Undo").click().run()
    assert sorted(table(app)["name"]) == ["three", "two"]
    assert "This deletes 1 run for good and frees 0.0 MB." in words(app)
    button(app, "Empty it").click().run()
    assert sorted(table(app)["name"]) == ["three", "two"]
    assert trash.deletions(own_workspace()) == []
    assert "deleted" not in words(app)


def test_an_earlier_deletion_can_be_undone_too(tiny_set):
    for name in ("one", "a_b", "three"):
        ended(name)
    app = open_page("runs")
    for name in ("a_b", "one"):
        button(select(app, name), "Delete 1 run").click().run()
    assert "a\\_b" in app.expander[0].markdown[0].value
    button(app, "Bring back").click().run()
    assert sorted(table(app)["name"]) == ["a_b", "three"]
    assert not app.expander
    assert "1 run deleted" in words(app)


def test_a_deletion_of_many_runs_names_three(tiny_set):
    runs = [ended(name) for name in "abcde"]
    trash.delete(runs)
    trash.delete([ended("later")])
    ended("kept")
    (earlier,) = open_page("runs").expander[0].markdown
    assert earlier.value.endswith(" and 2 more")


def test_undo_says_what_cannot_come_back(tiny_set):
    run = ended("one")
    ended("two")
    trash.delete([run])
    app = open_page("runs")
    run.folder.mkdir()
    button(app, "Undo").click().run()
    assert not app.exception
    assert "stay in the trash: one" in app.error[0].value


def test_a_page_that_is_opened_after_a_week_empties_the_trash(tiny_set, monkeypatch):
    trash.delete([ended("one")])
    ended("two")
    later = time.time() + 8 * 24 * 3600
    monkeypatch.setattr(trash.time, "time", lambda: later)
    assert "deleted" not in words(open_page("runs"))


def test_a_live_run_is_not_deleted_and_the_page_says_why(home_with_run):
    ended("other")
    put_into(home_with_run, "running")
    app = select(open_page("runs"), "tiny training", "other")
    assert button(app, "Delete").disabled
    assert "2 selected. 1 of them is waiting or running: stop first, then delete." in words(app)
    select(app, "tiny training")
    assert "1 selected. It is waiting or running" in words(app)
    select(app, "other")
    assert not button(app, "Delete").disabled


def test_a_run_that_went_live_since_it_was_drawn_is_refused_in_words(home_with_run):
    app = select(open_page("runs"), "tiny training")
    put_into(home_with_run, "running")
    button(app, "Delete").click().run()
    assert not app.exception
    assert "Stop it first, then delete it" in app.error[0].value
    assert table(app)["name"] == ["tiny training"]


def test_a_selection_never_points_to_other_runs_after_the_list_has_changed(tiny_set):
    ended("one")
    ended("two")
    app = select(open_page("runs"), "two")
    app.text_input(key="runs-text").set_value("one").run()
    assert button(app, "Delete").label == "Delete"
    assert button(app, "Delete").disabled


def test_tags_are_added_to_and_taken_from_all_selected_runs(tiny_set):
    first, second = ended("one", tags=("a", "only mine")), ended("two", tags=("a",))
    app = select(open_page("runs"), "one", "two")
    (field,) = app.multiselect
    assert (field.value, field.options) == (["a"], ["a", "only mine"])
    field.set_value(["only mine"]).run()
    assert not app.exception
    assert (first.notes.tags, second.notes.tags) == (["only mine"], ["only mine"])
    assert (first.notes.name, second.notes.name) == ("one", "two")
    assert table(app)["tags"] == [["only mine"], ["only mine"]]
    app.multiselect[0].set_value([]).run()
    assert first.notes.tags == []
    first.write_notes(Notes(tags=["own"]))
    app.run()
    app.multiselect[0].set_value(["new"]).run()
    assert (first.notes.tags, second.notes.tags) == (["own", "new"], ["new"])


@pytest.mark.parametrize(
    ("state", "title"), [("finished", "Results"), ("running", "Train"), ("paused", "Train"), ("failed", "Train")]
)
def test_a_training_opens_where_it_is_seen_best(state, title, home_with_run):
    put_into(home_with_run, state)
    app = select(open_page("runs"), "tiny training")
    follow(button(app, "Open").click().run())
    assert [found.value for found in app.title] == [title]
    assert app.session_state["run"] == home_with_run.id
    assert app.session_state["train-view"] == training.RUN


def test_a_sweep_opens_on_its_page_and_what_has_no_page_or_is_several_does_not_open(home_with_run):
    sweep = tiny.finished_sweep()
    sweep.write_notes(Notes(name="sweep"))
    ended("scoring", kind="evaluate")
    app = select(open_page("runs"), "scoring")
    assert button(app, "Open").disabled
    select(app, "tiny training", "scoring")
    assert button(app, "Open").disabled
    select(app, "sweep")
    follow(button(app, "Open").click().run())
    assert [found.value for found in app.title] == ["Learning rate"]
    assert app.session_state["sweep"] == sweep.id


@pytest.mark.parametrize(("state", "title"), [("finished", "Results"), ("paused", "Train")])
def test_a_training_whose_data_set_was_deleted_opens_too(state, title, home_with_run):
    put_into(home_with_run, state)
    sets = own_workspace().datasets
    shutil.copytree(sets / tiny.NAME, sets / "other")
    delete_dataset(own_workspace(), tiny.NAME)
    app = select(open_page("runs"), "tiny training")
    assert app.session_state["dataset"] == "other"
    follow(button(app, "Open").click().run())
    assert [found.value for found in app.title] == [title]
    assert box(app, "Data set").options == ["other", f"{tiny.NAME} (deleted)"]
    assert box(app, "Data set").value == tiny.NAME
    assert "is shown instead" not in words(app)
    assert "**tiny training**" in words(app)
    assert ("Pictures are gone" if title == "Results" else "The data set of this run was deleted") in words(app)
    box(app, "Data set").set_value("other").run()
    assert box(app, "Data set").options == ["other"]


def test_a_data_set_that_is_deleted_here_is_chosen_no_more(home_with_run):
    app = open_page("data", dataset=tiny.NAME, run=home_with_run.id)
    app.button(key="delete-data").click().run()
    assert not app.exception
    assert not [found for found in app.selectbox if found.label == "Data set"]


def test_a_sweep_whose_data_set_was_deleted_shows_its_curve(home_with_run):
    sweep = tiny.finished_sweep()
    sweep.write_notes(Notes(name="sweep"))
    delete_dataset(own_workspace(), tiny.NAME)
    app = select(open_page("runs"), "sweep")
    follow(button(app, "Open").click().run())
    assert [found.value for found in app.title] == ["Learning rate"]
    assert "**sweep**" in words(app)
    assert app.get("arrow_vega_lite_chart") or app.get("vega_lite_chart")
    assert "The sweep needs a data set" in words(app)


@pytest.mark.parametrize("page", ["train", "results", "learning_rate"])
def test_pages_do_without_the_runs_that_another_run_names(page, home_with_run):
    sweep, other = tiny.finished_sweep(), ended("its form")
    source = {"sweep": sweep.id, "pick": "min_gradient", "lr": tiny.PICK}
    config = home_with_run.config.changed({"train.max_lr": tiny.PICK}, lr_from=source, form_from=other.id)
    write_json(home_with_run.folder / "config.json", config.model_dump(mode="json"))
    trash.delete([sweep, other])
    app = open_page(page, dataset=tiny.NAME, run=home_with_run.id, sweep=sweep.id)
    app.session_state["train-view"] = training.RUN
    app.run()
    assert not app.exception
    if page == "learning_rate":
        assert "has no sweep" in words(app)
    else:
        app.button(key="again").click().run()
        assert not app.exception


def test_a_live_run_is_looked_at_each_time_and_an_ended_one_measured_once(home_with_run, monkeypatch):
    put_into(home_with_run, "running")
    for path in home_with_run.folder.iterdir():
        age(path)
    assert [row.state for row in run_rows.rows([home_with_run])] == ["running"]
    monkeypatch.setattr(status, "is_same_process", lambda pid, started: False)  # its worker dies without a word
    assert [row.state for row in run_rows.rows([home_with_run])] == ["crashed"]
    run_rows.rows([home_with_run])
    monkeypatch.setattr(files, "size_of", lambda folder: pytest.fail("measured twice"))
    assert [row.state for row in run_rows.rows([home_with_run])] == ["crashed"]


def test_the_page_is_drawn_again_when_a_live_run_has_ended_and_not_before(home_with_run, monkeypatch):
    drawn = []
    monkeypatch.setattr(run_table.st, "rerun", lambda: drawn.append(True))
    monkeypatch.setattr(run_table.state, "workspace", own_workspace)
    put_into(home_with_run, "running")
    run_table._follow([(home_with_run.id, "running")])
    assert drawn == []
    put_into(home_with_run, "failed")
    run_table._follow([(home_with_run.id, "running")])
    assert drawn == [True]


def many(count: int) -> None:
    """Ended runs of an hour ago."""
    for number in range(count):
        for path in ended(f"run {number}").folder.iterdir():
            age(path)


def test_a_look_at_many_runs_opens_no_file_of_theirs(tiny_set, monkeypatch):
    many(40)
    app = open_page("runs")
    app.run()
    opened: list[str] = []
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: opened.append(str(self)) or real(self, *a, **k))
    app.run()
    assert len(table(app)["name"]) == 40
    assert [path for path in opened if path.startswith(str(tiny_set / "runs"))] == []
    (tiny_set / "runs" / "seen").open("w").close()
    assert opened[-1].endswith("seen")  # the count would have seen one


def test_each_run_more_costs_a_look_little(tiny_set):
    many(20)
    list_all = lambda: run_rows.rows(store.list_runs(own_workspace()))  # noqa: E731
    list_all()
    began = time.process_time()
    for _ in range(50):
        list_all()
    each = (time.process_time() - began) / 50 / 20
    assert each < 1e-3  # it was 15 us, and 1.5 ms when all files were read
