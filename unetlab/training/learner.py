"""The core loop. Read this file first: everything that changes the maths of training is visible here.

Three plain callables extend it: `on_event(event)` is told what happened, `should_stop()` is asked before each step,
and `keep(position)` may save the state of training.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from unetlab import schedules
from unetlab.diagnosis import endings
from unetlab.errors import TrainingError
from unetlab.events import Batch, Epoch, Event, Note
from unetlab.inference.evaluation import Evaluation
from unetlab.models.contract import Group, SegmentationModel
from unetlab.train_options import BEST_BY
from unetlab.training import norm_statistics, precision
from unetlab.training.batches import TrainingBatches
from unetlab.training.distributed import Team
from unetlab.training.losses import Loss
from unetlab.training.optimizer import AdamW

Schedule = Callable[[int, int], tuple[float, float]]  # (step, total_steps) -> (lr, momentum)
# this many steps in a row without finite gradients end the run; fp16 needs up to 26 to find its scale from 2^16 down
SKIP_LIMIT = {"fp32": 3, "bf16-mixed": 3, "fp16-mixed": 30}


def to_device(model: SegmentationModel, device: torch.device) -> SegmentationModel:
    """The model on the device in channels_last, the layout in which convolutions are fast."""
    return model.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


@dataclass
class Position:
    """Where training is between two steps. `losses`: of this epoch so far. `best`: rank of the best epoch."""

    step: int = 0
    epoch: int = 0
    losses: list[float] = field(default_factory=list)
    best: tuple[float, float] = (-math.inf, -math.inf)
    epochs_since_best: int = 0
    skipped: int = 0
    skipped_in_row: int = 0
    without_loss: int = 0
    seconds: float = 0.0


class Learner:
    """A model, its loss and its optimizer, and the one training step that fit and the LR finder share.

    `precision_name`: fp32, bf16-mixed or fp16-mixed. `clip_norm`: largest gradient norm, 0 = no clipping.
    `micro_batch`: pictures that go through the network at a time, None = all of a step. `ema`: decay of the averaged
    weights, 0 = none. `lr_slice`: as in schedules.lr_scales. `team`: the processes that share each step, one per
    device; one process by default. Freeze parts of the model before.

    `scored_model`: the network that is validated and kept. It has the model's weights, or the averaged ones, and
    BatchNorm statistics of its own: `take_statistics` sets them.
    """

    def __init__(
        self,
        model: SegmentationModel,
        loss: Loss,
        *,
        device: torch.device,
        precision_name: str = "fp32",
        weight_decay: float = 0.01,
        clip_norm: float = 0.0,
        micro_batch: int | None = None,
        ema: float = 0.0,
        lr_slice: str | float = "one",
        team: Team | None = None,
    ):
        self.model, self.team = to_device(model, device), team or Team()
        self.network = self.team.join(self.model)  # the same weights; called in training, so that gradients are shared
        self.loss, self.device, self.clip_norm, self.micro_batch = loss, device, clip_norm, micro_batch
        self.precision_name = precision_name
        self.scaler = precision.gradient_scaler(precision_name, device)
        groups = self.model.parameter_groups()
        scales = schedules.lr_scales(lr_slice, len(groups))
        self.lr_scales = {group.name: scale for group, scale in zip(groups, scales, strict=True)}
        self.optimizer = AdamW(
            optimized(groups, scales, weight_decay),
            betas=(0.9, 0.99),  # 0.99: fastai; the first is set at every step
            fused=True,
        )
        self.is_skipped = False
        self.average = AveragedModel(self.model, multi_avg_fn=ema_towards(ema), use_buffers=True) if ema else None
        self.scored_model = norm_statistics.twin(self.kept_model)

    @property
    def kept_model(self) -> SegmentationModel:
        """The model whose weights are kept, with its running statistics: the averaged one if there is one."""
        return cast(SegmentationModel, self.average.module) if self.average else self.model

    def take_statistics(self, batches: Iterable[tuple[Tensor, Tensor]] = ()) -> None:
        """Gives `scored_model` the statistics of BatchNorm's layers over `batches`; without any, the running ones.

        Pictures go through as many at a time as in a step. Training is not changed by a bit.
        """
        norm_statistics.copy_buffers(self.kept_model, self.scored_model)
        parts = (part for images, _ in batches for part in self.team.pieces(images, self.micro_batch))
        with self.autocast():
            norm_statistics.estimate(self.scored_model, parts)

    def autocast(self) -> AbstractContextManager:
        """The mixed-precision context that this learner trains and predicts in."""
        return precision.autocast(self.precision_name, self.device)

    def train_step(self, images: Tensor, masks: Tensor, lr: float, momentum: float) -> float | None:
        """One optimizer update on images (B,C,H,W) and masks (B,H,W); the loss before it. `lr`: of the top group.

        A loss or gradients that are not finite change no weight and no BatchNorm statistic: `is_skipped` says so.
        Where no pixel counts there is no loss: None, and nothing at all is changed.
        """
        self.is_skipped = False
        weights = self.loss.weights(masks)  # of the whole step: what its parts give adds up to the step's loss
        if not (weights > 0).any():
            return None
        for group in self.optimizer.param_groups:
            group["lr"], group["betas"] = lr * group["lr_scale"], (momentum, group["betas"][1])
        buffers = [buffer.clone() for buffer in self.model.buffers()]
        total = images.new_zeros(())
        for part_images, part_masks in self.team.parts(images, masks, self.micro_batch):
            with self.autocast():
                loss = self.loss(self.network(part_images), part_masks, weights)
            self.scaler.scale(loss).backward()
            total += loss.detach()
        total = self.team.sum(total)
        self.scaler.unscale_(self.optimizer)  # before clipping: the threshold is in true gradient units
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if self.clip_norm:
            nn.utils.clip_grads_with_norm_(self.model.parameters(), self.clip_norm, norm)
        self.is_skipped = not (math.isfinite(total.item()) and math.isfinite(norm.item()))
        if self.is_skipped:
            for buffer, before in zip(self.model.buffers(), buffers, strict=True):
                buffer.copy_(before)
        else:
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        if self.average and not self.is_skipped:
            self.average.update_parameters(self.model)
        return total.item()

    def fit_one_cycle(
        self,
        batches: TrainingBatches,
        validate: Callable[[int], Evaluation],
        *,
        epochs: int,
        schedule: Schedule,
        on_event: Callable[[Event], None],
        should_stop: Callable[[], bool],
        keep: Callable[[Position], None] = lambda position: None,
        position: Position | None = None,
        best_score: str = "mean_dice",
        patience: int = 0,
    ) -> Position:
        """Trains for `epochs` under `schedule`, from `position` on, and returns where it ended.

        A stop ends the epoch early; the weights at that point are validated and reported as an epoch of their own.
        The best epoch has the highest `best_score`, ties go to the lower loss. Only whole epochs are compared, so a
        stop does not change which one is the best; a part of the first stands in until that is whole. `patience` epochs
        without a better one end the training, 0 = never. Raises TrainingError when losses or gradients stay not finite.
        """
        at, is_stopping = position or Position(), False
        total_steps = epochs * batches.steps_per_epoch
        while at.epoch < epochs and not is_stopping:
            if patience and at.epochs_since_best >= patience:  # here, so that a run resumed at its early end stops too
                better = BEST_BY[best_score].partition(" ")[2]  # "highest mean Dice": without the first word
                on_event(Note(f"Ended early: no better {better} in {patience} epochs."))
                break
            self.model.train()
            for images, masks in batches.epoch(at.epoch, start=at.step - at.epoch * batches.steps_per_epoch):
                keep(at)
                if is_stopping := should_stop():
                    break
                lr, momentum = schedule(at.step, total_steps)
                loss = self.train_step(images, masks, lr, momentum)
                on_event(Batch(at.step, at.epoch, loss, lr, momentum, skipped=self.is_skipped))
                if loss is None:
                    at.without_loss += 1
                else:
                    at.skipped_in_row = at.skipped_in_row + 1 if self.is_skipped else 0
                at.skipped += self.is_skipped
                if at.skipped_in_row == SKIP_LIMIT[self.precision_name]:
                    raise self.blown_up(at, schedule(at.step, total_steps)[0], on_event)
                at.step += 1
                if loss is not None and math.isfinite(loss):
                    at.losses.append(loss)
            if is_stopping and at.step == at.epoch * batches.steps_per_epoch:
                break  # nothing new since the last validation
            evaluation = validate(at.epoch)
            if evaluation.loss is not None and not math.isfinite(evaluation.loss):
                raise self.blown_up(at, schedule(at.step - 1, total_steps)[0], on_event)
            rank = rank_of(evaluation, best_score)
            is_best = (rank > at.best and not is_stopping) or at.epoch == 0
            train_loss = sum(at.losses) / len(at.losses) if at.losses else None
            scores = evaluation.scores.as_dict()
            if other := evaluation.running:
                scores |= {"running_valid_loss": other.loss, "running_mean_dice": other.scores.mean_dice}
            on_event(Epoch(at.epoch, at.step, train_loss, evaluation.loss, **scores, is_best=is_best))
            if is_stopping:
                on_event(Note(endings.stopped_within(at.epoch, is_first=is_best)))
                break
            at.best, at.epochs_since_best = max(at.best, rank), 0 if is_best else at.epochs_since_best + 1
            at.epoch, at.losses = at.epoch + 1, []
        return at

    def blown_up(self, at: Position, lr: float, on_event: Callable[[Event], None]) -> TrainingError:
        """What to do when losses or gradients stay not finite: no later step mends that."""
        step = at.step if at.skipped_in_row else at.step - 1
        advice = endings.blown_up(self.precision_name, lr, step, at.skipped_in_row)
        on_event(Note(advice.message, about={"code": "not-finite", "changes": advice.changes}))
        return TrainingError(advice.message)


def optimized(groups: list[Group], scales: list[float], weight_decay: float) -> list[dict[str, Any]]:
    """The optimizer's groups, in the model's order: the parameters not frozen, with the group's share of the rate.

    Weight decay acts on kernels only, not on biases and BatchNorm (fastai's wd_bn_bias=False).
    """
    found = []
    for group, scale in zip(groups, scales, strict=True):
        trained = [p for p in group.parameters if p.requires_grad]
        for decay, parameters in (
            (weight_decay, [p for p in trained if p.ndim > 1]),
            (0.0, [p for p in trained if p.ndim <= 1]),
        ):
            if parameters:
                found.append({"params": parameters, "weight_decay": decay, "lr_scale": scale, "name": group.name})
    return found


def rank_of(evaluation: Evaluation, best_score: str) -> tuple[float, float]:
    """Sorts epochs, higher is better: the score, then the lower loss; -inf where there is none."""
    by_loss = -math.inf if evaluation.loss is None else -evaluation.loss
    if best_score == "valid_loss":
        return (by_loss, by_loss)
    score = getattr(evaluation.scores, best_score)
    return (-math.inf if score is None else score, by_loss)


def ema_towards(decay: float) -> Callable[..., None]:
    """Updates averaged weights, with decay min(d, (1+n)/(10+n)) at update n so that the start is forgotten.

    Source: TensorFlow's ExponentialMovingAverage.
    """

    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        warming = min(decay, (1 + int(count)) / (10 + int(count)))
        get_ema_multi_avg_fn(warming)(averaged, current, count)

    return update
