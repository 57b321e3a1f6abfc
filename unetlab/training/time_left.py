"""How long a training has still to go: its steps, its validations, and the best weights scored at the end."""

import time
from collections import deque
from statistics import fmean

RECENT = 50  # steps whose mean is the pace
FEW = 5  # validations whose mean is that of the ones to come
FORWARD = 1 / 3  # share of a training step that a prediction takes: backward costs about twice as much as forward


class TimeLeft:
    """The seconds left, from the pace of this attempt alone; None before two steps were timed.

    `valid_share`: pixels of the validation pictures per pixel of a training epoch. From it comes the time of a
    validation until the first one has been timed.
    """

    def __init__(self, *, epochs: int, steps_per_epoch: int, valid_share: float):
        self._epochs, self._steps_per_epoch, self._valid_share = epochs, steps_per_epoch, valid_share
        self._steps: deque[float] = deque(maxlen=RECENT)
        self._validations: deque[float] = deque(maxlen=FEW)
        self._mark: float | None = None  # when the last step or validation ended

    def after_step(self, step: int) -> float | None:
        """After so many steps of the run."""
        now = time.perf_counter()
        if self._mark is not None:  # the first step of an attempt warms up
            self._steps.append(now - self._mark)
        self._mark = now
        return self._seconds(step, validated=0.0)

    def while_validating(self, step: int, validated: float) -> float | None:
        """After so many steps and a share 0..1 of the validation that follows them."""
        return self._seconds(step, validated=validated)

    def while_scoring(self, scored: float) -> float | None:
        """After a share 0..1 of the best weights' scoring, the last thing that is done; a stop may bring it early."""
        return None if len(self._steps) < 2 else self._validation * (1 - scored)

    def after_validation(self) -> None:
        """A validation has ended."""
        now = time.perf_counter()
        if self._mark is not None:  # else the attempt began within it
            self._validations.append(now - self._mark)
        self._mark = now

    def _seconds(self, step: int, *, validated: float) -> float | None:
        if len(self._steps) < 2:
            return None
        epochs_before = (step - 1) // self._steps_per_epoch
        validations = self._epochs - epochs_before + 1 - validated  # the best weights are scored once more
        return fmean(self._steps) * (self._epochs * self._steps_per_epoch - step) + self._validation * validations

    @property
    def _validation(self) -> float:
        """Seconds of a validation; two steps have been timed."""
        if self._validations:
            return fmean(self._validations)
        return FORWARD * fmean(self._steps) * self._steps_per_epoch * self._valid_share
