"""The sweep. Oracle: everything is bitwise what it was, however the sweep ends; and the plain formula of its rates."""

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from unetlab import lr_curve
from unetlab.data.dataset import IGNORE
from unetlab.events import Batch, Event
from unetlab.options import LRFindOptions
from unetlab.training import lr_finder
from unetlab.training.learner import Learner
from unetlab.training.losses import Loss
from unetlab.training.lr_finder import Sweep

OPTIONS = LRFindOptions(start_lr=1e-6, end_lr=1.0, num_steps=20)


def state_of(learner: Learner) -> dict[str, Any]:
    """All that a sweep could leave behind, copied."""
    state = {
        "model": learner.model.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "scaler": learner.scaler.state_dict(),
        "rng": torch.get_rng_state(),
        "modes": [module.training for module in learner.model.modules()],
        "gradients": [parameter.grad for parameter in learner.model.parameters()],
        "layouts": [parameter.stride() for parameter in learner.model.parameters()],
    }
    return copy.deepcopy(state)


def is_same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(is_same(value, second[key]) for key, value in first.items())
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(is_same, first, second))
    return first == second


def sweep(
    learner: Learner,
    batches,
    *,
    options: LRFindOptions = OPTIONS,
    repeat: int = 0,
    on_event: Callable[[Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Sweep:
    return lr_finder.sweep(learner, batches, options, repeat=repeat, on_event=on_event, should_stop=should_stop)


def losing(learner: Learner, factors: dict[int, float]) -> None:
    """Lets the loss at the given steps be that many times what it is."""
    inner, step = learner.loss, iter(range(10**6))

    class Losing(Loss):
        def __call__(self, *args):
            return inner(*args) * factors.get(next(step), 1.0)

    learner.loss = Losing(inner.terms)


def ends_itself(learner: Learner, batches) -> None:
    assert len(sweep(learner, batches).lrs) == 20


def is_stopped(learner: Learner, batches) -> None:
    steps: list[Event] = []
    assert len(sweep(learner, batches, on_event=steps.append, should_stop=lambda: len(steps) == 7).lrs) == 7


def is_stopped_at_once(learner: Learner, batches) -> None:
    assert sweep(learner, batches, should_stop=lambda: True) == Sweep()


def meets_nan(learner: Learner, batches) -> None:
    losing(learner, {5: math.nan})
    assert len(sweep(learner, batches).lrs) == 6


def diverges(learner: Learner, batches) -> None:
    losing(learner, {8: 1000.0})
    assert len(sweep(learner, batches).lrs) == 9


def is_interrupted(learner: Learner, batches) -> None:
    def interrupt(event: Event) -> None:
        if event.step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(learner, batches, on_event=interrupt)


def runs_out_of_memory_in_the_loss(learner: Learner, batches) -> None:
    steps = iter(range(100))

    class Large(Loss):
        def __call__(self, *args):
            if next(steps) == 4:
                raise torch.OutOfMemoryError
            return super().__call__(*args)

    learner.loss = Large(learner.loss.terms)
    with pytest.raises(torch.OutOfMemoryError):
        sweep(learner, batches)


def runs_out_of_memory_in_the_optimizer(learner: Learner, batches) -> None:
    def fail(*args: object) -> None:
        raise torch.OutOfMemoryError

    hook = learner.optimizer.register_step_pre_hook(fail)
    with pytest.raises(torch.OutOfMemoryError):
        sweep(learner, batches)
    hook.remove()


EXITS = [
    ends_itself,
    is_stopped,
    is_stopped_at_once,
    meets_nan,
    diverges,
    is_interrupted,
    runs_out_of_memory_in_the_loss,
    runs_out_of_memory_in_the_optimizer,
]


@pytest.mark.parametrize("precision_name", ["fp32", "fp16-mixed"])
@pytest.mark.parametrize("steps_before", [0, 3], ids=["fresh", "mid-training"])
@pytest.mark.parametrize("leave", EXITS, ids=lambda leave: leave.__name__)
def test_everything_is_bitwise_as_before_when_the_sweep(
    leave, steps_before, precision_name, make_learner, make_batches
):
    learner, batches = make_learner(dropout=0.5, precision_name=precision_name), make_batches()
    images, masks = next(batches.epoch(0))
    for _ in range(steps_before):
        learner.train_step(images, masks, 0.01, 0.9)
    learner.model.train(steps_before > 0)
    before = state_of(learner)
    assert bool(before["optimizer"]["state"]) == bool(steps_before)
    leave(learner, batches)
    after = state_of(learner)
    for part, value in before.items():
        assert is_same(value, after[part]), part
    loss = learner.train_step(images, masks, 0.01, 0.9)  # and it can go on
    assert isinstance(loss, float)


def test_the_comparison_above_can_fail(make_learner, make_batches):
    learner = make_learner(dropout=0.5)
    before = state_of(learner)
    learner.model.train()
    learner.train_step(*next(make_batches().epoch(0)), 0.01, 0.9)
    after = state_of(learner)
    assert not is_same(before["model"], after["model"])
    assert not is_same(before["optimizer"], after["optimizer"])
    assert not is_same(before["rng"], after["rng"])


def test_training_after_a_sweep_equals_training_without_one(make_learner, make_batches):
    def losses(*, is_swept: bool) -> list[float]:
        learner, batches = make_learner(dropout=0.5), make_batches(augment="standard")
        found = [learner.train_step(*batch, 0.01, 0.9) for batch in batches.epoch(0)]
        if is_swept:
            sweep(learner, batches)
        return found + [learner.train_step(*batch, 0.01, 0.9) for batch in batches.epoch(1)]

    assert losses(is_swept=True) == losses(is_swept=False)


def test_rates_rise_by_the_formula_over_more_than_one_epoch(make_learner, make_batches):
    events: list[Event] = []
    result = sweep(make_learner(), make_batches(), on_event=events.append)
    assert result.lrs == pytest.approx([1e-6 * 1e6 ** (i / 20) for i in range(20)])
    assert result.smoothed_losses == lr_curve.smooth(result.losses)
    assert [(e.step, e.lr, e.loss) for e in events] == list(zip(range(20), result.lrs, result.losses, strict=True))
    assert all(isinstance(event, Batch) for event in events)


def test_the_sweep_really_trains_at_the_rates_it_names(make_learner, make_batches):
    learner, seen = make_learner(), []
    learner.optimizer.register_step_pre_hook(
        lambda optimizer, *_: seen.append([g["lr"] for g in optimizer.param_groups])
    )
    result = sweep(learner, make_batches())
    assert seen == [[lr] * len(learner.optimizer.param_groups) for lr in result.lrs]
    assert min(result.losses[10:]) < 0.9 * result.losses[0]


def test_the_sweep_ends_at_the_point_that_diverges(make_learner, make_batches):
    learner = make_learner()
    losing(learner, {i: 3.0**i for i in range(100)})
    found = sweep(learner, make_batches()).smoothed_losses
    best = [min(found[: i + 1]) for i in range(len(found))]
    assert 2 < len(found) < 20
    assert found[-1] > 4 * best[-2]
    assert all(loss <= 4 * lowest for loss, lowest in zip(found[1:-1], best[:-2], strict=True))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_sweep_ends_at_the_first_loss_that_is_not_finite_and_records_it(make_learner, make_batches, value):
    learner = make_learner()
    losing(learner, {0: value})
    result = sweep(learner, make_batches())
    assert len(result.lrs) == len(result.losses) == len(result.smoothed_losses) == 1
    assert not math.isfinite(result.losses[0])
    assert all(isinstance(p, lr_curve.Declined) for p in lr_curve.picks(result.lrs, result.smoothed_losses).values())


class Unlucky:
    """Stands for TrainingBatches: the minibatches of `batches`, in some of which no pixel counts."""

    def __init__(self, batches, *, is_blank: Callable[[int], bool]):
        self.batches, self.is_blank, self.drawn = batches, is_blank, 0
        self.steps_per_epoch = batches.steps_per_epoch

    def epoch(self, number: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for images, masks in self.batches.epoch(number):
            self.drawn += 1
            yield images, torch.full_like(masks, IGNORE) if self.is_blank(self.drawn) else masks


def test_minibatches_without_a_pixel_that_counts_are_passed_over_and_cost_no_rate(make_learner, make_batches):
    events: list[Event] = []
    unlucky = Unlucky(make_batches(), is_blank=lambda drawn: drawn % 3 > 0)
    result = sweep(make_learner(), unlucky, on_event=events.append)
    assert unlucky.drawn > 2 * 20
    assert result.lrs == pytest.approx([1e-6 * 1e6 ** (i / 20) for i in range(20)])
    assert min(result.losses) > 0
    assert [event.step for event in events] == list(range(20))


def test_a_sweep_that_meets_nothing_else_ends(make_learner, make_batches):
    result = sweep(make_learner(), Unlucky(make_batches(), is_blank=lambda drawn: drawn > 5))
    assert len(result.lrs) == 5


def test_a_repeat_sees_other_pictures_from_the_same_start_and_counts_on(make_learner, make_batches):
    learner, batches, events = make_learner(), make_batches(), []
    first = sweep(learner, batches)
    again = sweep(learner, batches)
    other = sweep(learner, batches, repeat=1, on_event=events.append)
    assert first == again
    assert other.lrs == first.lrs
    assert other.losses != first.losses
    assert [(event.step, event.epoch) for event in events] == [(20 + i, 1) for i in range(20)]
