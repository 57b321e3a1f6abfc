"""The forecast as a job: a worker in the CPU lane, and the command line."""

from pathlib import Path

import pytest
import torch

from tests import tiny
from unetlab import console
from unetlab.files import size_text
from unetlab.models.registry import build_model
from unetlab.options import ModelOptions
from unetlab.runs import devices, jobs, queue, store
from unetlab.runs.store import open_run
from unetlab.workspace import own_workspace


def test_a_forecast_is_answered_while_the_queue_is_held_and_leaves_no_run_in_the_lists(tiny_set: Path):
    queue.hold(own_workspace())
    run = jobs.start(own_workspace(), tiny.config("forecast"))
    assert tiny.ended(run).state == "finished", run.log_tail()
    assert run.status.device == devices.LANE
    result = run.read("result.json")
    assert 0 < result["bytes"] < result["needs"] < result["free"]
    assert run not in store.list_runs(own_workspace())


def test_a_forecast_of_what_could_not_train_fails_with_what_to_do(tiny_set: Path):
    run = jobs.start(own_workspace(), tiny.config("forecast", {"train.batch_size": 1, "model.depth": 5}))
    status = tiny.ended(run)
    assert (status.state, status.is_bug) == ("failed", False)
    assert "Use a batch size of 2 or more" in status.reason


def test_the_command_line_says_what_a_training_needs_of_what_and_the_largest_batch(tiny_set: Path):
    huge = {"model.base_width": 256, "model.depth": 6}
    answer = tiny.answer("forecast", tiny.NAME, *tiny.sets(huge))
    assert answer["status"] == "finished"
    assert answer["needs"] == round(answer["bytes"] * 1.15) + answer["outside"]
    with torch.device("meta"):
        model = build_model(ModelOptions(base_width=256, depth=6), channels=1, num_classes=2)
    assert answer["by"]["weights"] == pytest.approx(4 * sum(p.numel() for p in model.parameters()), rel=0.01)
    lines = "\n".join(console.forecast_lines(open_run(own_workspace(), answer["run"])))
    assert f"needs about {size_text(answer['needs'])}" in lines
    assert "15% margin" in lines
    assert ("fits into" in lines) == (answer["needs"] <= answer["free"])
    assert f"largest batch size that fits: {answer['largest_batch'] or 'none'}" in lines
