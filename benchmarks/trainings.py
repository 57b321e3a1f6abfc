"""Trainings of 120 steps on the sets of sets.py, each in this process with one thread; results are recorded.

The job is the real one, without a worker around it. A script that ends early goes on where it was; several processes
may share one record, each takes what no other has taken.
"""

import contextlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sets
import torch
from measuring import ROOT, config_of

from unetlab.config import RunConfig
from unetlab.data.dataset import open_dataset
from unetlab.errors import TrainingError
from unetlab.events import BLACK_MASK, Epoch, Event, Note
from unetlab.inference.evaluation import evaluate
from unetlab.inference.pictures import Pictures
from unetlab.models.weights import load_weights
from unetlab.runs import store
from unetlab.runs.store import Run
from unetlab.training import forecast
from unetlab.training.jobs import Job
from unetlab.training.learner import to_device
from unetlab.training.sweep_job import find_lr
from unetlab.training.train_job import train
from unetlab.workspace import own_workspace

CPU = torch.device("cpu")
STEPS = 120
OPTIONS: dict[str, object] = {"model.base_width": 16, "train.device": "cpu", "train.threads": 1}


@dataclass(frozen=True)
class Asked:
    """One training. `changes`: further options, as a sorted tuple so that it can be a key."""

    set: str
    max_lr: float
    seed: int
    changes: tuple[tuple[str, Any], ...] = ()

    @property
    def key(self) -> str:
        """The name under which its result is recorded."""
        return "_".join([self.set, f"{self.max_lr:.3g}", str(self.seed), *(f"{k}-{v}" for k, v in self.changes)])


def record_of(name: str) -> Path:
    """recorded/NAME.jsonl, a result a line. From then on the workspace is in artifacts and there is one thread."""
    folder = ROOT / "artifacts" / name
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.update(UNETLAB_HOME=str(folder / "home"), UNETLAB_LOCKS=str(folder / "locks"))
    torch.set_num_threads(1)
    return ROOT / "benchmarks" / "recorded" / f"{name}.jsonl"


def bring(names: Iterable[str]) -> None:
    """Imports the sets that are not there yet."""
    for name in names:
        if not (own_workspace().datasets / name / "manifest.json").is_file():
            sets.SETS[name].create(name)


def collected(
    asked: Iterable[Asked], record: Path, do: Callable[[Asked], dict[str, Any]] | None
) -> Iterator[tuple[Asked, dict[str, Any]]]:
    """What `do` gave for each, from the record where it is there, else done now and recorded; without `do` only those.

    One that another process has begun is passed over; where nothing came of it, delete its file in artifacts.
    """
    known = _recorded(record)
    for one in asked:
        result = known.get(one.key)
        if result is None and do is not None and (result := _recorded(record).get(one.key)) is None:
            try:
                (ROOT / "artifacts" / record.stem / f"{one.key}.begun").touch(exist_ok=False)
            except FileExistsError:
                continue
            began = time.monotonic()
            result = do(one)
            with record.open("a") as file:
                file.write(json.dumps({"key": one.key, **result}) + "\n")
            print(f"{one.key}: {time.monotonic() - began:.0f} s", flush=True)
        if result is not None:
            yield one, result


def _recorded(record: Path) -> dict[str, dict[str, Any]]:
    lines = record.read_text().splitlines() if record.exists() else []
    return {result["key"]: result for result in map(json.loads, lines)}


def config_for(one: Asked) -> RunConfig:
    """The training's config: as many whole epochs as hold STEPS steps."""
    options = {**sets.SETS[one.set].options, **OPTIONS, **dict(one.changes)}
    config = config_of(one.set, {**options, "train.max_lr": one.max_lr, "train.seed": one.seed})
    epochs = math.ceil(STEPS / forecast.batches_of(own_workspace(), config).steps_per_epoch)
    return config.changed({"train.epochs": epochs})


def in_this_process(config: RunConfig, job: Job) -> tuple[Run, list[Event], str | None]:
    """The run, what it reported, and why it failed; a training that blows up is a result too."""
    run, told, failure = store.create_run(own_workspace(), config, device="cpu"), list[Event](), None
    try:
        job(run, config, "cpu", on_event=told.append, should_stop=lambda: False)
    except TrainingError as error:
        failure = str(error)
    return run, told, failure


def trained(one: Asked) -> dict[str, Any]:
    """Mean Dice after each epoch, causes that the alarm told, largest share of one class in the last predictions."""
    run, told, failure = in_this_process(config_for(one), train)
    notes = [event for event in told if isinstance(event, Note) and event.about.get("code") == BLACK_MASK]
    share = largest_share(run) if failure is None else None
    shutil.rmtree(run.folder)
    return {
        "dice": [round(event.mean_dice or 0.0, 4) for event in told if isinstance(event, Epoch)],
        "alarms": [note.about["cause"] for note in notes],
        "failure": failure,
        "largest_share": None if share is None else round(share, 5),
    }


def swept(one: Asked) -> dict[str, Any]:
    """Raw losses of each sweep; `max_lr` plays no part."""
    run, _, failure = in_this_process(config_for(one).changed({}, kind="lr_find"), find_lr)
    sweeps = (run.read("lr_curve.json") or {}).get("sweeps", [])
    shutil.rmtree(run.folder)
    losses = [[None if loss is None else round(loss, 5) for loss in sweep["losses"]] for sweep in sweeps]
    return {"losses": losses, "failure": failure}


def largest_share(run: Run) -> float:
    """The share of the most frequent class in what the last weights predict for the validation pictures."""
    model, card = load_weights(run.folder / "last.safetensors")
    data = open_dataset(run.workspace, run.config.dataset)
    found = evaluate(
        to_device(model, CPU),
        Pictures(data, card.data),
        data.indices("valid"),
        loss=lambda logits, mask: None,
        autocast=contextlib.nullcontext,
        device=CPU,
        batch_size=8,
    )
    counts = found.confusion.sum(0)
    return float(counts.max() / counts.sum())
