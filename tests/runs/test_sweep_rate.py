"""A training behind its sweep: it waits for the rate, lets others pass, and says so where there is none."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from unetlab import files
from unetlab.config import LRFrom
from unetlab.errors import RunError
from unetlab.runs import devices, jobs, queue, store, sweep_rate
from unetlab.runs.status import State, write_status
from unetlab.runs.store import Run
from unetlab.workspace import own_workspace

PICKS = {"min_gradient": {"lr": 0.03, "index": 12}, "min_loss_tenth": {"lr": 0.01, "index": 20}, "valley": None}


def sweep_that_is(state: State, picks: dict[str, Any] | None = None, **declined: str) -> Run:
    run = store.create_run(own_workspace(), tiny.config("lr_find"))
    write_status(run.folder, run.status.model_copy(update={"state": state, "is_parked": state == "queued"}))
    if picks is not None:
        files.write_json(run.folder / "lr_curve.json", {"picks": picks, "declined": declined})
    return run


def training_behind(sweep: str, pick: str = "min_gradient") -> Run:
    return tiny.waiting_run(lr_from={"sweep": sweep, "pick": pick})


def test_the_rate_is_the_pick_that_was_asked_for():
    run = training_behind(sweep_that_is("finished", PICKS).id, "min_loss_tenth")
    config = sweep_rate.resolved(run.config, run)
    assert config.train.max_lr == 0.01
    assert config.lr_from == LRFrom(sweep=run.config.lr_from.sweep, pick="min_loss_tenth", lr=0.01)


def test_a_declined_pick_gives_way_to_the_next_one():
    run = training_behind(sweep_that_is("finished", PICKS, valley="Too flat.").id, "valley")
    config = sweep_rate.resolved(run.config, run)
    assert (config.train.max_lr, config.lr_from.pick) == (0.03, "min_gradient")


def test_a_pick_where_the_loss_rises_already_gives_way_to_the_one_preferred_next():
    sweep = sweep_that_is("finished", PICKS)
    curve = sweep.read("lr_curve.json")
    for cautions, pick in (({"min_gradient"}, "min_loss_tenth"), (set(), "min_gradient"), (set(PICKS), None)):
        told = {"cautions": dict.fromkeys(cautions, "It rises."), "preference": ["valley", "min_loss_tenth"]}
        files.write_json(sweep.folder / "lr_curve.json", curve | told)
        run = training_behind(sweep.id)
        if pick:
            assert sweep_rate.resolved(run.config, run).lr_from.pick == pick
            continue
        with pytest.raises(RunError, match=f"No pick of the sweep of {sweep.when} can be trusted. It rises."):
            sweep_rate.resolved(run.config, run)


def test_a_rate_that_is_known_asks_no_sweep():
    run = tiny.waiting_run()
    config = run.config.with_pick("a-sweep-that-was-deleted", "valley", 0.5)
    assert sweep_rate.resolved(config, run) == config
    assert sweep_rate.resolved(run.config, run) == run.config


@pytest.mark.parametrize(("state", "said"), [("failed", "failed"), ("stopped", "was stopped"), ("lost", "crashed")])
def test_a_sweep_that_came_to_no_end_is_named_with_what_to_do(state: State, said: str):
    sweep = sweep_that_is(state, PICKS)
    run = training_behind(sweep.id)
    with pytest.raises(
        RunError, match=f"The sweep of {sweep.when} should have given the .* rate, but it {said}. Sweep"
    ):
        sweep_rate.resolved(run.config, run)
    shutil.rmtree(sweep.folder)
    with pytest.raises(RunError, match="was deleted"):
        sweep_rate.resolved(run.config, run)


def test_a_sweep_that_declined_all_says_why():
    sweep = sweep_that_is("finished", dict.fromkeys(PICKS), min_gradient="It never falls.", valley="It never falls.")
    run = training_behind(sweep.id)
    with pytest.raises(RunError, match=r"every pick is declined. It never falls. Sweep again"):
        sweep_rate.resolved(run.config, run)


def test_a_sweep_with_a_name_is_called_by_it():
    sweep = sweep_that_is("finished", {})
    sweep.write_notes(store.Notes(name="cells"))
    run = training_behind(sweep.id)
    with pytest.raises(RunError, match=r"^The sweep cells gave no learning rate"):
        sweep_rate.resolved(run.config, run)


def test_a_run_was_swept_if_it_names_a_sweep_or_a_finished_one_like_it_is_older():
    stopped, other = sweep_that_is("stopped", PICKS), tiny.finished_sweep("other")
    run = tiny.waiting_run()
    assert not sweep_rate.was_swept(run)
    assert sweep_rate.was_swept(training_behind(stopped.id))
    sweep = sweep_that_is("finished", PICKS)
    assert sweep_rate.was_swept(run)  # of the same second
    assert sweep_rate.was_swept(tiny.waiting_run(changes={"train.max_lr": 0.5}))
    for change in ({"model.depth": 1}, {"data.image_size": 64}):
        assert not sweep_rate.was_swept(tiny.waiting_run(changes=change))
    later = Run(sweep.folder.rename(sweep.folder.with_name(f"9{sweep.id[1:]}")))
    assert not sweep_rate.was_swept(run)
    assert {other.config.dataset, later.config.dataset} == {"other", run.config.dataset}


def test_until_the_sweep_is_over_later_runs_pass():
    sweep = sweep_that_is("queued")
    behind, later = training_behind(sweep.id), tiny.waiting_run()
    for run in (behind, later):
        queue.join(run, "cpu")
    assert [queue.is_my_turn(run) for run in (behind, later)] == [False, True]
    assert queue.sweep_before(behind) == sweep
    assert f"for the {sweep.title}, which sets its learning rate" in jobs.waits_for(behind, behind.status)
    assert queue.sweep_before(later) is None
    write_status(sweep.folder, sweep.status.model_copy(update={"state": "failed"}))
    assert [queue.is_my_turn(run) for run in (behind, later)] == [True, False]
    assert queue.sweep_before(behind) is None
    shutil.rmtree(sweep.folder)
    assert queue.is_my_turn(behind)


def test_a_training_does_not_start_before_its_sweep_even_where_it_was_moved_before_it(tiny_set: Path):
    """And where the sweep is stopped, nothing is trained; that is no failure."""
    with queue.device_lock(devices.lock_key("cpu")).acquire(timeout=0):
        sweep, training = tiny.sweep_and_train()
        later = jobs.start(own_workspace(), tiny.config(changes={"train.epochs": 1}))
        queue.move(training, "first")
        jobs.stop(sweep)
        assert tiny.ended(sweep).state == "stopped"
    assert tiny.ended(training).state == "stopped"
    assert "sweep" in training.status.reason
    assert tiny.ended(later).state == "finished"
    assert not tiny.of_type(training, "batch")


def test_a_sweep_that_fails_fails_the_training_behind_it_with_a_sentence(tiny_set: Path):
    changes = {"model.depth": 6, "train.batch_size": 1}  # a single value at the bottom: refused
    sweep, training = tiny.sweep_and_train(changes)
    assert tiny.ended(sweep).state == "failed"
    status = tiny.ended(training)
    assert (status.state, status.is_bug) == ("failed", False)
    assert f"The sweep of {sweep.when} should have given the learning rate, but it failed." in status.reason


def test_a_resumed_training_keeps_its_rate_when_the_sweep_is_gone(tiny_set: Path):
    sweep, training = tiny.sweep_and_train(tiny.ENDLESS)
    tiny.wait_until(lambda: len(tiny.of_type(training, "epoch")) >= 1, "an epoch")
    rate = training.config.train.max_lr
    jobs.pause(training)
    assert tiny.ended(training).state == "paused"
    store.delete_run(sweep)
    jobs.resume(training)
    tiny.wait_until(lambda: training.status.state == "running" and training.status.done > 10, "it goes on")
    jobs.stop(training)
    assert tiny.ended(training).state == "stopped"
    assert training.config.train.max_lr == rate
    assert training.read("result.json")["max_lr"] == rate
