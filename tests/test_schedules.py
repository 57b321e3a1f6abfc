"""Schedules. Oracles: torch's own OneCycleLR, values recorded from real fastai fits, fastai's own schedule test."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from unetlab import schedules
from unetlab.train_options import TrainOptions

# torch 2.14 OneCycleLR(max_lr=1, total_steps=20), defaults
TORCH_20 = (
    ".04 .13167184 .37167184 .66832816 .90832816 1 .98746401 .95048463 .89091618 .81174565 "
    ".716943 .61126202 .500002 .38874198 .283061 .18825835 .10908782 .049519368 .012539994 4e-06"
)
TORCH_20_MOMENTUM = {0: 0.95, 1: 0.940451, 2: 0.915451, 3: 0.884549, 4: 0.859549, 5: 0.85, 6: 0.851254, 19: 0.95}
# fastai 2 fit_one_cycle(1, lr_max=1), 20 steps, recorded from a real fit
FASTAI_20 = (
    ".04 .131672 .371672 .668328 .908328 1 .989074 .956773 .904509 .834567 "
    ".750002 .654512 .552269 .447741 .345498 .250007 .165443 .095501 .043237 .010936"
)


def numbers(text: str) -> list[float]:
    return [float(number) for number in text.split()]


def torch_one_cycle(total_steps: int, max_lr: float, **options: float) -> list[tuple[float, float]]:
    """(lr, beta1) of every step, as torch's scheduler leaves them in AdamW."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr, total_steps=total_steps, **options)
    values = []
    for step in range(total_steps):
        group = optimizer.param_groups[0]
        values.append((group["lr"], group["betas"][0]))
        optimizer.step()
        if step < total_steps - 1:
            scheduler.step()
    return values


def test_one_cycle_has_the_values_recorded_from_torch():
    values = [schedules.one_cycle(step, 20, 1.0) for step in range(20)]
    assert [lr for lr, _ in values] == pytest.approx(numbers(TORCH_20), rel=1e-6)
    assert {step: values[step][1] for step in TORCH_20_MOMENTUM} == pytest.approx(TORCH_20_MOMENTUM, abs=1e-6)


def test_one_cycle_of_100_steps_peaks_at_step_29_as_torch_does():
    lrs = [schedules.one_cycle(step, 100, 1.0)[0] for step in range(100)]
    assert lrs.index(max(lrs)) == 29
    assert lrs[50] == pytest.approx(0.793893450575732, rel=1e-12)
    assert lrs[99] == pytest.approx(4e-6)


@given(
    total_steps=st.integers(1, 60),
    pct_start=st.floats(0.01, 0.99),
    max_lr=st.floats(1e-5, 10),
    div_factor=st.floats(1, 1e3),
    final_div_factor=st.floats(1, 1e5),
    momentum_max=st.floats(0.9, 0.99),
    momentum_min=st.floats(0.5, 0.89),
)
@example(1, 0.3, 1.0, 25.0, 1e4, 0.95, 0.85)
@example(2, 0.3, 1.0, 25.0, 1e4, 0.95, 0.85)
@settings(deadline=None, max_examples=60)
def test_one_cycle_equals_torch_wherever_torch_is_defined(
    total_steps, pct_start, max_lr, div_factor, final_div_factor, momentum_max, momentum_min
):
    assume(pct_start * total_steps != 1)  # torch divides by zero there
    shared = {"pct_start": pct_start, "div_factor": div_factor, "final_div_factor": final_div_factor}
    expected = torch_one_cycle(total_steps, max_lr, **shared, base_momentum=momentum_min, max_momentum=momentum_max)
    for step, (lr, momentum) in enumerate(expected):
        ours = schedules.one_cycle(
            step, total_steps, max_lr, **shared, momentum_max=momentum_max, momentum_min=momentum_min
        )
        assert ours == (pytest.approx(lr, rel=1e-9, abs=1e-15), pytest.approx(momentum, rel=1e-9))


@pytest.mark.parametrize(("total_steps", "pct_start"), [(2, 0.5), (4, 0.25), (10, 0.1)])
def test_where_torch_divides_by_zero_the_warm_up_is_one_step(total_steps, pct_start):
    with pytest.raises(ZeroDivisionError):
        torch_one_cycle(total_steps, 1.0, pct_start=pct_start)
    values = [schedules.one_cycle(step, total_steps, 1.0, pct_start=pct_start) for step in range(total_steps)]
    assert values[0] == pytest.approx((1 / 25, 0.95))
    assert values[1] == pytest.approx((1.0, 0.85))
    rest = [lr for lr, _ in values[1:]]
    assert rest == sorted(rest, reverse=True)
    if total_steps > 2:
        assert values[-1] == pytest.approx((4e-6, 0.95))


def test_fastai_one_cycle_has_the_values_recorded_from_fastai():
    lrs = [schedules.fastai_one_cycle(step, 20, 1.0)[0] for step in range(20)]
    assert lrs == pytest.approx(numbers(FASTAI_20), abs=1e-6)


def test_fastai_one_cycle_peaks_one_step_later_than_torch_and_never_reaches_its_end():
    lrs = [schedules.fastai_one_cycle(step, 100, 1.0, pct_start=0.3)[0] for step in range(100)]
    assert lrs.index(max(lrs)) == 30
    assert lrs[30] == 1
    assert lrs[-1] > 10 * 1e-5


def test_a_combined_schedule_has_the_values_of_fastais_own_test():
    # fastai nbs/14_callback.schedule: combine_scheds([0.3, 0.2, 0.5], [SchedLin(0, 1), SchedNo(1, 1), SchedCos(1, 0)])
    curves = (lambda position: position, schedules.constant(1), schedules.cosine(1, 0))
    curve = schedules.combine((0.3, 0.2, 0.5), curves)
    positions = (0, 0.15, 0.3, 0.4, 0.5, 0.7, 1)
    assert [curve(p) for p in positions] == pytest.approx([0, 0.5, 1, 1, 1, 0.65451, 0], abs=1e-5)


def test_a_combined_cosine_has_the_values_of_fastais_own_test():
    # fastai nbs/14_callback.schedule: combined_cos(0.25, 0.5, 1., 0.)
    curve = schedules.combine((0.25, 0.75), (schedules.cosine(0.5, 1), schedules.cosine(1, 0)))
    assert [curve(p) for p in (0, 0.1, 0.25, 0.5, 1)] == pytest.approx([0.5, 0.67275, 1, 0.75, 0], abs=1e-5)


@pytest.mark.parametrize("shares", [(0.5, 0.6), (1.0,)])
def test_shares_that_do_not_fit_the_curves_are_refused(shares):
    with pytest.raises(ValueError, match="must sum to 1"):
        schedules.combine(shares, (schedules.constant(1), schedules.constant(2)))


def test_the_sweep_rises_by_the_same_factor_at_each_step_and_stops_short_of_its_end():
    lrs = [schedules.exponential(step, 100, 1e-7, 10.0) for step in range(100)]
    assert lrs[0] == pytest.approx(1e-7)
    assert lrs[50] == pytest.approx(1e-3)  # the geometric middle
    assert lrs[-1] == pytest.approx(10 ** (1 - 8 / 100))
    factors = [after / before for before, after in pairwise(lrs)]
    assert factors == pytest.approx([10 ** (8 / 100)] * 99)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("one_cycle", lambda step: schedules.one_cycle(step, 50, 0.1, pct_start=0.4, div_factor=10)),
        ("fastai_one_cycle", lambda step: schedules.fastai_one_cycle(step, 50, 0.1, pct_start=0.4, div_factor=10)),
        ("flat", lambda step: (0.1, 0.95)),
    ],
)
def test_the_planned_schedule_is_the_one_that_was_named(name, expected):
    options = TrainOptions(schedule=name, max_lr=0.1, pct_start=0.4, div_factor=10, final_div_factor=1e4)
    for step in range(50):
        lr, momentum = schedules.planned(step, 50, options)
        assert (lr, momentum) == expected(step)
        assert 0 < lr <= 0.1
        assert math.isclose(momentum, min(max(momentum, 0.85), 0.95))


@pytest.mark.parametrize(
    ("lr_slice", "lr", "rates"),
    [  # fastai 2.8.12, Learner.lr_range over three groups; the first two are stages of its lesson 3
        ("tenth", 3e-3, [3e-4, 3e-4, 3e-3]),  # slice(3e-3)
        (100, 3e-3 / 4, [7.5e-6, 7.5e-5, 7.5e-4]),  # slice(lr/400, lr/4) at lr 3e-3
        ("tenth", 1e-3, [1e-4, 1e-4, 1e-3]),  # slice(1e-3)
        (100, 1e-4, [1e-6, 1e-5, 1e-4]),  # slice(1e-6, 1e-4)
        (100, 1e-3, [1e-5, 1e-4, 1e-3]),  # fine_tune's lr_mult of 100
        ("one", 3e-3, [3e-3, 3e-3, 3e-3]),
    ],
)
def test_the_rates_of_three_groups_are_those_of_fastais_slices(lr_slice, lr, rates):
    assert [lr * scale for scale in schedules.lr_scales(lr_slice, 3)] == pytest.approx(rates, rel=1e-12)


@given(lr_slice=st.one_of(st.sampled_from(["one", "tenth"]), st.floats(1, 1e6)), num_groups=st.integers(1, 12))
def test_the_last_group_has_the_whole_rate_and_none_more_than_the_next(lr_slice, num_groups):
    scales = schedules.lr_scales(lr_slice, num_groups)
    assert len(scales) == num_groups
    assert scales[-1] == 1.0
    assert all(0 < low <= high for low, high in pairwise(scales))
    if isinstance(lr_slice, float) and num_groups > 1:
        assert scales[0] == pytest.approx(1 / lr_slice)
        factors = [high / low for low, high in pairwise(scales)]
        assert factors == pytest.approx([factors[0]] * len(factors), rel=1e-9)


@pytest.mark.parametrize(("name", "total_steps", "is_said"), [
    ("one_cycle", 9, True), ("fastai_one_cycle", 9, True), ("one_cycle", 10, False), ("flat", 1, False),
])  # fmt: skip
def test_too_few_steps_for_a_cycle_are_told_and_a_flat_rate_is_none(name: str, total_steps: int, is_said: bool):
    options = TrainOptions(schedule=name, max_lr=0.1)
    assert bool(schedules.caution(total_steps, options)) == is_said
    assert schedules.highest_lr(0, total_steps, options) is None
    assert (schedules.highest_lr(total_steps, total_steps, options) == 0.1) == (name == "flat" or total_steps > 9)


@pytest.mark.parametrize(
    ("name", "share", "own"),
    [
        ("one_cycle", 0.3, schedules.one_cycle),
        ("fastai_one_cycle", 0.25, schedules.fastai_one_cycle),
        ("flat", 0.0, None),
    ],
)
def test_each_schedule_warms_up_for_its_own_share_unless_another_was_set(name: str, share: float, own):
    options = TrainOptions(schedule=name, max_lr=0.1)
    assert schedules.warm_up(options) == share
    assert schedules.warm_up(TrainOptions(schedule=name, pct_start=0.4)) == (0.4 if own else 0.0)
    if own:
        assert own.__kwdefaults__["pct_start"] == share
        assert [schedules.planned(step, 40, options) for step in range(40)] == [
            own(step, 40, 0.1) for step in range(40)
        ]


@pytest.mark.parametrize(
    ("steps_per_epoch", "epochs"), [(1, 400), (3, 134), (6, 67), (20, 20), (40, 10), (41, 10), (1000, 10)]
)
def test_a_small_set_is_given_epochs_for_400_steps_and_a_large_one_ten(steps_per_epoch: int, epochs: int):
    assert schedules.proposed_epochs(steps_per_epoch) == epochs
