"""Scores from pixel counts pooled over a whole set of pictures. Per-sample averages are another convention.

Legend: K classes; `confusion` int64 (K,K), row = truth, column = prediction, IGNORE pixels of the truth left out.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from unetlab.data.dataset import IGNORE


@dataclass(frozen=True)
class Scores:
    """Per class in 0..1, None where the class is absent from truth and prediction; means leave those out."""

    mean_dice: float | None
    mean_iou: float | None
    pixel_accuracy: float | None
    dice: dict[str, float | None]
    iou: dict[str, float | None]

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def count_pixels(prediction: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    """The confusion (K,K) of one or more pictures: two integer arrays of the same shape."""
    counts = truth != IGNORE
    cell = truth[counts].astype(np.int64) * num_classes + prediction[counts]
    return np.bincount(cell, minlength=num_classes**2).reshape(num_classes, num_classes)


def dice_per_class(confusion: np.ndarray) -> np.ndarray:
    """float64 (K,) in 0..1: 2·TP / (2·TP + FP + FN); NaN for an absent class. Source: Dice 1945; equals F1."""
    true_positive = np.diag(confusion)
    return _ratio(2 * true_positive, confusion.sum(0) + confusion.sum(1))


def iou_per_class(confusion: np.ndarray) -> np.ndarray:
    """float64 (K,) in 0..1: TP / (TP + FP + FN); NaN for an absent class. Source: Jaccard 1912."""
    true_positive = np.diag(confusion)
    return _ratio(true_positive, confusion.sum(0) + confusion.sum(1) - true_positive)


def scores(confusion: np.ndarray, class_names: list[str], background: int | None = None) -> Scores:
    """Dice and IoU per class, their means over present classes without the background, and pixel accuracy."""
    dice, iou = dice_per_class(confusion), iou_per_class(confusion)
    scored = [k for k in range(len(class_names)) if k != background]
    return Scores(
        mean_dice=_mean_present(dice[scored]),
        mean_iou=_mean_present(iou[scored]),
        pixel_accuracy=_none_if_nan(_ratio(np.trace(confusion), confusion.sum())),
        dice={name: _none_if_nan(value) for name, value in zip(class_names, dice, strict=True)},
        iou={name: _none_if_nan(value) for name, value in zip(class_names, iou, strict=True)},
    )


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(np.shape(denominator), np.nan), where=denominator > 0)


def _mean_present(values: np.ndarray) -> float | None:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else None


def _none_if_nan(value: np.ndarray | float) -> float | None:
    return None if np.isnan(value) else float(value)
