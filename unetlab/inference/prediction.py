"""A network's predictions for pictures of any size, large ones in tiles; for validation, evaluation and previews.

Whether there are tiles depends on a picture's size alone, never on free memory: a score must be the same tomorrow.
Shapes: B batch, C channels, K classes, h and w pixels at network size, H and W at the mask's original size.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unetlab.models.contract import SegmentationModel

TILE = 1024  # px
# a tile's share at its border. Source: MONAI, which raises the product of both sides to it: along the picture's own
# border all shares would then be equal, of tiles that end there as of those that go on
SMALLEST_SHARE = 1e-3


@dataclass(frozen=True)
class Prediction:
    """One picture's float32 `logits` (K,h,w) at network size."""

    logits: Tensor

    def class_ids(self, shape: tuple[int, ...]) -> np.ndarray:
        """uint8 (H,W): the class of each pixel at the mask's original `shape`."""
        return class_map(self.logits, shape).cpu().numpy()


def class_map(logits: Tensor, shape: tuple[int, ...]) -> Tensor:
    """uint8 (H,W) on the logits' device: the class of each pixel, the logits (K,h,w) scaled to `shape` first."""
    if tuple(logits.shape[-2:]) != tuple(shape):
        logits = F.interpolate(logits[None], size=shape, mode="bilinear", align_corners=False)[0]
    return logits.argmax(0).to(torch.uint8)


@torch.inference_mode()
def predict(
    model: SegmentationModel, images: Tensor, *, whole_pixels: int, autocast: Callable[[], AbstractContextManager]
) -> list[Prediction]:
    """images (B,C,h,w) in 0..1 -> a prediction for each. The model must be in evaluation mode."""
    with autocast():
        return [Prediction(logits) for logits in predict_logits(model, images, whole_pixels=whole_pixels)]


def predict_logits(model: SegmentationModel, images: Tensor, *, whole_pixels: int, tile: int = TILE) -> Tensor:
    """images (B,C,H,W) -> float32 logits (B,K,H,W); in tiles of about `tile` px if H·W is over `whole_pixels`.

    With the model's halo tiles give what the whole picture would; for a model without one they are blended.
    """
    height, width = images.shape[-2:]
    if height * width <= whole_pixels:
        return model(images).float()
    if model.halo is None:
        return _blended(model, images, tile)
    return _exact(model, images, tile)


def _exact(model: SegmentationModel, images: Tensor, tile: int) -> Tensor:
    """Tiles whose context of `halo` px is cut off; a tile at the picture's border ends there and is padded as it is."""
    assert model.halo is not None
    # never more context than picture on a side, so that no more than 4 times the pixels are predicted
    core = max(tile - 2 * model.halo, 2 * model.halo)
    whole = None
    for top, bottom in _cores(images.shape[-2], core, model.size_multiple):
        for left, right in _cores(images.shape[-1], core, model.size_multiple):
            above, before = max(top - model.halo, 0), max(left - model.halo, 0)
            logits = model(images[..., above : bottom + model.halo, before : right + model.halo]).float()
            if whole is None:
                whole = logits.new_empty(*logits.shape[:2], *images.shape[-2:])
            whole[..., top:bottom, left:right] = logits[
                ..., top - above : bottom - above, left - before : right - before
            ]
    assert whole is not None
    return whole


def _cores(length: int, core: int, multiple: int) -> list[tuple[int, int]]:
    """(start, end) of parts of about equal length, at most `core` px; they start at multiples of `multiple`."""
    count = math.ceil(length / max(core // multiple * multiple, multiple))
    step = math.ceil(length / count / multiple) * multiple
    return [(start, min(start + step, length)) for start in range(0, length, step)]


def _blended(model: SegmentationModel, images: Tensor, tile: int) -> Tensor:
    """Tiles that overlap by half, weighted by a Gaussian. Source: nnU-Net and MONAI's sliding_window_inference."""
    height, width = images.shape[-2:]
    total = weight = None
    for top in _starts(height, tile):
        for left in _starts(width, tile):
            window = np.s_[..., top : top + tile, left : left + tile]
            logits = model(images[window]).float()
            share = (_gaussian(logits.shape[-2])[:, None] * _gaussian(logits.shape[-1])).to(logits.device)
            if total is None or weight is None:
                total = logits.new_zeros(*logits.shape[:2], height, width)
                weight = logits.new_zeros(height, width)
            total[window] += logits * share
            weight[window] += share
    assert total is not None
    return total / weight


def _starts(length: int, tile: int) -> list[int]:
    """Where tiles begin: evenly spread, half a tile apart at most. Source: nnU-Net."""
    if length <= tile:
        return [0]
    steps = math.ceil((length - tile) / (tile / 2))
    return [round(step * (length - tile) / steps) for step in range(steps + 1)]


def _gaussian(length: int) -> Tensor:
    """(length,) float32, symmetric about the middle, highest there; an eighth of the length wide."""
    away = torch.arange(length, dtype=torch.float32) - (length - 1) / 2
    return torch.exp(-0.5 * (away / (length / 8)) ** 2).clamp(min=SMALLEST_SHARE)
