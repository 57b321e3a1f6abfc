"""Dice, IoU and accuracy. Oracles: hand-computed cases, recorded values, scikit-learn's f1 and jaccard."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score

from unetlab.data.dataset import IGNORE
from unetlab.inference.metrics import count_pixels, dice_per_class, iou_per_class, scores

NAMES = ["a", "b", "c", "d"]
maps = arrays.arrays(np.uint8, (3, 5, 4), elements=st.integers(0, 3))
flags = arrays.arrays(np.bool_, (3, 5, 4))


def test_two_by_two_by_hand():
    confusion = count_pixels(np.array([[0, 1], [1, 0]]), np.array([[0, 1], [0, 0]]), 2)
    assert confusion.tolist() == [[2, 1], [0, 1]]  # row = truth, column = prediction
    assert dice_per_class(confusion)[1] == pytest.approx(2 / 3)
    assert iou_per_class(confusion)[1] == pytest.approx(0.5)
    both = scores(confusion, ["background", "cell"])
    assert both.mean_dice == pytest.approx(0.7333333, abs=1e-7)
    assert both.mean_iou == pytest.approx(0.5833333, abs=1e-7)
    assert both.pixel_accuracy == 0.75


def random_maps() -> tuple[np.ndarray, np.ndarray]:
    """(prediction, truth): five 16x16 maps of four classes, 70 % and some chance hits right."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, (5, 16, 16))
    return np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 4, truth.shape)), truth


def test_four_classes_have_the_recorded_scores():
    # f1_score, jaccard_score and accuracy_score of scikit-learn on the same arrays, pooled and macro-averaged
    found = scores(count_pixels(*random_maps(), 4), NAMES)
    assert found.pixel_accuracy == pytest.approx(0.7703125, abs=1e-15)
    assert found.mean_dice == pytest.approx(0.7701895460733175, abs=1e-15)
    assert found.mean_iou == pytest.approx(0.6262781240915174, abs=1e-15)


def test_scores_are_pooled_and_not_averaged_over_pictures():
    # recorded from torchmetrics (float32), which averages per sample by default: another convention
    per_picture = [scores(count_pixels(p, t, 4), NAMES) for p, t in zip(*random_maps(), strict=True)]
    assert np.mean([s.mean_dice for s in per_picture]) == pytest.approx(0.76995778, abs=1e-7)
    assert np.mean([s.mean_iou for s in per_picture]) == pytest.approx(0.62730074, abs=1e-7)


def test_an_ignored_class_leaves_the_accuracy():
    prediction, truth = random_maps()
    found = scores(count_pixels(prediction, np.where(truth == 0, IGNORE, truth), 4), NAMES)
    assert found.pixel_accuracy == pytest.approx(0.7596741344, abs=1e-10)


@given(prediction=maps, truth=maps, ignored=flags)
@settings(deadline=None)
def test_scores_equal_scikit_learns_on_the_pixels_that_count(prediction, truth, ignored):
    found = scores(count_pixels(prediction, np.where(ignored, IGNORE, truth).astype(np.uint8), 4), NAMES)
    p, t = prediction[~ignored], truth[~ignored]
    present = sorted(set(p) | set(t))
    for name, k in zip(NAMES, range(4), strict=True):
        if k not in present:
            assert found.dice[name] is None
            assert found.iou[name] is None
    if not present:
        assert (found.mean_dice, found.mean_iou, found.pixel_accuracy) == (None, None, None)
        return
    # zero_division never applies: the classes asked about are present
    dice, iou = (score(t, p, labels=present, average=None) for score in (f1_score, jaccard_score))
    assert [found.dice[NAMES[k]] for k in present] == pytest.approx(dice.tolist())
    assert [found.iou[NAMES[k]] for k in present] == pytest.approx(iou.tolist())
    assert found.mean_dice == pytest.approx(dice.mean())
    assert found.mean_iou == pytest.approx(iou.mean())
    assert found.pixel_accuracy == pytest.approx(accuracy_score(t, p))


@given(prediction=maps, truth=maps)
@settings(deadline=None)
def test_the_confusion_equals_scikit_learns_and_adds_up_over_pictures(prediction, truth):
    pooled = count_pixels(prediction, truth, 4)
    assert np.array_equal(pooled, confusion_matrix(truth.ravel(), prediction.ravel(), labels=range(4)))
    assert np.array_equal(pooled, sum(count_pixels(p, t, 4) for p, t in zip(prediction, truth, strict=True)))


@given(prediction=maps, other=maps, truth=maps, ignored=flags)
def test_predictions_on_ignored_pixels_move_nothing(prediction, other, truth, ignored):
    masked = np.where(ignored, IGNORE, truth).astype(np.uint8)
    changed = np.where(ignored, other, prediction)
    assert np.array_equal(count_pixels(changed, masked, 4), count_pixels(prediction, masked, 4))


def test_a_class_absent_from_truth_and_prediction_is_none_and_left_out_of_the_means():
    found = scores(count_pixels(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]), 4), NAMES)
    assert found.dice["d"] is None
    assert found.iou["d"] is None
    assert found.mean_dice == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found.mean_iou == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)


def test_a_class_missed_entirely_or_invented_counts_as_zero():
    found = scores(count_pixels(np.array([0, 0, 2]), np.array([0, 1, 0]), 3), NAMES[:3])
    assert (found.dice["b"], found.dice["c"]) == (0, 0)


def test_a_perfect_prediction_scores_one_for_every_class():
    truth = np.array([[0, 1, 2, 2], [2, 1, 0, IGNORE]])
    found = scores(count_pixels(np.where(truth == IGNORE, 0, truth), truth, 3), NAMES[:3])  # fastai 2: 2.0 for class 2
    assert found.dice == found.iou == {"a": 1.0, "b": 1.0, "c": 1.0}
    assert found.pixel_accuracy == 1


@given(prediction=maps, truth=maps, background=st.integers(0, 3))
def test_means_leave_the_background_out_and_still_show_its_score(prediction, truth, background):
    confusion = count_pixels(prediction, truth, 4)
    found, everything = scores(confusion, NAMES, background), scores(confusion, NAMES)
    assert found.dice == everything.dice
    assert found.pixel_accuracy == everything.pixel_accuracy
    for mean, values in ((found.mean_dice, found.dice), (found.mean_iou, found.iou)):
        others = [value for k, value in enumerate(values.values()) if k != background and value is not None]
        assert mean == (pytest.approx(np.mean(others)) if others else None)


def test_scores_are_plain_json():
    found = scores(count_pixels(np.array([0, 0]), np.array([0, 1]), 3), NAMES[:3], 0).as_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
