"""The number of CPU threads. Oracles: clocks that say which is faster, and losses bit by bit."""

import itertools
from pathlib import Path

import pytest
import torch

from tests import tiny
from tests.training.test_lr_finder import is_same, state_of
from unetlab.config import load_config
from unetlab.errors import ConfigError
from unetlab.events import SLOW_STEPS, Batch, Note
from unetlab.files import write_json
from unetlab.runs import jobs, store
from unetlab.training import threads
from unetlab.training.jobs import JOBS
from unetlab.workspace import own_workspace


def takes(learner, monkeypatch: pytest.MonkeyPatch, seconds: dict[int, list[float]]) -> list[int]:
    """Lets passes with so many threads take the given times, one after the other; the numbers that were tried."""
    clock, tried, left = [0.0], [], {number: iter(times) for number, times in seconds.items()}

    def forward(images):
        assert len(images) <= 2
        number = torch.get_num_threads()
        tried.append(number)
        clock[0] += next(left[number])

    monkeypatch.setattr(learner.model, "forward", forward)
    monkeypatch.setattr(threads.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(threads.time, "sleep", lambda s: tried.append(0))
    monkeypatch.setattr(threads, "ALL", 2)
    return tried


@pytest.mark.parametrize(
    ("two", "one", "expected", "tried"),
    [
        ([9, 1], [9, 1.5], 2, [1, 2, 2, 1]),  # clearly slower: not tried again; the first passes are no measure
        ([9, 1, 1, 1], [9, 1.2, 1.2, 1.2], 2, [1, 2, 2, 1, 2, 1, 2, 1]),
        ([9, 3, 1], [9, 2, 2], 2, [1, 2, 2, 1, 0, 2, 1]),  # what was busy has ended
        ([9, 3, 3], [9, 2, 2], 1, [1, 2, 2, 1, 0, 2, 1]),
    ],
)
def test_one_thread_is_taken_where_it_is_faster_twice(
    make_learner, make_batches, monkeypatch, two, one, expected, tried
):
    learner = make_learner()
    seen = takes(learner, monkeypatch, {2: two, 1: one})
    assert threads.fastest(learner, make_batches()) == expected
    assert seen == tried


def test_where_there_is_nothing_to_choose_no_minibatch_is_made(make_learner, make_batches, monkeypatch):
    batches = make_batches()
    monkeypatch.setattr(batches, "batch", lambda *_: pytest.fail("a minibatch"))
    monkeypatch.setattr(threads, "ALL", 1)
    assert threads.fastest(make_learner(), batches) == 1


@pytest.mark.parametrize("precision_name", ["fp32", "bf16-mixed"])
def test_measuring_leaves_no_trace(make_learner, make_batches, monkeypatch, precision_name):
    monkeypatch.setattr(threads, "ALL", 2)
    monkeypatch.setattr(threads, "PAUSE_S", 0.0)
    learner = make_learner(dropout=0.5, precision_name=precision_name)
    before, before_threads = state_of(learner), torch.get_num_threads()
    assert threads.fastest(learner, make_batches()) in (1, 2)
    torch.set_num_threads(before_threads)
    for part, value in before.items():
        assert is_same(value, state_of(learner)[part]), part


@pytest.fixture
def two_threads(tiny_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny set, on a machine where all threads are two."""
    monkeypatch.setattr(threads, "ALL", 2)
    torch.set_num_threads(2)


def trained(run: store.Run, **told) -> list:
    """The events of the job done here."""
    events: list = []
    on_event = told.pop("on_event", None) or events.append
    JOBS[run.config.kind](run, run.config, "cpu", on_event=on_event, should_stop=lambda: False)
    return events


def new_run(kind: str = "train", **top) -> store.Run:
    changes = {"train.epochs": 1, **top.pop("changes", {})}
    return store.create_run(own_workspace(), tiny.config(kind, changes=changes, **top))


def threads_of(run: store.Run) -> int:
    return run.read("environment.json")["threads"]


def test_auto_is_measured_once_and_later_attempts_repeat_it(two_threads, monkeypatch):
    answers = iter([1, 2])
    monkeypatch.setattr(threads, "fastest", lambda *_: next(answers))
    run = new_run()
    trained(run)
    assert threads_of(run) == 1
    assert torch.get_num_threads() == 2, "a warm worker does other jobs later"
    trained(run)
    assert threads_of(run) == 1
    assert next(answers) == 2, "not measured again"


def test_a_number_is_taken_as_it_is(two_threads, monkeypatch):
    monkeypatch.setattr(threads, "fastest", lambda *_: pytest.fail("measured"))
    run = new_run(changes={"train.threads": 1})
    trained(run)
    assert threads_of(run) == 1


def test_a_training_takes_the_number_of_its_sweep_and_a_score_that_of_its_training(two_threads, monkeypatch):
    monkeypatch.setattr(threads, "fastest", lambda *_: 1)
    sweep = new_run("lr_find")
    trained(sweep)
    monkeypatch.setattr(threads, "fastest", lambda *_: pytest.fail("measured"))
    training = new_run(lr_from={"sweep": sweep.id, "pick": "valley", "lr": 0.02}, changes={"train.max_lr": 0.02})
    trained(training)
    assert threads_of(training) == 1
    score = new_run("evaluate", weights_from={"run": training.id})
    trained(score)
    assert threads_of(score) == 1


def test_the_offer_is_followed_in_the_middle_of_a_run_and_kept(two_threads):
    run = new_run(changes={"train.threads": 2, "train.epochs": 3})
    used, notes = {}, []

    def hear(event) -> None:
        if isinstance(event, Batch):
            used[event.step] = torch.get_num_threads()
            if event.step == 2:
                jobs.use_one_thread(run)
        if isinstance(event, Note):
            notes.append(event.message)

    trained(run, on_event=hear)
    assert used == {0: 2, 1: 2, 2: 2, 3: 1, 4: 1, 5: 1}
    assert threads_of(run) == 1
    assert "Goes on with one CPU thread, as asked." in notes
    trained(run)
    assert threads_of(run) == 1


def test_steps_that_take_twice_as_long_are_told_once(monkeypatch):
    clock = itertools.count()
    pace, told, now = threads.Pace(), [], [0.0]
    monkeypatch.setattr(threads.time, "perf_counter", lambda: now[0])
    del clock
    for step in range(60):
        pace.begin()
        now[0] += 9.0 if step == 0 else 0.1 if step < 25 else 0.25
        if slow := pace.end():
            told.append((step, *map(pytest.approx, slow)))
    assert told == [(30, 0.1, 0.25)], "the median of ten steps, not one slow step"


def test_steps_that_vary_are_not_told(monkeypatch):
    pace, now = threads.Pace(), [0.0]
    monkeypatch.setattr(threads.time, "perf_counter", lambda: now[0])
    for step in range(100):
        pace.begin()
        now[0] += 0.5 if step % 3 == 0 else 0.1
        assert pace.end() is None


def test_a_slow_training_offers_one_thread(two_threads, monkeypatch):
    monkeypatch.setattr(threads.Pace, "end", lambda self: (0.1, 0.31))
    run = new_run(changes={"train.threads": 2})
    note = next(event for event in trained(run) if isinstance(event, Note) and event.about.get("code") == SLOW_STEPS)
    assert "3.1 times as long" in note.message
    assert "last bits" in note.message
    single = new_run(changes={"train.threads": 1})
    assert not [e for e in trained(single) if isinstance(e, Note) and e.about.get("code") == SLOW_STEPS]


@pytest.mark.parametrize("value", [0, 1025, 1.5, "two", True])
def test_what_is_neither_auto_nor_a_number_of_threads_is_refused(value):
    with pytest.raises(ConfigError, match="neither 'auto' nor a whole number from 1 to 1024"):
        load_config({"kind": "train", "dataset": "cells", "train": {"threads": value}})


def test_a_run_of_before_keeps_the_number_it_was_begun_with(two_threads):
    run = new_run()
    write_json(run.folder / "environment.json", {"threads": 1})
    assert threads.known(run, run.config) == 1
