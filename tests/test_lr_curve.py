"""Picks from a sweep. Oracles: fastai v1's and v2's answers on two given curves; a refusal everywhere else."""

import json
import math
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT
from unetlab import lr_curve
from unetlab.lr_curve import (
    DEFINITIONS,
    HELD,
    HIGHEST_GOOD,
    NO_LAG_DEFINITIONS,
    PICKS,
    Declined,
    Pick,
    caution,
    centre,
    every_pick,
    first_divergence,
    how_often,
    intervals,
    picks,
    picks_without_lag,
    smooth,
    spread,
)
from unetlab.options import LRFindOptions

LRS = [1e-7 * 1e8 ** (i / 100) for i in range(100)]


def falling_then_rising() -> list[float]:
    """A smooth sweep that falls around 10^-2.5 and blows up near 1. Its lowest point is index 78."""
    u = np.log10(LRS)
    return (0.8 / (1 + np.exp(3 * (u + 2.5))) + 0.2 + 0.02 * np.exp(4 * (u + 0.3))).tolist()


def refusals(losses: list[float]) -> set[str]:
    found = picks(LRS[: len(losses)], losses)
    assert set(found) == set(DEFINITIONS)
    assert all(isinstance(pick, Declined) for pick in found.values())
    return {pick.reason for pick in found.values()}


def test_the_picks_on_the_given_curve_are_those_of_fastai():
    curve = falling_then_rising()
    assert int(np.argmin(curve)) == 78
    found = picks(LRS, curve)
    assert found["min_gradient"].lr == pytest.approx(0.0030199517204, rel=1e-10)  # fastai v1
    assert found["min_loss_tenth"].lr == pytest.approx(0.0173780082875, rel=1e-10)  # fastai v1
    assert found["min_loss_tenth"].index == 78
    assert found["valley"].lr == pytest.approx(0.000275422870334, rel=1e-10)  # fastai v2


def test_the_picks_on_a_falling_line_are_those_of_fastai():
    found = picks(LRS, np.linspace(2, 1, 100).tolist())
    assert found["valley"].lr == pytest.approx(0.0012022644, rel=1e-7)
    assert found["min_loss_tenth"].lr == pytest.approx(0.3311311215, rel=1e-9)


def test_a_picks_index_is_the_point_it_was_read_from():
    found = picks(LRS, falling_then_rising())
    for name in ("min_gradient", "valley"):
        assert LRS[found[name].index] == found[name].lr
    assert LRS[found["min_loss_tenth"].index] / 10 == found["min_loss_tenth"].lr


def test_ends_of_the_sweep_are_not_eligible():
    curve = falling_then_rising()
    curve[:10] = np.linspace(9, 1, 10).tolist()  # the steepest fall, within the trim
    curve[-5:] = [0.01] * 5  # the lowest loss, within the trim
    assert picks(LRS, curve) == picks(LRS, falling_then_rising())


@given(st.floats(0.001, 1000), st.integers(1, 200))
@example(1.0, 100)
def test_a_constant_loss_smooths_to_itself_from_the_first_point(loss, count):
    assert smooth([loss] * count) == pytest.approx([loss] * count, rel=1e-9)


def test_smoothing_is_the_debiased_average_by_hand():
    # beta .5: 0.5·4 / 0.5; (0.5·2 + 0.5·8) / 0.75
    assert smooth([4.0, 8.0], beta=0.5) == pytest.approx([4.0, 5.0 / 0.75])


@pytest.mark.parametrize(
    ("losses", "reason"),
    [
        ([], "Only 0 points"),
        ([1.0], "Only 1 points"),
        (np.linspace(2, 1, 24).tolist(), "Only 24 points"),
        ([1.0] * 100, "flat"),
        ([0.0] * 100, "flat"),
        (np.linspace(1, 3, 100).tolist(), "never falls"),
        ([1.0 + 0.004 * (i % 2) for i in range(100)], "never falls"),
        ([math.nan] * 100, "not a finite number from the first step"),
        ([math.inf] * 3, "not a finite number from the first step"),
        ([1.0, *[100.0] * 99], "blows up after 1 steps"),
        ([*np.linspace(2, 1, 15), math.nan], "blows up after 15 steps"),
    ],
)
def test_a_curve_without_an_answer_is_declined_with_its_reason(losses, reason):
    (text,) = refusals(losses)
    assert reason in text


def test_25_points_are_enough():
    assert all(isinstance(pick, Pick) for pick in picks(LRS[:25], np.linspace(2, 1, 25).tolist()).values())


def test_rates_and_losses_of_different_length_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="2 learning rates for 1"):
        picks([1e-3, 1e-2], [1.0])


losses_of_any_kind = st.lists(st.floats(width=32), max_size=100)  # a loss is a float32: NaN, infinities, tiny and huge
positive_losses = st.lists(st.floats(0.015625, 4, width=32), min_size=25, max_size=100)


@given(st.one_of(losses_of_any_kind, positive_losses))
@settings(max_examples=300, deadline=None)
def test_any_curve_gets_picks_from_its_own_points_or_a_refusal(losses):
    found = picks(LRS[: len(losses)], losses)
    for name, pick in found.items():
        if isinstance(pick, Declined):
            assert pick.reason
            continue
        assert 10 <= pick.index < min(len(losses) - 5, first_divergence(losses))
        assert pick.lr == (LRS[pick.index] / 10 if name == "min_loss_tenth" else LRS[pick.index])


@given(tail=st.lists(st.floats(), min_size=19, max_size=19))
@settings(deadline=None)
def test_what_comes_after_the_divergence_changes_no_pick(tail):
    curve = falling_then_rising()[:80] + [9.0] + [10.0] * 19
    assert first_divergence(curve) == 80
    assert picks(LRS, curve[:81] + tail) == picks(LRS, curve)


@pytest.mark.parametrize(("loss", "expected"), [(3.9, 4), (4.1, 2), (math.nan, 2), (math.inf, 2)])
def test_a_divergence_is_four_times_the_best_so_far_or_not_finite(loss, expected):
    assert first_divergence([2.0, 1.0, loss, 1.0]) == expected


def test_a_pick_where_the_raw_loss_has_lost_its_fall_comes_with_a_caution():
    raw = falling_then_rising()
    text = caution(LRS, raw, 5.0)
    assert text is not None
    assert "lowest 0.21" in text
    assert caution(LRS, raw, picks(LRS, raw)["min_gradient"].lr) is None
    a_hundredth = [lr / 100 for lr in LRS]  # the same curve at low rates
    assert "lowest 0.21" in (caution(a_hundredth, raw, 0.05) or "")
    assert caution(a_hundredth, raw, a_hundredth[86]) is None, "past the lowest point, by a twentieth of the fall"


def test_a_rate_above_all_that_were_ever_found_good_comes_with_a_caution_whatever_the_curve_says():
    falling = np.linspace(2, 1, 100).tolist()
    assert caution(LRS, falling, HIGHEST_GOOD) is None
    assert caution(LRS, falling, LRS[76]) is None, "on defects a training at this one was .0007 behind the best"
    assert "no training above 0.125" in (caution(LRS, falling, 1.01 * HIGHEST_GOOD) or "")
    assert "no training above 0.125" in (caution(LRS, falling_then_rising(), 5.0) or "")


def test_no_caution_is_read_off_a_curve_that_is_short_or_not_finite_from_the_start():
    assert caution(LRS[:10], falling_then_rising()[:10], 1e-3) is None
    assert caution([lr / 100 for lr in LRS], [math.nan] * 100, 0.05) is None


@pytest.mark.parametrize("end", [math.nan, math.inf, 1e30])
def test_a_sweep_that_blew_up_at_its_end_has_its_caution_too(end: float):
    a_hundredth, raw = [lr / 100 for lr in LRS], [*falling_then_rising()[:97], end, end, end]
    assert "lowest 0.21" in (caution(a_hundredth, raw, 0.05) or "")
    assert caution(a_hundredth, raw, 1e-4) is None


def test_one_wild_point_is_no_reason_for_caution():
    raw = np.linspace(2, 1, 100).tolist()
    raw[60] = 50.0
    assert caution(LRS, raw, LRS[60]) is None


def test_the_spread_holds_one_rate_per_sweep_and_leaves_declined_ones_out():
    curve = falling_then_rising()
    found = every_pick(LRS, curve)
    assert set(found) == set(PICKS)
    several = spread([(LRS, curve), (LRS, [1.0] * 100), (LRS, curve)])
    assert several == {name: [pick.lr, pick.lr] for name, pick in found.items()}
    assert spread([]) == {name: [] for name in PICKS}


def test_fastais_smoothing_moves_the_picks_by_9_and_14_steps_and_the_centred_curve_by_none():
    """Oracle: the picks of the noise-free curve itself."""
    curve = falling_then_rising()
    itself, lagging = picks(LRS, curve), picks(LRS, smooth(curve))
    without = picks_without_lag(LRS, centre(curve))
    for name, steps in (("min_gradient", 9), ("min_loss_tenth", 14)):
        assert lagging[name].index - itself[name].index == steps
        assert abs(without[f"{name}_no_lag"].index - itself[name].index) <= 1


def test_the_centred_curve_has_no_direction_and_keeps_a_line_straight():
    losses = np.random.default_rng(0).uniform(1, 2, 60)
    losses[:10], losses[-10:] = losses[-10:][::-1], losses[-10:]  # the same ends, so that both are capped alike
    assert centre(losses[::-1].tolist()) == pytest.approx(centre(losses.tolist())[::-1])
    line = np.linspace(2, 1, 60)
    assert centre(line.tolist())[12:-12] == pytest.approx(line[12:-12].tolist(), abs=1e-4)
    assert np.std(centre(losses.tolist())[12:-12]) < 0.45 * np.std(losses[12:-12])


@pytest.mark.parametrize("high", [9.0, 1e30, math.inf, math.nan])
def test_a_blow_up_does_not_reach_back_into_the_points_before_it(high):
    curve = [*np.linspace(1, 0.2, 60), *[0.2] * 12]
    quiet = picks_without_lag(LRS[:72], centre(curve))
    blown_up = picks_without_lag(LRS[:75], centre([*curve, high, high, high]))
    assert blown_up["min_gradient_no_lag"] == quiet["min_gradient_no_lag"]
    assert 0 <= quiet["min_loss_tenth_no_lag"].index - blown_up["min_loss_tenth_no_lag"].index <= 9


@pytest.mark.parametrize("losses", [[], [1.0], [math.nan] * 30, [1.0] * 100, np.linspace(1, 3, 100).tolist()])
def test_without_lag_the_same_curves_are_declined(losses):
    found = picks_without_lag(LRS[: len(losses)], centre(losses))
    assert found.keys() == NO_LAG_DEFINITIONS.keys()
    assert all(isinstance(pick, Declined) and pick.reason for pick in found.values())


def valley_as_fastai_finds_it(losses: list[float]) -> int:
    """Transcribed from fastai v2's `valley`, whose two loops over 2000 points take most of a second."""
    lengths, longest_start, longest_end = [1] * len(losses), 0, 0
    for i in range(1, len(losses)):
        for j in range(i):
            if losses[i] < losses[j] and lengths[i] < lengths[j] + 1:
                lengths[i] = lengths[j] + 1
            if lengths[longest_end] < lengths[i]:
                longest_end, longest_start = i, i - lengths[i]
    section = (longest_end - longest_start) / 3
    return longest_start + int(section) + int(section / 2)


def test_the_valley_is_fastais_on_curves_of_every_shape():
    random = np.random.default_rng(0)
    for length in [*range(1, 40), *[80] * 20]:
        wild = random.normal(0, 1, length)
        for losses in (wild, np.sort(wild), -np.sort(wild), wild.round(), 0.3 * wild - 0.1 * np.arange(length)):
            assert lr_curve._valley(losses) == valley_as_fastai_finds_it(losses.tolist())


def test_the_intervals_of_the_longest_sweep_do_not_keep_anybody_waiting():
    longest = LRFindOptions.model_fields["num_steps"].metadata
    count = next(bound.le for bound in longest if hasattr(bound, "le"))
    lrs, began = [1e-7 * 1e8 ** (i / count) for i in range(count)], time.monotonic()
    losses = np.interp(np.log(lrs), np.log(LRS), noisy(0)).tolist()
    assert intervals(lrs, losses).keys() == PICKS.keys()
    assert time.monotonic() - began < 10, "a minute with fastai's two loops"


@given(losses_of_any_kind)
@settings(max_examples=200, deadline=None)
def test_any_losses_can_be_centred(losses):
    assert len(centre(losses)) == len(losses)
    found = picks_without_lag(LRS[: len(losses)], centre(losses))
    assert all(isinstance(pick, Declined) or pick.lr > 0 for pick in found.values())


def noisy(seed: int, sigma: float = 0.05) -> list[float]:
    return (falling_then_rising() + np.random.default_rng(seed).normal(0, sigma, 100)).tolist()


def test_an_interval_holds_its_own_pick_and_most_of_those_of_other_sweeps_of_the_same_curve():
    """Oracle: fresh noise on the given curve."""
    others = [every_pick(LRS, noisy(seed)) for seed in range(100, 120)]
    held = {name: [] for name in PICKS}
    for seed in range(8):
        found, own = intervals(LRS, noisy(seed)), every_pick(LRS, noisy(seed))
        assert found.keys() == PICKS.keys()
        for name, (low, high) in found.items():
            assert low <= own[name].lr <= high
            held[name] += [low <= other[name].lr <= high for other in others]
    assert all(np.mean(hits) >= 0.8 for hits in held.values()), {name: np.mean(hits) for name, hits in held.items()}
    assert intervals(LRS, noisy(0)) == intervals(LRS, noisy(0))


def test_without_noise_an_interval_is_narrow_and_with_more_noise_wider():
    widths = [
        np.log([high / low for low, high in intervals(LRS, noisy(3, sigma)).values()]).sum()
        for sigma in (1e-6, 0.02, 0.1)
    ]
    assert widths[0] < math.log(2) * 5, "a factor of two each: the curve is smoothed, so it differs from its points"
    assert widths[0] < widths[1] < widths[2]


@pytest.mark.parametrize("losses", [[], [1.0] * 20, [math.nan] * 40, [1.0] * 100, np.linspace(1, 3, 100).tolist()])
def test_a_curve_without_picks_has_no_intervals(losses):
    assert intervals(LRS[: len(losses)], losses) == {}


def test_a_pick_that_most_sweeps_like_it_decline_has_no_interval():
    """The loss falls by 2.1 %, where 2 % are needed: with other noise most sweeps decline."""
    curve = np.array([*[1.0] * 40, *np.linspace(1, 0.979, 40), *np.linspace(0.979, 3, 20)])
    lucky, *others = [
        (curve + np.random.default_rng(seed).normal(0, 0.005, 100)).tolist() for seed in (5, 0, 1, 2, 3, 4)
    ]
    has_pick = [isinstance(every_pick(LRS, losses)["min_loss_tenth_no_lag"], Pick) for losses in (lucky, *others)]
    assert has_pick == [True, False, False, False, False, False]
    assert intervals(LRS, lucky) == {}


def test_what_is_said_of_an_interval_is_never_more_than_was_measured():
    for name, share in HELD.items():
        words = how_often(name)
        (said,) = [number for number in range(11) if f" {number} of 10 " in words]
        assert share - 0.1 < said / 10 <= share


def test_a_sweep_that_blew_up_has_intervals_too():
    curve = [*noisy(0)[:85], 30.0, math.inf]
    assert intervals(LRS[: len(curve)], curve).keys() == PICKS.keys()


def test_intervals_hold_the_picks_of_real_repeated_sweeps_as_often_as_is_said():
    """Oracle: sweeps of three sets, 20 each, recorded by benchmarks/rates.py; each says where the others lie."""
    lines = (ROOT / "benchmarks" / "recorded" / "rates.jsonl").read_text().splitlines()
    repeated = [result for result in map(json.loads, lines) if len(result.get("losses", ())) == 20]
    assert len(repeated) == 3
    held: dict[str, list[float]] = {name: [] for name in PICKS}
    widths: dict[str, list[float]] = {name: [] for name in PICKS}
    for result in repeated:
        sweeps = [(LRS[: len(losses)], [math.inf if x is None else x for x in losses]) for losses in result["losses"]]
        found = [every_pick(*sweep) for sweep in sweeps]
        for number in range(20):
            for name, (low, high) in intervals(*sweeps[number]).items():
                assert low <= found[number][name].lr <= high
                others = [picks[name] for picks in found if picks is not found[number]]
                held[name] += [low <= pick.lr <= high for pick in others if isinstance(pick, Pick)]
                widths[name].append(high / low)
    assert {name: float(np.mean(hits)) for name, hits in held.items()} == pytest.approx(HELD, abs=0.006)
    assert np.median(widths["min_loss_tenth_no_lag"]) < 10
