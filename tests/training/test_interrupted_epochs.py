"""Stopped in the middle of an epoch, or after an early end, and resumed: patience counts as if nothing had been."""

import pytest

from tests.training.test_learner import fit, of_type, scored
from unetlab.events import Batch, Epoch, Note
from unetlab.training.learner import Position

SCORES = [0.5, 0.6, 0.55, 0.7, 0.6, 0.65, 0.9]  # with patience 2, epochs 4 and 5 end it
STEPS_PER_EPOCH = 2


def ended_by_patience(learner, batches, position: Position, stops_at: int = -1, seen: float = 0.0):
    """(bests of the epochs, steps, notes) of a fit that is asked to stop before a step, where its scores are `seen`."""
    step = iter(range(position.step, 1000))
    is_stopped = False

    def should_stop() -> bool:
        nonlocal is_stopped
        is_stopped = next(step) == stops_at
        return is_stopped

    def validate(epoch: int):
        return scored(seen if is_stopped else SCORES[epoch], 1.0)

    _, events = fit(
        learner, batches, epochs=7, validate=validate, should_stop=should_stop, position=position, patience=2
    )
    return [event.is_best for event in of_type(events, Epoch)], of_type(events, Batch), of_type(events, Note)


@pytest.mark.parametrize("seen", [0.1, 0.95])
def test_a_part_of_an_epoch_uses_up_no_patience_and_is_never_the_best(make_learner, make_batches, seen: float):
    position, batches = Position(), make_batches()
    assert batches.steps_per_epoch == STEPS_PER_EPOCH
    learner = make_learner()
    first, _, notes = ended_by_patience(learner, batches, position, stops_at=5, seen=seen)
    assert first == [True, True, False]
    assert "Stopped within epoch 3. The best weights are those of the best whole epoch" in notes[-1].message
    again, _, _ = ended_by_patience(learner, batches, position, stops_at=5, seen=seen)
    assert again == [False], "it stands where it stood"
    rest, steps, notes = ended_by_patience(learner, batches, position)
    assert rest == [False, True, False, False]
    assert steps[-1].step == 6 * STEPS_PER_EPOCH - 1
    assert "Ended early" in notes[-1].message


def test_a_part_of_the_first_epoch_stands_in_until_the_epoch_is_whole(make_learner, make_batches):
    position, learner = Position(), make_learner()
    first, _, notes = ended_by_patience(learner, make_batches(), position, stops_at=1, seen=0.95)
    assert first == [True]
    assert "until a whole epoch has been scored" in notes[-1].message
    rest, _, _ = ended_by_patience(learner, make_batches(), position)
    assert rest == [True, True, False, True, False, False], "as if it had not been stopped"


def test_a_run_that_is_resumed_at_its_early_end_trains_no_further(make_learner, make_batches):
    position, learner = Position(), make_learner()
    _, steps, _ = ended_by_patience(learner, make_batches(), position)
    assert steps[-1].step == 6 * STEPS_PER_EPOCH - 1
    bests, steps, _ = ended_by_patience(learner, make_batches(), position)
    assert (bests, steps) == ([], [])
