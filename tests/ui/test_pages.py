"""Every page in every state: no exception, and the next step is named."""

import json
import os
import re
import shutil
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block, Selectbox

from tests import tiny
from unetlab import lr_curve
from unetlab.config import RunConfig, choices
from unetlab.data import changes
from unetlab.data.dataset import open_dataset
from unetlab.files import write_json
from unetlab.options import ImportOptions, PreviewOptions
from unetlab.runs import devices, jobs, queue, store
from unetlab.runs.status import boot_id, write_status
from unetlab.runs.store import Run
from unetlab.train_options import BEST_BY
from unetlab.ui import charts, incoming, training
from unetlab.ui.text import plain
from unetlab.workspace import own_workspace

pytestmark = pytest.mark.usefixtures("no_process")

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("home", "data", "learning_rate", "train", "results", "runs")
NOTHING = {
    "home": "Try it on the sample",
    "data": "Drop",
    "learning_rate": "Upload images, or make the sample",
    "train": "Upload images, or make the sample",
    "results": "Train one",
    "runs": "Start on Home",
}
# what the train page says in each state of the chosen run, and what the results page says
NEXT = {
    "queued": ("It starts by itself", "Watch it learn"),
    "running": ("Stop", "Watch it learn"),
    "silent": ("Wait, or press Stop", "Watch it learn"),
    "failed": ("then start again", "See its curves, or train again"),
    "lost": ("Resume with 2 of 3 pictures at a time", "See its curves, or train again"),
    "paused": ("Resume", "See its curves, or train again"),
    "stopped": ("Resume", "Train again with changes"),
    "finished": ("See the results", "Train again with changes"),
}
SWEEP_SAYS = {
    "queued": "It starts by itself",
    "running": "Stop",
    "silent": "Wait, or press Stop",
    "failed": "then start again",
    "lost": "Start again, with a smaller batch",
    "paused": "holds no memory",
    "stopped": "Nothing is lost: what it measured is kept",
    "finished": "min gradient",
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


def follow(app: AppTest) -> AppTest:
    """The page that a click asked for, opened as the browser does it: by the only link that is drawn."""
    assert not app.exception
    (link,) = app.get("page_link")
    return app.switch_page(f"pages/lab/{link.proto.page}.py").run()


def box(app: AppTest, label: str) -> Selectbox:
    """The select box with this label."""
    return next(box for box in app.selectbox if box.label == label)


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
    return tiny.copy_trained(trained, workspace)


@pytest.fixture
def home_with_sweep(home_with_run: Run) -> Run:
    """Beside the training a finished sweep, written as its worker writes it."""
    return tiny.finished_sweep()


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
        "detail": "",
        "time_left": None,
        "phase_began": time.time() - 3,
    }
    changes = {
        "queued": live | {"state": "queued", "done": 0, "total": 0},
        "running": live | {"state": "running", "running_since": time.time() - 60},
        "silent": live | {"state": "running", "heartbeat": time.time() - 60, "running_since": time.time() - 90},
        "failed": {"state": "failed", "reason": "The memory of the device ran out. Halve the batch size."},
        "lost": {"state": "running", "pid": 2**22 + 1, "started": 1.0, "host": socket.gethostname()},
        "paused": {"state": "paused", "reason": "Paused on request; it can be resumed from here."},
        "stopped": {"state": "stopped", "reason": "Stopped on request; the model it had is kept."},
        "finished": {},
    }[state]
    write_status(run.folder, run.status.model_copy(update=changes))
    if state in ("queued", "running", "silent", "failed", "lost", "paused"):
        (run.folder / "evaluation.json").unlink(missing_ok=True)
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
        assert "Run all steps" in said
    elif page == "learning_rate":
        assert "Find the learning rate" in said
    elif page == "runs":
        (table,) = app.dataframe
        assert list(table.value["state"]) == [
            {"silent": "running", "queued": "waiting", "lost": "crashed"}.get(state, state)
        ]
    else:
        assert "Try it on the sample" in said
        assert {"silent": "running", "queued": "waiting", "lost": "crashed"}.get(state, state) in said


@pytest.mark.parametrize("state", NEXT)
def test_a_sweep_has_a_face_in_every_state(state, home_with_sweep):
    put_into(home_with_sweep, state)
    if state in ("queued", "running", "silent", "failed", "lost", "paused"):
        (home_with_sweep.folder / "lr_curve.json").unlink()
    app = open_page("learning_rate", dataset=tiny.NAME, sweep=home_with_sweep.id)
    assert not app.exception
    said = words(app)
    is_ready = state in ("finished", "stopped")
    assert ("Train with 0.0" in said) == is_ready
    assert SWEEP_SAYS[state] in said
    if is_ready:
        follow(app.button(key="train-with").click().run())
        assert not app.exception
        assert [title.value for title in app.title] == ["Train"]
        assert app.number_input(key=f"train:{tiny.NAME}:train.max_lr").value == pytest.approx(tiny.PICK)


def press(app: AppTest, key: str) -> AppTest:
    """The page after a click that shows no exception and no problem."""
    app.button(key=key).click().run()
    assert not app.exception
    assert not app.error, [error.value for error in app.error]
    return app


def test_a_training_is_paused_and_resumed_from_the_page(tiny_set: Path):
    def train_page() -> AppTest:
        app = open_page("train", dataset=tiny.NAME, run=run.id)
        app.session_state["train-view"] = "Chosen run"
        return app.run()

    run = tiny.start_and_train()
    press(train_page(), f"face-pause-{run.id}")
    assert tiny.ended(run).state == "paused"
    app = train_page()
    assert "Paused" in words(app)
    assert not [button for button in app.button if button.key == f"face-pause-{run.id}"]
    press(app, f"resume-{run.id}")
    tiny.wait_until(lambda: run.status.state == "running" and run.status.attempt == 2, "it goes on")
    assert run.status.micro_batch is None
    os.kill(run.status.pid, signal.SIGKILL)
    tiny.wait_until(lambda: run.status.state == "lost", "lost")
    app = train_page()
    press(app, f"resume-smaller-{run.id}")
    assert (run.status.attempt, run.status.micro_batch) == (3, 2)
    jobs.kill(run)


def test_the_rate_of_ones_own_is_marked_only_while_it_is_chosen(home_with_sweep, monkeypatch):
    drawn = []
    real = charts.lr_curve_chart
    monkeypatch.setattr(charts, "lr_curve_chart", lambda *a, **k: drawn.append(a[2]) or real(*a, **k))
    app = open_page("learning_rate", dataset=tiny.NAME, sweep=home_with_sweep.id)
    pick, own = (f"lr:{tiny.NAME}:{name}:{home_with_sweep.id}" for name in ("pick", "own"))
    app.segmented_control(key=pick).set_value("own").run()
    app.number_input(key=own).set_value(0.02).run()
    app.segmented_control(key=pick).set_value("min_gradient").run()
    assert not app.exception
    assert (drawn[0], drawn[-2], drawn[-1]) == (None, 0.02, None)


def test_a_run_keeps_the_version_of_the_data_set_that_it_saw(home_with_run):
    data = open_dataset(own_workspace(), tiny.NAME)
    dropped = next(pair.image for pair in data.manifest.pairs if pair.split == "valid")
    changes.revise(data.folder, {"excluded": [dropped]})
    app = open_page("results", dataset=tiny.NAME, run=home_with_run.id)
    assert not app.exception
    names = {pair.name for pair in data.manifest.pairs if pair.split == "valid"}
    shown = {caption.split(" · ")[0].strip("*") for caption in words(app).splitlines() if " · Dice" in caption}
    assert shown == names
    assert len([image for image in app.get("image") if "truth" in image.captions]) == len(names)


def test_results_of_a_run_whose_data_set_is_gone_show_all_but_its_pictures(home_with_run):
    shutil.rmtree(own_workspace().datasets / tiny.NAME / "versions")
    app = open_page("results", dataset=tiny.NAME, run=home_with_run.id)
    assert not app.exception
    said = words(app)
    assert "Pictures are gone" in said
    assert "Downloads" in said
    assert not [image for image in app.get("image") if "truth" in image.captions]


@pytest.mark.parametrize("state", ["finished", "failed"])
def test_the_tab_of_the_results_says_how_the_run_ended(state, home_with_run, monkeypatch):
    put_into(home_with_run, state)
    titles = []
    monkeypatch.setattr(st, "set_page_config", lambda page_title=None, **_: titles.append(page_title))
    app = open_page("results", dataset=tiny.NAME, run=home_with_run.id)
    told = f"{state.capitalize()} · tiny training"
    assert titles[-1] == told
    titles.clear()
    app.run()
    assert titles == [None, told]  # the browser keeps its title meanwhile
    app.switch_page("pages/lab/data.py").run()
    assert titles[-1] == "unetlab"


def test_the_grey_of_the_curve_is_explained_from_its_first_point_on(home_with_run):
    sweep = tiny.finished_sweep()
    put_into(sweep, "running")
    said = words(open_page("learning_rate", dataset=tiny.NAME, sweep=sweep.id))
    assert "Grey: the first 10 and last 5 points" in said
    assert "Click a point" not in said


def test_scores_of_no_class_at_all_are_shown_as_absent(home_with_run):
    evaluation = home_with_run.read("evaluation.json")
    for score in ("dice", "iou"):
        evaluation["valid"][score] = dict.fromkeys(evaluation["valid"][score])
    write_json(home_with_run.folder / "evaluation.json", evaluation)
    app = open_page("results", dataset=tiny.NAME, run=home_with_run.id)
    assert not app.exception
    assert "Absent from the validation masks and predictions" in words(app)


def decoding(config: RunConfig) -> Run:
    """An import or a preview at work."""
    run = store.create_run(own_workspace(), config, name=f"my {config.kind}", device=devices.LANE)
    process = {"pid": os.getpid(), "started": psutil.Process().create_time(), "host": socket.gethostname()}
    running = {"state": "running", "phase": "decoding", "done": 1240, "total": 10_000, "boot_id": boot_id()}
    write_status(run.folder, run.status.model_copy(update=process | running | {"heartbeat": time.time()}))
    return run


IMPORT = RunConfig(kind="import", dataset="", importing=ImportOptions(folder=".staging-x"))


def test_an_import_that_the_data_page_shows_has_one_progress(home_with_run):
    found = incoming.Import(decoding(IMPORT).id, ".staging-x")
    app = open_page("data", dataset=tiny.NAME)
    for view, drawn in ((incoming.BRING, (0, 1)), (incoming.LOOK, (1, 0))):
        app.session_state["import"], app.session_state["data-view"] = found, view
        assert drawn_progress(app.run()) == drawn


def test_an_import_shows_in_the_status_card_alone_and_a_preview_nowhere(home_with_run):
    decoding(IMPORT)
    decoding(RunConfig(kind="preview", dataset=tiny.NAME, preview=PreviewOptions(indices=[0])))
    app = open_page("home")
    assert not app.exception
    said = words(app)
    assert "my import" in said
    assert "my preview" not in said
    assert [bar.proto.text for bar in app.get("progress")] == ["decoding: 1,240 of 10,000, time left not known yet"]
    assert [button.label for button in app.button if button.label in ("Stop", "Cancel")] == ["Cancel"]
    assert box(app, "Training run").options == [f"{home_with_run.notes.name} · {home_with_run.when}"]
    assert len([button for button in app.button if button.label == "Open"]) == 1


def test_a_page_says_what_is_wrong_with_a_hostile_or_stale_link(home_with_run):
    app = open_page("results", dataset="../../etc", run="..")
    assert not app.exception
    assert app.session_state["run"] == home_with_run.id


def test_a_paused_queue_is_said_where_a_run_waits_and_can_be_resumed(home_with_run):
    put_into(home_with_run, "queued")
    queue.join(home_with_run, "cpu")
    queue.hold(own_workspace())
    app = open_page("train", dataset=tiny.NAME, run=home_with_run.id)
    app.session_state["train-view"] = "Chosen run"
    app.run()
    assert "Queue paused" in words(app)
    assert app.button(key="release").label == "Resume queue"
    app.button(key="release").click().run()
    assert not app.exception
    assert not queue.read_queue(own_workspace()).is_held


def test_train_again_with_changes_fills_the_form_from_the_run(home_with_run):
    app = open_page("train", dataset=tiny.NAME, run=home_with_run.id)
    assert app.number_input(key=f"train:{tiny.NAME}:model.base_width").value == 32
    app.session_state["train-view"] = "Chosen run"
    app.run()
    app.button(key="again").click().run()
    assert not app.exception
    assert app.number_input(key=f"train:{tiny.NAME}:model.base_width").value == tiny.OPTIONS["model.base_width"]
    assert app.number_input(key=f"train:{tiny.NAME}:train.max_lr").value == tiny.OPTIONS["train.max_lr"]


def test_train_again_from_the_results_leads_to_the_filled_form_once(home_with_run):
    app = open_page("results", dataset=tiny.NAME, run=home_with_run.id)
    follow(app.button(key="again").click().run())
    assert not app.exception
    assert [title.value for title in app.title] == ["Train"]
    assert app.number_input(key=f"train:{tiny.NAME}:model.base_width").value == tiny.OPTIONS["model.base_width"]
    app.switch_page("pages/lab/results.py").run()
    assert [title.value for title in app.title] == ["Results"]


@pytest.mark.parametrize("state", ["finished", "running"])
def test_a_reload_of_the_train_page_shows_what_it_showed(home_with_run, state):
    put_into(home_with_run, state)

    def opened(**query: str) -> AppTest:
        """The Train page in a new session."""
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30)
        for key, value in query.items():
            app.query_params[key] = value
        return app.switch_page("pages/lab/train.py").run()

    app = opened(run=home_with_run.id)
    assert app.session_state["train-view"] == training.RUN
    assert "Train again with changes" in words(app)
    app.session_state["train-view"] = training.NEW
    app.run()
    assert app.query_params["view"] == "new"
    app = opened(**dict(app.query_params))
    assert "Start training" in words(app)
    app.session_state["train-view"] = training.RUN
    assert "view" not in app.run().query_params


def test_a_card_on_home_opens_its_run(home_with_run):
    app = open_page("home")
    follow(app.button(key=f"open-{home_with_run.id}").click().run())
    assert not app.exception
    assert [title.value for title in app.title] == ["Results"]
    assert app.query_params["run"] == home_with_run.id


def test_a_problem_of_a_click_is_shown_and_not_raised(home_with_run, monkeypatch):
    ended, stop = home_with_run.status, jobs.stop

    def stop_too_late(run: Run) -> None:
        write_status(run.folder, ended)  # it ended while the page still showed its button
        stop(run)

    monkeypatch.setattr(jobs, "stop", stop_too_late)
    put_into(home_with_run, "running")
    app = open_page("train", dataset=tiny.NAME, run=home_with_run.id)
    app.button(key=f"stop-{home_with_run.id}").click().run()
    assert not app.exception
    (problem,) = app.error
    assert "has ended already (finished)" in problem.value
    app.run()
    assert not app.error


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
        "from tests.ui.test_pages import PAGES, open_page\n"
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


def rewrite(run: Run, file: str, **changes: object) -> None:
    """Changes keys of a JSON file in the run folder."""
    write_json(run.folder / file, run.read(file) | changes)


def test_the_best_epoch_is_one_of_those_that_were_asked_for(home_with_run):
    rewrite(home_with_run, "result.json", epochs=1, best_epoch=1, epochs_trained=0.5)  # stopped within the first
    app = open_page("results", dataset=tiny.NAME, run=home_with_run.id)
    assert {metric.label: metric.value for metric in app.metric}["Best epoch"] == "1 of 2"


def test_the_best_epoch_is_named_by_the_score_that_chose_it(home_with_run):
    config = home_with_run.read("config.json")
    rewrite(home_with_run, "config.json", train=config["train"] | {"best_score": "valid_loss"})
    path = home_with_run.folder / "events.jsonl"
    logged = [json.loads(line) for line in path.read_text().splitlines()]
    epochs = iter([{"mean_dice": 0.9, "is_best": True}, {"mean_dice": 0.25, "is_best": True}])
    changed = [event | next(epochs) if event["type"] == "epoch" else event for event in logged]
    path.write_text("".join(json.dumps(event) + "\n" for event in changed))
    (card,) = (metric for metric in open_page("home").metric if metric.label.startswith("Mean Dice"))
    assert (card.value, "the lowest validation loss" in card.help) == ("0.250", True)
    (best,) = (m for m in open_page("results", run=home_with_run.id).metric if m.label == "Best epoch")
    assert "lowest validation loss" in best.help
    done = tiny.command("runs", "show", home_with_run.id)
    assert "(lowest validation loss)" in done.stdout


def test_every_score_that_may_choose_the_best_epoch_has_words():
    assert [*BEST_BY] == [*choices("train.best_score")]


def test_the_results_show_the_highest_rate_that_was_used(home_with_run):
    rewrite(home_with_run, "result.json", highest_lr=4e-9)
    assert "Highest learning rate used: 4.00e-09" in words(open_page("results", run=home_with_run.id))


def test_the_form_warns_of_too_few_steps_for_a_cycle_and_not_of_a_flat_rate(tiny_set):
    app = open_page("train", dataset=tiny.NAME)
    app.number_input(key=f"train:{tiny.NAME}:train.epochs").set_value(1).run()
    asked = "The highest rate is 4.0e-09; 1.0e-03 was asked for"
    assert [asked in said.value for said in app.warning] == [True]
    assert "400 epochs make 400 steps" in app.warning[0].value
    app.selectbox(key=f"train:{tiny.NAME}:train.schedule").set_value("flat").run()
    assert not app.exception
    assert ["needs a few hundred" in said.value for said in app.warning] == [True]


def test_the_form_proposes_epochs_for_the_set_until_a_person_sets_them(tiny_set):
    def epochs() -> int:
        return app.number_input(key=f"train:{tiny.NAME}:train.epochs").value

    app = open_page("train", dataset=tiny.NAME)
    assert epochs() == 400  # six pictures are one step of eight
    assert "400 epochs of 1 step = **400 steps**" in words(app)
    app.number_input(key=f"train:{tiny.NAME}:train.batch_size").set_value(2).run()
    assert (epochs(), app.warning.values) == (134, [])
    app.number_input(key=f"train:{tiny.NAME}:train.epochs").set_value(88).run()
    assert epochs() == 88
    assert ["Only 264 steps" in said.value for said in app.warning] == [True]
    app.number_input(key=f"train:{tiny.NAME}:train.epochs").set_value(89).run()
    assert app.warning.values == []  # 267: half as much again would be 400
    app.number_input(key=f"train:{tiny.NAME}:train.batch_size").set_value(1).run()
    assert (epochs(), app.warning.values) == (89, [])
    app.number_input(key=f"train:{tiny.NAME}:train.epochs").set_value(3).run()
    press(app, "set-epochs")
    assert (epochs(), app.warning.values) == (67, [])


def place_of(block: Block, label: str) -> tuple[int, ...]:
    """Where the button stands in the tree of the page, as the browser counts; empty if it does not."""
    for index, child in block.children.items():
        if getattr(child, "label", None) == label:
            return (index,)
        if below := place_of(child, label) if isinstance(child, Block) else ():
            return (index, *below)
    return ()


@pytest.mark.parametrize(
    ("page", "form", "wrong", "label"),
    [
        ("train", "train", {"train.epochs": 1}, "Start training"),
        ("train", "train", {"train.epochs": 0}, "Start training"),
        ("learning_rate", "lr", {"train.batch_size": 0}, "Find the learning rate"),
    ],
)
def test_a_start_button_keeps_its_place_whatever_the_form_says(tiny_set, page, form, wrong, label):
    """Else it stands there twice while the browser draws the page anew, and a click may hit the old one."""
    app = open_page(page, dataset=tiny.NAME)
    before = place_of(app.main, label)
    for key, value in wrong.items():
        app.number_input(key=f"{form}:{tiny.NAME}:{key}").set_value(value).run()
    assert len(app.warning) + len(app.error) > 0
    assert place_of(app.main, label) == before != ()


def test_a_page_keeps_its_place_below_a_problem_that_is_told_above_it(tiny_set):
    app = open_page("train", dataset=tiny.NAME)
    before = place_of(app.main, "Start training")
    app.session_state["problem"] = "The disk is full."
    app.session_state["to-top"] = True
    app.run()
    assert "The disk is full." in app.error.values
    assert place_of(app.main, "Start training") == before != ()


def test_the_form_draws_fastais_cycle_with_fastais_warm_up(tiny_set, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        training.run_charts, "schedule_chart", lambda plan, *a, **k: drawn.append(plan) or {"mark": "line"}
    )
    app = open_page("train", dataset=tiny.NAME)
    app.number_input(key=f"train:{tiny.NAME}:train.epochs").set_value(100).run()
    app.selectbox(key=f"train:{tiny.NAME}:train.schedule").set_value("fastai_one_cycle").run()
    assert not app.exception
    assert drawn[-1]["step"].iloc[drawn[-1]["lr"].to_numpy().argmax()] == 25
    assert box(app, "Warm-up share").value == "auto"


def test_a_flat_schedule_is_not_described_as_a_cycle(home_with_run):
    app = open_page("train", dataset=tiny.NAME)
    assert "One cycle: the rate rises" in words(app)
    app.selectbox(key=f"train:{tiny.NAME}:train.schedule").set_value("flat").run()
    assert "Flat: the same rate" in words(app)
    assert "cycle" not in words(app)
    config = home_with_run.read("config.json")
    for schedule, says in (("one_cycle", "The rate peaked at step"), ("flat", "The rate is the same throughout.")):
        rewrite(home_with_run, "config.json", train=config["train"] | {"schedule": schedule})
        app = open_page("train", dataset=tiny.NAME, run=home_with_run.id)
        app.session_state["train-view"] = "Chosen run"
        assert says in words(app.run())
    assert "The rate peaked" not in words(app)


@pytest.mark.parametrize(
    ("state", "says", "not_said"),
    [
        ("running", "has been falling since: now the loss settles", "until the run ended"),
        ("finished", "and fell until the run ended", "now the loss settles"),
    ],
)
def test_what_the_rate_does_is_told_in_the_past_of_a_run_that_has_ended(state, says, not_said, home_with_run):
    put_into(home_with_run, state)
    app = open_page("train", dataset=tiny.NAME, run=home_with_run.id)
    app.session_state["train-view"] = "Chosen run"
    said = words(app.run())
    assert says in said
    assert not_said not in said


def test_the_loss_beside_a_pick_is_that_of_its_rate_over_all_sweeps(home_with_sweep):
    rates = [10.0**power for power in range(-6, 1)]
    losses = [[1.0, 0.9, 0.7, 0.5, 0.2, 0.8, 3.0], [1.0, 0.9, 0.7, 0.7, 0.2, None, None]]
    sweeps = [{"lrs": rates, "losses": one, "smoothed_losses": one} for one in losses]
    picks = {"min_gradient": {"lr": 1e-4, "index": 2}, "min_loss_tenth": {"lr": 1e-3, "index": 4}}
    spread = {name: [pick["lr"]] for name, pick in picks.items()}
    rewrite(home_with_sweep, "lr_curve.json", sweeps=sweeps, picks=picks, declined={}, spread=spread)
    said = words(open_page("learning_rate", dataset=tiny.NAME, sweep=home_with_sweep.id)).splitlines()
    (gradient,) = (line for line in said if line.startswith("**min gradient: "))
    (tenth,) = (line for line in said if line.startswith("**min loss / 10: "))
    assert gradient.endswith("Smoothed loss at this rate: 0.700.")
    assert tenth.endswith("Smoothed loss at this rate: 0.600."), "not 0.2, the lowest, at ten times the rate"


@pytest.mark.parametrize("kept", [{"min_gradient", "min_loss_tenth"}, {"min_gradient"}, {"min_gradient_no_lag"}, set()])
def test_the_first_view_of_a_sweep_marks_what_it_has_and_what_would_be_trained_with(home_with_sweep, monkeypatch, kept):
    """The preselected pick is declined, or of a version that did not know it."""
    drawn, draw = [], charts.lr_curve_chart
    monkeypatch.setattr(
        charts, "lr_curve_chart", lambda *given, **more: drawn.append(given[1:3]) or draw(*given, **more)
    )
    losses = [1.0, 0.9, 0.7, 0.5, 0.2, 0.8, 3.0]
    sweep = {"lrs": [10.0**power for power in range(-6, 1)], "losses": losses, "smoothed_losses": losses}
    picks = {name: {"lr": 1e-3, "index": 4} if name in kept else None for name in ("min_gradient", *kept)}
    told = {"declined": {"min_gradient": "Too flat."}, "spread": {}, "cautions": {}, "intervals": {}}
    rewrite(home_with_sweep, "lr_curve.json", sweeps=[sweep | {"centred_losses": losses}], picks=picks, **told)
    app = open_page("learning_rate", dataset=tiny.NAME, sweep=home_with_sweep.id)
    assert not app.exception
    ((marks, own),) = drawn
    assert [bool(mark) for mark in marks.values()].count(True) == len(kept)
    assert (own is None) == bool(kept)
    assert app.button(key="train-with").label.startswith("Train with")
    (find,) = [button for button in app.button if button.label == "Find the learning rate"]
    assert find.proto.type == "secondary"


def test_the_picks_of_either_curve_can_be_chosen_and_one_that_deserves_a_warning_comes_with_it(home_with_sweep):
    rates = [10.0**power for power in range(-6, 1)]
    losses = [1.0, 0.9, 0.7, 0.5, 0.2, 0.8, 3.0]
    sweep = {"lrs": rates, "losses": losses, "smoothed_losses": losses, "centred_losses": losses}
    found = {"min_gradient": 1e-2, "min_loss_tenth": 0.1, "min_gradient_no_lag": 2e-3, "min_loss_tenth_no_lag": 4e-3}
    picks = {name: {"lr": rate, "index": 3} for name, rate in found.items()} | {"valley": None}
    rewrite(
        home_with_sweep, "lr_curve.json", sweeps=[sweep], picks=picks, declined={"valley": "Too flat."},
        spread={name: [rate] for name, rate in found.items()}, intervals={"min_gradient": [5e-3, 2e-2]},
        cautions={"min_loss_tenth": "The raw loss rises there."},
    )  # fmt: skip
    app = open_page("learning_rate", dataset=tiny.NAME, sweep=home_with_sweep.id)
    base, curve = (f"lr:{tiny.NAME}:{name}:{home_with_sweep.id}" for name in ("pick", "curve"))

    def chosen() -> tuple[str, list[str]]:
        assert not app.exception
        return app.button(key="train-with").label, [warning.value for warning in app.warning]

    assert chosen() == (f"Train with {found[lr_curve.PRESELECTED]:.2g}", [])
    app.segmented_control(key=base).set_value("min_loss_tenth").run()
    app.segmented_control(key=curve).set_value(lr_curve.FASTAI).run()
    assert chosen() == ("Train with 0.1", ["The raw loss rises there."])
    app.segmented_control(key=base).set_value("min_gradient").run()
    assert chosen() == ("Train with 0.01", [])
    app.segmented_control(key=curve).set_value(lr_curve.NO_LAG).run()
    assert chosen() == ("Train with 0.002", [])
    said = words(app)
    assert "of 10 cases another sweep gives 5.0e-03 to 2.0e-02" in said
    assert "**valley**: declined. Too flat." in said
    assert "valley" not in app.segmented_control(key=base).options
    follow(app.button(key="train-with").click().run())
    assert app.number_input(key=f"train:{tiny.NAME}:train.max_lr").value == 0.002


def test_the_dice_of_the_loss_and_the_dice_that_is_scored_are_told_apart(home_with_run):
    def said() -> list[bool]:
        pages = [open_page(page, dataset=tiny.NAME, run=home_with_run.id) for page in ("train", "results")]
        pages[0].session_state["train-view"] = "Chosen run"
        return ["that one is soft" in words(app) for app in (pages[0].run(), pages[1])]

    assert said() == [True, True]
    config = home_with_run.read("config.json")
    rewrite(home_with_run, "config.json", train=config["train"] | {"loss": "cross_entropy"})
    assert said() == [False, False], "its loss has no Dice"


def test_train_and_results_say_the_same_of_the_best_epoch_and_the_last(home_with_run):
    said = [event for event in (home_with_run.folder / "events.jsonl").read_text().splitlines() if '"epoch"' in event]
    last = [json.loads(line) for line in said if json.loads(line)["type"] == "epoch"][-1]
    with (home_with_run.folder / "events.jsonl").open("a") as file:
        worse = last | {"epoch": last["epoch"] + 1, "step": last["step"] + 2, "mean_dice": 0.0, "is_best": False}
        file.write(json.dumps(worse) + "\n")
    pages = [open_page(page, dataset=tiny.NAME, run=home_with_run.id) for page in ("train", "results")]
    pages[0].session_state["train-view"] = "Chosen run"
    pages[0].run()
    told = [re.findall(r"Best epoch \d+ of \d+: mean Dice 0\.\d+; the last epoch: 0\.000", words(app)) for app in pages]
    assert told[0] == told[1]
    assert len(told[0]) == 1


@pytest.mark.parametrize(
    ("page", "field", "start"),
    [
        ("train", "train:tiny:train.max_lr", "Start training"),
        ("learning_rate", "lr:tiny:train.weight_decay", "Find the learning rate"),
    ],
)
def test_while_a_field_is_wrong_the_page_shows_no_preview_of_an_earlier_value_and_starts_nothing(
    tiny_set, page, field, start
):
    app = open_page(page, dataset=tiny.NAME)
    (button,) = (button for button in app.button if button.label == start)
    assert not button.disabled
    app.number_input(key=field).set_value(200.0).run()
    assert not app.exception
    (button,) = (button for button in app.button if button.label == start)
    assert button.disabled
    assert re.search("must be .* and at most .*, not 200", words(app))
    assert "What the schedule will do" not in words(app)


@pytest.mark.parametrize(
    ("page", "field", "start", "label"),
    [
        ("train", "train:tiny:train.max_lr", "Start training", "Learning rate (maximum)"),
        ("learning_rate", "lr:tiny:train.weight_decay", "Find the learning rate", "Weight decay"),
    ],
)
def test_a_wrong_value_that_arrives_with_the_press_is_told_by_its_label(tiny_set, page, field, start, label):
    app = open_page(page, dataset=tiny.NAME)
    app.number_input(key=field).set_value(200.0)
    next(button for button in app.button if button.label == start).click().run()
    assert not app.exception
    assert f"{label}: must be " in app.error[0].value
    assert not list(own_workspace().runs.glob("*/config.json"))


def test_a_rate_of_ones_own_that_training_cannot_take_is_told_and_not_carried(home_with_sweep):
    app = open_page("learning_rate", dataset=tiny.NAME, sweep=home_with_sweep.id)
    pick, own = (f"lr:{tiny.NAME}:{name}:{home_with_sweep.id}" for name in ("pick", "own"))
    app.segmented_control(key=pick).set_value("own").run()
    app.number_input(key=own).set_value(0.0).run()
    assert not app.exception
    assert "must be above 0 and at most 100, not 0" in words(app)
    assert not [button for button in app.button if button.key == "train-with"]
    app.number_input(key=own).set_value(20.0).run()
    assert "Train with 20" in words(app)


def drawn_progress(app: AppTest) -> tuple[int, int]:
    """How many progress bars the sidebar and the page show."""
    assert not app.exception
    return len(app.sidebar.get("progress")), len(app.main.get("progress"))


def line_of(app: AppTest) -> list[str]:
    """The line above the page: what runs, for where the sidebar is closed."""
    return [element.value for element in app.main.markdown if element.value.startswith(":small[**")]


@pytest.mark.parametrize("kind", ["train", "learning_rate"])
def test_a_run_that_the_page_shows_has_one_progress_and_a_name_and_a_stop_in_the_sidebar(home_with_sweep, kind):
    runs = [Run(own_workspace().runs / name) for name in os.listdir(own_workspace().runs)]
    (run,) = (run for run in runs if (run.config.kind == "train") == (kind == "train"))
    put_into(run, "running")
    chosen = {"run" if kind == "train" else "sweep": run.id}
    app = open_page(kind, dataset=tiny.NAME, **chosen)
    assert drawn_progress(app) == (0, 1)
    assert line_of(app) == []
    assert app.button(key=f"stop-{run.id}").label == "Stop"
    if kind == "train":
        app = open_page("results", dataset=tiny.NAME, run=run.id)
        assert drawn_progress(app) == (0, 1)
        app = open_page(kind, dataset=tiny.NAME, run=run.id)
        app.session_state["train-view"] = "New training"
        app.run()
        assert drawn_progress(app) == (1, 0)
        assert len(line_of(app)) == 1


def test_a_run_that_stops_says_so_and_no_time_left(home_with_run):
    put_into(home_with_run, "running")
    app = open_page("train", dataset=tiny.NAME, run=home_with_run.id)
    (shown,) = app.get("progress")
    assert shown.proto.text.endswith("step 3 of 4, 1 s left")
    home_with_run.ask_to_stop()
    (shown,) = app.run().get("progress")
    assert shown.proto.text.endswith("step 3 of 4, stopping")


@pytest.mark.parametrize("kind", ["train", "lr_find"])
def test_what_runs_stands_in_a_line_above_other_pages_and_is_watched_from_there(home_with_sweep, kind):
    runs = [Run(own_workspace().runs / name) for name in os.listdir(own_workspace().runs)]
    (run,) = (run for run in runs if run.config.kind == kind)
    put_into(run, "running")
    app = open_page("home", dataset=tiny.NAME)
    (line,) = line_of(app)
    assert f"**{plain(run.title)}** · training: step 3 of 4" in line
    app.session_state["train-view"] = "New training"
    follow(app.button(key=f"watch-{run.id}").click().run())
    assert not app.exception
    assert [title.value for title in app.title] == ["Train" if kind == "train" else "Learning rate"]
    assert app.session_state["run" if kind == "train" else "sweep"] == run.id
    assert drawn_progress(app) == (0, 1)


def test_a_waiting_run_is_no_running_one(home_with_run):
    put_into(home_with_run, "queued")
    assert line_of(open_page("home")) == []
