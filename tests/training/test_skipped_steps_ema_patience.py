"""What keeps a long training whole: skipped steps, parts of a batch, averaged weights, early stopping.

Oracles: the whole batch in one piece, an average computed by hand, weights compared bit by bit.
"""

import copy
import math

import pytest
import torch

from tests.toy import Plain
from tests.training.test_learner import fit, of_type, scored
from unetlab.errors import TrainingError
from unetlab.events import Batch, Epoch, Note
from unetlab.train_options import TrainOptions
from unetlab.training.learner import Learner, rank_of
from unetlab.training.losses import make_loss

CPU = torch.device("cpu")


def weights(learner: Learner) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in learner.model.state_dict().values()]


def are_equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("precision_name", ["fp32", "bf16-mixed", "fp16-mixed"])
@pytest.mark.parametrize("spoilt", ["picture", "gradient"])
def test_a_step_that_is_not_finite_changes_no_weight_and_no_statistic(
    make_learner, make_batches, precision_name: str, spoilt: str
):
    learner, (images, masks) = make_learner(precision_name=precision_name), next(make_batches().epoch(0))
    learner.train_step(images, masks, 0.01, 0.9)
    before, state = weights(learner), copy.deepcopy(learner.optimizer.state_dict()["state"])
    if spoilt == "picture":
        learner.train_step(torch.full_like(images, math.nan), masks, 0.01, 0.9)
    else:
        handle = learner.model.head.weight.register_hook(lambda gradient: gradient * math.inf)
        assert math.isfinite(learner.train_step(images, masks, 0.01, 0.9))
        handle.remove()
    assert learner.is_skipped
    assert are_equal(before, weights(learner))
    for index, values in learner.optimizer.state_dict()["state"].items():
        assert all(torch.equal(value, state[index][name]) for name, value in values.items())
    assert math.isfinite(learner.train_step(images, masks, 0.01, 0.9))
    assert not learner.is_skipped
    assert not are_equal(before, weights(learner))


def test_one_skipped_step_is_counted_and_training_goes_on(make_learner, make_batches):
    learner, batches = make_learner(), make_batches()
    original, seen = batches.batch, []

    def batch(*args):
        images, masks = original(*args)
        seen.append(images)
        return (images * math.nan if len(seen) == 2 else images), masks

    batches.batch = batch
    steps, events = fit(learner, batches)
    assert steps == 4
    assert [event.skipped for event in of_type(events, Batch)] == [False, True, False, False]
    first = of_type(events, Epoch)[0]
    assert first.train_loss == of_type(events, Batch)[0].loss, "the skipped step's loss is no part of the mean"


def test_steps_that_stay_not_finite_end_the_run_with_the_weights_from_before(make_learner, make_batches):
    learner, batches = make_learner(), make_batches()
    original = batches.batch
    batches.batch = lambda *args: (original(*args)[0] * math.nan, original(*args)[1])
    before, events = weights(learner), []
    with pytest.raises(TrainingError, match=r"(?s)3 steps in a row.*Train again with a third of the rate"):
        learner.fit_one_cycle(
            batches,
            lambda epoch: scored(0.5, 1.0),
            epochs=3,
            schedule=lambda step, total: (0.01, 0.9),
            on_event=events.append,
            should_stop=lambda: False,
        )
    assert are_equal(before, weights(learner))
    assert [event.skipped for event in of_type(events, Batch)] == [True] * 3
    (note,) = of_type(events, Note)
    assert note.about["changes"]["train.max_lr"] == pytest.approx(0.0033, rel=0.02)


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 8])
def test_a_batch_in_parts_makes_the_same_step_as_in_one_piece(make_batches, micro_batch: int):
    """With cross-entropy and without BatchNorm; pictures with padding, so that they count unequal numbers of pixels."""
    model = Plain()
    images, masks = next(make_batches(size_mode="crop", image_size=44, batch_size=8).epoch(0))
    counted = (masks != 255).sum((1, 2))
    assert counted.min() < counted.max()
    learners = []
    for parts in (None, micro_batch):
        learner = Learner(copy.deepcopy(model), make_loss("cross_entropy"), device=CPU, micro_batch=parts)
        losses = [learner.train_step(images, masks, 0.01, 0.9) for _ in range(3)]
        learners.append((losses, weights(learner)))
    assert learners[1][0] == pytest.approx(learners[0][0], rel=1e-5)
    for whole, parts in zip(learners[0][1], learners[1][1], strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-5)


def test_parts_bound_what_goes_through_the_network_at_a_time(make_learner, make_batches):
    learner, sizes = make_learner(micro_batch=3), []
    learner.model.register_forward_hook(lambda module, args, output: sizes.append(len(output)))
    learner.train_step(*next(make_batches(batch_size=8).epoch(0)), 0.01, 0.9)
    assert sizes == [3, 3, 2]


def test_accumulated_batches_are_one_step_of_all_their_pictures():
    assert TrainOptions(batch_size=4, accumulate=3).pictures_per_step == 12


def test_averaged_weights_are_the_moving_average_that_is_scored(make_learner, make_batches):
    learner, (images, masks) = make_learner(ema=0.5), next(make_batches().epoch(0))
    assert learner.scored_model is not learner.model
    expected = None
    for step in range(12):
        learner.train_step(images, masks, 0.01, 0.9)
        now = next(learner.model.parameters()).detach().clone()
        decay = min(0.5, (1 + step) / (10 + step))  # step 0 copies
        expected = now if expected is None else decay * expected + (1 - decay) * now
    torch.testing.assert_close(next(learner.scored_model.parameters()).detach(), expected)
    assert not torch.equal(expected, now)
    # the running statistics of BatchNorm belong to the weights, so they are averaged with them
    learner.take_statistics()
    assert not torch.equal(learner.scored_model.encoder[0][1].running_mean, learner.model.encoder[0][1].running_mean)


def test_without_averaging_the_weights_themselves_are_scored(make_learner):
    learner = make_learner()
    assert next(learner.scored_model.parameters()) is next(learner.model.parameters())


def test_patience_ends_training_after_so_many_epochs_without_a_better_score(make_learner, make_batches):
    scores = iter([0.5, 0.6, 0.6, 0.55, 0.9, 0.9])
    losses = iter([1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    steps, events = fit(
        make_learner(), make_batches(), epochs=6, validate=lambda epoch: scored(next(scores), next(losses)), patience=2
    )
    assert [epoch.is_best for epoch in of_type(events, Epoch)] == [True, True, False, False]
    assert steps == 8
    (note,) = of_type(events, Note)
    assert "no better mean Dice in 2 epochs" in note.message


@pytest.mark.parametrize(
    ("best_score", "best"), [("mean_dice", [True, True, False]), ("valid_loss", [True, False, True])]
)
def test_the_best_epoch_is_chosen_by_the_stated_score(make_learner, make_batches, best_score: str, best: list[bool]):
    results = iter([scored(0.5, 1.0), scored(0.7, 1.2), scored(0.6, 0.8)])
    _, events = fit(
        make_learner(), make_batches(), epochs=3, validate=lambda epoch: next(results), best_score=best_score
    )
    assert [epoch.is_best for epoch in of_type(events, Epoch)] == best


def test_an_absent_score_ranks_below_any_and_ties_go_to_the_lower_loss():
    assert rank_of(scored(None, 0.1), "mean_dice") < rank_of(scored(0.0, 9.0), "mean_dice")
    assert rank_of(scored(0.5, 1.0), "mean_iou") < rank_of(scored(0.5, 0.9), "mean_iou")
