"""(lrs, losses) of a sweep -> learning-rate picks, each with its definition, or a refusal with its reason. Pure.

All picks look at a smoothed curve between the trims `[10:-5]` (fastai v1) and before the divergence. There are two
curves: fastai's moving average of the past, which lags behind the points, and a centred one, which does not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TRIM_START, TRIM_END = 10, 5  # points left out at either end: fastai v1's skip_start and skip_end
DIVERGENCE_FACTOR = 4.0  # smoothed loss above 4x its best so far: fastai; miniai uses 3, pytorch-lr-finder 5
MIN_POINTS = 10  # ours: fewer points between the trims carry no slope worth naming
MIN_FALL = 0.02  # ours: a smoothed loss that falls by less than 2 % does not say which rate is good

DEFINITIONS = {
    "min_gradient": "The rate at which the smoothed loss falls fastest per step of the sweep, that is per log rate "
    "(fastai v1's minimum numerical gradient).",
    "min_loss_tenth": "The rate with the lowest smoothed loss, divided by 10 (fastai v1's min loss / 10).",
    "valley": "A third to a half of the way down the longest fall of the smoothed loss (fastai v2's default).",
}
SIGMA = 3.0  # points: ours; of the raw losses' noise a fifth is left, and a curve that bends within 9 points stays
CENTRED = "the centred loss (Gaussian mean, sigma 3 points)"
NO_LAG_DEFINITIONS = {
    "min_gradient_no_lag": f"The rate at which {CENTRED} falls fastest per step of the sweep.",
    "min_loss_tenth_no_lag": f"The rate with the lowest value of {CENTRED}, divided by 10.",
}
PICKS = DEFINITIONS | NO_LAG_DEFINITIONS
LABELS = {
    "min_gradient": "min gradient",
    "min_loss_tenth": "min loss / 10",
    "valley": "valley",
    "min_gradient_no_lag": "min gradient without lag",
    "min_loss_tenth_no_lag": "min loss / 10 without lag",
}
DRAWS, NEIGHBOURS = 100, 6  # sweeps that are made up, and the points on either side that lend their noise
HELD = {  # how often an interval holds the pick of the next real sweep: 20 sweeps of three sets, docs/experiments.md
    "min_gradient": 0.96,
    "min_loss_tenth": 0.71,
    "valley": 0.87,
    "min_gradient_no_lag": 0.92,
    "min_loss_tenth_no_lag": 0.87,
}
FASTAI, NO_LAG = "as fastai", "without lag"
CURVES = {
    FASTAI: "Read from fastai's moving average (beta 0.98), which follows the points some ten steps later.",
    NO_LAG: f"Read from {CENTRED}, which looks ahead as far as back.",
}
HIGHEST_GOOD = 0.125  # no training at a higher rate came within .02 Dice of the best fixed one: docs/experiments.md
# by how far they are behind the best fixed rate on the worst of six sets: docs/experiments.md
PREFERENCE = ("min_loss_tenth_no_lag", "valley", "min_gradient_no_lag", "min_gradient", "min_loss_tenth")
PRESELECTED = PREFERENCE[0]
WHY_PRESELECTED = (
    "Preselected: on six data sets, three seeds each, it was at most 0.013 Dice behind the best of five fixed rates of "
    "the same seed (median), valley up to 0.029 and fastai's min loss / 10 up to 0.25; no training with it collapsed."
)


@dataclass(frozen=True)
class Pick:
    """A learning rate and the index of its point in the sweep (for min loss / 10: the index of the lowest loss)."""

    lr: float
    index: int


@dataclass(frozen=True)
class Declined:
    """No learning rate, and why not."""

    reason: str


def smooth(losses: Sequence[float], beta: float = 0.98) -> list[float]:
    """Exponentially weighted mean, debiased: a constant loss is that constant from the first point. Source: fastai."""
    average, smoothed = 0.0, []
    for count, loss in enumerate(losses, start=1):
        average = beta * average + (1 - beta) * loss
        smoothed.append(average / (1 - beta**count))
    return smoothed


def centre(losses: Sequence[float]) -> list[float]:
    """Gaussian mean over neighbouring points (sigma 3 points): no lag, for the future weighs as much as the past.

    Losses above all of the first TRIM_START points count as the highest of these, since only so can a blow-up not be
    seen in the points before it; those that are not finite too. Source: kernel regression, Nadaraya and Watson 1964.
    """
    points = np.asarray(losses, dtype=np.float64)
    finite = points[:TRIM_START][np.isfinite(points[:TRIM_START])]
    if not len(finite):
        return points.tolist()
    points = np.where(np.isfinite(points), points, np.inf).clip(max=finite.max())
    reach = round(8 * SIGMA)  # points farther away weigh less than the last digit
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SIGMA) ** 2)
    total, weight = (np.convolve(values, weights)[reach:-reach] for values in (points, np.ones(len(points))))
    return (total / weight).tolist()


def has_diverged(smoothed: float, best: float) -> bool:
    """Whether the sweep should end here: not finite, or far above the best so far."""
    return not math.isfinite(smoothed) or smoothed > DIVERGENCE_FACTOR * best


def first_divergence(smoothed_losses: Sequence[float]) -> int:
    """Index of the first point of the divergence; the number of points when there is none."""
    best = math.inf
    for index, loss in enumerate(smoothed_losses):
        if has_diverged(loss, best):
            return index
        best = min(best, loss)
    return len(smoothed_losses)


def picks(lrs: Sequence[float], smoothed_losses: Sequence[float]) -> dict[str, Pick | Declined]:
    """`min_gradient`, `min_loss_tenth` and `valley` of one sweep. `lrs` rise; both sequences have the same length."""
    found = _read(lrs, smoothed_losses)
    if isinstance(found, Declined):
        return dict.fromkeys(DEFINITIONS, found)
    rates, losses = found
    valley = _valley(losses)
    return {
        "min_gradient": _steepest(rates, losses),
        "min_loss_tenth": _tenth_of_lowest(rates, losses),
        "valley": Pick(float(rates[valley]), TRIM_START + valley),
    }


def picks_without_lag(lrs: Sequence[float], centred_losses: Sequence[float]) -> dict[str, Pick | Declined]:
    """`min_gradient_no_lag` and `min_loss_tenth_no_lag`: the two definitions, read from the curve of `centre`."""
    found = _read(lrs, centred_losses)
    if isinstance(found, Declined):
        return dict.fromkeys(NO_LAG_DEFINITIONS, found)
    return {"min_gradient_no_lag": _steepest(*found), "min_loss_tenth_no_lag": _tenth_of_lowest(*found)}


def _read(lrs: Sequence[float], losses: Sequence[float]) -> tuple[np.ndarray, np.ndarray] | Declined:
    """The rates and losses that picks look at."""
    if len(lrs) != len(losses):
        raise ValueError(f"{len(lrs)} learning rates for {len(losses)} losses")
    if reason := _refusal(losses):
        return Declined(reason)
    end = min(len(lrs) - TRIM_END, first_divergence(losses))
    return np.asarray(lrs[TRIM_START:end], np.float64), np.asarray(losses[TRIM_START:end], np.float64)


def _steepest(rates: np.ndarray, losses: np.ndarray) -> Pick:
    steepest = int(np.argmin(np.gradient(losses)))
    return Pick(float(rates[steepest]), TRIM_START + steepest)


def _tenth_of_lowest(rates: np.ndarray, losses: np.ndarray) -> Pick:
    lowest = int(np.argmin(losses))
    return Pick(float(rates[lowest]) / 10, TRIM_START + lowest)


def _refusal(losses: Sequence[float]) -> str | None:
    end = min(len(losses) - TRIM_END, first_divergence(losses))
    usable = np.asarray(losses[TRIM_START : max(end, TRIM_START)], dtype=np.float64)
    if len(losses) and not math.isfinite(losses[0]):
        return "The loss is not a finite number from the first step. Look at the pictures' values and the masks."
    if len(usable) < MIN_POINTS:
        if first_divergence(losses) < len(losses):
            return (
                f"The loss blows up after {first_divergence(losses)} steps, before a slope can be read. "
                "Start the sweep at a lower rate."
            )
        return (
            f"Only {len(losses)} points; with {TRIM_START} cut at the start and {TRIM_END} at the end, "
            f"{MIN_POINTS} must remain. Sweep with more steps."
        )
    if np.ptp(usable) <= 1e-3 * np.abs(usable).max():
        return "The curve is flat: no rate changes the loss. Sweep to a higher rate, or look at the masks."
    if usable[0] - usable.min() < MIN_FALL * abs(usable[0]):
        return (
            f"The loss never falls: at best {usable.min():.3g} from {usable[0]:.3g}. "
            "Sweep from a lower rate, or look at the masks."
        )
    return None


def _valley(losses: np.ndarray) -> int:
    """Index a third plus a sixth along the longest decreasing subsequence. Source: fastai v2 `valley`."""
    lengths = np.ones(len(losses), np.int64)
    for i in range(1, len(losses)):
        lengths[i] += lengths[:i].max(initial=0, where=losses[:i] > losses[i])
    end = int(lengths.argmax())
    start = end - int(lengths[end]) if end else 0
    section = (end - start) / 3
    return start + int(section) + int(section / 2)


def caution(lrs: Sequence[float], losses: Sequence[float], rate: float) -> str | None:
    """Why a pick should be taken with care, from the raw losses and the rate; None when nothing speaks against it."""
    return " ".join(filter(None, (_rising(lrs, losses, rate), _very_high(rate)))) or None


def _rising(lrs: Sequence[float], losses: Sequence[float], rate: float) -> str | None:
    """fastai's curve lags behind the raw losses, by some ten points, so a pick can lie where these rise already.

    Said when the raw loss there (median of 5) has lost more than a quarter of its fall.
    """
    raw = np.where(np.isfinite(losses), losses, np.inf)
    if len(raw) < TRIM_START + TRIM_END + MIN_POINTS:
        return None
    calm = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(raw, 2, mode="edge"), 5), axis=1)
    here, lowest = int(np.argmin(np.abs(np.log(np.asarray(lrs) / rate)))), int(np.argmin(calm))
    if not math.isfinite(calm[0]) or here <= lowest or calm[here] - calm[lowest] < 0.25 * (calm[0] - calm[lowest]):
        return None
    return (
        f"At this rate the raw loss had already risen to {calm[here]:.2f}, from its lowest {calm[lowest]:.2f} "
        f"at {lrs[lowest]:.1e}. The smoothed curve lags behind."
    )


def _very_high(rate: float) -> str | None:
    if rate <= HIGHEST_GOOD:
        return None
    return (
        f"This rate is very high: in trials on six data sets no training above {HIGHEST_GOOD:g} came near the best one."
    )


def every_pick(lrs: Sequence[float], losses: Sequence[float]) -> dict[str, Pick | Declined]:
    """All of PICKS for one sweep of raw losses."""
    return picks(lrs, smooth(losses)) | picks_without_lag(lrs, centre(losses))


def intervals(lrs: Sequence[float], losses: Sequence[float]) -> dict[str, tuple[float, float]]:
    """Where each pick of another sweep like this one is to be expected: (low, high) rates from one sweep's raw losses.

    Sweeps are made up: to the centred curve they add what neighbouring points differ from it, with either sign, times
    the root of 2, for two sweeps differ by the noise of both. The interval holds 90 % of their picks and this sweep's
    own; HELD says how often it holds the next real sweep's. A pick that most of them decline has none.
    Source: the wild bootstrap, Wu 1986.
    """
    count, found = len(losses), {name: [] for name in PICKS}
    curve = np.asarray(centre(losses))
    if count < TRIM_START + TRIM_END + MIN_POINTS or not np.isfinite(curve).all():
        return {}
    points = np.where(np.isfinite(losses), losses, np.inf).clip(max=np.max(losses[:TRIM_START]))
    random = np.random.default_rng(0)
    for _ in range(DRAWS):
        near = (np.arange(count) + random.integers(-NEIGHBOURS, NEIGHBOURS + 1, count)).clip(0, count - 1)
        noise = (points - curve)[near] * random.choice([-1, 1], count)
        for name, pick in every_pick(lrs, (curve + math.sqrt(2) * noise).tolist()).items():
            if isinstance(pick, Pick):
                found[name].append(pick.lr)
    own = every_pick(lrs, losses)
    return {
        name: (float(min(np.quantile(rates, 0.05), pick.lr)), float(max(np.quantile(rates, 0.95), pick.lr)))
        for name, rates in found.items()
        if isinstance(pick := own[name], Pick) and len(rates) > DRAWS / 2
    }


def how_often(name: str) -> str:
    """In how many cases the interval of this pick holds another sweep's, in words."""
    return f"in {int(10 * HELD[name])} of 10 cases"


def spread(sweeps: Sequence[tuple[Sequence[float], Sequence[float]]]) -> dict[str, list[float]]:
    """Each pick's rates over repeated sweeps `(lrs, raw losses)`; declined ones are left out."""
    found: dict[str, list[float]] = {name: [] for name in PICKS}
    for lrs, losses in sweeps:
        for name, pick in every_pick(lrs, losses).items():
            if isinstance(pick, Pick):
                found[name].append(pick.lr)
    return found
