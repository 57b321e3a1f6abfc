"""The trainings that are interrupted, and what they come to where nobody interrupts them."""

import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests import tiny
from unetlab.runs import jobs
from unetlab.runs.store import Run
from unetlab.workspace import own_workspace

TRAININGS = (
    {"train.epochs": 40, "model.dropout": 0.2, "train.augment": "strong"},
    {"train.epochs": 60, "train.ema": 0.9, "train.accumulate": 2, "train.clip_norm": 1.0, "train.patience": 25},
)


def outcome(run: Run) -> tuple[Any, ...]:
    """What a training that was interrupted has in common, to the bit, with one that was not."""
    return (
        tiny.losses(run),
        tiny.scores(run),
        run.read("result.json")["steps"],
        (run.folder / "last.safetensors").read_bytes(),
    )


def unbroken(folder: Path) -> list[tuple[Any, ...]]:
    """The outcome of each of TRAININGS where nobody interrupts it: side by side, in a workspace of their own."""
    with patch.dict(os.environ, {"UNETLAB_HOME": str(folder / "unbroken")}):
        tiny.import_tiny(folder / "pictures")
        runs = []
        for number, changes in enumerate(TRAININGS):
            os.environ["UNETLAB_LOCKS"] = str(folder / f"locks-{number}")
            runs.append(jobs.start(own_workspace(), tiny.config(changes=changes)))
            # the next one must find this one gone from the queue, or it would wait for it
            tiny.wait_until(lambda run=runs[-1]: run.status.state != "queued", "it runs")
        for run in runs:
            assert tiny.ended(run).state == "finished", run.log_tail()
        return [outcome(run) for run in runs]
