"""A workspace that an earlier unetlab left behind still opens: on the command line, on every page, and for more work.

tests/stored/make_workspace.py says what is in it and how it was made. Most of this goes through the command line and
the pages, which are what people keep their workspaces for.
"""

import json
import zipfile
from pathlib import Path

import pytest

from tests import tiny
from tests.ui.test_pages import open_page, words
from unetlab.data import changes
from unetlab.data.content_hash import content_hash
from unetlab.data.dataset import open_dataset
from unetlab.runs.store import Run
from unetlab.workspace import Workspace

pytestmark = pytest.mark.usefixtures("no_process")

STORED = Path(__file__).parent / "stored" / "workspace_schema1.zip"
TWIN = json.loads(zipfile.ZipFile(STORED).read("twin.json"))
RUNS: dict[str, str] = TWIN["runs"]
NAME = "cells"
STATES = dict.fromkeys(RUNS, "finished") | {"failed": "failed", "paused": "paused"}
PAUSED_AT, STEPS = 12, 60
PAGES = [
    ("home", "", "the good one"),
    ("data", "", "7 pairs"),
    ("learning_rate", "sweep", "min gradient"),
    ("learning_rate", "guided", ""),  # it may lead on to the training that it started
    ("train", "training", "See the results"),
    ("train", "then", "See the results"),
    ("train", "paused", "Resume"),
    ("train", "failed", "was asked for"),
    ("results", "training", "Train again with changes"),
    ("results", "again", "Train again with changes"),
    ("results", "failed", "See its curves, or train again"),
]


@pytest.fixture(autouse=True)
def stored(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own workspace with all that was stored in it."""
    monkeypatch.setenv(*tiny.ONE_THREAD)
    with zipfile.ZipFile(STORED) as archive:
        archive.extractall(workspace.parent, [name for name in archive.namelist() if name.startswith("home/")])
    assert workspace.name == "home"
    return workspace


def run_of(stored: Path, word: str) -> Run:
    return Run(stored / "runs" / RUNS[word])


def test_the_stored_workspace_is_small():
    assert STORED.stat().st_size < 2**20


def test_every_run_is_listed_as_it_ended_and_read_in_full(stored: Path):
    rows = {row["run"]: row for row in tiny.answer("runs", "list")["runs"]}
    assert {word: rows[run]["status"] for word, run in RUNS.items()} == STATES
    assert len(rows) == len(RUNS)
    assert rows[RUNS["training"]]["name"] == "the good one"
    assert rows[RUNS["training"]]["mean_dice"] == pytest.approx(0.650, abs=1e-3)
    for word in RUNS:
        run = run_of(stored, word)
        assert run.config.dataset == NAME
        assert run.config.kind == {"sweep": "lr_find", "guided": "lr_find", "evaluation": "evaluate"}.get(word, "train")
    notes = run_of(stored, "training").notes
    assert (notes.tags, notes.remarks) == (["baseline", "32 px"], "Looks right to me.")
    shown = tiny.answer("runs", "show", RUNS["evaluation"])
    assert shown["result"]["valid"] == run_of(stored, "training").read("result.json")["valid"]
    assert "cuda:0 was asked for" in rows[RUNS["failed"]]["reason"]


def test_the_data_set_opens_in_the_version_of_today_and_in_that_of_a_run(stored: Path):
    checked = tiny.answer("data", "check", NAME)
    assert (checked["num_pairs"], checked["changed_files"]) == (7, [])
    before = run_of(stored, "training").read("result.json")["valid"]
    scored = tiny.answer("evaluate", RUNS["training"])  # of the eight pairs that the run saw
    assert scored["status"] == "finished"
    # a pixel on the border may fall to the other class where a processor rounds otherwise
    assert scored["valid"]["mean_dice"] == pytest.approx(before["mean_dice"], abs=0.02)
    assert scored["valid"]["loss"] == pytest.approx(before["loss"], rel=1e-3)


def test_versions_keep_their_names_until_something_changes(stored: Path):
    old = open_dataset(Workspace(stored), NAME)
    before, names = old.manifest, {path.name for path in (old.folder / "versions").iterdir()}
    seen = run_of(stored, "again").read("environment.json")["content_hash"]
    assert content_hash(before) != before.content_hash  # it was made of less
    kept = changes.revise(old.folder, {})
    assert (kept.content_hash, kept.version) == (before.content_hash, before.version)
    assert {path.name for path in (old.folder / "versions").iterdir()} == names
    changed = changes.update_classes(old.folder, background=1)
    assert (changed.content_hash, changed.version) == (content_hash(changed), before.version + 1)
    for version in (seen, before.content_hash):
        assert open_dataset(Workspace(stored), NAME, version=version).background == 0


@pytest.mark.parametrize(("page", "word", "says"), PAGES)
def test_every_page_shows_it(stored: Path, page: str, word: str, says: str):
    key = "sweep" if page == "learning_rate" else "run"
    app = open_page(page, dataset=NAME, **({key: RUNS[word]} if word else {}))
    if page == "train":
        app.session_state["train-view"] = "Chosen run"
        app.run()
    assert not app.exception
    assert says in words(app)
    if word:
        assert app.session_state[key] == RUNS[word], "another run was shown"


def test_the_paused_training_goes_on_where_it_stood(stored: Path):
    paused = run_of(stored, "paused")
    answer = tiny.answer("runs", "resume", paused.id)
    assert (answer["status"], answer["steps"]) == ("finished", STEPS), paused.log_tail()
    assert [event["step"] for event in tiny.of_type(paused, "batch")] == list(range(STEPS)), "no step twice"
    assert f"at step {PAUSED_AT}" in str(tiny.of_type(paused, "note"))
    # since result_version 2 it draws other minibatches and takes Dice per picture, and says so; its weights go on
    (changed,) = [note["message"] for note in tiny.of_type(paused, "note") if "Changed since" in note["message"]]
    assert "result_version was 1, is 3" in changed
    resumed, losses = range(PAUSED_AT, PAUSED_AT + 3), tiny.losses(paused)
    expected = [TWIN["losses"][str(step)] for step in resumed]
    assert [losses[step] for step in resumed] == pytest.approx(expected, rel=0.1)
    assert max(expected) < 0.8 * TWIN["losses"]["0"], "one that began anew would stand out"


def test_a_new_training_takes_the_pick_of_a_stored_sweep(stored: Path):
    pick = run_of(stored, "sweep").read("lr_curve.json")["picks"]["min_gradient"]["lr"]
    answer = tiny.answer("train", NAME, "--from", RUNS["sweep"], "--lr", "min_gradient", "--set", "train.epochs=1")
    assert (answer["status"], answer["max_lr"]) == ("finished", pick)
