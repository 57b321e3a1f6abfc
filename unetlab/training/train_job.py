"""The job `train`: fit, previews, weights and checkpoints on the way, and the best weights scored at the end."""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from unetlab import files, schedules
from unetlab.config import RunConfig
from unetlab.errors import TrainingError
from unetlab.events import Batch, Epoch, Event, Note, Progress
from unetlab.inference.evaluation import Evaluation, evaluate
from unetlab.models.weights import load_weights
from unetlab.runs import sweep_rate
from unetlab.runs.store import Run
from unetlab.training.alarm import Watch
from unetlab.training.artifacts import write_evaluation
from unetlab.training.checkpoint import Checkpointer
from unetlab.training.distributed import Team, open_team
from unetlab.training.keeper import Keeper
from unetlab.training.learner import Position, to_device
from unetlab.training.norm_statistics import num_batches
from unetlab.training.precision import open_device
from unetlab.training.previews import Previews
from unetlab.training.setup import OnEvent, Setup, ShouldStop, set_up
from unetlab.training.threads import Pace, slow_steps
from unetlab.training.time_left import TimeLeft


def train(run: Run, config: RunConfig, device: str, *, on_event: OnEvent, should_stop: ShouldStop) -> bool:
    """Trains, from its checkpoint if there is one, keeps last and best weights, and evaluates the best once more.

    Raises Paused, with a checkpoint on the disk, when the file `pause` appears. Of several processes only the leader
    checks the run folder for requests, validates and writes.
    """
    with open_team(open_device(device)) as team:
        return train_in(team, run, config, device, on_event=on_event, should_stop=should_stop)


def train_in(
    team: Team, run: Run, config: RunConfig, device: str, *, on_event: OnEvent, should_stop: ShouldStop
) -> bool:
    """What `train` does, in one of the team's processes."""
    setup = set_up(run, config, device, on_event, team=team)
    if not setup.data.indices("valid"):
        raise TrainingError("The validation split is empty. Split the data set again on the Data page.")
    with closing(Checkpointer(run.folder / "checkpoint.pt", setup.learner)) as checkpointer:
        keeper = Keeper(run, config, setup.data, setup.learner, checkpointer, on_event=on_event)
        position = keeper.take_up()
        team.draw_apart(config.train.seed, position.step)
        training = Training(run, config, setup, keeper, position, on_event=on_event)
        if not position.step and (text := schedules.caution(training.total_steps, config.train)):
            on_event(Note(text, about={"code": "few-steps"}))
        training.fit(team, should_stop)
        if not team.is_leader:
            return False
        if position.skipped:
            on_event(Note(f"{position.skipped} of {position.step} steps were skipped: their numbers were not finite."))
        if position.without_loss:
            on_event(
                Note(
                    f"{position.without_loss} of {position.step} steps showed no pixel that counts: nothing was learnt "
                    "from them. Larger crops show more."
                )
            )
        is_stopped = should_stop()
        if is_stopped:
            checkpointer.save(position)
        if not keeper.best.exists():
            on_event(Note("Stopped before the first step: there is no model."))
            return is_stopped
        training.score_best()
    if not is_stopped:
        (run.folder / "checkpoint.pt").unlink(missing_ok=True)  # nothing is left to resume
    return is_stopped


class Training:
    """A learner that is set up, with the previews, saved weights and alarm of its run."""

    def __init__(
        self, run: Run, config: RunConfig, setup: Setup, keeper: Keeper, position: Position, *, on_event: OnEvent
    ):
        self.run, self.config, self.setup, self.keeper, self.position = run, config, setup, keeper, position
        self.on_event = on_event
        learner, self.indices = setup.learner, setup.data.indices("valid")
        self.total_steps = config.train.epochs * setup.batches.steps_per_epoch
        self.previews = Previews(run, setup.data, self.indices)
        is_swept = sweep_rate.was_swept(run)
        self.watch, self.pace = Watch(learner, setup.batches, config, is_swept=is_swept), Pace()
        self.time_left = TimeLeft(
            epochs=config.train.epochs,
            steps_per_epoch=setup.batches.steps_per_epoch,
            valid_share=self.valid_pixels / (len(setup.batches.samples) * math.prod(setup.batches.canvas)),
        )
        self.evaluate = partial(
            evaluate,
            pictures=setup.pictures,
            indices=self.indices,
            loss=learner.loss.value,
            autocast=learner.autocast,
            device=learner.device,
            batch_size=learner.micro_batch or config.train.batch_size,
        )

    def fit(self, team: Team, should_stop: ShouldStop) -> None:
        """All epochs from the position on; of several processes only the leader validates and writes."""
        options = self.config.train
        self.setup.learner.fit_one_cycle(
            self.setup.batches,
            team.led(self.validate),
            epochs=options.epochs,
            schedule=partial(schedules.planned, options=options),
            on_event=self.follow if team.is_leader else self.on_event,
            should_stop=team.led(should_stop),
            keep=team.led(self.keep),
            position=self.position,
            best_score=options.best_score,
            patience=options.patience,
        )

    def keep(self, position: Position) -> None:
        """Before a step: saves what is due."""
        self.keeper.keep(position)
        self.pace.begin()

    def validate(self, epoch: int) -> Evaluation:
        """The scores after an epoch, from weights already on the disk; draws previews and checks for the alarm."""
        learner, running, way = self.setup.learner, None, self.config.train.norm_statistics
        count = len(self.indices)
        total = 2 * count if way == "both" else count
        self.keep_on(0, total)
        if way != "reestimated":
            learner.take_statistics()
        if way == "both":
            self.keeper.save_last(epoch)
            running = self.evaluate(learner.scored_model, on_progress=lambda done, _: self.keep_on(done, total))
        if way != "running":
            learner.take_statistics(self.for_statistics(epoch))
        self.keeper.save_last(epoch)
        evaluation = self.evaluate(
            learner.scored_model,
            on_prediction=self.previews.drawer(epoch),
            on_progress=lambda done, _: self.keep_on(total - count + done, total),
        )
        self.on_event(self.previews.event(epoch))
        if found := self.watch.look(evaluation, epoch):
            self.on_event(found)
        return replace(evaluation, running=running)

    def for_statistics(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The minibatches from which BatchNorm's statistics are estimated after `epoch`; a pause ends them."""
        batches, size = self.setup.batches, self.config.train.batch_size
        count = num_batches(len(batches.samples), size, num_validated=self.valid_pixels / math.prod(batches.canvas))
        for batch in batches.for_statistics(epoch, count, size):
            self.keeper.keep(self.position)
            yield batch

    @property
    def valid_pixels(self) -> int:
        """Of all validation pictures, as they go through the network."""
        return sum(math.prod(self.setup.batches.pictures.size(index)) for index in self.indices)

    def keep_on(self, done: int, total: int) -> None:
        """Between pictures of a validation: says how far it is, saves what is due."""
        left = self.time_left.while_validating(self.position.step, done / total)
        self.report(f"validating, {done} of {total} pictures", left)
        self.keeper.keep(self.position)

    def report(self, detail: str, left: float | None) -> None:
        """Says how far the training is, what it is busy with and the seconds left."""
        self.on_event(Progress("training", self.position.step, self.total_steps, detail, left))

    def follow(self, event: Event) -> None:
        """Takes the learner's events, saves and remembers what belongs to them, and passes them on."""
        if isinstance(event, Batch):
            step = event.step + 1
            self.on_event(Progress("training", step, self.total_steps, time_left=self.time_left.after_step(step)))
            self.watch.hear(event)
            slow, device = self.pace.end(), self.setup.learner.device.type
            if slow and device == "cpu" and torch.get_num_threads() > 1:
                self.on_event(slow_steps(*slow))
        if isinstance(event, Epoch):
            self.time_left.after_validation()
            self.keeper.save_scores(event)
        self.on_event(event)

    def score_best(self) -> None:
        """Scores the best weights on the validation split once more: evaluation.json, every prediction, result.json."""
        model, card = load_weights(self.keeper.best)
        to_device(model, self.setup.learner.device)

        def keep_on(done: int, total: int) -> None:
            self.keeper.keep(self.position)
            left = self.time_left.while_scoring(done / total)
            self.report(f"scoring the best weights, {done} of {total} pictures", left)

        keep_on(0, len(self.indices))
        valid = write_evaluation(self.run, self.setup.data, self.evaluate, model, keep_on)
        step, seconds = self.position.step, self.position.seconds
        result = {
            "max_lr": self.config.train.max_lr,
            "highest_lr": schedules.highest_lr(step, self.total_steps, self.config.train),
            "epochs": card.epoch + 1,  # as best_epoch was called first
            "best_epoch": card.epoch + 1,
            "epochs_trained": round(step / self.setup.batches.steps_per_epoch, 2),
            "steps": step,
            "seconds": round(seconds, 2),
            "images_per_s": round(self.setup.batches.num_images(step) / max(seconds, 1e-6), 2),
            "valid": valid,
        }
        files.write_json(self.run.folder / "result.json", result)
