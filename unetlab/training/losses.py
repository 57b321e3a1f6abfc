"""Losses whose parts add up: a step gives the same loss and gradients in one piece or in parts, on one device or many.

A loss is a sum of terms. A term has a numerator, summed over the pictures of a part, and a weight that depends on the
masks alone, so the weight of a whole step is known before the first part goes through the network.

Shapes: logits (B,K,H,W); masks (B,H,W) class ids, IGNORE where a pixel does not count; counts (B,256) pixels per id.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unetlab.data.dataset import IGNORE


@dataclass(frozen=True)
class Term:
    """One term: its numerator from (logits, masks), a scalar, and its weight from counts, a scalar."""

    numerator: Callable[[Tensor, Tensor], Tensor]
    weight: Callable[[Tensor], Tensor]


class Loss:
    """The sum over terms of numerator / weight, in float32 or, for logits in float64, in float64."""

    def __init__(self, terms: list[Term]):
        self.terms = terms

    def weights(self, masks: Tensor) -> Tensor:
        """Each term's weight (T,) for masks (B,H,W); all 0 if no pixel counts: then there is no loss."""
        counts = pixels_per_class(masks)
        return torch.stack([term.weight(counts) for term in self.terms])

    def __call__(self, logits: Tensor, masks: Tensor, weights: Tensor | None = None) -> Tensor:
        """The scalar loss, or a part's share of it: `weights` are those of the whole step, else of these masks."""
        weights = self.weights(masks) if weights is None else weights
        # a sum over thousands of pixels needs more than the 8 bits of a bfloat16 mantissa
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        numerators = torch.stack([term.numerator(logits, masks) for term in self.terms])
        return (numerators / weights.clamp(min=1e-8)).sum()  # where the weight is 0, so is the numerator

    def value(self, logits: Tensor, masks: Tensor) -> float | None:
        """The loss as a number; None if no pixel counts."""
        weights = self.weights(masks)
        return self(logits, masks, weights).item() if (weights > 0).any() else None


def make_loss(name: str, class_weights: Tensor | None = None) -> Loss:
    """The loss that `config.TrainOptions.loss` names. `class_weights` (K,) apply to the cross-entropy."""
    terms = {
        "cross_entropy": [cross_entropy(class_weights)],
        "dice": [dice()],
        "cross_entropy+dice": [cross_entropy(class_weights), dice()],
    }
    return Loss(terms[name])


def cross_entropy(class_weights: Tensor | None = None) -> Term:
    """The weighted mean over the pixels that count, as in torch.nn.functional.cross_entropy."""

    def numerator(logits: Tensor, masks: Tensor) -> Tensor:
        weights = None if class_weights is None else class_weights.to(logits.dtype)
        return F.cross_entropy(logits, masks, weights, ignore_index=IGNORE, reduction="sum")

    def weight(counts: Tensor) -> Tensor:
        per_class = counts.sum(0)
        if class_weights is None:
            return per_class[:IGNORE].sum().float()
        return (per_class[: len(class_weights)] * class_weights).sum()

    return Term(numerator, weight)


def dice() -> Term:
    """1 - soft Dice, averaged over the (picture, class) pairs in which the class is present. Source: V-Net 2016."""

    def numerator(logits: Tensor, masks: Tensor) -> Tensor:
        ids = torch.arange(logits.shape[1], device=masks.device)
        truth = (masks[..., None] == ids).movedim(-1, 1)  # bool, one byte a pixel and class; strides of channels_last
        probability = logits.softmax(1)
        overlap = probability.where(truth, 0).sum((2, 3))
        predicted = probability.where((masks != IGNORE)[:, None], 0).sum((2, 3))
        present = truth.sum((2, 3))
        lost = 1 - 2 * overlap / (predicted + present).clamp(min=1e-8)
        return lost.where(present > 0, 0).sum()

    def weight(counts: Tensor) -> Tensor:
        return (counts[:, :IGNORE] > 0).sum().float()

    return Term(numerator, weight)


def pixels_per_class(masks: Tensor) -> Tensor:
    """How many pixels of each picture have each id: (B,256) int64 for masks (B,H,W)."""
    flat = masks.flatten(1)
    counts = torch.zeros(len(masks), IGNORE + 1, dtype=torch.int64, device=masks.device)
    return counts.scatter_add_(1, flat, flat.new_ones(()).expand_as(flat))


def balanced_weights(pixels: Tensor) -> Tensor:
    """(K,) weights 1 / sqrt(share) with mean 1 over the classes that have pixels; the others get 0.

    `pixels`: counts (K,). A class without pixels cannot be learnt; a weight for it would only scale the others down.
    """
    is_present = pixels > 0
    weights = (pixels.double() / pixels.sum().clamp(min=1)).rsqrt().where(is_present, 0)
    return (weights / (weights.sum() / is_present.sum().clamp(min=1)).clamp(min=1e-8)).float()
