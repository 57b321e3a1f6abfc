"""Home: what its buttons do by themselves, the tour from page to page, the steps and the cards."""

import shutil
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests import tiny
from tests.ui.test_pages import follow, home_with_run, open_page, put_into, words
from unetlab import lr_curve, schedules
from unetlab.data import samples
from unetlab.data.dataset import open_dataset
from unetlab.data.samples import make_nuclei
from unetlab.files import write_json
from unetlab.runs import launching, store
from unetlab.runs.status import write_status
from unetlab.runs.store import Run, list_runs
from unetlab.ui import drafts, journey, tour, training
from unetlab.workspace import own_workspace

__all__ = ["home_with_run"]


def press(app: AppTest, label: str) -> AppTest:
    """The page after a click on the button with this label."""
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return app


def title(app: AppTest) -> str:
    """The page's title."""
    assert not app.exception
    return app.title[0].value


def end(run: Run, state: str = "finished", *, ago: float = 60) -> None:
    """Makes the run look as if it had ended so many seconds ago."""
    write_status(run.folder, run.status.model_copy(update={"state": state, "ended": time.time() - ago}))


def score(run: Run, scored: Run) -> None:
    """Gives the run the scores of another one."""
    shutil.copytree(scored.folder / "predictions", run.folder / "predictions")
    shutil.copy(scored.folder / "evaluation.json", run.folder)


@pytest.fixture
def no_worker(monkeypatch: pytest.MonkeyPatch, no_process: None) -> list[Run]:
    """Runs that were started, each without a worker."""
    handed: list[Run] = []
    monkeypatch.setattr(launching, "hand_over", lambda run, **_: handed.append(run))
    return handed


@pytest.fixture
def touring(tiny_set: Path, no_worker: list[Run]) -> tuple[AppTest, Run, Run]:
    """The page of the sweep after a press on Run all steps, the sweep and the training behind it."""
    app = follow(press(open_page("home", dataset=tiny.NAME), "Run all steps"))
    sweep, run = no_worker
    return app, sweep, run


def test_one_press_makes_the_sample_and_queues_a_sweep_and_the_training_behind_it(no_worker):
    app = follow(press(open_page("home"), "Try it on the sample"))
    assert title(app) == "Learning rate"
    assert len(open_dataset(own_workspace(), "sample").manifest.pairs) == len(make_nuclei())
    (training,) = list_runs(own_workspace(), dataset="sample", kind="train")
    (sweep,) = list_runs(own_workspace(), dataset="sample", kind="lr_find")
    assert training.config.lr_from
    assert training.config.lr_from.sweep == sweep.id
    assert no_worker == [sweep, training]
    assert "Step 1 of 3: Sweep. Training opens when it has ended." in words(app)


@pytest.mark.usefixtures("no_process")
def test_home_says_how_long_the_sample_takes_once_this_machine_has_shown_its_pace(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journey, "measured_pace", lambda where, config: None)
    assert "shows after the first steps" in words(open_page("home"))
    samples.create_sample(own_workspace())
    monkeypatch.setattr(journey, "measured_pace", lambda where, config: (0.5, None))
    # 100 steps of the sweep and 20 epochs of 4
    assert "About 1 min 30 s at the pace measured here." in words(open_page("home"))


def test_all_steps_on_a_set_of_ones_own_take_its_forms_and_the_epochs_that_its_size_asks_for(touring):
    app, sweep, run = touring
    data = open_dataset(own_workspace(), tiny.NAME)
    steps = training.steps_per_epoch(run.config, data)
    assert title(app) == "Learning rate"
    assert (sweep.config.kind, run.config.kind, run.config.dataset) == ("lr_find", "train", tiny.NAME)
    source = run.config.lr_from
    assert (source.sweep, source.pick) == (sweep.id, lr_curve.PRESELECTED)
    assert run.config.train.epochs == schedules.proposed_epochs(steps)
    assert sweep.config.train == run.config.train
    assert (app.session_state["sweep"], app.session_state["run"]) == (sweep.id, run.id)


def test_options_that_were_set_in_the_forms_are_taken(tiny_set, no_worker):
    folder = open_dataset(own_workspace(), tiny.NAME).folder
    drafts.write(folder, "lr", {"lr_find.num_steps": 40, "model.depth": 4, "lr_find.repeats": -1})
    drafts.write(folder, "train", {"model.depth": 3, "train.batch_size": 1, "lr_source": [1, "x"]})
    drafts.write(folder, "train", {"train.epochs": 7, "data.image_size": 64})
    app = open_page("home", dataset=tiny.NAME)
    assert "Finds a learning rate in 40 steps, trains 7 epochs (42 steps) with it" in words(app)
    app = follow(press(app, "Run all steps"))
    sweep, run = no_worker
    assert (run.config.model.depth, run.config.train.batch_size, run.config.train.epochs) == (3, 1, 7)
    assert (sweep.config.lr_find.num_steps, sweep.config.lr_find.repeats) == (40, 1)
    # the form beside it shows 256 px, of the sweeps that are started there
    assert "40 steps from 1e-07 to 10 · 64 px · batch 1" in words(app)


@pytest.mark.parametrize("epochs", [None, -1])
def test_epochs_that_nobody_has_set_are_those_that_the_set_asks_for(epochs, tiny_set, no_process):
    folder = open_dataset(own_workspace(), tiny.NAME).folder
    drafts.write(folder, "train", {"train.batch_size": 1} | ({"train.epochs": epochs} if epochs else {}))
    assert "trains 67 epochs (402 steps) with it" in words(open_page("home", dataset=tiny.NAME))


def test_on_data_the_words_stand_below_the_button_that_they_are_about(tiny_set, no_process):
    app = open_page("data", dataset=tiny.NAME)
    shown = [element for element in app.main if element.type in ("button", "caption", "markdown")]
    told = [str(element.value) if element.type != "button" else element.label for element in shown]
    place = told.index("Run all steps")
    assert told[place - 1] == "Find its learning rate"
    assert told[place + 1].startswith("**Run all steps** finds a learning rate in 100 steps, trains 400 epochs")


def test_before_the_start_it_is_said_how_long_all_steps_take(tiny_set, no_process, monkeypatch):
    monkeypatch.setattr(journey, "measured_pace", lambda where, config: (0.5, None))
    # 100 steps of the sweep and 200 epochs of 2
    said = words(open_page("home", dataset=tiny.NAME))
    assert "(400 steps) with it, and opens the results. About 4 min 10 s at the pace measured here." in said


def test_a_second_press_on_all_steps_starts_nothing_new(touring, no_worker):
    app, sweep, run = touring
    app.switch_page("pages/lab/home.py").run()
    follow(press(app, "Run all steps"))
    assert no_worker == [sweep, run]


def test_the_sample_and_no_set_at_all_offer_an_upload(workspace, no_process):
    app = open_page("home")
    assert "Upload images" in words(app)
    assert not [button for button in app.button if button.label == "Run all steps"]
    samples.create_sample(own_workspace())
    assert not [button for button in open_page("home").button if button.label == "Run all steps"]


def test_the_tour_goes_on_to_the_training_and_to_its_results(touring, home_with_run):
    app, sweep, run = touring
    end(sweep, ago=0)
    said = words(app.run())
    assert "Training opens in 6 s" in said
    assert title(app) == "Learning rate"
    end(sweep)
    app = follow(app.run())
    assert title(app) == "Train"
    assert app.session_state["run"] == run.id
    assert "Step 2 of 3: Training. Results open when it has ended." in words(app)
    score(run, home_with_run)
    assert title(app.run()) == "Train"  # scores are there a moment before it ends
    end(run, ago=0)
    assert "Results open in 6 s" in words(app.run())
    end(run)
    app = follow(app.run())
    assert title(app) == "Results"
    assert "Step" not in words(app)
    assert "tour" not in app.query_params


def test_the_next_page_can_be_opened_at_once(touring):
    app, sweep, _ = touring
    end(sweep, ago=0)
    assert title(follow(press(app.run(), "Open now"))) == "Train"


def test_who_stays_is_not_taken_away(touring):
    app, sweep, _ = touring
    press(app, "Stay on this page")
    end(sweep)
    assert title(app.run()) == "Learning rate"
    assert "Step 1" not in words(app)


@pytest.mark.parametrize("page", ["home", "data", "results", "runs"])
def test_who_looks_at_another_page_is_not_taken_away_from_it_nor_when_he_is_back_after_the_end(page, touring):
    app, sweep, _ = touring
    there = title(app.switch_page(f"pages/lab/{page}.py").run())
    assert "Step 1" not in words(app)
    end(sweep)
    assert title(app.run()) == there != "Learning rate"
    app.switch_page("pages/lab/learning_rate.py").run()
    assert title(app.run()) == "Learning rate"
    assert "Step 1" not in words(app)


def test_who_is_back_before_the_end_is_on_the_tour_again(touring):
    app, sweep, _ = touring
    app.switch_page("pages/lab/data.py").run()
    app.switch_page("pages/lab/learning_rate.py").run()
    assert "Step 1 of 3: Sweep. Training opens when it has ended." in words(app)
    end(sweep)
    assert title(follow(app.run())) == "Train"


def reloaded(app: AppTest, page: str) -> AppTest:
    """The page in a new session, at the address of the old one."""
    return open_page(page, **dict(app.query_params))


def test_a_reload_keeps_the_tour(touring, home_with_run):
    app, sweep, run = touring
    app = reloaded(app, "learning_rate")
    assert "Step 1 of 3" in words(app)
    end(sweep)
    app = reloaded(follow(app.run()), "train")
    assert "Step 2 of 3: Training. Results open when it has ended." in words(app)
    score(run, home_with_run)
    end(run)
    assert title(follow(app.run())) == "Results"


def test_an_address_that_is_opened_after_the_end_takes_nobody_away(touring):
    app, sweep, _ = touring
    end(sweep)
    assert title(reloaded(app, "learning_rate")) == "Learning rate"
    app = open_page("home", tour="../../etc")
    assert title(app) != ""
    assert "tour" not in app.query_params


def test_who_stays_has_ended_the_tour_for_good(touring):
    app, _, _ = touring
    assert app.query_params["tour"]
    press(app, "Stay on this page")
    assert "tour" not in app.query_params
    assert "Step 1" not in words(reloaded(app, "learning_rate"))


def test_who_looks_at_another_sweep_is_not_taken_away(touring):
    app, sweep, _ = touring
    app.session_state["sweep"] = tiny.finished_sweep().id
    end(sweep)
    assert title(app.run()) == "Learning rate"


@pytest.mark.parametrize("chosen", [{"train-view": training.NEW}, {"run": ""}])
def test_who_fills_the_form_or_looks_at_another_run_is_not_taken_to_the_results(chosen, touring, home_with_run):
    app, sweep, run = touring
    end(sweep)
    follow(app.run())
    for key, value in chosen.items():
        app.session_state[key] = value or home_with_run.id
    app.run()
    score(run, home_with_run)
    end(run)
    assert title(app.run()) == "Train"


def test_who_goes_back_to_the_sweep_from_the_training_can_look_at_it(touring):
    app, sweep, _ = touring
    end(sweep)
    follow(app.run())
    assert title(app.switch_page("pages/lab/learning_rate.py").run()) == "Learning rate"
    assert title(app.run()) == "Learning rate"


def test_who_opens_the_training_himself_is_still_on_the_tour(touring, home_with_run):
    app, _, run = touring
    app.switch_page("pages/lab/train.py").run()
    assert "Step 2 of 3" in words(app)
    score(run, home_with_run)
    end(run)
    assert title(follow(app.run())) == "Results"


@pytest.mark.parametrize("state", ["failed", "stopped", "lost"])
def test_a_sweep_or_training_that_did_not_finish_keeps_the_page_that_says_why(state, touring):
    app, sweep, run = touring
    end(sweep, state)
    assert title(app.run()) == "Learning rate"
    assert tour.NO_TRAINING in words(app)
    assert "Step 1" not in words(app)
    end(sweep)
    follow(app.run())
    end(run, state)
    assert title(app.run()) == "Train"
    assert tour.NO_RESULTS in words(app)
    assert "Step 2" not in words(app)


def test_a_training_that_is_paused_on_the_tour_can_go_on(touring):
    app, sweep, run = touring
    end(sweep)
    follow(app.run())
    end(run, "paused")
    assert "Step 2 of 3: Training. Results open when it has ended." in words(app.run())


@pytest.mark.parametrize(("swept", "trained"), [("stopped", "queued"), ("stopped", "stopped"), ("finished", "failed")])
def test_a_training_that_never_began_is_not_offered_to_be_watched(swept, trained, touring):
    app, sweep, run = touring
    write_json(sweep.folder / "lr_curve.json", tiny.finished_sweep("other").read("lr_curve.json"))
    end(sweep, swept, ago=0)
    write_status(run.folder, run.status.model_copy(update={"state": trained}))
    said = words(app.run())
    assert "Without lag" in said
    assert "Watch it learn" not in said
    if swept == "finished":
        write_status(run.folder, run.status.model_copy(update={"state": "queued"}))
        assert "A training run uses this sweep's learning rate." in words(app.run())


def test_a_tour_whose_runs_were_deleted_ends(touring):
    app, sweep, run = touring
    end(run, "stopped")
    end(sweep)
    store.delete_run(sweep)
    assert title(app.run()) == "Learning rate"
    assert "Step" not in words(app)
    store.delete_run(run)
    assert title(app.run()) == "Learning rate"
    assert "tour" not in app.query_params


@pytest.mark.usefixtures("no_process")
def test_a_card_draws_the_mean_dice_per_epoch_and_names_it(home_with_run):
    app = open_page("home", dataset=tiny.NAME)
    (card,) = app.metric
    dices = [event["mean_dice"] for event in tiny.of_type(home_with_run, "epoch")]
    assert list(card.proto.chart_data) == dices
    assert len(dices) > 1
    assert "Mean Dice per epoch" in words(app)


@pytest.mark.usefixtures("no_process")
def test_a_young_run_has_a_dash_and_no_line(home_with_run):
    put_into(home_with_run, "queued")
    app = open_page("home", dataset=tiny.NAME)
    (card,) = app.metric
    assert (card.value, list(card.proto.chart_data)) == ("–", [])
    assert "Mean Dice per epoch" not in words(app)


def test_a_line_of_many_epochs_is_thinned():
    assert journey._thin([float(n) for n in range(10_000)])[:2] == [0.0, 250.0]
    assert journey._thin([0.1, 0.2]) == [0.1, 0.2]
