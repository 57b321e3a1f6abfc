"""Whom the page is for: at one's own machine it tells all, to others nothing of the machine that serves it."""

from pathlib import Path
from typing import Any

import pytest
import streamlit as st

from tests import hostile, tiny
from tests.ui.test_hostile_names import drawn
from tests.ui.test_pages import PAGES, open_page
from unetlab.errors import DataError
from unetlab.runs.status import Status
from unetlab.ui import hosting, incoming, journey, living
from unetlab.ui.text import plain
from unetlab.workspace import Workspace

pytestmark = pytest.mark.usefixtures("no_process")

SETTINGS = [
    ({}, True),
    ({"UNETLAB_LOCAL": "1"}, True),
    ({"UNETLAB_LOCAL": "0"}, False),
    ({"UNETLAB_LOCAL": "no"}, False),
    ({"UNETLAB_LOCAL": ""}, False),
    ({"UNETLAB_ALLOW_PATHS": "0"}, False),
    ({"UNETLAB_ALLOW_PATHS": "0", "UNETLAB_LOCAL": "1"}, False),
]


@pytest.fixture(autouse=True)
def full_details():
    """What a page for others sets for the whole process is put back."""
    yield
    st.set_option("client.showErrorDetails", "full")


@pytest.fixture
def for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is for others."""
    monkeypatch.setenv("UNETLAB_LOCAL", "0")


@pytest.mark.parametrize(("environment", "answer"), SETTINGS)
def test_one_setting_says_whom_the_page_is_for(environment, answer, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert hosting.is_own_machine() == answer


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/srv/data/cells.zip does not exist.", "cells.zip does not exist."),
        ("see '/srv/a b/c' (/etc/x.y)", "see 'a b/c' (x.y)"),
        ("The disk of /data is full.", "The disk of data is full."),
        ("~/lab/x.png: broken", "x.png: broken"),
        ("cells/images/1.png and min loss / 10, 3/4, a picture/mask", None),
        ("https://lab.example/x/y", None),
    ],
)
def test_a_path_is_cut_down_to_its_last_part_and_nothing_else_is(text, told):
    assert hosting.without_paths(text) == (told or text)


def test_below_the_workspace_what_follows_it_is_left_even_where_its_name_has_blanks(tmp_path, monkeypatch):
    home = tmp_path / "the lab's home"
    monkeypatch.setattr(st, "session_state", {"workspace": Workspace(home)})
    assert hosting.without_paths(f"{home}/datasets/cells is gone") == "datasets/cells is gone"


def test_a_bug_tells_others_only_that_it_is_one(for_others, monkeypatch):
    bug = Status(state="failed", created=0.0, reason="KeyError: '/srv/x'", is_bug=True)
    assert "KeyError" not in hosting.reason_of(bug)
    assert hosting.reason_of(bug.model_copy(update={"is_bug": False})) == bug.reason
    monkeypatch.setenv("UNETLAB_LOCAL", "1")
    assert hosting.reason_of(bug) == bug.reason


def failed_run(run, secret: Path, **changed: Any):
    """A copy that failed and names `secret` in its reason, its notes and its log."""
    copy = hostile.put_into(run, state="failed", reason=f"{secret} cannot be read.", **changed)
    (copy.folder / "worker.log").write_text(f'Traceback (most recent call last):\n  File "{secret}", line 1\n')
    with (copy.folder / "events.jsonl").open("a") as file:
        file.write(f'{{"type": "note", "message": "{secret} is slow", "about": {{}}, "time": 1.0, "attempt": 1}}\n')
    return copy


def everything(app) -> str:
    """All texts of a page, drawn as Markdown or not."""
    codes = [code.value for code in app.get("code")] + [str(element.proto) for element in app.get("json")]
    return "\n".join([*drawn(app), *codes])


@pytest.mark.parametrize(("page", "view"), [*((page, incoming.LOOK) for page in PAGES), ("data", incoming.BRING)])
def test_others_see_no_path_of_the_server_and_no_log(page, view, hostile_home, workspace, for_others):
    app = open_page(page, dataset=hostile.DATASET, run=failed_run(hostile_home, workspace / "secret.png").id)
    app.session_state["problem"] = f"{workspace}/datasets/cells does not exist."
    app.session_state["train-view"], app.session_state["data-view"] = "Chosen run", view
    app.run()
    assert not app.exception
    said = everything(app)
    assert "datasets/cells does not exist" in said
    assert str(workspace) not in said
    assert str(workspace.parent) not in said
    assert "Log" not in [box.label for box in app.expander]
    assert "Traceback" not in said
    assert {"path-images", "path-masks"}.isdisjoint(field.key for field in app.text_input)
    assert "on this machine" not in said
    if page in ("train", "results"):
        assert "secret.png cannot be read" in said


def test_at_ones_own_machine_paths_and_the_log_are_shown(hostile_home, workspace):
    run = failed_run(hostile_home, workspace / "secret.png")
    app = open_page("train", dataset=hostile.DATASET, run=run.id)
    app.session_state["train-view"] = "Chosen run"
    app.session_state["problem"] = f"{workspace}/datasets/cells does not exist."
    said = everything(app.run())
    assert plain(f"{workspace}/datasets/cells does not exist.") in said
    assert plain(f"{workspace}/secret.png cannot be read.") in said
    assert "Traceback" in said
    app.session_state["data-view"] = incoming.BRING
    app.switch_page("pages/lab/data.py").run()
    assert "path-images" in [field.key for field in app.text_input]


@pytest.mark.parametrize("is_own", [True, False])
def test_a_bug_on_a_page_shows_its_traceback_at_ones_own_machine_alone(is_own, tiny_set, monkeypatch):
    def fail():
        raise RuntimeError("/srv/secret")

    monkeypatch.setenv("UNETLAB_LOCAL", "1" if is_own else "0")
    monkeypatch.setattr(journey, "latest_runs", fail)
    (shown,) = open_page("home", dataset=tiny.NAME).exception
    assert ("/srv/secret" in shown.message) == is_own
    assert bool(shown.stack_trace) == is_own


def test_an_error_of_a_whole_page_or_a_part_of_it_is_told_without_the_path(tiny_set, for_others, monkeypatch):
    def fail():
        raise DataError("/srv/lab/[c](http://evil.example) is gone.")

    monkeypatch.setattr(journey, "latest_runs", fail)
    (shown,) = open_page("home", dataset=tiny.NAME).error
    assert "srv" not in shown.value
    assert r"\](http:color[:]//" in shown.value


def test_what_is_written_on_the_server_is_told_to_others_without_its_path(tiny_set, for_others, monkeypatch):
    monkeypatch.setattr(living, "MAX_DOWNLOAD", 0)
    app = open_page("data", dataset=tiny.NAME)
    app.button(key="export-data").click().run()
    (told,) = app.success
    assert told.value.startswith("Written to exports/tiny-v1.zip on ")
