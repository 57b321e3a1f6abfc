"""A network's predictions for pictures of any size, large ones in tiles; for validation, evaluation and previews.

Shapes: B batch, C channels, K classes, h and w pixels at network size, H and W at the mask's original size.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unetlab.models.contract import SegmentationModel

WHOLE_PIXELS = 1024**2  # larger pictures are predicted in tiles
TILE, OVERLAP = 1024, 128


@dataclass(frozen=True)
class Prediction:
    """One picture's float32 `logits` (K,h,w) at network size."""

    logits: Tensor

    def class_ids(self, shape: tuple[int, ...]) -> np.ndarray:
        """uint8 (H,W): the class of each pixel at the mask's original `shape`."""
        logits = self.logits
        if tuple(logits.shape[-2:]) != tuple(shape):
            logits = F.interpolate(logits[None], size=shape, mode="bilinear", align_corners=False)[0]
        return logits.argmax(0).to(torch.uint8).cpu().numpy()


@torch.inference_mode()
def predict(
    model: SegmentationModel, images: Tensor, *, autocast: Callable[[], AbstractContextManager]
) -> list[Prediction]:
    """images (B,C,h,w) in 0..1 -> a prediction for each. The model must be in evaluation mode."""
    with autocast():
        return [Prediction(logits) for logits in predict_logits(model, images)]


def predict_logits(model: SegmentationModel, images: Tensor) -> Tensor:
    """images (B,C,H,W) -> float32 logits (B,K,H,W); large pictures in overlapping tiles, blended."""
    height, width = images.shape[-2:]
    if height * width <= WHOLE_PIXELS:
        return model(images).float()
    total = weight = None
    for top in _starts(height):
        for left in _starts(width):
            window = np.s_[..., top : top + TILE, left : left + TILE]
            logits = model(images[window]).float()
            tile_height, tile_width = logits.shape[-2:]
            share = _ramp(top, tile_height, height)[:, None] * _ramp(left, tile_width, width)
            share = share.to(logits.device)
            if total is None or weight is None:
                total = logits.new_zeros(*logits.shape[:2], height, width)
                weight = logits.new_zeros(height, width)
            total[window] += logits * share
            weight[window] += share
    assert total is not None
    return total / weight


def _starts(length: int) -> list[int]:
    if length <= TILE:
        return [0]
    count = -(-(length - OVERLAP) // (TILE - OVERLAP))
    return [round(i * (length - TILE) / (count - 1)) for i in range(count)]


def _ramp(start: int, length: int, whole: int) -> Tensor:
    """(length,) weights that fall towards a tile's inner borders, where context is least, but not the picture's."""
    rising = torch.arange(1, length + 1).clamp(max=OVERLAP).float() / OVERLAP
    weights = rising if start > 0 else torch.ones(length)
    return torch.minimum(weights, rising.flip(0)) if start + length < whole else weights
