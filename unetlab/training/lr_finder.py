"""The learning-rate sweep (Smith 2015, as in fastai): the rate rises exponentially until the loss blows up.

Weights, optimizer, BatchNorm buffers, scaler and random state are bitwise what they were, however the sweep ends.
The picks are read off the result by lr_curve.py.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from torch import Tensor

from unetlab import lr_curve, schedules
from unetlab.events import Batch, Event
from unetlab.options import LRFindOptions
from unetlab.training.batches import TrainingBatches
from unetlab.training.checkpoint import restore, snapshot
from unetlab.training.learner import Learner

MOMENTUM = 0.9  # AdamW's usual beta1, held during the sweep as fastai does
EPOCHS_APART = 10_000  # repeats draw from epochs that no other repeat reaches
FEW_STEPS = 20  # ours: in an epoch of fewer steps a single unlucky draw must not end the sweep


@dataclass
class Sweep:
    """One sweep: the rates tried and the raw losses. Equal lengths."""

    lrs: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    @property
    def smoothed_losses(self) -> list[float]:
        """fastai's debiased moving average of the losses."""
        return lr_curve.smooth(self.losses)

    @property
    def centred_losses(self) -> list[float]:
        """The losses smoothed without lag."""
        return lr_curve.centre(self.losses)


def sweep(
    learner: Learner,
    batches: TrainingBatches,
    options: LRFindOptions,
    *,
    repeat: int = 0,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool],
) -> Sweep:
    """Losses of up to `options.num_steps` training steps at rising rates; ends early at a divergence or a stop.

    A minibatch in which no pixel counts has no loss: it is passed over, and the next one takes its rate. An epoch of
    them in a row ends the sweep.
    """
    result, best, passed_over = Sweep(), float("inf"), 0
    with restored(learner):
        learner.model.train()
        for images, masks in _endless(batches, first_epoch=repeat * EPOCHS_APART):
            step = len(result.lrs)
            if step == options.num_steps or passed_over == max(batches.steps_per_epoch, FEW_STEPS) or should_stop():
                break
            lr = schedules.exponential(step, options.num_steps, options.start_lr, options.end_lr)
            loss = learner.train_step(images, masks, lr, MOMENTUM)
            passed_over = passed_over + 1 if loss is None else 0
            if loss is None:
                continue
            result.lrs.append(lr)
            result.losses.append(loss)
            smoothed = result.smoothed_losses[-1]
            on_event(Batch(step=repeat * options.num_steps + step, epoch=repeat, loss=loss, lr=lr, momentum=MOMENTUM))
            if lr_curve.has_diverged(smoothed, best):
                break
            best = min(best, smoothed)
    return result


@contextmanager
def restored(learner: Learner) -> Iterator[None]:
    """Puts the learner and torch's random state back bitwise on every exit, also on an exception."""
    state, was_training = snapshot(learner), learner.model.training
    try:
        yield
    finally:
        restore(learner, state)
        learner.model.train(was_training)


def _endless(batches: TrainingBatches, *, first_epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    for epoch in count(first_epoch):
        yield from batches.epoch(epoch)
