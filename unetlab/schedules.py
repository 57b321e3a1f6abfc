"""Learning rate and momentum as pure functions of the step. The form's preview and training call the same ones.

A schedule returns `(lr, momentum)` for `step` in 0..total_steps-1. Sources: Smith 2018 (1cycle),
torch.optim.lr_scheduler.OneCycleLR, fastai's fit_one_cycle and `combine_scheds`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

Curve = Callable[[float], float]
FEW_STEPS = 10  # ours: with fewer steps a one-cycle is hardly a cycle
ENOUGH_STEPS = 400  # ours: a U-Net from random weights needs a few hundred; 60 tiles ended at Dice .115 after 120
WORTHWHILE = 1.5  # ours: training anew for less than half as much again is hardly worth its time
FEWEST_EPOCHS = 10  # of a large set: each is scored once, and a curve of fewer scores says little


def cosine(start: float, end: float) -> Curve:
    """position 0..1 -> from `start` to `end` along half a cosine."""
    return lambda position: end + (start - end) * (1 + math.cos(math.pi * position)) / 2


def constant(value: float) -> Curve:
    """position 0..1 -> `value`."""
    return lambda position: value


def combine(shares: Sequence[float], curves: Sequence[Curve]) -> Curve:
    """The curves one after another, each over its share of the way. `shares` sum to 1. Source: fastai."""
    if len(shares) != len(curves) or not math.isclose(sum(shares), 1):
        raise ValueError(f"{len(shares)} shares (sum {sum(shares):g}) for {len(curves)} curves; they must sum to 1")

    def combined(position: float) -> float:
        begin = 0.0
        for share, curve in zip(shares[:-1], curves[:-1], strict=True):
            if position < begin + share:
                return curve((position - begin) / share)
            begin += share
        return curves[-1](min((position - begin) / shares[-1], 1.0))

    return combined


def one_cycle(
    step: int,
    total_steps: int,
    max_lr: float,
    *,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    momentum_max: float = 0.95,
    momentum_min: float = 0.85,
) -> tuple[float, float]:
    """torch's OneCycleLR (cosine, two phases), number for number wherever torch's is defined.

    The peak is at step pct_start·total - 1. Where that is 0, torch divides by zero; here the warm-up takes one step.
    """
    initial = max_lr / div_factor
    # may fall between two steps, or before the first one where there are too few steps for a warm-up: as in torch
    peak = pct_start * total_steps - 1 or 1.0
    if step <= peak:
        position = step / peak
        return cosine(initial, max_lr)(position), cosine(momentum_max, momentum_min)(position)
    position = (step - peak) / (total_steps - 1 - peak)
    return cosine(max_lr, initial / final_div_factor)(position), cosine(momentum_min, momentum_max)(position)


def fastai_one_cycle(
    step: int,
    total_steps: int,
    max_lr: float,
    *,
    pct_start: float = 0.25,
    div_factor: float = 25.0,
    final_div: float = 1e5,
    momentum_max: float = 0.95,
    momentum_min: float = 0.85,
) -> tuple[float, float]:
    """fastai v2's fit_one_cycle: a function of the position step/total, so its last step is just short of the end."""
    position = step / total_steps
    shares = (pct_start, 1 - pct_start)
    lr = combine(shares, (cosine(max_lr / div_factor, max_lr), cosine(max_lr, max_lr / final_div)))
    momentum = combine(shares, (cosine(momentum_max, momentum_min), cosine(momentum_min, momentum_max)))
    return lr(position), momentum(position)


def lr_scales(lr_slice: str | float, num_groups: int) -> list[float]:
    """What each group of layers, from input to output, multiplies the schedule's rate by; 1.0 for the last one.

    "one": 1.0 for all. "tenth": fastai's slice(lr). A number d: fastai's slice(lr / d, lr), in equal factors.
    """
    if lr_slice == "one":
        return [1.0] * num_groups
    if lr_slice == "tenth":
        return [0.1] * (num_groups - 1) + [1.0]
    return [float(lr_slice) ** (index / (num_groups - 1) - 1) for index in range(num_groups - 1)] + [1.0]


def exponential(step: int, num_steps: int, start_lr: float, end_lr: float) -> float:
    """The LR finder's ramp: start·(end/start)^(step/num_steps), step in 0..num_steps-1. Source: fastai."""
    return start_lr * (end_lr / start_lr) ** (step / num_steps)


class Options(Protocol):
    """What a schedule needs: the fields of `config.TrainOptions` that shape it."""

    @property
    def schedule(self) -> str: ...
    @property
    def max_lr(self) -> float: ...
    @property
    def pct_start(self) -> float | str: ...
    @property
    def div_factor(self) -> float: ...
    @property
    def final_div_factor(self) -> float: ...
    @property
    def momentum_max(self) -> float: ...
    @property
    def momentum_min(self) -> float: ...


OWN_PCT_START = {"one_cycle": 0.3, "fastai_one_cycle": 0.25}  # torch's OneCycleLR, fastai v2's fit_one_cycle


def warm_up(options: Options) -> float:
    """Share 0..1 of all steps in which the rate rises: the schedule's own where `pct_start` is "auto"; 0 if flat."""
    if options.schedule == "flat":
        return 0.0
    return OWN_PCT_START[options.schedule] if options.pct_start == "auto" else float(options.pct_start)


def planned(step: int, total_steps: int, options: Options) -> tuple[float, float]:
    """`(lr, momentum)` of the schedule that `options.schedule` names."""
    if options.schedule == "flat":
        return options.max_lr, options.momentum_max
    names = ("div_factor", "momentum_max", "momentum_min")
    shared = {"pct_start": warm_up(options), **{name: getattr(options, name) for name in names}}
    if options.schedule == "fastai_one_cycle":
        return fastai_one_cycle(step, total_steps, options.max_lr, **shared)
    return one_cycle(step, total_steps, options.max_lr, **shared, final_div_factor=options.final_div_factor)


def highest_lr(num_steps: int, total_steps: int, options: Options) -> float | None:
    """The highest rate that the first `num_steps` of `total_steps` take; None for no step."""
    return max((planned(step, total_steps, options)[0] for step in range(num_steps)), default=None)


def proposed_epochs(steps_per_epoch: int) -> int:
    """Epochs for a set of this size: as many as make 400 steps, and 10 at least. `steps_per_epoch` is 1 or more."""
    return max(-(-ENOUGH_STEPS // steps_per_epoch), FEWEST_EPOCHS)


def are_few(total_steps: int) -> bool:
    """Whether a training of so many steps is too short by enough to train longer: below two thirds of 400."""
    return WORTHWHILE * total_steps <= ENOUGH_STEPS


def caution(total_steps: int, options: Options) -> str | None:
    """What to tell a person whose cycle has too few steps to be one; None where it has enough, or the rate is flat."""
    if options.schedule == "flat" or total_steps >= FEW_STEPS:
        return None
    highest = highest_lr(total_steps, total_steps, options) or 0.0
    count = "1 step" if total_steps == 1 else f"{total_steps} steps"
    return (
        f"Only {count}: too few for a one-cycle to rise and fall. The highest rate is {highest:.1e}; "
        f"{options.max_lr:.1e} was asked for. Train more epochs, or with a smaller batch."
    )
