"""What each kind of job does that needs torch: lr_find, train, evaluate, preview. Called by worker.py.

Everything goes into the run folder. A task takes (run, config, device name) and returns whether it was stopped.
"""

import time
from functools import partial
from typing import Protocol

from unetlab import files
from unetlab.config import RunConfig
from unetlab.data.dataset import open_dataset
from unetlab.errors import RunError
from unetlab.events import Batch, Event, Progress
from unetlab.inference.evaluation import evaluate
from unetlab.inference.pictures import Pictures
from unetlab.models.weights import load_weights
from unetlab.runs.store import Run, open_run
from unetlab.training import lr_finder, precision
from unetlab.training.artifacts import (
    write_environment,
    write_evaluation,
    write_lr_curve,
)
from unetlab.training.forecast import forecast
from unetlab.training.learner import to_device
from unetlab.training.previewing import preview
from unetlab.training.setup import OnEvent, ShouldStop, loss_of, set_up
from unetlab.training.train_task import train
from unetlab.training.warming import warm_up

__all__ = ["TASKS", "warm_up"]


class Task(Protocol):
    """The call that every kind of job answers to."""

    def __call__(
        self, run: Run, config: RunConfig, device: str, *, on_event: OnEvent, should_stop: ShouldStop
    ) -> bool: ...


def find_lr(run: Run, config: RunConfig, device: str, *, on_event: OnEvent, should_stop: ShouldStop) -> bool:
    """Sweeps, and writes lr_curve.json: every sweep, the picks of their mean curve, the spread over repeats."""
    setup = set_up(run, config, device, on_event)
    sweeps, total_steps = [], config.lr_find.num_steps * config.lr_find.repeats

    def follow(event: Event) -> None:
        if isinstance(event, Batch):
            on_event(Progress("sweeping", event.step + 1, total_steps))
        on_event(event)

    for repeat in range(config.lr_find.repeats):
        sweep = lr_finder.sweep(
            setup.learner, setup.batches, config.lr_find, repeat=repeat, on_event=follow, should_stop=should_stop
        )
        if sweep.lrs:
            sweeps.append(sweep)
        if should_stop():
            break
    write_lr_curve(run, sweeps)
    return should_stop()


def evaluate_run(run: Run, config: RunConfig, device: str, *, on_event: OnEvent, should_stop: ShouldStop) -> bool:
    """Scores weights of another run on the validation split, with that run's own precision and batch."""
    source = config.weights_from
    if source is None:
        raise RunError("An evaluation needs the run whose weights it scores: python -m unetlab evaluate RUN.")
    model, card = load_weights(open_run(run.workspace, source.run).folder / f"{source.which}.safetensors")
    data = open_dataset(
        run.workspace, config.dataset, version=card.content_hash
    )  # as it was when the weights were trained
    torch_device = precision.open_device(device)
    precision_name = precision.resolve(config.train.precision, torch_device)
    to_device(model, torch_device)
    write_environment(run, config, data, torch_device, precision_name)
    evaluate_here = partial(
        evaluate,
        pictures=Pictures(data, card.data),
        indices=data.indices("valid"),
        loss=loss_of(config, data, torch_device),
        autocast=partial(precision.autocast, precision_name, torch_device),
        device=torch_device,
        batch_size=run.status.micro_batch or config.train.batch_size,
    )
    began = time.monotonic()
    valid = write_evaluation(run, data, evaluate_here, model, on_event)
    seconds = time.monotonic() - began
    count = len(data.indices("valid"))
    trained = {"max_lr": config.train.max_lr, "epochs": card.epoch + 1, "steps": 0, "seconds": round(seconds, 2)}
    files.write_json(run.folder / "result.json", {**trained, "images_per_s": round(count / seconds, 2), "valid": valid})
    return should_stop()


TASKS: dict[str, Task] = {
    "lr_find": find_lr,
    "train": train,
    "evaluate": evaluate_run,
    "preview": preview,
    "forecast": forecast,
}
