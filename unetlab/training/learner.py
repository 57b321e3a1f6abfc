"""The core loop. Read this file first: everything that changes the maths of training is visible here.

Two plain callables extend it: `on_event(event)` hears what happened, `should_stop()` is asked before each step.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from unetlab.errors import TrainingError
from unetlab.events import Batch, Epoch, Event
from unetlab.training import precision
from unetlab.training.batches import TrainingBatches
from unetlab.training.evaluation import Evaluation
from unetlab.training.losses import Loss

Schedule = Callable[[int, int], tuple[float, float]]  # (step, total_steps) -> (lr, momentum)


def to_device(model: nn.Module, device: torch.device) -> nn.Module:
    """The model on the device in channels_last, the layout in which convolutions are fast."""
    return model.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


class Learner:
    """A model, its loss and its optimizer, and the one training step that fit and the LR finder share.

    `precision_name`: fp32, bf16-mixed or fp16-mixed. `clip_norm`: largest gradient norm, 0 = no clipping.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        *,
        device: torch.device,
        precision_name: str = "fp32",
        weight_decay: float = 0.01,
        clip_norm: float = 0.0,
    ):
        self.model = to_device(model, device)
        self.loss, self.device, self.clip_norm = loss, device, clip_norm
        self.precision_name = precision_name
        self.scaler = precision.gradient_scaler(precision_name, device)
        # decay pulls on kernels only, not on biases and BatchNorm (fastai's wd_bn_bias=False)
        kernels = [p for p in model.parameters() if p.ndim > 1]
        others = [p for p in model.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}],
            betas=(0.9, 0.99),  # 0.99: fastai; the first is set at every step
        )

    def autocast(self) -> AbstractContextManager:
        """The mixed-precision context that this learner trains and predicts in."""
        return precision.autocast(self.precision_name, self.device)

    def train_step(self, images: Tensor, masks: Tensor, lr: float, momentum: float) -> float:
        """One optimizer update on images (B,C,H,W) and masks (B,H,W); the loss before it."""
        for group in self.optimizer.param_groups:
            group["lr"], group["betas"] = lr, (momentum, group["betas"][1])
        with self.autocast():
            loss = self.loss(self.model(images), masks)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)  # before clipping: the threshold is in true gradient units
        if self.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return loss.item()

    def fit_one_cycle(
        self,
        batches: TrainingBatches,
        validate: Callable[[int], Evaluation],
        *,
        epochs: int,
        schedule: Schedule,
        on_event: Callable[[Event], None],
        should_stop: Callable[[], bool],
    ) -> int:
        """Trains for `epochs` under `schedule` and returns the number of steps taken.

        A stop ends the epoch early; the weights at that point are validated and reported as an epoch of their own.
        The best epoch has the highest mean Dice, ties go to the lower loss. Raises TrainingError when the loss is
        not finite.
        """
        total_steps = epochs * batches.steps_per_epoch
        step, best, is_stopping = 0, (-math.inf, -math.inf), should_stop()
        for epoch in range(epochs):
            losses = []
            self.model.train()
            for images, masks in batches.epoch(epoch):
                if is_stopping := is_stopping or should_stop():
                    break
                lr, momentum = schedule(step, total_steps)
                loss = self.train_step(images, masks, lr, momentum)
                check_finite(loss, f"at step {step} (learning rate {lr:.2g})")
                on_event(Batch(step=step, epoch=epoch, loss=loss, lr=lr, momentum=momentum))
                losses.append(loss)
                step += 1
            if is_stopping and not losses:
                break  # nothing new since the last validation
            evaluation = validate(epoch)
            check_finite(evaluation.loss, f"on the validation pictures after epoch {epoch + 1}")
            scores = evaluation.scores
            rank = (-math.inf if scores.mean_dice is None else scores.mean_dice, -evaluation.loss)
            on_event(
                Epoch(
                    epoch=epoch,
                    step=step,
                    train_loss=sum(losses) / len(losses),
                    valid_loss=evaluation.loss,
                    **scores.as_dict(),
                    is_best=rank > best,
                )
            )
            best = max(best, rank)
            if is_stopping:
                break
        return step


def check_finite(loss: float, where: str) -> None:
    """Raises TrainingError when the loss is NaN or infinite: no later step mends that."""
    if not math.isfinite(loss):
        raise TrainingError(
            f"The loss is {loss} {where}: training blew up. "
            "Train again with a third of the learning rate, or with precision fp32."
        )
