"""Masks in which most pixels are left out. Oracle: the same steps without those in which no pixel counts."""

import math
from collections.abc import Callable
from operator import attrgetter

import numpy as np
import pytest
import torch

from tests.inference.test_evaluation import evaluated
from tests.training.test_learner import fit, of_type, scored
from unetlab import lr_curve
from unetlab.data.dataset import IGNORE
from unetlab.events import Batch, Epoch
from unetlab.training import artifacts
from unetlab.training.alarm import Watch
from unetlab.training.artifacts import mean_curve
from unetlab.training.learner import Learner, Position, rank_of
from unetlab.training.lr_finder import Sweep


def blank(batches, is_blank: Callable[[int], bool]) -> None:
    """Lets no pixel count in the minibatches whose number, counted from 0, is blank."""
    original, drawn = batches.batch, iter(range(10_000))

    def batch(*args):
        images, masks = original(*args)
        return images, torch.full_like(masks, IGNORE) if is_blank(next(drawn)) else masks

    batches.batch = batch


def state(learner: Learner) -> list[torch.Tensor]:
    """Weights, BatchNorm's statistics and the optimizer's moments, copied."""
    moments = [value for values in learner.optimizer.state.values() for value in values.values()]
    return [tensor.clone() for tensor in [*learner.model.state_dict().values(), *moments]]


@pytest.mark.parametrize("precision_name", ["fp32", "fp16-mixed"])
@pytest.mark.parametrize("loss", ["cross_entropy", "dice", "cross_entropy+dice"])
def test_a_step_in_which_no_pixel_counts_has_no_loss_and_changes_nothing(
    make_learner, make_batches, loss: str, precision_name: str
):
    learner, (images, masks) = make_learner(loss=loss, precision_name=precision_name), next(make_batches().epoch(0))
    learner.train_step(images, masks, 0.01, 0.9)
    before, scale = state(learner), learner.scaler.get_scale()
    assert learner.train_step(images, torch.full_like(masks, IGNORE), 0.01, 0.9) is None
    assert not learner.is_skipped
    assert all(torch.equal(a, b) for a, b in zip(before, state(learner), strict=True))
    assert learner.scaler.get_scale() == scale


def test_such_steps_are_logged_without_a_loss_and_are_in_no_mean_and_not_among_the_skipped(make_learner, make_batches):
    batches, at = make_batches(), Position()
    blank(batches, lambda number: number in (1, 2, 3))  # the second of epoch 0, all of epoch 1
    _, events = fit(make_learner(), batches, epochs=3, position=at)
    assert [step.loss is None for step in of_type(events, Batch)] == [False, True, True, True, False, False]
    assert not any(step.skipped for step in of_type(events, Batch))
    first, second, _ = of_type(events, Epoch)
    assert first.train_loss == of_type(events, Batch)[0].loss
    assert second.train_loss is None
    assert (at.without_loss, at.skipped, at.step) == (3, 0, 6)


def test_a_stop_after_such_a_step_scores_what_there_is(make_learner, make_batches):
    batches, asked = make_batches(), iter(range(100))
    blank(batches, lambda number: True)
    _, events = fit(make_learner(), batches, should_stop=lambda: next(asked) == 1)
    assert [event.step for event in of_type(events, Epoch)] == [1]


def test_pictures_in_which_no_pixel_counts_are_not_in_the_validation_loss(nuclei, make_learner):
    model, expected = make_learner().model, []
    everything = list(range(len(nuclei.manifest.pairs)))
    for index in everything[1:]:
        expected.append(evaluated(model, nuclei, [index]).loss)

    class Sparse(type(nuclei)):
        def mask(self, index: int) -> np.ndarray:
            mask = super().mask(index)
            return np.full_like(mask, IGNORE) if index == 0 else mask

    sparse = Sparse(nuclei.folder, nuclei.manifest)
    assert evaluated(model, sparse, everything).loss == pytest.approx(np.mean(expected), rel=1e-5)
    assert evaluated(model, sparse, [0]).loss is None


def test_an_epoch_without_a_validation_loss_ends_no_training_and_ranks_below_one_with_a_loss(
    make_learner, make_batches
):
    given = [scored(0.5, None), scored(0.5, 9.0), scored(0.6, None)]
    _, events = fit(make_learner(), make_batches(), epochs=3, validate=given.__getitem__)
    assert [event.is_best for event in of_type(events, Epoch)] == [True, True, True]
    assert rank_of(scored(0.5, None), "valid_loss") < rank_of(scored(0.1, 1e9), "valid_loss")


def test_the_alarm_does_not_hear_such_steps(make_learner, make_batches):
    watch = Watch(make_learner(), make_batches(), config=None)
    for loss in (1.0, None, math.nan, 2.0):
        watch.hear(Batch(0, 0, loss, 0.1, 0.9))
    assert watch._losses == [1.0, 2.0]


SMOOTHED = attrgetter("smoothed_losses")


def test_a_repeat_that_ended_early_does_not_shorten_the_mean_curve_nor_bend_it_at_its_end():
    whole = Sweep([0.1 * 2**i for i in range(40)], [5.0 - 0.1 * i for i in range(40)])
    early = Sweep(whole.lrs[:12], [6.0] * 12)
    lrs, mean = mean_curve([early, whole], SMOOTHED)
    assert lrs == whole.lrs
    assert mean == pytest.approx([(6.0 + loss) / 2 for loss in whole.smoothed_losses])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_repeat_that_blew_up_is_held_at_its_last_finite_loss_and_left_out_without_one(value: float):
    whole = Sweep([0.1 * 2**i for i in range(40)], [2.0] * 40)
    blown_up = Sweep(whole.lrs[:12], [4.0] * 11 + [value])
    assert mean_curve([whole, blown_up], SMOOTHED)[1] == pytest.approx([3.0] * 40)
    assert mean_curve([whole, Sweep(whole.lrs[:1], [value])], SMOOTHED)[1] == pytest.approx([2.0] * 40)
    assert mean_curve([whole], SMOOTHED) == (whole.lrs, whole.smoothed_losses)
    assert mean_curve([], SMOOTHED) == ([], [])


def test_cautions_of_repeated_sweeps_are_read_from_their_mean_not_from_the_first():
    """Only the first one has lost its fall at the rate of the pick; of one that ended at once nothing is read."""
    count = 60
    lrs = [1e-7 * 1e6 ** (step / count) for step in range(count)]
    falling = np.linspace(2, 0.5, count).tolist()
    rising = [*np.linspace(2, 0.5, 30), *[1.9] * 30]
    risky = {"pick": lr_curve.Pick(lrs[45], 45)}

    def cautions(*curves: list[float]) -> set[str]:
        return set(artifacts._cautions([Sweep(lrs[: len(losses)], losses) for losses in curves], risky))

    assert cautions(rising) == {"pick"}
    assert cautions(rising, falling, falling, falling) == set()
    assert cautions([2.0], rising, rising, rising) == {"pick"}
