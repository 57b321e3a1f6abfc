"""The arithmetic that benchmarks print, and the bare loop that they compare with."""

import importlib
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from unetlab import lr_curve

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
RATES = BENCHMARKS / "recorded" / "rates.jsonl"


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/measuring.py as the scripts beside it see it."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    return importlib.import_module("measuring")


@pytest.fixture
def same_bits(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/same_bits.py."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    return importlib.import_module("same_bits")


def trace(measuring: ModuleType, ends: list[list[float]]):
    steps = [(epoch, end) for epoch, epoch_ends in enumerate(ends) for end in epoch_ends]
    return measuring.Trace(began=0.0, steps=steps, scores=[], ended=100.0)


def test_the_speed_of_the_loop_leaves_out_the_warm_up_and_what_lies_between_epochs(measuring):
    measured = trace(measuring, [[5, 9, 10, 11], [31, 32, 33]])  # 4 s in the warm-up, 20 s between the epochs
    assert measuring.steps_per_second(measured, warm_up=1) == 1.0
    assert measuring.steps_per_second(measured, warm_up=0) == pytest.approx(5 / 8)


def test_too_few_steps_say_what_to_do(measuring):
    with pytest.raises(SystemExit, match="--steps"):
        measuring.steps_per_second(trace(measuring, [[1, 2]]), warm_up=1)


def test_the_time_to_the_result_begins_at_the_end_of_the_warm_up(measuring):
    assert measuring.seconds_to_result(trace(measuring, [[5, 9, 10, 11]]), warm_up=2) == 91.0


def test_pairs_alternate_which_program_goes_first_and_each_ratio_stays_within_its_pair(measuring, capsys):
    order = []

    def measure(name: str) -> float:
        order.append(name)
        return float(len(order))

    measured = measuring.interleaved(lambda: measure("A"), lambda: measure("B"), pairs=3, name="test")
    assert "".join(order) == "ABBAAB"
    assert measured == [(1, 2), (4, 3), (5, 6)]


@pytest.mark.parametrize(
    ("count", "low", "high", "coverage"),
    [
        # by hand: of 8 values the 2nd and 7th have 1 - 2 (1 + 8) / 2^8, the 3rd and 6th 1 - 2 (1 + 8 + 28) / 2^8
        (1, 1, 1, 0.0),
        (3, 1, 3, 0.75),
        (5, 1, 5, 0.9375),
        (7, 1, 7, 0.984375),
        (8, 2, 7, 0.9296875),
        (10, 2, 9, 0.978515625),
        (11, 3, 9, 0.9345703125),
    ],
)
def test_the_interval_of_a_median_is_that_of_the_sign_test(measuring, count, low, high, coverage):
    values = list(np.random.default_rng(0).permutation(np.arange(1, count + 1)))
    assert measuring.median_interval(values) == measuring.Interval((count + 1) / 2, low, high, coverage)


def test_a_random_median_lies_in_the_interval_as_often_as_it_says(measuring):
    rng = np.random.default_rng(0)
    spans = [measuring.median_interval(values) for values in rng.exponential(size=(2000, 8))]
    share = np.mean([span.low <= np.log(2) <= span.high for span in spans])
    assert share == pytest.approx(spans[0].coverage, abs=0.02)


def test_a_line_holds_by_its_median(measuring):
    assert measuring.Row("a", "", [0.1, 0.97, 2.0], at_least=0.97).verdict() == "holds (>= 0.97)"
    assert measuring.Row("a", "", [0.1, 0.96, 2.0], at_least=0.97).verdict() == "MISSED (>= 0.97)"
    assert measuring.Row("a", "", [1.2], at_most=1.1).verdict() == "MISSED (<= 1.1)"
    assert measuring.Row("a", "", [1.2]).verdict() == ""


def test_the_bare_loop_trains_in_a_process_of_its_own_and_times_every_step(measuring, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    arrays = {
        f"{split}_{kind}": values
        for split in ("train", "valid")
        for kind, values in {
            "images": rng.random((5, 16, 16, 1), np.float32),
            "masks": rng.integers(0, 2, (5, 16, 16), np.uint8),
        }.items()
    }
    np.savez(tmp_path / "arrays.npz", **arrays, mean=[0.5], std=[0.3], num_classes=2, background=0)
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS.parent))
    job = measuring.Job(str(tmp_path / "arrays.npz"), epochs=2, batch_size=2, base_width=2, depth=1)
    measured = measuring.train_elsewhere("bare", job)
    times = [measured.began, *(time for _, time in measured.steps), measured.ended]
    assert [epoch for epoch, _ in measured.steps] == [0, 0, 0, 1, 1, 1]
    assert times == sorted(times)
    assert not (tmp_path / "bare").exists()


def logged(module: ModuleType, *, last_loss: float = 0.25, steps: int = 3, **scores: float) -> dict[str, object]:
    """The record of a run of `steps` steps and an epoch."""
    losses = [1.0, 0.5, last_loss, 0.1][:steps]
    events = [{"type": "note", "message": "not a number"}]
    events += [{"type": "batch", "step": step, "loss": loss, "time": step} for step, loss in enumerate(losses)]
    events += [{"type": "epoch", "epoch": 0, "time": 9, "dice": {"cell": 0.7}, **scores}]
    return module.record(events, {"seconds": 3.0, "valid": {"mean_dice": 0.7}})


def test_two_commits_train_alike_only_when_every_number_is_equal_to_the_bit(same_bits):
    first = logged(same_bits)
    assert same_bits.difference(first, logged(same_bits)) is None
    nearly = logged(same_bits, last_loss=float(np.nextafter(0.25, 1)))
    assert same_bits.difference(first, nearly) == "step 2: loss: 0.25, then 0.25000000000000006"
    assert same_bits.difference(logged(same_bits, mean_dice=0.0), logged(same_bits, mean_dice=-0.0))
    assert same_bits.difference(first | {"result: valid.mean_dice": 0.8}, first) == (
        "result: valid.mean_dice: 0.8, then 0.7"
    )
    assert (
        same_bits.difference(first, {name: value for name, value in first.items() if "cell" not in name})
        == "epoch 0: dice.cell: 0.7, then missing"
    )


def test_a_commit_may_say_more_than_the_first_but_not_train_longer_or_shorter(same_bits):
    first = logged(same_bits)
    assert same_bits.difference(first, logged(same_bits, mean_iou=0.4)) is None
    assert same_bits.difference(first, logged(same_bits, steps=4)) == "step 3 is new"
    assert same_bits.difference(first, logged(same_bits, steps=2)) == "step 2: loss: 0.25, then missing"
    assert same_bits.difference({}, {}) == "no step was logged"


@pytest.fixture(scope="module")
def rates() -> Iterator[ModuleType]:
    """benchmarks/rates.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
        yield importlib.import_module("rates")


@pytest.fixture(scope="module")
def found(rates: ModuleType) -> dict[str, Any]:
    """What rates.py has recorded, by set."""
    return {name: rates.found_on(name, RATES) for name in rates.SETS}


def test_the_record_of_rates_is_whole(rates, found):
    for one in found.values():
        assert list(one.fixed) == list(rates.RATES)
        assert set(one.picks) == set(lr_curve.PICKS)
        assert {len(scores) for scores in (*one.fixed.values(), *one.picks.values())} == {len(rates.SEEDS)}


def test_picks_are_preferred_by_their_regret_on_the_worst_set_and_the_page_says_the_numbers(found):
    worst = {
        pick: max(statistics.median(one.regrets(one.picks[pick])) for one in found.values()) for pick in lr_curve.PICKS
    }
    assert list(lr_curve.PREFERENCE) == sorted(worst, key=worst.__getitem__)
    assert worst[lr_curve.PRESELECTED] <= 0.02
    for pick, digits in ((lr_curve.PRESELECTED, 3), ("valley", 3), ("min_loss_tenth", 2)):
        assert f" {worst[pick]:.{digits}f} " in lr_curve.WHY_PRESELECTED.replace(";", " ")


def test_no_training_with_the_preselected_pick_collapsed_or_ended_black(rates, found):
    assert sum(one.collapsed(one.picks[lr_curve.PRESELECTED]) for one in found.values()) == 0
    assert sum(one.collapsed(one.picks["min_loss_tenth"]) for one in found.values()) > 0
    ended = rates.preselected_runs(RATES)
    assert len(ended) == 30
    assert not any(rates.is_black(result) for _, result in ended)


def test_no_training_above_the_highest_good_rate_came_near_the_best(found):
    near = [
        one.rates[pick][seed]
        for one in found.values()
        for pick, scores in one.picks.items()
        for seed, score in scores.items()
        if one.best(seed) - score <= 0.02
    ]
    assert max(near) <= lr_curve.HIGHEST_GOOD < 1.1 * max(near)
