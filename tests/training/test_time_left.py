"""The time left of a training. Oracle: a clock that the test moves."""

import pytest

from unetlab.training import time_left
from unetlab.training.time_left import TimeLeft


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock of one number, which perf_counter reads."""
    now = [1000.0]
    monkeypatch.setattr(time_left.time, "perf_counter", lambda: now[0])
    return now


def steps(left: TimeLeft, clock: list[float], first: int, last: int, *, seconds: float) -> float | None:
    """What it says after the last of these steps."""
    said = None
    for step in range(first, last + 1):
        clock[0] += seconds
        said = left.after_step(step)
    return said


def test_steps_and_validations_to_come_are_counted_and_the_best_weights_scored_once_more(clock: list[float]):
    left = TimeLeft(epochs=3, steps_per_epoch=10, valid_share=0.5)
    assert steps(left, clock, 1, 2, seconds=100) is None  # the first step warms up
    clock[0] += 0
    left = TimeLeft(epochs=3, steps_per_epoch=10, valid_share=0.3)
    said = steps(left, clock, 1, 10, seconds=2)
    # 20 steps; four validations, each of 0.3 epochs' pixels without a backward pass: 10 x 2 s x 0.3 / 3
    assert said == pytest.approx(20 * 2 + 4 * 2)
    assert left.while_validating(10, 0.5) == pytest.approx(20 * 2 + 3.5 * 2)
    clock[0] += 7
    left.after_validation()
    assert steps(left, clock, 11, 12, seconds=2) == pytest.approx(18 * 2 + 3 * 7)
    assert steps(left, clock, 13, 30, seconds=2) == pytest.approx(3 * 7 - 7)
    assert left.while_validating(30, 1.0) == pytest.approx(7)


def test_one_slow_validation_is_not_multiplied_by_all_that_are_to_come(clock: list[float]):
    left, said = TimeLeft(epochs=101, steps_per_epoch=10, valid_share=0.5), []
    for epoch, seconds in enumerate([2, 2, 12, 2, 2, 2]):
        steps(left, clock, 10 * epoch + 1, 10 * epoch + 10, seconds=1)
        clock[0] += seconds
        left.after_validation()
        said.append(left.while_scoring(0.0))
    assert said == pytest.approx([2, 2, 16 / 3, 18 / 4, 4, 4])
    assert left.while_scoring(0.75) == pytest.approx(1)


def test_a_resumed_attempt_counts_its_own_steps_only(clock: list[float]):
    left = TimeLeft(epochs=32, steps_per_epoch=10, valid_share=0.0)
    assert steps(left, clock, 301, 302, seconds=4) is None
    assert steps(left, clock, 303, 303, seconds=4) == pytest.approx(17 * 4)


def test_an_attempt_that_begins_within_a_validation_has_not_timed_it(clock: list[float]):
    left = TimeLeft(epochs=2, steps_per_epoch=4, valid_share=3.0)
    assert left.while_validating(4, 0.5) is None
    clock[0] += 50
    left.after_validation()
    assert steps(left, clock, 5, 6, seconds=1) == pytest.approx(2 + 2 * 4)
