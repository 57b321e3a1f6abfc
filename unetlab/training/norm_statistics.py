"""BatchNorm's mean and variance for the network that is scored, estimated anew from training pictures.

In training BatchNorm normalises by the minibatch, in validation by running averages. These lag behind weights that move
fast: for most of a one-cycle training they belong to a network that is gone. Source of the remedy: torch's
swa_utils.update_bn; Wu and Johnson 2021 (Rethinking "Batch" in BatchNorm), precise BatchNorm.
"""

import copy
import math
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from unetlab.models.contract import SegmentationModel

LEAST_PICTURES = 8  # BatchNorm's error rises steeply below 8: Wu and He 2018 (Group Normalization), figure 1
MOST = 4  # times as many, at most: more changes nothing (docs/experiments.md)
SHARE = 10  # a tenth of an epoch's pictures go forward: a third of a step's time, so 3.3 % of the epoch


def twin(model: SegmentationModel) -> SegmentationModel:
    """The same weights in a network with buffers of its own, in evaluation mode; it has no SyncBatchNorm.

    Parameters are shared, so that a step on `model` is a step on its twin. Without SyncBatchNorm one process can use it
    while the others wait.
    """
    shared = {id(parameter): parameter for parameter in model.parameters()}
    return cast(SegmentationModel, _alone(copy.deepcopy(model, shared))).eval()


def copy_buffers(source: SegmentationModel, twin: SegmentationModel) -> None:
    """Gives the twin the running statistics of its source, and whatever else is no parameter."""
    for buffer, original in zip(twin.buffers(), source.buffers(), strict=True):
        buffer.copy_(original)


@torch.no_grad()
def estimate(model: SegmentationModel, parts: Iterable[Tensor]) -> None:
    """Sets mean and variance of `model`'s BatchNorm layers to their mean over `parts`, images (B,C,H,W) each.

    Every picture counts the same; nothing of the former statistics is left, and without a part they stay. Only layers
    that `model.train()` leaves in training mode are touched; without one no part is asked for. Dropout stays off.
    Leaves the model in evaluation mode.
    """
    layers = estimated_layers(model)
    momenta = [layer.momentum for layer in layers]
    seen = 0
    for images in parts if layers else ():
        for layer in layers:
            if not seen:
                layer.reset_running_stats()  # a weight of 0 would not do: 0 times NaN is NaN
            layer.train()
            layer.momentum = len(images) / (seen + len(images))
        model(images)
        seen += len(images)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    model.eval()


def estimated_layers(model: SegmentationModel) -> list[_BatchNorm]:
    """The BatchNorm layers whose statistics training moves; frozen ones that are held are none. Leaves eval mode."""
    model.train()
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.training]
    model.eval()
    return layers


def num_batches(num_samples: int, batch_size: int, *, num_validated: float) -> int:
    """How many batches of `batch_size` the statistics are estimated from, where an epoch has `num_samples` pictures.

    `num_validated`: of pictures of that size the validation predicts. From 40 steps an epoch on the estimate takes a
    tenth of the epoch's pictures at most; below that as many as the validation, and one batch or 8 pictures at least.
    """
    least = math.ceil(LEAST_PICTURES / batch_size)
    if num_samples >= MOST * SHARE * batch_size:
        return min(int(num_samples / SHARE / batch_size), MOST * least)
    return min(max(int(max(num_samples / SHARE, num_validated) / batch_size), least), MOST * least)


def _alone(module: nn.Module) -> nn.Module:
    """`module` with every SyncBatchNorm in it replaced by a BatchNorm that holds the same tensors."""
    if isinstance(module, nn.SyncBatchNorm):
        plain = nn.BatchNorm2d(module.num_features, module.eps, module.momentum, module.affine)
        plain._parameters, plain._buffers = module._parameters, module._buffers
        return plain
    for name, child in module.named_children():
        setattr(module, name, _alone(child))
    return module
