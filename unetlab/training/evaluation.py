"""A model on the pictures of one split: predictions at original size, loss, pooled counts, scores per picture."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unetlab.training import metrics
from unetlab.training.batches import Pictures, to_tensors
from unetlab.training.losses import Loss

WHOLE_PIXELS = 1024**2  # larger pictures are predicted in tiles
TILE, OVERLAP = 1024, 128


@dataclass(frozen=True)
class Evaluation:
    """`loss`: mean over pictures at network size. `scores`: from counts pooled over all pictures at original size.

    `per_picture`: the same scores of each picture alone, by index into the data set's pairs.
    """

    loss: float
    scores: metrics.Scores
    confusion: np.ndarray
    per_picture: dict[int, metrics.Scores]


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    pictures: Pictures,
    indices: list[int],
    *,
    loss: Loss,
    autocast: Callable[[], AbstractContextManager],
    device: torch.device,
    batch_size: int,
    on_prediction: Callable[[int, np.ndarray], None] = lambda index, prediction: None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Scores of `model` on the pictures `indices`; `on_prediction(index, ids (H,W) uint8)` hears each prediction.

    Leaves the model in the mode (train or eval) in which it was.
    """
    data, was_training = pictures.data, model.training
    names, background = data.class_names, data.background
    model.eval()
    confusion = np.zeros((data.num_classes, data.num_classes), np.int64)
    per_picture, total_loss, done = {}, 0.0, 0
    for group in _same_size_groups(pictures, indices, batch_size):
        images, masks = to_tensors([pictures[i] for i in group], device)
        with autocast():
            logits = predict_logits(model, images)
        for index, picture_logits, mask in zip(group, logits, masks, strict=True):
            total_loss += loss(picture_logits[None], mask[None]).item()
            truth = np.asarray(data.mask(index))
            prediction = class_ids(picture_logits, truth.shape)
            counts = metrics.count_pixels(prediction, truth, data.num_classes)
            confusion += counts
            per_picture[index] = metrics.scores(counts, names, background)
            on_prediction(index, prediction)
        done += len(group)
        on_progress(done, len(indices))
    model.train(was_training)
    scores = metrics.scores(confusion, names, background)
    return Evaluation(total_loss / max(len(indices), 1), scores, confusion, per_picture)


def predict_logits(model: nn.Module, images: Tensor) -> Tensor:
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


def class_ids(logits: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """logits (K,h,w) -> uint8 (H,W) class ids at the mask's original `shape`."""
    if tuple(logits.shape[-2:]) != tuple(shape):
        logits = F.interpolate(logits[None], size=shape, mode="bilinear", align_corners=False)[0]
    return logits.argmax(0).to(torch.uint8).cpu().numpy()


def _same_size_groups(pictures: Pictures, indices: list[int], batch_size: int) -> Iterator[list[int]]:
    """Neighbours of one size, at most `batch_size` at a time: no padding, so no picture's score depends on another."""
    group: list[int] = []
    for index in indices:
        if group and (len(group) == batch_size or pictures.size(index) != pictures.size(group[0])):
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def _starts(length: int) -> list[int]:
    if length <= TILE:
        return [0]
    count = -(-(length - OVERLAP) // (TILE - OVERLAP))
    return [round(i * (length - TILE) / (count - 1)) for i in range(count)]


def _ramp(start: int, length: int, whole: int) -> Tensor:
    """(length,) weights that fall towards a tile's inner borders, where the network sees least, not the picture's."""
    rising = torch.arange(1, length + 1).clamp(max=OVERLAP).float() / OVERLAP
    weights = rising if start > 0 else torch.ones(length)
    return torch.minimum(weights, rising.flip(0)) if start + length < whole else weights


def majority_share(confusion: np.ndarray) -> float:
    """Pixel accuracy of always answering with the largest class: what any accuracy has to beat."""
    return float(confusion.sum(1).max() / max(confusion.sum(), 1))
