"""What a training run saves while it runs: checkpoints, the last weights and the best ones."""

import time

import torch

from unetlab import files
from unetlab.config import RunConfig
from unetlab.data.dataset import DataSet
from unetlab.errors import RunError
from unetlab.events import Epoch, Note
from unetlab.models.weights import save_weights, write_card
from unetlab.runs import jobs
from unetlab.runs.status import Paused
from unetlab.runs.store import Run
from unetlab.training.artifacts import card_of, valid_scores
from unetlab.training.checkpoint import Checkpointer
from unetlab.training.learner import Learner, Position
from unetlab.training.setup import OnEvent


class Keeper:
    """Checkpoints by `checkpointer`, and last.safetensors and best.safetensors in the run folder."""

    def __init__(
        self,
        run: Run,
        config: RunConfig,
        data: DataSet,
        learner: Learner,
        checkpointer: Checkpointer,
        *,
        on_event: OnEvent,
    ):
        self._run, self._config, self._data, self._learner = run, config, data, learner
        self._checkpointer, self._on_event = checkpointer, on_event
        self._began, self._before_s = time.monotonic(), 0.0
        self.last, self.best = run.folder / "last.safetensors", run.folder / "best.safetensors"

    def take_up(self) -> Position:
        """Where training begins: at the checkpoint, else at the first step. The learner is set to it."""
        position = self._checkpointer.load()
        if position is not None:
            self._on_event(Note(f"Resumes from its checkpoint at step {position.step}.", about={"step": position.step}))
        elif self._run.status.attempt > 1:
            self._on_event(Note("It had no checkpoint yet, so it starts from the first step again."))
        position = position or Position()
        self._began, self._before_s = time.monotonic(), position.seconds
        return position

    def keep(self, position: Position) -> None:
        """Saves a checkpoint if one is due or a pause or a stop was asked for. Raises Paused for a pause."""
        run, checkpointer = self._run, self._checkpointer
        position.seconds = self._before_s + time.monotonic() - self._began
        if checkpointer.problem:
            self._on_event(
                Note(f"A checkpoint could not be written ({checkpointer.problem}). The one before it is kept.")
            )
            checkpointer.problem = ""
        if jobs.has_one_thread(run) and torch.get_num_threads() > 1:
            torch.set_num_threads(1)
            files.write_json(run.folder / "environment.json", {**(run.read("environment.json") or {}), "threads": 1})
            checkpointer.save(position)  # what follows repeats only from here
            self._on_event(Note("Goes on with one CPU thread, as asked.", about={"threads": 1}))
        if run.has_pause:
            checkpointer.save(position)
            checkpointer.close()
            if checkpointer.problem:
                raise RunError(f"Pausing failed: the checkpoint could not be written ({checkpointer.problem}).")
            raise Paused
        if checkpointer.is_due or (run.has_stop and checkpointer.step != position.step):
            checkpointer.save(position)

    def save_last(self, epoch: int) -> None:
        """Saves the weights before their validation: a worker that is ended meanwhile leaves a usable model."""
        save_weights(self._learner.scored_model, card_of(self._config, self._data, epoch), self.last)

    def save_scores(self, event: Epoch) -> None:
        """Writes an epoch's scores to the card of its weights, and saves these as the best if they are."""
        card = card_of(self._config, self._data, event.epoch, valid=valid_scores(event))
        write_card(card, self.last)
        if event.is_best:
            save_weights(self._learner.scored_model, card, self.best)
