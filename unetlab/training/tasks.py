"""What each kind of job does that needs torch: lr_find, train, evaluate, preview. Called by worker.py.

Everything goes into the run folder. A task takes (run, config, device name) and returns whether it was stopped.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch

from unetlab import files, schedules
from unetlab.config import RunConfig
from unetlab.data.dataset import DataSet, open_dataset
from unetlab.errors import ConfigError, RunError, TrainingError
from unetlab.events import Batch, Epoch, Event, Note, Preview, Progress
from unetlab.models.weights import build_model, load_weights, save_weights, write_card
from unetlab.runs import jobs
from unetlab.runs.store import Run, open_run
from unetlab.training import lr_finder, precision
from unetlab.training.artifacts import (
    card_of,
    valid_scores,
    write_environment,
    write_evaluation,
    write_lr_curve,
    write_preview,
)
from unetlab.training.batches import Pictures, TrainingBatches
from unetlab.training.evaluation import Evaluation, evaluate
from unetlab.training.learner import Learner, to_device
from unetlab.training.losses import Loss, balanced_weights, make_loss
from unetlab.training.previewing import preview, warm_up

PREVIEWS = 4
__all__ = ["TASKS", "warm_up"]

OnEvent = Callable[[Event], None]
ShouldStop = Callable[[], bool]


class Task(Protocol):
    """The call that every kind of job answers to."""

    def __call__(
        self, run: Run, config: RunConfig, device: str, *, on_event: OnEvent, should_stop: ShouldStop
    ) -> bool: ...


@dataclass
class Setup:
    """What training and the sweep start from, built the same way from the same config."""

    data: DataSet
    pictures: Pictures
    batches: TrainingBatches
    learner: Learner


def set_up(run: Run, config: RunConfig, device_name: str, on_event: OnEvent) -> Setup:
    """Data, batches and a learner with fresh weights from the seed. Writes environment.json."""
    options = config.train
    data, device = open_dataset(config.dataset), precision.open_device(device_name)
    precision_name = precision.resolve(options.precision, device)
    torch.manual_seed(options.seed)
    model = build_model(config.model, channels=data.channels, num_classes=data.num_classes)
    model.set_normalisation(*data.statistics())
    learner = Learner(
        model,
        loss_of(config, data, device),
        device=device,
        precision_name=precision_name,
        weight_decay=options.weight_decay,
        clip_norm=options.clip_norm,
    )
    pictures = Pictures(data, config.data)
    batches = TrainingBatches(
        pictures, batch_size=options.batch_size, augment=options.augment, seed=options.seed, device=device
    )
    refuse_single_value(batches, config)
    write_environment(run, data, device, precision_name, options.seed)
    on_event(Note(f"Training in {precision_name} on {device_name}.", about={"precision": precision_name}))
    return Setup(data, pictures, batches, learner)


def refuse_single_value(batches: TrainingBatches, config: RunConfig) -> None:
    """Raises ConfigError where BatchNorm at the bottom of the U-Net would see a single value and could not train."""
    smallest = min(batches.batch_size, len(batches.samples))
    bottom = [-(-side // 2**config.model.depth) for side in batches.canvas]
    if smallest == 1 and bottom == [1, 1]:
        height, width = batches.canvas
        raise ConfigError(
            f"Pictures of {width}x{height} px leave a single pixel at the bottom of a U-Net of depth "
            f"{config.model.depth}, too little for BatchNorm with batches of 1. Take a batch size of 2 or more, or a "
            "smaller depth."
        )


def loss_of(config: RunConfig, data: DataSet, device: torch.device) -> Loss:
    """The configured loss, its class weights taken from the training split."""
    weights = None
    if config.train.class_weights == "balanced":
        weights = balanced_weights(torch.as_tensor(data.class_pixels("train"))).to(device)
    return make_loss(config.train.loss, weights)


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
    picks = write_lr_curve(run, sweeps)
    if config.then_train and not should_stop():
        train_with_first(run, config, picks, on_event)
    return should_stop()


def train_with_first(run: Run, config: RunConfig, picks: dict[str, float], on_event: OnEvent) -> None:
    """Queues a training with the first pick there is: min gradient, else min loss / 10, else valley."""
    if not picks:
        on_event(Note("Every pick is declined, so no training was started. Choose a rate of your own."))
        return
    name, rate = next(iter(picks.items()))
    jobs.start(
        config.changed(
            {"train.max_lr": rate}, kind="train", parent=run.id, then_train=False, lr_source=f"{name} of {run.id}"
        ),
        name=run.notes.name,
    )


def train(run: Run, config: RunConfig, device: str, *, on_event: OnEvent, should_stop: ShouldStop) -> bool:
    """Trains, keeps last and best weights, and evaluates the best once more with every prediction written."""
    setup = set_up(run, config, device, on_event)
    learner, data, options = setup.learner, setup.data, config.train
    indices = data.indices("valid")
    if not indices:
        raise TrainingError("The validation split is empty. Split the data set again on the Data page.")
    shown = [indices[i] for i in np.unique(np.linspace(0, len(indices) - 1, PREVIEWS).round().astype(int))]
    evaluate_here = partial(
        evaluate,
        pictures=setup.pictures,
        indices=indices,
        loss=learner.loss,
        autocast=learner.autocast,
        device=learner.device,
        batch_size=options.batch_size,
    )

    def validate(epoch: int) -> Evaluation:
        folder = run.folder / "previews" / f"epoch_{epoch:03d}"
        folder.mkdir(parents=True, exist_ok=True)

        def draw(index: int, prediction: np.ndarray) -> None:
            if index in shown:
                write_preview(data, index, prediction, folder / str(shown.index(index)))

        # the weights first: a worker that is ended during validation leaves a usable model
        save_weights(learner.model, card_of(config, data, epoch), run.folder / "last.safetensors")
        evaluation = evaluate_here(learner.model, on_prediction=draw)
        names = [data.manifest.pairs[index].name for index in shown]
        on_event(Preview(epoch=epoch, folder=f"previews/epoch_{epoch:03d}", names=names))
        return evaluation

    total_steps = options.epochs * setup.batches.steps_per_epoch

    def follow(event: Event) -> None:
        if isinstance(event, Batch):
            on_event(Progress("training", event.step + 1, total_steps))
        if isinstance(event, Epoch):
            card = card_of(config, data, event.epoch, valid=valid_scores(event))
            write_card(card, run.folder / "last.safetensors")  # its weights are there since before the validation
            if event.is_best:
                save_weights(learner.model, card, run.folder / "best.safetensors")
        on_event(event)

    began = time.monotonic()
    steps = learner.fit_one_cycle(
        setup.batches,
        validate,
        epochs=options.epochs,
        schedule=partial(schedules.planned, options=options),
        on_event=follow,
        should_stop=should_stop,
    )
    seconds = time.monotonic() - began
    is_stopped = should_stop()
    if not (run.folder / "best.safetensors").exists():
        on_event(Note("Stopped before the first step: there is no model."))
        return is_stopped
    on_event(Progress("scoring the best weights", 0, len(indices)))
    model, card = load_weights(run.folder / "best.safetensors")
    to_device(model, learner.device)
    result = write_evaluation(run, data, evaluate_here, model, on_event)
    images_per_s = setup.batches.num_images(steps) / seconds
    trained = {"max_lr": options.max_lr, "epochs": card.epoch + 1, "steps": steps, "seconds": round(seconds, 2)}
    files.write_json(run.folder / "result.json", {**trained, "images_per_s": round(images_per_s, 2), "valid": result})
    return is_stopped


def evaluate_run(run: Run, config: RunConfig, device: str, *, on_event: OnEvent, should_stop: ShouldStop) -> bool:
    """Scores the parent run's best weights on the validation split, with the parent's own precision and batch."""
    if config.parent is None:
        raise RunError("An evaluation needs the run whose weights it scores: python -m unetlab evaluate RUN.")
    model, card = load_weights(open_run(config.parent).folder / "best.safetensors")
    data = open_dataset(config.dataset, version=card.content_hash)  # as it was when the weights were trained
    torch_device = precision.open_device(device)
    precision_name = precision.resolve(config.train.precision, torch_device)
    to_device(model, torch_device)
    write_environment(run, data, torch_device, precision_name, config.train.seed)
    evaluate_here = partial(
        evaluate,
        pictures=Pictures(data, card.data),
        indices=data.indices("valid"),
        loss=loss_of(config, data, torch_device),
        autocast=partial(precision.autocast, precision_name, torch_device),
        device=torch_device,
        batch_size=config.train.batch_size,
    )
    began = time.monotonic()
    valid = write_evaluation(run, data, evaluate_here, model, on_event)
    seconds = time.monotonic() - began
    count = len(data.indices("valid"))
    trained = {"max_lr": config.train.max_lr, "epochs": card.epoch + 1, "steps": 0, "seconds": round(seconds, 2)}
    files.write_json(run.folder / "result.json", {**trained, "images_per_s": round(count / seconds, 2), "valid": valid})
    return should_stop()


TASKS: dict[str, Task] = {"lr_find": find_lr, "train": train, "evaluate": evaluate_run, "preview": preview}
