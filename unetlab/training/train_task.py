"""The job `train`: fit, previews, weights and checkpoints on the way, and the best weights scored at the end."""

import math
import time
from contextlib import closing
from functools import partial

import numpy as np

from unetlab import files, schedules
from unetlab.config import RunConfig
from unetlab.errors import RunError, TrainingError
from unetlab.events import Batch, Epoch, Event, Note, Preview, Progress
from unetlab.inference.evaluation import Evaluation, evaluate
from unetlab.models.weights import load_weights, save_weights, write_card
from unetlab.runs.status import Paused
from unetlab.runs.store import Run
from unetlab.training import alarm
from unetlab.training.artifacts import card_of, valid_scores, write_evaluation, write_preview
from unetlab.training.checkpoint import Checkpointer
from unetlab.training.distributed import Team, open_team
from unetlab.training.learner import Position, to_device
from unetlab.training.precision import open_device
from unetlab.training.setup import OnEvent, ShouldStop, set_up

PREVIEWS = 4


def train(run: Run, config: RunConfig, device: str, *, on_event: OnEvent, should_stop: ShouldStop) -> bool:
    """Trains, from its checkpoint on where there is one, keeps last and best weights, and evaluates the best once more.

    Raises Paused, with a checkpoint on the disk, when the file `pause` appears. Of several processes the leader alone
    looks at the run folder's requests, validates and writes.
    """
    with open_team(open_device(device)) as team:
        return train_in(team, run, config, device, on_event=on_event, should_stop=should_stop)


def train_in(
    team: Team, run: Run, config: RunConfig, device: str, *, on_event: OnEvent, should_stop: ShouldStop
) -> bool:
    """What `train` does, in one of the team's processes."""
    setup = set_up(run, config, device, on_event, team=team)
    learner, data, options = setup.learner, setup.data, config.train
    indices = data.indices("valid")
    if not indices:
        raise TrainingError("The validation split is empty. Split the data set again on the Data page.")
    shown = [indices[i] for i in np.unique(np.linspace(0, len(indices) - 1, PREVIEWS).round().astype(int))]
    with closing(Checkpointer(run.folder / "checkpoint.pt", learner)) as checkpointer:
        position = take_up(run, checkpointer, on_event)
        team.draw_apart(options.seed, position.step)
        keep = partial(keep_safe, run, checkpointer, on_event, before_s=position.seconds, began=time.monotonic())
        evaluate_here = partial(
            evaluate,
            pictures=setup.pictures,
            indices=indices,
            loss=learner.loss,
            autocast=learner.autocast,
            device=learner.device,
            batch_size=learner.micro_batch or options.batch_size,
        )

        steps: dict[str, list[float]] = {"losses": [], "lrs": []}
        told: list[str] = []

        def validate(epoch: int) -> Evaluation:
            folder = run.folder / "previews" / f"epoch_{epoch:03d}"
            folder.mkdir(parents=True, exist_ok=True)

            def draw(index: int, prediction: np.ndarray) -> None:
                if index in shown:
                    write_preview(data, index, prediction, folder / str(shown.index(index)))

            # the weights first: a worker that is ended during validation leaves a usable model
            save_weights(learner.scored_model, card_of(config, data, epoch), run.folder / "last.safetensors")
            evaluation = evaluate_here(
                learner.scored_model, on_prediction=draw, on_progress=lambda done, total: keep(position)
            )
            names = [data.manifest.pairs[index].name for index in shown]
            on_event(Preview(epoch=epoch, folder=f"previews/epoch_{epoch:03d}", names=names))
            if team.size == 1:  # a probe of one process alone would wait for ever in a BatchNorm that spans several
                found = alarm.look(learner, setup.batches, evaluation, epoch=epoch, config=config, told=told, **steps)
                if found:
                    told.append(found.about["cause"])
                    on_event(found)
            return evaluation

        total_steps = options.epochs * setup.batches.steps_per_epoch

        def follow(event: Event) -> None:
            if isinstance(event, Batch):
                on_event(Progress("training", event.step + 1, total_steps))
                if math.isfinite(event.loss):
                    steps["losses"].append(event.loss)
                    steps["lrs"].append(event.lr)
            if isinstance(event, Epoch):
                card = card_of(config, data, event.epoch, valid=valid_scores(event))
                write_card(card, run.folder / "last.safetensors")  # its weights are there since before the validation
                if event.is_best:
                    save_weights(learner.scored_model, card, run.folder / "best.safetensors")
            on_event(event)

        learner.fit_one_cycle(
            setup.batches,
            team.led(validate),
            epochs=options.epochs,
            schedule=partial(schedules.planned, options=options),
            on_event=follow if team.is_leader else on_event,
            should_stop=team.led(should_stop),
            keep=team.led(keep),
            position=position,
            best_score=options.best_score,
            patience=options.patience,
        )
        if not team.is_leader:
            return False
        if position.skipped:
            on_event(Note(f"{position.skipped} of {position.step} steps were skipped: their numbers were not finite."))
        is_stopped = should_stop()
        if is_stopped:
            checkpointer.save(position)
        if not (run.folder / "best.safetensors").exists():
            on_event(Note("Stopped before the first step: there is no model."))
            return is_stopped
        model, card = load_weights(run.folder / "best.safetensors")
        to_device(model, learner.device)

        def watch(event: Event) -> None:
            keep(position)
            on_event(event)

        watch(Progress("scoring the best weights", 0, len(indices)))
        result = write_evaluation(run, data, evaluate_here, model, watch)
    images_per_s = setup.batches.num_images(position.step) / max(position.seconds, 1e-6)
    trained = {
        "max_lr": options.max_lr,
        "epochs": card.epoch + 1,
        "steps": position.step,
        "seconds": round(position.seconds, 2),
    }
    files.write_json(run.folder / "result.json", {**trained, "images_per_s": round(images_per_s, 2), "valid": result})
    if not is_stopped:
        (run.folder / "checkpoint.pt").unlink(missing_ok=True)  # nothing is left to be resumed
    return is_stopped


def take_up(run: Run, checkpointer: Checkpointer, on_event: OnEvent) -> Position:
    """Where training begins: at the checkpoint, else at the first step. The learner stands there too."""
    position = checkpointer.load()
    if position is not None:
        on_event(Note(f"Goes on from its checkpoint at step {position.step}.", about={"step": position.step}))
    elif run.status.attempt > 1:
        on_event(Note("It had no checkpoint yet, so it starts from the first step again."))
    return position or Position()


def keep_safe(
    run: Run, checkpointer: Checkpointer, on_event: OnEvent, position: Position, *, before_s: float, began: float
) -> None:
    """Saves a checkpoint where one is due or somebody asked for a pause or a stop. Raises Paused for a pause."""
    position.seconds = before_s + time.monotonic() - began
    if checkpointer.problem:
        on_event(Note(f"A checkpoint could not be written ({checkpointer.problem}). The one before it is kept."))
        checkpointer.problem = ""
    if run.has_pause:
        checkpointer.save(position)
        checkpointer.close()
        if checkpointer.problem:
            raise RunError(f"It cannot be paused: the checkpoint could not be written ({checkpointer.problem}).")
        raise Paused
    if checkpointer.is_due or (run.has_stop and checkpointer.step != position.step):
        checkpointer.save(position)
