"""Losses: logits (B,K,H,W), masks (B,H,W) class ids with IGNORE pixels left out -> scalar, in float32."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from unetlab.data.dataset import IGNORE

Loss = Callable[[Tensor, Tensor], Tensor]


def make_loss(name: str, class_weights: Tensor | None = None) -> Loss:
    """The loss that `config.TrainOptions.loss` names. `class_weights` (K,) apply to the cross-entropy."""

    def loss(logits: Tensor, masks: Tensor) -> Tensor:
        logits = logits.float()  # a sum over thousands of pixels needs more than 8 bits of mantissa
        total = logits.new_zeros(())
        if "cross_entropy" in name:
            total = total + cross_entropy(logits, masks, class_weights)
        if "dice" in name:
            total = total + dice_loss(logits, masks)
        return total

    return loss


def cross_entropy(logits: Tensor, masks: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Weighted mean over the pixels that count; 0, not NaN, when every pixel is ignored."""
    summed = F.cross_entropy(logits, masks, class_weights, ignore_index=IGNORE, reduction="sum")
    counts = masks != IGNORE
    weight = counts.sum() if class_weights is None else class_weights[masks[counts]].sum()
    return summed / weight.clamp(min=1e-8)


def dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - soft Dice, pooled over the batch per class, averaged over the classes present in it. Source: V-Net 2016."""
    counts = (masks != IGNORE).unsqueeze(1)
    truth = F.one_hot(masks.where(masks != IGNORE, 0), logits.shape[1]).movedim(-1, 1) * counts
    probability = logits.softmax(1) * counts
    overlap = (probability * truth).sum((0, 2, 3))
    total = (probability + truth).sum((0, 2, 3))
    is_present = truth.sum((0, 2, 3)) > 0
    dice = 2 * overlap / total.clamp(min=1e-8)
    return ((1 - dice) * is_present).sum() / is_present.sum().clamp(min=1)


def share_of_pixels(part: Tensor, whole: Tensor) -> Tensor:
    """Share of the pixels that count of `whole` (B,H,W) that lie in `part`: what its loss weighs in the step's."""
    return (part != IGNORE).sum() / (whole != IGNORE).sum().clamp(min=1)


def balanced_weights(pixels: Tensor) -> Tensor:
    """(K,) weights 1 / sqrt(share) scaled to mean 1; a class without pixels gets the largest. `pixels`: counts (K,)."""
    share = (pixels.double() / pixels.sum().clamp(min=1)).clamp(min=1e-6)
    weights = share.rsqrt()
    return (weights / weights.mean()).float()
