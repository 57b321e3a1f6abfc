"""A model on the pictures of one split: predictions at original size, loss, pooled counts, scores per picture."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unetlab.inference import metrics
from unetlab.inference.pictures import Pictures, to_tensors
from unetlab.inference.prediction import predict
from unetlab.models.contract import SegmentationModel


@dataclass(frozen=True)
class Evaluation:
    """`loss`: mean over pictures at network size that have a pixel which counts; None if none has.

    `scores`: from counts pooled over all pictures at original size.

    `per_picture`: the same scores of each picture alone, by index into the data set's pairs.

    `running`: of the same weights with BatchNorm's running statistics, where both were asked for.
    """

    loss: float | None
    scores: metrics.Scores
    confusion: np.ndarray
    per_picture: dict[int, metrics.Scores]
    running: "Evaluation | None" = None


@torch.inference_mode()
def evaluate(
    model: SegmentationModel,
    pictures: Pictures,
    indices: list[int],
    *,
    loss: Callable[[Tensor, Tensor], float | None],
    autocast: Callable[[], AbstractContextManager],
    device: torch.device,
    batch_size: int,
    on_prediction: Callable[[int, np.ndarray], None] = lambda index, prediction: None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Scores of `model` on the pictures `indices`; `on_prediction(index, ids (H,W) uint8)` gets each prediction.

    Leaves the model in the mode (train or eval) that it had.
    """
    data, was_training = pictures.data, model.training
    names, background = data.class_names, data.background
    model.eval()
    confusion = np.zeros((data.num_classes, data.num_classes), np.int64)
    per_picture, losses, done = {}, [], 0
    for group in _same_size_groups(pictures, indices, batch_size):
        images, masks = to_tensors([pictures[i] for i in group], device)
        predictions = predict(model, images, whole_pixels=pictures.options.whole_picture_pixels, autocast=autocast)
        for index, predicted, mask in zip(group, predictions, masks, strict=True):
            losses.append(loss(predicted.logits[None], mask[None]))
            truth = np.asarray(data.mask(index))
            ids = predicted.class_ids(truth.shape)
            counts = metrics.count_pixels(ids, truth, data.num_classes)
            confusion += counts
            per_picture[index] = metrics.scores(counts, names, background)
            on_prediction(index, ids)
        done += len(group)
        on_progress(done, len(indices))
    model.train(was_training)
    scores = metrics.scores(confusion, names, background)
    counted = [value for value in losses if value is not None]
    return Evaluation(sum(counted) / len(counted) if counted else None, scores, confusion, per_picture)


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


def majority_share(confusion: np.ndarray) -> float:
    """Pixel accuracy of the baseline, the largest class everywhere: what any accuracy has to beat."""
    return float(confusion.sum(1).max() / max(confusion.sum(), 1))
