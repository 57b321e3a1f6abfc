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


def test_a_forecast_of_what_could_not_train_fails_with_what_to_do(tiny_set: Path):
    run = jobs.start(own_workspace(), tiny.config("forecast", {"train.batch_size": 1, "model.depth": 5}))
    status = tiny.ended(run)
    assert (status.state, status.is_bug) == ("failed", False)
    assert "Use a batch size of 2 or more" in status.reason


def test_the_command_line_says_what_a_training_needs_of_what_and_the_largest_batch(tiny_set: Path):
    """At once though the queue is held; its run stands in no list."""
    huge = {"model.base_width": 256, "model.depth": 6}
    queue.hold(own_workspace())
    answer = tiny.answer("forecast", tiny.NAME, *tiny.sets(huge))
    run = open_run(own_workspace(), answer["run"])
    assert (answer["status"], run.status.device) == ("finished", devices.LANE)
    assert run not in store.list_runs(own_workspace())
    assert 0 < answer["bytes"] < answer["needs"]
    assert answer["free"] > 0
    assert answer["needs"] == round(answer["bytes"] * 1.15) + answer["outside"]
    with torch.device("meta"):
        model = build_model(ModelOptions(base_width=256, depth=6), channels=1, num_classes=2)
    assert answer["by"]["weights"] == pytest.approx(4 * sum(p.numel() for p in model.parameters()), rel=0.01)
    lines = "\n".join(console.forecast_lines(run))
    assert f"needs about {size_text(answer['needs'])}" in lines
    assert "15% margin" in lines
    assert ("fits into" in lines) == (answer["needs"] <= answer["free"])
    assert f"largest batch size that fits: {answer['largest_batch'] or 'none'}" in lines
