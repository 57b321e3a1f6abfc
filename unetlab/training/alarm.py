"""The black-mask alarm: one class predicted everywhere, its cause and the run that mends it.

Measures without a trace: weights, BatchNorm buffers, modes and random states are bitwise what they were.
"""

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from unetlab.config import RunConfig
from unetlab.data.dataset import IGNORE, DataSet
from unetlab.diagnosis.black_mask import LASTING, ONE_CLASS, BlackMask, black_mask
from unetlab.events import BLACK_MASK, BLACK_MASK_GONE, Batch, Note
from unetlab.inference.evaluation import Evaluation
from unetlab.training.batches import TrainingBatches
from unetlab.training.learner import Learner


class Watch:
    """Remembers the steps and the causes reported; after a validation reports a new cause, or takes all back."""

    def __init__(self, learner: Learner, batches: TrainingBatches, config: RunConfig, *, is_swept: bool = False):
        self._learner, self._batches, self._config, self._is_swept = learner, batches, config, is_swept
        self._losses: list[float] = []
        self._lrs: list[float] = []
        self._told: set[str] = set()
        self._is_standing = False
        self._in_a_row = 0

    def hear(self, batch: Batch) -> None:
        """Remembers a step whose loss is finite; one in which no pixel counts has none."""
        if batch.loss is not None and math.isfinite(batch.loss):
            self._losses.append(batch.loss)
            self._lrs.append(batch.lr)

    def look(self, evaluation: Evaluation, epoch: int) -> Note | None:
        """The note for the user; None if there is nothing new.

        A mask that is black no more takes back what was reported, which can then be reported again. "early" is reported
        once, and a cause in the masks is not taken back.
        """
        self._in_a_row = self._in_a_row + 1 if is_black(evaluation) else 0
        if self._is_standing and not self._in_a_row:
            self._is_standing, self._told = False, self._told & {"early", *LASTING}
            return Note("The model predicts several classes again.", about={"code": BLACK_MASK_GONE})
        found = look(
            self._learner,
            self._batches,
            evaluation,
            epoch=epoch,
            in_a_row=self._in_a_row,
            losses=self._losses,
            lrs=self._lrs,
            config=self._config,
            told=self._told,
            is_swept=self._is_swept,
        )
        if found:
            self._told.add(found.about["cause"])
            self._is_standing |= found.about["cause"] not in LASTING
        return found


def is_black(evaluation: Evaluation) -> bool:
    """Whether one class is predicted everywhere."""
    counts = evaluation.confusion.sum(0)
    return bool(counts.max() >= ONE_CLASS * max(counts.sum(), 1))


def look(
    learner: Learner,
    batches: TrainingBatches,
    evaluation: Evaluation,
    *,
    epoch: int,
    in_a_row: int,
    losses: list[float],
    lrs: list[float],
    config: RunConfig,
    told: Collection[str] = (),
    is_swept: bool = False,
) -> Note | None:
    """The note after the validation of `epoch` (from 0); None if all is well or the cause is among `told`.

    `losses`, `lrs`: of the steps so far, oldest first, those of this epoch at least; only finite losses. `in_a_row`:
    black validations up to this one. `is_swept`: the rate can have come from a sweep. The learner's scored model has
    the statistics of this validation. The note's `about` holds `code` "black-mask", `cause`, `changes` (dotted option
    -> value, one run) and `page`. Costs two forward passes of one batch, and only if one class is predicted everywhere.
    """
    if not losses or not is_black(evaluation):
        return None
    data, predicted = batches.pictures.data, int(evaluation.confusion.sum(0).argmax())
    parts = ((images[: learner.micro_batch], masks[: learner.micro_batch]) for images, masks in batches.epoch(epoch))
    found = next((part for part in parts if (part[1] != IGNORE).any()), None)
    if evaluation.loss is None or found is None:
        return None  # nothing to compare
    images, masks = found
    with without_a_trace(learner.scored_model) as model, torch.no_grad(), learner.autocast():
        scored = model(images).float()
        use_batch_statistics(model)
        batch = model(images).float()
    facts = BlackMask(
        predicted=data.class_names[predicted],
        train_shares=_shares(data, data.class_pixels("train").tolist()),
        valid_shares=_shares(data, evaluation.confusion.sum(1).tolist()),
        losses=losses,
        lrs=lrs,
        valid_loss=evaluation.loss,
        constant_loss=constant_loss(learner, data, masks),
        batch_share=largest_share(batch, masks),
        scored_share=largest_share(scored, masks),
        is_running=config.train.norm_statistics == "running",
        spread=float(batch.std((0, 2, 3)).mean()),
        in_a_row=in_a_row,
        steps_per_epoch=batches.steps_per_epoch,
        step=(epoch + 1) * batches.steps_per_epoch,
        epochs=config.train.epochs,
        max_lr=config.train.max_lr,
        loss=config.train.loss,
        class_weights=config.train.class_weights,
        batch_size=learner.micro_batch or config.train.batch_size,
        asked_batch_size=config.train.batch_size,
        image_size=config.data.image_size,
        is_swept=is_swept,
    )
    advice = black_mask(facts)
    if advice.cause in told:
        return None
    about = {"code": BLACK_MASK, "cause": advice.cause, "changes": advice.changes, "page": advice.page}
    return Note(advice.message, about=about)


@contextmanager
def without_a_trace(model: nn.Module) -> Iterator[nn.Module]:
    """The model in eval mode; buffers and the mode of every module are restored bitwise on every exit."""
    buffers = [buffer.clone() for buffer in model.buffers()]
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield model.eval()
    finally:
        with torch.no_grad():
            for buffer, before in zip(model.buffers(), buffers, strict=True):
                buffer.copy_(before)
        for module, was_training in modes:
            module.training = was_training


def use_batch_statistics(model: nn.Module) -> None:
    """BatchNorm alone goes into train mode: dropout would draw random numbers, and blur the comparison."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()


def largest_share(logits: Tensor, masks: Tensor) -> float:
    """Share 0..1 of the pixels that count which are predicted as the most frequent class."""
    chosen = logits.argmax(1)[masks != IGNORE]
    return float(torch.bincount(chosen).max() / len(chosen)) if len(chosen) else 1.0


def constant_loss(learner: Learner, data: DataSet, masks: Tensor) -> float:
    """The learner's loss on `masks` (B,H,W) if it predicts the training split's class shares for every pixel.

    A pixel must count in `masks`.
    """
    shares = torch.as_tensor(data.class_pixels("train"), dtype=torch.float32, device=masks.device)
    logits = (shares / shares.sum()).clamp(min=1e-6).log().view(1, -1, 1, 1)
    batch, height, width = masks.shape
    return learner.loss(logits.expand(batch, -1, height, width), masks).item()


def _shares(data: DataSet, pixels: list[int]) -> dict[str, float]:
    total = max(sum(pixels), 1)
    return {name: count / total for name, count in zip(data.class_names, pixels, strict=True)}
