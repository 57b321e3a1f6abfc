"""Every page in every state: no exception, and the next step is named."""

import os
import shutil
import socket
import time
from pathlib import Path

import psutil
import pytest
from streamlit.testing.v1 import AppTest

from tests import tiny
from unetlab.runs import queue
from unetlab.runs.status import boot_id, write_status
from unetlab.runs.store import Run

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("home", "data", "learning_rate", "train", "results")
NOTHING = {
    "home": "Try it on the sample",
    "data": "Drop",
    "learning_rate": "Bring pictures, or make the sample",
    "train": "Bring pictures, or make the sample",
    "results": "Train one",
}
# what the train page says in each state of the chosen run, and what the results page says
NEXT = {
    "queued": ("It starts by itself", "Watch it learn"),
    "running": ("Stop", "Watch it learn"),
    "silent": ("Wait, or press Stop", "Watch it learn"),
    "failed": ("then start again", "Look at it, or train again"),
    "lost": ("Start again, with a smaller batch", "Look at it, or train again"),
    "stopped": ("See the results", "Train again with changes"),
    "finished": ("See the results", "Train again with changes"),
}


def open_page(name: str, **query: str) -> AppTest:
    """The app on one of its pages, run once."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30)
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    if name != "home":
        app.switch_page(f"pages/lab/{name}.py").run()
    return app


def words(app: AppTest) -> str:
    """Everything a person can read on the page."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "info", "warning", "error", "success")
    read = [str(element.value) for kind in kinds for element in app.get(kind)]
    read += [str(element.proto.label) for kind in ("button", "page_link", "expander") for element in app.get(kind)
             if hasattr(element, "proto")]  # fmt: skip
    read += [str(element.label) for element in app.get("button")]
    read += [str(element.proto.title) for kind in ("info", "warning", "error") for element in app.get(kind)]
    return "\n".join(read)


@pytest.fixture
def home_with_run(workspace: Path, trained: Run) -> Run:
    """A workspace of the test's own with the data set and a finished training in it."""
    shutil.copytree(trained.folder.parents[1], workspace, dirs_exist_ok=True)
    return Run(workspace / "runs" / trained.id)


def put_into(run: Run, state: str) -> None:
    """Makes the finished run look as it does in another state, as its worker would have left it."""
    live = {
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
        "host": socket.gethostname(),
        "boot_id": boot_id(),
        "heartbeat": time.time(),
        "created": time.time() - 100,
        "phase": "training",
        "done": 3,
        "total": 4,
        "phase_began": time.time() - 3,
    }
    changes = {
        "queued": live | {"state": "queued", "done": 0, "total": 0},
        "running": live | {"state": "running", "running_since": time.time() - 60},
        "silent": live | {"state": "running", "heartbeat": time.time() - 60, "running_since": time.time() - 90},
        "failed": {"state": "failed", "reason": "The memory of the device ran out. Halve the batch size."},
        "lost": {"state": "running", "pid": 2**22 + 1, "started": 1.0, "host": socket.gethostname()},
        "stopped": {"state": "stopped", "reason": "Stopped on request; the model it had is kept."},
        "finished": {},
    }[state]
    write_status(run.folder, run.status.model_copy(update=changes))
    if state in ("queued", "running", "silent", "failed", "lost"):
        (run.folder / "evaluation.json").unlink()
    if state == "queued":
        (run.folder / "events.jsonl").unlink()


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_workspace_names_the_next_step(page):
    app = open_page(page)
    assert not app.exception
    said = words(app)
    if page == "data":
        assert len(app.get("file_uploader")) >= 2
    else:
        assert NOTHING[page] in said


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("state", NEXT)
def test_every_state_has_a_face_on_every_page(page, state, home_with_run):
    put_into(home_with_run, state)
    app = open_page(page, dataset=tiny.NAME, run=home_with_run.id)
    if page == "train":
        app.session_state["train-view"] = "Chosen run"
        app.run()
    assert not app.exception
    said = words(app)
    if page == "train":
        assert NEXT[state][0] in said
    elif page == "results":
        assert NEXT[state][1] in said
    elif page == "data":
        assert "Find its learning rate" in said
    elif page == "learning_rate":
        assert "Find the learning rate" in said
    else:
        assert "Try it on the sample" in said
        assert {"silent": "running", "queued": "waiting"}.get(state, state) in said


def test_a_page_says_what_is_wrong_with_a_hostile_or_stale_link(home_with_run):
    app = open_page("results", dataset="../../etc", run="..")
    assert not app.exception
    assert app.session_state["run"] == home_with_run.id


def test_a_held_queue_is_said_where_a_run_waits_and_can_be_let_go(home_with_run):
    put_into(home_with_run, "queued")
    queue.join(home_with_run, "cpu")
    queue.hold()
    app = open_page("train", dataset=tiny.NAME, run=home_with_run.id)
    app.session_state["train-view"] = "Chosen run"
    app.run()
    assert "The queue is held" in words(app)
    app.button(key="release").click().run()
    assert not app.exception
    assert not queue.read_queue().is_held


def test_train_again_with_changes_fills_the_form_from_the_run(home_with_run):
    app = open_page("train", dataset=tiny.NAME, run=home_with_run.id)
    app.session_state["train-view"] = "Chosen run"
    app.run()
    assert app.number_input(key="train:model.base_width").value == 32
    app.button(key="again").click().run()
    assert not app.exception
    assert app.number_input(key="train:model.base_width").value == tiny.OPTIONS["model.base_width"]
    assert app.number_input(key="train:train.max_lr").value == tiny.OPTIONS["train.max_lr"]


def test_train_again_from_the_results_leads_to_the_filled_form_once(home_with_run):
    app = open_page("results", dataset=tiny.NAME, run=home_with_run.id)
    app.button(key="again").click().run()
    assert not app.exception
    assert [title.value for title in app.title] == ["Train"]
    assert app.number_input(key="train:model.base_width").value == tiny.OPTIONS["model.base_width"]
    app.switch_page("pages/lab/results.py").run()
    assert [title.value for title in app.title] == ["Results"]


def test_a_card_on_home_opens_its_run(home_with_run):
    app = open_page("home")
    app.button(key=f"open-{home_with_run.id}").click().run()
    assert not app.exception
    assert [title.value for title in app.title] == ["Results"]
    assert app.query_params["run"] == home_with_run.id


def test_a_problem_of_a_click_is_shown_and_not_raised(home_with_run):
    app = open_page("train", dataset=tiny.NAME)
    app.number_input(key="train:train.clip_norm").set_value(0.5).run()
    (home_with_run.folder.parents[1] / "runs").chmod(0o755)
    app.session_state["problem"] = "Something the user can mend."
    app.run()
    assert not app.exception
    assert [error.value for error in app.error] == ["Something the user can mend."]


def test_notes_written_on_the_page_are_kept(home_with_run):
    app = open_page("train", dataset=tiny.NAME, run=home_with_run.id)
    app.session_state["train-view"] = "Chosen run"
    app.run()
    app.text_input(key=f"name-{home_with_run.id}").set_value("the good one").run()
    assert not app.exception
    assert home_with_run.notes.name == "the good one"


def test_the_process_that_opened_all_pages_has_no_torch_and_stays_small(home_with_run, tmp_path):
    script = tmp_path / "open_all.py"
    script.write_text(
        "import sys, psutil\n"
        "from tests.test_pages import PAGES, open_page\n"
        "for page in PAGES:\n"
        "    assert not open_page(page).exception, page\n"
        "assert 'torch' not in sys.modules\n"
        "print(psutil.Process().memory_info().rss // 10**6)\n"
    )
    done = tiny.subprocess.run(
        [tiny.sys.executable, str(script)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 250
